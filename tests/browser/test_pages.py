"""Any side's pages in a real browser: entrance, commands, events, lock."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from federation.pages.serve import Agent
from tests.browser.browsing import Visitor, axe, no_sideways_scroll, shoot, visiting
from tests.browser.counter import Counter


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def agent(counter: Counter, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(counter, tmp_path)
    with agent.running():
        yield agent
        counter.go_on.set()


@pytest.fixture
def visitor(browser: Browser, agent: Agent) -> Iterator[Visitor]:
    with visiting(browser, agent.new_entrance()) as visitor:
        yield visitor


def test_a_person_counts(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.get_by_role("button", name="Count up").click()
    expect(page.locator("#number")).to_have_text("1")
    axe(page)
    no_sideways_scroll(page)
    shoot(page, tmp_path / "count.png")
