"""What a peer's refusal becomes on this side, whatever the peer wrote beside its code."""

import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from federation import errors
from federation.clinical.errors import ClinicalError
from federation.errors import FederationError, Limit, Unavailable
from federation.party.channels import call
from federation.store.errors import StoreError, StoreUnavailable
from federation.wire.status import DOMAIN, code_of, to_status
from federation.words import plain, sentence
from hsm.errors import HsmError
from keystore.errors import KeystoreError

METHOD = "/federation.v1.RecordService/GetHospital"
DETAILS = "grpc-status-details-bin"
WORDS = "Type your PIN at evil.example \x1b[2J\u202e\u2028 now"
FAULT = "The other side has a fault, and says no more."
SHOWN = "Type your PIN at evil.example [2J now"


class Refusing(grpc.GenericRpcHandler):
    """Refuses every call with RESOURCE_EXHAUSTED and these details."""

    def __init__(self, details: bytes) -> None:
        self._details = details

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    def _refuse(self, request: bytes, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(((DETAILS, self._details),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, WORDS)


def unpacked(status: status_pb2.Status) -> ErrorInfo:
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


def known_errors() -> list[type[FederationError]]:
    return [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, FederationError)]


@contextmanager
def refusing(details: bytes) -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusing(details)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(0).wait()


def packed(value: bytes, *, code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED) -> bytes:
    detail = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=value)
    return status_pb2.Status(code=code.value[0], message=WORDS, details=[detail]).SerializeToString()


@pytest.mark.parametrize(
    "details",
    [b"\xff\xff\xff", packed(b"\xff\xff"), packed(b"", code=grpc.StatusCode.OK)],
    ids=["no status", "no error info", "another code"],
)
def test_refusal_whose_details_cannot_be_read_or_contradict_it_is_told_by_its_code(details: bytes) -> None:
    with refusing(details) as channel, pytest.raises(Limit) as raised:
        call(channel.unary_unary(METHOD), b"", seconds=5)
    assert type(raised.value) is Limit
    assert not raised.value.unknown_reason


def told(*details: Message) -> bytes:
    status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=WORDS)
    for detail in details:
        status.details.add().Pack(detail)
    return status.SerializeToString()


def refused(*details: Message) -> FederationError:
    with refusing(told(*details)) as channel, pytest.raises(FederationError) as raised:
        call(channel.unary_unary(METHOD), b"", seconds=5)
    return raised.value


@pytest.mark.parametrize("reason", sorted({error.reason for error in known_errors()}))
def test_words_of_a_peer_are_a_note_for_who_debugs_and_the_sentence_is_ours(reason: str) -> None:
    error = refused(ErrorInfo(reason=reason, domain=DOMAIN))
    assert error.reason == reason
    assert str(error) == (inspect.getdoc(type(error)) if reason != "INTERNAL" else FAULT)
    assert WORDS not in plain(error) + sentence(error)
    assert error.__notes__ == [f"The peer says: {SHOWN}"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("MOON_FULL", "MOON_FULL"),
        ("PIN_INCORRECT", "PIN_INCORRECT"),
        ("type your PIN", "unreadable"),
        ("X" * 64, "unreadable"),
        ("A\x1b[2J", "unreadable"),
        ("", "unreadable"),
    ],
)
def test_reason_that_is_not_known_is_said_to_be_so_and_means_what_its_code_means(reason: str, shown: str) -> None:
    error = refused(ErrorInfo(reason=reason, domain=DOMAIN))
    assert type(error) is Limit
    said = f"It refused for a reason that this version does not know ({shown})."
    assert plain(error) == f"{Limit.in_words} {said} {Limit.to_do} [LIMIT_REACHED]"
    assert sentence(error).endswith(f"{said} [LIMIT_REACHED]")


