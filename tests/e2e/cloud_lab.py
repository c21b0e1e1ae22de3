"""A real public cloud, served in this process over TLS on loopback, and parties with tokens and stores of their own."""

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.authority.node import MedicalAuthority, found_authority, open_authority
from federation.clock import system_clock, system_entropy
from federation.cloud.node import Founding, PublicCloudNode, found, open_public_cloud
from federation.errors import Rejected
from federation.party.audit import AuditEvent
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory
from federation.party.registration import register
from federation.processes.cloud import Ports, serve
from federation.protocol.access import ToDoctor
from federation.protocol.anchors import Anchors
from federation.protocol.consent import Terms, make_grant
from federation.protocol.search import Question
from federation.settings import CloudBudgetSettings, CloudSettings, ServerSettings, TokenSettings
from federation.store.database import open_database
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, Publication
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    SENSITIVITY_NORMAL,
    Sensitivity,
    SignedStatement,
)
from hsm import Pin, PinProvider, Token, TokenUri, open_token, pin_from_value
from keystore.party import HospitalKeys, PartyKeys
from keystore.x509 import issue_leaf, request_certificate
from tests.grants import WIDE, consent_shown
from tests.waiting import until

CLOUD, AUTHORITY = "C:union", "M:board"
_numbers = itertools.count(1)


@dataclass
class CloudLab:
    """One cloud, one medical authority, and functions that make parties."""

    node: PublicCloudNode
    authority: MedicalAuthority
    directory: Path
    make_uri: Callable[..., TokenUri]
    pin: PinProvider
    ports: Ports | None = None
    closing: ExitStack = field(default_factory=ExitStack)

    @property
    def anchors(self) -> Anchors:
        """Return the anchors that everybody pins."""
        return self.node.trust().anchors

    def client(self, **settings: object) -> CloudClient:
        """Return a client of the cloud."""
        return self.closing.enter_context(CloudClient(self.node.trust, **settings))

    def token(self) -> Token:
        """Return a fresh token, open."""
        return self.closing.enter_context(open_token(self.make_uri("party"), self.pin))

    def member(self, identity: str, keys: PartyKeys | None = None) -> Member:
        """Return a party that is not registered yet, with a token and a store of its own."""
        database = open_database(f"sqlite:///{self.directory}/{next(_numbers)}.sqlite")
        self.closing.enter_context(database)
        keys = keys or PartyKeys.create(self.token())
        shards = KeptShards(database) if identity.startswith("H:") else None
        kept = Settings(database), Epochs(database)
        return Member(identity, keys, *kept, self.node.trust(), shards=shards)

    def hospital(self, identity: str, address: str = "127.0.0.1:9") -> tuple[Member, CloudClient]:
        """Return a registered hospital, its address known to the cloud, and its client with a TLS identity."""
        keys = HospitalKeys.create(self.token())
        member = self.member(identity, keys)
        plain = self.client()
        register(member, plain, ROLE_HOSPITAL, b"licence", self.node.invite(identity)[0])
        request = request_certificate(keys.tls_ca_key, identity)
        certificate = plain.certify_tls_identity(member, request)
        leaf = issue_leaf(certificate, keys.tls_ca_key, identity, now=datetime.now(UTC))
        plain.renew(member, address)
        return member, self.client(leaf=lambda: leaf)

    def certificate(self, member: Member) -> bytes:
        """Return Cert_D of a doctor, DER."""
        request = request_certificate(member.keys.signing_key.x509, member.identity)
        return self.authority.issue(request, member.identity).public_bytes(Encoding.DER)

    def doctor(self, identity: str) -> Member:
        """Return a registered doctor."""
        member = self.member(identity)
        certificate = self.certificate(member)
        register(member, self.client(), ROLE_DOCTOR, certificate, None, certificate=certificate)
        return member

    def patient(self, identity: str, hospital: tuple[Member, CloudClient]) -> Member:
        """Return a registered patient, by a ticket of this hospital's enrolment desk."""
        member = self.member(identity)
        ticket = hospital[1].issue_ticket(hospital[0], identity).ticket
        register(member, self.client(), ROLE_PATIENT, bytes(32), ticket)
        return member

    def grant(self, patient: Member, doctor: Member, terms: Terms = WIDE) -> SignedStatement:
        """Return a grant of the patient's for this doctor."""
        now = system_clock()
        grantee = ToDoctor(doctor.identity, AUTHORITY)
        return make_grant(patient.party(now), grantee, terms, now=now, entropy=system_entropy)

    def question(self, patient: Member, doctor: Member, terms: Terms = WIDE) -> Question:
        """Return what this doctor asks by a new grant of the patient's."""
        return question_of(patient, self.grant(patient, doctor, terms))

    def refusals(self) -> list[AuditEvent]:
        """Return the refusals in the cloud's audit log."""
        events = [entry.event for entry in self.node.cloud.audit.entries()]
        return [event for event in events if isinstance(event, AuditEvent) and event.kind == "REFUSAL"]

    @contextmanager
    def rejected_for(self, reason: str) -> Iterator[None]:
        """Require the block to be refused with REJECTED on the wire, and with this reason in the audit log."""
        before = len(self.refusals())
        with pytest.raises(Rejected) as raised:
            yield
        assert raised.value.__notes__ == ["The peer says: The message was not accepted."]
        self._await_refusal(before, reason)

    @contextmanager
    def refused_in_clear(self, kind: type[Exception]) -> Iterator[None]:
        """Require the block to be refused precisely, on the wire and in the audit log."""
        before = len(self.refusals())
        with pytest.raises(kind):
            yield
        self._await_refusal(before, kind.reason)

    def _await_refusal(self, before: int, reason: str) -> None:
        """Require one more refusal in the audit log, for this reason: it is written beside the answer."""
        until(lambda: len(self.refusals()) > before, "the refusal is logged")
        assert [event.reason for event in self.refusals()[before:]] == [reason]

    def publish(
        self,
        hospital: tuple[Member, CloudClient],
        patient_id: str,
        department: str,
        sensitivity: "Sensitivity.ValueType" = SENSITIVITY_NORMAL,
    ) -> Publication:
        """Publish a record of this hospital's."""
        identity = hospital[0].identity
        publication = publication_of(identity, patient_id, f"{identity}/{department}", sensitivity)
        hospital[1].publish(hospital[0], publication)
        return publication


