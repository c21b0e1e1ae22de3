"""The one grammar of identities and departments: text with a form (docs/protocol.md, 1; protos/federation/v1/rules.proto).

An identity is a letter that says what somebody is, a colon, and a name; where the name stands in a TLS name too, it is a label
of DNS. Each kind is a type of its own, so that mypy refuses a doctor's where a patient's belongs; at run time it is its text.
"""

import re
from collections.abc import Mapping
from typing import Final, NewType

PatientId = NewType("PatientId", str)
DoctorId = NewType("DoctorId", str)
HospitalId = NewType("HospitalId", str)
DepartmentId = NewType("DepartmentId", str)

PATIENT: Final = "P:"
DOCTOR: Final = "D:"
HOSPITAL: Final = "H:"
CLOUD: Final = "C:"
AUTHORITY: Final = "M:"
ANY: Final = "*"

NO_DOCTOR: Final = DoctorId("")
"""Whose a record is that no doctor deposited."""

_NAME: Final = "[A-Za-z0-9._-]"
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_CLASS: Final = "[a-z][a-z0-9-]{0,31}"
_LOCAL: Final = "[a-z0-9-]{1,32}"

FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "patient": f"{PATIENT}{_NAME}{{1,64}}",
        "doctor": f"{DOCTOR}{_NAME}{{1,64}}",
        "hospital": f"{HOSPITAL}{_LABEL}",
        "cloud": f"{CLOUD}{_LABEL}",
        "authority": f"{AUTHORITY}{_NAME}{{1,64}}",
        "party": f"[PD]:{_NAME}{{1,64}}|[HC]:{_LABEL}",
        "department": rf"{HOSPITAL}{_LABEL}/{_CLASS}(\.{_LOCAL})?",
        "department class": _CLASS,
        "department class or any": rf"{_CLASS}|\*",
        "hospital or any": rf"{HOSPITAL}{_LABEL}|\*",
        "doctor scope": rf"{DOCTOR}{_NAME}{{1,64}}|{DOCTOR}{_NAME}{{0,63}}\*",
    }.items()
}
"""What is named -> its form. A doctor's scope is one doctor, or every doctor whose identity begins so."""


def is_identity(kind: str, text: str) -> bool:
    """Return whether the text has the form of that kind ("patient", "department", ...)."""
    return FORMS[kind].fullmatch(text) is not None


def hospital_of(department_id: DepartmentId) -> HospitalId:
    """Return the hospital of `ID_HPC/class[.local]`."""
    return HospitalId(department_id.partition("/")[0])


def class_of(department_id: DepartmentId) -> str:
    """Return the class of `ID_HPC/class[.local]`."""
    return department_id.partition("/")[2].partition(".")[0]
