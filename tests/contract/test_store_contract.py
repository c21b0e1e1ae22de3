"""The contract of what every party keeps: replay memory, settings, epochs, log, evidence."""

import pytest
import sqlalchemy as sa

from federation.store.errors import AlreadyStored
from federation.store.party import ADMITTED_BETWEEN_SWEEPS, Epochs, Evidence, ReplayMemory, Settings
from federation.store.portable import FORGOTTEN_ROWS, PAGE_ROWS
from federation.store.schema import replay
from tests.contract.store_support import NOW, epoch


def test_replay_key_is_admitted_once(database):
    memory = ReplayMemory(database)
    assert memory.admit(b"k", now=NOW, until=NOW + 10)
    assert memory.admit(b"other", now=NOW, until=NOW + 10)


def test_replay_key_seen_before_is_refused(database):
    memory = ReplayMemory(database)
    memory.admit(b"k", now=NOW, until=NOW + 10)
    assert not memory.admit(b"k", now=NOW + 10, until=NOW + 20)


def test_replay_key_whose_time_is_over_is_forgotten(database):
    memory = ReplayMemory(database)
    kept = sa.select(sa.func.count()).select_from(replay)
    for number in range(6 * ADMITTED_BETWEEN_SWEEPS):
        # Each is over when the next one comes.
        assert memory.admit(b"%d" % number, now=NOW + 2 * number, until=NOW + 2 * number + 1)
        assert database.read(lambda connection: connection.scalars(kept).one()) <= ADMITTED_BETWEEN_SWEEPS + 1


def test_setting_is_what_was_put_last(database):
    settings = Settings(database)
    assert settings.get("ks") is None
    settings.put("ks", b"1")
    settings.put("ks", b"2")
    assert settings.get("ks") == b"2"


def test_setting_advances_to_a_higher_sequence(database):
    settings = Settings(database)
    assert settings.advance("list", 7, b"seven")
    assert settings.advance("list", 9, b"nine")
    assert settings.get("list") == b"nine"


@pytest.mark.parametrize("sequence", [8, 9])
def test_setting_of_an_equal_or_lower_sequence_is_refused(database, sequence):
    settings = Settings(database)
    settings.advance("list", 9, b"nine")
    assert not settings.advance("list", sequence, b"older")
    assert settings.get("list") == b"nine"


def test_setting_put_does_not_set_its_sequence_back(database):
    settings = Settings(database)
    settings.advance("list", 9, b"nine")
    settings.put("list", b"by hand")
    assert not settings.advance("list", 9, b"nine")
    assert settings.advance("list", 9, b"nine, whole", again=True)
    assert not settings.advance("list", 8, b"eight", again=True)
    assert settings.get("list") == b"nine, whole"


def test_setting_of_a_higher_sequence_than_the_one_at_hand_is_newer(database):
    settings = Settings(database)
    settings.advance("list", 9, b"nine")
    assert settings.newer("list", -1) == settings.newer("list", 8) == (9, b"nine")


@pytest.mark.parametrize("sequence", [9, 10, 2**64 - 1])
def test_setting_of_an_equal_or_lower_sequence_is_not_newer(database, sequence):
    settings = Settings(database)
    settings.advance("list", 9, b"nine")
    assert settings.newer("list", sequence) is None


def test_setting_without_a_sequence_is_never_newer(database):
    settings = Settings(database)
    assert settings.newer("ks", -1) is None
    settings.put("ks", b"1")
    assert settings.newer("ks", -1) is None


def test_sequence_of_a_setting_lies_before_its_value(database):
    """SQLite goes through all that lies before a column: to learn that nothing is newer it would read a whole directory."""
    columns = [column["name"] for column in sa.inspect(database.engine).get_columns("settings")]
    assert columns.index("sequence") < columns.index("value")


def test_epochs_come_back_the_last_to_end_first(database):
    epochs = Epochs(database)
    early, late = epoch(1, not_after=NOW), epoch(2, not_after=NOW + 1)
    epochs.put(early)
    epochs.put(late)
    assert epochs.all() == [late, early]


def test_epoch_that_is_there_is_not_replaced(database):
    epochs = Epochs(database)
    epochs.put(epoch(1, not_after=NOW))
    with pytest.raises(AlreadyStored):
        epochs.put(epoch(1, not_after=NOW + 1))
    assert epochs.all() == [epoch(1, not_after=NOW)]


def test_epoch_dropped_is_gone(database):
    epochs = Epochs(database)
    epochs.put(epoch(1, not_after=NOW))
    epochs.drop(epoch(1, not_after=NOW).key_id)
    epochs.drop(b"absent")
    assert epochs.all() == []


def test_time_beyond_what_the_database_holds_is_never(database):
    epochs = Epochs(database)
    epochs.put(epoch(1, not_after=2**64 - 1))
    assert epochs.all()[0].not_after == 2**63 - 1


def test_evidence_comes_back_oldest_first_and_by_kind(database):
    evidence = Evidence(database)
    evidence.add("p1", b"ref", b"sealed", at=NOW + 1)
    evidence.add("d5", b"ref", b"sealed", at=NOW)
    assert list(evidence.all()) == [("d5", b"ref", b"sealed", NOW), ("p1", b"ref", b"sealed", NOW + 1)]
    assert list(evidence.all("p1")) == [("p1", b"ref", b"sealed", NOW + 1)]
    assert list(evidence.all("none")) == []


def test_evidence_added_twice_is_kept_once(database):
    evidence = Evidence(database)
    for _ in range(2):
        evidence.add("p1", b"ref", b"sealed", at=NOW)
    evidence.add("p1", b"ref", b"another", at=NOW)
    assert len(list(evidence.all())) == 2


def test_evidence_of_a_kind_is_forgotten_where_it_is_older_than_a_time(database):
    evidence = Evidence(database)
    for number in range(FORGOTTEN_ROWS + 1):
        evidence.add("d3", b"%d" % number, b"sealed", at=NOW - 1)
    evidence.add("d3", b"young", b"sealed", at=NOW)
    evidence.add("p1", b"other", b"sealed", at=NOW - 1)
    assert evidence.forget("d3", before=NOW) == FORGOTTEN_ROWS + 1
    assert evidence.forget("d3", before=NOW) == 0
    assert {reference for _, reference, _, _ in evidence.all()} == {b"young", b"other"}


def test_evidence_of_many_pages_and_one_time_comes_whole(database):
    evidence = Evidence(database)
    for number in range(PAGE_ROWS * 2):
        evidence.add("p1", b"%d" % number, b"sealed", at=NOW)
    assert len({reference for _, reference, _, _ in evidence.all()}) == PAGE_ROWS * 2
