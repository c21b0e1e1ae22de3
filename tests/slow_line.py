"""A line between a client and a server on loopback: a real TCP proxy that lets so many bytes a second through, and can be cut."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE_BYTES = 16 * 1024
_LOOK_SECONDS = 0.05


class Line:
    """Connections through one port of loopback, paced. What comes from the server is counted, and cut where a test says."""

    def __init__(self, server_port: int = 0, bytes_a_second: float | None = None) -> None:
        self.bytes_a_second = bytes_a_second
        """From the server; None for as fast as it goes. `uplink_bytes_a_second` is the other way."""
        self.uplink_bytes_a_second: float | None = None
        self.takes_nothing = False
        """Whether what clients send stays with them; the connection stands."""
        self.is_down = False
        self.cut_after: int | None = None
        """Bytes from the server, of all connections, at which the line is cut; None for never."""
        self.down_bytes = 0
        self.cuts = 0
        self._server_port = server_port
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE_BYTES)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def leading_to(self, server_port: int) -> int:
        """Lead to this server from now on; return the port by which it is reached."""
        self._server_port = server_port
        return self.port

    def close(self) -> None:
        """End all connections, and the threads that carry them."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ending.is_set():
            ready, _, _ = select.select([self._listener], [], [], _LOOK_SECONDS)
            if not ready:
                continue
            near, _ = self._listener.accept()
            if self.is_down:
                near.close()
                continue
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            carrying = threading.Thread(target=self._carry, args=(near,), daemon=True)
            self._threads.append(carrying)
            carrying.start()

    def _carry(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._server_port)) as far:
            # Small ones, so that what is on its way is on the line, and not in this machine's memory.
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE_BYTES)
            while not self._ending.is_set() and not self.is_down:
                sides = [far] if self.takes_nothing else [near, far]
                ready, _, _ = select.select(sides, [], [], _LOOK_SECONDS)
                for side in ready:
                    piece = side.recv(PIECE_BYTES)
                    if not piece:
                        return
                    if side is far and not self._passes(len(piece)):
                        return
                    if side is near:
                        _take(len(piece), self.uplink_bytes_a_second)
                    (near if side is far else far).sendall(piece)

    def _passes(self, size: int) -> bool:
        self.down_bytes += size
        if self.cut_after is not None and self.down_bytes >= self.cut_after:
            self.cut_after = None
            self.cuts += 1
            return False
        _take(size, self.bytes_a_second)
        return True


def _take(size: int, bytes_a_second: float | None) -> None:
    if bytes_a_second is not None:
        time.sleep(size / bytes_a_second)


@contextmanager
def line(server_port: int = 0, bytes_a_second: float | None = None) -> Iterator[Line]:
    """Lay a line to a server of this machine, now or by `leading_to`."""
    laid = Line(server_port, bytes_a_second)
    try:
        yield laid
    finally:
        laid.close()
