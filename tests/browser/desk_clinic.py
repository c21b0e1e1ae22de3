"""A running federation with a doctor whose desk is open in a browser, and patients who type."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from demo.stage import CONSENT, Federation, Running, run
from tests.browser.browsing import DESK, PATIENCE_MS, PHONE, Visitor, axe, no_sideways_scroll, shoot, visiting
from tests.e2e.clinic import Clinic

DATA = Path(__file__).parents[1] / "data"
ECG = DATA / "waveform_ecg.dcm"
RECORD = DATA / "synthea-johnnie679.json"

expect.set_options(timeout=PATIENCE_MS / 2)


@dataclass
class DeskClinic(Clinic):
    """A clinic whose doctor sits at the desk."""

    shots: Path
    people: ThreadPoolExecutor

    def desk(self, *words: object, keyboard: int | None = None, doctor: Path | None = None) -> Running:
        """Start the desk of a doctor at H:b."""
        federation, sitting = self.federation, doctor or self.doctor
        federation.put_on_duty(sitting, "b")
        started = Running(
            federation.root / f"{sitting.name}-desk.log",
            *("doctor", "desk", "--directory", sitting, "--hospital", "H:b"),
            *("--address", federation.addresses["b"], "--no-browser", *words),
            keyboard=keyboard,
        )
        federation.running.append(started)
        return started

    @contextmanager
    def at_the_desk(
        self, browser: Browser, *words: object, keyboard: int | None = None, doctor: Path | None = None
    ) -> "Iterator[AtTheDesk]":
        """Start the desk, and enter it."""
        program = self.desk(*words, keyboard=keyboard, doctor=doctor)
        try:
            with visiting(browser, (doctor or self.doctor) / "open.html") as visitor:
                yield AtTheDesk(self, program, visitor)
        finally:
            program.stop()

    def comes(self, patient: Path, code: str, *words: object, expect: int = 0) -> "Future[str]":
        """Let a patient go in by the code, while the doctor's browser goes on; give what the patient is told."""
        command = "patient", "visit", "--directory", patient, code, "--yes", *words
        return self.people.submit(run, *command, expect=expect)

    def import_for(
        self, patient: Path, hospital: str, record: Path, department: str = "cardiology", *attached: Path
    ) -> None:
        """Give a hospital a record of a patient, and wait until the index has it."""
        run(
            *("hospital", "import", "--directory", self.federation.root / hospital, "--patient", f"P:{patient.name}"),
            *("--department", department, record),
            *(word for path in attached for word in ("--attach", path)),
        )
        self.federation.await_publication(hospital)

    def server_of(self, hospital: str) -> Running:
        """Give the process of a hospital that runs now."""
        log = self.federation.root / hospital / "serve.log"
        return next(it for it in self.federation.running if it.log == log and it.process.poll() is None)

    def stop_hospital(self, hospital: str) -> None:
        """End the process of a hospital."""
        self.server_of(hospital).stop()
        (self.federation.root / hospital / "ready").unlink()

    def start_hospital(self, hospital: str) -> None:
        """Start it again."""
        self.federation.serve("hospital", self.federation.root / hospital)


@dataclass
class AtTheDesk:
    """A doctor at the desk."""

    clinic: DeskClinic
    program: Running
    visitor: Visitor

    @property
    def page(self) -> Page:
        return self.visitor.page

    def press(self, name: str, page: Page | None = None, **options: Any) -> None:
        """Press the button of this name."""
        (page or self.page).get_by_role("button", name=name, **options).click()

    def sees(self, heading: str, page: Page | None = None) -> None:
        """Wait for the page of this heading, whole and with its script."""
        page = page or self.page
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        page.wait_for_load_state()

    def looked_at(self, name: str) -> None:
        """Find nothing to mend in the page, wide and narrow, and take pictures of it for people to look at."""
        page = self.page
        axe(page)
        no_sideways_scroll(page)
        for size in (DESK, PHONE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            shoot(page, self.clinic.shots / f"{name}-{size[0]}.png")
        page.set_viewport_size({"width": DESK[0], "height": DESK[1]})

    def open_room(self) -> str:
        """Open a room, and give its code."""
        self.press("Open a room")
        self.sees("Waiting for a patient")
        return self.page.locator("#code-text").inner_text()

    def evidence(self) -> list[str]:
        """Save the evidence, and give the kinds of its exhibits."""
        with self.page.expect_download() as saving:
            self.press("Save your evidence")
        assert saving.value.suggested_filename == "medunion-evidence.json"
        content = json.loads(saving.value.path().read_text())
        return [exhibit["kind"] for exhibit in content["exhibits"]]

    def wait_until_kept(self) -> None:
        """Wait until the patient has signed for the diagnosis and the hospital for the encounter."""
        expect(self.page.get_by_text("keeps this encounter as record")).to_be_visible()
        expect(self.page.get_by_text("The patient signed for the diagnosis at")).to_be_visible()

    def receive(self, patient: Path, *words: object, code: str = "") -> "Future[str]":
        """Open a room, and let a patient come; give what the patient is told in the end."""
        told = self.clinic.comes(patient, code or self.open_room(), *words)
        self.sees("is here")
        return told


def clinic_at(made: Federation, shots: Path, people: ThreadPoolExecutor) -> DeskClinic:
    """Add the doctor, and the patients."""
    shots.mkdir()
    return DeskClinic(
        made,
        made.add_doctor("house"),
        made.add_patient("johnnie", "a"),
        made.add_patient("mary", "a"),
        shots,
        people,
    )


__all__ = ["CONSENT", "ECG", "RECORD", "AtTheDesk", "DeskClinic", "clinic_at"]
