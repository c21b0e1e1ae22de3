"""Under pressure: the slow and the silent are cut off, what is too much is told when to come back, and others are served.

Real servers over TLS; the slow clients are real too. docs/adr/0020 argues the bounds.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from federation.errors import Limit, Overdue, SilentStream, StalledReader, Unavailable
from federation.settings import ServerSettings
from federation.v1.directory_pb2 import (
    GetDirectoryRequest,
    GetDirectoryResponse,
    WatchDirectoryRequest,
    WatchDirectoryResponse,
)
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.record_pb2 import GetHospitalRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.wire import channel, roles
from federation.wire.channel import SERVER_HEAD_START_SECONDS
from federation.wire.limits import ShareBound, StreamDeadlines
from federation.wire.roles import METHODS
from federation.wire.status import from_rpc_error
from federation.wire.workers import Workers
from tests.waiting import until, until_async

GET = "/federation.v1.DirectoryService/GetDirectory"
GET_HOSPITAL = "/federation.v1.RecordService/GetHospital"
BIG = WatchDirectoryResponse()
BIG.certificate_revocation_lists.append(bytes(1_000_000))


def _get(dialled: grpc.Channel, seconds: float = 60) -> GetDirectoryResponse:
    return DirectoryServiceStub(dialled).GetDirectory(GetDirectoryRequest(), timeout=seconds)


def _retry_after(error: grpc.RpcError) -> float:
    """Return when the refusal says to come back, in seconds."""
    info = RetryInfo()
    assert any(detail.Unpack(info) for detail in rpc_status.from_call(error).details)
    return info.retry_delay.ToTimedelta().total_seconds()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """Give every method half a second."""
    longest = timedelta(seconds=0.5)
    monkeypatch.setattr(roles, "METHODS", {path: replace(rule, longest=longest) for path, rule in METHODS.items()})
    return longest


def test_callers_that_never_send_their_message_are_refused_and_others_are_served(bench) -> None:
    gate = threading.Event()

    def never():
        gate.wait(100)
        return
        yield

    with bench.channel() as silent, bench.channel() as other:
        stuck = [silent.stream_unary(GET).future(never()) for _ in range(400)]
        assert _get(other) == GetDirectoryResponse()
        reasons = {type(from_rpc_error(call.exception(60))) for call in stuck}
        gate.set()
    assert reasons == {SilentStream}


def test_call_without_a_message_is_malformed(bench) -> None:
    with bench.channel() as dialled, pytest.raises(grpc.RpcError) as raised:
        dialled.stream_unary(GET)(iter(()))
    assert from_rpc_error(raised.value).reason == "MALFORMED_MESSAGE"


def test_call_above_the_servers_bound_is_refused_with_the_time_to_come_back(bench_with) -> None:
    gate = threading.Event()
    taken_in = threading.Semaphore(0)

    async def wait() -> None:
        taken_in.release()
        await asyncio.to_thread(gate.wait, 60)

    bench = bench_with(shares=ShareBound(500, most_in_all=6), behave=wait)
    with bench.channel() as dialled:
        taken = [DirectoryServiceStub(dialled).GetDirectory.future(GetDirectoryRequest()) for _ in range(2)]
        assert all(taken_in.acquire(timeout=60) for _ in taken)
        with pytest.raises(grpc.RpcError) as raised:
            _get(dialled)
        gate.set()
        assert [call.result() for call in taken] == [GetDirectoryResponse()] * 2
        assert _get(dialled) == GetDirectoryResponse()
    assert isinstance(from_rpc_error(raised.value), Limit)
    assert _retry_after(raised.value) > 0


def test_call_that_takes_too_long_is_ended_by_the_server_whatever_the_client_allows(bench_with, brief) -> None:
    bench = bench_with(behave=lambda: asyncio.sleep(600))
    with bench.channel() as dialled, pytest.raises(grpc.RpcError) as raised:
        _get(dialled)
    assert isinstance(from_rpc_error(raised.value), Overdue)
    assert _retry_after(raised.value) > 0
    assert bench.audited == []


def test_stream_that_takes_too_long_is_ended_by_the_server_whatever_the_client_allows(bench_with, brief) -> None:
    async def forever() -> AsyncIterator[WatchDirectoryResponse]:
        while True:
            yield WatchDirectoryResponse()
            await asyncio.sleep(0.05)

    bench = bench_with(stream=forever)
    with bench.channel() as dialled, pytest.raises(grpc.RpcError) as raised:
        list(DirectoryServiceStub(dialled).WatchDirectory(WatchDirectoryRequest(), timeout=60))
    assert isinstance(from_rpc_error(raised.value), Overdue)


def test_every_method_has_an_end_and_single_calls_an_early_one() -> None:
    streaming = {
        "/federation.v1.DirectoryService/WatchDirectory",
        "/federation.v1.DirectoryService/GetAllRevocationShards",
        "/federation.v1.RelayService/FollowFrames",
        "/federation.v1.RecordService/OpenSession",
    }
    assert all(rule.longest <= timedelta(seconds=30) for path, rule in METHODS.items() if path not in streaming)
    assert all(rule.longest <= timedelta(hours=1) for path, rule in METHODS.items())


def test_client_that_sets_no_deadline_has_the_methods(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is a listener that says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as nothing:
        monkeypatch.setattr(bench, "port", nothing.getsockname()[1])
        monkeypatch.setattr("federation.wire.channel.SERVICE_CONFIG", _short_config())
        with bench.channel() as dialled, pytest.raises(grpc.RpcError) as raised:
            DirectoryServiceStub(dialled).GetDirectory(GetDirectoryRequest(), wait_for_ready=True)
    assert isinstance(from_rpc_error(raised.value), Unavailable)


def _short_config() -> str:
    allowed = f'"{METHODS[GET].longest.total_seconds() + SERVER_HEAD_START_SECONDS:g}s"'
    assert allowed in channel.SERVICE_CONFIG
    return channel.SERVICE_CONFIG.replace(allowed, '"1s"')


def test_answer_larger_than_the_methods_is_not_taken(bench) -> None:
    """A peer that answers a small question with megabytes gets no memory for it."""
    with bench.channel() as dialled:
        stub = RecordServiceStub(dialled)
        assert stub.GetHospital(GetHospitalRequest(), timeout=10) == bench.hospital
        bench.hospital.key_statement.statement = bytes(METHODS[GET_HOSPITAL].most_response_bytes)
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetHospital(GetHospitalRequest(), timeout=10)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_reader_that_takes_nothing_is_given_up_and_others_are_served(bench_with) -> None:
    ended = threading.Event()

    async def flood() -> AsyncIterator[WatchDirectoryResponse]:
        try:
            while True:
                yield BIG
        finally:
            ended.set()

    bench = bench_with(stream=flood)
    with bench.channel() as dialled, bench.channel() as other:
        stream = DirectoryServiceStub(dialled).WatchDirectory(WatchDirectoryRequest(), timeout=60)
        next(stream)
        assert ended.wait(60)
        assert _get(other) == GetDirectoryResponse()
        with pytest.raises(grpc.RpcError) as raised:
            list(stream)
    assert isinstance(from_rpc_error(raised.value), StalledReader)
    assert bench.audited == []


def test_connection_that_never_shakes_hands_is_cut_off(bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.port)) as silent:
        silent.settimeout(60)
        assert silent.recv(1) == b""


def test_client_that_freezes_is_noticed_and_its_stream_ended(bench_with, tmp_path: Path) -> None:
    """A process that was stopped answers no ping: its kernel still does, so that TCP alone would wait for hours."""
    ended = threading.Event()

    async def follow() -> AsyncIterator[WatchDirectoryResponse]:
        try:
            yield WatchDirectoryResponse()
            await asyncio.sleep(600)
        finally:
            ended.set()

    bench = bench_with(stream=follow, settings=ServerSettings(keepalive_seconds=1))
    root = tmp_path / "root.pem"
    root.write_bytes(bench.authority.root_pem)
    script = (
        "import sys\n"
        "from federation.v1.directory_pb2 import WatchDirectoryRequest as R\n"
        "from federation.v1.directory_pb2_grpc import DirectoryServiceStub\n"
        "from federation.wire.channel import open_channel\n"
        "channel = open_channel(sys.argv[1], 'C:unit', open(sys.argv[2], 'rb').read())\n"
        "for _ in DirectoryServiceStub(channel).WatchDirectory(R()): print('told', flush=True)\n"
    )
    command = [sys.executable, "-c", script, f"127.0.0.1:{bench.port}", str(root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"told\n"
        client.send_signal(signal.SIGSTOP)
        try:
            assert ended.wait(60)
        finally:
            client.kill()


def test_workers_that_hang_turn_calls_away_in_place_of_letting_them_pile_up() -> None:
    async def crowd() -> None:
        workers, gate, ran = Workers(threads=2, most_waiting=4), threading.Event(), []
        for _ in range(6):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await workers.run(lambda: ran.append(gate.wait(20)))
        assert (workers.load.running, workers.load.waiting) == (2, 4)
        with pytest.raises(Limit):
            await workers.run(gate.wait, 20)
        assert workers.load.turned_away == 1
        gate.set()
        await workers.run_regardless(gate.wait)
        await until_async(lambda: not workers.load.running)
        # What nobody waits for any more was passed over.
        assert ran == [True, True]
        assert (workers.load.running, workers.load.waiting) == (0, 0)
        workers.close()

    asyncio.run(crowd())


def test_what_must_not_be_dropped_has_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.wire.workers.MOST_REGARDLESS", 3)

    async def crowd() -> None:
        workers, gate = Workers(threads=1, most_waiting=1), threading.Event()
        taken = [asyncio.ensure_future(workers.run_regardless(gate.wait, 20)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Limit):
            await workers.run_regardless(gate.wait, 20)
        gate.set()
        assert await asyncio.gather(*taken) == [True] * 3
        workers.close()

    asyncio.run(crowd())


def test_refusal_does_not_wait_for_an_audit_log_that_hangs(bench_with, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.wire.call_guard.AUDIT_PATIENCE", timedelta(seconds=0.3))
    gate, written = threading.Event(), []

    def refuse() -> None:
        raise SilentStream("for a test")

    def audit(event) -> None:
        gate.wait(100)
        written.append(event.reason)

    bench = bench_with(behave=refuse, audit=audit)
    with bench.channel() as dialled, pytest.raises(grpc.RpcError) as raised:
        _get(dialled, seconds=60)
    assert written == []
    gate.set()
    assert isinstance(from_rpc_error(raised.value), SilentStream)
    until(lambda: written)
    assert written == ["SILENT_STREAM"]


def test_stream_deadlines_come_from_the_settings() -> None:
    assert StreamDeadlines().write == timedelta(seconds=ServerSettings.write_seconds)
