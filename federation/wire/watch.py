"""Who watches the calls of a server: metrics and tracing are told here, and neither can change what a caller gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class CallStart:
    """A call as it begins. `metadata` is what the caller sent beside it; `is_peer` says that a hospital's certificate came."""

    method: str
    request_id: str
    metadata: Mapping[str, str | bytes]
    is_peer: bool


class WatchedCall(Protocol):
    """One call under way."""

    def refused(self, error: BaseException) -> None:
        """Learn why it is refused, precisely: not for the caller."""
        ...

    def ended(self, code: str) -> None:
        """Learn its google.rpc code, by name."""
        ...


class CallWatch(Protocol):
    """Is told of every call."""

    def began(self, start: CallStart) -> WatchedCall:
        """Learn of a call that begins."""
        ...


class Watches:
    """Several watches as one."""

    def __init__(self, watches: Sequence[CallWatch] = ()) -> None:
        """Tell all of these."""
        self._watches = tuple(watches)

    def began(self, start: CallStart) -> "_WatchedCalls":
        """Tell of a call that begins."""
        return _WatchedCalls([watch.began(start) for watch in self._watches])


class _WatchedCalls:
    def __init__(self, calls: Sequence[WatchedCall]) -> None:
        self._calls = calls

    def refused(self, error: BaseException) -> None:
        for call in self._calls:
            call.refused(error)

    def ended(self, code: str) -> None:
        for call in self._calls:
            call.ended(code)
