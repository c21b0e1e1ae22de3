"""Entries of logs, as a patient's client puts them together."""

from federation.person.access_log import joined
from federation.protocol.access import BEGUN
from federation.v1.access_pb2 import ACCESS_KIND_READ, AccessEntry


def entry(number: int, reason: str, asker_id: str = "D:chen", authorization: bytes = b"a" * 32) -> AccessEntry:
    return AccessEntry(
        number=number,
        at=1000 * number,
        asker_id=asker_id,
        kind=ACCESS_KIND_READ,
        department_class="*",
        authorization=authorization,
        reason=reason,
    )


def told(*entries: AccessEntry) -> list[tuple[int, int, str, str]]:
    return [(it.number, it.at, it.entry.asker_id, it.reason) for it in joined("H:a", entries)]


def test_entry_that_says_how_an_access_ended_is_one_with_what_says_that_it_began() -> None:
    """Of two that go on at once, too, whatever order they came in."""
    entries = entry(4, "OK"), entry(3, "RECORD_CUT_SHORT", "D:roe"), entry(2, BEGUN, "D:roe"), entry(1, BEGUN)
    assert told(*entries) == [(4, 1000, "D:chen", "OK"), (3, 2000, "D:roe", "RECORD_CUT_SHORT")]


def test_access_whose_end_is_not_there_is_begun_and_one_refused_at_once_is_by_itself() -> None:
    entries = entry(3, "GRANT_REVOKED", authorization=b"b" * 32), entry(2, BEGUN), entry(1, "GRANT_MISSING")
    assert [(number, reason) for number, _, _, reason in told(*entries)] == [
        (3, "GRANT_REVOKED"),
        (2, BEGUN),
        (1, "GRANT_MISSING"),
    ]


def test_of_one_time_what_began_comes_before_what_ended() -> None:
    """Entries of one millisecond have their numbers by chance."""
    ended, begun = entry(1, "OK"), entry(2, BEGUN)
    begun.at = ended.at
    assert told(ended, begun) == [(1, 1000, "D:chen", "OK")]
