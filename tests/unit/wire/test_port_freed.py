"""A port is free again at once when a server that did not share it has ended."""

import socket

from federation.wire.ports import Reservation


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
