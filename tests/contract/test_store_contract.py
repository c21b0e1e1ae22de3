"""The contract of what every party keeps: replay memory, settings, epochs, log, evidence."""

import pytest
import sqlalchemy as sa

from federation.store.errors import AlreadyStored, StoredRecordCorrupt, StoreUnavailable
from federation.store.party import START, Epochs, Evidence, Log, ReplayMemory, Settings, chained
from federation.store.portable import PAGE_ROWS
from federation.store.rows import SealedEntry
from federation.store.schema import log, replay
from tests.contract.store_support import NOW, drop_guards, epoch


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
    memory.admit(b"k", now=NOW, until=NOW + 10)
    memory.admit(b"other", now=NOW + 11, until=NOW + 20)
    assert database.read(lambda connection: connection.scalars(sa.select(replay.c.key)).all()) == [b"other"]


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


def test_log_chains_its_entries(database):
    entries = Log(database)
    assert entries.verify() == 0
    first = entries.append(SealedEntry(at=NOW, sealed=b"first"))
    second = entries.append(SealedEntry(at=NOW + 1, sealed=b"second"))
    assert (first.sequence, first.digest) == (1, chained(START, NOW, b"first"))
    assert (second.sequence, second.digest) == (2, chained(first.digest, NOW + 1, b"second"))
    assert list(entries.entries()) == [first, second]
    assert list(entries.entries(after=1)) == [second]
    assert entries.verify() == 2


def test_log_longer_than_a_page_comes_whole(database):
    entries = Log(database)
    for number in range(PAGE_ROWS + 3):
        entries.append(SealedEntry(at=NOW, sealed=b"%d" % number))
    assert [entry.sequence for entry in entries.entries()] == list(range(1, PAGE_ROWS + 4))
    assert entries.verify() == PAGE_ROWS + 3


CHANGES = {
    "update": sa.update(log).values(sealed=b""),
    "update_of_one_time": sa.update(log).where(log.c.sequence == 2).values(at=0),
    "delete": sa.delete(log),
    "second_entry_of_a_number": sa.insert(log).values(sequence=1, at=0, sealed=b"", digest=b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_log_change_is_refused_by_the_database(database, change):
    entries = Log(database)
    kept = [entries.append(SealedEntry(at=NOW, sealed=b"1")), entries.append(SealedEntry(at=NOW, sealed=b"2"))]
    with pytest.raises(StoreUnavailable):
        database.write(lambda connection: connection.execute(change))
    assert list(entries.entries()) == kept


FORGERIES = {
    "entry": sa.update(log).where(log.c.sequence == 2).values(sealed=b"forged"),
    "time": sa.update(log).where(log.c.sequence == 2).values(at=NOW - 1),
    "digest": sa.update(log).where(log.c.sequence == 3).values(digest=bytes(32)),
    "missing_entry": sa.delete(log).where(log.c.sequence == 2),
    "missing_start": sa.delete(log).where(log.c.sequence == 1),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_log_altered_behind_the_triggers_is_found_corrupt(database, forgery):
    entries = Log(database)
    for number in range(3):
        entries.append(SealedEntry(at=NOW, sealed=b"%d" % number))

    def forge(connection):
        drop_guards(connection)
        connection.execute(forgery)

    database.write(forge)
    with pytest.raises(StoredRecordCorrupt):
        entries.verify()


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


def test_evidence_of_many_pages_and_one_time_comes_whole(database):
    evidence = Evidence(database)
    for number in range(PAGE_ROWS * 2):
        evidence.add("p1", b"%d" % number, b"sealed", at=NOW)
    assert len({reference for _, reference, _, _ in evidence.all()}) == PAGE_ROWS * 2
