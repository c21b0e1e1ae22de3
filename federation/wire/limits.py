"""Bounds on what a caller can make a server do: sizes of requests, silence on streams, the rate of openers, open calls."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Self
from urllib.parse import unquote

from google.protobuf.message import DecodeError, Message

from federation.errors import FederationError, Limit, MalformedMessage, MessageTooLarge, SilentStream

MOST_MESSAGE_BYTES = 2 * 1024 * 1024
"""What gRPC itself reads of one message; a larger one is RESOURCE_EXHAUSTED before it reaches us."""

_MOST_PEERS = 10_000
_TRANSLATED = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class StreamDeadlines:
    """How long a client may stay silent: before its first message, while a next one is awaited, and as a reader of ours."""

    first: timedelta = timedelta(seconds=10)
    next: timedelta = timedelta(seconds=120)
    write: timedelta = timedelta(seconds=30)


def bounded_deserializer(
    deserialize: Callable[[bytes], Message], most_bytes: int
) -> Callable[[bytes], Message | FederationError]:
    """Return a deserializer that yields, in place of a message, why it is none: gRPC would answer an exception with INTERNAL."""

    def read(data: bytes) -> Message | FederationError:
        if len(data) > most_bytes:
            return MessageTooLarge(f"the message has {len(data)} bytes, and this method takes {most_bytes}")  # rpc.6
        try:
            return deserialize(data)
        except DecodeError:
            return MalformedMessage("the request is not the message of this method")  # rpc.7

    return read


def require_message(request: Message | FederationError) -> Message:
    """Raise what `bounded_deserializer` found."""
    if isinstance(request, FederationError):
        raise request
    return request


async def paced(
    requests: AsyncIterator[Any], deadlines: StreamDeadlines, touch: Callable[[], None]
) -> AsyncGenerator[Any, None]:
    """Pass on a stream's messages; `touch` is told of each. Raises SilentStream when none comes in time."""
    allowed = deadlines.first
    while True:
        try:
            async with asyncio.timeout(allowed.total_seconds()):
                request = await anext(requests)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise SilentStream(f"nothing came on the stream for {allowed.total_seconds():g} s") from None  # rpc.5
        touch()
        yield require_message(request)
        allowed = deadlines.next


async def only(requests: AsyncIterator[Any]) -> Message:
    """Return the message of a call that has one. Raises MalformedMessage for none."""
    async for request in requests:
        return require_message(request)
    raise MalformedMessage("the call ended without its message")  # rpc.7


class RateBound:
    """A token bucket for each of many callers; those not heard of for longest are forgotten first."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow so many calls a second, and so many at once."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def require(self, caller: str, calls: int = 1) -> None:
        """Take one call of the caller's, or so many at once. Raises Limit when it has not as many left, and takes none."""
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        self._buckets[caller] = (left - calls if left >= calls else left, now)
        while len(self._buckets) > _MOST_PEERS:
            self._buckets.popitem(last=False)
        if left < calls:
            raise Limit("too many calls from there; try again in a moment")


class ShareBound:
    """Calls under way at once at one port, in a way that a few callers can't take all of it. Use from one event loop.

    Half of the places are for calls that last, such as those that follow a room, the other half for calls that end at once. Of
    either a quarter is kept for those who have few: who has more takes at most as many as it leaves free of the other three.
    """

    def __init__(self, most: int, most_in_all: int = 1_000_000) -> None:
        """Allow each caller so many at once of either kind, and all of them together so many."""
        lasting = most_in_all // 2
        self._places = {True: _Places(most, lasting), False: _Places(most, most_in_all - lasting)}

    def of(self, caller: str, *, lasting: bool = False) -> "Share":
        """Return the share that one call of a caller's is to take."""
        return Share(self._places[lasting], caller)


class Share:
    """One call's part of a bound; given back when its block ends, if it was taken."""

    def __init__(self, places: "_Places", caller: str) -> None:
        """Take nothing yet: a call that gets no share is refused within the block too."""
        self._places = places
        self._caller = caller
        self._is_taken = False

    def take(self) -> None:
        """Count the call. Raises Limit when the caller has its share already, or the server all it takes."""
        self._places.take(self._caller)
        self._is_taken = True

    def __enter__(self) -> Self:
        """Hold what is taken until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        if self._is_taken:
            self._places.give_back(self._caller)


class _Places:
    """Places of one kind."""

    def __init__(self, most: int, most_in_all: int) -> None:
        self._most = most
        self._free = most_in_all
        self._kept = most_in_all // 4
        self._few = max(1, self._kept // 32)
        self._taken: Counter[str] = Counter()

    def take(self, caller: str) -> None:
        if self._free == 0:
            raise Limit("too many calls are under way here; try again in a moment")  # rpc.1
        if self._taken[caller] >= min(self._most, max(self._few, self._free - self._kept)):
            raise Limit("too many calls from there are under way; end some first")  # rpc.1
        self._free -= 1
        self._taken[caller] += 1

    def give_back(self, caller: str) -> None:
        self._free += 1
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]


def caller_of_peer(peer: str) -> str:
    """Return whom gRPC's `ipv4:127.0.0.1:1234` is counted as: what a client can't vary by opening another connection.

    An IPv6 host has as many addresses as it likes, all within one /64 (RFC 4291, section 2.5.1; RFC 6177), so that is one caller.
    An IPv4 address in an IPv6 one is that address: mapped (section 2.5.5.2), or translated (RFC 6052).
    """
    family, _, rest = peer.partition(":")
    if family == "ipv4":  # written by inet_ntop, which has one form for each address
        return rest.rpartition(":")[0]
    host = unquote(peer.rpartition(":")[0])
    try:
        address = ip_address(host.partition(":")[2].strip("[]"))
    except ValueError:  # a Unix socket
        return host
    return str(_counted(address))


def _counted(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Network:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    plain = int(address)
    if IPv6Address(plain) in _TRANSLATED:
        return IPv4Address(plain & 0xFFFFFFFF)
    return IPv6Network((plain, 64), strict=False)
