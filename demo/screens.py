"""The demonstration's browser: the doctor at the desk and the patient with the app, driven as people would, and their pictures.

Playwright is asked for only where a Chromium is (`ci/demo` installs it then): without, both type.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from demo.claims import Visit
from demo.events import read_traces
from demo.page import Pictures
from demo.stage import Federation, Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Locator, Page

MILLISECONDS = 60_000
"""That a page may take on a busy machine."""

DESK, PHONE = (1500, 1000), (390, 844)
"""Widths and heights of the two windows, in CSS pixels."""

APP = "patient", "app"
APP_AT_REST = "Visit a doctor"


@dataclass
class Windows:
    """A browser with a window for each person, and every address that their pages asked for."""

    browser: "Browser"
    asked: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    def enter(self, directory: Path, size: tuple[int, int]) -> "Page":
        """Open a person's pages by the file in the person's directory, as the browser of a desktop does."""
        context = self.browser.new_context(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1.5)
        context.set_default_timeout(MILLISECONDS)
        context.on("request", lambda request: self.asked.append(request.url))
        page = context.new_page()
        page.goto((directory / "open.html").absolute().as_uri())
        page.wait_for_url(lambda url: url.startswith("http://") and "/enter" not in url)
        self.own.append("/".join(page.url.split("/")[:3]) + "/")
        return page

    def elsewhere(self) -> list[str]:
        """Return what was asked of anybody but the two programs."""
        return [url for url in self.asked if not url.startswith(("file:", *self.own))]


def chromium() -> str | None:
    """Return where a Chromium is that can be driven from here, None if there is none."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return os.environ.get("MEDUNION_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def desk_at(stage: Federation, hospital: str) -> tuple[object, ...]:
    """Return the command that opens a doctor's desk at a hospital."""
    where = "--hospital", f"H:{hospital}", "--address", stage.addresses[hospital]
    return "doctor", "desk", *where, "--department", "cardiology"


def start_pages(stage: Federation, who: Path, *words: object, keyboard: int | None = None) -> Running:
    """Start a desk or an app, and wait for `open.html` in the person's directory, the way in."""
    running = Running(stage.root / f"{who.name}-pages.log", *words, "--directory", who, keyboard=keyboard)
    stage.running.append(running)
    running.wait_for(who / "open.html")
    return running


def visit(
    browser: str, stage: Federation, doctor: Path, patient: Path, ecg: Path, conclusion: str
) -> tuple[Visit, Pictures]:
    """Let the patient see the doctor at hospital B, both with their pages and nothing typed in a terminal."""
    traces = [stage.root / f"pages-{who}.trace" for who in ("doctor", "patient")]
    stage.put_on_duty(doctor, "b")
    programs = [
        start_pages(stage, doctor, *desk_at(stage, "b"), "--no-browser", "--trace", traces[0]),
        start_pages(stage, patient, *APP, "--no-browser", "--trace", traces[1]),
    ]
    try:
        with _windows(browser) as windows:
            desk, app = windows.enter(doctor, DESK), windows.enter(patient, PHONE)
            consent = _go_in(desk, app, ecg)
            chart, records = _read_records(desk)
            kept = _sign(desk, conclusion)
            told, diagnosis = _read_diagnosis(app)
            pictures = Pictures(consent, chart, diagnosis, windows.elsewhere())
    finally:
        for program in programs:
            program.stop()
    return Visit(kept, told, read_traces(*traces), records=records), pictures


def _go_in(desk: "Page", app: "Page", ecg: Path) -> bytes:
    """Bring the patient in by the code that the desk shows; return what the patient saw before it agreed."""
    _press(desk, "Open a room")
    app.fill("#code", desk.locator("#code-text").inner_text())
    _press(app, "See who that is")
    _press(app, "See my records, and keep this visit")
    app.get_by_text("add an ECG").click()
    app.set_input_files("#file", ecg)
    _press(app, "Show it")
    app.get_by_role("button", name="Leave it out").wait_for()
    app.get_by_role("group", name="May the doctor").evaluate("it => it.scrollIntoView()")
    consent = _picture(app)
    _press(app, "Agree and go in")
    return consent


def _read_records(desk: "Page") -> tuple[bytes, list[str]]:
    """Find and fetch all that the consent opens; return the doctor's chart, and from where each record of it came."""
    _press(desk, "Find the records")
    _press(desk, "Fetch all")
    desk.get_by_role("heading", name="Problems").wait_for()
    records = desk.get_by_text("Made from").get_by_role("link").all()
    return _picture(desk, above=desk.get_by_text("Made from")), [record.inner_text() for record in records]


def _sign(desk: "Page", conclusion: str) -> str:
    """Write, read over, sign, and wait until the hospital keeps it; return what the doctor's page says then."""
    desk.fill("#conclusion", conclusion)
    _press(desk, "Read over")
    _press(desk, "Sign and send")
    desk.get_by_text("keeps this encounter").wait_for()
    desk.get_by_text("The patient signed for the diagnosis").wait_for()
    return desk.locator("main").inner_text()


def _read_diagnosis(app: "Page") -> tuple[str, bytes]:
    """Wait for the diagnosis; return what the patient's page says, and its picture."""
    app.get_by_role("heading", name="Diagnosis of").wait_for()
    return app.locator("main").inner_text(), _picture(app)


def _press(page: "Page", name: str) -> None:
    page.get_by_role("button", name=name).click()


def _picture(page: "Page", above: "Locator | None" = None) -> bytes:
    """Return what the window shows, or the page as far as something on it."""
    box = above.bounding_box() if above is not None else None
    end = None if box is None else box["y"] + page.evaluate("scrollY")
    clip: FloatRect | None = None if end is None else {"x": 0, "y": 0, "width": DESK[0], "height": end}
    # Hiding the caret would add a style to the page, which its policy forbids.
    return page.screenshot(full_page=clip is not None, clip=clip, caret="initial")


@contextmanager
def _windows(chromium: str) -> Iterator[Windows]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it is there only where a Chromium is

    # Chromium's own sandbox does not work for root, as in a container.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        try:
            yield Windows(browser)
        finally:
            browser.close()
