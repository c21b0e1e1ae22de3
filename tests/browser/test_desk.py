"""The doctor's desk in a real browser, against real servers; the patients type."""

import hashlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

from demo.stage import run
from federation.pages.entrance import OPEN_FILE
from federation.party.node_directory import NodeDirectory
from federation.person.profile import DoctorSettings
from tests.browser.browsing import axe, no_sideways_scroll, press
from tests.browser.desk_clinic import CONSENT, ECG, RECORD, AtTheDesk, DeskClinic, clinic_at
from tests.e2e.clinic import PreparedFederation
from tests.waiting import until

CONCLUSION = "Paroxysmal atrial fibrillation is likely;\nHolter for 7 days."

SIZE_IS_KNOWN = """() => new Promise((known) => {
  const bar = document.getElementById("progress-bar");
  const look = () => bar.max > 1e8 ? known() : requestAnimationFrame(look);
  look();
})"""

EMERGENCIES = {"reasons": '["unconscious"]', "duty_classes": '["cardiology"]', "second_clinician": "true"}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskClinic]:
    root = tmp_path_factory.mktemp("desk")
    made = PreparedFederation(root, EMERGENCIES)
    try:
        made.found()
        made.add_hospital("a")
        made.add_hospital("b")
        with ThreadPoolExecutor(4) as people:
            clinic = clinic_at(made, root / "shots", people)
            clinic.import_for(clinic.johnnie, "a", RECORD)
            yield clinic
    finally:
        made.stop()


def posts(page: Page, form: str, times: int) -> list[int]:
    """Send a form of a page so many times at once, as no script of ours would; give the statuses, redirects followed."""
    statuses: list[int] = page.evaluate(
        """([form, times]) => {
            const sent = document.getElementById(form);
            const body = () => new URLSearchParams(new FormData(sent));
            const posts = Array.from({length: times}, () => fetch(sent.action, {method: "POST", body: body()}));
            return Promise.all(posts).then((answers) => answers.map((answer) => answer.status));
        }""",
        [form, times],
    )
    return statuses


def deaf(desk: AtTheDesk) -> Page:
    """Open a tab that does not hear when the state moves on."""
    page = desk.visitor.context.new_page()
    page.route("**/events*", lambda route: route.abort())
    page.goto(desk.visitor.origin)
    return page


def signed(desk: AtTheDesk, conclusion: str = CONCLUSION) -> None:
    """Write a conclusion, read it over, sign it."""
    desk.page.fill("#conclusion", conclusion)
    desk.press("Read over")
    desk.sees("Read over what you are about to sign")
    desk.press("Sign and send")
    desk.sees("Signed and sent to the patient")


