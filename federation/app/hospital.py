"""A hospital's node: what its commands and its server are built from."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.app.making import finish, make_keys
from federation.app.node import NodeDirectory, open_node_token
from federation.audit import OK, Audit, AuditEvent
from federation.clients.cloud import CloudClient, IssuedTicket
from federation.clients.registration import register
from federation.clock import Clock, system_clock, system_entropy
from federation.config import ConfigError, HospitalSettings, ServerSettings
from federation.errors import NotRegistered
from federation.member import Member
from federation.protocol.bundle import TrustedBundle
from federation.protocol.identities import require_identity
from federation.services.hospital.hospital import Hospital, Stores
from federation.services.hospital.outbox import Outbox
from federation.services.hospital.records import RecordServicer
from federation.services.hospital.relay import RelayServicer
from federation.services.hospital.upkeep import Upkeep
from federation.services.hospital.vault import Vault
from federation.store.blobs import BlobStore
from federation.store.database import Database
from federation.store.log import SqlLog
from federation.store.party import SqlEpochs, SqlEvidence, SqlReplayMemory, SqlSettings
from federation.store.records import SqlRecords
from federation.store.rooms import SqlRooms
from federation.v1.consultation_pb2_grpc import add_RelayServiceServicer_to_server
from federation.v1.record_pb2_grpc import add_RecordServiceServicer_to_server
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from federation.wire.health import TOKEN, Dependency, watch
from federation.wire.limits import RateBound, ShareBound, StreamDeadlines
from federation.wire.refusal import Border
from federation.wire.server import LeafRotation, Server, build_server
from federation.wire.workers import Workers
from hsm import PinProvider, Token
from keystore.party import HospitalKeys
from keystore.x509 import TlsLeaf, issue_leaf, request_certificate

TLS_IDENTITY_CA = "tls-identity-ca"
RENEW_TLS_IDENTITY = timedelta(days=30)
ANY_PORT = ":0"
JOIN_SECONDS = 5.0


def init_hospital(
    directory: NodeDirectory,
    settings: HospitalSettings,
    bundle: TrustedBundle,
    pin: PinProvider | None,
    keys_in: Callable[[Token], HospitalKeys] | None = None,
) -> None:
    """Make a hospital's keys in its token, its store and its settings. Raises ConfigError, HsmError, StoreError.

    `keys_in` opens keys that a ceremony made (HospitalKeys); without it they are made, what an attempt before made included.
    """
    if directory.is_initialised:
        raise ConfigError(f"{directory.settings_file} is there already: this hospital has been made")
    _require_sound(settings, bundle)
    directory.create()
    with open_node_token(settings.token, pin) as token:
        if keys_in is None:
            make_keys(directory, token, HospitalKeys)
        else:
            keys_in(token)
    directory.database().close()
    directory.write_trust(bundle)
    # Last: a directory with settings is a hospital.
    directory.write_settings(settings)
    finish(directory)


def _require_sound(settings: HospitalSettings, bundle: TrustedBundle) -> None:
    require_identity("hospital", settings.identity)
    for name in settings.departments:
        require_identity("department", f"{settings.identity}/{name}")
        if name.partition(".")[0] not in bundle.anchors.department_classes:
            raise ConfigError(f"departments: {name} is of no class that the federation publishes")


def department_ids(settings: HospitalSettings) -> tuple[str, ...]:
    """Give the ID_DEs of a hospital's departments."""
    return tuple(f"{settings.identity}/{name}" for name in settings.departments)


class HospitalNode:
    """A hospital, open: its token, its store, its calls to the public cloud. A context manager."""

    def __init__(
        self, directory: NodeDirectory, pin: PinProvider | None = None, *, clock: Clock = system_clock
    ) -> None:
        """Open the node of a directory. Raises ConfigError, HsmError, StoreError, MalformedMessage."""
        self.clock = clock
        self.directory = directory
        self.settings = directory.settings(HospitalSettings)
        self._bundle = directory.trust()
        with ExitStack() as opened:
            token = opened.enter_context(open_node_token(self.settings.token, pin))
            self.database = database = opened.enter_context(directory.database())
            self._keys = HospitalKeys(token)
            blobs = BlobStore(directory.path / "blobs")
            self.hospital = _hospital(self.settings, self._bundle, self._keys, database, blobs, clock)
            self.cloud = opened.enter_context(CloudClient(self._bundle, leaf=self._current_leaf, clock=clock))
            self._opened = opened.pop_all()
        self._rotation: LeafRotation | None = None

    @property
    def member(self) -> Member:
        """Give the hospital as a member of the federation."""
        return self.hospital.member

    @property
    def leaf(self) -> LeafRotation:
        """Give the TLS leaf, made in memory and signed by the identity CA. Raises NotRegistered."""
        if self._rotation is None:
            self._rotation = LeafRotation(self._issue_leaf, self.clock)
        return self._rotation

    @property
    def bundle(self) -> TrustedBundle:
        """Give the trust bundle in hand."""
        return self._bundle

    @property
    def root_pem(self) -> bytes:
        """Give the federation's TLS CAs."""
        return self._bundle.tls_roots

    @property
    def outbox(self) -> Outbox:
        """Give the outbox, on its way to the public cloud."""
        return Outbox(self.hospital, lambda publication: self.cloud.publish(self.member, publication))

    def register(self, licence: bytes, ticket: bytes) -> None:
        """Register, have the TLS identity certified, and tell the cloud where this hospital is dialled.

        Each step that is done stays done: what failed half-way goes on here. Raises the cloud's refusal, Unavailable.
        """
        if not self.member.is_registered:
            register(self.member, self.cloud, ROLE_HOSPITAL, licence, ticket)
        self.certify_tls_identity()
        if not self.settings.address.endswith(ANY_PORT):
            self.cloud.renew(self.member, self.settings.address)

    def certify_tls_identity(self) -> bool:
        """Have the identity CA certified unless its certificate is good for a month; say whether it was."""
        kept = self.identity_ca
        now = datetime.fromtimestamp(self.clock() / 1000, UTC)
        if kept is not None and kept.not_valid_after_utc - now > RENEW_TLS_IDENTITY:
            return False
        request = request_certificate(self._keys.tls_ca_key, self.settings.identity)
        certificate = self.cloud.certify_tls_identity(self.member, request)
        self.hospital.stores.settings.put(TLS_IDENTITY_CA, certificate.public_bytes(Encoding.DER))
        return True

    def issue_ticket(self, patient_id: str) -> IssuedTicket:
        """Get a ticket for a patient whom the desk has identified."""
        issued = self.cloud.issue_ticket(self.member, require_identity("patient", patient_id))
        self.hospital.audit.record(AuditEvent("TICKET", OK, detail=patient_id), now=self.clock())
        return issued

    def close(self) -> None:
        """Close channels, store and token."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _current_leaf(self) -> TlsLeaf:
        return self.leaf.current()

    def _issue_leaf(self, now: datetime) -> TlsLeaf:
        ca = self.identity_ca
        if ca is None:
            raise NotRegistered("this hospital's TLS identity is not certified yet: register first")
        return issue_leaf(ca, self._keys.tls_ca_key, self.settings.identity, now=now)

    @property
    def identity_ca(self) -> x509.Certificate | None:
        """Give the certificate of this hospital's identity CA, if there is one for the key in the token."""
        kept = self.hospital.stores.settings.get(TLS_IDENTITY_CA)
        certificate = None if kept is None else x509.load_der_x509_certificate(kept)
        # A token that was restored in place of one that died has another key: it is certified anew.
        ours = certificate is not None and certificate.public_key() == self._keys.tls_ca_key.public_key()
        return certificate if ours else None


