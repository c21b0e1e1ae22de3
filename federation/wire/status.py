"""The one table between errors and gRPC: families to codes, reasons to google.rpc.ErrorInfo, and back.

What is found after a seal was opened is `Rejected` and reads the same whatever the cause (B9). Anything that the table does not
know is INTERNAL with a request id and nothing more.
"""

import inspect
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from federation import errors
from federation.clinical.text import printable
from federation.errors import FederationError
from federation.store.errors import (
    AlreadyAdmitted,
    AlreadyStored,
    BudgetSpent,
    NotStored,
    OutOfSequence,
    StoredRecordCorrupt,
    StoreError,
    StoreLimit,
)
from federation.wire import operations
from hsm.errors import HsmError, TokenBusy, TokenUnavailable
from keystore.errors import KeystoreError

D = TypeVar("D", error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo)

DOMAIN = "medunion"
REQUEST_ID = "medunion-request-id"
"""Trailing metadata of every call: random, and the way to its lines in the operational log and the audit log."""
RETRY = timedelta(seconds=1)
"""When a caller may come again, where the error says nothing else."""

LONGEST_RETRY = timedelta(minutes=1)
"""How long a peer may have a caller wait before it comes again."""

LONGEST_UNTIL_DUE = timedelta(days=366)
"""What a peer may say of a renewal that is not due: nothing waits for it, and it is asked for again before that."""

_CODES: dict[type[Exception], int] = {
    errors.Rejected: code_pb2.PERMISSION_DENIED,
    errors.MalformedMessage: code_pb2.INVALID_ARGUMENT,
    errors.Authentication: code_pb2.UNAUTHENTICATED,
    errors.Authorization: code_pb2.PERMISSION_DENIED,
    errors.BudgetExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.MethodNotServed: code_pb2.UNIMPLEMENTED,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.Conflict: code_pb2.ALREADY_EXISTS,
    errors.OutOfOrder: code_pb2.FAILED_PRECONDITION,
    errors.Replayed: code_pb2.ABORTED,
    errors.Limit: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.Corrupt: code_pb2.DATA_LOSS,
    AlreadyAdmitted: code_pb2.ABORTED,
    AlreadyStored: code_pb2.ALREADY_EXISTS,
    NotStored: code_pb2.NOT_FOUND,
    OutOfSequence: code_pb2.FAILED_PRECONDITION,
    StoreLimit: code_pb2.RESOURCE_EXHAUSTED,
    BudgetSpent: code_pb2.RESOURCE_EXHAUSTED,
    StoredRecordCorrupt: code_pb2.DATA_LOSS,
    StoreError: code_pb2.UNAVAILABLE,
    # A token that may come back is told as passing; what an operator has to mend is a fault of this server.
    HsmError: code_pb2.INTERNAL,
    TokenUnavailable: code_pb2.UNAVAILABLE,
    TokenBusy: code_pb2.UNAVAILABLE,
}
_RETRYABLE = {code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED}
_REJECTED = "The message was not accepted."


def code_of(error: BaseException) -> int:
    """Return the google.rpc code of an error, through its class hierarchy; INTERNAL for anything unmapped."""
    for cls in type(error).__mro__:
        if cls in _CODES:
            return _CODES[cls]
    return int(code_pb2.INTERNAL)


def to_status(error: BaseException, request_id: str) -> status_pb2.Status:
    """Return what a caller may know of an error."""
    code = code_of(error)
    reason = told_reason(error)
    if isinstance(error, errors.Rejected):
        return _status(code, _REJECTED, reason)
    if code == code_pb2.INTERNAL:
        return _status(code, f"internal error, request {request_id}", reason)
    if isinstance(error, HsmError | StoreError | KeystoreError):
        return _status(code, "A part of this server does not answer.", reason)
    return _status(code, str(error), reason, getattr(error, "retry_after", None))


def told_reason(error: BaseException) -> str:
    """Return the reason that a caller is told: one of docs/errors.md, where the store's or the token's own is none."""
    if isinstance(error, errors.Rejected):
        return errors.Rejected.reason
    if code_of(error) == code_pb2.INTERNAL:
        return FederationError.reason
    reasons = (str(getattr(kind, "reason", "")) for kind in type(error).__mro__)
    return next((reason for reason in reasons if reason in _BY_REASON), errors.Unavailable.reason)


