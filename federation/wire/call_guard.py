"""The call guard of every server: an interceptor that holds each call to the table of methods, and errors to google.rpc.Status.

What was found after a seal was opened is one refusal, `Rejected`: the same bytes whatever the cause, and not before a floor
since the message came and then at a coarse step, held without a thread (B9). The precise reason goes to the audit log.

A call can be cut from beside it (`federation.wire.cut`), whatever it waits for: its caller's next message, a thread, or a reader
that takes nothing.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2
from grpc_status import rpc_status

from federation.errors import FederationError, Limit, Overdue, Rejected, SilentStream, StalledReader
from federation.party.audit import AuditEvent, refusal
from federation.protocol.parties import reason_of
from federation.settings import ServerSettings
from federation.store.errors import StoreError
from federation.wire import operations
from federation.wire.call_reports import WRITTEN_OF_EACH, CallStart, CallWatch, RefusalTally, Watches
from federation.wire.coarse import until_answer
from federation.wire.cut import Cut, serving_task
from federation.wire.limits import (
    RateBound,
    ShareBound,
    StreamDeadlines,
    bounded_deserializer,
    caller_of_peer,
    only,
    paced,
)
from federation.wire.roles import (
    DENIED,
    METHODS,
    Caller,
    MethodRule,
    ServicerContext,
    calling_hospital,
    require_caller,
    rule_of,
)
from federation.wire.status import REQUEST_ID, code_of, to_status, told_reason
from federation.wire.workers import Workers

REJECTION_FLOOR = timedelta(milliseconds=50)
"""When a rejection is told at the earliest; one that took longer is told after twice as long, four times, and so on: how far
the checks came shows in a few coarse steps at most."""

AUDIT_PATIENCE = timedelta(seconds=10)
"""How long a refusal waits for its entry in the audit log; the entry is written all the same, when the log can take it."""

OTHER = "OTHER"
"""What a method is called in logs that no server has: its name is whatever the caller likes."""

_HEALTH = "/grpc.health.v1.Health/"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Behaviour: TypeAlias = Callable[[Any, "ServicerContext"], Any]
Requests: TypeAlias = AsyncIterator[Message | FederationError]


@dataclass(slots=True)
class _Call:
    """One call under way. `heard_at` is when its newest message came, by the monotonic clock."""

    method: str
    rule: MethodRule
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.heard_at = self.started_at

    def touch(self) -> None:
        self.heard_at = time.monotonic()

    @property
    def milliseconds(self) -> float:
        return round((time.monotonic() - self.started_at) * 1000, 1)

    @property
    def is_health(self) -> bool:
        return self.method.startswith(_HEALTH)


class CallGuard(grpc.aio.ServerInterceptor):
    """Guards every method of a server. Servicers raise errors of the families in `federation.wire.status`."""

    def __init__(
        self,
        audit: Callable[[AuditEvent], None],
        workers: Workers,
        rate: RateBound,
        deadlines: StreamDeadlines | None = None,
        floor: timedelta = REJECTION_FLOOR,
        *,
        shares: ShareBound,
        watch: CallWatch | None = None,
        refusals_logged: int = WRITTEN_OF_EACH,
    ) -> None:
        """Write refusals through `audit`, which blocks until the entry is durable."""
        self._audit = audit
        self._workers = workers
        self._rate = rate
        self._deadlines = deadlines or StreamDeadlines()
        self._floor = floor
        self._shares = shares
        self._watch = watch or Watches()
        self._tally = RefusalTally(self._written_down, written_of_each=refusals_logged)
        self._under_way: set[asyncio.Task[object]] = set()
        self._served: dict[str, Handler] = {}

    @classmethod
    def of(
        cls,
        settings: ServerSettings,
        audit: Callable[[AuditEvent], None],
        workers: Workers,
        watch: CallWatch | None = None,
    ) -> Self:
        """Make the call guard of one port, with the bounds that a server's settings say."""
        deadlines = StreamDeadlines(
            timedelta(seconds=settings.first_message_seconds),
            timedelta(seconds=settings.next_message_seconds),
            timedelta(seconds=settings.write_seconds),
        )
        return cls(
            audit,
            workers,
            RateBound(settings.openers_per_second, settings.openers_burst),
            deadlines,
            shares=ShareBound(settings.most_calls_per_caller, settings.most_concurrent_calls),
            watch=watch,
            refusals_logged=settings.refusals_logged,
        )

    async def settle(self) -> None:
        """Let the calls that a stop cut off log how they ended, and write what is counted of refusals, before the workers end."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=AUDIT_PATIENCE.total_seconds())
        await self._tally.settle()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the method's handler, once; one that this port does not serve is refused as every call is."""
        method = handler_call_details.method
        if method in self._served:
            return self._served[method]
        handler = await continuation(handler_call_details)
        if handler is None or rule_of(method).caller is Caller.NOBODY:
            return self._not_served(method if method in METHODS else OTHER)
        return self._served.setdefault(method, self._guarded(handler, method))

    def _not_served(self, method: str) -> Handler:
        async def call(_: object, context: ServicerContext) -> None:
            async with self._refusing(_Call(method, DENIED), context):
                pass  # a rule for nobody lets nobody in

        handler: Handler = grpc.stream_unary_rpc_method_handler(call)
        return handler

    def _guarded(self, handler: Any, method: str) -> Handler:  # noqa: ANN401 - the stubs leave out its fields
        """Serve every method as one that takes a stream: on the wire they are the same, and gRPC would await a single
        message for as long as the caller likes, outside every bound of ours."""
        rule = rule_of(method)
        make, guard = (
            (grpc.stream_stream_rpc_method_handler, self._streaming)
            if handler.response_streaming
            else (grpc.stream_unary_rpc_method_handler, self._single)
        )
        served: Handler = make(
            guard(handler, method, rule),
            request_deserializer=bounded_deserializer(handler.request_deserializer, rule.most_request_bytes),
            response_serializer=_serializer(handler.response_serializer),
        )
        return served

    def _single(self, handler: Any, method: str, rule: MethodRule) -> Behaviour:  # noqa: ANN401
        async def call(requests: Requests, context: ServicerContext) -> object:
            record = _Call(method, rule)
            async with self._refusing(record, context) as cut:
                request = await self._only(requests, cut)
                record.touch()
                response = await handler.unary_unary(request, context)
                if rule.signs_anew:
                    await _at_a_step(record)
                return response

        return call

    def _streaming(self, handler: Any, method: str, rule: MethodRule) -> Behaviour:  # noqa: ANN401
        async def call(requests: Requests, context: ServicerContext) -> None:
            record = _Call(method, rule)
            async with (
                self._refusing(record, context) as cut,
                aclosing(paced(aiter(requests), self._deadlines, record.touch)) as incoming,
            ):
                if handler.request_streaming:
                    behaviour = handler.stream_stream(incoming, context)
                else:
                    behaviour = handler.unary_stream(await self._only(requests, cut), context)
                    record.touch()
                is_awaited = rule.signs_anew
                async with aclosing(behaviour) as responses:
                    async for response in responses:
                        if is_awaited:
                            await _at_a_step(record)
                            is_awaited = False
                        await self._written(response, context)

        return call

    async def _only(self, requests: Requests, cut: Cut) -> Message:
        """Return the message of a call that has one. The call is cut with SilentStream when it does not come in time."""
        allowed = self._deadlines.first.total_seconds()
        # rpc.5
        silent = cut.after(allowed, lambda: SilentStream(f"the call's message did not come in {allowed:g} s"))
        try:
            return await only(requests)
        finally:
            silent.cancel()

    async def _written(self, response: object, context: ServicerContext) -> None:
        """Send a response. Raises StalledReader if the caller takes nothing for too long.

        gRPC has no way to cut one call off: the refusal waits behind what is not taken, and holds the caller's own share and
        nothing else until it reads, leaves, or its connection ends (docs/adr/0020).
        """
        try:
            async with asyncio.timeout(self._deadlines.write.total_seconds()):
                await context.write(response)
        except TimeoutError:
            raise StalledReader("the caller takes nothing of what is sent") from None  # rpc.9

    @asynccontextmanager
    async def _refusing(self, call: _Call, context: ServicerContext) -> AsyncIterator[Cut]:
        with operations.within(call.request_id):
            async with self._guarding(call, context) as cut:
                yield cut

    @asynccontextmanager
    async def _guarding(self, call: _Call, context: ServicerContext) -> AsyncIterator[Cut]:
        hospital = calling_hospital(context)
        caller = hospital or caller_of_peer(context.peer())
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        metadata = context.invocation_metadata() or ()
        watched = self._watch.began(CallStart(call.method, call.request_id, metadata, is_peer=hospital is not None))
        outcome, task = "CANCELLED", serving_task()
        self._under_way.add(task)
        # The share is held until the refusal is out: what waits for the audit log is bounded too.
        with self._shares.of(caller, lasting=call.rule.lasts) as share:
            try:
                share.take()
                self._admit(call, caller, hospital)
                with Cut(task) as cut:
                    overdue = cut.after(call.rule.longest.total_seconds(), _overdue)
                    try:
                        yield cut
                    finally:
                        overdue.cancel()
                outcome = "OK"
                _log("call", call)
            except Exception as error:  # noqa: BLE001 - the last guard: what is not mapped is INTERNAL and nothing more
                refused = self._charged(error, call, caller)
                outcome = _code_name(refused)
                watched.refused(refused)
                await self._refuse(refused, call, caller, context)
            finally:
                watched.ended(outcome)
                self._under_way.discard(task)

    def _admit(self, call: _Call, caller: str, hospital: str | None) -> None:
        if call.rule.is_opener:
            self._rate.require(caller)  # rpc.2
        require_caller(call.rule, hospital)

    def _charged(self, error: Exception, call: _Call, caller: str) -> Exception:
        """Charge the refusal of a cheap call like an opener, or a flood of bad ones would fill the audit log's disk."""
        if call.rule.is_opener or not isinstance(error, FederationError) or isinstance(error, Limit):
            return error
        try:
            self._rate.require(caller)
        except Limit as limit:
            return limit
        return error

    async def _refuse(self, error: Exception, call: _Call, caller: str, context: ServicerContext) -> None:
        status = to_status(error, call.request_id)
        code = code_pb2.Code.Name(status.code)
        if code_of(error) == code_pb2.INTERNAL:
            operations.failure("internal-error", error, method=call.method, code=code)
        await self._record(error, call, caller)
        if isinstance(error, Rejected):
            taken = time.monotonic() - call.heard_at
            await asyncio.sleep(next_step(self._floor.total_seconds(), taken) - taken)
        _log("refused", call, code=code, reason=told_reason(error))
        wire: Any = rpc_status.to_status(status)
        await context.abort(wire.code, wire.details, (*wire.trailing_metadata, (REQUEST_ID, call.request_id)))

    async def _record(self, error: Exception, call: _Call, caller: str) -> None:
        """Audit the refusal. It stands even where that fails; overload is not audited, or it would feed itself."""
        if isinstance(error, Limit | Overdue) or call.is_health:
            return
        if self._tally.is_written(caller, reason_of(error)):
            await self._written_down(refusal(error, call.method, call.request_id))

    async def _written_down(self, event: AuditEvent) -> None:
        try:
            async with asyncio.timeout(AUDIT_PATIENCE.total_seconds()):
                await self._workers.run_regardless(self._audit, event)
        except StoreError as away:
            operations.warning("audit-failed", method=event.method, reason=away.reason)
        except Exception as failure:  # noqa: BLE001 - the caller is refused all the same
            operations.failure("audit-failed", failure, method=event.method)


def _serializer(serialize: Callable[[Message], bytes]) -> Callable[[Message | bytes], bytes]:
    """Return a serializer that passes on a response which its servicer has serialised, in a thread of its own."""
    return lambda response: response if isinstance(response, bytes) else serialize(response)


async def _at_a_step(call: _Call) -> None:
    await asyncio.sleep(until_answer(time.monotonic() - call.heard_at))


def next_step(floor: float, taken: float) -> float:
    """Return the first of floor, 2 floor, 4 floor and so on that has not passed, in seconds."""
    step = floor
    while step < taken:
        step *= 2
    return step


def _overdue() -> Exception:
    """Return what ends a call that lasts too long; what a worker still does for it is for nobody."""
    return Overdue("this took too long here; try again")  # rpc.8


def _code_name(error: Exception) -> str:
    return str(code_pb2.Code.Name(code_of(error)))


def _log(event: str, call: _Call, **more: str) -> None:
    """Log a call; one that asks how this server is would fill the log."""
    if not call.is_health:
        operations.info(event, method=call.method, milliseconds=call.milliseconds, **more)
