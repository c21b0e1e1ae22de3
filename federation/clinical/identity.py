"""How the parties of the federation, and moments, are named inside FHIR resources."""

from datetime import UTC, datetime
from typing import Any

from federation.clinical.errors import WrongSubject
from keystore.identities import is_identity


def patient_reference(patient_id: str) -> dict[str, Any]:
    """Return a logical reference (R4, references.html#logical) to a patient: the identity that the protocol authenticates."""
    return _reference("Patient", patient_id)


def doctor_reference(doctor_id: str) -> dict[str, Any]:
    """Return a logical reference to a doctor."""
    return _reference("Practitioner", doctor_id)


def identity(reference: dict[str, Any]) -> str:
    """Return the identity in a logical reference, empty if there is none."""
    value: str = reference.get("identifier", {}).get("value", "")
    return value


def require_subject(resource: dict[str, Any], patient_id: str) -> None:
    """Raise WrongSubject unless the resource is about this patient."""
    subject = identity(resource.get("subject", {}))
    if subject != patient_id:
        # Any other text may be what somebody typed, and is not repeated.
        about = subject if is_identity("patient", subject) else "somebody else"
        raise WrongSubject(f"the {resource['resourceType']} is about {about}, not {patient_id}")


def instant(moment: datetime) -> str:
    """Return a moment as FHIR writes it, in UTC to the millisecond. Raises ValueError if `moment` has no zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone is ambiguous")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reference(kind: str, party_id: str) -> dict[str, Any]:
    return {"type": kind, "identifier": {"value": party_id}}
