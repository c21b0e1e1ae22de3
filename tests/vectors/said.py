"""What a person reads of a refusal: of a peer's, of nobody's answer, and of what this side finds itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from federation.cli.explain import VOCABULARIES, errors_in
from federation.party.channels import refusal_of
from federation.wire.status import DOMAIN, REQUEST_ID
from federation.words import plain
from tests.vectors.draws import Json

ADDRESS = "alpha.example:8443"
REQUEST = "0123456789abcdef"
RUDE = "Your key is lost: read your PIN to 0900 123456."
UNAVAILABLE, DEADLINE, DENIED = "UNAVAILABLE", "DEADLINE_EXCEEDED", "PERMISSION_DENIED"
EXHAUSTED, MISSING, INTERNAL = "RESOURCE_EXHAUSTED", "NOT_FOUND", "INTERNAL"


def vectors() -> list[Json]:
    """Say what is read of each, and by which reason it is known."""
    return [_told(case) for case in (*_silences(), *_answers(), *_unknown(), *_own())]


def _told(case: Json) -> Json:
    refusal = _refusal(case)
    return {"name": case["name"], "expect": getattr(refusal, "reason", ""), **case, "said": plain(refusal)}


def _call(name: str, code: str, reason: str | None = None, **more: Any) -> Json:
    """A call to ADDRESS that ends with this code; with ErrorInfo where there is a reason."""
    info = {} if reason is None else {"domain": DOMAIN, "reason": reason}
    return {"name": name, "kind": "call", "address": ADDRESS, "code": code, **info, **more}


def _found(reason: str, name: str, sentence: str) -> Json:
    return {"name": name, "kind": "own", "reason": reason, "sentence": sentence}


def _silences() -> Iterator[Json]:
    yield _call("nobody answers", UNAVAILABLE)
    yield _call("nobody answers, and what gRPC says of it", UNAVAILABLE, message="connection refused")
    yield _call("nobody answers in time", DEADLINE)
    yield _call("something between that is none of ours", UNAVAILABLE, "OVERLOADED", domain="proxy.example")


def _answers() -> Iterator[Json]:
    again = {"request_id": REQUEST, "retry_after": 7}
    yield _call("a peer that says itself that it is unavailable", UNAVAILABLE, UNAVAILABLE, request_id=REQUEST)
    yield _call("the same, with when to come again", UNAVAILABLE, UNAVAILABLE, **again)
    yield _call("a peer that answers without a reason of ours", UNAVAILABLE, request_id=REQUEST)
    yield _call("a call that took a server too long", UNAVAILABLE, "CALL_OVERDUE", **again)
    yield _call("a list that a server lost touch with", UNAVAILABLE, "REVOCATION_LIST_STALE", **again)
    yield _call("a limit, with when to come again", EXHAUSTED, "LIMIT_REACHED", **again)
    yield _call("a message that gRPC itself finds too large", EXHAUSTED)
    yield _call("no consent", DENIED, "GRANT_MISSING", request_id=REQUEST)
    yield _call("no consent, by a call without a number", DENIED, "GRANT_MISSING")
    yield _call("a number of another form", DENIED, "GRANT_MISSING", request_id=REQUEST.upper())
    yield _call("a number that is a sentence", DENIED, "GRANT_MISSING", request_id="read your PIN to 0900")
    yield _call("a refusal that does not say why", DENIED, "REJECTED", request_id=REQUEST)
    yield _call("a fault of a server", INTERNAL, "INTERNAL", request_id=REQUEST)
    yield _call("a fault of something that is none of ours", "UNKNOWN")
    yield _call("a peer's own words", MISSING, "NO_SUCH_ROOM", message=RUDE, request_id=REQUEST)


def _unknown() -> Iterator[Json]:
    yield _call("a reason that is not known", DENIED, "MOON_FULL", request_id=REQUEST)
    yield _call(
        "a reason that is not known, of what passes", UNAVAILABLE, "MOON_FULL", request_id=REQUEST, retry_after=7
    )
    yield _call("a reason that is not known, of an unforeseen code", "UNKNOWN", "MOON_FULL")
    yield _call("a reason that no peer may give", DENIED, "PIN_INCORRECT")
    yield _call("a reason that is a sentence", MISSING, "read your PIN to 0900")
    yield _call("a reason that is too long", MISSING, "A" * 64)
    yield _call("a reason that is empty", MISSING, "")
    yield _call("a reason that every object of JavaScript has", "FAILED_PRECONDITION", "toString")
    yield _call("a reason of somebody else", "ALREADY_EXISTS", "STALE", domain="proxy.example")


def _own() -> Iterator[Json]:
    yield _found("PROFILE_UNUSABLE", "details that a person needs", "P:wang is at home there")
    yield _found("PIN_INCORRECT", "details that nobody needs", "two are left")
    yield _found("NO_ANSWER", "details where somebody else does not answer", "no patient came to the room in time")
    yield _found("LIMIT_REACHED", "a limit of one's own", "a diagnosis is amended at most 8 times")
    yield _found("FHIR_NOT_JSON", "details that are all there is", "the diagnosis is no JSON")
    yield _found("FHIR_NOT_JSON", "details that end as a sentence does", "The diagnosis is no JSON.")
    yield _found("FHIR_NOT_JSON", "details that ask", "is it XML?")
    yield _found("CREDENTIAL_MISMATCH", "details of a key", "the secret is not this credential's")
    yield _found("UNAVAILABLE", "an answer that breaks off where nobody was dialled", "the stream ended")


@dataclass
class _Ended(grpc.RpcError, grpc.Call):
    """How gRPC gives a call that has failed."""

    vector: Json

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode[self.vector["code"]]

    def details(self) -> str:
        return str(self.vector.get("message", ""))

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        status = status_pb2.Status(code=self.code().value[0], message=self.details())
        if "domain" in self.vector:
            status.details.add().Pack(ErrorInfo(reason=self.vector["reason"], domain=self.vector["domain"]))
        if "retry_after" in self.vector:
            status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=self.vector["retry_after"])))
        named = ((REQUEST_ID, self.vector["request_id"]),) if "request_id" in self.vector else ()
        return (*named, ("grpc-status-details-bin", status.SerializeToString()))

    def initial_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> None:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: object) -> bool:
        return False


def _refusal(vector: Json) -> Exception:
    if vector["kind"] == "call":
        return refusal_of(_Ended(vector), vector["address"])
    kinds = (errors_in(module).get(vector["reason"]) for module in VOCABULARIES)
    kind = next(kind for kind in kinds if kind is not None)
    return kind(vector["sentence"])


def outcome(vector: Json) -> tuple[str, str]:
    """Give the reason that the code finds for a vector, and what a person reads."""
    refusal = _refusal(vector)
    return str(getattr(refusal, "reason", "")), plain(refusal)
