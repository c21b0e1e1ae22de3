"""Time stamps over heads of the own log, on every database."""

from dataclasses import replace

from federation.store.database import Database
from federation.store.rows import StoredTimeStamp
from federation.store.time_stamps import TimeStamps

STAMP = StoredTimeStamp(1, 10, b"note of ten", b"ks", b"answer", 1000)
LATER = replace(STAMP, size=20, note=b"note of twenty", at=2000)
ANEW = replace(STAMP, number=2, size=5, note=b"note of five", at=3000)


def test_first_stamp_of_a_head_stays(database: Database) -> None:
    stamps = TimeStamps(database)
    assert stamps.newest() is None
    assert stamps.put(STAMP)
    assert not stamps.put(replace(STAMP, time_stamp=b"another", at=9999))
    assert stamps.newest() == STAMP


def test_newest_is_of_the_latest_log_and_its_largest_head(database: Database) -> None:
    stamps = TimeStamps(database)
    for stamp in (LATER, ANEW, STAMP):
        stamps.put(stamp)
    assert stamps.newest() == ANEW


def test_smallest_head_that_covers_a_size_is_found_in_its_own_log_alone(database: Database) -> None:
    stamps = TimeStamps(database)
    for stamp in (LATER, ANEW, STAMP):
        stamps.put(stamp)
    assert [stamps.covering(1, size) for size in (1, 10, 11, 20, 21)] == [STAMP, STAMP, LATER, LATER, None]
    assert stamps.covering(2, 6) is None
    assert stamps.covering(3, 1) is None
