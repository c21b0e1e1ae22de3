"""Errors at the call guard: one form for what is rejected, nothing for what is not mapped, the reason in the audit log."""

import asyncio
import io
import json
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import grpc
import pytest

from federation import errors
from federation.errors import FederationError, GrantMissing, Limit, Rejected, SealInvalid, StaleMessage
from federation.settings import ServerSettings
from federation.store.errors import StoreUnavailable
from federation.v1.directory_pb2 import GetDirectoryRequest, WatchDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.record_pb2 import OpenSessionRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.wire import operations
from federation.wire.call_guard import CallGuard, next_step
from federation.wire.coarse import until_answer
from federation.wire.limits import ShareBound
from federation.wire.roles import METHODS
from federation.wire.status import REQUEST_ID, from_rpc_error
from federation.wire.workers import Workers
from federation.words import plain, sentence


def _raising(error: Exception, cause: Exception | None = None):
    def behave() -> None:
        raise error from cause

    return behave


def _refused(bench) -> grpc.RpcError:
    with bench.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest())
    return raised.value


def _all_families() -> list[type[FederationError]]:
    found, queue = [], [FederationError]
    while queue:
        found += (children := queue.pop().__subclasses__())
        queue += children
    # What only a client meets (no answer, a damaged code) never comes over the wire.
    return [family for family in found if family.__module__ == "federation.errors"]


def test_rejected_reads_the_same_whatever_the_cause(bench) -> None:
    told = set()
    for cause in (GrantMissing("no grant"), SealInvalid("a seal that does not open, at some length")):
        bench.behave = _raising(Rejected("the message was not accepted"), cause)
        error = _refused(bench)
        # The request id is random, whatever the cause.
        rest = tuple(entry for entry in error.trailing_metadata() if entry.key != REQUEST_ID)
        told.add((error.code(), error.details(), rest))
    assert len(told) == 1
    assert [event.reason for event in bench.audited] == ["GRANT_MISSING", "SEAL_INVALID"]


def test_rejected_does_not_come_before_the_floor_and_others_do(bench) -> None:
    bench.behave = _raising(Rejected("x"))
    started = time.monotonic()
    _refused(bench)
    assert time.monotonic() - started >= 0.05


def test_other_refusals_wait_for_no_floor(bench_with) -> None:
    bench = bench_with(floor=timedelta(hours=1), behave=_raising(StaleMessage("x")))
    assert isinstance(from_rpc_error(_refused(bench)), StaleMessage)


@pytest.mark.parametrize(("taken", "step"), [(0, 1), (1, 1), (1.1, 2), (2, 2), (2.1, 4), (15, 16), (17, 32)])
def test_rejection_after_the_floor_waits_for_a_coarse_step(taken: float, step: float) -> None:
    assert next_step(1, taken) == step


def test_rejections_that_took_differently_long_come_at_the_same_step(bench_with) -> None:
    """What is checked first and what is checked last read the same: the floor is long, so that it's no matter of luck."""
    took: list[float] = []
    for seconds in (1.05, 1.6):

        async def check(seconds: float = seconds) -> None:
            await asyncio.sleep(seconds)
            raise Rejected("x")

        bench = bench_with(floor=timedelta(seconds=1), behave=check)
        started = time.monotonic()
        _refused(bench)
        took.append(time.monotonic() - started)
    assert all(seconds >= 2 for seconds in took)


def test_method_that_no_port_has_is_refused_with_its_reason_whatever_it_is_called(bench, log: io.StringIO) -> None:
    name = "/" + "made.up" * 500 + "/Whatever"
    with bench.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(name)(b"anything")
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert from_rpc_error(raised.value).reason == "METHOD_NOT_SERVED"
    assert [(event.reason, event.method) for event in bench.audited] == [("METHOD_NOT_SERVED", "OTHER")]
    assert "made.up" not in log.getvalue()


@pytest.mark.parametrize(
    "method", ["/federation.v1.SearchService/Search", "/grpc.health.v1.Health/Watch"], ids=["elsewhere", "nobody's"]
)
def test_method_that_this_port_does_not_serve_is_refused_with_its_reason(bench, method: str) -> None:
    with bench.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(method)(b"")
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert from_rpc_error(raised.value).reason == "METHOD_NOT_SERVED"


def test_many_rejections_wait_at_once_without_a_thread_each(bench_with) -> None:
    bench = bench_with(floor=timedelta(seconds=2), behave=_raising(Rejected("x")))
    with bench.channel() as channel:
        stub = DirectoryServiceStub(channel)
        before = threading.active_count()  # other tests' threads among them
        calls = [stub.GetDirectory.future(GetDirectoryRequest()) for _ in range(100)]
        waiting = threading.active_count()
        started = time.monotonic()
        assert all(call.exception() is not None for call in calls)
    assert time.monotonic() - started < 100  # one after the other they would take 200 s
    assert waiting - before < 40


