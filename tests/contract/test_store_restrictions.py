"""The contract of what patients hide: the newest stands alone; which hospitals are to be told; names and seals anew."""

from dataclasses import replace

import pytest

from federation.store.errors import AlreadyAdmitted, AlreadyStored
from federation.store.index import Index
from federation.store.inspection import Survey
from federation.store.log import Log
from federation.store.restrictions import Restrictions
from federation.store.rows import Act, Admission, Deliveries, SealedRow, StoredRestriction, Wanted
from tests.contract.store_support import NOW, sealed_entry

ANN, EVE = b"ann" * 8, b"eve" * 8


def restriction(number: int, key: bytes = ANN, generation: int = 1) -> StoredRestriction:
    return StoredRestriction(key, number, b"sealed %d" % number, generation)


@pytest.fixture
def store(database):
    return Restrictions(database)


def due_at(store, hospital_id, limit=16):
    return [it.number for it in store.due_at(hospital_id, now=NOW, limit=limit)]


def test_newest_restriction_of_a_patient_stands_alone(store):
    assert store.of([ANN]) is None
    store.put(restriction(1))
    store.put(restriction(7))
    store.put(restriction(3, EVE))
    assert (store.of([ANN]), store.of([EVE]), store.of([b"lin"])) == (restriction(7), restriction(3, EVE), None)
    assert list(store.walk()) == [restriction(7), restriction(3, EVE)]


