"""Identities and departments, as text with a form (docs/protocol.md, 1)."""

from federation.errors import FieldInvalid
from federation.protocol.parsing import is_identity
from federation.v1 import rules_pb2 as rules

ANY = "*"
_KINDS = {
    "patient": rules.KIND_PATIENT_ID,
    "doctor": rules.KIND_DOCTOR_ID,
    "hospital": rules.KIND_HOSPITAL_ID,
    "cloud": rules.KIND_CLOUD_ID,
    "authority": rules.KIND_AUTHORITY_ID,
    "department": rules.KIND_DEPARTMENT_ID,
    "department class": rules.KIND_DEPARTMENT_CLASS,
    "address": rules.KIND_ADDRESS,
}


def require_identity(kind: str, value: str) -> str:
    """Return the text if it has the form of that kind ("patient", "doctor", ...). Raises FieldInvalid."""
    if not is_identity(_KINDS[kind], value):
        what = "an address, host:port" if kind == "address" else f"the id of a {kind}"
        raise FieldInvalid(f"{value!r} is not {what}")
    return value


def hospital_of(department_id: str) -> str:
    """Give the hospital of `ID_HPC/class[.local]`."""
    return department_id.partition("/")[0]


def class_of(department_id: str) -> str:
    """Give the class of `ID_HPC/class[.local]`."""
    return department_id.partition("/")[2].partition(".")[0]
