"""Clients at work: the doctor's and the patient's own code, against a hospital that really serves and a cloud in memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from federation.clock import Clock
from federation.errors import FederationError, Unavailable
from federation.party.audit import Audit
from federation.party.member import Member
from federation.person.dealing import Connect
from federation.person.doctor import DoctorClient, DoctorRoom
from federation.person.patient import PatientClient
from federation.person.profile import Profile
from federation.person.records import Pause
from federation.person.trace import Trace
from federation.protocol import search
from federation.protocol.anchors import Lists, statement_entry, sweep_entry
from federation.protocol.restriction import Restriction, Standings, Stating, read_restriction
from federation.protocol.statements import peek_statement
from federation.store.database import open_database
from federation.store.log import Log
from federation.store.party import Evidence, ReplayMemory
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import Grant, Mandate, SignedStatement
from keystore.biometric import BiometricPassword
from keystore.identities import PatientId
from tests.hospital_lab import HospitalLab
from tests.simulator import BIOMETRIC_PASSWORD, Federation


class CloudInMemory:
    """The calls of `CloudClient` that clients make, answered by the simulated cloud itself."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self.is_dark = False
        """Whether it does not answer."""
        self.refusal: FederationError | None = None
        """What it answers to whoever takes something back."""
        self.searches = 0
        self.hidden: dict[str, Restriction] = {}
        self.revocations: list[tuple[str, Deputyship | None]] = []
        """Whose statements were taken back, and by what where a deputy did it."""

    def _require_light(self) -> None:
        if self.is_dark:
            raise Unavailable("the public cloud does not answer")

    def refresh(self, member: Member) -> Lists:
        self._require_light()
        return member.update(self._federation.cloud.directory())

    def search(self, member: Member, question: search.Question) -> search.Answer:
        self._require_light()
        self.searches += 1
        cloud, now, verifier = self._federation.cloud, self._federation.clock.now, member.verifier()
        awaiting, opening = search.ask(
            member.party(now), question, cloud.encryption_key(), verifier, now=now, entropy=self._federation.entropy
        )
        return awaiting.receive(cloud.answer(opening), verifier, now=now)

    def revoke(
        self,
        member: Member,
        statements: Sequence[tuple[str, SignedStatement]],
        *,
        owner_id: str | None = None,
        before: int | None = None,
        deputyship: Deputyship | None = None,
    ) -> Lists:
        """Name them in the next list. What may be taken back by whom is the public cloud's to decide, and tested there."""
        self._require_light()
        if self.refusal is not None:
            raise self.refusal
        owner, cloud = owner_id or member.identity, self._federation.cloud
        self.revocations.append((owner, deputyship))
        for kind, signed in statements:
            statement = {"grant": Grant, "mandate": Mandate}[kind].FromString(signed.statement)
            cloud.revoked_statements.append(statement_entry(kind, owner, getattr(statement, f"{kind}_id")))
        if before is not None:
            cloud.sweeps[sweep_entry(owner)] = before
        return self.refresh(member)

    def restrict(
        self,
        member: Member,
        patient_id: PatientId,
        stating: Stating | None = None,
        deputyship: Deputyship | None = None,
    ) -> tuple[Standings, Restriction]:
        """Keep what is hidden; whether it may be is the public cloud's to decide, and tested there."""
        self._require_light()
        if stating is not None:
            self.hidden[patient_id] = read_restriction(peek_statement(pb.Restriction, stating.restriction))
        return Standings(None, 0, 0), self.hidden.get(patient_id, Restriction(patient_id))


@dataclass
class Surgery:
    """A doctor and patients at a hospital that serves."""

    federation: Federation
    lab: HospitalLab
    channel: grpc.Channel
    directory: Path
    doctor: DoctorClient
    cloud: CloudInMemory

    address = "localhost:1"

    def connect(self, _address: str, _identity: str) -> grpc.Channel:
        return self.channel

    def patient(
        self, member: Member | None = None, password: bytes = BIOMETRIC_PASSWORD, clock: Clock | None = None
    ) -> PatientClient:
        member = member or self.federation.patient
        name = member.identity.replace(":", "-")
        return PatientClient(
            member,
            self.cloud,
            self.connect,
            Evidence(open_database(f"sqlite:///{self.directory / name}.sqlite")),
            Profile(self.directory / name),
            BiometricPassword(password),
            Trace(None, lambda: 0),
            clock=clock or (lambda: self.federation.clock.now),
            entropy=self.federation.entropy,
        )

    def reasons(self) -> list[str]:
        """What the doctor's audit log says."""
        return [entry.event.reason for entry in self.audit.entries()]

    @property
    def audit(self) -> Audit:
        return doctor_audit(self.federation, self.directory)


def doctor_audit(federation: Federation, directory: Path) -> Audit:
    database = open_database(f"sqlite:///{directory / 'doctor'}.sqlite")
    return Audit(Log(database), federation.doctor.keys.sealing, where=federation.doctor.identity)


def make_doctor(
    federation: Federation,
    directory: Path,
    connect: Connect,
    cloud: CloudInMemory | None = None,
    pause: Pause = time.sleep,
) -> DoctorClient:
    database = open_database(f"sqlite:///{directory / 'doctor'}.sqlite")
    return DoctorClient(
        federation.doctor,
        cloud or CloudInMemory(federation),
        connect,
        ReplayMemory(database),
        Evidence(database),
        Audit(Log(database), federation.doctor.keys.sealing, where=federation.doctor.identity),
        Profile(directory),
        Trace(None, lambda: 0),
        clock=lambda: federation.clock.now,
        entropy=federation.entropy,
        pause=pause,
    )


@pytest.fixture
def surgery(federation: Federation, tmp_path: Path) -> Iterator[Surgery]:
    with at_work(federation, tmp_path) as surgery:
        yield surgery


@pytest.fixture
def own_surgery(own_federation: Federation, tmp_path: Path) -> Iterator[Surgery]:
    """For a test whose members register anew."""
    with at_work(own_federation, tmp_path) as surgery:
        yield surgery


@contextmanager
def at_work(
    federation: Federation, directory: Path, through: Callable[[int], int] = lambda port: port
) -> Iterator[Surgery]:
    """Open a surgery at a hospital that is dialled at the port which `through` makes of its own."""
    (directory / "hospital").mkdir()
    with HospitalLab(federation, directory / "hospital") as lab, lab.serving(through) as client:
        doctor = make_doctor(federation, directory, lambda _address, _identity: client.channel)
        yield Surgery(federation, lab, client.channel, directory, doctor, CloudInMemory(federation))


@pytest.fixture
def room(surgery: Surgery) -> DoctorRoom:
    return surgery.doctor.open_room("H:alpha", surgery.address)
