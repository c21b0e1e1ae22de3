"""The contract of what rotation needs: walks beside writers, replacement by comparison, renewals, the chain of trust."""

from dataclasses import replace

import pytest

from federation.store.directory import TrustChain
from federation.store.errors import AlreadyStored, NotStored
from federation.store.index import Index
from federation.store.party import Epochs, Evidence
from federation.store.portable import COUNTED_ROWS, PAGE_ROWS
from federation.store.records import OutboxEntries, Records
from federation.store.registrations import Registrations
from federation.store.rows import RowName, SealedRow, Superseded
from federation.store.schema import index_rows
from tests.contract.store_support import (
    MINUTE,
    NOW,
    epoch,
    on_file,
    outbox_entry,
    record,
    register,
    registration,
    statement,
)

OLD, NEW = b"sealed", b"sealed anew"
ROW = SealedRow(7, b"1", b"a", b"owner", b"level", OLD)
MOVED = SealedRow(8, b"2", b"b", b"owner anew", b"level anew", NEW, generation=2)


def sealed_things(database):
    """Each kind of thing that is sealed: a function that seals it anew, and one that gives what is sealed in it now."""
    Epochs(database).put(replace(epoch(1, not_after=NOW), sealed_seed=OLD))
    Evidence(database).add("p1", b"ref", OLD, at=NOW)
    Records(database).add(record(), blobs=(), outbox=replace(outbox_entry(), sealed=OLD), answer=None)
    Index(database).upsert(ROW)
    register(Registrations(database), replace(registration(), sealed_shared_key=OLD))
    epochs, evidence, outbox = Epochs(database), Evidence(database), OutboxEntries(database)
    index, registrations = Index(database), Registrations(database)
    piece = next(evidence.walk())
    return {
        "epoch": (lambda *two: epochs.reseal(bytes([1]) * 16, *two), lambda: epochs.all()[0].sealed_seed),
        "evidence": (
            lambda *two: evidence.reseal(piece.entry_id, *two),
            lambda: next(evidence.walk()).sealed,
        ),
        "outbox": (
            lambda *two: outbox.reseal(outbox_entry().entry_id, *two),
            lambda: next(outbox.all()).sealed,
        ),
        "index": (
            lambda old, new: index.reseal(replace(ROW, sealed=old), new),
            lambda: next(index.walk()).sealed,
        ),
        "registration": (
            lambda *two: registrations.reseal("P:ann", *two),
            lambda: next(registrations.walk()).sealed_shared_key,
        ),
    }


KINDS = ("epoch", "evidence", "outbox", "index", "registration")


@pytest.mark.parametrize("kind", KINDS)
def test_thing_sealed_anew_is_that_from_then_on(database, kind):
    reseal, sealed = sealed_things(database)[kind]
    assert reseal(OLD, NEW)
    assert sealed() == NEW


@pytest.mark.parametrize("kind", KINDS)
def test_thing_changed_meanwhile_is_not_sealed_anew(database, kind):
    reseal, sealed = sealed_things(database)[kind]
    assert reseal(OLD, b"a server's")
    assert not reseal(OLD, NEW)
    assert sealed() == b"a server's"


def test_evidence_sealed_anew_keeps_its_id_and_all_else(database):
    evidence = Evidence(database)
    evidence.add("p1", b"ref", OLD, at=NOW)
    before = next(evidence.walk())
    evidence.reseal(before.entry_id, OLD, NEW)
    assert list(evidence.walk()) == [replace(before, sealed=NEW)]
    assert list(evidence.all()) == [("p1", b"ref", NEW, NOW)]


def test_thing_that_is_gone_is_not_sealed_anew(database):
    assert not Epochs(database).reseal(b"k" * 16, OLD, NEW)
    assert not Evidence(database).reseal(b"e" * 32, OLD, NEW)
    assert not OutboxEntries(database).reseal(b"o" * 16, OLD, NEW)
    assert not Index(database).reseal(ROW, NEW)
    assert not Registrations(database).reseal("P:ann", OLD, NEW)


def test_key_statement_signed_anew_takes_the_old_ones_place(database):
    registrations = Registrations(database)
    register(registrations, registration())
    assert registrations.restate("P:ann", statement("ks"), statement("new"))
    assert registrations.live("P:ann") == replace(registration(), key_statement=statement("new"))


@pytest.mark.parametrize(
    "old", [replace(statement("ks"), signature=b"x"), statement("other")], ids=["signature", "all"]
)
def test_key_statement_changed_meanwhile_is_left(database, old):
    registrations = Registrations(database)
    register(registrations, registration())
    assert not registrations.restate("P:ann", old, statement("new"))
    assert not registrations.restate("P:eve", statement("ks"), statement("new"))
    assert registrations.live("P:ann") == registration()


