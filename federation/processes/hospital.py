"""A hospital's process: its port, and what runs beside it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from federation.hospital.maintenance import Maintenance
from federation.hospital.node import ANY_PORT, HospitalNode
from federation.hospital.rpc import RecordServicer, RelayServicer
from federation.hospital.services import Hospital
from federation.hospital.standing import Grounds, Standing
from federation.hospital.witnessing import cosigning_of, log_chores, witnessed_hospital
from federation.monitor.monitor import Monitor
from federation.monitor.targets import hospital_target
from federation.party.audit import AuditEvent
from federation.party.chores import LEASE, Chore, ChoreRunner, Lease
from federation.party.log_peers import DialledPeers, asked_at_the_cloud
from federation.party.log_rpc import LogDesk, LogServicer
from federation.party.log_upkeep import log_upkeep
from federation.party.public_witnesses import public_chores
from federation.party.time_stamping import stamping_chores
from federation.processes.worker import Companions, WorkerSlot, end_when_told
from federation.settings import ServerSettings
from federation.v1.consultation_pb2_grpc import add_RelayServiceServicer_to_server
from federation.v1.log_pb2_grpc import add_LogServiceServicer_to_server
from federation.v1.record_pb2_grpc import add_RecordServiceServicer_to_server
from federation.wire.call_guard import CallGuard
from federation.wire.channel import dialling_of
from federation.wire.server import LeafRotation, Server, build_server
from federation.wire.workers import Workers


@dataclass(frozen=True)
class Listening:
    """A hospital's server with its servicers."""

    server: Server
    relay: RelayServicer
    guard: CallGuard

    async def end_followers(self) -> None:
        """End the streams that wait for frames; who follows them follows again."""
        self.relay.stop()

    async def stop(self, grace: timedelta) -> None:
        """End what follows, then what else is under way, within the grace."""
        self.relay.stop()
        await self.server.stop(grace)
        await self.relay.settle()
        await self.guard.settle()


def listen(
    hospital: Hospital,
    settings: ServerSettings,
    address: str,
    leaf: LeafRotation,
    root_pem: bytes,
    workers: Workers,
    monitor: Monitor | None = None,
    *,
    shared: bool = False,
) -> Listening:
    """Build a hospital's server, within a running event loop; start it then. Raises Unavailable if nothing can listen."""

    def audit(event: AuditEvent) -> None:
        hospital.audit.record(event, now=hospital.clock())

    guard = CallGuard.of(settings, audit, workers, monitor.calls if monitor is not None else None)
    server = build_server(
        address,
        leaf,
        root_pem,
        require_client_certificate=False,
        interceptors=[guard],
        settings=settings,
        health=monitor.health if monitor is not None else None,
        shared=shared,
    )
    if monitor is not None:
        monitor.watch_ports({"public": server})
    standing = Standing(workers, Grounds(hospital))
    relay = RelayServicer(hospital, workers, standing)
    add_RecordServiceServicer_to_server(RecordServicer(hospital, workers, standing), server.grpc)
    add_RelayServiceServicer_to_server(relay, server.grpc)
    add_LogServiceServicer_to_server(LogServicer(LogDesk(hospital.own_log, hospital.witness), workers), server.grpc)
    return Listening(server, relay, guard)


async def serve(
    node: HospitalNode, stop: asyncio.Event, ready: Callable[[str], None], slot: WorkerSlot | None = None
) -> None:
    """Serve until `stop` is set, or the slot is to be left. `ready` is told the address that others dial, once calls are taken.

    Raises Unavailable if the port is taken; ConfigError.
    """
    settings, slot = node.settings.server, slot or WorkerSlot()
    stamping = stamping_chores(node.hospital.own_log, node.settings.log, node.settings.dialling)
    workers = Workers(settings.threads, settings.most_waiting_calls)
    runner = ChoreRunner(Lease(node.hospital.stores.settings, LEASE, node.clock))
    bundle = node.member.trust.newest
    peers = DialledPeers(
        bundle, asked_at_the_cloud(lambda: bundle().content.cloud_id), dialling_of(node.settings.dialling)
    )
    cosigning = cosigning_of(node.hospital, node.settings.log, peers)
    hospital = witnessed_hospital(node.hospital, node.settings.log, cosigning)
    try:
        monitor = Monitor(hospital_target(node, workers, slot))
        (where,) = slot.addresses(node.settings.listen)
        listening = listen(hospital, settings, where, node.leaf, node.root_pem, workers, monitor, shared=slot.is_shared)
        address = _dialled(node.settings.address, listening.server.port)
        renewals = {"certify": node.tls.certify_what_is_due, "register-again": node.renew_registration}
        maintenance = Maintenance(node.hospital, node.cloud, node.outbox, address, renewals)
        async with AsyncExitStack() as monitored:
            await monitored.enter_async_context(monitor.running())
            await asyncio.to_thread(maintenance.prepare, runner)
            await listening.server.start()
            log = node.hospital.own_log
            upkeep = log_upkeep(node.database, node.hospital.audit, node.settings.log, log.witness_policies, node.clock)
            public = public_chores(hospital.own_log, node.settings.log, node.settings.dialling)
            beside = [_fetch_crls(node), *upkeep, *log_chores(hospital, cosigning), *stamping, *public]
            runner.start([*maintenance.chores(follows=slot.number == 0), *beside])
            ready(address)

            async def make_way() -> None:
                await monitored.aclose()
                await asyncio.to_thread(runner.stop)

            companions = Companions(make_way, listening.end_followers)
            await end_when_told(slot, stop, [listening.server], settings, companions)
            await listening.guard.settle()
    finally:
        await asyncio.to_thread(runner.stop)
        node.cloud.close()
        peers.close()
        await asyncio.to_thread(runner.join)
        workers.close()


def _fetch_crls(node: HospitalNode) -> Chore:
    """Return the chore of each process, which has what it fetched in memory; in a thread of its own, for a server may be slow."""
    every = timedelta(minutes=node.settings.crls.minutes)
    return Chore("fetch-crls", every, node.follow_authorities, thread="crls", at_once=True)


def _dialled(address: str, port: int) -> str:
    """Return the address that others dial; port 0 stands for the one that was bound."""
    return f"{address.removesuffix(ANY_PORT)}:{port}" if address.endswith(ANY_PORT) else address
