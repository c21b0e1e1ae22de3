"""The patient's app as a person uses it: its program started from a command line, its page entered in a browser."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect

from demo.stage import Running
from federation.pages.entrance import OPEN_FILE
from tests.browser.browsing import PHONE, Visitor, axe, no_sideways_scroll, shoot, visiting


class Handset:
    """A patient's app that runs, and the browser that was let in."""

    def __init__(self, running: Running, keyboard: int, visitor: Visitor, pictures: Path) -> None:
        self.running, self._keyboard, self.visitor, self._pictures = running, keyboard, visitor, pictures

    @property
    def page(self) -> Page:
        return self.visitor.page

    def look(self, name: str) -> None:
        """Look at the page as a whole, by day and by night: no violation of WCAG, no sideways scroll, a picture."""
        self.page.wait_for_load_state()  # style sheets included
        schemes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
        for scheme in schemes:
            self.page.emulate_media(color_scheme=scheme)
            axe(self.page)
            shoot(self.page, self._pictures / f"{name}-{scheme}.png")
        no_sideways_scroll(self.page)

    def tap(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def go_to(self, name: str) -> None:
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()

    def heading(self, words: str) -> None:
        expect(self.page.get_by_role("heading", level=1, name=words)).to_be_visible()

    def give(self, code: str) -> None:
        """Type a code, and look who that is."""
        self.go_to("Visit")
        self.page.get_by_label("Or type it").fill(code)
        self.tap("See who that is")

    def press_enter(self) -> None:
        """Press Enter where the program runs."""
        os.write(self._keyboard, b"\n")


@contextmanager
def handset(
    browser: Browser, directory: Path, pictures: Path, *words: object, size: tuple[int, int] = PHONE, **options: Any
) -> Iterator[Handset]:
    """Start a patient's app with these options of its command, and enter it."""
    there, here = os.pipe()
    (directory / OPEN_FILE).unlink(missing_ok=True)
    log = pictures / f"{directory.name}.app.log"
    command = "patient", "app", "--directory", directory, "--no-browser", *words
    running = Running(log, *command, keyboard=there)
    os.close(there)
    try:
        running.wait_for(directory / OPEN_FILE)
        with visiting(browser, directory / OPEN_FILE, size, **options) as visitor:
            yield Handset(running, here, visitor, pictures)
    finally:
        os.close(here)
        running.stop()
