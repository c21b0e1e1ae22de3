"""A hospital that really serves: TLS on loopback, SQLite, blobs, its keys in a SoftHSM token; the rest of the federation is
tests/simulator.py, in memory. The doctor's side is the protocol itself over the stubs."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from federation.clinical.ecg import observation_from_dicom
from federation.clinical.report import diagnostic_report
from federation.errors import RecordCutShort
from federation.hospital.importing import RecordFiles, import_record
from federation.hospital.node import compose
from federation.hospital.outbox import Outbox
from federation.hospital.roster import checked_span, planned, put_on_roster, shown_duty, take_off_roster
from federation.hospital.services import Hospital
from federation.party.member import Member
from federation.processes.hospital import listen
from federation.protocol.calls import PUBLISH
from federation.protocol.consultation import biosignal_transcript, diagnosis_transcript
from federation.protocol.record import Established, Intent, Received, Slice
from federation.protocol.statements import peek_statement, sign_statement
from federation.settings import HospitalSettings, ServerSettings, TokenSettings
from federation.store.blobs import BlobStore
from federation.store.database import Database, open_database
from federation.store.file_shelf import FileShelf
from federation.store.rows import StoredShift
from federation.v1.access_pb2 import ShownDuty
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame
from federation.v1.publication_pb2 import Publication, PublicationReceipt
from federation.v1.record_pb2 import PURPOSE_STORE, Deposit, OpenSessionRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import KeyStatement, SignedStatement
from federation.wire.channel import channel_options
from federation.wire.server import LeafRotation
from federation.wire.status import from_rpc_error
from federation.wire.workers import Workers
from keystore import x509 as issuing
from keystore.party import CloudKeys, HospitalKeys
from keystore.transcript import digest, listing
from tests.serving import SECONDS, Serving, running
from tests.simulator import Federation

DATA = Path(__file__).parent / "data"
JOHNNIE = DATA / "synthea-johnnie679.json"
LUNA = DATA / "synthea-luna60.json"
CARDIOLOGY = "H:alpha/cardiology"
SETTINGS = HospitalSettings(
    "H:alpha", "127.0.0.1:0", "localhost:1", TokenSettings("pkcs11:"), departments=("cardiology", "neurology")
)
"""What of a hospital's settings it is composed by; its token is the simulated federation's."""
MILLISECOND = timedelta(milliseconds=1)
FIXED_WINDOW: tuple[str, str | int] = ("grpc.http2.bdp_probe", 0)
"""A reader whose window isn't widened by how quick its machine is: what is on its way to it has a bound."""
DOCTORS = ("D:chen", "D:roe")
"""Who is on duty here from the beginning, in all departments, for two weeks."""
OWN_CLASSES = ("cardiology", "neurology")
QUIET = {"IMPORT", "ROSTER", "DUTY-STATED", "DUTY-ENDED"}


