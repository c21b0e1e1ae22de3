"""The public cloud's process: two ports, and what runs beside them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from federation.cloud.directory import DirectoryFeed, DirectoryVersion
from federation.cloud.node import PublicCloudNode
from federation.cloud.revocation import Capacity
from federation.cloud.rpc import (
    DirectoryServicer,
    MembershipServicer,
    PublicationServicer,
    RegistrationServicer,
    RestrictionServicer,
    RevocationServicer,
    SearchServicer,
)
from federation.cloud.services import Cloud
from federation.cloud.witnessing import address_in, known_in, log_chores
from federation.monitor.monitor import Monitor
from federation.monitor.targets import cloud_target
from federation.party.audit import AuditEvent
from federation.party.chores import LEASE, Chore, ChoreRunner, Lease
from federation.party.log_peers import DialledPeers
from federation.party.log_rpc import LogDesk, LogServicer
from federation.party.log_upkeep import log_upkeep
from federation.party.public_witnesses import public_chores
from federation.party.time_stamping import stamping_chores
from federation.processes.worker import Companions, WorkerSlot, end_when_told
from federation.rotation.cloud import rotation_chores
from federation.v1.directory_pb2_grpc import add_DirectoryServiceServicer_to_server
from federation.v1.log_pb2_grpc import add_LogServiceServicer_to_server
from federation.v1.membership_pb2_grpc import add_MembershipServiceServicer_to_server
from federation.v1.publication_pb2_grpc import add_PublicationServiceServicer_to_server
from federation.v1.registration_pb2_grpc import add_RegistrationServiceServicer_to_server
from federation.v1.restrictions_pb2_grpc import add_RestrictionServiceServicer_to_server
from federation.v1.revocation_pb2_grpc import add_RevocationServiceServicer_to_server
from federation.v1.search_pb2_grpc import add_SearchServiceServicer_to_server
from federation.wire import operations
from federation.wire.call_guard import CallGuard
from federation.wire.channel import dialling_of
from federation.wire.server import LeafRotation, Server, build_server
from federation.wire.workers import Workers
from keystore.x509 import TlsLeaf, issue_leaf

LISTS_EVERY = timedelta(seconds=1)
EPOCHS_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Ports:
    """The ports that were bound."""

    public: int
    peer: int


async def serve(
    node: PublicCloudNode, stop: asyncio.Event, ready: Callable[[Ports], None], slot: WorkerSlot | None = None
) -> None:
    """Serve until `stop` is set, or the slot is to be left; `ready` is told when calls are taken.

    Raises Unavailable if a port is taken; ConfigError.
    """
    settings, slot = node.settings.server, slot or WorkerSlot()
    stamping = stamping_chores(node.cloud.own_log, node.settings.log, node.settings.dialling)
    workers = Workers(settings.threads, settings.most_waiting_calls)
    runner = ChoreRunner(Lease(node.stored_settings, LEASE, node.cloud.clock))
    peers = DialledPeers(node.trust, address_in(node.cloud), dialling_of(node.settings.dialling))
    try:
        await workers.run(node.publish)
        feed = DirectoryFeed(node.cloud.publisher)
        leaf = _leaf(node)
        monitor = Monitor(cloud_target(node, leaf, workers, slot))
        # Each port has bounds of its own: a crowd at the public one takes no place of a hospital's.
        guards = [CallGuard.of(settings, _audit(node.cloud), workers, monitor.calls) for _ in range(2)]
        public, peer = _servers(node, workers, feed, leaf, monitor, guards, slot)
        async with AsyncExitStack() as monitored:
            await monitored.enter_async_context(monitor.running())
            chores = [*_chores(node, feed), *_log_upkeep(node), *log_chores(node.cloud, node.settings.log, peers)]
            chores += public_chores(node.cloud.own_log, node.settings.log, node.settings.dialling)
            runner.start([*chores, *stamping, *rotation_chores(node, runner.pause)])
            await public.start()
            await peer.start()
            ready(Ports(public.port, peer.port))

            async def make_way() -> None:
                await monitored.aclose()
                await asyncio.to_thread(runner.resign)

            await end_when_told(slot, stop, (public, peer), settings, Companions(make_way, feed.close))
            for guard in guards:
                await guard.settle()
    finally:
        await asyncio.to_thread(runner.stop)
        peers.close()
        await asyncio.to_thread(runner.join)
        workers.close()


def _audit(cloud: Cloud) -> Callable[[AuditEvent], None]:
    return lambda event: cloud.audit.record(event, now=cloud.clock())


def _leaf(node: PublicCloudNode) -> LeafRotation:
    cloud = node.cloud

    def issue(now: datetime) -> TlsLeaf:
        return issue_leaf(*cloud.keys_by_time.tls_ca(cloud.clock()), cloud.identity, now=now)

    return LeafRotation(issue, cloud.clock, lambda: cloud.publisher.current.tls_ca)


def _servers(
    node: PublicCloudNode,
    workers: Workers,
    feed: DirectoryFeed,
    leaf: LeafRotation,
    monitor: Monitor,
    guards: Sequence[CallGuard],
    slot: WorkerSlot,
) -> tuple[Server, Server]:
    """Build the public port, and the peer port for hospitals by mutual TLS."""
    cloud, settings = node.cloud, node.settings
    by_peers = workers.for_peers()
    public, peer = (
        build_server(
            address,
            leaf,
            lambda: cloud.publisher.current.tls_roots,
            require_client_certificate=is_for_peers,
            interceptors=[guard],
            settings=settings.server,
            health=monitor.health,
            shared=slot.is_shared,
        )
        for address, guard, is_for_peers in zip(
            slot.addresses(settings.public_listen, settings.peer_listen), guards, (False, True), strict=True
        )
    )
    monitor.watch_ports({"public": public, "peer": peer})
    for server, threads in ((public, workers), (peer, by_peers)):
        add_DirectoryServiceServicer_to_server(DirectoryServicer(cloud, feed, threads), server.grpc)
        add_MembershipServiceServicer_to_server(MembershipServicer(cloud, threads), server.grpc)
        add_RestrictionServiceServicer_to_server(RestrictionServicer(cloud, threads), server.grpc)
        add_LogServiceServicer_to_server(
            LogServicer(LogDesk(cloud.own_log, cloud.witness, known_in(cloud)), threads), server.grpc
        )
    add_RegistrationServiceServicer_to_server(RegistrationServicer(cloud, workers), public.grpc)
    add_SearchServiceServicer_to_server(SearchServicer(cloud, workers), public.grpc)
    add_RevocationServiceServicer_to_server(RevocationServicer(cloud, workers, feed), public.grpc)
    add_PublicationServiceServicer_to_server(PublicationServicer(cloud, by_peers), peer.grpc)
    return public, peer


def _chores(node: PublicCloudNode, feed: DirectoryFeed) -> list[Chore]:
    """Return the chores of one process beside those of rotation. Use in the event loop that serves."""
    loop, clock, epochs = asyncio.get_running_loop(), node.cloud.clock, node.cloud.epochs

    def announce() -> None:
        asyncio.run_coroutine_threadsafe(feed.announce(), loop).result()

    def begin_epoch() -> None:
        if epochs.is_due(clock()):
            epochs.rotate(clock())
            operations.info("epoch-begun")

    def end_epochs() -> None:
        # Each process has the keys in memory, and forgets them with the others.
        if ended := epochs.sweep(clock()):
            operations.info("epochs-ended", number=ended)

    refresh, event = partial(_refresh, node, announce), "epochs-not-turned"
    return [
        Chore("refresh-lists", LISTS_EVERY, refresh, thread="lists", event="list-not-refreshed"),
        Chore("begin-epoch", EPOCHS_EVERY, begin_epoch, leased=True, event=event),
        Chore("end-epochs", EPOCHS_EVERY, end_epochs, event=event),
        # In a thread of its own: a server that is slow holds up nothing but the next authority's.
        Chore("fetch-crls", timedelta(minutes=node.settings.crls.minutes), node.crls.fetch, True, "crls", at_once=True),
        Chore("sweep-budgets", EPOCHS_EVERY, lambda: node.cloud.budgets.sweep(clock()), leased=True),
    ]


def _log_upkeep(node: PublicCloudNode) -> list[Chore]:
    cloud = node.cloud
    return log_upkeep(node.database, cloud.audit, node.settings.log, cloud.own_log.witness_policies, cloud.clock)


def _refresh(node: PublicCloudNode, announce: Callable[[], None]) -> None:
    """Sign a new list if one is needed: other processes change the book too.

    Where that fails the list in hand holds until it ends; then everything is refused.
    """
    publisher = node.cloud.publisher
    before = publisher.current.sequence
    version = publisher.refresh(node.cloud.clock())
    if version.sequence != before:
        operations.info("list-issued", sequence=version.sequence)
        warn_of_little_room(version, node.cloud.most_revocations)
        announce()
        _write_trust(node, version)


def warn_of_little_room(version: DirectoryVersion, most: int) -> None:
    """Warn with each new list that has little room left."""
    capacity = Capacity(version.head.entries, most)
    if capacity.is_high:
        operations.warning("list-filling", entries=capacity.entries, most=capacity.most)


def _write_trust(node: PublicCloudNode, version: DirectoryVersion) -> None:
    try:
        node.follow(version)
    except OSError as error:
        operations.failure("trust-file-not-written", error)
