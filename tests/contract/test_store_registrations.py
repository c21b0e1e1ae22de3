"""The contract of the public cloud's registrations and tickets."""

import pytest
import sqlalchemy as sa

from federation.store.errors import AlreadyStored, NotStored, StoreUnavailable
from federation.store.portable import PAGE_ROWS
from federation.store.registrations import Registrations
from federation.store.schema import issuances, issued_points
from tests.contract.store_support import MINUTE, NOW, registration, statement, ticket


@pytest.fixture
def store(database):
    return Registrations(database)


def reserve(store, wanted, *, at=NOW, until=NOW - 1, supersedes=None):
    store.reserve_serial(
        wanted.serial,
        role=wanted.role,
        identity=wanted.identity,
        credential=wanted.credential,
        at=at,
        until=until,
        supersedes=supersedes,
    )


def complete(store, wanted, *, request=b"q" * 32, ticket_digest=None, now=NOW):
    store.complete(
        wanted,
        request_digest=request,
        answer=b"answer",
        answer_until=now + 10 * MINUTE,
        ticket_digest=ticket_digest,
        now=now,
    )


def test_ticket_is_found_until_it_expires(store):
    kept = ticket(expires_at=NOW)
    store.put_ticket(kept)
    assert store.find_ticket(kept.digest, now=NOW) == kept
    assert store.find_ticket(kept.digest, now=NOW + 1) is None
    assert store.find_ticket(b"another", now=NOW) is None


def test_ticket_that_is_there_is_not_replaced(store):
    store.put_ticket(ticket("P:ann"))
    with pytest.raises(AlreadyStored):
        store.put_ticket(ticket("P:eve"))
    assert store.find_ticket(ticket().digest, now=NOW).identity == "P:ann"


def test_serial_used_before_is_refused_also_for_the_same_credential(store):
    reserve(store, registration())
    with pytest.raises(AlreadyStored):
        reserve(store, registration())


def test_serial_is_not_reserved_while_another_registration_of_the_identity_is_under_way(store):
    second = registration(serial=b"2" * 16)
    reserve(store, registration(), until=NOW)
    with pytest.raises(AlreadyStored, match="under way"):
        reserve(store, second)
    reserve(store, registration("P:eve", serial=b"3" * 16))
    assert {serial for serial, *_ in store.issued()} == {registration().serial, b"3" * 16}
    reserve(store, second, at=NOW + 1, until=NOW + 1)
    with pytest.raises(NotStored, match="by now"):
        complete(store, registration())
    complete(store, second)


def test_serial_is_reserved_after_another_was_released_or_completed(store):
    reserve(store, registration(), until=NOW)
    store.release("P:ann", b"of another".ljust(16))
    with pytest.raises(AlreadyStored):
        reserve(store, registration(serial=b"2" * 16))
    store.release("P:ann", registration().serial)
    store.release("P:ann", registration().serial)
    second = registration(serial=b"2" * 16)
    reserve(store, second, until=NOW)
    complete(store, second)
    reserve(store, registration(serial=b"3" * 16), supersedes=second.serial)


@pytest.mark.parametrize("supersedes", [None, b"another".ljust(16)], ids=["none", "another"])
def test_serial_is_not_reserved_beside_something_else_that_is_live(store, supersedes):
    reserve(store, registration())
    complete(store, registration())
    with pytest.raises(AlreadyStored, match="live"):
        reserve(store, registration(serial=b"2" * 16), supersedes=supersedes)
    assert [serial for serial, *_ in store.issued()] == [registration().serial]


def test_serial_is_not_reserved_for_the_renewal_of_nothing(store):
    with pytest.raises(NotStored):
        reserve(store, registration(), supersedes=b"gone".ljust(16))
    assert list(store.issued()) == []


def test_registration_completed_is_live_its_ticket_used_its_answer_kept(store):
    wanted, paper = registration(), ticket()
    store.put_ticket(paper)
    reserve(store, wanted)
    assert store.live(wanted.identity) is None
    complete(store, wanted, ticket_digest=paper.digest)
    assert store.live(wanted.identity) == wanted
    assert store.find_ticket(paper.digest, now=NOW) is None
    assert store.answer_to(b"q" * 32, now=NOW + 10 * MINUTE) == b"answer"


def test_answer_older_than_its_time_is_not_given(store):
    reserve(store, registration())
    complete(store, registration())
    assert store.answer_to(b"q" * 32, now=NOW + 10 * MINUTE + 1) is None
    assert store.answer_to(b"another", now=NOW) is None