def test_whole_visit_from_the_code_to_the_receipt(clinic: DeskClinic, browser: Browser) -> None:
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        page = desk.page
        desk.sees("Your desk")
        desk.looked_at("01-idle")
        code = desk.open_room()
        desk.looked_at("02-room")
        told = desk.receive(clinic.johnnie, "--ecg", ECG, *CONSENT, code=code)
        expect(page.locator(".consent")).to_contain_text("Find and read the patient's records at every hospital")
        expect(page.locator(".ecg svg")).to_be_visible()
        expect(page.locator(".ecg .facts")).to_contain_text("2013-01-25")
        desk.looked_at("03-present")
        desk.press("Find the records")
        expect(page.get_by_role("cell", name="H:a/cardiology", exact=True)).to_be_visible()
        desk.looked_at("04-found")
        page.fill("#conclusion", CONCLUSION)
        desk.press("Fetch all")
        expect(page.get_by_role("heading", name="Problems")).to_be_visible()
        expect(page.locator("#conclusion")).to_have_value(CONCLUSION)
        desk.looked_at("05-chart")

        with page.context.expect_page() as opening:
            page.get_by_role("link", name="synthea-johnnie679.json").click()
        record = opening.value
        expect(record.locator("#entry-0")).to_contain_text('"resourceType": "Patient"')
        with record.expect_download() as saving:
            record.get_by_role("link", name="Save it, byte for byte").click()
        kept = Path(saving.value.path()).read_bytes()
        expect(record.get_by_text(hashlib.sha256(kept).hexdigest())).to_be_visible()
        assert json.loads(kept) == json.loads(RECORD.read_bytes())
        assert saving.value.suggested_filename.startswith("a-")
        record.close()

        page.fill("#codes", "I48.0")
        desk.press("Read over")
        expect(page.get_by_role("alert")).to_contain_text("That can't be signed: line 1 of the codes")
        expect(page.locator("#conclusion")).to_have_value(CONCLUSION)
        page.fill("#codes", "I48.0 Paroxysmal atrial fibrillation")
        desk.press("Read over")
        desk.sees("Read over what you are about to sign")
        expect(page.locator(".conclusion")).to_have_text(CONCLUSION)
        digest = page.locator(".digest").inner_text().replace(" ", "").strip()
        assert digest in desk.program.said().replace(" ", "")
        desk.looked_at("06-read-over")
        desk.press("Sign and send")
        desk.sees("Signed and sent to the patient")
        desk.wait_until_kept()
        desk.looked_at("07-signed")
        said = told.result()
        assert "Paroxysmal atrial fibrillation is likely" in said
        assert "I48.0" in said
        kinds = desk.evidence()
        assert {"P2", "H2", "D5", "P6", "STOACK"} <= set(kinds)

        desk.press("Amend it")
        expect(page.locator("#conclusion")).to_have_value(CONCLUSION)
        page.fill("#conclusion", "Paroxysmal atrial fibrillation, seen in lead II.")
        desk.looked_at("08-amend")
        desk.press("Read over")
        expect(page.get_by_text("Takes the place of")).to_be_visible()
        desk.press("Sign and send")
        desk.sees("Amended, signed and sent to the patient")
        expect(page.get_by_text("keeps this encounter as record")).to_be_visible()
        shown = run("patient", "diagnoses", "--directory", clinic.johnnie)
        assert "seen in lead II" in shown
        expect(page.get_by_text("The patient signed for the diagnosis at")).to_be_visible()
        desk.looked_at("09-amended")
        assert desk.evidence().count("D5") == kinds.count("D5") + 1

        desk.press("Next patient, same code")
        desk.sees("Waiting for a patient")
        assert page.locator("#code-text").inner_text() == code
        desk.press("Close the room")
        desk.sees("Your desk")


def test_diagnosis_is_signed_once_however_it_is_clicked(clinic: DeskClinic, browser: Browser) -> None:
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        page, visitor = desk.page, desk.visitor
        visitor.allow("409")
        before = desk.evidence().count("D5")
        told = desk.receive(clinic.mary, "--no-keep")
        expect(page.locator(".consent")).to_contain_text("Consent: none beyond this visit")
        expect(page.get_by_text("Without consent to look for records, none is looked for.")).to_be_visible()
        page.fill("#conclusion", "Nothing amiss.")
        other = visitor.tab()
        desk.sees("is here", other)
        desk.press("Read over")
        desk.sees("Read over what you are about to sign")
        desk.sees("Read over what you are about to sign", other)  # the other tab goes along
        expect(page.get_by_text("Without consent to keep this encounter, it is not deposited.")).to_be_visible()

        # A tab that was overtaken: the report is made anew under its page.
        old_digest = other.locator("input[name=digest]").input_value()
        visitor.allow("net::ERR_FAILED")
        stale = deaf(desk)
        desk.sees("Read over what you are about to sign", stale)
        desk.press("Back to writing")
        desk.sees("is here")
        page.fill("#conclusion", "Nothing amiss at all.")
        desk.press("Read over")
        desk.sees("Read over what you are about to sign")
        desk.press("Sign and send", stale)
        expect(stale.get_by_text("MOVED_ON")).to_be_visible()
        assert page.locator("input[name=digest]").input_value() != old_digest
        stale.goto(visitor.origin)
        desk.sees("Read over what you are about to sign", stale)
        assert set(posts(stale, "sign", 5)) == {200}
        stale.goto(f"{visitor.origin}/visit")
        desk.sees("Signed and sent to the patient", stale)
        stale.go_back()
        desk.sees("Signed and sent to the patient", stale)
        stale.close()
        desk.sees("Signed and sent to the patient")
        desk.sees("Signed and sent to the patient", other)
        expect(page.get_by_text("The patient signed for the diagnosis at")).to_be_visible()
        expect(page.get_by_text("Without consent to keep this encounter, it is not deposited.")).to_be_visible()
        assert "Nothing amiss at all." in told.result()
        assert desk.evidence().count("D5") == before + 1


