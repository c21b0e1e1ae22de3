"""How the parties of the federation, and moments, are named inside FHIR resources."""

from datetime import UTC, datetime, timedelta
from typing import Any

from federation.clinical.errors import WrongSubject
from keystore.identities import is_identity

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def patient_reference(patient_id: str) -> dict[str, Any]:
    """Return a logical reference (R4, references.html#logical) to a patient: the identity that the protocol authenticates."""
    return _reference("Patient", patient_id)


def doctor_reference(doctor_id: str) -> dict[str, Any]:
    """Return a logical reference to a doctor."""
    return _reference("Practitioner", doctor_id)


def certified_reference(doctor_id: str, authority_id: str) -> dict[str, Any]:
    """Return a logical reference to a doctor under whichever certificate of a medical authority."""
    named = {"value": doctor_id, "assigner": organization_reference(authority_id)}
    return {"type": "Practitioner", "identifier": named}


def organization_reference(organization_id: str) -> dict[str, Any]:
    """Return a logical reference to a hospital, a department of one (`H:name/class`), a public cloud or an authority."""
    return _reference("Organization", organization_id)


def deputy_reference(deputy_id: str) -> dict[str, Any]:
    """Return a logical reference to who stands for a patient."""
    return _reference("RelatedPerson", deputy_id)


def is_named(kind: str, text: object) -> bool:
    """Return whether something is an identity of that kind ("patient", "department class or any", ...)."""
    return isinstance(text, str) and is_identity(kind, text)


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


def moment_of(milliseconds: int) -> datetime:
    """Return the moment that is so many milliseconds after the Unix epoch."""
    return EPOCH + milliseconds * MILLISECOND


def milliseconds_of(moment: datetime) -> int:
    """Return how many whole milliseconds after the Unix epoch a moment is."""
    return (moment - EPOCH) // MILLISECOND


def instant(moment: datetime) -> str:
    """Return a moment as FHIR writes it, in UTC to the millisecond. Raises ValueError if `moment` has no zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone is ambiguous")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reference(kind: str, party_id: str) -> dict[str, Any]:
    return {"type": kind, "identifier": {"value": party_id}}
