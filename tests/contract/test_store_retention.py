"""The contract of a public cloud's retention: what is over goes, what is not stays."""

import pytest

from federation.store.party import ReplayMemory
from federation.store.portable import FORGOTTEN_ROWS
from federation.store.registrations import ExpiredRows, Registrations
from tests.contract.store_support import MINUTE, NOW, register, registration, ticket

DAY = 24 * 60 * MINUTE


@pytest.fixture
def retention(database):
    return ExpiredRows(database)


def test_what_is_over_is_counted_then_removed_and_the_rest_stays(database, retention):
    registrations = Registrations(database)
    register(registrations, registration("P:old", serial=b"o" * 16, not_after=NOW + MINUTE))
    register(registrations, registration("P:new", serial=b"n" * 16, not_after=NOW + 9 * DAY))
    registrations.put_ticket(ticket("P:late", digest=b"l" * 32))
    registrations.put_ticket(ticket("P:soon", digest=b"s" * 32, expires_at=NOW + 9 * DAY))
    ReplayMemory(database).admit(b"key", now=NOW, until=NOW + MINUTE)
    later = NOW + 2 * DAY
    expected = {"registrations": 1, "tickets": 1, "kept answers": 2, "replay keys": 1}
    none = dict.fromkeys(retention.count(now=NOW, ended_before=NOW), 0)
    assert retention.count(now=NOW - MINUTE, ended_before=later) == none
    assert retention.count(now=later, ended_before=later) == none | expected
    assert retention.remove(now=later, ended_before=later - 2 * DAY) == none | expected | {"registrations": 0}
    assert retention.remove(now=later, ended_before=later) == none | {"registrations": 1}
    assert [it.identity for it in registrations.walk()] == ["P:new"]
    assert registrations.credential_of(b"o" * 16) is not None
    assert registrations.find_ticket(b"s" * 32, now=later) is not None


def test_more_than_one_sweeps_worth_goes_in_one_removal(database, retention):
    replay = ReplayMemory(database)
    for number in range(FORGOTTEN_ROWS + 1):
        replay.admit(b"%d" % number, now=NOW, until=NOW + MINUTE)
    assert retention.remove(now=NOW + DAY, ended_before=NOW)["replay keys"] == FORGOTTEN_ROWS + 1


def test_identity_whose_registration_was_removed_may_register_again(database, retention):
    registrations = Registrations(database)
    register(registrations, registration("P:ann", serial=b"1" * 16))
    later = NOW + DAY
    assert retention.remove(now=later, ended_before=later)["registrations"] == 1
    register(registrations, registration("P:ann", serial=b"2" * 16, not_after=later + DAY), now=later)
    assert registrations.live("P:ann").serial == b"2" * 16