def test_hospital_that_is_down_is_named_and_tried_again(clinic: DeskClinic, browser: Browser, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.json"
    words = "<script>document.title='run'</script><img src=x onerror=alert(1)> \u202eevil\u202c " + "long " * 4000
    condition = {"resourceType": "Condition", "code": {"text": words}, "subject": {"display": words}}
    hostile.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": condition}]}))
    attached = tmp_path / "hostile.html"
    attached.write_text("<script>document.title='run'</script>")
    clinic.import_for(clinic.johnnie, "b", hostile, "cardiology", attached)
    clinic.stop_hospital("a")
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        page = desk.page
        told = desk.receive(clinic.johnnie, *CONSENT)
        desk.press("Find the records")
        page.get_by_role("checkbox", name="Fetch from H:a/cardiology").uncheck()
        desk.press("Fetch what is ticked")
        expect(page.locator(".came")).to_contain_text("H:b/cardiology")
        expect(page.get_by_text("1 of them not fetched")).to_be_visible()
        desk.looked_at("11-hostile")
        with page.context.expect_page() as opening:
            page.get_by_role("link", name="hostile.json").click()
        record = opening.value
        expect(record.locator("#entry-0")).to_contain_text("<script>")
        assert "\u202e" not in record.content()
        assert "run" not in {page.title(), record.title()}
        axe(record)
        no_sideways_scroll(record)
        record.close()
        with page.context.expect_page() as opening:
            page.get_by_role("link", name="hostile.html").click()
        record = opening.value
        expect(record.get_by_text("A file of this kind is saved, and not opened here.")).to_be_visible()
        saved = record.get_by_role("link", name="Save it, byte for byte").get_attribute("href")
        headers = record.evaluate("it => fetch(it).then((answer) => [...answer.headers])", saved)
        record.close()
        assert ["content-type", "application/octet-stream"] in headers
        assert ["x-content-type-options", "nosniff"] in headers
        assert any(value.startswith('attachment; filename="b-') for _, value in headers)

        desk.press("Fetch the rest")
        missing = page.get_by_role("alert").filter(has_text="Records at H:a are missing.")
        expect(missing).to_be_visible()
        page.fill("#conclusion", "Wait for H:a.")
        desk.press("Save the draft")
        expect(page.get_by_text("The draft is kept on this computer, sealed.")).to_be_visible()
        desk.looked_at("12-missing")
        clinic.start_hospital("a")
        desk.visitor.allow("409")

        def has_come() -> bool:
            """Try again until a connection that broke is made anew. The page may go on by itself meanwhile."""
            with suppress(PlaywrightError):
                page.goto(desk.visitor.origin)
                page.get_by_role("button", name="Try again").click(timeout=1000)
            return page.locator(".chart-banner .name").filter(has_text="Johnnie679").is_visible()

        until(has_come, "H:a did not answer again")
        expect(missing).to_be_hidden()
        expect(page.locator("#conclusion")).to_have_value("Wait for H:a.")
        signed(desk, "It came.")
        desk.wait_until_kept()
        assert "It came." in told.result()


def test_fetch_that_is_stopped_keeps_what_came_and_goes_on_later(
    clinic: DeskClinic, browser: Browser, tmp_path: Path
) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(1 << 20) * 160)
    clinic.import_for(clinic.mary, "a", RECORD, "cardiology", large)
    with clinic.at_the_desk(browser) as desk:
        page = desk.page
        desk.receive(clinic.mary, "--no-wait", *CONSENT).result()
        desk.press("Find the records")
        desk.press("Fetch all")
        server = clinic.server_of("a").process
        desk.sees("Fetching records")
        # As soon as the hospital has said how much it is: a fast one would have sent it all a moment later.
        page.evaluate(SIZE_IS_KNOWN)
        server.send_signal(signal.SIGSTOP)
        try:
            expect(page.locator("#progress-words")).to_contain_text("Fetching from H:a")
            desk.looked_at("13-fetching")
            with page.expect_request("**/fetching/stop"):
                page.get_by_role("button", name="Stop; show what came").dispatch_event("click")
        finally:
            server.send_signal(signal.SIGCONT)
        expect(page.get_by_text("You stopped it before they came.")).to_be_visible()
        expect(page.locator(".came")).to_have_count(0)
        desk.press("Try again")
        expect(page.locator(".came")).to_contain_text("large.bin")
        expect(page.get_by_text("You stopped it before they came.")).to_be_hidden()
        desk.press("End the visit without a diagnosis")
        desk.sees("Waiting for a patient")
        assert not [path for path in (clinic.doctor / "spool").rglob("*") if path.is_file()]


