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
from federation.monitor.monitor import Monitor
from federation.monitor.targets import hospital_target
from federation.party.audit import AuditEvent
from federation.party.chores import LEASE, ChoreRunner, Lease
from federation.processes.worker import Companions, WorkerSlot, end_when_told
from federation.settings import ServerSettings
from federation.v1.consultation_pb2_grpc import add_RelayServiceServicer_to_server
from federation.v1.record_pb2_grpc import add_RecordServiceServicer_to_server
from federation.wire.call_guard import CallGuard
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
    return Listening(server, relay, guard)


async def serve(
    node: HospitalNode, stop: asyncio.Event, ready: Callable[[str], None], slot: WorkerSlot | None = None
) -> None:
    """Serve until `stop` is set, or the slot is to be left. `ready` is told the address that others dial, once calls are taken.

    Raises Unavailable if the port is taken.
    """
    settings, slot = node.settings.server, slot or WorkerSlot()
    workers = Workers(settings.threads, settings.most_waiting_calls)
    runner = ChoreRunner(Lease(node.hospital.stores.settings, LEASE, node.clock))
    try:
        monitor = Monitor(hospital_target(node, workers, slot))
        (where,) = slot.addresses(node.settings.listen)
        listening = listen(
            node.hospital, settings, where, node.leaf, node.root_pem, workers, monitor, shared=slot.is_shared
        )
        address = _dialled(node.settings.address, listening.server.port)
        renewals = {"certify": node.tls.certify_what_is_due, "register-again": node.renew_registration}
        maintenance = Maintenance(node.hospital, node.cloud, node.outbox, address, renewals)
        async with AsyncExitStack() as monitored:
            await monitored.enter_async_context(monitor.running())
            await asyncio.to_thread(maintenance.prepare, runner)
            await listening.server.start()
            runner.start(maintenance.chores(follows=slot.number == 0))
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
        await asyncio.to_thread(runner.join)
        workers.close()


def _dialled(address: str, port: int) -> str:
    """Return the address that others dial; port 0 stands for the one that was bound."""
    return f"{address.removesuffix(ANY_PORT)}:{port}" if address.endswith(ANY_PORT) else address
