"""A party at home: its registration, its lists, its epochs."""

from datetime import timedelta

import pytest

from federation.errors import CredentialRevoked, NotRegistered, Rejected, StaleRevocationList, UnknownKeyId
from federation.party.epochs import EpochKeeper
from federation.party.member import Member
from federation.protocol.parties import reason_of
from federation.protocol.statements import peek_statement
from federation.protocol.time import EPOCH_LIFE
from federation.store.database import Database
from federation.store.party import Epochs, Settings
from federation.v1.statement_pb2 import ROLE_DOCTOR, EncryptionKeyStatement
from keystore.errors import EpochKeyUnknown
from keystore.party import PartyKeys
from tests.mallory import refused
from tests.simulator import START
from tests.sqlite_stores import new_database, new_epochs


@pytest.fixture
def keeper(token):
    return EpochKeeper("P:wang", PartyKeys.create(token), new_epochs())


def key_id(statement) -> bytes:
    return peek_statement(EncryptionKeyStatement, statement).key_id


def test_a_party_that_is_not_registered_is_refused(federation, make_token):
    member = federation.new_member("P:new", PartyKeys.create(make_token("new")))
    assert not member.is_registered
    with refused(NotRegistered):
        member.party(federation.clock.now)


def test_a_party_without_lists_trusts_nobody(federation, make_token):
    member = federation.new_member("P:new", PartyKeys.create(make_token("new")))
    with refused(StaleRevocationList):
        member.verifier().party(federation.doctor.key_statement, 2, now=federation.clock.now)


