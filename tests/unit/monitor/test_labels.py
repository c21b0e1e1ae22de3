"""The words of labels: closed, and what the caller was told."""

import ssl

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo

from federation.clinical.errors import WrongSubject
from federation.errors import FederationError, GrantExpired, Limit, NotFound, Rejected, Unavailable
from federation.monitor.calls import OTHER, cause, reasons, service_and_method, told_reason
from federation.settings import ConfigError
from federation.store.errors import StoreUnavailable
from federation.wire.status import to_status
from hsm.errors import HsmError
from keystore.errors import KeystoreError

REFUSALS = [
    Rejected("no"),
    NotFound("nothing"),
    Limit("too many"),
    StoreUnavailable("locked"),
    HsmError("gone"),
    KeystoreError("a fault of ours"),
    ConfigError("a fault of ours"),
    ssl.SSLError(1, "[SSL: A_WORD] free text"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "free text"),
    ValueError("x"),
]


def told(error: Exception) -> str:
    info, packed = ErrorInfo(), Any()
    packed.CopyFrom(to_status(error, "request").details[0])
    assert packed.Unpack(info)
    return info.reason


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_reason_that_is_counted_is_the_one_that_is_told(error: Exception) -> None:
    assert told_reason(error) == told(error)


def test_error_that_is_defined_later_is_known() -> None:
    assert "DEFINED_LATER" not in reasons()
    later = type("Later", (Unavailable,), {"reason": "DEFINED_LATER"})
    assert cause(later("x")) == "DEFINED_LATER"
    assert told_reason(later("x")) == "UNAVAILABLE", "a caller is told what it knows"


@pytest.mark.parametrize(("behind", "label"), [(GrantExpired("x"), "GRANT_EXPIRED"), (WrongSubject("x"), None)])
def test_cause_behind_a_rejection_is_known(behind: Exception, label: str | None) -> None:
    rejected = Rejected("no")
    rejected.__cause__ = behind
    assert cause(rejected) == (label or type(behind).reason)


def test_free_text_comes_into_no_label() -> None:
    error = FederationError("x")
    error.__cause__ = UnicodeDecodeError("utf-8", b"x", 0, 1, "P:wang's record")
    assert cause(error) == OTHER


def test_method_that_is_not_in_the_table_is_other() -> None:
    assert service_and_method("/any.Service/P:wang") == (OTHER, OTHER)
    assert service_and_method("/federation.v1.SearchService/Search") == ("federation.v1.SearchService", "Search")