def question_of(patient: Member, grant: SignedStatement) -> Question:
    """Return what is asked by a grant that this patient signed about itself."""
    return Question(consent_shown(patient.identity, grant, patient.key_statement))


def publication_of(
    hospital_id: str,
    patient_id: str,
    department_id: str,
    sensitivity: "Sensitivity.ValueType" = SENSITIVITY_NORMAL,
) -> Publication:
    """Return a publication to be sent: T, nonce and signature come with sending."""
    return Publication(
        action=PUBLICATION_ACTION_ADD,
        patient_id=patient_id,
        department_id=department_id,
        hospital_id=hospital_id,
        handle=system_entropy(16),
        sensitivity=sensitivity,
        nonce=system_entropy(16),
    )


@contextmanager
def cloud_lab(
    directory: Path,
    make_uri: Callable[..., TokenUri],
    pin: PinProvider,
    server: ServerSettings | None = None,
    budgets: CloudBudgetSettings | None = None,
) -> Iterator[CloudLab]:
    """Found a federation with one medical authority, and serve its cloud for the block, with these bounds if they are given."""
    public, peer = (f"127.0.0.1:{free_port()}" for _ in range(2))
    cloud, board = NodeDirectory(directory / "cloud"), NodeDirectory(directory / "board")
    found(cloud, Founding(CLOUD, "test", public, peer, public, peer), TokenSettings(str(make_uri("cloud"))), pin)
    # Each refusal by itself, where tests look for its reason: they make more in a minute than a server writes one by one.
    server = server or ServerSettings(refusals_logged=10_000)
    budgets = budgets or CloudBudgetSettings()
    cloud.write_settings(replace(cloud.settings(CloudSettings), server=server, budgets=budgets))
    certificate = found_authority(board, AUTHORITY, TokenSettings(str(make_uri("board"))), pin)
    with ExitStack() as stack:
        authority = stack.enter_context(open_authority(board, pin))
        node = stack.enter_context(open_public_cloud(cloud, pin))
        node.add_authority(certificate, ["D:*"])
        node.put_crl(authority.crl())
        lab = CloudLab(node, authority, directory, make_uri, pin)
        with lab.closing, _served(lab):
            yield lab


Serve = Callable[..., AbstractContextManager[CloudLab]]


@pytest.fixture(scope="session")
def serve_cloud(
    tmp_path_factory: pytest.TempPathFactory, make_token_uri: Callable[..., TokenUri], user_pin: Pin
) -> Serve:
    """Return a function that serves a cloud of its own for a block: `with serve_cloud(server=...) as cloud`."""
    pin = pin_from_value(user_pin.reveal())
    return lambda **bounds: cloud_lab(tmp_path_factory.mktemp("cloud"), make_token_uri, pin, **bounds)


@pytest.fixture(scope="module")
def cloud(serve_cloud: Serve) -> Iterator[CloudLab]:
    """Yield a served cloud to all tests of a module."""
    with serve_cloud() as made:
        yield made


@contextmanager
def _served(lab: CloudLab) -> Iterator[None]:
    """Serve in a thread with an event loop of its own."""
    ready = threading.Event()
    ended: list[BaseException] = []
    handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        handles.append((asyncio.get_running_loop(), stop))

        def told(ports: Ports) -> None:
            lab.ports = ports
            ready.set()

        await serve(lab.node, stop, told)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - told to the test
            ended.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        if not ended:
            loop, stop = handles[0]
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()
        assert not ended


def free_port() -> int:
    """Return a port that nothing listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def foreign_certificate(lab: CloudLab, member: Member, make_uri: Callable[..., TokenUri]) -> bytes:
    """Return a certificate of a board that the federation does not recognise."""
    board = NodeDirectory(lab.directory / f"foreign-{next(_numbers)}")
    found_authority(board, "M:foreign", TokenSettings(str(make_uri("foreign"))), lab.pin)
    with open_authority(board, lab.pin) as authority:
        request = request_certificate(member.keys.signing_key.x509, member.identity)
        certificate: x509.Certificate = authority.issue(request, member.identity)
    return certificate.public_bytes(Encoding.DER)
