"""The contract of a hospital's records and outbox, and of the relay's rooms."""

import pytest

from federation.store.errors import AlreadyStored, NotStored, OutOfSequence, StoreLimit
from federation.store.log import Log
from federation.store.portable import PAGE_ROWS
from federation.store.records import OutboxEntries, Records, RecordsAdministration
from federation.store.rooms import FRAME_COST, Rooms
from federation.store.rows import Act
from tests.contract.store_support import NOW, on_file, outbox_entry, record, room, sealed_entry

PATIENT = record().patient_key
ROOM = room().room_id


@pytest.fixture
def outbox(database):
    return OutboxEntries(database)


@pytest.fixture
def records(database):
    return Records(database)


@pytest.fixture
def rooms(database):
    store = Rooms(database)
    store.open(room(), now=NOW, most_per_doctor=9)
    return store


def put(rooms, number, frame=b"frame", *, room_id=ROOM, direction=1, now=NOW, most_bytes=10_000):
    rooms.put_frame(room_id, direction, number, frame, now=now, most_bytes=most_bytes)


def find(records, *handles):
    return records.of_handles([PATIENT], handles)


def of(records, department_class, *sensitivities, most=9):
    return records.of_classes([PATIENT], [department_class], sensitivities or ["normal"], most=most)


def add(records, *added):
    for one in added:
        records.add(one, blobs=(), outbox=None, answer=None)


def test_record_found_is_the_newest_version_of_each_oldest_first(records):
    old, new = record(b"a", 1), record(b"a", 2, stored_at=NOW + 2)
    other, strangers = record(b"b", stored_at=NOW + 1), record(b"c", patient=b"q")
    add(records, old, new, other, strangers)
    assert on_file(records) == find(records, b"c", b"a", b"b") == [other, new]
    assert list(records.all()) == [old, new, other, strangers]


def test_record_outside_class_sensitivity_and_handles_is_not_found(records):
    heart, skin = record(b"a"), record(b"b", department_class="dermatology", stored_at=NOW + 1)
    secret = record(b"c", sensitivity="secret", stored_at=NOW + 2)
    add(records, heart, skin, secret)
    assert of(records, "dermatology") == [skin]
    assert of(records, "cardiology") == [heart]
    assert of(records, "cardiology", "normal", "secret") == [heart, secret]
    assert of(records, "") == []
    assert find(records, b"a", b"absent") == [heart]
    assert find(records) == []


def test_records_of_classes_are_no_more_than_are_asked_for(records):
    add(records, *(record(b"%d" % number) for number in range(5)))
    assert len(of(records, "cardiology", most=3)) == 3


def test_records_of_a_patient_are_counted_once_each_and_no_further_than_asked(records):
    add(
        records,
        *(record(b"%d" % number, version) for number in range(5) for version in (1, 2)),
        record(b"x", patient=b"q"),
    )
    assert [records.count_of([PATIENT], most=most) for most in (3, 5, 9)] == [3, 5, 5]
    assert records.count_of([b"nobody"], most=9) == 0


def test_record_that_is_withdrawn_is_neither_found_nor_counted(database, records):
    add(records, record(b"a"), record(b"b"))
    RecordsAdministration(database).stand(b"a", "withdrawn", outbox_entry(), sealed_entry(NOW, b"why"))
    assert find(records, b"a", b"b") == of(records, "cardiology") == [record(b"b")]
    assert records.count_of([PATIENT], most=9) == 1


def test_record_moved_to_another_class_is_not_found_under_the_old_one(records):
    add(records, record(b"a", 1), record(b"a", 2, department_class="oncology"))
    assert of(records, "cardiology") == []


def test_record_version_that_is_there_is_not_overwritten_and_nothing_else_is_kept(records, outbox):
    records.add(record(), blobs=(), outbox=None, answer=None)
    with pytest.raises(AlreadyStored):
        records.add(record(patient=b"q"), blobs=(), outbox=outbox_entry(), answer=(b"deposit", b"stoack"))
    assert on_file(records) == [record()]
    assert outbox.size() == 0
    assert records.answer_to(b"deposit") is None


