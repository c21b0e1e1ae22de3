"""The one table between errors and gRPC: families to codes, reasons to google.rpc.ErrorInfo, and back.

What is found after a seal was opened is `Rejected` and reads the same whatever the cause (B9). Anything that the table does not
know is INTERNAL with a request id and nothing more.
"""

from collections.abc import Iterable, Iterator

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from federation import errors
from federation.errors import FederationError
from federation.store.errors import (
    AlreadyStored,
    NotStored,
    OutOfSequence,
    StoredRecordCorrupt,
    StoreError,
    StoreLimit,
)
from hsm.errors import HsmError
from keystore.errors import KeystoreError

DOMAIN = "medunion"

_CODES: dict[type[Exception], int] = {
    errors.Rejected: code_pb2.PERMISSION_DENIED,
    errors.MalformedMessage: code_pb2.INVALID_ARGUMENT,
    errors.Authentication: code_pb2.UNAUTHENTICATED,
    errors.Authorization: code_pb2.PERMISSION_DENIED,
    errors.MethodNotServed: code_pb2.UNIMPLEMENTED,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.Conflict: code_pb2.ALREADY_EXISTS,
    errors.OutOfOrder: code_pb2.FAILED_PRECONDITION,
    errors.Replayed: code_pb2.ABORTED,
    errors.Limit: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.Corrupt: code_pb2.DATA_LOSS,
    AlreadyStored: code_pb2.ALREADY_EXISTS,
    NotStored: code_pb2.NOT_FOUND,
    OutOfSequence: code_pb2.FAILED_PRECONDITION,
    StoreLimit: code_pb2.RESOURCE_EXHAUSTED,
    StoredRecordCorrupt: code_pb2.DATA_LOSS,
    StoreError: code_pb2.UNAVAILABLE,
    HsmError: code_pb2.UNAVAILABLE,
}
_RETRYABLE = {code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED}
_REJECTED = "The message was not accepted."


def code_of(error: BaseException) -> int:
    """Give the google.rpc code of an error, through its class hierarchy; INTERNAL for anything unmapped."""
    for cls in type(error).__mro__:
        if cls in _CODES:
            return _CODES[cls]
    return int(code_pb2.INTERNAL)


def to_status(error: BaseException, request_id: str) -> status_pb2.Status:
    """Give what a caller may know of an error."""
    code = code_of(error)
    reason = told_reason(error)
    if isinstance(error, errors.Rejected):
        return _status(code, _REJECTED, reason)
    if code == code_pb2.INTERNAL:
        return _status(code, f"internal error, request {request_id}", reason)
    if isinstance(error, HsmError | StoreError | KeystoreError):
        return _status(code, "A part of this server does not answer.", reason)
    return _status(code, str(error), reason)


def told_reason(error: BaseException) -> str:
    """Give the reason that a caller is told."""
    if isinstance(error, errors.Rejected):
        return errors.Rejected.reason
    if code_of(error) == code_pb2.INTERNAL:
        return FederationError.reason
    return str(getattr(error, "reason", FederationError.reason))


def _status(code: int, message: str, reason: str) -> status_pb2.Status:
    details = [_packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))]
    if code in _RETRYABLE:
        delay = duration_pb2.Duration(seconds=1)
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


_BY_REASON = _all_errors(FederationError)
_BY_CODE: dict[grpc.StatusCode, type[FederationError]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Limit,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Unavailable,
    grpc.StatusCode.PERMISSION_DENIED: errors.Authorization,
    grpc.StatusCode.UNAUTHENTICATED: errors.Authentication,
    grpc.StatusCode.INVALID_ARGUMENT: errors.MalformedMessage,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.UNIMPLEMENTED: errors.MethodNotServed,
}


def from_rpc_error(error: grpc.RpcError) -> FederationError:
    """Give the refusal that a peer sent, as the same class on this side; `Unavailable` and the like without ErrorInfo."""
    if not isinstance(error, grpc.Call):
        return errors.Unavailable("the call did not go through")
    for info in _error_infos(error):
        if info.domain == DOMAIN and info.reason in _BY_REASON:
            return _BY_REASON[info.reason](error.details() or info.reason)
    family = _BY_CODE.get(error.code(), FederationError)
    return family(error.details() or str(error.code()))


def _error_infos(error: grpc.Call) -> list[error_details_pb2.ErrorInfo]:
    """Give what the peer says beside the code. Where that can't be read, or says another code, the code alone counts."""
    try:
        status = rpc_status.from_call(error)
        return list(_unpacked(status.details)) if status is not None else []
    except (DecodeError, ValueError):
        return []


def _unpacked(details: Iterable[any_pb2.Any]) -> Iterator[error_details_pb2.ErrorInfo]:
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            yield info
