"""Memory of the servers: at rest, for a connection, for who follows the directory, and after many visits."""

import asyncio
from collections.abc import Iterator

import grpc
import grpc.aio

from benchmarks.meters import Weighed, resident_mib
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.calls import steps
from benchmarks.visits import visit
from benchmarks.world import HOSPITAL, World, world
from federation.v1.directory_pb2 import WatchDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.wire.channel import channel_options

STREAMS_A_SECOND = 40
"""One address may begin so many a second."""


def rows(bench: Bench) -> Iterator[Row]:
    """Yield memory of cloud and hospital."""
    here = bench.shared(world)
    bench.shared(steps)
    servers = {"cloud": here.stage.pids("cloud")[0], "hospital": here.stage.pids(HOSPITAL)[0]}
    for name, pid in servers.items():
        yield Row(f"{name}: now, after what ran before", "MiB", [resident_mib(pid)])
    yield from asyncio.run(_held(here, servers["cloud"], bench.pick(100, 300)))
    visits = bench.pick(10, 100)
    with visit(here, bench, Weighed()) as whole:
        for _ in range(3):
            whole.run()
        before = {name: resident_mib(pid) for name, pid in servers.items()}
        for _ in range(visits):
            whole.run()
    for name, pid in servers.items():
        grown = (resident_mib(pid) - before[name]) * 1024 / visits
        yield Row(
            f"{name}: growth a visit, over {visits}", "KiB", [grown], note=f"{resident_mib(pid):.0f} MiB in the end"
        )


async def _held(here: World, server: int, connections: int) -> list[Row]:
    before = resident_mib(server)
    channels = [await _dialled(here) for _ in range(connections)]
    connected, streams = resident_mib(server), []
    for channel in channels:
        streams.append(DirectoryServiceStub(channel).WatchDirectory(WatchDirectoryRequest(revision=0)))
        await streams[-1].read()
        await asyncio.sleep(1 / STREAMS_A_SECOND)
    following = resident_mib(server)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*(channel.close() for channel in channels))
    each, more = (connected - before) * 1024 / connections, (following - connected) * 1024 / connections
    return [
        Row("cloud: a TLS connection", "KiB", [each], note=f"of {connections}"),
        Row("cloud: more where it follows the directory", "KiB", [more]),
    ]


async def _dialled(here: World) -> grpc.aio.Channel:
    bundle = here.lab.node.trust()
    options = [*channel_options(bundle.content.cloud_id), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.aio.secure_channel(
        bundle.content.cloud_address, grpc.ssl_channel_credentials(bundle.tls_roots), options=options
    )
    await channel.channel_ready()
    return channel


SECTION = Section(
    "memory",
    "Memory",
    "Resident memory of the serving processes. What a visit leaves behind is to be nothing, once caches are full.",
    rows,
)
