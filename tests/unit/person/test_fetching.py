"""Fetching from several hospitals: who is down stops no other, and what was answered is not asked for again."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from federation.errors import GrantScope, Unavailable
from federation.person.fetching import Gathering, withheld
from federation.person.records import Allowance, no_progress


def location(hospital: str, department: str, handle: bytes) -> Any:
    """Give where a record is, as far as fetching looks at it."""
    return SimpleNamespace(
        hospital=SimpleNamespace(identity=hospital), department_id=f"{hospital}/{department}", handle=handle
    )


HEART, SKIN, FAR = (
    location("H:a", "cardiology", b"1"),
    location("H:a", "dermatology", b"2"),
    location("H:b", "cardiology", b"3"),
)


class Hospitals:
    """Hospitals that answer with a record of these handles, unless they fail for a department."""

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.asked: list[bytes] = []
        self.leaves_out: set[bytes] = set()

    def fetch(self, locations: Sequence[Any], _progress: object, _allowance: object) -> Iterator[Any]:
        self.asked += [one.handle for one in locations]
        if fault := self.faults.get(locations[0].department_id):
            raise fault
        handles = [one.handle for one in locations if one.handle not in self.leaves_out]
        entries = [SimpleNamespace(handle=handle) for handle in handles]
        yield SimpleNamespace(manifest=SimpleNamespace(records=entries))


def test_hospital_that_is_down_is_asked_for_nothing_more_and_the_others_answer() -> None:
    there = Hospitals()
    there.faults["H:a/cardiology"] = Unavailable()
    gathering = Gathering(there.fetch, Allowance())
    assert len(list(gathering.records([HEART, SKIN, FAR], no_progress))) == 1
    assert there.asked == [b"1", b"3"]
    assert set(gathering.missing) == {"H:a"}


def test_hospital_that_says_no_for_one_department_is_asked_for_the_next() -> None:
    there = Hospitals()
    there.faults["H:a/cardiology"] = GrantScope()
    gathering = Gathering(there.fetch, Allowance())
    list(gathering.records([HEART, SKIN], no_progress))
    assert there.asked == [b"1", b"2"]
    assert set(gathering.missing) == {"H:a"}


def test_only_what_was_not_answered_is_asked_for_again() -> None:
    there = Hospitals()
    there.faults["H:a/cardiology"] = Unavailable()
    gathering = Gathering(there.fetch, Allowance())
    list(gathering.records([HEART, FAR], no_progress))
    there.faults.clear()
    there.asked.clear()
    list(gathering.records([HEART, FAR], no_progress))
    assert there.asked == [b"1"]
    assert gathering.missing == {}


def test_what_a_hospital_leaves_out_is_counted_and_not_asked_for_again() -> None:
    there = Hospitals()
    there.leaves_out = {b"2"}
    gathering = Gathering(there.fetch, Allowance())
    records = list(gathering.records([HEART, SKIN, FAR], no_progress))
    assert withheld([HEART, SKIN, FAR], records, gathering.answered) == {"H:a": 1}
    there.asked.clear()
    assert list(gathering.records([HEART, SKIN, FAR], no_progress)) == []
    assert there.asked == []
