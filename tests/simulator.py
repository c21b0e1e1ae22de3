"""A real in-memory federation: every party with its keys in a SoftHSM token, every message of the protocol, no sockets.

In place of mocks: tests drive the parties step by step, change what they want changed, and watch who refuses.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import Any

from federation.party.member import Member
from federation.protocol import consultation, record, record_hospital, search
from federation.protocol.access import Grantee, ToDoctor, Validity
from federation.protocol.anchors import statement_entry
from federation.protocol.consent import Shift, Terms, make_duty, make_grant
from federation.protocol.consultation import code_digest
from federation.protocol.handshake import AwaitingReply, ReceivedOpening
from federation.protocol.parties import Party
from federation.protocol.revocation import entries_of_room
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement
from federation.protocol.verifier import Peer
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from federation.v1 import record_pb2
from federation.v1.access_pb2 import Access, Consent, OwnAccess, ShownDuty
from federation.v1.consultation_pb2 import GetRoomResponse
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.record_pb2 import Scope
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Grant,
    KeyStatement,
    SignedStatement,
)
from hsm import Token, TokenUri, open_token, pin_from_value
from keystore.party import CloudKeys, HospitalKeys, PartyKeys
from keystore.transcript import digest
from tests.grants import WIDE
from tests.simulated_cloud import CLASSES, CLOUD_ID, START, Authority, Clock, Cloud, MemoryBook
from tests.sqlite_stores import forget_all, new_database, new_replay_memory

__all__ = ["BIOMETRIC_PASSWORD", "CLASSES", "CLOUD_ID", "START", "Authority", "Clock", "Cloud", "Federation", "lent"]

BIOMETRIC_PASSWORD = bytes(range(32))


TokenFactory = Callable[[str], Token]


class Federation:
    """One cloud, one authority, two hospitals, a doctor and a patient, all registered."""

    def __init__(
        self, make_token: TokenFactory, entropy: Callable[[int], bytes], grace: timedelta = timedelta(0)
    ) -> None:
        self.make_token = make_token
        self.grace = grace
        self.entropy = entropy
        self.clock = Clock()
        self.members: list[Member] = []
        self.replay = new_replay_memory()
        self.rosters: dict[str, Callable[[Member], ShownDuty]] = {}
        self.authority = Authority(make_token("authority"), self.clock)
        book = MemoryBook()
        keys = CloudKeys.create(make_token("cloud"), book, lambda: self.clock.now)
        self.cloud = Cloud(keys, book, self.clock, self.authority, entropy)
        self.hospital_a = self.new_hospital("H:alpha")
        self.hospital_b = self.new_hospital("H:beta")
        self.doctor = self.new_doctor("D:chen")
        self.patient = self.new_patient("P:wang")

    @cached_property
    def other_doctor(self) -> Member:
        """A second doctor: honest, or rogue, as the test needs."""
        return self.new_doctor("D:roe")

    @cached_property
    def other_patient(self) -> Member:
        """A second patient."""
        return self.new_patient("P:lin")

    def new_member(self, identity: str, keys: PartyKeys) -> Member:
        database = new_database()
        shards = KeptShards(database) if identity.startswith("H:") else None
        kept = Settings(database), Epochs(database)
        return Member(identity, keys, *kept, self.cloud.bundle, shards=shards, grace=self.grace)

    def new_hospital(self, hospital_id: str) -> Member:
        member = self.new_member(hospital_id, HospitalKeys.create(self.make_token("hospital")))
        self.cloud.register(member, ROLE_HOSPITAL, b"licence of " + hospital_id.encode())
        self.members.append(member)
        return member

    def new_doctor(self, doctor_id: str) -> Member:
        member = self.new_member(doctor_id, PartyKeys.create(self.make_token("doctor")))
        self.cloud.hand_over(self.cloud.directory(), member)
        certificate = self.authority.certify(member.keys, doctor_id)
        self.cloud.register(member, ROLE_DOCTOR, certificate, certificate)
        self.members.append(member)
        return member

    def new_patient(self, patient_id: str) -> Member:
        member = self.new_member(patient_id, PartyKeys.create(self.make_token("patient")))
        self.cloud.register(member, ROLE_PATIENT, BIOMETRIC_PASSWORD)
        self.members.append(member)
        return member

    def refresh(self, *members: Member) -> None:
        """Hand the newest lists and trust bundles to these members, or to all."""
        directory = self.cloud.directory()
        for member in members or self.members:
            self.cloud.hand_over(directory, member)

    def renew(self, member: Member) -> None:
        """Let a member register again by itself, with what it registered with."""
        role = peek_statement(KeyStatement, member.key_statement).role
        licence = b"licence of " + member.identity.encode()
        evidence = {ROLE_PATIENT: BIOMETRIC_PASSWORD, ROLE_DOCTOR: member.certificate, ROLE_HOSPITAL: licence}[role]
        self.cloud.register(member, role, evidence, member.certificate)

    def party(self, member: Member) -> Party:
        return member.party(self.clock.now)

    def room(self, doctor: Member | None = None) -> tuple[GetRoomResponse, bytes]:
        """What the relay serves of the doctor, and the digest in the doctor's code."""
        party = self.party(doctor or self.doctor)
        statement, duty = party.self_.key_statement, self.duty(doctor or self.doctor)
        room = GetRoomResponse(
            key_statement=statement,
            doctor_certificate=party.certificate,
            encryption_key_statement=party.encryption_key_statement,
            revocations=self.cloud.excerpt(*entries_of_room(statement, party.encryption_key_statement, duty)),
            certificate_revocation_list=self.authority.crl(),
            duty=duty,
        )
        return room, code_digest(statement.statement, statement.signature, party.certificate)

    def open_consultation(
        self, doctor_member: Member | None = None, patient: Member | None = None
    ) -> tuple[AwaitingReply[Any, Any, Any], SealedOpening]:
        """The patient sends P1 to the doctor."""
        now = self.clock.now
        patient = patient or self.patient
        verifier = patient.verifier()
        room, code = self.room(doctor_member)
        doctor = consultation.check_room(room, code, verifier, now=now)
        return consultation.begin(
            self.party(patient), doctor, BIOMETRIC_PASSWORD, verifier, now=now, entropy=self.entropy
        )

    def receive_opening(self, opening: SealedOpening, doctor: Member | None = None) -> ReceivedOpening[Any, Any, Any]:
        """The doctor takes P1."""
        now = self.clock.now
        doctor = doctor or self.doctor
        pending = consultation.receive_opening(self.party(doctor), opening, doctor.verifier(), now=now)
        return pending.admit(self.replay.admit(pending.replay_key, now=now, until=pending.keep_until))

    def grant(
        self,
        terms: Terms = WIDE,
        doctor: Member | None = None,
        patient: Member | None = None,
        grantee: Grantee | None = None,
    ) -> SignedStatement:
        """A patient's grant to a doctor, or to whom it says."""
        party = self.party(doctor or self.doctor)
        return make_grant(
            self.party(patient or self.patient),
            grantee or ToDoctor(party.identity, party.self_.authority_id),
            terms,
            now=self.clock.now,
            entropy=self.entropy,
        )

    def duty(self, doctor: Member | None = None, hospital: Member | None = None) -> ShownDuty:
        """A doctor's duty at a hospital: as its roster says, if it keeps one, else in all classes, from now for a day."""
        doctor, hospital = doctor or self.doctor, hospital or self.hospital_a
        if hospital.identity in self.rosters:
            return self.rosters[hospital.identity](doctor)
        stated_by, now = self.party(hospital), self.clock.now
        on_duty = peek_statement(KeyStatement, doctor.key_statement)
        shift = Shift(self.entropy(16), on_duty.identity, CLASSES, Validity(now, now + 24 * 3_600_000))
        stated = make_duty(stated_by, shift, on_duty.verifying_key)
        return ShownDuty(duty=stated, key_statement=stated_by.self_.key_statement)

    def revoke(self, member: Member, *hearers: Member) -> None:
        """Revoke a member's credential, and let these members hear of it, or all."""
        self.cloud.revoked_serials.append(self.party(member).self_.serial)
        self.refresh(*hearers)

    def revoke_certificate(self, *hearers: Member) -> None:
        """Revoke the doctor's Cert_D, and let these members hear of it, or all."""
        self.authority.revoke(self.doctor.certificate)
        self.refresh(*hearers)

    def revoke_grant(self, signed: SignedStatement) -> None:
        grant = Grant.FromString(signed.statement)
        self.cloud.revoked_statements.append(statement_entry("grant", grant.patient_id, grant.grant_id))
        self.refresh()

    def consult(
        self, biosignal: bytes = b"ecg" * 1000, grant: SignedStatement | None = None
    ) -> tuple[consultation.AwaitingDiagnosis, consultation.InConsultation]:
        """P1, D1, P2."""
        now = self.clock.now
        awaiting, opening = self.open_consultation()
        replying, reply = self.receive_opening(opening).reply(now=now, entropy=self.entropy)
        established = awaiting.receive(reply, self.patient.verifier(), now=now)
        waiting, frames = established.deliver(biosignal, self.shown(grant or self.grant(), on_duty=False), now=now)
        state: object = replying
        for frame in frames:
            assert isinstance(state, consultation.AwaitingBiosignal)
            state = state.receive(frame, self.doctor.verifier(), self.duty(), now=now)
        assert isinstance(state, consultation.InConsultation)
        return waiting, state

    def shown(
        self,
        grant: SignedStatement | None,
        patient: Member | None = None,
        doctor: Member | None = None,
        hospital: Member | None = None,
        *,
        on_duty: bool = True,
    ) -> Shown:
        """What the doctor shows for access to a patient's records: the consent, and its duty."""
        patient = patient or self.patient
        consent = None if grant is None else Consent(grant=grant, key_statement=patient.key_statement)
        duty = self.duty(doctor, hospital) if on_duty and consent is not None else None
        return Shown.by_consent(consent, patient.identity, duty)

    def own(self, patient: Member | None = None) -> Shown:
        """What a patient shows for its own records."""
        return Shown((patient or self.patient).identity, Access(own=OwnAccess()))

    def ask(
        self,
        grant: SignedStatement | None,
        department_class: str = "*",
        after: bytes = b"",
        doctor: Member | None = None,
        patient: Member | None = None,
    ) -> tuple[search.AwaitingAnswer, SealedOpening]:
        """The doctor sends D2."""
        doctor, patient = doctor or self.doctor, patient or self.patient
        return search.ask(
            self.party(doctor),
            search.Question(self.shown(grant, patient, doctor), department_class, after),
            self.cloud.encryption_key(),
            doctor.verifier(),
            now=self.clock.now,
            entropy=self.entropy,
        )

    def search(self, grant: SignedStatement | None, department_class: str = "*", after: bytes = b"") -> search.Answer:
        """D2, C."""
        awaiting, opening = self.ask(grant, department_class, after)
        return awaiting.receive(self.cloud.answer(opening), self.doctor.verifier(), now=self.clock.now)

    def address(self, hospital: Member) -> Peer:
        verifier = self.doctor.verifier()
        party = verifier.party(hospital.key_statement, ROLE_HOSPITAL, now=self.clock.now)
        statement = self.party(hospital).encryption_key_statement
        return Peer(party, verifier.encryption_key(statement, party, now=self.clock.now))

    def intent(
        self,
        grant: SignedStatement | None,
        purpose: int = record_pb2.PURPOSE_READ,
        department_class: str = "*",
        handles: tuple[bytes, ...] = (),
        patient: Member | None = None,
        hospital: Member | None = None,
        doctor: Member | None = None,
    ) -> record.Intent:
        scope = Scope(purpose=purpose, department_class=department_class, handles=handles)
        return record.Intent(self.shown(grant, patient, doctor, hospital), scope, self.entropy(32))

    def open_session(
        self, hospital: Member, intent: record.Intent, doctor: Member | None = None
    ) -> tuple[AwaitingReply[Any, Any, Any], SealedOpening]:
        """The doctor sends D3."""
        doctor = doctor or self.doctor
        return record.begin(
            self.party(doctor),
            self.address(hospital),
            intent,
            doctor.verifier(),
            now=self.clock.now,
            entropy=self.entropy,
        )

    def receive_session(self, hospital: Member, opening: SealedOpening) -> ReceivedOpening[Any, Any, Any]:
        """The hospital takes D3."""
        now = self.clock.now
        pending = record_hospital.receive_opening(self.party(hospital), opening, hospital.verifier(), now=now)
        return pending.admit(self.replay.admit(pending.replay_key, now=now, until=pending.keep_until))

    def establish(
        self, hospital: Member, intent: record.Intent, doctor: Member | None = None
    ) -> tuple[record.Established, record_hospital.AwaitingRequest]:
        """D3, H1."""
        now = self.clock.now
        awaiting, opening = self.open_session(hospital, intent, doctor)
        requested, reply = self.receive_session(hospital, opening).reply(now=now, entropy=self.entropy)
        return awaiting.receive(reply, (doctor or self.doctor).verifier(), now=now), requested

    def certificate_digest(self) -> bytes:
        return digest(self.party(self.doctor).certificate)


