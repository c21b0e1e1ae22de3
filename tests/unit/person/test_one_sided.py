"""What one side's log has and the other's should: said where it tells something, and nowhere else."""

from federation.person.one_sided import UNREAD, UNSEARCHED, Side, known_since, remarks
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_GROUND_EMERGENCY,
    ACCESS_GROUND_NONE,
    ACCESS_GROUND_OWN,
    ACCESS_KIND_READ,
    ACCESS_KIND_SEARCH,
    ACCESS_KIND_STORE,
    AccessEntry,
)

GRANT, OTHER = bytes(32), bytes(range(32))


HOUR = 3_600_000
NOW = 100 * HOUR


def access(kind: int, at: int = HOUR, number: int = 1, **fields: object) -> AccessEntry:
    given = {"asker_id": "D:chen", "ground": ACCESS_GROUND_CONSENT, "grant_digest": GRANT, "reason": "OK"} | fields
    return AccessEntry(kind=kind, at=at, number=number, **given)


def search(**fields: object) -> AccessEntry:
    return access(ACCESS_KIND_SEARCH, **fields)


def read(**fields: object) -> AccessEntry:
    return access(ACCESS_KIND_READ, **fields)


def said(at_cloud: list[AccessEntry], at_hospital: list[AccessEntry], *, is_whole: bool = True) -> list[str]:
    """What is said; each case is a vector of one_sided.json, too."""
    cloud, hospital = Side.of("C:union", at_cloud), Side.of("H:alpha", at_hospital)
    return list(remarks(cloud, [hospital], {OTHER}, asked_at=NOW, is_whole=is_whole).values())


def test_search_and_reading_by_one_grant_name_each_other() -> None:
    duties = read(authorization=bytes(32)), read(authorization=OTHER, number=2)
    assert said([search()], list(duties)) == []


def test_emergency_is_joined_by_what_was_shown() -> None:
    fields = {"ground": ACCESS_GROUND_EMERGENCY, "grant_digest": b"", "authorization": OTHER}
    assert said([search(**fields)], [read(**fields)]) == []
    assert said([search(**fields)], [read(**fields | {"authorization": GRANT})]) == [UNSEARCHED, UNREAD]


def test_reading_that_the_cloud_knows_nothing_of_is_said() -> None:
    assert said([], [read()]) == [UNSEARCHED]
    assert said([search(asker_id="D:roe")], [read()], is_whole=False) == [UNSEARCHED]


def test_search_after_which_no_hospital_tells_of_a_reading_is_said_where_all_were_asked() -> None:
    assert said([search()], []) == [UNREAD]
    assert said([search()], [], is_whole=False) == []


def test_nothing_is_said_of_what_is_of_one_side_by_nature() -> None:
    own = read(ground=ACCESS_GROUND_OWN, asker_id="P:wang", grant_digest=b"")
    refused = read(ground=ACCESS_GROUND_NONE, reason="GRANT_MISSING", grant_digest=b"", number=2)
    expired = read(reason="GRANT_EXPIRED", number=3)
    brought = access(ACCESS_KIND_STORE, number=4)
    looked = search(ground=ACCESS_GROUND_OWN, asker_id="P:wang", grant_digest=b"")
    assert said([looked], [own, refused, expired, brought]) == []


def test_nothing_is_said_of_a_grant_that_gives_no_right_to_search() -> None:
    assert said([], [read(grant_digest=OTHER)]) == []


def test_nothing_is_said_of_what_is_older_than_the_cloud_remembers() -> None:
    newest, older = search(at=50 * HOUR, number=7), search(at=40 * HOUR, number=6)
    assert known_since([newest, older]) == 40 * HOUR
    assert said([newest, older], [read(at=51 * HOUR, asker_id="D:roe")], is_whole=False) == []
    assert said([newest, older], [read(at=52 * HOUR, asker_id="D:roe")], is_whole=False) == [UNSEARCHED]


def test_nothing_is_said_of_what_is_older_than_a_hospital_remembers() -> None:
    older = read(at=40 * HOUR, number=6, ground=ACCESS_GROUND_OWN, asker_id="P:wang", grant_digest=b"")
    assert said([search(at=39 * HOUR)], [older]) == []
    assert said([search(at=41 * HOUR)], [older]) == [UNREAD]


def test_reading_that_goes_on_while_the_logs_are_asked_is_no_alarm() -> None:
    assert said([], [read(at=NOW - 1000)]) == []
    assert said([], [read(at=NOW - HOUR)]) == [UNSEARCHED]


def test_a_log_is_whole_from_its_first_entry_on_and_from_behind_a_gap() -> None:
    assert known_since([]) == 0
    assert known_since([search(at=9, number=2), search(at=8, number=1)]) == 0
    assert known_since([search(at=9, number=5), search(at=8, number=4), search(at=1, number=2)]) == 8
