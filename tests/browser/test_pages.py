"""Any side's pages in a real browser: what a person does, what is kept from being done twice, the lock, the ends of things."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from federation.pages.serve import Agent
from tests.browser.browsing import DESK, PHONE, Visitor, axe, no_sideways_scroll, press, shoot, tab_to, visiting
from tests.browser.counter import Count, Counter
from tests.waiting import until


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def agent(counter: Counter, tmp_path: Path, said: list[str]) -> Iterator[Agent]:
    agent = Agent(counter, tmp_path, say=said.append)
    with agent.running():
        yield agent
        counter.go_on.set()


@pytest.fixture
def visitor(browser: Browser, agent: Agent) -> Iterator[Visitor]:
    with visiting(browser, agent.new_entrance()) as visitor:
        yield visitor


def click(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def shows(page: Page, number: int) -> None:
    expect(page.locator("#number")).to_have_text(str(number))


def test_person_counts_and_every_tab_shows_it(visitor: Visitor) -> None:
    other = visitor.tab()
    click(visitor.page, "Count up")
    shows(visitor.page, 1)
    shows(other, 1)  # by itself
    click(other, "Count up")
    shows(visitor.page, 2)


def test_many_tabs_do_not_take_all_connections(visitor: Visitor, counter: Counter) -> None:
    tabs = [visitor.tab() for _ in range(8)]  # a browser has six connections to a server
    click(tabs[-1], "Count up")
    for tab in tabs:
        shows(tab, 1)
    click(tabs[0], "Work")
    for tab in tabs:
        expect(tab.get_by_role("status").filter(has_text="Counting")).to_be_visible()
    tabs[0].close()  # whichever listened, another does now
    tabs[1].close()
    counter.go_on.set()
    for tab in tabs[2:]:
        shows(tab, 2)


def test_words_come_back_as_they_were_typed_and_as_words_only(visitor: Visitor) -> None:
    typed = "Größe <b>&amp; \"so\" 'x' {{ 7*7 }}"
    visitor.page.get_by_label("Words").fill(typed)
    click(visitor.page, "Keep")
    expect(visitor.page.locator("#words")).to_have_text(typed)


def test_double_click_counts_once(visitor: Visitor, counter: Counter) -> None:
    visitor.page.get_by_role("button", name="Count up").dblclick()
    shows(visitor.page, 1)
    assert counter.worked == 1


def test_double_click_without_script_counts_once_and_says_so(browser: Browser, agent: Agent, counter: Counter) -> None:
    with visiting(browser, agent.new_entrance(), java_script_enabled=False) as visitor:
        visitor.allow("409")
        visitor.page.get_by_role("button", name="Count up").dblclick()
        expect(visitor.page.get_by_text("This moved on").or_(visitor.page.locator("#number"))).to_be_visible()
        until(lambda: agent.side.stage.snapshot.number == 2)
        visitor.page.goto(visitor.origin)
        shows(visitor.page, 1)
        assert counter.worked == 1


def test_back_button_shows_the_truth(visitor: Visitor) -> None:
    visitor.allow("404")  # a style sheet has no icon
    visitor.page.goto(visitor.origin + "/static/common.css")
    visitor.page.goto(visitor.origin + "/count")
    click(visitor.page, "Count up")
    shows(visitor.page, 1)
    visitor.page.go_back()
    visitor.page.go_forward()
    shows(visitor.page, 1)
    visitor.page.go_back()
    visitor.page.go_back()
    expect(visitor.page.locator("#number").or_(visitor.page.locator("pre"))).to_be_visible()
    assert "0 counted" not in visitor.page.content()


def test_command_from_an_overtaken_tab_is_refused_in_words(visitor: Visitor, counter: Counter, tmp_path: Path) -> None:
    visitor.allow("409", "ERR_FAILED")
    old = visitor.context.new_page()
    old.route("**/events*", lambda route: route.abort())  # a tab whose listening fails
    old.goto(visitor.origin)
    click(visitor.page, "Count up")
    shows(visitor.page, 1)
    click(old, "Count up")
    expect(old.get_by_role("alert")).to_contain_text("This moved on")
    axe(old)
    shoot(old, tmp_path / "moved-on.png")
    old.get_by_role("link", name="Look again").click()
    shows(old, 1)
    assert counter.worked == 1


def test_long_work_tells_how_far_it_is_and_can_be_given_up(visitor: Visitor, tmp_path: Path) -> None:
    click(visitor.page, "Work")
    expect(visitor.page.get_by_role("status").filter(has_text="Counting")).to_be_visible()
    bar = visitor.page.locator("progress")
    until(lambda: float(bar.get_attribute("value") or 0) > 3)
    axe(visitor.page)
    shoot(visitor.page, tmp_path / "progress.png")
    click(visitor.page, "Give up")
    expect(visitor.page.get_by_role("alert").filter(has_text="given up")).to_be_visible()
    expect(visitor.page.locator("#progress")).to_be_hidden()


def test_everything_works_without_script(browser: Browser, agent: Agent, counter: Counter) -> None:
    with visiting(browser, agent.new_entrance(), java_script_enabled=False) as visitor:
        visitor.allow("403")
        page = visitor.page
        click(page, "Wait")
        expect(page.get_by_text("Waiting for a visitor.")).to_be_visible()
        counter.visitor.set()
        until(lambda: isinstance(agent.side.stage.snapshot.state, Count))
        page.get_by_role("link", name="Look again").click()
        shows(page, 1)
        click(page, "Work")
        expect(page.get_by_role("status")).to_contain_text("Counting")
        counter.go_on.set()
        until(lambda: agent.side.stage.snapshot.state == Count(2))
        page.reload()
        shows(page, 2)
        click(page, "Lock this page")
        expect(page.locator("code")).to_have_text("LOCKED")


def test_waiting_page_goes_on_by_itself(visitor: Visitor, counter: Counter) -> None:
    click(visitor.page, "Wait")
    expect(visitor.page.get_by_text("Waiting for a visitor.")).to_be_visible()
    counter.visitor.set()
    shows(visitor.page, 1)


def test_fault_is_told_in_words(visitor: Visitor) -> None:
    click(visitor.page, "Fail")
    expect(visitor.page.get_by_role("alert")).to_contain_text("No such file: somewhere")
    axe(visitor.page)


def test_what_is_typed_is_kept_without_a_button(visitor: Visitor, counter: Counter) -> None:
    visitor.page.get_by_label("Words").press_sequentially("half a sentence")
    until(lambda: counter.kept == "half a sentence")
    visitor.page.reload()
    expect(visitor.page.get_by_label("Words")).to_have_value("half a sentence")


def test_photo_is_taken_and_one_that_is_too_large_is_refused_in_words(visitor: Visitor, tmp_path: Path) -> None:
    photo = {"name": "qr.jpg", "mimeType": "image/jpeg", "buffer": b"\xff" * 5_000_000}
    visitor.page.get_by_label("Photo").set_input_files(photo)
    click(visitor.page, "Send")
    expect(visitor.page.locator("#words")).to_have_text("qr.jpg: 5000000")
    click(visitor.page, "Send")
    expect(visitor.page.locator("#words")).to_have_text("no photo")
    visitor.allow("413")
    visitor.page.get_by_label("Photo").set_input_files(photo | {"buffer": b"\xff" * 30_000_000})
    click(visitor.page, "Send")
    expect(visitor.page.get_by_role("alert")).to_contain_text("more than may be sent")
    axe(visitor.page)


def test_lock_shuts_every_tab_at_once_and_what_they_showed_is_gone(
    visitor: Visitor, agent: Agent, counter: Counter, tmp_path: Path
) -> None:
    visitor.allow("403", "404")  # a picture that is a page has no icon
    other = visitor.tab()
    click(visitor.page, "Count up")
    shows(other, 1)
    other.goto(visitor.origin + "/static/icon.svg")
    other.goto(visitor.origin + "/count")
    other.goto(visitor.origin + "/count?again")
    click(visitor.page, "Lock this page")
    for page in (visitor.page, other):
        expect(page.locator("code")).to_have_text("LOCKED")
        axe(page)
        no_sideways_scroll(page)
    shoot(other, tmp_path / "locked.png")
    other.go_back()
    expect(other.locator("code")).to_have_text("LOCKED")
    agent.unlock()
    other.goto(agent.new_entrance().as_uri())
    shows(other, 1)
    visitor.page.get_by_role("link", name="Look again").click()
    shows(visitor.page, 1)
    assert counter.locked == 1


def test_page_that_nobody_touches_locks_itself(
    visitor: Visitor, agent: Agent, counter: Counter, said: list[str]
) -> None:
    visitor.allow("403")
    click(visitor.page, "Wait")
    expect(visitor.page.get_by_text("Waiting for a visitor.")).to_be_visible()
    counter.visitor.set()  # pages that go on by themselves are nobody's doing
    shows(visitor.page, 1)
    assert agent.entrance._lock_after == timedelta(minutes=10).total_seconds()
    last_seen = agent.entrance._last_seen
    agent.entrance._now = lambda: last_seen + 599
    shows(visitor.tab(), 1)  # somebody is there
    assert agent.entrance._last_seen == last_seen + 599
    agent.entrance._now = lambda: last_seen + 599 + 601
    expect(visitor.page.locator("code")).to_have_text("LOCKED")
    until(lambda: counter.locked)
    assert said == ["The page is locked. Press Enter to unlock it."]


def test_person_who_types_keeps_the_page_open(visitor: Visitor, agent: Agent) -> None:
    before = agent.entrance._last_seen
    visitor.page.get_by_label("Words").focus()
    visitor.page.keyboard.press("a")
    visitor.page.evaluate("lastAwake -= 61000")  # a minute later
    visitor.page.keyboard.press("ArrowLeft")
    until(lambda: agent.entrance._last_seen > before)


def test_page_says_when_the_program_has_ended(browser: Browser, counter: Counter, tmp_path: Path) -> None:
    agent = Agent(counter, tmp_path)
    with agent.running():
        context = browser.new_context()
        visitor = Visitor(context, agent.new_entrance())
        other = visitor.tab()
        until(lambda: agent.side.stage._listeners)
        expect(visitor.page.locator("#gone")).to_be_hidden()
    for page in (visitor.page, other):
        expect(page.locator("#gone")).to_be_visible()
    shoot(visitor.page, tmp_path / "gone.png")
    context.close()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_page_is_usable_by_everybody(browser: Browser, agent: Agent, tmp_path: Path, size: tuple[int, int]) -> None:
    with visiting(browser, agent.new_entrance(), size, reduced_motion="reduce") as visitor:
        axe(visitor.page)
        no_sideways_scroll(visitor.page)
        shoot(visitor.page, tmp_path / "count.png")
        small = visitor.page.evaluate(
            "[...document.querySelectorAll('button, .button, input:not([type=hidden]), textarea')]"
            ".filter((it) => it.getBoundingClientRect().height < 44).map((it) => it.outerHTML)"
        )
        assert small == []


def test_whole_page_by_the_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("it => it === document.activeElement")
    page.keyboard.press("Enter")
    press(page, page.get_by_role("button", name="Count up"))
    shows(page, 1)
    tab_to(page, page.get_by_label("Words"))
    page.keyboard.type("by hand")
    press(page, page.get_by_role("button", name="Keep"), "Space")
    expect(page.locator("#words")).to_have_text("by hand")
    press(page, page.get_by_role("button", name="Lock this page"))
    visitor.allow("403")
    expect(page.locator("code")).to_have_text("LOCKED")


def test_printed_page_has_the_content_and_no_buttons(visitor: Visitor, tmp_path: Path) -> None:
    visitor.page.emulate_media(media="print")
    expect(visitor.page.locator("#number")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="Count up")).to_be_hidden()
    expect(visitor.page.locator("footer")).to_be_hidden()
    shoot(visitor.page, tmp_path / "print.png")