@contextmanager
def lent(federation: Federation) -> Iterator[Federation]:
    """Lend a federation to one test, and put back what a test may change: the clock, the lists, the index, what was taken.

    A test that goes on by days ends epochs or credentials, and a member that took a new trust bundle never goes back: such a
    test takes a federation of its own.
    """
    cloud = federation.cloud
    now, bundles, generations = federation.clock.now, list(cloud.bundles), cloud.book.generations
    yield federation
    federation.clock.now, cloud.bundles, cloud.book.generations = now, bundles, generations
    for changed in (
        cloud.revoked_serials,
        cloud.revoked_statements,
        cloud.revoked_keys,
        cloud.sweeps,
        federation.authority.revoked,
    ):
        changed.clear()
    cloud.rows.clear()
    for memory in (cloud.replay, federation.replay):
        forget_all(memory)
    federation.refresh()


@contextmanager
def simulated(make_token_uri: Callable[..., TokenUri], user_pin: str) -> Iterator[Federation]:
    """The simulated federation on tokens of its own, closed at the end."""
    opened: list[Token] = []

    def make(label_prefix: str) -> Token:
        opened.append(open_token(make_token_uri(label_prefix), pin_from_value(user_pin)))
        return opened[-1]

    try:
        yield Federation(make, os.urandom)
    finally:
        for token in opened:
            token.close()
