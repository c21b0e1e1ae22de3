"""A patient's own note or document as the record that a hospital files: a DocumentReference that says who wrote it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from federation.clinical.bundles import collection
from federation.clinical.confidentiality import CODE_OF, CONFIDENTIALITY
from federation.clinical.fhir import CheckedBundle, validate_bundle
from federation.clinical.identity import deputy_reference, instant, patient_reference
from federation.clinical.report import DIGEST_SYSTEM, digest_uri
from federation.clinical.strictjson import dump
from federation.clinical.summary import PATIENT_NOTE


@dataclass(frozen=True, slots=True)
class OwnWriting:
    """A patient's own document: in whose record, by whom, what, and under which name its bytes lie beside it."""

    patient_id: str
    author_id: str
    title: str
    media_type: str
    size_bytes: int
    digest: bytes
    name: str
    sensitivity: str
    written: datetime


def document_bundle(writing: OwnWriting, *, recorded: datetime) -> CheckedBundle:
    """Return a collection of its DocumentReference, valid R4. The same arguments give the same bytes.

    Raises FhirInvalid for a title or media type that FHIR has no room for.
    """
    bundle = collection((dump(_reference(writing)),), instant(recorded))
    return CheckedBundle(bundle, validate_bundle(bundle))


def _reference(writing: OwnWriting) -> dict[str, Any]:
    is_own = writing.author_id == writing.patient_id
    reference: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "masterIdentifier": {"system": DIGEST_SYSTEM, "value": digest_uri(writing.digest)},
        "status": "current",
        "type": {"coding": [PATIENT_NOTE]},
        "subject": patient_reference(writing.patient_id),
        "date": instant(writing.written),
        "author": [patient_reference(writing.author_id) if is_own else deputy_reference(writing.author_id)],
        "content": [
            {"attachment": {"contentType": writing.media_type, "url": writing.name, "size": writing.size_bytes}}
        ],
    }
    if writing.title:
        reference["description"] = writing.title
    if writing.sensitivity != "normal":
        label = {"system": CONFIDENTIALITY, "code": CODE_OF[writing.sensitivity]}
        reference["meta"] = {"security": [label]}
    return reference
