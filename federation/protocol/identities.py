"""Identities, departments and addresses that are given from outside the protocol: refused in its words."""

from federation.errors import FieldInvalid
from federation.protocol.parsing import is_address
from keystore.identities import is_identity


def require_identity(kind: str, value: str) -> str:
    """Return the text if it has the form of that kind ("patient", "address", ...). Raises FieldInvalid."""
    if not (is_address(value) if kind == "address" else is_identity(kind, value)):
        what = "an address, host:port" if kind == "address" else f"the id of a {kind}"
        raise FieldInvalid(f"{value!r} is not {what}")
    return value