def _hospital(
    settings: HospitalSettings,
    bundle: TrustedBundle,
    keys: HospitalKeys,
    database: Database,
    blobs: BlobStore,
    clock: Clock,
) -> Hospital:
    kept = SqlSettings(database)
    member = Member(
        settings.identity,
        keys,
        kept,
        SqlEpochs(database),
        bundle.anchors,
        settings.protocol.freshness,
        settings.protocol.lifetimes,
    )
    stores = Stores(
        settings=kept,
        replay=SqlReplayMemory(database),
        records=SqlRecords(database),
        rooms=SqlRooms(database),
        evidence=SqlEvidence(database),
    )
    return Hospital(
        member=member,
        sealing=keys.sealing,
        vault=Vault(keys, blobs, system_entropy),
        stores=stores,
        audit=Audit(SqlLog(database), keys.sealing),
        departments=department_ids(settings),
        clock=clock,
        entropy=system_entropy,
    )


@dataclass(frozen=True)
class Listening:
    """A hospital's server with its servicers."""

    server: Server
    relay: RelayServicer

    async def stop(self, grace: timedelta) -> None:
        """End what follows, then what else is under way, within the grace."""
        self.relay.stop()
        await self.server.stop(grace)


def listen(
    hospital: Hospital, settings: ServerSettings, address: str, leaf: LeafRotation, root_pem: bytes, workers: Workers
) -> Listening:
    """Build a hospital's server, within a running event loop; start it then. Raises Unavailable if nothing can listen."""

    def audit(event: AuditEvent) -> None:
        hospital.audit.record(event, now=hospital.clock())

    deadlines = StreamDeadlines(
        timedelta(seconds=settings.first_message_seconds),
        timedelta(seconds=settings.next_message_seconds),
        timedelta(seconds=settings.write_seconds),
    )
    rate = RateBound(settings.openers_per_second, settings.openers_burst)
    shares = ShareBound(settings.most_calls_per_caller, settings.most_concurrent_calls)
    interceptors: list[grpc.aio.ServerInterceptor] = [Border(audit, workers, rate, deadlines, shares=shares)]
    server = build_server(
        address, leaf, root_pem, require_client_certificate=False, interceptors=interceptors, settings=settings
    )
    relay = RelayServicer(hospital, workers)
    add_RecordServiceServicer_to_server(RecordServicer(hospital, workers), server.grpc)
    add_RelayServiceServicer_to_server(relay, server.grpc)
    return Listening(server, relay)


async def serve(node: HospitalNode, ready: Callable[[str], None], stopped: Callable[[], Awaitable[object]]) -> None:
    """Serve until `stopped` returns. `ready` is told the address that others dial, once calls are taken."""
    settings = node.settings.server
    workers = Workers(settings.threads, settings.most_waiting_calls)
    try:
        listening = listen(node.hospital, settings, node.settings.listen, node.leaf, node.root_pem, workers)
        address = _dialled(node.settings.address, listening.server.port)
        upkeep = Upkeep(node.hospital, node.cloud, node.outbox, address, chores=[node.certify_tls_identity])
        await asyncio.to_thread(upkeep.prepare)
        await listening.server.start()
        upkeep.start()
        watching = asyncio.create_task(
            watch(Dependency(TOKEN, node.member.keys.token.health), listening.server.health.tell)
        )
        ready(address)
        await stopped()
        watching.cancel()
        upkeep.stop()
        await listening.stop(timedelta(seconds=settings.stop_seconds))
        node.cloud.close()
        await asyncio.to_thread(upkeep.join, JOIN_SECONDS)
    finally:
        workers.close()


def _dialled(address: str, port: int) -> str:
    """Give the address that others dial; port 0 stands for the one that was bound."""
    return f"{address.removesuffix(ANY_PORT)}:{port}" if address.endswith(ANY_PORT) else address
