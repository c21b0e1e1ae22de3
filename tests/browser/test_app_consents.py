"""What a patient consents to in the app, tap by tap: what is shown is what is signed, given for another, and taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from demo.stage import federation, run
from tests.browser.browsing import NARROW, press
from tests.browser.handset import handset
from tests.e2e.clinic import Clinic, clinic_of
from tests.waiting import until

CONCLUSION = "Sinus rhythm, no ischaemia."
ECG = Path(__file__).parents[1] / "data" / "waveform_ecg.dcm"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        clinic = clinic_of(made, "--name", "Dr. Lin Chen")
        clinic.import_record()
        yield clinic


def test_every_choice_changes_the_sentence_and_the_sentence_is_what_is_signed(
    browser: Browser, clinic: Clinic, tmp_path: Path
) -> None:
    consult, code = clinic.consult("choices", "--conclusion", CONCLUSION)
    with handset(browser, clinic.johnnie, tmp_path) as app:
        page = app.page
        say = page.locator("#say")
        app.give(code)
        page.get_by_role("button", name="See my records, and keep this visit").click()
        app.tap("read them")
        expect(say).to_contain_text(
            "may see at which hospitals your records of every department are, and read none, and"
        )
        app.tap("find where you have records")
        expect(say).to_contain_text("may keep the record of a visit at H:b, in cardiology, until")
        app.tap("keep the record of a visit")
        expect(say).to_have_text(
            "Nothing beyond this visit: no record of it is kept at the hospital, and none of yours is read."
        )
        app.tap("read them")
        expect(say).to_contain_text("may find and read your records at every hospital, of every department, until")
        page.get_by_role("button", name="treatment 90 days").click()
        expect(say).not_to_contain_text("tomorrow")
        page.get_by_text("More: for whom").click()
        app.tap("only H:b")
        expect(say).to_contain_text("your records at H:b, of every department")
        app.tap("only cardiology")
        expect(say).to_contain_text("of cardiology, until")
        page.get_by_role("button", name="restricted ones too").click()
        expect(say).to_contain_text("of cardiology, restricted ones too, until")
        page.get_by_role("button", name="every doctor on duty in cardiology at H:b").click()
        expect(say).to_contain_text("Every doctor on duty in cardiology at H:b may find and read")
        app.look("consent-more")
        page.get_by_label("Only hospitals of your choice").fill("H:a beta")
        app.tap("Show what that means")
        expect(page.get_by_role("alert")).to_contain_text("beta is no hospital")
        page.get_by_label("Only hospitals of your choice").fill("H:a, H:b")
        page.get_by_label("For another number of days").fill("3")
        app.tap("Show what that means")
        expect(say).to_contain_text("your records at H:a and H:b, of cardiology, restricted ones too, until")

        page.get_by_text("No biosignal: add an ECG").click()
        page.get_by_label("An ECG or another measurement").set_input_files(Path(__file__))
        app.tap("Show it")
        expect(page.get_by_role("alert")).to_contain_text("[FHIR_NOT_JSON]")
        page.get_by_text("No biosignal: add an ECG").click()
        page.get_by_label("An ECG or another measurement").set_input_files(ECG)
        app.tap("Show it")
        expect(page.get_by_role("img", name="The ECG as it goes to the doctor")).to_be_visible()
        expect(page.locator("main")).to_contain_text("It goes out as P:johnnie's, without that name.")
        app.look("consent-ecg")
        shown = say.inner_text()
        app.tap("Agree and go in")
        app.heading("Diagnosis of ")
    consult.wait()
    assert "12 leads" in consult.said() or "leads" in consult.said(), consult.said()
    signed = run("patient", "grants", "--directory", clinic.johnnie)
    assert "every doctor on duty in cardiology at H:b" in signed
    assert "Find and read your records at H:a and H:b, of cardiology, restricted ones too." in signed
    assert "Keep the record" not in signed
    until_day = shown.partition(", until ")[2].partition(".")[0]
    assert f"until {until_day}" in signed, "the moment that was read is the moment that was signed"


def test_consent_is_taken_back_in_two_steps_and_everything_in_two(
    browser: Browser, clinic: Clinic, tmp_path: Path
) -> None:
    consult, code = clinic.consult("taken", "--conclusion", CONCLUSION, "--fetch", "none")
    clinic.visit(clinic.mary, code)
    consult.wait()
    with handset(browser, clinic.mary, tmp_path) as app:
        page = app.page
        app.go_to("Consents")
        page.get_by_role("link", name="Take back consent no. 1").click()
        app.heading("Take consent no. 1 back?")
        app.look("take-back")
        assert "TAKEN BACK" not in run("patient", "grants", "--directory", clinic.mary)
        app.tap("Take it back")
        app.heading("Your consents")
        expect(page.get_by_role("status")).to_contain_text("is taken back.")
        expect(page.get_by_role("status")).to_contain_text("within the hour at the latest")
        expect(page.locator("main")).to_contain_text("No consent of yours stands")
        app.look("taken-back")
        assert "TAKEN BACK" in run("patient", "grants", "--directory", clinic.mary)
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save as FHIR Consents").click()
        assert '"resourceType":"Consent"' in saved.value.path().read_text()
        page.get_by_role("link", name="Take everything back").click()
        app.heading("Take everything back?")
        app.look("take-all-back")
        app.tap("Take everything back")
        expect(page.get_by_role("status")).to_contain_text("in the name of P:mary until now is taken back")


def test_deputy_is_made_in_one_app_and_goes_in_for_the_patient_in_another(
    browser: Browser, clinic: Clinic, tmp_path: Path
) -> None:
    file = tmp_path / "mandate"
    with handset(browser, clinic.johnnie, tmp_path) as app:
        page = app.page
        app.go_to("Consents")
        page.get_by_role("link", name="Make somebody your deputy").click()
        page.get_by_role("textbox", name="Who").fill("P:mary")
        page.get_by_label("For how many days").fill("30")
        app.tap("Read it over")
        expect(page.get_by_role("alert")).to_contain_text("say what the deputy may do")
        expect(page.get_by_role("textbox", name="Who")).to_have_value("P:mary")
        page.get_by_label("find and read the records").check()
        page.get_by_label("consent in the patient's name").check()
        page.get_by_label("see who looked at the records").check()
        page.get_by_label("For how many days").fill("30")
        app.look("mandate-form")
        app.tap("Read it over")
        app.heading("Sign this?")
        app.look("mandate-read-over")
        app.tap("Sign it")
        app.heading("Mandate no. 1")
        app.look("mandate-given")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save the file for P:mary").click()
        file.write_bytes(saved.value.path().read_bytes())
    consult, code = clinic.consult("deputy", "--conclusion", CONCLUSION, "--fetch", "none")
    with handset(browser, clinic.mary, tmp_path) as app:
        page = app.page
        app.go_to("Consents")
        for handed, reason in ((Path(__file__), "[MALFORMED_MESSAGE]"), (file, "You stand for P:johnnie until")):
            page.get_by_text("Become somebody's deputy").click()
            page.get_by_label("The file that you were given").set_input_files(handed)
            app.tap("Check and keep it")
            expect(page.locator("main")).to_contain_text(reason)
        app.look("deputy-held")
        app.give(code)
        page.get_by_role("button", name="Nothing: only see me").click()
        page.get_by_text("More: for whom").click()
        app.tap("P:johnnie")
        expect(page.get_by_role("alert")).to_contain_text("with none you can't go in")
        app.look("consent-problem")
        app.tap("read them")
        expect(page.locator("#say")).to_contain_text("may find and read P:johnnie's records at every hospital")
        app.tap("Agree and go in")
        app.heading("Diagnosis of ")
        app.go_to("Records")
        page.get_by_label("Whose").select_option("P:johnnie")
        app.tap("Find the records")
        app.heading("Records of P:johnnie")
        app.tap("Fetch what is ticked")
        expect(page.locator(".chart").first).to_contain_text("Johnnie679")
    assert "P:mary is here for P:johnnie, by its mandate" in consult.wait()
    with handset(browser, clinic.johnnie, tmp_path) as app:
        app.go_to("Consents")
        app.page.get_by_role("link", name="The deputy's file, or end it of mandate no. 1").click()
        app.tap("End this mandate")
        expect(app.page.get_by_role("status")).to_contain_text("P:mary is no longer your deputy by no. 1.")
    assert "P:johnnie  mandate  TAKEN BACK" in run("patient", "mandate", "held", "--directory", clinic.mary)


def test_keyboard_alone_goes_from_a_code_to_a_diagnosis_on_a_narrow_screen(
    browser: Browser, clinic: Clinic, tmp_path: Path
) -> None:
    consult, code = clinic.consult("keys", "--conclusion", CONCLUSION, "--fetch", "none")
    with handset(browser, clinic.mary, tmp_path, size=NARROW) as app:
        page = app.page
        press(page, page.get_by_label("Or type it"), "End")
        page.keyboard.type(code)
        press(page, page.get_by_role("button", name="See who that is"))
        app.heading("Is this your doctor?")
        press(page, page.get_by_role("button", name="Keep this visit, see no records"))
        app.heading("What you agree to")
        press(page, page.get_by_role("button", name="this visit 2 hours"))
        expect(page.get_by_role("button", name="this visit 2 hours")).to_have_attribute("aria-pressed", "true")
        press(page, page.get_by_role("button", name="Agree and go in"))
        app.heading("Diagnosis of ")
        press(page, page.get_by_role("link", name="Diagnoses", exact=True))
        app.heading("Your diagnoses")
        app.look("diagnoses")
        with page.expect_download() as saved:
            press(page, page.get_by_role("link", name="Save it as one file"))
        assert saved.value.suggested_filename == "evidence.json"
    consult.wait()


def test_app_without_a_script_goes_all_the_way(browser: Browser, clinic: Clinic, tmp_path: Path) -> None:
    consult, code = clinic.consult("plain", "--conclusion", CONCLUSION, "--fetch", "none")
    with handset(browser, clinic.johnnie, tmp_path, java_script_enabled=False) as app:
        page = app.page
        app.give(code)
        page.get_by_role("button", name="Keep this visit, see no records").click()
        app.tap("find where you have records")
        expect(page.locator("#say")).to_contain_text("may see at which hospitals your records")
        app.tap("Agree and go in")

        def has_come() -> bool:
            page.goto(app.visitor.origin)
            return page.locator(".conclusion").count() > 0

        until(has_come, "the diagnosis")
        expect(page.locator(".conclusion")).to_have_text(CONCLUSION)
    consult.wait()
