"""The contract of a hospital's roster and of the guardianships that it stated."""

import threading

import pytest

from federation.store.errors import AlreadyStored
from federation.store.guardianships import Guardianships
from federation.store.log import Log
from federation.store.portable import PAGE_ROWS
from federation.store.roster import Shifts
from federation.store.rows import Act
from tests.contract.store_support import MINUTE, NOW, guardianship, sealed_entry, shift, statement


def act():
    return Act(sealed_entry(NOW, b"entry"))


ID = shift().shift_id
WARD = guardianship().guardianship_id


@pytest.fixture
def shifts(database):
    return Shifts(database)


@pytest.fixture
def guardianships(database):
    return Guardianships(database)


def test_shift_comes_back_as_it_was_added_with_and_without_departments(shifts):
    nowhere = shift(2, classes=())
    shifts.add([shift(classes=("cardiology", "neurology")), nowhere])
    assert shifts.get(ID) == shift(classes=("cardiology", "neurology"))
    assert shifts.get(nowhere.shift_id) == nowhere
    assert shifts.get(b"absent") is None


def test_shift_of_an_id_that_is_there_is_refused_and_nothing_else_is_added(database, shifts):
    shifts.add([shift()])
    with pytest.raises(AlreadyStored):
        shifts.add([shift(2), shift(doctor_id="D:eve")], act=act())
    assert list(shifts.all()) == [shift()]
    assert Log(database).verify() == 0


def test_doctor_is_on_from_the_beginning_of_a_shift_until_before_its_end(shifts):
    shifts.add([shift(), shift(2, doctor_id="D:eve")])
    assert shifts.on("D:bob", now=NOW - 1) == []
    assert shifts.on("D:bob", now=NOW) == [shift()]
    assert shifts.on("D:bob", now=NOW + MINUTE - 1) == [shift()]
    assert shifts.on("D:bob", now=NOW + MINUTE) == []


def test_shifts_of_a_doctor_come_the_one_that_ends_last_first(shifts):
    later, over = shift(2, not_after=NOW + 2 * MINUTE), shift(3, not_before=NOW - MINUTE, not_after=NOW)
    shifts.add([shift(), later, over, shift(4, doctor_id="D:eve")])
    assert shifts.of("D:bob", ending_after=NOW) == [later, shift()]
    assert shifts.of("D:bob", ending_after=0) == [later, shift(), over]


def test_shifts_of_many_pages_come_whole_the_one_that_ends_first_first(shifts):
    many = [shift(1, not_after=NOW + 1 + number) for number in range(PAGE_ROWS + 1)]
    named = [
        type(one)(number.to_bytes(16, "big"), *list(vars(one).values())[1:]) for number, one in enumerate(many, start=1)
    ]
    shifts.add(named[::-1])
    assert list(shifts.all()) == named
    assert list(shifts.all(ending_after=NOW + PAGE_ROWS)) == named[-1:]


def test_shift_ended_is_off_and_stays_so(database, shifts):
    shifts.add([shift()])
    assert shifts.end(ID, at=NOW + 5, act=act())
    assert not shifts.end(ID, at=NOW + 6, act=act())
    assert not shifts.end(b"absent", at=NOW, act=act())
    assert shifts.on("D:bob", now=NOW + 1) == []
    assert shifts.get(ID).ended_at == NOW + 5
    assert Log(database).verify() == 1


def test_duty_is_kept_with_its_log_entry_and_replaced_until_the_shift_is_ended(database, shifts):
    shifts.add([shift()])
    for text in ("first", "second"):
        assert shifts.keep_duty(ID, statement(text), act=act())
    assert shifts.get(ID).duty == statement("second")
    shifts.end(ID, at=NOW)
    assert not shifts.keep_duty(ID, statement("late"), act=act())
    assert not shifts.keep_duty(b"absent", statement(), act=act())
    assert shifts.get(ID).duty == statement("second")
    assert Log(database).verify() == 2


