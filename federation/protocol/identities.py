"""Identities, departments and addresses that are given from outside the protocol: refused in its words."""

from typing import Literal, Protocol, overload

from federation.errors import FieldInvalid
from federation.protocol.addresses import is_address
from keystore.identities import DepartmentId, DoctorId, HospitalId, PatientId, is_identity


class _WithIdentity(Protocol):
    @property
    def identity(self) -> str: ...


class Identified:
    """Somebody of any role: its identity by the type of its role, for whoever knows the role, as after CRED(X)."""

    @property
    def patient_id(self: _WithIdentity) -> PatientId:
        """Return ID_P, of a patient."""
        return PatientId(self.identity)

    @property
    def doctor_id(self: _WithIdentity) -> DoctorId:
        """Return ID_D, of a doctor."""
        return DoctorId(self.identity)

    @property
    def hospital_id(self: _WithIdentity) -> HospitalId:
        """Return ID_HPC, of a hospital."""
        return HospitalId(self.identity)


@overload
def require_identity(kind: Literal["patient"], value: str) -> PatientId: ...
@overload
def require_identity(kind: Literal["doctor"], value: str) -> DoctorId: ...
@overload
def require_identity(kind: Literal["hospital"], value: str) -> HospitalId: ...
@overload
def require_identity(kind: Literal["department"], value: str) -> DepartmentId: ...
@overload
def require_identity(kind: str, value: str) -> str: ...
def require_identity(kind: str, value: str) -> str:
    """Return the text if it has the form of that kind ("patient", "address", ...). Raises FieldInvalid."""
    if not (is_address(value) if kind == "address" else is_identity(kind, value)):
        what = "an address, host:port" if kind == "address" else f"the id of a {kind}"
        raise FieldInvalid(f"{value!r} is not {what}")
    return value
