"""More connections than a server takes: who is connected is served, one more is closed at once, and none is counted for ever."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from federation.settings import ServerSettings
from federation.wire.server import FEWEST_CONNECTIONS, PORTS, SPARE
from tests.unit.wire.server_process import anybody, served

MOST = 8
HARD_LIMIT = SPARE + PORTS * 40
"""Open files of a process that nobody gave more."""


def _ask(dialled: grpc.Channel, seconds: float = 10) -> int:
    return health_pb2_grpc.HealthStub(dialled).Check(health_pb2.HealthCheckRequest(), timeout=seconds).status


def _ask_when_there_is_room(channel_of, seconds: float = 10) -> int:
    """Ask by new connections until one is taken."""
    until = time.monotonic() + seconds
    while True:
        with channel_of() as dialled:
            try:
                return _ask(dialled)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                    raise
        time.sleep(0.1)


@contextmanager
def _crowd(port: int, size: int) -> Iterator[None]:
    """Connect so often, and say nothing."""
    with ExitStack() as stack:
        for _ in range(size):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        yield


@pytest.fixture
def narrow(bench_with):
    """Return a server that takes few connections, and gives up handshakes after two seconds."""
    return bench_with(settings=ServerSettings(most_connections=MOST, handshake_seconds=2))


def test_connection_too_many_is_closed_and_who_is_connected_is_served(narrow) -> None:
    with narrow.channel() as member:
        assert _ask(member) == health_pb2.HealthCheckResponse.SERVING
        with _crowd(narrow.port, 2 * MOST):
            assert _ask(member) == health_pb2.HealthCheckResponse.SERVING
            with narrow.channel() as newcomer, pytest.raises(grpc.RpcError) as raised:
                _ask(newcomer)
            assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_crowd_that_says_nothing_makes_room_when_its_handshakes_are_given_up(narrow) -> None:
    with _crowd(narrow.port, 2 * MOST):
        assert _ask_when_there_is_room(narrow.channel) == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.0\r\n\r\n"], ids=["nothing", "no-tls"])
def test_broken_handshakes_are_not_counted_for_ever(narrow, said: bytes) -> None:
    for _ in range(5 * MOST):
        with socket.create_connection(("127.0.0.1", narrow.port), 5) as broken:
            broken.sendall(said)
    assert _ask_when_there_is_room(narrow.channel) == health_pb2.HealthCheckResponse.SERVING


def test_connections_that_end_without_a_call_are_not_counted_for_ever(narrow) -> None:
    client = anybody()
    for _ in range(5 * MOST):
        try:
            with socket.create_connection(("127.0.0.1", narrow.port), 5) as plain, client.wrap_socket(plain):
                pass
        except OSError:  # the server is still about to notice that those before have gone
            time.sleep(0.05)
    assert _ask_when_there_is_room(narrow.channel) == health_pb2.HealthCheckResponse.SERVING


def test_crowd_leaves_a_process_the_open_files_that_it_works_with(tmp_path: Path) -> None:
    with (
        served(tmp_path / "ready", "--most-files", str(HARD_LIMIT)) as (process, port),
        _crowd(port, HARD_LIMIT),
    ):
        opened = _settled(lambda: len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
    assert 40 <= opened < HARD_LIMIT - SPARE / 2


def _settled(count: Callable[[], int]) -> int:
    """Return a count when it has not changed for half a second, and is no beginner's any more."""
    counted = [count()]
    while counted[-1] < 40 or len(set(counted[-10:])) > 1 or len(counted) < 10:
        time.sleep(0.05)
        counted.append(count())
    return counted[-1]


def _limits(soft: int, hard: int, wanted: int) -> subprocess.CompletedProcess[str]:
    """Ask a process with these limits of open files what fits, and which limit it has then."""
    code = (
        "import resource, sys; soft, hard, wanted = map(int, sys.argv[1:]);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard));"
        "from federation.wire.server import connections_that_fit;"
        "print(connections_that_fit(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    numbers = [str(number) for number in (soft, hard, wanted)]
    return subprocess.run([sys.executable, "-c", code, *numbers], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fitting", "then"),
    [
        (1024, 4096, 100, 100, 1024),
        (1024, 4096, 1000, 1000, SPARE + PORTS * 1000),
        (1024, 4096, 4000, (4096 - SPARE) // PORTS, 4096),
        (1024, 1024, 4000, (1024 - SPARE) // PORTS, 1024),
        (300, 300, 8, 8, 300),
    ],
)
def test_process_helps_itself_to_what_it_needs_and_may_have(soft, hard, wanted, fitting, then) -> None:
    assert _limits(soft, hard, wanted).stdout.split() == [str(fitting), str(then)]


def test_process_that_may_open_next_to_nothing_says_so() -> None:
    ended = _limits(SPARE, SPARE, 4000)
    assert ended.returncode == 1
    assert f"may open {SPARE} files, and needs {SPARE + PORTS * FEWEST_CONNECTIONS} at least" in ended.stderr
