"""How a server's parts are, by gRPC's health service: "" for the server, and a name for each thing that it depends on.

The health of "" stays SERVING while a dependency is away: such a server still takes calls, and refuses them by what they need
(docs/adr/0014, 0019).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from federation.clinical.text import printable
from federation.errors import NotFound, Unavailable
from federation.wire import operations
from federation.wire.roles import ServicerContext

Status = Literal[0, 1, 2, 3]

EVERY = timedelta(seconds=2)
PATIENCE = timedelta(seconds=2)
MOST_SAID = 200
"""Characters of a cause."""
"""Together they bound how late a loss is told: 4 seconds, and what the probe itself takes."""


class Health(HealthServicer):
    """The health of one server. Use from one event loop.

    The servicer of grpcio-health-checking writes to its watchers under the lock that a change of status needs, so one reader
    that takes nothing would hold up the news for all; and the first watcher that leaves deafens the others.
    """

    def __init__(self) -> None:
        """Begin as a server that does not serve yet."""
        self._statuses: dict[str, Status] = {"": HealthCheckResponse.NOT_SERVING}
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, service: str, healthy: bool) -> None:
        """Return how a service is, unless the server is stopping."""
        if not self._closed:
            self._statuses[service] = HealthCheckResponse.SERVING if healthy else HealthCheckResponse.NOT_SERVING
            self._wake()

    def close(self) -> None:
        """Say that nothing is served any more, and let the watchers go."""
        self._closed = True
        self._statuses = dict.fromkeys(self._statuses, HealthCheckResponse.NOT_SERVING)
        self._wake()

    async def Check(self, request: HealthCheckRequest, context: ServicerContext) -> HealthCheckResponse:  # noqa: ARG002, N802
        """Return the status of a service. Raises NotFound for one that this server does not know."""
        if request.service not in self._statuses:
            raise NotFound("this server has no service of that name")
        return HealthCheckResponse(status=self._statuses[request.service])

    async def Watch(  # noqa: N802 - the name in the proto
        self,
        request: HealthCheckRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may ask
    ) -> AsyncIterator[HealthCheckResponse]:
        """Yield the status of a service at once, and again at each change."""
        told: int | None = None
        while True:
            changed, closed = self._changed, self._closed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                yield HealthCheckResponse(status=status)
            told = status
            if closed:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(frozen=True)
class Dependency:
    """Something a server needs. `probe` blocks, so it runs in a thread of its own, one at a time; what it raises is a loss.

    Where there are several of a `kind`, that is what their events are called; `reason` says why one is lost.
    """

    name: str
    probe: Callable[[], bool]
    every: timedelta = EVERY
    patience: timedelta = PATIENCE
    kind: str = ""
    reason: Callable[[], str] | None = None


@dataclass(frozen=True)
class Probed:
    """What a probe found. `why` is what a line of the log says of a loss: the reason, and the cause in a sentence."""

    healthy: bool
    why: Mapping[str, str] = field(default_factory=dict)


_SILENT = Probed(False, {"reason": Unavailable.reason, "cause": "the probe has not come back"})


async def watch(dependency: Dependency, tell: Callable[[str, bool], None]) -> None:
    """Probe a dependency again and again, until cancelled, and tell how it is at each change; a probe that hangs is a loss."""
    was: bool | None = None
    probing: asyncio.Future[Probed] | None = None
    patience = dependency.patience.total_seconds()
    try:
        while True:
            probing = probing or _begun(dependency)
            done, _ = await asyncio.wait({probing}, timeout=patience)
            probed = probing.result() if done else _SILENT
            probing = None if done else probing
            if probed.healthy != was:
                _log(dependency, probed, was)
                tell(dependency.name, probed.healthy)
            was = probed.healthy
            await asyncio.sleep(dependency.every.total_seconds())
    finally:
        # What is probed is closed next.
        if probing is not None:
            await asyncio.wait({probing}, timeout=patience)


def _begun(dependency: Dependency) -> asyncio.Future[Probed]:
    """Probe in a thread of its own: one that hangs takes no other's place, and does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Probed] = loop.create_future()

    def probe() -> None:
        probed = _probed(dependency)
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(answer.set_result, probed)

    threading.Thread(target=probe, name=f"medunion-probe-{dependency.name}", daemon=True).start()
    return answer


def _probed(dependency: Dependency) -> Probed:
    try:
        return Probed(dependency.probe())
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency does not do what it is asked
        why = _why(error)
        operations.warning(f"{dependency.kind or dependency.name}-probe-failed", **why)
        return Probed(False, why)


def _why(error: Exception) -> Mapping[str, str]:
    """Return why a probe failed. It asks for nothing of anybody's, so what our own errors say of it names nobody."""
    reason = getattr(error, "reason", None)
    if not isinstance(reason, str):
        return {"reason": type(error).__name__}
    return {"reason": reason, "cause": printable(str(error), MOST_SAID)}


def _log(dependency: Dependency, probed: Probed, was: bool | None) -> None:
    name = dependency.kind or dependency.name
    which = {"which": dependency.name} if dependency.kind else {}
    if not probed.healthy:
        why = probed.why if dependency.reason is None else {"reason": dependency.reason()}
        operations.warning(f"{name}-lost", **which, **why)
    elif was is not None:
        operations.info(f"{name}-back", **which)