def test_end_is_told_once_and_of_an_ended_shift_alone(shifts):
    shifts.add([shift()])
    assert not shifts.told(ID, at=NOW)
    shifts.end(ID, at=NOW)
    assert shifts.told(ID, at=NOW + 1)
    assert not shifts.told(ID, at=NOW + 2)
    assert shifts.get(ID).told_at == NOW + 1


def test_mark_changes_when_a_shift_ends_by_itself_or_by_hand_and_not_when_one_is_added(shifts):
    shifts.add([shift(), shift(2, not_after=NOW + 2 * MINUTE)])
    first = shifts.mark(now=NOW)
    shifts.add([shift(3, not_before=NOW + MINUTE, not_after=NOW + 3 * MINUTE)])
    assert shifts.mark(now=NOW + MINUTE - 1) == first
    after_first = shifts.mark(now=NOW + MINUTE)
    assert after_first != first
    shifts.end(shift(2).shift_id, at=NOW)
    assert shifts.mark(now=NOW + MINUTE) != after_first
    assert shifts.mark(now=NOW + 2 * MINUTE) != shifts.mark(now=NOW + MINUTE)


def test_mark_counts_every_shift_that_is_ended_at_once(shifts):
    shifts.add([shift(number) for number in range(1, 9)])
    before = shifts.mark(now=NOW)
    threads = [
        threading.Thread(target=shifts.end, args=(bytes([number]) * 16,), kwargs={"at": NOW}) for number in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shifts.mark(now=NOW).ended_by_hand - before.ended_by_hand == 8


def test_shifts_over_long_ago_are_forgotten_ended_or_not(shifts):
    shifts.add([shift(), shift(2), shift(3, not_after=NOW + 2 * MINUTE)])
    shifts.end(shift(2).shift_id, at=NOW)
    assert shifts.forget(over_before=NOW + MINUTE) == 0
    assert shifts.forget(over_before=NOW + MINUTE + 1) == 2
    assert [one.shift_id for one in shifts.all()] == [shift(3).shift_id]


def test_guardianship_comes_back_and_its_id_is_taken_once(database, guardianships):
    guardianships.add(guardianship(), act=act())
    with pytest.raises(AlreadyStored):
        guardianships.add(guardianship(), act=act())
    assert guardianships.get(WARD) == guardianship()
    assert guardianships.get(b"absent") is None
    assert Log(database).verify() == 1


def test_guardianships_come_by_their_id(guardianships):
    for number in (2, 1):
        guardianships.add(guardianship(number))
    assert list(guardianships.all()) == [guardianship(1), guardianship(2)]


def test_guardianship_is_sealed_anew_only_from_what_was_read(guardianships):
    guardianships.add(guardianship())
    assert not guardianships.reseal(WARD, b"another", b"anew")
    assert guardianships.reseal(WARD, b"sealed", b"anew")
    assert guardianships.get(WARD).sealed == b"anew"


def test_guardianship_ended_stays_so_and_is_told_once(database, guardianships):
    guardianships.add(guardianship())
    assert not guardianships.told(WARD, at=NOW)
    assert guardianships.end(WARD, at=NOW + 5, act=act())
    assert not guardianships.end(WARD, at=NOW + 6, act=act())
    assert guardianships.told(WARD, at=NOW + 7)
    assert not guardianships.told(WARD, at=NOW + 8)
    kept = guardianships.get(WARD)
    assert (kept.ended_at, kept.told_at) == (NOW + 5, NOW + 7)
    assert Log(database).verify() == 1


def test_guardianships_over_long_ago_are_forgotten_and_one_ended_early_stays_until_then(guardianships):
    guardianships.add(guardianship())
    guardianships.end(WARD, at=NOW)
    assert guardianships.forget(over_before=NOW + MINUTE) == 0
    assert guardianships.forget(over_before=NOW + MINUTE + 1) == 1