def test_registration_of_a_live_identity_is_refused_and_leaves_its_ticket(store):
    reserve(store, registration())
    complete(store, registration())
    second, paper = registration(serial=b"2" * 16), ticket(expires_at=NOW + 2 * MINUTE)
    store.put_ticket(paper)
    reserve(store, second, at=NOW + MINUTE + 1, until=NOW + MINUTE + 1)
    with pytest.raises(AlreadyStored):
        complete(store, second, request=b"r" * 32, ticket_digest=paper.digest)
    assert store.live("P:ann") == registration()
    assert store.find_ticket(paper.digest, now=NOW) == paper
    assert store.answer_to(b"r" * 32, now=NOW) is None


def test_registration_of_an_identity_whose_credential_ended_is_taken(store):
    reserve(store, registration(not_after=NOW))
    complete(store, registration(not_after=NOW))
    second = registration(serial=b"2" * 16, not_after=NOW + MINUTE)
    reserve(store, second, at=NOW + 1)
    with pytest.raises(AlreadyStored):
        complete(store, second, request=b"r" * 32, now=NOW)
    complete(store, second, request=b"r" * 32, now=NOW + 1)
    assert store.live("P:ann") == second


@pytest.mark.parametrize(
    "paper",
    [None, ticket("P:eve"), ticket(expires_at=NOW - 1)],
    ids=["absent", "of_another_identity", "expired"],
)
def test_registration_without_its_ticket_is_refused_and_leaves_nothing(store, paper):
    if paper is not None:
        store.put_ticket(paper)
    reserve(store, registration())
    with pytest.raises(NotStored):
        complete(store, registration(), ticket_digest=ticket().digest)
    assert store.live("P:ann") is None
    assert store.answer_to(b"q" * 32, now=NOW) is None
    complete(store, registration())


@pytest.mark.parametrize("reserved", [None, registration("P:eve")], ids=["not_at_all", "for_another"])
def test_registration_with_a_serial_not_reserved_for_it_is_refused(store, reserved):
    if reserved is not None:
        reserve(store, reserved)
    with pytest.raises(NotStored):
        complete(store, registration())


def test_registration_with_a_serial_completed_before_is_refused(store):
    reserve(store, registration())
    complete(store, registration())
    store.authorize_reissue("P:ann", registration().serial)
    with pytest.raises(AlreadyStored):
        complete(store, registration(), request=b"r" * 32)


def test_reissue_authorized_ends_the_registration_and_lets_the_identity_register_again(store):
    reserve(store, registration())
    complete(store, registration())
    assert store.authorize_reissue("P:ann", registration().serial) == registration()
    assert store.live("P:ann") is None
    second = registration(serial=b"2" * 16)
    reserve(store, second)
    complete(store, second, request=b"r" * 32)
    assert store.live("P:ann") == second


def test_reissue_of_an_unknown_identity_is_refused(store):
    with pytest.raises(NotStored):
        store.authorize_reissue("P:ann", registration().serial)


def test_reissue_of_a_registration_that_another_followed_is_refused_and_the_other_stays(store):
    live = registration(serial=b"2" * 16)
    reserve(store, live)
    complete(store, live)
    with pytest.raises(NotStored):
        store.authorize_reissue("P:ann", registration().serial)
    assert store.live("P:ann") == live


def test_renewal_keeps_the_newest_key_and_an_address_only_if_given(store):
    reserve(store, registration())
    complete(store, registration())
    store.renew("P:ann", statement("new"), "north:443")
    store.renew("P:ann", statement("newer"), None)
    renewed = store.live("P:ann")
    assert renewed.encryption_key_statement == statement("newer")
    assert renewed.address == "north:443"
    assert renewed.key_statement == registration().key_statement


def test_renewal_of_an_unknown_identity_is_refused(store):
    with pytest.raises(NotStored):
        store.renew("P:ann", statement("new"), None)


def test_issuance_log_tells_every_serial_reserved_oldest_first(store):
    expected = []
    for number in range(PAGE_ROWS + 2):
        one = registration(serial=number.to_bytes(16, "big"))
        reserve(store, one, at=NOW + number // 2)
        expected.append((one.serial, one.role, one.identity, NOW + number // 2))
    assert list(store.issued()) == expected


@pytest.mark.parametrize("table", [issuances, issued_points])
@pytest.mark.parametrize("change", [lambda table: sa.update(table).values(at=0), sa.delete], ids=["update", "delete"])
def test_issuance_log_change_is_refused_by_the_database(database, store, table, change):
    reserve(store, registration())
    complete(store, registration())
    with pytest.raises(StoreUnavailable, match="append-only"):
        database.write(lambda connection: connection.execute(change(table)))
