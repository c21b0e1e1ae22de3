"""A real in-memory federation: every party with its keys in a SoftHSM token, every message of the protocol, no sockets.

In place of mocks: tests drive the parties step by step, change what they want changed, and watch who refuses.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.epochs import Lifetimes
from federation.errors import Authorization
from federation.member import Member
from federation.protocol import doctor_consultation, doctor_record, hospital_record, patient_consultation, search
from federation.protocol.anchors import Anchors, grant_entry, serial_entry
from federation.protocol.grant import Terms, make_grant
from federation.protocol.index import BlindIndex, Location
from federation.protocol.parties import Party
from federation.protocol.registration import TicketTerms, receive_request
from federation.protocol.statements import sign_statement
from federation.protocol.verifier import EncryptionKey, Verifier
from federation.v1 import record_pb2, search_pb2
from federation.v1.consultation_pb2 import GetRoomResponse
from federation.v1.directory_pb2 import GetDirectoryResponse, MedicalAuthority, TrustBundle
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.record_pb2 import Scope
from federation.v1.search_pb2 import IndexRow
from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_HOSPITAL, ROLE_PATIENT, RevocationList, SignedStatement
from hsm import Token
from keystore import x509 as issuing
from keystore.party import CloudKeys, HospitalKeys, PartyKeys
from keystore.transcript import digest
from tests.memory_store import MemoryEpochs, MemoryReplay, MemorySettings

START = 1_790_000_000_000
CLASSES = ("cardiology", "neurology", "psychiatry")
CLOUD_ID = "C:union"
BIOMETRIC_PASSWORD = bytes(range(32))

TokenFactory = Callable[[str], Token]


@dataclass
class Clock:
    """The federation's one clock; each party may differ from it by its own skew."""

    now: int = START

    def advance(self, duration: timedelta) -> None:
        self.now += duration // timedelta(milliseconds=1)

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now / 1000, UTC)


class Authority:
    """A medical authority, its CA key in a token."""

    def __init__(self, token: Token, clock: Clock, authority_id: str = "M:chamber") -> None:
        self.clock = clock
        self.authority_id = authority_id
        self.key = token.generate_ed25519("authority")
        self.certificate = issuing.create_authority(self.key, authority_id, now=clock.moment)
        self.revoked: list[issuing.RevokedCertificate] = []

    def certify(self, keys: PartyKeys, doctor_id: str, life: timedelta = issuing.DOCTOR_LIFE) -> bytes:
        request = issuing.request_certificate(keys.signing_key, doctor_id)
        issued = issuing.issue_doctor_certificate(
            self.certificate, self.key, request, doctor_id, now=self.clock.moment, life=life
        )
        return issued.public_bytes(Encoding.DER)

    def revoke(self, certificate: bytes) -> None:
        serial = x509.load_der_x509_certificate(certificate).serial_number
        self.revoked.append(issuing.RevokedCertificate(serial, self.clock.moment))

    def crl(self) -> bytes:
        number = len(self.revoked) + 1
        crl = issuing.issue_crl(self.certificate, self.key, self.revoked, number, now=self.clock.moment)
        return crl.public_bytes(Encoding.DER)

    def as_anchor(self) -> MedicalAuthority:
        return MedicalAuthority(authority_id=self.authority_id, certificate=self.certificate.public_bytes(Encoding.DER))


