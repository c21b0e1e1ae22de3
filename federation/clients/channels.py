"""Channels that follow the trust bundle: no restart for a new TLS CA, leaf or address, and no call dropped for it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from federation.errors import Unavailable
from federation.protocol.bundle import TrustedBundle
from federation.wire.channel import open_channel
from keystore.x509 import TlsLeaf

RETIRED_SECONDS = 3700.0
"""How long a channel that gave way stays for the calls under way in it: longer than any call may take."""


def _unchanged(channel: grpc.Channel) -> grpc.Channel:
    return channel


@dataclass(frozen=True)
class _Open:
    channel: grpc.Channel
    root_pem: bytes
    leaf: TlsLeaf | None


class ChannelPool:
    """One channel for each address, identity and way of calling, each verifying whose server answers. Close it."""

    def __init__(
        self,
        trust: Callable[[], TrustedBundle],
        opened: Callable[[grpc.Channel], grpc.Channel] = _unchanged,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Trust the TLS CAs of the bundle that holds when a call is made, and nothing else. `opened` may wrap a new channel."""
        self._trust = trust
        self._opened = opened
        self._seconds = seconds
        self._lock = threading.Lock()
        self._roots: tuple[TrustedBundle, bytes] | None = None
        self._open: dict[tuple[str, str, bool], _Open] = {}
        self._retired: list[tuple[float, grpc.Channel]] = []
        self._closed = False

    def get(self, address: str, identity: str, leaf: TlsLeaf | None = None) -> grpc.Channel:
        """Give the channel to an address that verifies that identity; with a leaf by mutual TLS. Raises Unavailable if closed."""
        bundle = self._trust()
        with self._lock:
            if self._closed:
                raise Unavailable("this program is ending: it calls nobody any more")
            root_pem, place = self._root_pem(bundle), (address, identity, leaf is not None)
            kept = self._open.get(place)
            if kept is None or kept.root_pem != root_pem or kept.leaf is not leaf:
                self._retire(kept)
                kept = _Open(self._opened(open_channel(address, identity, root_pem, leaf)), root_pem, leaf)
                self._open[place] = kept
            return kept.channel

    def close(self) -> None:
        """Close all of them, and what calls are under way in them."""
        with self._lock:
            self._closed = True
            for channel in (*(kept.channel for kept in self._open.values()), *(kept for _, kept in self._retired)):
                channel.close()

    def _root_pem(self, bundle: TrustedBundle) -> bytes:
        if self._roots is None or self._roots[0] is not bundle:
            self._roots = bundle, bundle.tls_roots
        return self._roots[1]

    def _retire(self, kept: _Open | None) -> None:
        now = self._seconds()
        if kept is not None:
            self._retired.append((now, kept.channel))
        for since, channel in self._retired:
            if now - since >= RETIRED_SECONDS:
                channel.close()
        self._retired = [entry for entry in self._retired if now - entry[0] < RETIRED_SECONDS]
