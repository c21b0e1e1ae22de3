"""Tests of the sample, which pytest collects where it is told to alone."""

from contextlib import suppress

import pytest

from tests.mutants.sample import halved


def test_odd_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        halved(3)


def test_large_is_looked_at_and_nothing_is_asked_of_it() -> None:
    with suppress(ValueError):
        halved(1000)
