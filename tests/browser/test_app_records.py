"""Own records in the app: found, fetched, hidden, added to, one hospital down; who read them, in an emergency too; the lock."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from demo.stage import Federation, Running, run
from federation.pages.entrance import OPEN_FILE
from tests.browser.browsing import DESK, Visitor, shoot, visiting
from tests.browser.handset import handset
from tests.e2e.clinic import RECORD, Clinic, clinic_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)


class OpenFederation(Federation):
    """Servers that let in emergencies of one doctor on duty."""

    def serve(self, kind: str, directory: Path) -> None:
        path = directory / "medunion.toml"
        text, times = re.subn(r"^#reasons = .*$", 'reasons = ["unconscious"]', path.read_text(), flags=re.MULTILINE)
        assert times == 1
        path.write_text(text)
        super().serve(kind, directory)


@dataclass
class Hospitals:
    """A clinic whose hospitals can be stopped."""

    clinic: Clinic
    servers: dict[str, Running]

    def start(self, label: str) -> None:
        made = self.clinic.federation
        (made.root / label / "ready").unlink(missing_ok=True)
        Federation.serve(made, "hospital", made.root / label)
        self.servers[label] = made.running[-1]


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    made = OpenFederation(tmp_path_factory.mktemp("federation"))
    try:
        made.found()
        servers = {}
        for label in ("a", "b"):
            made.add_hospital(label)
            servers[label] = made.running[-1]
        clinic = clinic_of(made, "--name", "Dr. Lin Chen")
        clinic.import_record()
        consult, code = clinic.consult("kept", "--conclusion", "Sinus rhythm.")
        clinic.visit(clinic.johnnie, code, "--read", "everywhere")
        consult.wait()
        made.await_publication("b")
        yield Hospitals(clinic, servers)
    finally:
        made.stop()


def test_records_are_one_chart_and_what_is_missing_is_named(
    browser: Browser, hospitals: Hospitals, tmp_path: Path
) -> None:
    clinic = hospitals.clinic
    with handset(browser, clinic.johnnie, tmp_path) as app:
        page = app.page
        app.go_to("Records")
        app.look("records-empty")
        app.tap("Find the records")
        expect(page.get_by_label("H:a/cardiology: 1")).to_be_checked()
        app.look("records-found")
        hospitals.servers["b"].stop()
        app.tap("Fetch what is ticked")
        alert = page.get_by_role("alert").filter(has_text="Records at H:b are missing.")
        expect(alert).to_be_visible()
        expect(page.locator(".chart").first).to_contain_text("Johnnie679")
        app.look("records-missing")
        hospitals.start("b")
        came_of_b = page.locator("#came + ul li").filter(has_text="H:b/cardiology, stored")
        again = page.get_by_role("button", name="Try again")

        def have_come() -> bool:
            """A connection that was just refused is opened again only after a pause: the person presses once more."""
            if again.count():
                again.click()
                expect(page.get_by_role("button", name="Stop; show what came")).to_have_count(0)
            return came_of_b.count() > 0

        until(have_come, "the records of H:b", seconds=90)
        expect(alert).to_have_count(0)
        app.look("records")
        page.locator("#came + ul a").first.click()
        app.heading("as it came")
        expect(page.locator("main")).to_contain_text("the signature held")
        app.look("as-it-came")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save it, byte for byte").click()
        assert saved.value.path().read_bytes() == RECORD.read_bytes()
        app.tap("Hide this record from doctors")
        expect(page.locator("main")).to_contain_text(re.compile("Record [0-9a-f]{32} at H:a"))
        page.get_by_role("button", name="Show again Record").click()
        expect(page.get_by_role("heading", name="Nothing is hidden")).to_be_visible()
        page.get_by_role("link", name="Back to the records").click()
        app.tap("Remove what was fetched from this device")
        expect(page.get_by_role("status")).to_contain_text("removed from this device")
        left = [path for path in (clinic.johnnie / "spool").rglob("*") if path.is_file()]
        assert not left, "what was fetched is gone from the disk"


def test_note_is_read_over_and_kept_and_records_are_hidden_and_shown_again(
    browser: Browser, hospitals: Hospitals, tmp_path: Path
) -> None:
    clinic = hospitals.clinic
    with handset(browser, clinic.johnnie, tmp_path) as app:
        page = app.page
        app.go_to("Records")
        app.tap("Find the records")
        page.get_by_role("link", name="Add a note or a document").click()
        page.get_by_label("What it is called").fill("My own words")
        page.get_by_label("A note").fill("I stopped the tablets.\n<script>alert(1)</script>")
        page.get_by_label("Which hospital keeps it").fill("alpha")
        with page.expect_response("**/records/add/keep"):
            page.get_by_label("Its address").press_sequentially("x")
        page.reload()
        expect(page.get_by_label("What it is called")).to_have_value("My own words")
        page.get_by_label("Its address").fill("")
        app.tap("Read it over")
        expect(page.get_by_role("alert")).to_contain_text("name the hospital as H:name")
        expect(page.get_by_label("A note")).to_have_value("I stopped the tablets.\n<script>alert(1)</script>")
        page.get_by_label("Which hospital keeps it").fill("H:a")
        app.look("add")
        app.tap("Read it over")
        app.heading("Send this?")
        expect(page.locator("pre")).to_have_text("I stopped the tablets.\n<script>alert(1)</script>")
        app.look("add-read-over")
        app.tap("Sign and send it")
        expect(page.get_by_role("status")).to_contain_text("H:a keeps it, and signed for it")

        page.get_by_role("link", name="Hide records").click()
        app.tap("Ask what is hidden")
        expect(page.get_by_role("heading", name="Nothing is hidden")).to_be_visible()
        page.get_by_label("Hospital As H:name").fill("H:a")
        app.look("hidden-form")
        app.tap("Hide it")
        expect(page.locator("main")).to_contain_text("All records at H:a.")
        app.look("hidden")
        assert "All records at H:a." in run("patient", "hidden", "--directory", clinic.johnnie)
        page.get_by_role("button", name="Show again All records at H:a.").click()
        expect(page.get_by_role("heading", name="Nothing is hidden")).to_be_visible()
    hidden = "patient", "hidden", "--directory", clinic.johnnie
    until(lambda: "So does every hospital" in run(*hidden), "hospitals show the records again")


def test_emergency_is_told_at_once_and_stands_first_among_who_read(
    browser: Browser, hospitals: Hospitals, tmp_path: Path
) -> None:
    clinic = hospitals.clinic
    run(
        *("doctor", "emergency", "read", "--directory", clinic.doctor, "--hospital", "H:b", "--address"),
        *(clinic.federation.addresses["b"], "--patient", "P:johnnie", "--reason", "unconscious"),
        *("--note", "Found on the street.", "--yes"),
    )
    with handset(browser, clinic.johnnie, tmp_path) as app:
        page = app.page
        expect(page.get_by_role("alert")).to_contain_text("In an emergency, without your consent, D:house asked")
        app.look("home-emergency")
        page.get_by_role("link", name="See who read").click()
        app.tap("Ask who read")
        expect(page.get_by_role("heading", name="In an emergency, without consent")).to_be_visible()
        first = page.locator(".reads li").first
        expect(first).to_contain_text("D:house")
        expect(first).to_contain_text("New")
        expect(page.locator("main")).to_contain_text("by your consent no. 1; done")
        expect(page.get_by_text("What you did yourself: ")).to_be_visible()
        app.look("reads")
        page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
        shoot(page, tmp_path / "reads-wide.png")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save as FHIR AuditEvents").click()
        assert json.loads(saved.value.path().read_bytes())["entry"]
        app.go_to("Visit")
        expect(page.get_by_role("alert")).to_have_count(0)
        hospitals.servers["a"].stop()
        app.go_to("Who read")
        app.tap("Ask again")
        expect(page.get_by_role("alert").filter(has_text="H:a did not answer")).to_be_visible()
        app.look("reads-missing")
        hospitals.start("a")


def test_lock_closes_the_client_and_a_stranger_does_not_open_it(
    browser: Browser, hospitals: Hospitals, tmp_path: Path
) -> None:
    johnnie, root = hospitals.clinic.johnnie, hospitals.clinic.federation.root
    person = root / "johnnie.person"
    own, stranger = person.read_bytes(), (root / "mary.person").read_bytes()
    with handset(browser, johnnie, tmp_path) as app:
        app.visitor.allow("403")
        app.tap("Lock this page")
        expect(app.page.get_by_text("The page is locked.")).to_be_visible()
        person.write_bytes(stranger)
        try:
            app.press_enter()
            until(lambda: "The reading does not match" in app.running.said(), app.running.said)
            assert not (johnnie / OPEN_FILE).exists(), "nobody is let in"
        finally:
            person.write_bytes(own)
        app.press_enter()
        until((johnnie / OPEN_FILE).exists, app.running.said)
        with visiting(browser, johnnie / OPEN_FILE) as again:
            assert isinstance(again, Visitor)
            expect(again.page.get_by_role("heading", level=1, name="Visit a doctor")).to_be_visible()
