"""Attacks on the agent's port: each works against an agent without the one check that is against it, then fails."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from federation.pages import guard
from federation.pages.serve import Agent
from tests.browser.browsing import visiting
from tests.browser.counter import Counter


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.localhost"])
@pytest.mark.parametrize("guarded", [False, True], ids=["without the check", "with it"])
def test_another_name_that_leads_to_the_port_is_refused(
    browser: Browser, tmp_path: Path, name: str, guarded: bool
) -> None:
    off = {guard.browser_was_let_in} | (set() if guarded else {guard.host_is_ours})
    agent = Agent(Counter(), tmp_path, checks=[check for check in guard.CHECKS if check not in off])
    with agent.running(), visiting(browser, agent.new_entrance()) as visitor:
        visitor.allow("403", "Refused to apply style")
        page = visitor.context.new_page()
        answer = page.goto(f"http://{name}:{agent.place.port}/count")
        assert answer is not None
        assert answer.status == (403 if guarded else 200)
        assert ("HOST_UNKNOWN" in page.content()) is guarded
        visitor.elsewhere(f"http://{name}:{agent.place.port}")
