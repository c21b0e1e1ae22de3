"""The contract of the log: a Merkle tree that any number of writers append to, and any process lets grow."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from federation.protocol.merkle import EMPTY_ROOT, inclusion_proof, leaf_hash, require_included
from federation.store.errors import NotStored, StoredRecordCorrupt, StoreUnavailable
from federation.store.grouping import GroupWriter
from federation.store.log import SHREDDED_AT_ONCE, TILE_WIDTH, Growing, Log
from federation.store.portable import PAGE_ROWS
from federation.store.rows import About
from federation.store.schema import accesses, log, log_entries, log_nodes, log_state, log_waiting
from tests.contract.store_support import NOW, drop_guards, sealed_entry
from tests.trees import head_of, reader_of


def appended(entries, number, *, first=0):
    """Append so many entries, each a moment after the one before, and return their leaves."""
    made = [sealed_entry(at=NOW + first + place, sealed=b"%d" % place) for place in range(number)]
    for it in made:
        entries.append(it)
    return [it.leaf for it in made]


def test_log_entry_that_waits_gets_its_number_by_its_time(database):
    entries = Log(database)
    later, earlier = sealed_entry(at=NOW + 1, sealed=b"later"), sealed_entry(at=NOW, sealed=b"earlier")
    for made in (later, earlier):
        entries.append(made)
    assert (entries.state(), list(entries.entries(up_to=0))) == ((1, 0, True), [])
    assert entries.sequence() == 2
    assert entries.state() == (1, 2, False)
    found = [(it.sequence, it.at, it.entry_id, it.leaf, it.sealed) for it in entries.entries()]
    assert found == [
        (number, it.at, it.entry_id, it.leaf, it.sealed) for number, it in enumerate((earlier, later), start=1)
    ]
    assert [entries.number_of(it.entry_id) for it in (earlier, later, sealed_entry())] == [1, 2, None]
    assert entries.entry_of(later.entry_id) == entries.entry(2)
    assert [it.sequence for it in entries.entries(after=1)] == [2]
    assert entries.sequence() == entries.verify() == 2


def test_log_entry_of_no_such_number_or_id_is_not_found(database):
    entries = Log(database)
    for look in (lambda: entries.entry(1), lambda: entries.entry_of(bytes(16)), lambda: entries.node(0, 0)):
        with pytest.raises(NotStored):
            look()


def test_log_of_nothing_has_the_root_of_nothing(database):
    assert (Log(database).verify(), Log(database).root(0)) == (0, EMPTY_ROOT)


def test_log_longer_than_a_page_comes_whole(database):
    entries = Log(database)
    appended(entries, PAGE_ROWS + 3)
    assert entries.verify() == PAGE_ROWS + 3
    assert [entry.sequence for entry in entries.entries()] == list(range(1, PAGE_ROWS + 4))


def test_log_grows_as_a_tree_whose_every_root_and_proof_is_that_of_its_leaves(database):
    entries, leaves = Log(database), []
    for number in (1, 1, 5, 248, 1, 1, 300, 211):
        leaves += appended(entries, number, first=len(leaves))
        assert entries.sequence() == len(leaves)
        assert entries.root(len(leaves)) == head_of(len(leaves), reader_of(leaves)).root
    for size in (1, 7, 255, 256, 257, 512, len(leaves)):
        assert entries.root(size) == head_of(size, reader_of(leaves)).root
    root = entries.root(len(leaves))
    for index in (0, 255, 256, len(leaves) - 1):
        proof = entries.reading(lambda read, index=index: inclusion_proof(index, len(leaves), read))
        require_included(leaves[index], index, len(leaves), proof, root)
    assert entries.tile(0, 1) == b"".join(leaves[256:512])
    assert entries.tile(1, 0, 3) == b"".join(entries.node(8, place) for place in range(3))
    assert entries.verify() == len(leaves) == 768


def test_log_tile_that_is_not_full_gives_what_it_has_and_no_more(database):
    entries = Log(database)
    leaves = appended(entries, 3)
    entries.sequence()
    assert entries.tile(0, 0, 2) == b"".join(leaves[:2])
    for level, index, width in ((0, 0, 4), (0, 0, 0), (0, 1, 1), (1, 0, 1)):
        with pytest.raises(NotStored):
            entries.tile(level, index, width)


def test_log_tree_keeps_a_hash_for_each_full_tile_of_full_tiles_too(database):
    entries, number = Log(database), TILE_WIDTH**2 + 2 * TILE_WIDTH + 1
    rows = [
        {"at": NOW, "entry_id": place.to_bytes(16, "big"), "leaf": place.to_bytes(32, "big"), "sealed": b""}
        for place in range(number)
    ]
    database.write(lambda connection: connection.execute(sa.insert(log_waiting), rows))
    assert entries.sequence() == number
    kept = sa.select(log_nodes.c.level, sa.func.count()).group_by(log_nodes.c.level).order_by(log_nodes.c.level)
    assert database.read(lambda connection: [tuple(row) for row in connection.execute(kept)]) == [(1, 258), (2, 1)]
    growing = Growing()
    for row in rows:
        growing.add(row["leaf"])
    assert entries.root(number) == growing.root()
    assert entries.tile(2, 0, 1) == entries.node(16, 0)
    assert entries.verify() == number


def test_log_takes_more_than_one_transaction_takes_in_several(database):
    entries = Log(database, at_once=100)
    leaves = appended(entries, 250)
    assert entries.sequence() == 250
    assert entries.root(250) == head_of(250, reader_of(leaves)).root


def test_log_of_many_threads_that_append_and_sequence_at_once_has_each_entry_once(database):
    logs = [Log(database) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        made = [sealed_entry(at=NOW + number, sealed=b"%d" % number) for number in range(120)]
        done = [threads.submit(logs[place % 4].append, it) for place, it in enumerate(made)]
        done += [threads.submit(logs[place % 4].sequence) for place in range(40)]
        for it in done:
            it.result()
    assert logs[0].verify() == 120
    assert {it.entry_id for it in logs[0].entries()} == {it.entry_id for it in made}


CHANGES = {
    "update": sa.update(log).values(leaf=b""),
    "update_of_one_time": sa.update(log).where(log.c.sequence == 2).values(at=0),
    "delete": sa.delete(log),
    "second_entry_of_a_number": sa.insert(log).values(sequence=1, at=0, entry_id=b"", leaf=b""),
    "node": sa.update(log_nodes).values(hash=b""),
    "node_that_goes": sa.delete(log_nodes),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_log_change_is_refused_by_the_database(database, change):
    entries = Log(database)
    appended(entries, TILE_WIDTH)
    entries.sequence()
    kept = list(entries.entries())
    with pytest.raises(StoreUnavailable):
        database.write(lambda connection: connection.execute(change))
    assert list(entries.entries()) == kept


FORGERIES = {
    "leaf": sa.update(log).where(log.c.sequence == 2).values(leaf=leaf_hash(b"forged")),
    "missing_entry": sa.delete(log).where(log.c.sequence == 2),
    "missing_start": sa.delete(log).where(log.c.sequence == 1),
    "missing_end": sa.delete(log).where(log.c.sequence == TILE_WIDTH + 1),
    "node": sa.update(log_nodes).values(hash=bytes(32)),
    "missing_node": sa.delete(log_nodes),
    "size": sa.update(log_state).values(size=TILE_WIDTH),
    "larger_size": sa.update(log_state).values(size=TILE_WIDTH + 2),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_log_altered_behind_the_triggers_is_found_corrupt(database, forgery):
    entries = Log(database)
    appended(entries, TILE_WIDTH + 1)
    entries.sequence()

    def forge(connection):
        drop_guards(connection)
        connection.execute(forgery)

    database.write(forge)
    with pytest.raises(StoredRecordCorrupt):
        entries.verify()


def test_log_entry_whose_time_is_over_is_shredded_and_its_leaf_stays(database):
    entries, about = Log(database), About(b"ann", 1)
    for number in range(SHREDDED_AT_ONCE + 2):
        entries.append(sealed_entry(at=NOW + number, sealed=b"%d" % number, about=about))
    size = entries.sequence()
    root = entries.root(size)
    assert [entries.shred(size - 1), entries.shred(size - 1), entries.shred(size - 1)] == [SHREDDED_AT_ONCE, 1, 0]
    assert [it.sealed for it in entries.entries(after=size - 2)] == [None, b"%d" % (size - 1)]
    assert (entries.verify(), entries.root(size)) == (size, root)
    left = [table.c.sequence for table in (accesses, log_entries)]
    for column in left:
        assert database.read(lambda connection, column=column: list(connection.scalars(sa.select(column)))) == [size]


def test_log_begun_anew_has_a_higher_number_and_goes_on(database):
    entries = Log(database)
    appended(entries, 2)
    assert entries.sequence() == 2
    assert [entries.begin_anew(now=70_000), entries.begin_anew(now=0)] == [7, 8]
    appended(entries, 1, first=2)
    assert entries.verify() == 3
    assert entries.state() == (8, 3, False)


def test_log_entry_that_cannot_be_written_is_refused_to_each_of_its_group(database):
    entries = Log(database)
    made = sealed_entry()
    entries.append(made)
    with pytest.raises(StoreUnavailable):
        entries.append(made)
    assert entries.verify() == 1


def test_group_is_written_by_one_and_each_is_told_what_became_of_its_own():
    written = []

    def write(items):
        written.append(list(items))
        if 13 in items:
            raise ValueError("thirteen")

    group = GroupWriter(write)
    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(group.put, number) for number in range(40)]
    failed = {number for number, it in enumerate(done) if it.exception() is not None}
    assert sorted(item for items in written for item in items) == list(range(40))
    assert failed == next(set(items) for items in written if 13 in items)


def test_growing_tree_has_the_root_of_its_leaves_at_every_size():
    leaves = [leaf_hash(b"%d" % number) for number in range(70)]
    growing = Growing()
    assert growing.root() == EMPTY_ROOT
    for size, leaf in enumerate(leaves, start=1):
        growing.add(leaf)
        assert growing.root() == head_of(size, reader_of(leaves)).root


def test_log_waits_for_nothing_once_it_is_sequenced(database):
    entries = Log(database)
    appended(entries, 3)
    entries.sequence()
    assert database.read(lambda connection: list(connection.execute(sa.select(log_waiting)))) == []
