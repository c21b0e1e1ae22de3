"""The way in: a ticket once and for a minute, a cookie until the lock."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from federation.pages.entrance import Entrance, remove_open_file, write_open_file
from federation.pages.errors import FormForged, Locked, NotEntered, TicketInvalid


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entrance(clock: Clock) -> Entrance:
    return Entrance(lock_after=timedelta(minutes=10), now=clock)


def test_ticket_lets_in_and_its_cookie_passes(entrance: Entrance) -> None:
    entrance.require(entrance.enter(entrance.new_ticket()))


def test_ticket_and_cookie_have_256_bits_and_differ(entrance: Entrance) -> None:
    ticket = entrance.new_ticket()
    cookie = entrance.enter(ticket)
    assert len({ticket, cookie, entrance.new_ticket()}) == 3
    assert min(len(ticket), len(cookie)) >= 43  # base64 of 32 bytes


def test_ticket_used_twice_is_refused(entrance: Entrance) -> None:
    ticket = entrance.new_ticket()
    entrance.enter(ticket)
    with pytest.raises(TicketInvalid):
        entrance.enter(ticket)


def test_ticket_is_good_for_a_minute(entrance: Entrance, clock: Clock) -> None:
    ticket = entrance.new_ticket()
    clock.now += 60
    entrance.enter(ticket)


def test_ticket_older_than_a_minute_is_refused(entrance: Entrance, clock: Clock) -> None:
    ticket = entrance.new_ticket()
    clock.now += 60.1
    with pytest.raises(TicketInvalid):
        entrance.enter(ticket)


@pytest.mark.parametrize("guess", ["", "x", "ü", "None"])
def test_ticket_that_never_was_one_is_refused_and_costs_the_right_one_nothing(entrance: Entrance, guess: str) -> None:
    with pytest.raises(TicketInvalid):
        entrance.enter(guess)
    ticket = entrance.new_ticket()
    with pytest.raises(TicketInvalid):
        entrance.enter(guess)
    entrance.enter(ticket)


def test_ticket_of_before_is_refused(entrance: Entrance) -> None:
    before = entrance.new_ticket()
    entrance.new_ticket()
    with pytest.raises(TicketInvalid):
        entrance.enter(before)


def test_nobody_is_in_before_the_first_ticket(entrance: Entrance) -> None:
    for cookie in ("", "None"):
        with pytest.raises(NotEntered):
            entrance.require(cookie)


def test_browser_of_before_is_out(entrance: Entrance) -> None:
    before = entrance.enter(entrance.new_ticket())
    entrance.require(before)
    now = entrance.enter(entrance.new_ticket())
    with pytest.raises(NotEntered):
        entrance.require(before)
    entrance.require(now)


def test_lock_voids_cookie_ticket_and_forms(entrance: Entrance) -> None:
    cookie, ticket, proof = entrance.enter(entrance.new_ticket()), entrance.new_ticket(), entrance.form_proof(1)
    entrance.lock()
    with pytest.raises(Locked):
        entrance.require(cookie)
    with pytest.raises(TicketInvalid):
        entrance.enter(ticket)
    entrance.enter(entrance.new_ticket())
    with pytest.raises(NotEntered):
        entrance.require(cookie)
    with pytest.raises(FormForged):
        entrance.require_form_proof(1, proof)


def test_page_is_locked_when_nobody_was_there_for_ten_minutes(entrance: Entrance, clock: Clock) -> None:
    cookie = entrance.enter(entrance.new_ticket())
    clock.now += 600
    entrance.require(cookie)
    assert not entrance.is_due
    clock.now += 0.1
    assert entrance.is_due
    with pytest.raises(Locked):
        entrance.require(cookie)


def test_whoever_is_there_keeps_it_open(entrance: Entrance, clock: Clock) -> None:
    cookie = entrance.enter(entrance.new_ticket())
    for _ in range(3):
        clock.now += 599
        entrance.awake()
    entrance.require(cookie)


def test_form_of_another_state_proves_nothing(entrance: Entrance) -> None:
    proof = entrance.form_proof(1)
    entrance.require_form_proof(1, proof)
    for seen, given in ((2, proof), (1, ""), (1, "ü"), (1, proof[:-1])):
        with pytest.raises(FormForged):
            entrance.require_form_proof(seen, given)


def test_file_that_leads_in_is_private_and_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "open.html").symlink_to(victim)
    file = write_open_file(tmp_path, "http://desk-1.localhost:1", "ticket")
    assert stat.S_IMODE(file.lstat().st_mode) == 0o600
    assert victim.read_text() == "mine"
    assert "http://desk-1.localhost:1/enter?t=ticket" in file.read_text()
    remove_open_file(tmp_path)
    remove_open_file(tmp_path)
    assert not file.exists()
