"""A whole visit in two browsers, the desk's and the app's: nothing is typed in a terminal but the doctor's PIN."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from demo.stage import Federation, federation
from tests.browser.browsing import DESK, Visitor, visiting
from tests.browser.handset import Handset, handset
from tests.browser.terminal import Terminal
from tests.e2e.clinic import RECORD, Clinic, clinic_of

CONCLUSION = "Sinus rhythm.\nControl in six months."
ECG = RECORD.with_name("waveform_ecg.dcm")
PIN_FILE = "pin_file"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        clinic = clinic_of(made, "--name", "Dr. Lin Chen", "--profession", "Cardiologist")
        clinic.import_record()
        made.put_on_duty(clinic.doctor, "b")
        yield clinic


def forget_pin(directory: Path) -> str:
    """Leave the PIN in the doctor's head alone, and give it."""
    settings = directory / "medunion.toml"
    lines = settings.read_text().splitlines(keepends=True)
    (named,) = (line for line in lines if line.startswith(PIN_FILE))
    settings.write_text("".join(line for line in lines if line != named))
    file = Path(named.partition("=")[2].strip().strip('"'))
    pin = file.read_text()
    file.unlink()
    return pin


@pytest.fixture
def desk(clinic: Clinic, browser: Browser) -> Iterator[Visitor]:
    made: Federation = clinic.federation
    pin = forget_pin(clinic.doctor)
    where = "--hospital", "H:b", "--address", made.addresses["b"], "--department", "cardiology"
    command = "from federation.cli.main import main; main()"
    words = "doctor", "desk", "--directory", clinic.doctor, *where
    terminal = Terminal(clinic.doctor, [sys.executable, "-c", command, *words])
    try:
        terminal.shows("PIN")
        terminal.type(pin)
        terminal.shows("Enter opens the page again")
        with visiting(browser, terminal.file, DESK) as visitor:
            yield visitor
        assert pin not in terminal.said()
    finally:
        terminal.end()


def press(visitor: Visitor, name: str) -> None:
    visitor.page.get_by_role("button", name=name).click()


def go_in(desk: Visitor, app: Handset) -> None:
    """Bring the patient in by the code on the doctor's screen, with an ECG and all consents."""
    app.give(desk.page.locator("#code-text").inner_text())
    app.heading("Is this your doctor?")
    expect(app.page.get_by_role("heading", name="Dr. Lin Chen (D:house)")).to_be_visible()
    expect(app.page.locator("main")).to_contain_text("Cardiologist")
    expect(desk.page.locator("main")).to_contain_text("Nobody is asking just now.")
    app.page.get_by_role("button", name="See my records, and keep this visit").click()
    app.page.get_by_text("add an ECG").click()
    app.page.set_input_files("#file", ECG)
    app.tap("Show it")
    expect(app.page.get_by_text("ECG, 12 leads, 10 s")).to_be_visible()
    app.tap("Agree and go in")


def test_a_visit_and_what_stands_after_it(desk: Visitor, clinic: Clinic, browser: Browser, tmp_path: Path) -> None:
    doctor = desk.page
    with handset(browser, clinic.johnnie, tmp_path) as app:
        press(desk, "Open a room")
        go_in(desk, app)
        expect(doctor.locator(".consent")).to_contain_text("Find and read the patient's records at every hospital")
        press(desk, "Find the records")
        press(desk, "Fetch all")
        expect(doctor.get_by_role("heading", name="Problems")).to_be_visible()
        expect(doctor.get_by_text("Allergies: not stated, ask")).to_be_visible()
        doctor.fill("#conclusion", CONCLUSION)
        press(desk, "Read over")
        press(desk, "Sign and send")
        expect(doctor.get_by_text("keeps this encounter as record")).to_be_visible()
        expect(doctor.get_by_text("The patient signed for the diagnosis at")).to_be_visible()

        app.heading("Diagnosis of")
        expect(app.page.locator(".conclusion")).to_have_text(CONCLUSION, use_inner_text=True)
        app.go_to("Who read")
        app.page.get_by_role("button", name="Ask who read").click()
        expect(app.page.locator("main")).to_contain_text("D:house")
        app.go_to("Consents")
        expect(app.page.locator("main")).to_contain_text("D:house")
        app.page.get_by_role("link", name="Take").first.click()
        app.page.get_by_role("button", name="Take it back").click()
        expect(app.page.get_by_role("status").first).to_contain_text("taken back")

        press(desk, "Next patient, same code")
        app.give(doctor.locator("#code-text").inner_text())
        app.page.get_by_role("button", name="Nothing: only see me").click()
        app.tap("Agree and go in")
        expect(doctor.get_by_text("Consent: none beyond this visit")).to_be_visible()
        expect(doctor.get_by_text("Without consent to look for records, none is looked for.")).to_be_visible()
        press(desk, "End the visit without a diagnosis")