def test_desk_that_was_killed_offers_the_draft_and_sends_what_waits(clinic: DeskClinic, browser: Browser) -> None:
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        told = desk.receive(clinic.mary, "--no-wait")
        before = set((clinic.doctor / "drafts").glob("*.sealed"))
        desk.page.fill("#conclusion", "Half a thou")
        until(lambda: set((clinic.doctor / "drafts").glob("*.sealed")) - before, "what was typed was not kept")
        desk.program.process.kill()
        desk.program.process.wait()
        expect(desk.page.locator("#gone")).to_be_visible()
        desk.visitor.allow("ERR_", "net::")
        told.result()
    assert b"Half a thou" not in next((clinic.doctor / "drafts").glob("*.sealed")).read_bytes()
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        page = desk.page
        expect(page.get_by_role("heading", name="You had begun to write")).to_be_visible()
        desk.looked_at("21-begun")
        told = desk.receive(clinic.mary)
        expect(page.get_by_text("Half a thou")).to_be_visible()
        desk.looked_at("22-offered")
        desk.press("Go on with that")
        expect(page.locator("#conclusion")).to_have_value("Half a thou")
        page.fill("#conclusion", "A whole thought.")
        desk.press("Read over")
        desk.sees("Read over what you are about to sign")
        desk.press("Sign and send")
        desk.sees("Signed and sent to the patient")
        assert set((clinic.doctor / "drafts").glob("*.sealed")) == before
        desk.wait_until_kept()
        told.result()


def test_visit_by_the_keyboard_alone(clinic: DeskClinic, browser: Browser) -> None:
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        page = desk.page
        press(page, page.get_by_role("button", name="Open a room"))
        desk.sees("Waiting for a patient")
        told = clinic.comes(clinic.johnnie, page.locator("#code-text").inner_text(), *CONSENT)
        desk.sees("is here")
        press(page, page.get_by_role("button", name="Find the records"))
        press(page, page.get_by_role("button", name="Fetch all"))
        expect(page.locator(".came")).to_be_visible()
        press(page, page.locator("#conclusion"), "End")
        page.keyboard.type("Typed, not clicked.")
        press(page, page.get_by_role("button", name="Read over"))
        desk.sees("Read over what you are about to sign")
        press(page, page.get_by_role("button", name="Sign and send"))
        desk.sees("Signed and sent to the patient")
        assert "Typed, not clicked." in told.result()


def test_deputy_comes_for_the_patient(clinic: DeskClinic, browser: Browser, tmp_path: Path) -> None:
    mandate = tmp_path / "mandate"
    run(
        *("patient", "mandate", "give", "--directory", clinic.johnnie, "P:mary", "--power", "read"),
        *("--power", "grant", "--days", "30", "--output", mandate, "--yes"),
    )
    run("patient", "mandate", "accept", "--directory", clinic.mary, mandate)
    with clinic.at_the_desk(browser) as desk:
        told = desk.receive(clinic.mary, "--as", "P:johnnie", *CONSENT)
        expect(desk.page.locator(".who-is-here")).to_contain_text("P:mary is here for P:johnnie, by its mandate, until")
        desk.looked_at("31-deputy")
        desk.page.fill("#conclusion", "Not now.")
        desk.press("End the visit without a diagnosis")
        desk.sees("Waiting for a patient")
        expect(desk.page.get_by_text("The visit of P:johnnie ended without a diagnosis.")).to_be_visible()
        told.cancel()


def test_encounter_that_was_not_kept_is_sent_by_the_next_desk(clinic: DeskClinic, browser: Browser) -> None:
    blobs = clinic.federation.root / "b" / "blobs"
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        told = desk.receive(clinic.mary)
        blobs.rename(blobs.with_name("away"))
        blobs.touch()  # the hospital's store takes nothing
        signed(desk)
        expect(desk.page.get_by_text("The diagnosis is sent. The encounter is not kept.")).to_be_visible()
        expect(desk.page.get_by_text("It waits on this computer, sealed")).to_be_visible()
        told.result()
        expect(desk.page.get_by_text("The patient signed for the diagnosis at")).to_be_visible()
        desk.looked_at("14-not-kept")
    blobs.unlink()
    blobs.with_name("away").rename(blobs)
    with clinic.at_the_desk(browser) as desk:
        expect(desk.page.get_by_text("H:b keeps the encounter of P:mary as record")).to_be_visible()
        expect(desk.page.get_by_text("Encounters that wait for their hospital")).to_be_hidden()