@dataclass
class Cloud:
    """The public cloud."""

    keys: CloudKeys
    clock: Clock
    authority: Authority
    entropy: Callable[[int], bytes]
    sequence: int = 0
    revoked_serials: list[bytes] = field(default_factory=list)
    revoked_grants: list[bytes] = field(default_factory=list)
    shared_keys: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    replay: MemoryReplay = field(default_factory=MemoryReplay)
    rows: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    hospitals: dict[str, tuple[SignedStatement, SignedStatement]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from federation.epochs import EpochKeeper

        self.epochs = EpochKeeper(CLOUD_ID, self.keys, MemoryEpochs(), Lifetimes())
        self.index = BlindIndex(self.keys.index, self.keys.sealing)
        self.bundle = TrustBundle(
            realm="test",
            cloud_id=CLOUD_ID,
            cloud_address="localhost:1",
            cloud_peer_address="localhost:2",
            issuer_public_key=self.keys.issuing.public_key,
            cloud_verifying_key=self.keys.signing_key.public_key().public_bytes_raw(),
            tls_ca_certificate=b"unused",
            medical_authorities=[self.authority.as_anchor()],
            department_classes=CLASSES,
        )
        self.anchors = Anchors.of(self.bundle)

    def revocation_list(self) -> SignedStatement:
        self.sequence += 1
        now = self.clock.now
        content = RevocationList(
            sequence=self.sequence,
            this_update=now,
            next_update=now + 3_600_000,
            serials=map(serial_entry, self.revoked_serials),
            grants=self.revoked_grants,
        )
        return sign_statement("rl", content, self.keys.signing_key)

    def directory(self) -> GetDirectoryResponse:
        return GetDirectoryResponse(
            cloud_encryption_key_statement=self.epochs.current(self.clock.now),
            revocation_list=self.revocation_list(),
            certificate_revocation_lists=[self.authority.crl()],
        )

    def verifier(self) -> Verifier:
        from federation.protocol.anchors import Lists

        directory = self.directory()
        lists = Lists.read(self.anchors, directory.revocation_list, tuple(directory.certificate_revocation_lists))
        return Verifier(self.anchors, lists)

    def encryption_key(self) -> EncryptionKey:
        return self.verifier().cloud_encryption_key(self.epochs.current(self.clock.now), now=self.clock.now)

    def register(self, member: Member, role: int, evidence: bytes, certificate: bytes = b"") -> None:
        """Run the registration phase for a member who has a ticket (or Cert_D)."""
        now, challenge = self.clock.now, self.entropy(16)
        ticket = None if role == ROLE_DOCTOR else self.entropy(16)
        applicant = member.applicant(role, evidence, ticket, now=now)
        waiting, opening = applicant.apply(challenge, self.encryption_key(), now=now)
        received = receive_request(opening, self.epochs, CLOUD_ID)
        accepted = received.accept(
            self.verifier(),
            challenge_consumed=True,
            ticket=TicketTerms(role, member.identity),
            registered_already=False,
            now=now,
        )
        serial = self.entropy(16)
        credential = accepted.credential(serial, now=now)
        issued = self.keys.issuing.issue(credential)
        key_statement, reply = accepted.answer(
            credential, issued, self.keys.signing_key, self.revocation_list(), now=now
        )
        shared = issued.shared_key(self.anchors.issuer_public_key, member.identity, serial)
        self.shared_keys[member.identity] = serial, shared
        issued.wipe()
        registered = waiting.receive(reply, self.anchors, (self.authority.crl(),), member.freshness, now=now)
        member.install(registered, certificate)
        member.update(self.directory())
        if role == ROLE_HOSPITAL:
            self.hospitals[member.identity] = key_statement, applicant.encryption_key_statement

    def publish(self, patient_id: str, location: Location) -> None:
        row_key, row_id, sealed = self.index.blind(patient_id, location)
        self.rows.setdefault(row_key, {})[row_id] = sealed

    def index_rows(self, patient_id: str, classes: tuple[str, ...]) -> tuple[IndexRow, ...]:
        found = []
        for name in classes:
            key = self.index.row_key(patient_id, name)
            for row_id, sealed in self.rows.get(key, {}).items():
                location = self.index.reveal(key, row_id, sealed)
                key_statement, encryption_key = self.hospitals[location.hospital_id]
                found.append(
                    IndexRow(
                        hospital_id=location.hospital_id,
                        department_id=location.department_id,
                        address="localhost:3",
                        key_statement=key_statement,
                        encryption_key_statement=encryption_key,
                        handle=location.handle,
                    )
                )
        return tuple(found)

    def answer(self, opening: SealedOpening) -> SealedReply:
        """Take D2 and answer C, as the search service does."""
        now, verifier = self.clock.now, self.verifier()
        claimed = search.receive_query(opening, self.epochs, verifier, now=now)
        serial, shared = self.shared_keys.get(claimed.claimed_doctor, (None, bytes(32)))
        pending = claimed.verify(serial, shared, verifier, now=now)
        query = pending.admit(self.replay.admit(pending.replay_key, now=now, until=pending.keep_until))
        try:
            _, classes = query.authorize(verifier, now=now)
        except Authorization as error:
            findings = query.refusal(error)
        else:
            rows = self.index_rows(query.query.patient_id, classes)
            outcome = search_pb2.SEARCH_OUTCOME_FOUND if rows else search_pb2.SEARCH_OUTCOME_NONE
            findings = search.Findings(outcome, rows)
        return query.answer(findings, CLOUD_ID, self.keys.signing_key, now=now)


class Federation:
    """One cloud, one authority, two hospitals, a doctor and a patient, all registered."""

    def __init__(self, make_token: TokenFactory, entropy: Callable[[int], bytes]) -> None:
        self.make_token = make_token
        self.entropy = entropy
        self.clock = Clock()
        self.replay = MemoryReplay()
        self.authority = Authority(make_token("authority"), self.clock)
        self.cloud = Cloud(CloudKeys.create(make_token("cloud")), self.clock, self.authority, entropy)
        self.hospital_a = self.new_hospital("H:alpha")
        self.hospital_b = self.new_hospital("H:beta")
        self.doctor = self.new_doctor("D:chen")
        self.patient = self.new_patient("P:wang")

    def new_member(self, identity: str, keys: PartyKeys) -> Member:
        return Member(identity, keys, MemorySettings(), MemoryEpochs(), self.cloud.anchors)

    def new_hospital(self, hospital_id: str) -> Member:
        member = self.new_member(hospital_id, HospitalKeys.create(self.make_token("hospital")))
        self.cloud.register(member, ROLE_HOSPITAL, b"licence of " + hospital_id.encode())
        return member

    def new_doctor(self, doctor_id: str) -> Member:
        member = self.new_member(doctor_id, PartyKeys.create(self.make_token("doctor")))
        member.update(self.cloud.directory())
        certificate = self.authority.certify(member.keys, doctor_id)
        self.cloud.register(member, ROLE_DOCTOR, certificate, certificate)
        return member

    def new_patient(self, patient_id: str) -> Member:
        member = self.new_member(patient_id, PartyKeys.create(self.make_token("patient")))
        self.cloud.register(member, ROLE_PATIENT, BIOMETRIC_PASSWORD)
        return member

    def refresh(self, *members: Member) -> None:
        """Hand the newest lists to these members, or to all."""
        directory = self.cloud.directory()
        for member in members or (self.hospital_a, self.hospital_b, self.doctor, self.patient):
            member.update(directory)

    def party(self, member: Member) -> Party:
        return member.party(self.clock.now)

    def room(self, doctor: Member | None = None) -> tuple[GetRoomResponse, bytes]:
        """What the relay serves of the doctor, and the digest in the doctor's code."""
        from federation.protocol.consultation import code_digest

        party = self.party(doctor or self.doctor)
        statement = party.self_.key_statement
        room = GetRoomResponse(
            key_statement=statement,
            doctor_certificate=party.certificate,
            encryption_key_statement=party.encryption_key_statement,
            revocation_list=self.cloud.revocation_list(),
            certificate_revocation_list=self.authority.crl(),
        )
        return room, code_digest(statement.statement, statement.signature, party.certificate)

    def open_consultation(self) -> tuple[patient_consultation.AwaitingReply, SealedOpening]:
        """The patient sends P1 to the doctor."""
        now = self.clock.now
        verifier = self.patient.verifier()
        room, code = self.room()
        doctor = patient_consultation.check_room(room, code, verifier, now=now)
        return patient_consultation.begin(
            self.party(self.patient), doctor, BIOMETRIC_PASSWORD, verifier, now=now, entropy=self.entropy
        )

    def receive_opening(self, opening: SealedOpening) -> doctor_consultation.Asked:
        """The doctor takes P1."""
        now = self.clock.now
        pending = doctor_consultation.receive_opening(self.party(self.doctor), opening, self.doctor.verifier(), now=now)
        return pending.admit(self.replay.admit(pending.replay_key, now=now, until=pending.keep_until))

    def grant(self, terms: Terms | None = None, doctor: Member | None = None) -> SignedStatement:
        party = self.party(doctor or self.doctor)
        return make_grant(
            self.party(self.patient),
            party.identity,
            party.certificate,
            terms or Terms(),
            now=self.clock.now,
            entropy=self.entropy,
        )

    def revoke_grant(self, signed: SignedStatement) -> None:
        from federation.v1.statement_pb2 import Grant

        grant = Grant.FromString(signed.statement)
        self.cloud.revoked_grants.append(grant_entry(grant.patient_id, grant.grant_id))
        self.refresh()

    def consult(
        self, biosignal: bytes = b"ecg" * 1000, grant: SignedStatement | None = None
    ) -> tuple[patient_consultation.AwaitingDiagnosis, doctor_consultation.InConsultation]:
        """P1, D1, P2."""
        now = self.clock.now
        awaiting, opening = self.open_consultation()
        replying, reply = self.receive_opening(opening).reply(now=now, entropy=self.entropy)
        established = awaiting.receive(reply, self.patient.verifier(), now=now)
        waiting, frames = established.deliver(biosignal, grant or self.grant(), now=now)
        state: object = replying
        for frame in frames:
            assert isinstance(state, doctor_consultation.AwaitingBiosignal)
            state = state.receive(frame, self.doctor.verifier(), now=now)
        assert isinstance(state, doctor_consultation.InConsultation)
        return waiting, state

    def ask(self, grant: SignedStatement | None, department_class: str = "*", page: int = 0):
        """The doctor sends D2."""
        return search.ask(
            self.party(self.doctor),
            search.Question("P:wang", department_class, page),
            grant,
            self.patient.key_statement,
            self.cloud.encryption_key(),
            self.doctor.verifier(),
            now=self.clock.now,
            entropy=self.entropy,
        )

    def search(self, grant: SignedStatement | None, department_class: str = "*", page: int = 0) -> search.Answer:
        """D2, C."""
        awaiting, opening = self.ask(grant, department_class, page)
        return awaiting.receive(self.cloud.answer(opening), self.doctor.verifier(), now=self.clock.now)

    def address(self, hospital: Member) -> doctor_record.AddressedHospital:
        verifier = self.doctor.verifier()
        party = verifier.party(hospital.key_statement, ROLE_HOSPITAL, now=self.clock.now)
        statement = self.party(hospital).encryption_key_statement
        return doctor_record.AddressedHospital(party, verifier.encryption_key(statement, party, now=self.clock.now))

    def intent(
        self,
        grant: SignedStatement | None,
        purpose: int = record_pb2.PURPOSE_READ,
        department_class: str = "*",
        handles: tuple[bytes, ...] = (),
    ) -> doctor_record.Intent:
        scope = Scope(purpose=purpose, department_class=department_class, handles=handles)
        return doctor_record.Intent("P:wang", scope, grant, self.patient.key_statement, self.entropy(32))

    def open_session(
        self, hospital: Member, intent: doctor_record.Intent
    ) -> tuple[doctor_record.AwaitingReply, SealedOpening]:
        """The doctor sends D3."""
        return doctor_record.begin(
            self.party(self.doctor),
            self.address(hospital),
            intent,
            self.doctor.verifier(),
            now=self.clock.now,
            entropy=self.entropy,
        )

    def receive_session(self, hospital: Member, opening: SealedOpening) -> hospital_record.Asked:
        """The hospital takes D3."""
        now = self.clock.now
        pending = hospital_record.receive_opening(self.party(hospital), opening, hospital.verifier(), now=now)
        return pending.admit(self.replay.admit(pending.replay_key, now=now, until=pending.keep_until))

    def establish(
        self, hospital: Member, intent: doctor_record.Intent
    ) -> tuple[doctor_record.Established, hospital_record.AwaitingRequest]:
        """D3, H1."""
        now = self.clock.now
        awaiting, opening = self.open_session(hospital, intent)
        requested, reply = self.receive_session(hospital, opening).reply(now=now, entropy=self.entropy)
        return awaiting.receive(reply, self.doctor.verifier(), now=now), requested

    def certificate_digest(self) -> bytes:
        return digest(self.party(self.doctor).certificate)
