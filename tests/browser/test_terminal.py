"""The agent as a program at a terminal: where the PIN is asked for, what Enter does, how it ends."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from hsm import Pin, TokenUri
from tests.browser.browsing import Visitor, visiting
from tests.browser.terminal import Terminal
from tests.waiting import until

END_OF_FILE = b"\x04"


@pytest.fixture
def start(tmp_path: Path, make_token_uri: Callable[[], TokenUri]) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def make(minutes: float = 10) -> Terminal:
        program = "tests.browser.terminal_program", tmp_path, make_token_uri(), minutes
        started.append(Terminal(tmp_path, [sys.executable, "-m", *program]))
        return started[-1]

    yield make
    for terminal in started:
        terminal.end()


def begun(terminal: Terminal, user_pin: Pin) -> None:
    terminal.shows("PIN of the counter: ")
    terminal.type(user_pin.reveal())
    terminal.shows("Enter opens the page again")


def enter_refused(visitor: Visitor, reason: str) -> None:
    expect(visitor.page.locator("code")).to_have_text(reason)


def test_pin_is_asked_for_at_the_terminal_at_the_start_and_after_the_lock(
    browser: Browser, start: Callable[..., Terminal], user_pin: Pin
) -> None:
    terminal = start()
    begun(terminal, user_pin)
    with visiting(browser, terminal.file) as visitor:
        visitor.allow("403")
        page = visitor.page
        page.get_by_role("button", name="Count up").click()
        expect(page.locator("#number")).to_have_text("1")
        page.get_by_role("button", name="Lock this page").click()
        enter_refused(visitor, "LOCKED")
        terminal.shows("The page is locked.")

        terminal.type("")
        terminal.shows("PIN of the counter: ", 2)
        terminal.type("wrong-pin")
        terminal.shows("The PIN is wrong. [PIN_INCORRECT] The page stays locked; press Enter to try again.")
        page.reload()
        enter_refused(visitor, "LOCKED")
        assert not terminal.file.exists()
        assert terminal.said().count("PIN of the counter: ") == 2  # not asked again by itself

        terminal.type("")
        terminal.shows("PIN of the counter: ", 3)
        terminal.press(END_OF_FILE)
        terminal.shows("The PIN could not be had. (Nobody typed a PIN.) [PIN_UNAVAILABLE] The page stays locked")

        terminal.type("")
        terminal.shows("PIN of the counter: ", 4)
        terminal.type(user_pin.reveal())
        terminal.shows("Enter opens the page again", 2)
        page.goto(terminal.file.as_uri())
        expect(page.locator("#number")).to_have_text("1")  # the visit's state outlived the lock
        assert user_pin.reveal() not in terminal.said()
        assert user_pin.reveal() not in page.content()


def test_browser_is_given_the_path_of_a_file_and_no_ticket(start: Callable[..., Terminal], user_pin: Pin) -> None:
    terminal = start()
    begun(terminal, user_pin)
    until(terminal.opened)
    ticket = re.search(r"t=([\w-]+)", terminal.file.read_text())
    assert ticket
    assert terminal.opened() == [f"{terminal.directory / 'browser'} {terminal.file.as_uri()}"]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = command.read_bytes()
        except OSError:  # it has ended
            continue
        assert ticket[1].encode() not in arguments
    assert ticket[1] not in terminal.said()
    terminal.type("")
    until(lambda: len(terminal.opened()) == 2)
    assert ticket[1] not in terminal.file.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_program_ends_cleanly_with_a_page_that_listens(
    browser: Browser, start: Callable[..., Terminal], user_pin: Pin, number: signal.Signals
) -> None:
    terminal = start()
    begun(terminal, user_pin)
    with visiting(browser, terminal.file) as visitor:
        terminal.type("")  # another ticket lies there, unused
        terminal.shows("Enter opens the page again", 2)
        visitor.allow("ERR_")
        visitor.page.get_by_role("button", name="Wait").click()
        expect(visitor.page.get_by_text("Waiting for a visitor.")).to_be_visible()
        terminal.process.send_signal(number)
        assert terminal.process.wait(60) == 0, terminal.said()
        terminal.shows("Ended.")
        assert "Traceback" not in terminal.said()
        assert not terminal.file.exists()
        expect(visitor.page.locator("#gone")).to_be_visible()


def test_agent_that_is_killed_and_started_again_lets_nobody_in_by_the_old_way(
    browser: Browser, start: Callable[..., Terminal], user_pin: Pin
) -> None:
    terminal = start()
    begun(terminal, user_pin)
    with visiting(browser, terminal.file) as visitor:
        visitor.allow("ERR_")
        terminal.type("")
        terminal.shows("Enter opens the page again", 2)
        left_behind = terminal.file.read_text()
        terminal.process.kill()
        terminal.process.wait(60)
        expect(visitor.page.locator("#gone")).to_be_visible()
        again = start()
        begun(again, user_pin)
        assert again.file.read_text() != left_behind
        with visiting(browser, again.file) as second:
            expect(second.page.locator("#number")).to_have_text("0")
            assert second.origin != visitor.origin