def test_record_of_a_deposit_answered_before_is_refused(records, outbox):
    records.add(record(b"a"), blobs=(), outbox=outbox_entry(), answer=(b"deposit", b"stoack"))
    with pytest.raises(AlreadyStored):
        records.add(record(b"b"), blobs=(), outbox=outbox_entry(2), answer=(b"deposit", b"again"))
    assert on_file(records) == [record(b"a")]
    assert outbox.size() == 1
    assert records.answer_to(b"deposit") == b"stoack"


def test_record_with_a_publication_under_way_is_refused(records):
    records.add(record(b"a"), blobs=(), outbox=outbox_entry(), answer=None)
    with pytest.raises(AlreadyStored):
        records.add(record(b"b"), blobs=(), outbox=outbox_entry(), answer=None)
    assert on_file(records) == [record(b"a")]


def test_records_of_many_pages_come_whole(records):
    for number in range(PAGE_ROWS + 1):
        records.add(record(b"h", number), blobs=(), outbox=None, answer=None)
    assert [one.version for one in records.all()] == list(range(PAGE_ROWS + 1))


def test_outbox_gives_what_is_due_the_longest_due_first(records, outbox):
    for number, not_before in ((1, NOW), (2, NOW - 5), (3, NOW + 1)):
        records.add(record(b"%d" % number), blobs=(), outbox=outbox_entry(number, not_before=not_before), answer=None)
    assert outbox.due(now=NOW, limit=9) == [outbox_entry(2, not_before=NOW - 5), outbox_entry(1)]
    assert outbox.due(now=NOW, limit=1) == [outbox_entry(2, not_before=NOW - 5)]
    assert outbox.size() == 3


def test_outbox_entry_taken_counts_the_attempt_and_is_one_workers_for_its_time(records, outbox):
    records.add(record(), blobs=(), outbox=outbox_entry(), answer=None)
    assert outbox.take(outbox_entry(), until=NOW + 5)
    assert not outbox.take(outbox_entry(), until=NOW + 5)
    assert outbox.due(now=NOW + 4, limit=9) == []
    (again,) = outbox.due(now=NOW + 5, limit=9)
    assert again.attempts == 1
    assert outbox.take(again, until=NOW + 9)


def test_outbox_entry_postponed_waits(records, outbox):
    records.add(record(), blobs=(), outbox=outbox_entry(), answer=None)
    outbox.take(outbox_entry(), until=NOW + 60)
    outbox.postpone(outbox_entry().entry_id, not_before=NOW + 5)
    outbox.postpone(b"settled meanwhile", not_before=NOW + 5)
    assert outbox.due(now=NOW + 4, limit=9) == []
    assert len(outbox.due(now=NOW + 5, limit=9)) == 1


def test_outbox_entry_put_off_or_settled_meanwhile_is_not_taken(records, outbox):
    records.add(record(b"a"), blobs=(), outbox=outbox_entry(1), answer=None)
    records.add(record(b"b"), blobs=(), outbox=outbox_entry(2), answer=None)
    outbox.postpone(outbox_entry(1).entry_id, not_before=NOW + 5)
    outbox.settle(outbox_entry(2).entry_id)
    assert not outbox.take(outbox_entry(1), until=NOW + 9)
    assert not outbox.take(outbox_entry(2), until=NOW + 9)


def test_outbox_entry_settled_is_gone(records, outbox):
    records.add(record(), blobs=(), outbox=outbox_entry(), answer=None)
    for _ in range(2):
        outbox.settle(outbox_entry().entry_id)
    assert outbox.size() == 0


def test_room_is_found_until_it_expires(rooms):
    assert rooms.get(ROOM, now=room().expires_at) == room()
    assert rooms.get(ROOM, now=room().expires_at + 1) is None
    assert rooms.get(b"absent", now=NOW) is None


def test_room_that_is_open_is_not_replaced(rooms):
    with pytest.raises(AlreadyStored):
        rooms.open(room(doctor_id="D:eve"), now=NOW, most_per_doctor=9)
    assert rooms.get(ROOM, now=NOW).doctor_id == "D:bob"


def test_rooms_beyond_a_doctors_limit_are_refused_until_some_expire(rooms):
    with pytest.raises(StoreLimit):
        rooms.open(room(2), now=NOW, most_per_doctor=1)
    rooms.open(room(2, doctor_id="D:eve"), now=NOW, most_per_doctor=1)
    later = room().expires_at + 1
    rooms.open(room(3, expires_at=later), now=later, most_per_doctor=1)


