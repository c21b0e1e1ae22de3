"""The contract of the administration of a hospital's records: each change and its entry in the log are there together, or not."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.store.errors import AlreadyStored, NotStored, StillHeld, StillKept
from federation.store.log import Log
from federation.store.portable import PAGE_ROWS
from federation.store.records import OutboxEntries, Records, RecordsAdministration
from federation.store.rows import Hold, Standing
from tests.contract.store_support import NOW, on_file, outbox_entry, record, sealed_entry

HANDLE = record().handle
PAST, LATER = NOW - 1, NOW + 1


@pytest.fixture
def outbox(database):
    return OutboxEntries(database)


@pytest.fixture
def records(database):
    store = Records(database)
    store.add(record(), blobs=(), outbox=None, answer=None)
    return store


@pytest.fixture
def administration(database, records):
    return RecordsAdministration(database)


@pytest.fixture
def log(database):
    return Log(database)


def entry(text=b"why", *, at=NOW):
    return sealed_entry(at, text)


def found(records):
    return on_file(records)


def erase(administration, *, number=9, at=NOW, blobs=("a" * 32,), versions=None):
    given = administration.versions(HANDLE) if versions is None else versions
    return administration.erase(given, blobs=blobs, outbox=outbox_entry(number), entry=entry(at=at))


def test_record_is_kept_until_the_date_that_every_version_got(administration, records, log):
    records.add(record(version=2), blobs=(), outbox=None, answer=None)
    administration.keep(HANDLE, LATER, entry(b"a law"))
    assert [version.keep_until for version in administration.versions(HANDLE)] == [LATER, LATER]
    assert [kept.sealed for kept in log.entries()] == [b"a law"]


def test_retention_of_no_record_is_refused_and_not_logged(administration, log):
    with pytest.raises(NotStored):
        administration.keep(b"absent", LATER, entry())
    assert list(log.entries()) == []


def test_records_past_their_retention_are_those_of_which_no_version_is_kept(administration, records):
    for handle, dates in ((b"past", [PAST, PAST]), (b"newer", [PAST, LATER]), (b"undated", [PAST, None])):
        for number, until in enumerate(dates, start=1):
            records.add(
                type(record())(**vars(record(handle, number)) | {"keep_until": until}),
                blobs=(),
                outbox=None,
                answer=None,
            )
    assert list(administration.handles(kept_until_before=NOW)) == [b"past"]
    assert list(administration.handles(undated=True)) == [HANDLE, b"undated"]
    assert len(list(administration.handles(patient_keys=[record().patient_key]))) == 4
    assert list(administration.handles(patient_keys=[b"q" * 32])) == []


def test_records_of_many_pages_are_all_listed(administration, records):
    for number in range(PAGE_ROWS + 1):
        records.add(record(b"%05d" % number), blobs=(), outbox=None, answer=None)
    assert len(set(administration.handles())) == PAGE_ROWS + 2


def test_hold_is_placed_and_released_with_its_reason_in_the_log(administration, log):
    placed = entry(b"a court")
    administration.hold(HANDLE, b"1", placed)
    hold = Hold(HANDLE, b"1", NOW, placed.entry_id)
    assert list(administration.holds(HANDLE)) == list(administration.holds()) == [hold]
    administration.release(HANDLE, b"1", entry(b"the court again"))
    assert list(administration.holds()) == []
    assert [kept.sealed for kept in log.entries()] == [b"a court", b"the court again"]


def test_hold_on_no_record_and_release_of_no_hold_are_refused_and_not_logged(administration, log):
    with pytest.raises(NotStored):
        administration.hold(b"absent", b"1", entry())
    with pytest.raises(NotStored):
        administration.release(HANDLE, b"1", entry())
    assert list(log.entries()) == []


def test_record_withdrawn_is_not_found_until_it_is_shown_again(administration, records, log, outbox):
    assert administration.standing(HANDLE) is None
    why, why_not = entry(b"in error"), entry(b"not in error", at=LATER)
    assert administration.stand(HANDLE, "withdrawn", outbox_entry(1), why)
    assert found(records) == []
    assert administration.standing(HANDLE) == Standing(HANDLE, "withdrawn", NOW, why.entry_id)
    assert not administration.stand(HANDLE, "withdrawn", outbox_entry(2), entry())
    assert administration.stand(HANDLE, "shown", outbox_entry(3), why_not)
    assert found(records) == [record()]
    assert outbox.size() == 2
    assert [kept.sealed for kept in log.entries()] == [b"in error", b"not in error"]
    assert list(administration.standings("shown")) == [Standing(HANDLE, "shown", LATER, why_not.entry_id)]


def test_record_that_was_never_withdrawn_is_shown_already(administration, log, outbox):
    assert not administration.stand(HANDLE, "shown", outbox_entry(1), entry())
    with pytest.raises(NotStored):
        administration.stand(b"absent", "withdrawn", outbox_entry(1), entry())
    assert outbox.size() == len(list(log.entries())) == 0


def test_correction_is_the_next_version_and_the_one_that_is_found(administration, records, log):
    administration.correct(record(version=2), entry(b"a slip"), blobs=())
    assert found(records) == [record(version=2)]
    assert administration.versions(HANDLE) == [record(), record(version=2)]
    with pytest.raises(AlreadyStored):
        administration.correct(record(version=2), entry(), blobs=())
    with pytest.raises(NotStored):
        administration.correct(record(version=4), entry(), blobs=())
    with pytest.raises(NotStored):
        administration.correct(record(b"absent", 2), entry(), blobs=())
    assert [kept.sealed for kept in log.entries()] == [b"a slip"]


def test_record_past_its_retention_is_erased_with_every_trace_but_its_standing(administration, records, log, outbox):
    records.add(record(version=2), blobs=(), outbox=None, answer=None)
    administration.keep(HANDLE, PAST, entry(b"retention"))
    assert erase(administration)
    assert administration.versions(HANDLE) == found(records) == []
    assert administration.condemned(limit=9) == ["a" * 32]
    assert outbox.size() == 1
    *_, erased = log.entries()
    assert administration.standing(HANDLE) == Standing(HANDLE, "erased", NOW, erased.entry_id)
    assert erased.sequence == 2


def test_blobs_are_of_a_record_from_the_transaction_that_keeps_it_to_the_one_that_erases_it(administration, records):
    first, second, third = "a" * 32, "b" * 32, "c" * 32
    records.add(record(version=2), blobs=[first], outbox=None, answer=None)
    with pytest.raises(AlreadyStored):
        records.add(record(version=2), blobs=[third], outbox=None, answer=None)
    administration.correct(record(version=3), entry(), blobs=[second])
    with pytest.raises(AlreadyStored):
        administration.correct(record(version=3), entry(), blobs=[third])
    assert records.blobs_among([first, second, third]) == {first, second}
    administration.keep(HANDLE, PAST, entry())
    assert erase(administration, blobs=[first, second])
    assert records.blobs_among([first, second, third]) == set()


def test_record_held_is_not_erased(administration, log):
    administration.keep(HANDLE, PAST, entry())
    administration.hold(HANDLE, b"1", entry())
    with pytest.raises(StillHeld):
        erase(administration)
    assert administration.versions(HANDLE)
    assert administration.condemned(limit=9) == []
    assert len(list(log.entries())) == 2


@pytest.mark.parametrize("until", [None, NOW, LATER])
def test_record_whose_retention_is_not_over_is_not_erased(administration, until):
    if until is not None:
        administration.keep(HANDLE, until, entry())
    with pytest.raises(StillKept):
        erase(administration)
    assert administration.versions(HANDLE)


def test_record_that_was_corrected_or_erased_meanwhile_is_left_alone(administration, outbox):
    administration.keep(HANDLE, PAST, entry())
    before = administration.versions(HANDLE)
    administration.correct(record(version=2), entry(), blobs=())
    assert not erase(administration, versions=before)
    administration.keep(HANDLE, PAST, entry())
    assert erase(administration)
    assert not erase(administration, versions=before)
    assert outbox.size() == 1


def test_record_erased_is_neither_corrected_nor_held_nor_shown(administration):
    administration.keep(HANDLE, PAST, entry())
    assert erase(administration)
    for change in (
        lambda: administration.correct(record(version=2), entry(), blobs=()),
        lambda: administration.hold(HANDLE, b"1", entry()),
        lambda: administration.stand(HANDLE, "shown", outbox_entry(1), entry()),
        lambda: administration.keep(HANDLE, LATER, entry()),
    ):
        with pytest.raises(NotStored):
            change()


def test_blob_condemned_is_buried_once(administration):
    administration.keep(HANDLE, PAST, entry())
    erase(administration, blobs=("a" * 32, "b" * 32))
    assert len(administration.condemned(limit=1)) == 1
    for _ in range(2):
        administration.buried("a" * 32)
    assert administration.condemned(limit=9) == ["b" * 32]


def outcome(change):
    """Make a change, and say what came of it."""
    try:
        change()
    except (NotStored, StillHeld) as refusal:
        return refusal.reason
    return "done"


def test_hold_and_erasure_at_once_never_leave_an_erased_record_that_was_held(administration, records, log):
    for number in range(8):
        handle = b"%016d" % number
        records.add(record(handle), blobs=(), outbox=None, answer=None)
        administration.keep(handle, PAST, entry())
        versions = administration.versions(handle)
        with ThreadPoolExecutor(2) as pool:
            held = pool.submit(outcome, lambda handle=handle: administration.hold(handle, b"1", entry()))
            gone = pool.submit(
                outcome,
                lambda versions=versions, number=number: administration.erase(
                    versions, blobs=(), outbox=outbox_entry(number), entry=entry()
                ),
            )
        assert (held.result(), gone.result()) in {("done", "RECORD_HELD"), ("NOT_FOUND", "done")}
        assert bool(administration.versions(handle)) == (held.result() == "done")
    assert log.verify() == 16


def test_acts_and_entries_of_the_log_at_once_are_one_chain(administration, records, log):
    handles = [b"%016d" % number for number in range(12)]
    for handle in handles:
        records.add(record(handle), blobs=(), outbox=None, answer=None)
    with ThreadPoolExecutor(4) as pool:
        acts = [pool.submit(administration.keep, handle, LATER, entry()) for handle in handles]
        entries = [pool.submit(log.append, sealed_entry(NOW, b"access")) for _ in handles]
    for done in (*acts, *entries):
        done.result()
    assert log.verify() == 24
