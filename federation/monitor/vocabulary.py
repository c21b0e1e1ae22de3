"""The words that labels may hold. A label of anything else, and a caller could make series without end."""

from collections.abc import Iterator

from google.rpc import code_pb2

from federation.clinical.errors import ClinicalError
from federation.errors import FederationError
from federation.protocol.parties import reason_of
from federation.store.errors import StoreError
from federation.wire import status
from federation.wire.roles import METHODS
from hsm.errors import HsmError
from keystore.errors import KeystoreError

OTHER = "OTHER"


_ROOTS = (FederationError, StoreError, HsmError, KeystoreError, ClinicalError)
CODES = frozenset(code_pb2.Code.keys())


def service_and_method(path: str) -> tuple[str, str]:
    """Give the labels of `/package.Service/Method`; a method that is not in the table of methods is OTHER."""
    if path not in METHODS:
        return OTHER, OTHER
    _, service, method = path.split("/")
    return service, method


def told_reason(error: BaseException) -> str:
    """Give the reason that the caller was told."""
    return _known(status.told_reason(error))


def cause(error: BaseException) -> str:
    """Give the precise reason, which the wire may not have said."""
    return _known(reason_of(error))


def reasons() -> frozenset[str]:
    """Give the reasons of every error that is defined by now."""
    return frozenset(reason for root in _ROOTS for reason in _reasons(root))


def _reasons(root: type[Exception]) -> Iterator[str]:
    yield str(getattr(root, "reason", OTHER))
    for child in root.__subclasses__():
        yield from _reasons(child)


_seen: set[str] = set()


def _known(reason: str) -> str:
    """What is an attribute of no class of ours may be anything: other exceptions have a `reason` too, in free text."""
    if reason not in _seen:
        _seen.update(reasons())
    return reason if reason in _seen else OTHER