@dataclass
class HospitalLab:
    """H:alpha of a simulated federation, with a store of its own in a directory."""

    federation: Federation
    directory: Path
    settings: ServerSettings = field(default_factory=lambda: ServerSettings(first_message_seconds=4))
    published: list[Publication] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = self.federation.hospital_a.keys
        assert isinstance(keys, HospitalKeys)
        self.keys = keys
        self.database = self._open_database()
        self.hospital = self._hospital()
        for doctor_id in DOCTORS:
            self.on_duty(doctor_id, *OWN_CLASSES)
        self.federation.rosters["H:alpha"] = self.duty

    def on_duty(
        self,
        doctor_id: str,
        *departments: str,
        begins: timedelta = timedelta(0),
        lasts: timedelta = timedelta(days=14),
    ) -> list[StoredShift]:
        """Put a doctor on the roster; give the shifts that are new."""
        begins_at = self.federation.clock.now + begins // MILLISECOND
        span = checked_span(self.hospital, doctor_id, departments, begins_at, begins_at + lasts // MILLISECOND)
        plan = planned(self.hospital, [span], revive=True)
        put_on_roster(self.hospital, plan.new, "test", "for a test")
        return list(plan.new)

    def off_duty(self, doctor_id: str = "D:chen") -> None:
        """End every shift of a doctor, as `medunion hospital duty end --all` does here."""
        for shift in self.hospital.stores.shifts.of(doctor_id, ending_after=self.federation.clock.now):
            take_off_roster(self.hospital, shift, "test")

    def duty(self, doctor: Member) -> ShownDuty:
        """The duty of a doctor who is on duty here."""
        verifying_key = peek_statement(KeyStatement, doctor.key_statement).verifying_key
        return shown_duty(self.hospital, doctor.identity, verifying_key)

    def _open_database(self) -> Database:
        return open_database(f"sqlite:///{self.directory / 'store.sqlite'}")

    def _hospital(self) -> Hospital:
        return compose(
            SETTINGS,
            self.federation.hospital_a,
            self.keys,
            self.database,
            BlobStore(FileShelf(self.directory / "blobs")),
            lambda: self.federation.clock.now,
            self.federation.entropy,
        )

    def restart(self) -> None:
        """Lose all memory: what is left is what is in the directory."""
        self.database.close()
        self.database = self._open_database()
        self.hospital = self._hospital()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.federation.rosters.clear()
        self.database.close()

    @property
    def reasons(self) -> list[str]:
        """The reasons in the audit log, in order; imports and the roster aside."""
        events = (entry.event for entry in self.hospital.audit.entries())
        return [event.reason for event in events if event.kind not in QUIET]

    @property
    def blobs(self) -> list[Path]:
        """Every file of the blob store, unfinished ones too."""
        return [path for path in (self.directory / "blobs").rglob("*") if path.is_file()]

    def import_files(
        self, bundle: Path = JOHNNIE, patient_id: str = "P:wang", department_id: str = CARDIOLOGY, *attached: Path
    ) -> bytes:
        return import_record(self.hospital, RecordFiles(patient_id, department_id, bundle, attached), lambda _: None)

    def publish(self, publication: Publication) -> SignedStatement:
        """Take a publication as the public cloud does: opened, verified, and answered with PUBACK."""
        federation, cloud, now = self.federation, self.federation.cloud, self.federation.clock.now
        publication.nonce = federation.entropy(16)
        opening, plaintext = PUBLISH.send(publication, self.keys.signing_key, cloud.encryption_key(), now=now)
        claimed = PUBLISH.receive(
            opening, cloud.epochs, cloud.anchors.cloud_id, self.hospital.member.freshness, now=now
        )
        claimed.verify(federation.party(federation.hospital_a).self_, now=now)
        self.published.append(claimed.opened.payload)
        receipt = PublicationReceipt(publication_digest=digest(plaintext), done_at=now)
        return sign_statement("puback", receipt, cloud.keys.signing_key)

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.hospital, self.publish)

    @contextmanager
    def serving(self, through: Callable[[int], int] = lambda port: port) -> "Iterator[Client]":
        """Serve until the block ends; give a client of the doctor's, who dials the port that `through` makes of the server's."""
        now = datetime.now(UTC)
        cloud = self.federation.cloud.keys
        assert isinstance(cloud, CloudKeys)
        root = issuing.create_tls_ca(cloud.tls_ca_key, "test", now=now)
        request = issuing.request_certificate(self.keys.tls_ca_key, "H:alpha")
        ca = issuing.issue_identity_ca(root, cloud.tls_ca_key, request, "H:alpha", now=now)
        leaf = LeafRotation(lambda at: issuing.issue_leaf(ca, self.keys.tls_ca_key, "H:alpha", now=at))
        root_pem = root.public_bytes(Encoding.PEM)

        def build(workers: Workers) -> Serving:
            listening = listen(self.hospital, self.settings, "127.0.0.1:0", leaf, root_pem, workers)
            return listening.server, listening.stop

        with running(build) as port:
            credentials = grpc.ssl_channel_credentials(root_certificates=root_pem)
            options = [*channel_options("H:alpha"), FIXED_WINDOW]
            with grpc.secure_channel(f"127.0.0.1:{through(port)}", credentials, options=options) as channel:
                yield Client(self.federation, channel)


class Session:
    """One stream to the hospital."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.SimpleQueue[OpenSessionRequest | None] = queue.SimpleQueue()
        self._responses = RecordServiceStub(channel).OpenSession(iter(self._requests.get, None), timeout=SECONDS * 3)

    def send(self, *, opening: SealedOpening | None = None, frame: SessionFrame | None = None) -> None:
        self._requests.put(OpenSessionRequest(opening=opening, frame=frame))

    def half_close(self) -> None:
        self._requests.put(None)

    def receive(self):
        try:
            response = next(self._responses, None)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None
        if response is None:
            raise RecordCutShort("the hospital ended the stream")
        return response

    def cut(self) -> None:
        self._responses.cancel()
        self._requests.put(None)


@dataclass
class Client:
    """The doctor at the hospital's server."""

    federation: Federation
    channel: grpc.Channel

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = Session(self.channel)
        try:
            yield session
        finally:
            session.cut()

    def establish(self, session: Session, intent: Intent, doctor=None) -> Established:
        """D3, H1."""
        federation = self.federation
        awaiting, opening = federation.open_session(federation.hospital_a, intent, doctor)
        session.send(opening=opening)
        verifier = (doctor or federation.doctor).verifier()
        return awaiting.receive(session.receive().reply, verifier, now=federation.clock.now)

    def read(
        self,
        intent: Intent,
        sink: Callable[[bytes], object] | None = None,
        doctor=None,
        known_size: int = 0,
        before=None,
    ) -> tuple[bytes, Received]:
        """D3, H1, D4, H2: M_EMR (unless a sink takes it), and its signed end."""
        with self.session() as session:
            established = self.establish(session, intent, doctor)
            state, frame = established.query(now=self.federation.clock.now, known_size=known_size, before=before)
            return self.receive_record(session, state, frame, sink)

    def receive_record(self, session, state, frame, sink=None) -> tuple[bytes, Received]:
        received = bytearray()
        take = sink or received.extend
        session.send(frame=frame)
        while True:
            state, piece = state.receive(
                session.receive().frame, self.federation.doctor.verifier(), now=self.federation.clock.now
            )
            if not isinstance(piece, Slice):
                return bytes(received), piece
            take(piece.content)

    def deposit(self, encounter: "Encounter"):
        """D3, H1, STO, STOACK: the receipt, and as it was signed."""
        with self.session() as session:
            state, frames = self.establish(session, encounter.intent).deposit(
                encounter.biosignal, encounter.diagnosis, encounter.deposit
            )
            for frame in frames:
                session.send(frame=frame)
            return state.receive(session.receive().frame, now=self.federation.clock.now)