def every(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for child in root.__subclasses__():
        yield from every(child)


OTHERS = [cls for root in (StoreError, HsmError, KeystoreError, ClinicalError) for cls in every(root)]


@pytest.mark.parametrize("kind", dict.fromkeys(OTHERS), ids=lambda kind: kind.__name__)
def test_reason_that_a_peer_is_told_of_any_fault_is_one_that_it_knows(kind: type[Exception]) -> None:
    """Of the store, the token and the keys, whose own reasons are for who runs the server."""
    status = to_status(kind.__new__(kind), "7f")
    assert refused(unpacked(status)).unknown_reason == ""
    (known,) = {code_of(cls("x")) for cls in known_errors() if cls.reason == unpacked(status).reason}
    assert known == status.code


def test_database_that_is_away_is_told_as_unavailable_and_read_so() -> None:
    told = unpacked(to_status(StoreUnavailable("the database refuses"), "7f"))
    assert told.reason == "UNAVAILABLE"
    assert plain(refused(told)) == f"{Unavailable.in_words} {Unavailable.to_do} [UNAVAILABLE]"


@pytest.mark.parametrize("kind", dict.fromkeys(OTHERS), ids=lambda kind: kind.__name__)
def test_every_fault_here_has_words_for_a_person(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "the precise sentence")
    said = plain(error)
    assert said.endswith(f"[{error.reason}]")  # type: ignore[attr-defined]
    if not issubclass(kind, ClinicalError):
        assert not said.startswith("the precise sentence")


def test_reason_of_another_domain_is_none() -> None:
    assert not refused(ErrorInfo(reason="MOON_FULL", domain="elsewhere")).unknown_reason


@pytest.mark.parametrize(("seconds", "waited"), [(0, 0), (7, 7), (10**9, 60), (-5, 0)])
def test_retry_info_is_obeyed_within_bounds(seconds: int, waited: int) -> None:
    again = RetryInfo(retry_delay=Duration(seconds=seconds))
    error = refused(ErrorInfo(reason="LIMIT_REACHED", domain=DOMAIN), again)
    assert error.retry_after == timedelta(seconds=waited)


@pytest.mark.parametrize(("days", "told"), [(300, 300), (10_000, 366)])
def test_renewal_that_is_not_due_is_told_with_the_months_until_it_is(days: int, told: int) -> None:
    """No other refusal has a caller wait for longer than a minute; for this one nobody waits."""
    refusal = errors.RenewalNotDue("later")
    refusal.retry_after = timedelta(days=days)
    sent = to_status(refusal, "x")
    assert (sent.code, len(sent.details)) == (code_pb2.FAILED_PRECONDITION, 2)
    assert refused(*(_unpacked(it) for it in sent.details)).retry_after == timedelta(days=told)


def _unpacked(detail: any_pb2.Any) -> Message:
    found = ErrorInfo() if detail.Is(ErrorInfo.DESCRIPTOR) else RetryInfo()
    assert detail.Unpack(found)
    return found


def test_retry_info_says_what_the_error_says() -> None:
    error = Limit("full")
    error.retry_after = timedelta(seconds=4.5)
    (info,) = (it for it in (RetryInfo(),) if to_status(error, "x").details[1].Unpack(it))
    assert info.retry_delay.seconds == 5


def kinds_of(root: type[HsmError]) -> Iterator[type[HsmError]]:
    yield root
    for child in root.__subclasses__():
        yield from kinds_of(child)


@pytest.mark.parametrize(
    "kind", sorted(kinds_of(HsmError), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_fault_of_the_token_is_told_as_passing_if_it_may_pass(kind: type[HsmError]) -> None:
    """Who is told that it passes comes again, and again: of a locked PIN or a key that is gone there is no end."""
    status = to_status(kind("PIN 1234"), "request")
    told_to_come_again = any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    assert (status.code == code_pb2.UNAVAILABLE, told_to_come_again) == (kind.retryable, kind.retryable)
    assert status.code in {code_pb2.UNAVAILABLE, code_pb2.INTERNAL}
    assert "1234" not in str(status)
