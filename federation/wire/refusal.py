"""The border of every server: an interceptor that holds each call to the table of methods, and errors to google.rpc.Status.

What was found after a seal was opened is one refusal, `Rejected`: the same bytes whatever the cause, and not before a floor
since the message came, held without a thread (B9). The precise reason goes to the audit log.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2
from grpc_status import rpc_status

from federation.audit import AuditEvent, refusal
from federation.errors import FederationError, Limit, Rejected
from federation.wire import operations
from federation.wire.limits import (
    RateBound,
    ShareBound,
    StreamDeadlines,
    bounded_deserializer,
    host_of_peer,
    paced,
    require_message,
)
from federation.wire.roles import MethodRule, ServicerContext, calling_hospital, require_caller, rule_of
from federation.wire.status import code_of, to_status
from federation.wire.workers import Workers

REJECTION_FLOOR = timedelta(milliseconds=50)
_HEALTH = "/grpc.health.v1.Health/"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Behaviour: TypeAlias = Callable[[Any, "ServicerContext"], Any]
Request = Message | FederationError


@dataclass
class _Call:
    """One call under way. `heard_at` is when its newest message came, by the monotonic clock."""

    method: str
    rule: MethodRule
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        self.heard_at = time.monotonic()

    @property
    def milliseconds(self) -> float:
        return round((time.monotonic() - self.started_at) * 1000, 1)


class Border(grpc.aio.ServerInterceptor):
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
    ) -> None:
        """Write refusals through `audit`, which blocks until the entry is durable."""
        self._audit = audit
        self._workers = workers
        self._rate = rate
        self._deadlines = deadlines or StreamDeadlines()
        self._floor = floor
        self._shares = shares

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the method's handler. gRPC itself answers UNIMPLEMENTED for a method that the server does not have."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        return handler if handler is None or method.startswith(_HEALTH) else self._guarded(handler, method)

    def _guarded(self, handler: Any, method: str) -> Handler:  # noqa: ANN401 - the stubs leave out its fields
        rule = rule_of(method)
        wrap: dict[tuple[bool, bool], tuple[Callable[..., Handler], Callable[..., Behaviour], Behaviour]] = {
            (False, False): (grpc.unary_unary_rpc_method_handler, self._unary_unary, handler.unary_unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, self._unary_stream, handler.unary_stream),
            (True, True): (grpc.stream_stream_rpc_method_handler, self._stream_stream, handler.stream_stream),
        }
        make, guard, behaviour = wrap[handler.request_streaming, handler.response_streaming]
        return make(
            guard(behaviour, method, rule),
            request_deserializer=bounded_deserializer(handler.request_deserializer, rule.most_request_bytes),
            response_serializer=handler.response_serializer,
        )

    def _unary_unary(self, behaviour: Behaviour, method: str, rule: MethodRule) -> Behaviour:
        async def call(request: Request, context: ServicerContext) -> object:
            async with self._refusing(_Call(method, rule), context):
                return await behaviour(require_message(request), context)

        return call

    def _unary_stream(self, behaviour: Behaviour, method: str, rule: MethodRule) -> Behaviour:
        async def call(request: Request, context: ServicerContext) -> AsyncIterator[object]:
            async with (
                self._refusing(_Call(method, rule), context),
                aclosing(behaviour(require_message(request), context)) as responses,
            ):
                async for response in responses:
                    yield response

        return call

    def _stream_stream(self, behaviour: Behaviour, method: str, rule: MethodRule) -> Behaviour:
        async def call(requests: AsyncIterator[Request], context: ServicerContext) -> AsyncIterator[object]:
            record = _Call(method, rule)
            async with (
                self._refusing(record, context),
                aclosing(paced(aiter(requests), self._deadlines, record.touch)) as incoming,
                aclosing(behaviour(incoming, context)) as responses,
            ):
                async for response in responses:
                    yield response

        return call

    @asynccontextmanager
    async def _refusing(self, call: _Call, context: ServicerContext) -> AsyncIterator[None]:
        caller = calling_hospital(context) or host_of_peer(context.peer())
        try:
            with self._shares.one(caller):
                self._admit(call, caller, context)
                yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the border: what is not mapped is INTERNAL and nothing more
            await self._refuse(self._charged(error, call, caller), call, context)
        else:
            operations.info("call", method=call.method, request_id=call.request_id, milliseconds=call.milliseconds)

    def _admit(self, call: _Call, caller: str, context: ServicerContext) -> None:
        if call.rule.is_opener:
            self._rate.require(caller)
        require_caller(call.rule, context)

    def _charged(self, error: Exception, call: _Call, caller: str) -> Exception:
        """Charge the refusal of a cheap call like an opener, or a flood of bad ones would fill the audit log's disk."""
        if call.rule.is_opener or not isinstance(error, FederationError) or isinstance(error, Limit):
            return error
        try:
            self._rate.require(caller)
        except Limit as limit:
            return limit
        return error

    async def _refuse(self, error: Exception, call: _Call, context: ServicerContext) -> None:
        status = to_status(error, call.request_id)
        known = {"method": call.method, "request_id": call.request_id, "code": code_pb2.Code.Name(status.code)}
        if code_of(error) == code_pb2.INTERNAL:
            operations.failure("internal-error", error, **known)
        await self._record(error, call)
        if isinstance(error, Rejected):
            await asyncio.sleep(self._floor.total_seconds() - (time.monotonic() - call.heard_at))
        operations.info("refused", milliseconds=call.milliseconds, **known)
        wire: Any = rpc_status.to_status(status)
        await context.abort(wire.code, wire.details, wire.trailing_metadata)

    async def _record(self, error: Exception, call: _Call) -> None:
        """Audit the refusal. It stands even where that fails; overload is not audited, or it would feed itself."""
        if isinstance(error, Limit):
            return
        try:
            await self._workers.run_regardless(self._audit, refusal(error, call.method, call.request_id))
        except Exception as failure:  # noqa: BLE001 - the caller is refused all the same
            operations.failure("audit-failed", failure, method=call.method, request_id=call.request_id)
