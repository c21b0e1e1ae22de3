"""The patient's app against real servers, a doctor at a terminal: from a code to a diagnosis, and what stands after it."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import segno
from PIL import Image
from playwright.sync_api import Browser, expect

from demo.stage import federation
from tests.browser.handset import Handset, handset
from tests.e2e.clinic import Clinic, clinic_of
from tests.waiting import until

CONCLUSION = "Sinus rhythm, no ischaemia."
ECG = Path(__file__).parents[1] / "data" / "waveform_ecg.dcm"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        clinic = clinic_of(made, "--name", "Dr. Lin Chen", "--profession", "Cardiologist")
        clinic.import_record()
        yield clinic


@pytest.fixture
def keyboard() -> Iterator[tuple[int, int]]:
    """A doctor's terminal: where is typed, and where it is read."""
    here, there = os.openpty()
    yield here, there
    os.close(here)


def photo_of(code: str, path: Path) -> Path:
    """Photograph a code: a little askew, on a table."""
    drawn = io.BytesIO()
    segno.make(code, error="l", micro=False).save(drawn, kind="png", scale=6, border=4)
    turned = Image.open(drawn).convert("L").rotate(7, expand=True, fillcolor=200)
    table = Image.new("L", (1200, 900), 180)
    table.paste(turned, (150, 60))
    table.save(path, quality=70)
    return path


def test_from_a_photo_to_a_diagnosis_in_three_taps(
    browser: Browser, clinic: Clinic, keyboard: tuple[int, int], tmp_path: Path
) -> None:
    here, there = keyboard
    consult, code = clinic.consult("three", "--fetch", "none", keyboard=there)
    with handset(browser, clinic.johnnie, tmp_path) as app:
        page = app.page
        app.heading("Visit a doctor")
        app.look("home")
        page.get_by_label("Photograph the code").set_input_files(photo_of(code, tmp_path / "code.jpg"))
        app.tap("See who that is")
        app.heading("Is this your doctor?")
        for words in ("Dr. Lin Chen (D:house)", "Cardiologist", "M:board", "H:b", "cardiology, until"):
            expect(page.locator("main")).to_contain_text(words)
        app.look("doctor")
        assert "is here" not in consult.said(), "nothing of the patient's goes out before it has seen who that is"
        page.get_by_role("button", name="See my records, and keep this visit").click()
        app.heading("What you agree to")
        said = page.locator("#say").inner_text()
        assert re.fullmatch(
            r"Dr\. Lin Chen \(D:house\) may find and read your records at every hospital, of every department, "
            r"and keep the record of a visit there, until (today|tomorrow) \d\d:\d\d\. You can take this back at any time\.",
            said,
        ), said
        app.look("consent")
        app.tap("Agree and go in")
        expect(page.get_by_role("heading", name="You are with Dr. Lin Chen (D:house)")).to_be_visible()
        app.look("waiting")
        until(lambda: "P:johnnie is here" in consult.said(), consult.said)
        until(lambda: "onclusion" in consult.said(), consult.said)
        os.write(here, f"{CONCLUSION}\n".encode())
        app.heading("Diagnosis of ")
        expect(page.locator(".conclusion")).to_have_text(CONCLUSION)
        app.look("diagnosis")
        app.go_to("Consents")
        expect(page.locator("main")).to_contain_text("Find and read your records at every hospital, of every department.")
        app.look("consents")
    consult.wait()
    assert "signed for the diagnosis" in consult.said() or "receipt" in consult.said()