def test_locked_desk_is_logged_out_and_keeps_the_visit(clinic: DeskClinic, browser: Browser) -> None:
    pin_file = NodeDirectory(clinic.doctor).settings(DoctorSettings).token.pin_file
    assert isinstance(pin_file, Path)
    right, open_file = pin_file.read_bytes(), clinic.doctor / OPEN_FILE
    keyboard, typed = os.pipe()
    with clinic.at_the_desk(browser, "--department", "cardiology", keyboard=keyboard) as desk:
        page = desk.page
        desk.visitor.allow("403")
        told = desk.receive(clinic.mary)
        page.fill("#conclusion", "Written before the lock.")
        desk.press("Save the draft")
        expect(page.get_by_text("The draft is kept on this computer, sealed.")).to_be_visible()
        desk.press("Lock this page")
        expect(page.locator("code")).to_have_text("LOCKED")

        pin_file.write_bytes(b"not the PIN\n")
        os.write(typed, b"\n")
        until(lambda: "The PIN is wrong." in desk.program.said(), desk.program.said)
        page.reload()
        expect(page.locator("code")).to_have_text("LOCKED")
        assert not open_file.exists()

        pin_file.write_bytes(right)
        os.write(typed, b"\n")
        until(open_file.exists, desk.program.said)
        page.goto(open_file.as_uri())
        desk.sees("is here")
        expect(page.locator("#conclusion")).to_have_value("Written before the lock.")
        signed(desk, "Written after the lock.")
        desk.wait_until_kept()
        assert "Written after the lock." in told.result()
    os.close(typed)
    os.close(keyboard)


def test_room_that_is_gone_is_told(clinic: DeskClinic, browser: Browser) -> None:
    with clinic.at_the_desk(browser) as desk:
        desk.open_room()
        clinic.stop_hospital("b")
        with closing(sqlite3.connect(clinic.federation.root / "b" / "store.sqlite")) as store, store:
            store.execute("DELETE FROM rooms")
        clinic.start_hospital("b")
        desk.sees("Your desk")
        expect(desk.page.get_by_text("The room is gone")).to_be_visible()


def test_emergency_that_a_second_clinician_signs(clinic: DeskClinic, browser: Browser, tmp_path: Path) -> None:
    wilson = clinic.federation.add_doctor("wilson")
    with clinic.at_the_desk(browser) as desk:
        page = desk.page
        desk.press("Emergency: read without consent")
        desk.sees("Emergency: read without consent")
        desk.looked_at("41-emergency")
        for name, words in {"patient": "P:johnnie", "reason": "unconscious", "note": "Found on the street."}.items():
            page.fill(f"#{name}", words)
        page.fill("#second", "D:wilson")
        desk.press("Go on")
        expect(page.get_by_text("Without consent, D:house asks for the records of P:johnnie")).to_be_visible()
        desk.looked_at("42-asked")
        desk.press("Declare this emergency")
        desk.sees("D:wilson has to sign, too")
        desk.looked_at("43-second")
        file, signed_file = tmp_path / "emergency", tmp_path / "signed"
        with page.expect_download() as saving:
            page.get_by_role("link", name="Save the file").click()
        saving.value.save_as(file)
        with clinic.at_the_desk(browser, doctor=wilson) as colleague:
            colleague.press("Emergency: read without consent")
            colleague.page.set_input_files("#file", file)
            colleague.press("Open it")
            colleague.sees("You are asked to sign, as the second clinician")
            colleague.press("Sign this emergency")
            colleague.sees("Signed as the second clinician")
            with colleague.page.expect_download() as saving:
                colleague.page.get_by_role("link", name="Save the file").click()
            saving.value.save_as(signed_file)
        page.set_input_files("#file", signed_file)
        desk.press("Open it and go on")
        desk.sees("Records of P:johnnie")
        desk.press("Find the records")
        desk.press("Fetch all")
        expect(page.locator(".chart-banner .name").first).to_contain_text("Johnnie679")
        expect(page.get_by_text("EMERGENCY: read without consent")).to_be_visible()
        expect(page.locator("#conclusion")).to_have_count(0)
        desk.looked_at("44-emergency-chart")
        desk.press("End this emergency")
        desk.sees("Your desk")
    assert "EMERGENCY" in run("patient", "accesses", "--directory", clinic.johnnie).upper()
