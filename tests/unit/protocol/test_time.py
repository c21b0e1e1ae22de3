"""Freshness, at its edges: -sigma <= now - T <= Delta T (B2, B3)."""

from datetime import timedelta

import pytest

from federation.errors import FutureDated, StaleMessage, TimeMismatch
from federation.protocol.time import Freshness, milliseconds, require_same_time
from tests.mallory import refused

NOW = 1_790_000_000_000
FRESHNESS = Freshness()


@pytest.mark.parametrize("age_ms", [30_000, 0, -5_000])
def test_a_message_within_the_window_is_fresh(age_ms):
    FRESHNESS.require(NOW - age_ms, now=NOW)


def test_a_stale_message_is_refused():
    with refused(StaleMessage):
        FRESHNESS.require(NOW - 30_001, now=NOW)


def test_a_future_dated_message_is_refused():
    with refused(FutureDated):
        FRESHNESS.require(NOW + 5_001, now=NOW)


@pytest.mark.parametrize("sent_at", [0, 2**64 - 1])
def test_an_absurd_time_is_refused(sent_at):
    with pytest.raises((StaleMessage, FutureDated)):
        FRESHNESS.require(sent_at, now=NOW)


def test_the_refusal_tells_the_receivers_time():
    with pytest.raises(StaleMessage, match=str(NOW)):
        FRESHNESS.require(0, now=NOW)


def test_a_replay_key_outlives_every_time_at_which_its_message_is_fresh():
    """Taken at the earliest (T = now + sigma), a message is fresh until now + sigma + Delta T."""
    assert FRESHNESS.replay_key_until(now=NOW) == NOW + 40_000
    assert FRESHNESS.replay_key_until(now=NOW) > NOW + 5_000 + 30_000


def test_a_time_mismatch_is_refused():
    require_same_time(NOW, NOW)
    with refused(TimeMismatch):
        require_same_time(NOW, NOW + 1)


def test_durations_are_whole_milliseconds():
    assert milliseconds(timedelta(seconds=1, microseconds=1999)) == 1001
