"""The contract of budgets and of the emergencies that wait for a review: written with the log's entry, or not at all."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from federation.store.budgets import Budgets
from federation.store.emergencies import Emergencies
from federation.store.errors import BudgetSpent
from federation.store.inspection import Survey, Unreviewed
from federation.store.log import Log
from federation.store.party import Evidence
from federation.store.rows import Act, Admission, Beside, DeclaredHere, Piece, StoredEmergency
from tests.contract.store_support import MINUTE, NOW, claim, sealed_entry

DAY = 1440 * MINUTE
LATER = {"begins_at": NOW + DAY, "ends_at": NOW + 2 * DAY}


def given(database, *claims):
    return Log(database).append(sealed_entry(at=NOW, sealed=b"entry", beside=Beside(claims)))


def test_budget_gives_to_so_many_patients_and_to_each_as_often_as_asked(database):
    for patient in ("ann", "eve", "ann", "eve"):
        given(database, claim(patient))
    with pytest.raises(BudgetSpent) as refused:
        given(database, claim("lin"))
    assert refused.value.kind == "accesses"
    given(database, claim("ann"))


def test_message_that_finds_the_budget_spent_is_not_taken_and_one_taken_before_spends_nothing(database):
    log, message = Log(database), Admission(b"k", NOW, NOW + 1)
    spent = sealed_entry(at=NOW, sealed=b"entry", beside=Beside((claim("ann", most=0),)))
    with pytest.raises(BudgetSpent):
        log.append_once(spent, message)
    given_once = sealed_entry(at=NOW, sealed=b"entry", beside=Beside((claim("ann", most=1),)))
    assert log.append_once(given_once, message)
    assert not log.append_once(sealed_entry(at=NOW, sealed=b"entry", beside=Beside((claim("eve", most=2),))), message)
    assert log.verify() == 1
    given(database, claim("lin", most=2))  # the second place is there still


def test_budget_that_is_spent_leaves_nothing_of_what_was_refused(database):
    month = {"budget": "accesses/doctor/month", "most": 1}
    given(database, claim("ann"), claim("ann", **month))
    with pytest.raises(BudgetSpent):
        given(database, claim("eve"), claim("eve", **month))
    assert Log(database).verify() == 1
    given(database, claim("lin"))  # the day's second place was not taken


def proved(reference, *claims):
    return sealed_entry(at=NOW, sealed=b"entry", beside=Beside(claims, evidence=Piece("D3", reference, b"sealed")))


def test_evidence_is_kept_with_the_entry_or_not_at_all(database):
    log, evidence, message = Log(database), Evidence(database), Admission(b"k", NOW, NOW + 1)
    log.append(proved(b"grouped"))
    log.append(proved(b"counted", claim("ann", most=1)))
    assert log.append_once(proved(b"once"), message)
    assert not log.append_once(proved(b"again"), message)
    with pytest.raises(BudgetSpent):
        log.append(proved(b"refused", claim("eve", most=1)))
    kept = {b"grouped", b"counted", b"once"}
    assert {(kind, reference, sealed, at) for kind, reference, sealed, at in evidence.all()} == {
        ("D3", reference, b"sealed", NOW) for reference in kept
    }
    assert log.verify() == len(kept)


def test_evidence_of_entries_that_come_at_once_is_kept_of_each(database):
    log = Log(database)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: log.append(proved(b"%d" % number)), range(40)))
    assert {reference for _, reference, _, _ in Evidence(database).all("D3")} == {b"%d" % it for it in range(40)}
    assert log.verify() == 40


def test_budget_of_one_is_not_anothers_nor_of_another_name_or_day(database):
    for patient in ("ann", "eve"):
        given(database, claim(patient))
    for other in (claim("lin", "D:roe"), claim("lin", budget="emergencies/doctor/day"), claim("lin", **LATER)):
        given(database, other)
    with pytest.raises(BudgetSpent):
        given(database, claim("lin"))


def test_budget_says_beforehand_for_whom_there_is_no_room(database):
    budgets = Budgets(database)
    assert budgets.spent([claim("ann")]) == budgets.spent([]) == frozenset()
    for patient in ("ann", "eve"):
        given(database, claim(patient))
    assert budgets.spent([claim("lin"), claim("lin", "D:roe", kind="emergencies")]) == {"accesses"}
    assert budgets.spent([claim("ann")]) == frozenset()


def test_budget_counts_through_a_rotation_of_the_index_key(database):
    given(database, claim("ann"))
    keys = {"who_keys": (b"D:chen anew", b"D:chen")}
    ann = claim("ann", **keys, patient_keys=(b"ann anew", b"ann"))
    eve = claim("eve", **keys, patient_keys=(b"eve anew", b"eve"))
    given(database, ann, eve)
    with pytest.raises(BudgetSpent):
        given(database, claim("lin", **keys))
    assert Budgets(database).spent([claim("lin", **keys)]) == {"accesses"}
    assert Budgets(database).spent([ann, eve]) == frozenset()


def test_budget_that_was_lowered_gives_no_more_and_one_that_was_raised_goes_on(database):
    for patient in ("ann", "eve"):
        given(database, claim(patient))
    with pytest.raises(BudgetSpent):
        given(database, claim("lin", most=1))
    given(database, claim("lin", most=3))


def test_budgets_of_days_that_are_over_are_forgotten_and_no_others(database):
    budgets = Budgets(database)
    for patient in ("ann", "eve"):
        given(database, claim(patient), claim(patient, **LATER))
    assert budgets.forget(now=NOW + DAY - 1) == 0
    assert budgets.forget(now=NOW + DAY) == 3  # a count and two patients
    given(database, claim("lin"))
    with pytest.raises(BudgetSpent):
        given(database, claim("lin", **LATER))


DECLARED = DeclaredHere(b"e" * 32, b"sealed", NOW)


def used(database, declared=DECLARED):
    entry = sealed_entry(at=NOW, sealed=b"entry", beside=Beside(emergency=declared))
    Log(database).append(entry)
    return entry


def act():
    return Act(sealed_entry(NOW, b"reviewed"))


def test_emergency_is_there_once_with_its_first_entry_and_counts_the_others(database):
    emergencies = Emergencies(database)
    given(database)
    first = used(database)
    used(database, replace(DECLARED, sealed=b"sealed again"))
    kept = StoredEmergency(b"e" * 32, b"sealed", NOW, logged=first.entry_id, accesses=2)
    assert [*emergencies.all()] == [kept]
    assert emergencies.get(b"e" * 32) == kept
    assert emergencies.get(b"f" * 32) is None


def test_emergency_whose_budget_is_spent_is_not_there(database):
    with pytest.raises(BudgetSpent):
        Log(database).append(sealed_entry(at=NOW, sealed=b"entry", beside=Beside((claim("ann", most=0),), DECLARED)))
    assert [*Emergencies(database).all()] == []


def test_emergency_is_reviewed_once_with_its_entry(database):
    emergencies, log = Emergencies(database), Log(database)
    used(database)
    assert emergencies.review(b"e" * 32, b"found", at=NOW + 1, act=act())
    assert not emergencies.review(b"e" * 32, b"found otherwise", at=NOW + 2, act=act())
    assert not emergencies.review(b"f" * 32, b"found", at=NOW, act=act())
    kept = emergencies.get(b"e" * 32)
    assert (kept.reviewed_at, kept.sealed_review) == (NOW + 1, b"found")
    assert log.verify() == 2
    used(database)
    assert emergencies.get(b"e" * 32) == replace(kept, accesses=2)


def test_emergencies_that_wait_are_counted_from_the_oldest(database):
    survey = Survey(database)
    assert survey.unreviewed() == Unreviewed(0, None)
    for number in (3, 1, 2):
        used(database, DeclaredHere(b"%d" % number * 32, b"sealed", NOW + number))
    Emergencies(database).review(b"1" * 32, b"found", at=NOW, act=act())
    assert survey.unreviewed() == Unreviewed(2, NOW + 2)


def test_emergency_is_sealed_anew_unless_it_changed_meanwhile(database):
    emergencies = Emergencies(database)
    used(database)
    kept = emergencies.get(b"e" * 32)
    emergencies.review(b"e" * 32, b"found", at=NOW, act=act())
    assert not emergencies.reseal(kept, b"anew", None)
    reviewed = emergencies.get(b"e" * 32)
    assert emergencies.reseal(reviewed, b"anew", b"found anew")
    assert emergencies.get(b"e" * 32) == replace(reviewed, sealed=b"anew", sealed_review=b"found anew")
