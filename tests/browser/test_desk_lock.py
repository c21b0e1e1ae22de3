"""The desk's lock with the doctor's own token: logged out while it is locked, and the visit goes on after the PIN."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from demo.stage import federation
from federation.pages.entrance import OPEN_FILE
from federation.party.node_directory import NodeDirectory
from federation.person.profile import DoctorSettings
from tests.browser.browsing import visiting
from tests.browser.desk_clinic import CONSENT, ECG, AtTheDesk, DeskClinic, clinic_at
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskClinic]:
    root = tmp_path_factory.mktemp("desk-lock")
    with federation(root) as made, ThreadPoolExecutor(1) as people:
        yield clinic_at(made, root / "shots", people)


def test_visit_goes_on_after_a_lock_in_which_nobody_was_logged_in(clinic: DeskClinic, browser: Browser) -> None:
    pin_file = NodeDirectory(clinic.doctor).settings(DoctorSettings).token.pin_file
    assert isinstance(pin_file, Path)
    right = pin_file.read_bytes()
    there, here = os.pipe()
    program = clinic.desk(keyboard=there)
    open_file = clinic.doctor / OPEN_FILE
    os.close(there)
    with visiting(browser, open_file) as visitor:
        visitor.allow("403")
        desk = AtTheDesk(clinic, program, visitor)
        desk.receive(clinic.johnnie, "--ecg", ECG, *CONSENT)
        desk.press("Lock this page")
        expect(visitor.page.locator("code")).to_have_text("LOCKED")

        pin_file.write_bytes(b"not the PIN\n")
        os.write(here, b"\n")
        until(lambda: "The PIN is wrong." in program.said(), program.said)
        visitor.page.reload()
        expect(visitor.page.locator("code")).to_have_text("LOCKED")
        assert not open_file.exists()

        pin_file.write_bytes(right)
        os.write(here, b"\n")
        until(open_file.exists, program.said)
        visitor.page.goto(open_file.as_uri())
        expect(visitor.page.get_by_text("P:johnnie").first).to_be_visible()  # still with the doctor
        visitor.page.fill("#conclusion", "Signed after the lock.")
        desk.press("Read over")
        desk.press("Sign and send")
        desk.sees("Signed and sent to the patient")
    os.close(here)
    program.stop()
