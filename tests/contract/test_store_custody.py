"""The contract of a hospital's custody of its records: each change and its entry in the log are there together, or not."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.store.custody import RecordsAdministration
from federation.store.errors import AlreadyStored, NotStored, StillHeld, StillKept
from federation.store.party import Log
from federation.store.portable import PAGE_ROWS
from federation.store.records import Records
from federation.store.rows import Hold, SealedEntry, Standing
from tests.contract.store_support import IMPLEMENTATIONS, NOW, opened, outbox_entry, record

HANDLE = record().handle
PAST, LATER = NOW - 1, NOW + 1


@pytest.fixture(params=IMPLEMENTATIONS)
def database(request, tmp_path):
    yield from opened(request.param, tmp_path)


@pytest.fixture
def records(database):
    store = Records(database)
    store.add(record(), outbox=None, answer=None)
    return store


@pytest.fixture
def custody(database, records):
    return RecordsAdministration(database)


@pytest.fixture
def log(database):
    return Log(database)


def entry(text=b"why", *, at=NOW):
    return SealedEntry(at, text)


def found(records):
    return records.find([record().patient_key], department_class=None, handles=[])


def erase(custody, *, number=9, at=NOW, blobs=("a" * 32,), versions=None):
    given = custody.versions(HANDLE) if versions is None else versions
    return custody.erase(given, blobs=blobs, outbox=outbox_entry(number), entry=entry(at=at))


def test_record_is_kept_until_the_date_that_every_version_got(custody, records, log):
    records.add(record(version=2), outbox=None, answer=None)
    custody.keep(HANDLE, LATER, entry(b"a law"))
    assert [version.keep_until for version in custody.versions(HANDLE)] == [LATER, LATER]
    assert [kept.sealed for kept in log.entries()] == [b"a law"]


def test_retention_of_no_record_is_refused_and_not_logged(custody, log):
    with pytest.raises(NotStored):
        custody.keep(b"absent", LATER, entry())
    assert list(log.entries()) == []


def test_records_past_their_retention_are_those_of_which_no_version_is_kept(custody, records):
    for handle, dates in ((b"past", [PAST, PAST]), (b"newer", [PAST, LATER]), (b"undated", [PAST, None])):
        for number, until in enumerate(dates, start=1):
            records.add(
                type(record())(**vars(record(handle, number)) | {"keep_until": until}), outbox=None, answer=None
            )
    assert list(custody.handles(kept_until_before=NOW)) == [b"past"]
    assert list(custody.handles(undated=True)) == [HANDLE, b"undated"]
    assert len(list(custody.handles(patient_keys=[record().patient_key]))) == 4
    assert list(custody.handles(patient_keys=[b"q" * 32])) == []


def test_records_of_many_pages_are_all_listed(custody, records):
    for number in range(PAGE_ROWS + 1):
        records.add(record(b"%05d" % number), outbox=None, answer=None)
    assert len(set(custody.handles())) == PAGE_ROWS + 2


def test_hold_is_placed_and_released_with_its_reason_in_the_log(custody, log):
    custody.hold(HANDLE, b"1", entry(b"a court"))
    assert list(custody.holds(HANDLE)) == list(custody.holds()) == [Hold(HANDLE, b"1", NOW, 1)]
    custody.release(HANDLE, b"1", entry(b"the court again"))
    assert list(custody.holds()) == []
    assert [kept.sealed for kept in log.entries()] == [b"a court", b"the court again"]


def test_hold_on_no_record_and_release_of_no_hold_are_refused_and_not_logged(custody, log):
    with pytest.raises(NotStored):
        custody.hold(b"absent", b"1", entry())
    with pytest.raises(NotStored):
        custody.release(HANDLE, b"1", entry())
    assert list(log.entries()) == []


def test_record_withdrawn_is_not_found_until_it_is_shown_again(custody, records, log):
    assert custody.standing(HANDLE) is None
    assert custody.stand(HANDLE, "withdrawn", outbox_entry(1), entry(b"in error"))
    assert found(records) == []
    assert custody.standing(HANDLE) == Standing(HANDLE, "withdrawn", NOW, 1)
    assert not custody.stand(HANDLE, "withdrawn", outbox_entry(2), entry())
    assert custody.stand(HANDLE, "shown", outbox_entry(3), entry(b"not in error", at=LATER))
    assert found(records) == [record()]
    assert records.outbox_size() == 2
    assert [kept.sealed for kept in log.entries()] == [b"in error", b"not in error"]
    assert list(custody.standings("shown")) == [Standing(HANDLE, "shown", LATER, 2)]


def test_record_that_was_never_withdrawn_is_shown_already(custody, records, log):
    assert not custody.stand(HANDLE, "shown", outbox_entry(1), entry())
    with pytest.raises(NotStored):
        custody.stand(b"absent", "withdrawn", outbox_entry(1), entry())
    assert records.outbox_size() == len(list(log.entries())) == 0


def test_correction_is_the_next_version_and_the_one_that_is_found(custody, records, log):
    custody.correct(record(version=2), entry(b"a slip"))
    assert found(records) == [record(version=2)]
    assert custody.versions(HANDLE) == [record(), record(version=2)]
    with pytest.raises(AlreadyStored):
        custody.correct(record(version=2), entry())
    with pytest.raises(NotStored):
        custody.correct(record(version=4), entry())
    with pytest.raises(NotStored):
        custody.correct(record(b"absent", 2), entry())
    assert [kept.sealed for kept in log.entries()] == [b"a slip"]


def test_record_past_its_retention_is_erased_with_every_trace_but_its_standing(custody, records, log):
    records.add(record(version=2), outbox=None, answer=None)
    custody.keep(HANDLE, PAST, entry(b"retention"))
    assert erase(custody)
    assert custody.versions(HANDLE) == found(records) == []
    assert custody.condemned(limit=9) == ["a" * 32]
    assert records.outbox_size() == 1
    assert custody.standing(HANDLE) == Standing(HANDLE, "erased", NOW, 2)
    assert len(list(log.entries())) == 2


def test_record_held_is_not_erased(custody, log):
    custody.keep(HANDLE, PAST, entry())
    custody.hold(HANDLE, b"1", entry())
    with pytest.raises(StillHeld):
        erase(custody)
    assert custody.versions(HANDLE)
    assert custody.condemned(limit=9) == []
    assert len(list(log.entries())) == 2


@pytest.mark.parametrize("until", [None, NOW, LATER])
def test_record_whose_retention_is_not_over_is_not_erased(custody, until):
    if until is not None:
        custody.keep(HANDLE, until, entry())
    with pytest.raises(StillKept):
        erase(custody)
    assert custody.versions(HANDLE)


def test_record_that_was_corrected_or_erased_meanwhile_is_left_alone(custody, records):
    custody.keep(HANDLE, PAST, entry())
    before = custody.versions(HANDLE)
    custody.correct(record(version=2), entry())
    assert not erase(custody, versions=before)
    custody.keep(HANDLE, PAST, entry())
    assert erase(custody)
    assert not erase(custody, versions=before)
    assert records.outbox_size() == 1


def test_record_erased_is_neither_corrected_nor_held_nor_shown(custody):
    custody.keep(HANDLE, PAST, entry())
    assert erase(custody)
    for change in (
        lambda: custody.correct(record(version=2), entry()),
        lambda: custody.hold(HANDLE, b"1", entry()),
        lambda: custody.stand(HANDLE, "shown", outbox_entry(1), entry()),
        lambda: custody.keep(HANDLE, LATER, entry()),
    ):
        with pytest.raises(NotStored):
            change()


def test_blob_condemned_is_buried_once(custody):
    custody.keep(HANDLE, PAST, entry())
    erase(custody, blobs=("a" * 32, "b" * 32))
    assert len(custody.condemned(limit=1)) == 1
    for _ in range(2):
        custody.buried("a" * 32)
    assert custody.condemned(limit=9) == ["b" * 32]


def outcome(change):
    """Make a change, and say what came of it."""
    try:
        change()
    except (NotStored, StillHeld) as refusal:
        return refusal.reason
    return "done"


def test_hold_and_erasure_at_once_never_leave_an_erased_record_that_was_held(custody, records, log):
    for number in range(8):
        handle = b"%016d" % number
        records.add(record(handle), outbox=None, answer=None)
        custody.keep(handle, PAST, entry())
        versions = custody.versions(handle)
        with ThreadPoolExecutor(2) as pool:
            held = pool.submit(outcome, lambda handle=handle: custody.hold(handle, b"1", entry()))
            gone = pool.submit(
                outcome,
                lambda versions=versions, number=number: custody.erase(
                    versions, blobs=(), outbox=outbox_entry(number), entry=entry()
                ),
            )
        assert (held.result(), gone.result()) in {("done", "RECORD_HELD"), ("NOT_FOUND", "done")}
        assert bool(custody.versions(handle)) == (held.result() == "done")
    assert log.verify() == 16


def test_acts_and_entries_of_the_log_at_once_are_one_chain(custody, records, log):
    handles = [b"%016d" % number for number in range(12)]
    for handle in handles:
        records.add(record(handle), outbox=None, answer=None)
    with ThreadPoolExecutor(4) as pool:
        acts = [pool.submit(custody.keep, handle, LATER, entry()) for handle in handles]
        entries = [pool.submit(log.append, at=NOW, sealed=b"access") for _ in handles]
    for done in (*acts, *entries):
        done.result()
    assert log.verify() == 24
