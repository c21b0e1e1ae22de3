"""A person's browser: it enters as a person does, and whatever it should not do is found.

`Visitor` is one browser profile at one agent. It keeps every request, console error, uncaught error and violation of the
content security policy; `check()` finds any that should not be. `axe`, `no_sideways_scroll` and `tab_to` look at a page.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from tests.waiting import until

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
DESK, PHONE, NARROW = (1500, 1000), (390, 844), (320, 640)
"""Widths and heights, in CSS pixels; the last is that of a page at 400 % (WCAG 2.2, 1.4.10)."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PATIENCE_MS = 60_000
MOST_TABS = 300
MOST_PICTURED = 20_000
"""CSS pixels of height."""

_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error("CSP violation: " + event.violatedDirective + " " + event.blockedURI));
"""


class Visitor:
    """One browser profile that was let in by an agent's file, and what it was seen to do."""

    def __init__(self, context: BrowserContext, open_file: Path) -> None:
        """Enter. The page is at the state's page when this returns."""
        self.context = context
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.allowed: list[str] = []
        self.origins = ["file:", "about:", "blob:"]
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_VIOLATIONS)
        context.on("request", self._requested)
        context.on("page", self._watch)
        until(open_file.exists, f"{open_file.name} was not written")
        self.page = context.new_page()
        self.page.goto(open_file.absolute().as_uri())
        self.page.wait_for_url(lambda url: url.startswith("http://") and "/enter" not in url)
        self.origin = f"http://{urlsplit(self.page.url).netloc}"
        self.elsewhere(self.origin)

    def tab(self, path: str = "/") -> Page:
        """Open a further tab of the same browser."""
        page = self.context.new_page()
        page.goto(self.origin + path)
        return page

    def allow(self, *parts: str) -> None:
        """Expect console errors with these parts from now on, such as the status of a refusal."""
        self.allowed += parts

    def elsewhere(self, origin: str) -> None:
        """Expect requests to another origin, too: an attacker's."""
        self.origins.append(origin + "/")

    def check(self) -> None:
        """Find that no request went elsewhere, and that no page had a fault."""
        foreign = [url for url in self.requests if not url.startswith(tuple(self.origins))]
        assert not foreign, f"requests that leave the machine: {foreign}"
        faults = [fault for fault in self.faults if not any(part in fault for part in self.allowed)]
        assert not faults, f"faults in the browser: {faults}"

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("console", lambda told: self.faults.append(told.text) if told.type in {"error", "warning"} else None)


@contextmanager
def visiting(browser: Browser, open_file: Path, size: tuple[int, int] = DESK, **options: Any) -> Iterator[Visitor]:
    """Enter with a new browser profile, and check at the end what it did. `options` are of `Browser.new_context`."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        visitor = Visitor(context, open_file)
        yield visitor
        visitor.check()
    finally:
        context.close()


@cache
def _axe_source() -> str:
    assert AXE.exists(), "axe-core is missing: ci/install gets it by npm"
    return AXE.read_text()


def evaluate(page: Page, expression: str) -> Any:
    """Evaluate in a page past its content security policy, as a debugger does."""
    session = page.context.new_cdp_session(page)
    try:
        done = session.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True})
    finally:
        session.detach()
    assert "exceptionDetails" not in done, done["exceptionDetails"]
    return done["result"].get("value")


def axe(page: Page) -> None:
    """Find no violation of WCAG 2.2 AA in a page, as far as axe-core finds them."""
    evaluate(page, _axe_source() + "; undefined")
    options = json.dumps({"runOnly": RULES, "resultTypes": ["violations"], "preload": False})
    found = json.loads(evaluate(page, f"axe.run(document, {options}).then((it) => JSON.stringify(it.violations))"))
    told = [f"{it['id']} ({it['help']}): {node['html'][:200]}" for it in found for node in it["nodes"]]
    assert not told, f"{page.url}: {told}"


def shoot(page: Page, path: Path) -> None:
    """Take a picture of a page for a person to look at: all of it, or of one that nobody looks through, its beginning."""
    is_whole = page.evaluate("document.documentElement.scrollHeight") <= MOST_PICTURED
    # Hiding the caret would add a style to the page, which its policy forbids.
    page.screenshot(path=str(path), full_page=is_whole, caret="initial")


def no_sideways_scroll(page: Page) -> None:
    """Find that a page is no wider than a narrow phone, with the words whole (WCAG 2.2, 1.4.10). Puts the size back."""
    before = page.viewport_size
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    width = page.evaluate("document.documentElement.scrollWidth")
    wide = page.evaluate(
        "[...document.querySelectorAll('body *')].filter((it) => it.getBoundingClientRect().right > innerWidth + 1"
        " && !it.closest('.scroll, .visually-hidden, .skip')).map((it) => it.outerHTML.slice(0, 120)).slice(0, 5)"
    )
    if before is not None:
        page.set_viewport_size(before)
    assert width <= NARROW[0], f"{page.url} is {width} px wide: {wide}"


def tab_to(page: Page, target: Locator) -> None:
    """Reach an element by the Tab key alone, and find that the focus is seen there."""
    expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        if target.evaluate("it => it === document.activeElement"):
            outline = target.evaluate("it => getComputedStyle(it).outlineStyle")
            assert outline != "none", f"the focus is not seen at {target}"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not reach {target}")


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Reach an element by the keyboard, and press a key there."""
    tab_to(page, target)
    page.keyboard.press(key)
