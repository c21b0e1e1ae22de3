"""The patient's app against real servers, a doctor at a terminal: from a code to a diagnosis, and what stands after it."""

import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import segno
from PIL import Image
from playwright.sync_api import Browser, expect

from demo.stage import Running, federation, run
from federation.person.code import DoctorCode
from tests.browser.handset import handset
from tests.e2e.clinic import Clinic, clinic_of, time_of_day
from tests.waiting import until

CONCLUSION = "Sinus rhythm, no ischaemia."
AMENDED = "Atrial flutter, on a second look."
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


def put_in(trace: Path, name: str) -> int:
    """How many messages of this name the app sent or received."""
    return sum(json.loads(line)["name"] == name for line in trace.read_text().splitlines())


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
        until(lambda: "Your conclusion" in consult.said(), consult.said)
        os.write(here, f"{CONCLUSION}\n".encode())
        app.heading("Diagnosis of ")
        expect(page.locator(".conclusion")).to_have_text(CONCLUSION)
        app.look("diagnosis")
        until(lambda: "Amend it?" in consult.said(), consult.said)
        os.write(here, b"y\n")
        until(lambda: consult.said().count("Your conclusion") == 2, consult.said)
        os.write(here, f"{AMENDED}\n".encode())
        expect(page.locator(".conclusion").first).to_have_text(AMENDED)
        expect(page.get_by_role("alert")).to_contain_text("Dr. Lin Chen (D:house) amended the diagnosis.")
        expect(page.locator(".conclusion").nth(1)).to_have_text(CONCLUSION)
        app.look("amended")
        until(lambda: consult.said().count("Amend it?") > 1, consult.said)
        os.write(here, b"n\n")
        app.go_to("Consents")
        expect(page.locator("main")).to_contain_text(
            "Find and read your records at every hospital, of every department."
        )
        app.look("consents")
    consult.wait()
    assert "signed for the diagnosis" in consult.said() or "receipt" in consult.said()


def test_code_that_leads_nowhere_says_what_to_do(browser: Browser, clinic: Clinic, tmp_path: Path) -> None:
    consult, code = clinic.consult("codes", "--fetch", "none")
    with handset(browser, clinic.mary, tmp_path) as app:
        page, alert = app.page, app.page.get_by_role("alert")
        app.give("medunion://somewhere")
        expect(alert).to_contain_text("[CODE_INVALID]")
        expect(alert).to_contain_text("Photograph the code again")
        expect(page.get_by_label("Or type it")).to_have_value("medunion://somewhere")
        app.look("code-invalid")

        nothing = tmp_path / "nothing.png"
        Image.new("RGB", (300, 300), "white").save(nothing)
        large = tmp_path / "large.png"
        Image.new("1", (9000, 8000)).save(large)
        text = tmp_path / "text.jpg"
        text.write_bytes(b"no photo")
        other = photo_of("https://example.org/", tmp_path / "other.jpg")
        for file, reason in (
            (nothing, "PHOTO_WITHOUT_CODE"),
            (large, "PHOTO_UNUSABLE"),
            (text, "PHOTO_UNUSABLE"),
            (other, "CODE_INVALID"),
        ):
            page.get_by_label("Photograph the code").set_input_files(file)
            app.tap("See who that is")
            expect(alert).to_contain_text(f"[{reason}]")

        start, middle, end = code[:-20], code[-20], code[-19:]
        app.give(f"{start}{'A' if middle != 'A' else 'B'}{end}")
        expect(alert).to_contain_text("[CODE_INVALID]")
        app.give(str(replace(DoctorCode.parse(code), digest=bytes(32))))
        expect(alert).to_contain_text("[IDENTITY_MISMATCH]")
        expect(alert).to_contain_text("Don't go in.")

        app.give(f"  {code[:40]}\n{code[40:]} ")
        app.heading("Is this your doctor?")
        app.tap("This is not my doctor")
        app.heading("Visit a doctor")
        consult.stop()
        app.give(code)
        app.heading("Is this your doctor?")


def test_agreeing_twice_sends_once_and_giving_up_signs_nothing(
    browser: Browser, clinic: Clinic, keyboard: tuple[int, int], tmp_path: Path
) -> None:
    here, there = keyboard
    consult, code = clinic.consult("twice", "--until", time_of_day(2), "--fetch", "none", keyboard=there)
    first = Running(tmp_path / "first", "patient", "visit", "--directory", clinic.johnnie, code, "--yes")
    until(lambda: "P:johnnie is here" in consult.said(), consult.said)
    trace = tmp_path / "trace"
    with handset(browser, clinic.mary, tmp_path, "--trace", trace) as app:
        page = app.page
        app.give(code)
        page.get_by_role("button", name="Keep this visit, see no records").click()
        expect(page.locator("#say")).to_contain_text("may keep the record of a visit at H:b, in cardiology, until")
        assert put_in(trace, "P1") == 0, "before the patient agrees, nothing of it is sent"
        app.go_to("Consents")
        app.go_to("Visit")
        second = app.visitor.tab("/visit")
        expect(second.locator("#say")).to_be_visible()
        page.get_by_role("button", name="Agree and go in").dblclick()
        app.heading("Waiting for the doctor's answer")
        app.look("asking")
        expect(second.get_by_role("heading", level=1)).to_have_text("Waiting for the doctor's answer")
        second.close()
        page.go_back()
        page.reload()
        app.go_to("Visit")
        app.heading("Waiting for the doctor's answer")
        assert put_in(trace, "P1") == 1
        app.tap("Give up")
        expect(page.get_by_role("status")).to_contain_text("No consent was signed, and no record was sent.")
        app.heading("Is this your doctor?")
        assert "You gave no consent" in run("patient", "grants", "--directory", clinic.mary)

        page.get_by_role("button", name="Nothing: only see me").click()
        expect(page.locator("#say")).to_contain_text("Nothing beyond this visit")
        app.tap("Agree and go in")
        app.heading("Waiting for the doctor's answer")
        os.write(here, b"The first is well.\n")
        until(lambda: "Amend it?" in consult.said(), consult.said)
        os.write(here, b"n\n")
        expect(page.get_by_role("heading", name="You are with Dr. Lin Chen (D:house)")).to_be_visible()
        sent = put_in(trace, "P2")
        os.write(here, b"The second is well.\n")
        app.heading("Diagnosis of ")
        expect(page.locator(".conclusion")).to_have_text("The second is well.")
        page.go_back()
        page.reload()
        app.go_to("Visit")
        app.heading("Visit a doctor")
        assert put_in(trace, "P2") == sent
    assert "The first is well." in first.wait()
    consult.stop()
