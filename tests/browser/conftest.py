"""A browser for all tests of a worker; the real one, or a loud word about what is missing."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.browsing import AXE

REQUIRED = os.environ.get("MEDUNION_REQUIRE_BROWSER") == "1"
CHROMIUM = os.environ.get("MEDUNION_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and leave it out where there is none and none is required; the run says so."""
    ours = [item for item in items if "browser" in item.nodeid.split("/") and item.path.name.startswith("test_")]
    for item in ours:
        item.add_marker("browser")
    if ours and not REQUIRED and (CHROMIUM is None or not AXE.exists()):
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("tests/browser is LEFT OUT: chromium or axe-core is missing (ci/install)", red=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Give one Chromium for all tests of this worker; each person in a test is a context of it."""
    assert CHROMIUM is not None, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()
