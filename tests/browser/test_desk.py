"""The doctor's desk in a real browser, against real servers; the patients type."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, expect

from demo.stage import federation
from tests.browser.desk_clinic import CONSENT, ECG, RECORD, DeskClinic, clinic_at

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskClinic]:
    root = tmp_path_factory.mktemp("desk")
    with federation(root) as made, ThreadPoolExecutor(4) as people:
        clinic = clinic_at(made, root / "shots", people)
        clinic.import_for(clinic.johnnie, "a", RECORD)
        yield clinic


def test_a_whole_visit(clinic: DeskClinic, browser: Browser) -> None:
    with clinic.at_the_desk(browser, "--department", "cardiology") as desk:
        page = desk.page
        desk.sees("Your desk")
        desk.looked_at("01-idle")
        code = desk.open_room()
        desk.looked_at("02-room")
        told = desk.receive(clinic.johnnie, "--ecg", ECG, *CONSENT, code=code)
        expect(page.locator(".consent")).to_contain_text("Find and read the patient's records at every hospital")
        expect(page.locator(".ecg svg")).to_be_visible()
        desk.looked_at("03-present")
        desk.press("Find the records")
        expect(page.get_by_role("cell", name="H:a/cardiology", exact=True)).to_be_visible()
        desk.looked_at("04-found")
        page.fill("#conclusion", "Paroxysmal atrial fibrillation is likely;\nHolter for 7 days.")
        desk.press("Fetch all")
        expect(page.get_by_role("heading", name="Problems")).to_be_visible()
        expect(page.locator("#conclusion")).to_have_value(
            "Paroxysmal atrial fibrillation is likely;\nHolter for 7 days."
        )
        desk.looked_at("05-chart")
        page.fill("#codes", "I48.0 Paroxysmal atrial fibrillation")
        desk.press("Read over")
        desk.sees("Read over what you are about to sign")
        digest = page.locator(".digest").inner_text().replace(" ", "").strip()
        assert digest in desk.program.said().replace(" ", "")
        desk.looked_at("06-read-over")
        desk.press("Sign and send")
        desk.sees("Signed and sent to the patient")
        expect(page.get_by_text("H:b keeps this encounter as record")).to_be_visible()
        expect(page.get_by_text("The patient signed for the diagnosis at")).to_be_visible()
        desk.looked_at("07-signed")
        said = told.result()
        assert "Paroxysmal atrial fibrillation is likely" in said
        assert "I48.0" in said
