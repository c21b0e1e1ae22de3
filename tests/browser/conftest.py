"""A browser for all tests of a worker; the real one, or a loud word about what is missing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from demo.screens import chromium
from tests.browser.browsing import AXE, PATIENCE_MS

HERE = Path(__file__).parent
REQUIRED = os.environ.get("MEDUNION_REQUIRE_BROWSER") == "1"
CHROMIUM = chromium()


OTHER_UID = 65534
"""Of "nobody": the computer's other user."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and leave out what this machine cannot do unless it is required: the run says so."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker("browser")
    if REQUIRED:
        return
    if CHROMIUM is None or not AXE.exists():
        _leave_out(config, items, ours, "chromium or axe-core is missing (ci/install)")
    elif os.geteuid() != 0:
        theirs = [item for item in ours if item.get_closest_marker("other_user")]
        _leave_out(config, items, theirs, "attacks by another user need root")


def _leave_out(config: pytest.Config, items: list[pytest.Item], left_out: list[pytest.Item], why: str) -> None:
    if not left_out:
        return
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"LEFT OUT of tests/browser: {len(left_out)} tests, for {why}", red=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give one Chromium for all tests of this worker; each person in a test is a context of it."""
    assert CHROMIUM is not None, "Chromium is missing: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()