@pytest.mark.parametrize("number", [6, 7])
def test_restriction_that_is_no_newer_changes_nothing_and_is_not_logged(database, store, number):
    store.put(restriction(7))
    mark = store.mark()
    with pytest.raises(AlreadyStored):
        store.put(restriction(number), act=Act(sealed_entry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert (store.of([ANN]), store.mark(), Log(database).verify()) == (restriction(7), mark, 0)


def test_restriction_follows_what_stands_or_changes_nothing(store):
    with pytest.raises(AlreadyStored):
        store.put(restriction(7), follows=1)
    store.put(restriction(7), follows=0)
    for follows in (0, 6, 8):
        with pytest.raises(AlreadyStored):
            store.put(restriction(8), follows=follows)
    store.put(restriction(8), follows=7)
    assert store.of([ANN]) == restriction(8)


def test_restriction_under_an_older_key_gives_way_and_counts(store):
    store.put(restriction(7))
    with pytest.raises(AlreadyStored):
        store.put(restriction(7, b"new", 2), older=[ANN])
    store.is_due_at(["H:a"], [ANN])
    store.put(restriction(8, b"new", 2), older=[ANN])
    assert list(store.walk()) == [restriction(8, b"new", 2)]
    assert (store.count(1), store.count(2)) == (0, 1)
    assert due_at(store, "H:a") == [8]


def test_restriction_its_entry_and_its_message_are_there_together(database, store):
    act = Act(sealed_entry(NOW, b"entry"), Admission(b"key", NOW, NOW))
    store.put(restriction(1), act=act)
    with pytest.raises(AlreadyAdmitted):
        store.put(restriction(2), act=act)
    assert (store.of([ANN]), Log(database).verify()) == (restriction(1), 1)


def test_mark_changes_whenever_one_is_kept(store):
    marks = [store.mark()]
    for number in (1, 2):
        store.put(restriction(number))
        marks.append(store.mark())
    assert len(set(marks)) == 3
    assert store.mark() == marks[-1]


def test_nothing_is_due_where_nothing_stands(store):
    store.is_due_at(["H:a"], [ANN], again=True)
    assert (due_at(store, "H:a"), store.deliveries([ANN])) == ([], Deliveries(0, 0))


def test_restriction_is_due_until_it_is_delivered_and_again_when_it_changes(store):
    store.put(restriction(1))
    store.is_due_at(["H:a", "H:b"], [b"newer", ANN])
    assert (due_at(store, "H:a"), store.deliveries([ANN])) == ([1], Deliveries(0, 2))
    assert store.delivered("H:a", [(ANN, 1)])
    assert not store.delivered("H:a", [(ANN, 1)])
    assert (due_at(store, "H:a"), due_at(store, "H:b"), store.deliveries([ANN])) == ([], [1], Deliveries(1, 1))
    store.is_due_at(["H:a"], [ANN])
    assert due_at(store, "H:a") == []
    store.put(restriction(2))
    assert not store.delivered("H:a", [(ANN, 1)])
    assert (due_at(store, "H:a"), due_at(store, "H:b")) == ([2], [2])
    assert store.delivered("H:a", [(ANN, 2)])
    store.is_due_at(["H:a"], [ANN], again=True)
    assert due_at(store, "H:a") == [2]


def test_what_a_hospital_has_taken_is_noted_together_each_up_to_its_number(store):
    for key in (ANN, EVE):
        store.put(restriction(2, key))
        store.is_due_at(["H:a", "H:b"], [key])
    assert store.delivered("H:a", [(EVE, 2), (ANN, 1), (b"nobody", 9)]) == 1
    assert (store.deliveries([ANN]), store.deliveries([EVE])) == (Deliveries(0, 2), Deliveries(1, 1))
    assert store.delivered("H:a", []) == 0


def test_what_was_handed_out_comes_again_behind_the_others(store):
    keys = [bytes([number]) * 24 for number in range(5)]
    for number, key in enumerate(keys, start=1):
        store.put(restriction(number, key))
        store.is_due_at(["H:a"], [key])
    first = sorted(it.number for it in store.due_at("H:a", now=NOW, limit=3))
    second = sorted(it.number for it in store.due_at("H:a", now=NOW + 1, limit=2))
    assert first + second == [1, 2, 3, 4, 5]
    assert sorted(it.number for it in store.due_at("H:a", now=NOW + 2, limit=3)) == first


def test_what_is_due_is_counted_by_hospital(database, store):
    survey = Survey(database)
    assert survey.restrictions_due() == {}
    for number, key in ((1, ANN), (2, EVE)):
        store.put(restriction(number, key))
        store.is_due_at(["H:b", "H:a"], [key])
    store.delivered("H:b", [(EVE, 2)])
    assert survey.restrictions_due() == {"H:a": 2, "H:b": 1}


def test_restriction_is_sealed_anew_once(store):
    store.put(restriction(1))
    assert store.reseal(restriction(1), b"anew")
    assert not store.reseal(restriction(1), b"other")
    assert store.of([ANN]) == replace(restriction(1), sealed=b"anew")


def test_restriction_is_named_anew_once(store):
    store.put(restriction(1))
    store.is_due_at(["H:a", "H:b"], [ANN])
    store.delivered("H:b", [(ANN, 1)])
    anew = restriction(1, b"new", 2)
    assert store.move(restriction(1), anew)
    assert not store.move(restriction(1), anew)
    assert (store.of([ANN]), store.of([b"new"])) == (None, anew)
    assert (due_at(store, "H:a"), store.deliveries([b"new"])) == ([1], Deliveries(1, 1))


@pytest.mark.parametrize("number", [1, 9])
def test_newer_one_stays_where_a_process_that_had_not_heard_of_a_key_kept_another(store, number):
    store.put(restriction(5, b"new", 2))
    store.put(restriction(number))
    assert store.move(restriction(number), restriction(number, b"new", 2))
    assert list(store.walk()) == [restriction(max(5, number), b"new", 2)]


def row(number: int, hospital_key: bytes) -> SealedRow:
    return SealedRow(7, b"cardiology", bytes([number]) * 32, hospital_key, b"level", b"sealed %d" % number, 1)


def test_index_gives_one_row_of_each_hospital(database):
    index = Index(database)
    for number, hospital in ((1, b"a"), (2, b"a"), (3, b"b")):
        index.upsert(row(number, hospital))
    wanted = Wanted(bucket=7, row_keys=[b"cardiology"], levels=[b"level"], hospital_keys=None, but=[])
    assert index.one_of_each([wanted]) == [row(1, b"a"), row(3, b"b")]
    assert index.one_of_each([replace(wanted, row_keys=[b"other"])]) == []
