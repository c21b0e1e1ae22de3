"""A wiretap between the sites: what whoever owns the wide-area network gets to see."""

import socket
import threading
from types import TracebackType
from typing import Self

from demo.stage import Refused
from lab.line import in_namespace
from lab.network import WAN

_ALL_PROTOCOLS = 0x0003
_LONGEST_FRAME = 65_536
_WAKE_SECONDS = 0.2


class Wiretap:
    """Takes down every frame that passes between the sites. A context manager, which raises Refused if it went deaf."""

    def __init__(self) -> None:
        """Listen at all legs of the wide-area network."""
        self.heard = bytearray()
        self._socket = in_namespace(
            WAN, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        )
        self._socket.settimeout(_WAKE_SECONDS)
        self._closing = threading.Event()
        self._fault: OSError | None = None
        self._thread = threading.Thread(target=self._listen, name="wiretap", daemon=True)

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                self.heard += self._socket.recv(_LONGEST_FRAME)
            except TimeoutError:
                continue
            except OSError as fault:
                self._fault = fault
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()
        if self._fault is not None and error is None:
            raise Refused("the wiretap went deaf: what it heard proves nothing") from self._fault