class Watched(Settings):
    """Settings that say what was asked of the database, and how many bytes came."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked: list[tuple[object, ...]] = []
        self.read: list[int] = []

    def get(self, name: str) -> bytes | None:
        self.asked.append((name,))
        value = super().get(name)
        self.read.append(len(value or b""))
        return value

    def newer(self, name: str, than: int) -> tuple[int, bytes] | None:
        self.asked.append((name, than))
        found = super().newer(name, than)
        self.read.append(0 if found is None else len(found[1]))
        return found


def processes_of(federation, member):
    """Give two processes of one party on one store, the second with what it reads watched."""
    database = new_database()
    watched = Watched(database)
    first, second = (
        Member(member.identity, member.keys, settings, Epochs(database), federation.cloud.bundle)
        for settings in (Settings(database), watched)
    )
    return first, second, watched


def test_an_unchanged_directory_costs_one_small_read(federation):
    _, member, watched = processes_of(federation, federation.doctor)
    federation.cloud.hand_over(federation.cloud.directory(), member)
    lists = member.verifier().lists
    watched.asked.clear()
    watched.read.clear()
    assert member.verifier().lists is lists
    assert [it for it in watched.asked if it[0] != "trust-bundle"] == [("directory", lists.sequence)]
    assert sum(watched.read) == 0


def test_a_party_looks_once_for_its_statement_and_once_for_a_newer_directory(own_federation):
    federation = own_federation  # in which the doctor registers anew
    _, member, watched = processes_of(federation, federation.doctor)
    federation.cloud.register(member, ROLE_DOCTOR, federation.doctor.certificate, federation.doctor.certificate)
    federation.cloud.hand_over(federation.cloud.directory(), member)
    party = member.party(federation.clock.now)
    watched.asked.clear()
    assert member.party(federation.clock.now) is party
    assert [it[0] for it in watched.asked if it[0] != "trust-bundle"] == ["key-statement", "directory"]


def test_an_epoch_that_another_process_began_is_stated_once_the_one_that_is_remembered_is_over(token):
    store, keys = new_epochs(), PartyKeys.create(token)
    first, second = (EpochKeeper("P:wang", keys, store) for _ in range(2))
    begun = first.current(START)
    assert second.current(START) == begun
    later = START + EPOCH_LIFE // timedelta(milliseconds=1)
    anew = first.current(later)
    assert anew != begun
    assert second.current(later) == anew
    assert len(store.all()) == 2


def test_a_directory_that_another_process_took_is_seen_and_read_once(federation):
    taker, member, watched = processes_of(federation, federation.doctor)
    for _ in range(2):
        federation.cloud.hand_over(federation.cloud.directory(), taker)
        watched.read.clear()
        lists = member.verifier().lists
        assert lists.sequence == taker.verifier().lists.sequence == federation.cloud.sequence
        assert member.verifier().lists is lists
        assert len([size for size in watched.read if size > 0]) == 1


def test_a_party_whose_own_credential_is_revoked_does_not_act(federation):
    serial = federation.party(federation.other_patient).self_.serial
    federation.cloud.revoked_serials.append(serial)
    federation.refresh()
    with refused(CredentialRevoked):
        federation.party(federation.other_patient)


def test_an_epoch_stays_until_it_ends(keeper):
    first = keeper.current(START)
    assert keeper.current(START + 1) == first
    week = EPOCH_LIFE // timedelta(milliseconds=1)
    assert keeper.current(START + week - 1) == first
    assert keeper.current(START + week) != first


def test_renewal_is_due_a_day_before_the_end(keeper):
    keeper.current(START)
    due = START + 6 * 86_400_000
    assert not keeper.is_due(due - 1)
    assert keeper.is_due(due)
    keeper.rotate(due)
    assert not keeper.is_due(due)


def test_a_renewed_key_leaves_the_old_one_in_force(keeper):
    old = key_id(keeper.current(START))
    new = key_id(keeper.rotate(START + 1))
    assert keeper.find(old).key_id == old
    assert keeper.find(new).key_id == new
    assert key_id(keeper.current(START + 2)) == new


def test_an_epoch_of_which_the_token_holds_nothing_is_found_and_renewed_as_any_other(token, monkeypatch):
    """An HSM that lets no x out, without ML-KEM: both halves are kept, sealed."""
    monkeypatch.setattr(type(token), "gives_x", False)
    keys, store = PartyKeys.create(token), new_epochs()
    first = key_id(EpochKeeper("P:wang", keys, store).current(START))
    again = EpochKeeper("P:wang", PartyKeys(token), store)
    assert key_id(again.current(START + 1)) == first
    assert again.find(first).key_id == first
    assert again.sweep(START + EPOCH_LIFE // timedelta(milliseconds=1) + 300_000) == 1
    with pytest.raises(EpochKeyUnknown):
        again.find(first)


def test_an_ended_epochs_key_is_destroyed_five_minutes_after_its_end(keeper):
    old = key_id(keeper.current(START))
    end = START + EPOCH_LIFE // timedelta(milliseconds=1)
    assert keeper.sweep(end + 299_999) == 0
    keeper.find(old)
    assert keeper.sweep(end + 300_000) == 1
    with pytest.raises(EpochKeyUnknown):
        keeper.find(old)


def test_an_epoch_of_which_the_token_holds_nothing_is_found_by_whoever_has_the_store(token, monkeypatch):
    """A token that lets no x out has no half of it."""
    monkeypatch.setattr(type(token), "gives_x", False)
    keys, store = PartyKeys.create(token), new_epochs()
    first = EpochKeeper("P:wang", keys, store)
    begun = key_id(first.current(START))
    again = EpochKeeper("P:wang", keys, store)
    assert key_id(again.current(START + 1)) == begun
    assert not again.is_due(START + 1)
    assert again.find(begun).key_id == begun


def test_an_epoch_that_another_process_ended_is_forgotten_here_too(token):
    keys, store = PartyKeys.create(token), new_epochs()
    here, elsewhere = EpochKeeper("P:wang", keys, store), EpochKeeper("P:wang", keys, store)
    old = key_id(here.current(START))
    here.find(old)
    ended = START + EPOCH_LIFE // timedelta(milliseconds=1) + 300_000
    assert elsewhere.sweep(ended) == 1
    here.sweep(ended)
    with pytest.raises(EpochKeyUnknown):
        here.find(old)


def test_a_crash_between_token_and_store_does_not_keep_later_epochs_alive(token):
    keys, store = PartyKeys.create(token), new_epochs()
    keeper = EpochKeeper("P:wang", keys, store)
    keeper.current(START)
    keys.end_epoch(store.all()[0].token_label)
    second = key_id(keeper.rotate(START + 1))
    assert keeper.sweep(START + EPOCH_LIFE // timedelta(milliseconds=1) + 300_001) == 2
    with pytest.raises(EpochKeyUnknown):
        keeper.find(second)


def test_a_first_flight_to_an_ended_epoch_is_refused_as_unknown_key_id(own_federation):
    federation = own_federation
    _, opening = federation.open_consultation()
    federation.doctor.epochs.rotate(federation.clock.now + 1)
    federation.doctor.epochs.sweep(federation.clock.now + EPOCH_LIFE // timedelta(milliseconds=1) + 300_000)
    with refused(UnknownKeyId):
        federation.receive_opening(opening)


def test_a_pending_session_holds_its_key_beyond_the_epoch(own_federation):
    """The patient's epoch ends between P1 and D1: the answer still opens (section 2)."""
    federation = own_federation
    awaiting, opening = federation.open_consultation()
    _, reply = federation.receive_opening(opening).reply(now=federation.clock.now, entropy=federation.entropy)
    federation.patient.epochs.rotate(federation.clock.now)
    established = awaiting.receive(reply, federation.patient.verifier(), now=federation.clock.now)
    assert established.session.session_id == opening.session_id


def test_an_errors_cause_is_told_to_the_audit_log_alone():
    error = Rejected("the message was not accepted")
    error.__cause__ = CredentialRevoked("the credential is revoked")
    assert reason_of(error) == "CREDENTIAL_REVOKED"
    assert "revoked" not in str(error)
