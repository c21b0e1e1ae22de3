"""Entries of logs, as a patient's client puts them together and remembers them."""

from pathlib import Path

from federation.person.access_log import LastLook, joined
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


def test_last_look_is_kept_for_each_patient_and_log_and_never_goes_back(tmp_path: Path) -> None:
    look = LastLook(tmp_path / "accesses.json")
    assert look.number("P:wang", "H:a") == 0
    look.remember("P:wang", "H:a", [entry(2, "OK"), entry(1, BEGUN)])
    look.remember("P:lin", "H:a", [entry(7, "OK")])
    look.remember("P:wang", "H:a", [])
    again = LastLook(tmp_path / "accesses.json")
    assert [again.number(*whose) for whose in (("P:wang", "H:a"), ("P:lin", "H:a"), ("P:wang", "H:b"))] == [2, 7, 0]


def test_file_that_holds_something_else_makes_everything_new(tmp_path: Path) -> None:
    path = tmp_path / "accesses.json"
    for content in ("{", "[]", '{"P:wang H:a": "2"}'):
        path.write_text(content)
        assert LastLook(path).number("P:wang", "H:a") == 0
