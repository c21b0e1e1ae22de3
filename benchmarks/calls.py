"""Calls a second of one serving process, CPU a call, memory a connection: `python -m benchmarks.calls`.

A public cloud serves in a process of its own; another one calls. What counts is the CPU a call costs the server: calls a second
follow from it, and from whatever else the machine does.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

from benchmarks.operations import maker
from benchmarks.steps import PIN
from federation.v1.directory_pb2 import GetDirectoryRequest, WatchDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.wire.channel import channel_options
from hsm import pin_from_value
from tests.e2e.cloud_lab import CLOUD, cloud_lab

CALLS = 6_000
CONNECTIONS = 300
TICKS = os.sysconf("SC_CLK_TCK")


def serve(directory: Path) -> None:
    """Serve a cloud until standard input ends; print where it listens."""
    with cloud_lab(directory, maker(directory / "tokens"), pin_from_value(PIN)) as lab:
        root = directory / "root.pem"
        root.write_bytes(lab.node.trust().tls_roots)
        print(lab.ports.public if lab.ports else 0, flush=True)
        sys.stdin.read()


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_kib(process: int) -> int:
    """Return the memory of a process that is in RAM."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def dialled(port: int, root: bytes) -> grpc.aio.Channel:
    """Return a connection of its own."""
    credentials = grpc.ssl_channel_credentials(root)
    options = [*channel_options(CLOUD), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)
    await channel.channel_ready()
    return channel


async def call(port: int, root: bytes, server: int, at_once: int) -> str:
    """Return calls a second, and the server's CPU a call, of GetDirectory over two connections."""
    channels = [await dialled(port, root) for _ in range(2)]
    stubs = [DirectoryServiceStub(channel) for channel in channels]

    async def caller(stub: DirectoryServiceStub, calls: int) -> None:
        for _ in range(calls):
            await stub.GetDirectory(GetDirectoryRequest(), timeout=30)  # type: ignore[misc]

    await asyncio.gather(*(caller(stub, 50) for stub in stubs))
    began, before = time.perf_counter(), cpu_seconds(server)
    await asyncio.gather(*(caller(stubs[place % 2], CALLS // at_once) for place in range(at_once)))
    seconds, spent = time.perf_counter() - began, cpu_seconds(server) - before
    await asyncio.gather(*(channel.close() for channel in channels))
    return f"| GetDirectory, {at_once} at a time | {CALLS / seconds:,.0f} | {1000 * spent / CALLS:.2f} |"


async def hold(port: int, root: bytes, server: int) -> str:
    """Return the server's memory for a connection, and for a connection that follows the directory."""
    before = resident_kib(server)
    channels = [await dialled(port, root) for _ in range(CONNECTIONS)]
    connected = resident_kib(server)
    streams = []
    for channel in channels:
        streams.append(DirectoryServiceStub(channel).WatchDirectory(WatchDirectoryRequest()))
        await streams[-1].read()
        # One address may begin so many streams a second.
        await asyncio.sleep(1 / 40)
    following = resident_kib(server)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*(channel.close() for channel in channels))
    each, more = (connected - before) / CONNECTIONS, (following - connected) / CONNECTIONS
    return f"{before // 1024} MiB at rest, {each:.0f} KiB a TLS connection, {more:.0f} KiB more where it follows the directory"


def main() -> None:
    """Measure, and print Markdown."""
    if len(sys.argv) > 1:
        serve(Path(sys.argv[1]))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks.calls", directory]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port, root = int(server.stdout.readline()), (Path(directory) / "root.pem").read_bytes()
            print(f"load {os.getloadavg()[0]:.2f}\n\n| calls | a second | CPU ms of the server |\n| --- | --- | --- |")
            for at_once in (1, 16, 64, 1, 16, 64):
                print(asyncio.run(call(port, root, server.pid, at_once)), flush=True)
            print("\n" + asyncio.run(hold(port, root, server.pid)))
            server.communicate("")


if __name__ == "__main__":
    main()
