"""Who read, in the app: by what it is proved, what one side's log alone has, older pages, and a log that was put back."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.stage import Federation, environment, run
from tests.browser.browsing import PATIENCE_MS, no_sideways_scroll
from tests.browser.handset import handset
from tests.e2e.clinic import RECORD

pytestmark = pytest.mark.timeout(400)

HOUR_MS = 3_600_000
MORE_THAN_A_PAGE = 2600
"""Entries: one answer of a hospital has room for some 2,100 of these."""

WRITE = """
import sys, time
from pathlib import Path
from federation.hospital.node import HospitalNode
from federation.party.node_directory import NodeDirectory
from federation.protocol.access import AccessEvent

directory, asker, ground, reason, times = sys.argv[1:]
grant = bytes(range(32)) if ground == "consent" else b""
event = AccessEvent("READ", asker, "P:johnnie", "cardiology", grant, ground, reason, "", grant)
with HospitalNode(NodeDirectory(Path(directory))) as node:
    for _ in range(int(times)):
        node.hospital.audit.record(event, now=int(time.time() * 1000) - 3_600_000)
"""


def written(hospital: Path, asker_id: str, ground: str, reason: str, times: int = 1) -> None:
    """Have a hospital's own process write this into its log, as done an hour ago, beside the server."""
    command = [sys.executable, "-c", WRITE, str(hospital), asker_id, ground, reason, str(times)]
    subprocess.run(command, env=environment(), check=True, timeout=200)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation of one hospital, which has a record of P:johnnie."""
    made = Federation(tmp_path_factory.mktemp("federation"))
    try:
        made.found()
        made.add_hospital("a")
        made.add_patient("johnnie", "a")
        whose = "--patient", "P:johnnie", "--department", "cardiology"
        run("hospital", "import", "--directory", made.root / "a", *whose, RECORD)
        made.await_publication("a")
        yield made
    finally:
        made.stop()


def press(page: Page, name: str) -> None:
    """Press a button by the keyboard alone."""
    button = page.get_by_role("button", name=name, exact=True)
    button.focus()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")


def restart(made: Federation, label: str) -> None:
    (made.root / label / "ready").unlink(missing_ok=True)
    made.serve("hospital", made.root / label)


def test_page_says_what_is_proved_what_one_side_has_what_is_older_and_that_a_log_was_put_back(
    browser: Browser, made: Federation, tmp_path: Path
) -> None:
    hospital, johnnie = made.root / "a", made.root / "johnnie"
    made.running[-1].stop()
    shutil.copytree(hospital, made.root / "a-before")
    restart(made, "a")
    written(hospital, "D:roe", "consent", "OK")
    with handset(browser, johnnie, tmp_path) as app:
        page = app.page
        app.go_to("Who read")
        app.tap("Ask who read")
        alone = page.locator(".reads li").filter(has_text="D:roe")
        expect(alone.locator("p.bad")).to_have_text("THE PUBLIC CLOUD KNOWS OF NO SEARCH FOR IT", timeout=PATIENCE_MS)
        checked = page.get_by_text("Checked on this device")
        checked.focus()
        page.keyboard.press("Enter")
        asked = r"cosigned by \d+, and the federation asks for 1\."
        proved = re.compile(rf"Proved in the log of H:a, head \d+(, |\. NOT WITNESSED: ){asked}")
        expect(page.get_by_text(proved)).to_be_visible()
        expect(page.get_by_text("Proved in the log of C:union")).to_be_visible()
        proof = alone.locator("summary")
        proof.focus()
        page.keyboard.press("Enter")
        expect(alone.get_by_text("Leaf of that log, below its head")).to_be_visible()
        app.look("reads-proved")
        no_sideways_scroll(page)
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save as FHIR AuditEvents").click()
        assert "log-proof" in json.dumps(json.loads(saved.value.path().read_bytes())["entry"][0])

        written(hospital, "D:" + "stranger" * 7, "none", "GRANT_MISSING", MORE_THAN_A_PAGE)
        press(page, "Ask again")
        older = page.get_by_role("button", name="Read older entries at H:a")
        expect(older).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_text("H:a has older entries than are shown.")).to_be_visible()
        no_sideways_scroll(page)
        shown = page.locator(".reads li").count()
        assert page.get_by_text("D:roe").count() == 0, "it stands on the page that was not read"
        press(page, "Read older entries at H:a")
        words = "THE PUBLIC CLOUD KNOWS OF NO SEARCH FOR IT"
        expect(alone.locator("p.bad")).to_have_text(words, timeout=PATIENCE_MS)
        expect(older).to_have_count(0)
        assert page.locator(".reads li").count() > shown
        expect(page.get_by_role("alert")).to_have_count(0)

        made.running[-1].stop()
        shutil.rmtree(hospital)
        shutil.copytree(made.root / "a-before", hospital)
        restart(made, "a")
        press(page, "Ask again")
        alert = page.get_by_role("alert").filter(has_text="H:a shows another log than before")
        expect(alert).to_be_visible(timeout=PATIENCE_MS)
        expect(alert).to_contain_text("Both states of that log are kept as evidence on this device.")
        expect(alert).to_contain_text("Keep this device as it is")
        app.look("reads-put-back")
        no_sideways_scroll(page)
    target = tmp_path / "evidence"
    run("patient", "evidence", "export", "--directory", johnnie, "--output", target)
    assert "log-fork" in target.read_text()