def test_internal_error_says_a_request_id_and_nothing_more(bench, log: io.StringIO) -> None:
    bench.behave = _raising(ZeroDivisionError("P:somebody divided"))
    error = _refused(bench)
    assert error.code() == grpc.StatusCode.INTERNAL
    request_id = error.details().removeprefix("internal error, request ")
    assert len(request_id) == 16
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    traced = next(line for line in lines if line["event"] == "internal-error")
    assert traced["request_id"] == request_id
    assert traced["trace"][0] == "ZeroDivisionError"
    assert "somebody" not in log.getvalue()
    assert [(event.reason, event.detail) for event in bench.audited] == [("INTERNAL", "ZeroDivisionError")]


def test_every_line_of_a_refused_call_says_the_request_that_its_caller_was_told(bench, log: io.StringIO) -> None:
    def behave() -> None:
        operations.warning("patient-rows-full")
        raise Rejected("the message was not accepted") from GrantMissing("no grant of P:somebody")

    bench.behave = behave
    refused = [from_rpc_error(_refused(bench)) for _ in range(2)]
    assert all(operations.is_request_id(it.request_id) for it in refused)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [(line["event"], line["request_id"]) for line in lines]
    assert told == [(event, it.request_id) for it in refused for event in ("patient-rows-full", "refused")]
    # What the caller was told; the cause is for who may read the audit log.
    assert {line["reason"] for line in lines if line["event"] == "refused"} == {"REJECTED"}
    assert "GRANT_MISSING" not in log.getvalue()
    assert [(event.reason, event.request_id) for event in bench.audited] == [
        ("GRANT_MISSING", it.request_id) for it in refused
    ]
    assert sentence(refused[0]).endswith(f"[REJECTED] (request {refused[0].request_id})")
    assert plain(refused[0]).endswith(f"[REJECTED] (request {refused[0].request_id})")


def test_request_id_reaches_the_threads_that_work_for_the_call_and_no_other(log: io.StringIO) -> None:
    async def main() -> tuple[str, str, str]:
        workers = Workers(1, 8)
        try:
            with operations.within("0123456789abcdef"):
                within = await workers.run(operations.request_id)
                regardless = await workers.run_regardless(operations.request_id)
            return within, regardless, await workers.run(operations.request_id)
        finally:
            workers.close()

    assert asyncio.run(main()) == ("0123456789abcdef", "0123456789abcdef", "")


def test_database_that_does_not_answer_is_unavailable_and_says_no_more(bench) -> None:
    bench.behave = _raising(StoreUnavailable("disk I/O error in /var/lib/medunion"))
    error = _refused(bench)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "medunion" not in error.details()


def test_overload_is_not_audited(bench) -> None:
    bench.behave = _raising(Limit("too many"))
    assert _refused(bench).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert bench.audited == []


def test_flood_of_refused_cheap_calls_is_a_limit_and_does_not_fill_the_audit_log(bench) -> None:
    bench.rate._per_second, bench.rate._burst = 0, 3
    bench.behave = _raising(errors.NoSuchRoom("there is no such room"))
    refused = [from_rpc_error(_refused(bench)).reason for _ in range(6)]
    assert refused == ["NO_SUCH_ROOM"] * 3 + ["LIMIT_REACHED"] * 3
    assert len(bench.audited) == 3


def test_caller_with_its_share_of_open_streams_is_told_limit_reached(bench_with) -> None:
    bench = bench_with(shares=ShareBound(2))
    with bench.channel() as channel:
        stub = RecordServiceStub(channel)
        silence = threading.Event()

        def open_stream():
            yield OpenSessionRequest()
            silence.wait(60)

        streams = [stub.OpenSession(open_stream()) for _ in range(2)]
        for stream in streams:
            next(stream)
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.OpenSession(open_stream()))
        assert isinstance(from_rpc_error(raised.value), Limit)
        silence.set()
        for stream in streams:
            list(stream)
        assert len(list(stub.OpenSession(open_stream()))) == 1


def test_openers_beyond_a_callers_rate_are_told_limit_reached(bench) -> None:
    bench.rate._per_second, bench.rate._burst = 0, 3
    with bench.channel() as channel:
        stub = RecordServiceStub(channel)
        for _ in range(3):
            assert len(list(stub.OpenSession(iter([OpenSessionRequest()])))) == 1
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.OpenSession(iter([OpenSessionRequest()])))
    assert isinstance(from_rpc_error(raised.value), Limit)