def test_walk_of_many_pages_gives_each_row_once_while_it_seals_them_anew(database):
    index = Index(database)
    rows = [
        SealedRow(number // 2, b"%04d" % number, b"a", b"owner", b"level", OLD) for number in range(PAGE_ROWS * 2 + 1)
    ]
    for row in rows:
        index.upsert(row)
    walked = []
    for row in index.walk():
        walked.append(row)
        assert index.reseal(row, NEW)
    assert walked == rows
    assert {row.sealed for row in index.walk()} == {NEW}


def test_walk_holds_no_transaction_open_and_sees_what_comes_before_its_place(database):
    registrations = Registrations(database)
    for number in range(PAGE_ROWS + 1):
        register(registrations, registration(f"P:{number:04}", serial=number.to_bytes(16, "big")))
    walk = registrations.walk()
    first = next(walk)
    register(registrations, registration("P:9999", serial=b"9" * 16))
    registrations.authorize_reissue(f"P:{PAGE_ROWS:04}", PAGE_ROWS.to_bytes(16, "big"))
    walked = [first, *walk]
    assert [one.identity for one in walked] == [f"P:{number:04}" for number in range(PAGE_ROWS)] + ["P:9999"]


def test_outbox_of_many_pages_comes_whole_due_or_not(database):
    records, outbox = Records(database), OutboxEntries(database)
    for number in range(PAGE_ROWS + 1):
        entry = replace(outbox_entry(), entry_id=number.to_bytes(16, "big"), not_before=NOW + number)
        records.add(record(b"%d" % number), blobs=(), outbox=entry, answer=None)
    assert len({entry.entry_id for entry in outbox.all()}) == PAGE_ROWS + 1


def test_record_wrapped_anew_is_found_under_its_new_key_alone(database):
    records = Records(database)
    records.add(record(), blobs=(), outbox=None, answer=None)
    new = replace(record(patient=b"q" * 32), wrapped_key=NEW, sealed_parts=b"parts anew", generation=2)
    assert records.rewrap(record(), new)
    assert on_file(records, b"q" * 32) == records.of_handles([b"q" * 32], [new.handle]) == [new]
    assert on_file(records, b"p" * 32) == records.of_handles([b"p" * 32], [new.handle]) == []


def test_record_wrapped_by_another_meanwhile_is_left(database):
    records = Records(database)
    records.add(record(), blobs=(), outbox=None, answer=None)
    first, second = (replace(record(), wrapped_key=NEW, sealed_parts=parts) for parts in (b"1", b"2"))
    assert records.rewrap(record(), first)
    assert not records.rewrap(record(), second)
    assert list(records.all()) == [first]


@pytest.mark.parametrize(
    "other", [record(b"x"), record(version=2), record(stored_at=NOW + 1)], ids=["handle", "version", "time"]
)
def test_record_wrapped_anew_as_another_record_is_refused(database, other):
    with pytest.raises(ValueError, match="same record"):
        Records(database).rewrap(record(), other)


def test_record_whose_versions_are_under_two_generations_is_found_once_and_newest(database):
    records = Records(database)
    old, new = record(version=1), replace(record(version=2, patient=b"q" * 32), generation=2)
    other = record(b"other", stored_at=NOW + 1)
    for one in (old, new, other):
        records.add(one, blobs=(), outbox=None, answer=None)
    keys = [b"p" * 32, b"q" * 32]
    assert on_file(records, *keys) == records.of_handles(keys, [new.handle, b"other"]) == [new, other]
    assert records.count_of(keys, most=9) == 2


def test_records_are_counted_by_generation(database):
    records = Records(database)
    records.add(record(version=1), blobs=(), outbox=None, answer=None)
    records.add(replace(record(version=2), generation=2), blobs=(), outbox=None, answer=None)
    records.add(replace(record(version=3), generation=2), blobs=(), outbox=None, answer=None)
    assert [records.count(generation) for generation in (1, 2, 3)] == [1, 2, 0]


def test_index_row_moved_stands_under_its_new_name_alone(database):
    index = Index(database)
    index.upsert(ROW)
    assert index.move(ROW, MOVED)
    assert list(index.walk()) == [MOVED]
    assert [index.count(generation) for generation in (1, 2)] == [0, 1]


def test_index_row_withdrawn_or_changed_meanwhile_is_not_moved(database):
    index = Index(database)
    assert not index.move(ROW, MOVED)
    assert list(index.walk()) == []
    changed = replace(ROW, sealed=b"a server's")
    index.upsert(changed)
    assert not index.move(ROW, MOVED)
    assert list(index.walk()) == [changed]


def test_index_row_moved_to_where_a_newer_one_stands_gives_way_to_it(database):
    index = Index(database)
    newer = replace(MOVED, sealed=b"newer")
    index.upsert(ROW)
    index.upsert(newer)
    assert index.move(ROW, MOVED)
    assert list(index.walk()) == [newer]


def test_index_row_published_anew_replaces_its_own_under_older_generations(database):
    index = Index(database)
    index.upsert(ROW)
    index.upsert(replace(ROW, row_id=b"another"))
    index.upsert(MOVED, replaces=[ROW.name, RowName(9, b"absent", b"row")])
    assert list(index.walk()) == [replace(ROW, row_id=b"another"), MOVED]


def test_index_row_is_withdrawn_under_every_generation_at_once(database):
    index = Index(database)
    for row in (ROW, MOVED):
        index.upsert(row)
    index.withdraw(ROW.name, MOVED.name, RowName(9, b"absent", b"row"))
    assert list(index.walk()) == []


def test_index_of_more_rows_than_one_statement_counts_is_counted_whole(database):
    rows = [
        vars(replace(ROW, row_key=number.to_bytes(4, "big"), generation=1 + number % 2))
        for number in range(COUNTED_ROWS + 1)
    ]
    database.write(lambda connection: connection.execute(index_rows.insert(), rows))
    assert [Index(database).count(generation) for generation in (1, 2)] == [COUNTED_ROWS // 2 + 1, COUNTED_ROWS // 2]


def renewal(serial=b"2" * 16, *, not_after=NOW + 2 * MINUTE):
    return registration(serial=serial, not_before=NOW + 1, not_after=not_after)


def test_registration_renewed_is_the_live_one_and_the_old_serial_is_still_found(database):
    registrations = Registrations(database)
    register(registrations, registration())
    register(registrations, renewal(), supersedes=registration().serial)
    assert registrations.live("P:ann") == renewal()
    assert registrations.superseded("P:ann", now=NOW) == [Superseded(registration().serial, NOW + MINUTE)]
    assert registrations.superseded("P:eve", now=NOW) == []
    assert registrations.credential_of(registration().serial) == registration().credential
    assert registrations.credential_of(b"never issued") is None


def test_registration_renewed_often_tells_the_serials_that_are_not_over(database):
    registrations = Registrations(database)
    serials = [number.to_bytes(16, "big") for number in range(4)]
    register(registrations, renewal(serials[0], not_after=NOW + 9))
    for number in range(1, len(serials)):
        register(registrations, renewal(serials[number], not_after=NOW + 9 - number), supersedes=serials[number - 1])
    assert [one.serial for one in registrations.superseded("P:ann", now=NOW)] == [serials[2], serials[1], serials[0]]
    assert [one.serial for one in registrations.superseded("P:ann", now=NOW + 8)] == [serials[1], serials[0]]


def test_renewal_of_another_registration_than_the_live_one_is_refused_and_leaves_it(database):
    registrations = Registrations(database)
    register(registrations, registration())
    with pytest.raises(AlreadyStored):
        register(registrations, renewal(), supersedes=b"another".ljust(16))
    assert registrations.live("P:ann") == registration()
    assert registrations.superseded("P:ann", now=NOW) == []


def test_renewal_made_twice_is_taken_once(database):
    registrations = Registrations(database)
    register(registrations, registration())
    register(registrations, renewal(), supersedes=registration().serial)
    with pytest.raises(AlreadyStored):
        register(registrations, renewal(b"3" * 16), supersedes=registration().serial)
    assert registrations.live("P:ann") == renewal()


@pytest.mark.parametrize("now", [NOW, NOW + MINUTE + 1], ids=["never_registered", "over"])
def test_renewal_with_nothing_live_is_refused(database, now):
    registrations = Registrations(database)
    if now > NOW:
        register(registrations, registration())
    with pytest.raises(NotStored):
        register(registrations, renewal(), supersedes=registration().serial, now=now)
    assert registrations.superseded("P:ann", now=NOW) == []


def test_registrations_are_counted_by_when_their_credential_began(database):
    registrations = Registrations(database)
    for number in range(4):
        one = registration(
            f"P:{number}", serial=bytes([number]) * 16, not_before=NOW + number, not_after=NOW + 9 - number
        )
        register(registrations, one)
    assert registrations.count_issued(since=0, until=NOW + 2, now=NOW) == 2
    assert registrations.count_issued(since=NOW + 1, until=NOW + 4, now=NOW) == 3
    assert registrations.count_issued(since=NOW + 1, until=NOW + 4, now=NOW + 7) == 2
    assert registrations.count_issued(since=NOW + 4, until=NOW + 9, now=NOW) == 0


def test_trust_bundles_come_in_order_from_a_number_on(database):
    chain = TrustChain(database)
    assert chain.newest() is None
    for sequence in (1, 2, 10):
        chain.put(sequence, statement(str(sequence)))
    assert chain.newest() == (10, statement("10"))
    assert chain.after(0, limit=2) == [(1, statement("1")), (2, statement("2"))]
    assert chain.after(2, limit=2) == [(10, statement("10"))]
    assert chain.after(10, limit=2) == []


@pytest.mark.parametrize("sequence", [4, 5])
def test_trust_bundle_not_above_the_newest_is_refused(database, sequence):
    chain = TrustChain(database)
    chain.put(5, statement("5"))
    with pytest.raises(AlreadyStored):
        chain.put(sequence, statement("other"))
    assert chain.after(0, limit=9) == [(5, statement("5"))]
