"""A shared port is kept from others, a process leaves it without a connection lost, and one that has ended frees it at once."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from federation.errors import Unavailable
from federation.wire.ports import Reservation, connections, hold_back, stop_listening


@pytest.fixture
def reservation() -> Iterator[Reservation]:
    made = Reservation()
    yield made
    made.close()


def listening(port: int = 0, *, shared: bool) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    made.listen()
    return made


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::]"])
def test_port_0_becomes_one_port_that_processes_share(reservation: Reservation, host: str) -> None:
    address = reservation.reserve(f"{host}:0")
    assert address.startswith(f"{host}:")
    port = port_of(address)
    with listening(port, shared=True), listening(port, shared=True), pytest.raises(OSError, match="in use"):
        listening(port, shared=False)


@pytest.mark.parametrize("shared", [True, False])
def test_port_where_something_else_listens_is_refused_also_if_it_would_share(
    reservation: Reservation, shared: bool
) -> None:
    with listening(shared=shared) as other, pytest.raises(Unavailable, match="nothing can listen"):
        reservation.reserve(f"127.0.0.1:{other.getsockname()[1]}")


def test_port_that_another_server_keeps_is_refused_although_none_of_its_processes_listens(
    reservation: Reservation,
) -> None:
    address, other = reservation.reserve("127.0.0.1:0"), Reservation()
    with pytest.raises(Unavailable):
        other.reserve(address)
    assert other.reserve(address, is_ours=True) == address
    other.close()


def test_port_that_is_not_shared_is_refused_even_if_it_is_said_to_be_ours(reservation: Reservation) -> None:
    with listening(shared=False) as other, pytest.raises(Unavailable):
        reservation.reserve(f"127.0.0.1:{other.getsockname()[1]}", is_ours=True)


@pytest.mark.parametrize("shared", [True, False])
def test_port_of_a_server_that_has_ended_is_free_although_its_connections_linger(
    reservation: Reservation, shared: bool
) -> None:
    with listening(shared=shared) as ended:
        address = ended.getsockname()
        client = socket.create_connection(address)
        accepted, _ = ended.accept()
    accepted.close()  # the side that closes first keeps the port in TIME_WAIT
    client.close()
    assert reservation.reserve(f"127.0.0.1:{address[1]}").endswith(f":{address[1]}")


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:x", ":1", "127.0.0.1:65536", "no-such-host.invalid:0"])
def test_address_that_is_none_is_refused(reservation: Reservation, text: str) -> None:
    with pytest.raises(Unavailable):
        reservation.reserve(text)


def test_connection_that_comes_while_a_socket_is_held_back_reaches_the_next_one() -> None:
    leaving = listening(shared=True)
    port = leaving.getsockname()[1]
    queued = socket.create_connection(("127.0.0.1", port), 5)
    hold_back(port)
    connected: list[socket.socket] = []
    newcomer = threading.Thread(
        target=lambda: connected.append(socket.create_connection(("127.0.0.1", port), 10)), daemon=True
    )
    newcomer.start()
    time.sleep(0.3)
    assert not connected
    accepted, _ = leaving.accept()
    stop_listening(port)
    with listening(port, shared=True) as following:
        newcomer.join(10)
        assert connected
        taken, _ = following.accept()
        assert connections(port) == 2
        accepted.sendall(b"both serve")
        taken.sendall(b"both serve")
        assert queued.recv(100) == connected[0].recv(100) == b"both serve"
    for each in (leaving, accepted, taken, queued, *connected):
        each.close()
    assert connections(port) == 0


def test_connections_of_others_are_not_counted() -> None:
    with listening(shared=True) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert connections(port) == 0


def test_port_of_a_server_that_has_just_ended_is_taken_whatever_its_connections_wait_for() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=False) as before:
        port = before.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = before.accept()
        served.close()  # it closes first, so its end of the connection waits in TIME_WAIT
        client.close()
    reservation = Reservation()
    try:
        assert reservation.reserve(f"127.0.0.1:{port}") == f"127.0.0.1:{port}"
    finally:
        reservation.close()