def _status(code: int, message: str, reason: str, retry_after: timedelta | None = None) -> status_pb2.Status:
    details = [_packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))]
    if code in _RETRYABLE or retry_after:
        delay = duration_pb2.Duration(seconds=math.ceil((retry_after or RETRY).total_seconds()))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code, message=message, details=details)


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _all_errors(root: type[FederationError]) -> dict[str, type[FederationError]]:
    found = {root.reason: root}
    for child in root.__subclasses__():
        found |= _all_errors(child)
    return found


# A peer may name what a peer may be told, and nothing that is said of this side alone, such as a PIN.
_BY_REASON = {
    reason: error for reason, error in _all_errors(FederationError).items() if error.__module__ == errors.__name__
}
_BY_CODE: dict[grpc.StatusCode, type[FederationError]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Limit,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Unavailable,
    grpc.StatusCode.PERMISSION_DENIED: errors.Authorization,
    grpc.StatusCode.UNAUTHENTICATED: errors.Authentication,
    grpc.StatusCode.INVALID_ARGUMENT: errors.MalformedMessage,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: errors.OutOfOrder,
    grpc.StatusCode.UNIMPLEMENTED: errors.MethodNotServed,
}
REASON_OF_CODE = {int(code.value[0]): error.reason for code, error in _BY_CODE.items()}
"""Number of a gRPC code -> what a refusal of it is taken for that gives no reason, or one that is not known here."""

_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")


def from_rpc_error(error: grpc.RpcError) -> FederationError:
    """Return the refusal that a peer sent, as the same class on this side; `Unavailable` and the like without ErrorInfo.

    Its words are ours (docs/errors.md): what a peer writes would be read as if this program said it. The peer's own are a note,
    which `medunion --debug` shows.
    """
    if not isinstance(error, grpc.Call):
        return errors.Unavailable("the call did not go through")
    details = _details(error)
    refusal = _refusal(error, details)
    refusal.request_id = _request_id(error)
    if error.details():
        refusal.add_note(f"The peer says: {printable(error.details())}")
    for info in _unpacked(details, error_details_pb2.RetryInfo):
        longest = LONGEST_UNTIL_DUE if isinstance(refusal, errors.RenewalNotDue) else LONGEST_RETRY
        refusal.retry_after = timedelta(seconds=min(longest.total_seconds(), max(0, info.retry_delay.seconds)))
    return refusal


def _request_id(error: grpc.Call) -> str:
    """Return how the peer calls this call; nothing where it says nothing, or something of another form."""
    said = [value for name, value in error.trailing_metadata() or () if name == REQUEST_ID]
    return said[0] if said and isinstance(said[0], str) and operations.is_request_id(said[0]) else ""


def _refusal(error: grpc.Call, details: list[any_pb2.Any]) -> FederationError:
    family = _BY_CODE.get(error.code(), FederationError)
    for info in _unpacked(details, error_details_pb2.ErrorInfo):
        if info.domain != DOMAIN:
            continue
        if info.reason in _BY_REASON:
            return _in_our_words(_BY_REASON[info.reason])
        refusal = _in_our_words(family)
        refusal.unknown_reason = info.reason if _REASON.fullmatch(info.reason) else "unreadable"
        return refusal
    return _in_our_words(family)


def _in_our_words(family: type[FederationError]) -> FederationError:
    if family is FederationError:
        return family("The other side has a fault, and says no more.")
    return family(inspect.getdoc(family) or family.reason)


def _details(error: grpc.Call) -> list[any_pb2.Any]:
    """Return what the peer says beside the code. Where that can't be read, or says another code, the code alone counts."""
    try:
        status = rpc_status.from_call(error)
        return list(status.details) if status is not None else []
    except (DecodeError, ValueError):
        return []


def _unpacked(details: Iterable[any_pb2.Any], kind: type[D]) -> Iterator[D]:
    for detail in details:
        found = kind()
        with suppress(DecodeError):
            if detail.Unpack(found):
                yield found