def test_room_expired_goes_with_its_frames(rooms):
    put(rooms, 0)
    later = room().expires_at + 1
    rooms.open(room(2, expires_at=later), now=later, most_per_doctor=1)
    assert rooms.frames(ROOM, 1, from_number=0, limit=9) == []


def test_frames_come_in_order_from_a_number_on(rooms):
    for number in range(4):
        put(rooms, number, b"%d" % number)
    put(rooms, 0, b"the other way", direction=2)
    assert rooms.frames(ROOM, 1, from_number=1, limit=2) == [(1, b"1"), (2, b"2")]
    assert rooms.frames(ROOM, 2, from_number=0, limit=9) == [(0, b"the other way")]
    assert rooms.frames(ROOM, 1, from_number=2**64 - 1, limit=9) == []


def test_what_rooms_hold_grows_with_every_frame_and_tells_them_apart(rooms):
    other = room(2).room_id
    rooms.open(room(2), now=NOW, most_per_doctor=9)
    assert rooms.held_bytes([ROOM, other, b"absent"]) == {ROOM: 0, other: 0}
    put(rooms, 0)
    before = rooms.held_bytes([ROOM, other])
    put(rooms, 0, b"", direction=2)
    assert before[ROOM] < rooms.held_bytes([ROOM])[ROOM]
    assert before[other] == rooms.held_bytes([other])[other] == 0
    assert rooms.held_bytes([]) == {}
    assert rooms.held_bytes([b"%d" % number for number in range(1200)] + [ROOM]).keys() == {ROOM}


def test_frame_put_again_is_taken_once(rooms):
    for _ in range(2):
        put(rooms, 0, most_bytes=FRAME_COST + 5)
    assert rooms.frames(ROOM, 1, from_number=0, limit=9) == [(0, b"frame")]


def test_frame_other_than_the_one_under_its_number_is_refused(rooms):
    put(rooms, 0)
    with pytest.raises(AlreadyStored):
        put(rooms, 0, b"another")


@pytest.mark.parametrize("number", [0, 2, 2**64 - 1])
def test_frame_that_is_not_the_next_is_refused(rooms, number):
    if number:
        put(rooms, 0)
    with pytest.raises(OutOfSequence):
        put(rooms, number or 1)


def test_frame_for_no_room_or_an_expired_one_is_refused(rooms):
    with pytest.raises(NotStored):
        put(rooms, 0, room_id=b"absent")
    with pytest.raises(NotStored):
        put(rooms, 0, now=room().expires_at + 1)


def test_frame_too_much_for_the_room_is_refused_whichever_way_it_goes(rooms):
    most = 2 * (FRAME_COST + 5)
    put(rooms, 0, most_bytes=most)
    with pytest.raises(StoreLimit):
        put(rooms, 0, b"frames", direction=2, most_bytes=most)
    put(rooms, 0, direction=2, most_bytes=most)


def test_frames_that_are_empty_fill_a_room_too(rooms):
    put(rooms, 0, b"", most_bytes=FRAME_COST)
    with pytest.raises(StoreLimit):
        put(rooms, 1, b"", most_bytes=FRAME_COST)


def test_record_its_answer_and_its_log_entry_are_there_together(database):
    act = Act(sealed_entry(NOW, b"entry"))
    Records(database).add(record(), blobs=(), outbox=None, answer=(b"d" * 32, b"answer"), act=act)
    assert [it.sealed for it in Log(database).entries()] == [b"entry"]
    with pytest.raises(AlreadyStored):
        Records(database).add(record(), blobs=(), outbox=None, answer=None, act=act)
    with pytest.raises(AlreadyStored):
        Records(database).add(record(b"other"), blobs=(), outbox=None, answer=(b"d" * 32, b"answer"), act=act)
    assert Log(database).verify() == 1
    assert [it.handle for it in Records(database).all()] == [record().handle]


def test_what_all_rooms_hold_is_counted_together(rooms):
    rooms.open(room(2), now=NOW, most_per_doctor=9)
    assert rooms.all_bytes() == 0
    put(rooms, 0)
    put(rooms, 0, room_id=room(2).room_id)
    assert rooms.all_bytes() == 2 * (len(b"frame") + FRAME_COST)
