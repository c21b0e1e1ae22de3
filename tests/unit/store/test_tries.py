"""Trying again: with pauses that nobody shares, and not for ever."""

import time

from federation.store import transactions as module
from federation.store.transactions import tries


def test_tries_come_at_least_once_and_end_with_their_time():
    assert list(tries(0)) == [1]
    began = time.monotonic()
    made = list(tries(0.3))
    assert made == list(range(1, len(made) + 1))
    assert len(made) > 3
    assert time.monotonic() - began >= 0.3


def test_pauses_are_anything_up_to_a_length_that_doubles_to_a_tenth_of_a_second(monkeypatch):
    lengths, slept = [], []
    monkeypatch.setattr(module.random, "uniform", lambda least, most: lengths.append((least, most)) or most)
    monkeypatch.setattr(module.time, "sleep", slept.append)
    for made in range(1, 8):
        module.pause(made)
    assert [least for least, _ in lengths] == [0] * 7
    assert slept == [most for _, most in lengths] == [0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1]