@dataclass(frozen=True)
class Encounter:
    """What a doctor deposits: M_SD and M_DINF with what patient and doctor signed in a consultation."""

    intent: Intent
    biosignal: bytes
    diagnosis: bytes
    deposit: Deposit


def ecg(patient_id: str = "P:wang") -> bytes:
    return observation_from_dicom((DATA / "waveform_ecg.dcm").read_bytes(), subject=patient_id)


def report(federation: Federation, patient_id: str = "P:wang", amends: bytes | None = None) -> bytes:
    return diagnostic_report(
        patient_id=patient_id,
        doctor_id="D:chen",
        conclusion="Sinus rhythm." if amends is None else "A flutter.",
        codes=[],
        issued=federation.clock.moment,
        based_on=[],
        amends=amends,
    )


def encounter_of(
    federation: Federation,
    biosignal: bytes,
    diagnosis: bytes,
    grant: SignedStatement,
    department_class: str = "cardiology",
    doctor: Member | None = None,
) -> Encounter:
    """Sign M_SD as the patient and M_DINF as the doctor, as P2 and D5 do; the doctor is on duty."""
    now, consultation = federation.clock.now, federation.entropy(32)
    intent = federation.intent(grant, PURPOSE_STORE, department_class, doctor=doctor)
    doctor = doctor or federation.doctor
    whom = doctor.identity, doctor.certificate, "P:wang"
    sig_p2 = federation.patient.keys.signing_key.sign(
        biosignal_transcript(consultation, *whom, digest(biosignal), intent.shown.grant_digest, now)
    )
    sig_d5 = doctor.keys.signing_key.sign(
        diagnosis_transcript(consultation, digest(diagnosis), sig_p2, listing([]), now)
    )
    deposit = Deposit(
        patient_id="P:wang",
        doctor_id=doctor.identity,
        sent_at=now,
        blind=intent.blind,
        scope=intent.scope,
        access=intent.shown.access,
        consultation_digest=consultation,
        biosignal_size_bytes=len(biosignal),
        biosignal_digest=digest(biosignal),
        biosignal_sent_at=now,
        biosignal_signature=sig_p2,
        diagnosis_size_bytes=len(diagnosis),
        diagnosis_digest=digest(diagnosis),
        diagnosis_sent_at=now,
        diagnosis_signature=sig_d5,
    )
    return Encounter(intent, biosignal, diagnosis, deposit)


def amended(federation: Federation, before: Encounter, *, named: bytes | None = None) -> Encounter:
    """Sign another M_DINF in the place of an encounter's, as a further D5 does; `named` is another than it."""
    diagnosis, intent = (
        report(federation, amends=before.diagnosis),
        replace(before.intent, blind=federation.entropy(32)),
    )
    amends = digest(before.deposit.diagnosis_signature) if named is None else named
    deposit = Deposit()
    deposit.CopyFrom(before.deposit)
    deposit.blind, deposit.amends = intent.blind, amends
    deposit.diagnosis_size_bytes, deposit.diagnosis_digest = len(diagnosis), digest(diagnosis)
    rests_on = deposit.biosignal_signature, listing([])
    deposit.diagnosis_signature = federation.doctor.keys.signing_key.sign(
        diagnosis_transcript(
            deposit.consultation_digest, deposit.diagnosis_digest, *rests_on, deposit.diagnosis_sent_at, amends
        )
    )
    return Encounter(intent, before.biosignal, diagnosis, deposit)


@pytest.fixture
def lab(federation: Federation, tmp_path: Path) -> Iterator[HospitalLab]:
    """Give a hospital that is not served yet."""
    with HospitalLab(federation, tmp_path) as made:
        yield made


@pytest.fixture
def client(lab: HospitalLab) -> Iterator[Client]:
    """Serve it, and give a client."""
    with lab.serving() as client:
        yield client