def test_timeout_of_something_else_is_no_overdue_call(bench) -> None:
    """A deadline of what the call itself waits for is a fault here, and no word that the same call may come again."""
    bench.behave = _raising(TimeoutError("of a socket"))
    assert _refused(bench).code() == grpc.StatusCode.INTERNAL


def test_refusal_stands_where_the_audit_log_fails(bench) -> None:
    bench.audit = _raising(StoreUnavailable("full"))
    bench.behave = _raising(Rejected("x"))
    assert _refused(bench).code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("taken", "wait"), [(0.0, 0.0), (0.001, 0.019), (0.0199, 0.0001), (0.02, 0.0), (1.234, 0.006)])
def test_an_answer_waits_for_the_next_whole_step(taken, wait) -> None:
    assert until_answer(taken) == pytest.approx(wait, abs=1e-9) or until_answer(taken) == pytest.approx(0.02)


def test_what_is_signed_over_a_strangers_choice_is_answered_on_a_coarse_clock() -> None:
    """reg2, C, H1 and cosignatures; a doctor's client does the same with D1."""
    coarse = {method.rpartition("/")[2] for method, rule in METHODS.items() if rule.signs_anew}
    assert coarse == {"Register", "Search", "OpenSession", "Cosign"}


def test_the_first_answer_of_a_session_leaves_at_a_whole_step_and_no_other_waits(bench, monkeypatch) -> None:
    monkeypatch.setattr("federation.wire.coarse.ANSWER_STEP", timedelta(seconds=0.5))
    with bench.channel() as channel:
        heard = threading.Event()

        def talk():
            yield OpenSessionRequest()
            heard.wait(60)
            yield OpenSessionRequest()

        began = time.monotonic()
        answers = RecordServiceStub(channel).OpenSession(talk())
        next(answers)
        assert time.monotonic() - began >= 0.5
        waits: list[float] = []
        monkeypatch.setattr("federation.wire.call_guard.until_answer", lambda taken: waits.append(taken) or 0)
        heard.set()
        next(answers)
        assert waits == []


def test_refusal_on_a_stream_has_the_same_form(bench) -> None:
    bench.behave = _raising(Rejected("x"), GrantMissing("no grant"))
    with bench.channel() as channel:
        responses = DirectoryServiceStub(channel).WatchDirectory(WatchDirectoryRequest())
        next(responses)
        with pytest.raises(grpc.RpcError) as raised:
            next(responses)
    assert isinstance(from_rpc_error(raised.value), Rejected)
    assert [event.reason for event in bench.audited] == ["GRANT_MISSING"]


def test_floor_of_a_stream_counts_from_its_newest_message(bench) -> None:
    bench.behave = _raising(Rejected("x"))
    with bench.channel() as channel:
        sent: list[float] = []

        def later():
            time.sleep(0.15)
            sent.append(time.monotonic())
            yield OpenSessionRequest()

        with pytest.raises(grpc.RpcError):
            list(RecordServiceStub(channel).OpenSession(later()))
        assert time.monotonic() - sent[0] >= 0.05


def test_silent_stream_is_refused(bench) -> None:
    silence = threading.Event()

    def nothing():
        silence.wait(5)
        return
        yield

    with bench.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        list(RecordServiceStub(channel).OpenSession(nothing()))
    silence.set()
    assert isinstance(from_rpc_error(raised.value), errors.SilentStream)


@pytest.mark.parametrize("kind", _all_families(), ids=lambda kind: kind.__name__)
def test_every_refusal_arrives_as_its_own_class(bench, kind: type[FederationError]) -> None:
    bench.behave = _raising(kind("a sentence"))
    assert type(from_rpc_error(_refused(bench))) is kind


def test_handler_is_wrapped_once_and_no_name_that_a_caller_makes_up_is_kept() -> None:
    found = grpc.unary_unary_rpc_method_handler(lambda request, context: None)
    asked: list[str] = []

    async def continuation(details: SimpleNamespace):
        asked.append(details.method)
        return found if details.method in METHODS else None

    async def main() -> None:
        workers = Workers(1, 1)
        guard = CallGuard.of(ServerSettings(), lambda event: None, workers)
        known = SimpleNamespace(method="/federation.v1.DirectoryService/GetDirectory")
        first = await guard.intercept_service(continuation, known)
        assert await guard.intercept_service(continuation, known) is first
        assert asked == [known.method]
        for number in range(100):
            await guard.intercept_service(continuation, SimpleNamespace(method=f"/made.up/{number}"))
        assert list(guard._served) == [known.method]
        workers.close()

    asyncio.run(main())
