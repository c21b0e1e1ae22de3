"""A public cloud that is open but does not serve, on real tokens and a real store, with a clock that the test moves."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from federation.clock import system_clock
from federation.cloud.index_rows import look_up
from federation.cloud.node import Founding, PublicCloudNode, found, open_public_cloud
from federation.cloud.registration import open_registration, register
from federation.cloud.services import Cloud
from federation.party.epochs import EpochKeeper
from federation.party.node_directory import NodeDirectory
from federation.protocol.access import Allowed
from federation.protocol.index import Location
from federation.protocol.registration import Applicant, AwaitingCredential, Registered
from federation.protocol.statements import peek_statement
from federation.protocol.time import milliseconds
from federation.rotation.cloud import SOON, cloud_rotation
from federation.rotation.steps import SETTLING, Rotation
from federation.settings import CloudSettings, TokenSettings
from federation.store.rows import RowPlace
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.registration_pb2 import RegisterRequest
from federation.v1.statement_pb2 import ROLE_HOSPITAL, EncryptionKeyStatement
from hsm import PinProvider, Token, TokenUri
from keystore.identities import PatientId
from keystore.party import PartyKeys
from keystore.signatures import SigningKey
from tests.sqlite_stores import new_epochs

CLOUD = "C:union"
LICENCE = b"licence"


@dataclass
class Clock:
    """What the cloud takes for now."""

    now: int = field(default_factory=system_clock)

    def __call__(self) -> int:
        return self.now

    def advance(self, duration: timedelta) -> None:
        """Let time pass."""
        self.now += milliseconds(duration)


@dataclass
class Unserved:
    """One process of a cloud, its rotation, and hospitals that register with it."""

    node: PublicCloudNode
    clock: Clock
    make_token: Callable[[str], Token]

    @property
    def rotation(self) -> Rotation:
        """Return the cloud's rotation."""
        return cloud_rotation(self.node)

    def rotate(self, purpose: str) -> None:
        """Give a purpose its next generation, active by now, and let the one before it settle."""
        self.rotation.prepare(purpose, generate=True)
        self.rotation.activate(purpose, at_once=True)
        self.clock.advance(SOON)
        self.node.publish()
        self.clock.advance(SETTLING)
        self.node.publish()

    def hospital(
        self,
        identity: str,
        keys: PartyKeys | None = None,
        renews: SigningKey | None = None,
        asks_for: SigningKey | None = None,
    ) -> Registered:
        """Register a hospital: with a ticket, or by itself with the key of its live registration; for a key of its token unless
        it asks for another.
        """
        awaiting, opening = self.applying(identity, keys, renews, asks_for)
        cloud = self.node.cloud
        reply = register(cloud, RegisterRequest(opening=opening))
        anchors = cloud.publisher.current.verifier.anchors
        return awaiting.receive(reply, anchors, (), cloud.freshness, now=self.clock.now)

    def applying(
        self,
        identity: str,
        keys: PartyKeys | None = None,
        renews: SigningKey | None = None,
        asks_for: SigningKey | None = None,
    ) -> tuple[AwaitingCredential, SealedOpening]:
        """Return a hospital's reg1, not sent yet."""
        cloud, now = self.node.cloud, self.clock.now
        keys = keys or PartyKeys.create(self.make_token("party"))
        signing_key = asks_for or keys.signing_key
        epochs = EpochKeeper(identity, keys, new_epochs())
        statement = epochs.current(now, signing_key)
        key_id = peek_statement(EncryptionKeyStatement, statement).key_id
        applicant = Applicant(
            role=ROLE_HOSPITAL,
            identity=identity,
            evidence=LICENCE,
            ticket=None if renews else self.node.invite(identity)[0],
            signing_key=signing_key,
            decryption_key=epochs.find(key_id),
            encryption_key_statement=statement,
            current=renews,
        )
        opened, verifier = open_registration(cloud), cloud.publisher.current.verifier
        cloud_key = verifier.cloud_encryption_key(opened.cloud_encryption_key_statement, now=now)
        return applicant.apply(opened.challenge, cloud_key, now=now)


@contextmanager
def unserved_cloud(directory: Path, make_uri: Callable[..., TokenUri], pin: PinProvider) -> Iterator[NodeDirectory]:
    """Found a cloud, and yield its directory."""
    node = NodeDirectory(directory / "cloud")
    addresses = "127.0.0.1:1", "127.0.0.1:2"
    found(node, Founding(CLOUD, "test", *addresses, *addresses), TokenSettings(str(make_uri("cloud"))), pin)
    yield node


@contextmanager
def opened(
    node: NodeDirectory, pin: PinProvider, clock: Clock, make_token: Callable[[str], Token]
) -> Iterator[Unserved]:
    """Open it, as one of its processes does."""
    with open_public_cloud(node, pin, clock) as cloud:
        cloud.publish()
        yield Unserved(cloud, clock, make_token)


@contextmanager
def beside(cloud: Unserved, clock: Clock) -> Iterator[Unserved]:
    """Open the same cloud beside it, as another of its processes does: they share the token's sessions and the store."""
    directory = cloud.node.directory
    settings = directory.settings(CloudSettings)
    with directory.database(settings.database) as database:
        other = PublicCloudNode(directory, settings, database, cloud.node.cloud.keys.token, clock)
        yield Unserved(other, clock, cloud.make_token)


def looked_up(
    cloud: Cloud, patient_id: str, classes: Iterable[str], allowed: Allowed, after: RowPlace | None = None
) -> list[Location]:
    """Return the records that a search finds from a place on, as far as one look-up goes."""
    return [it for _, it in look_up(cloud, PatientId(patient_id), classes, allowed, after).opened]
