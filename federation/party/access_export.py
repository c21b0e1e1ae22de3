"""The accesses to one patient's records, out of the audit log, as a file of FHIR AuditEvents."""

from collections.abc import Iterable, Iterator

from federation.clinical.audit_events import RecordedAccess, access_bundle
from federation.clinical.identity import moment_of
from federation.party.audit import Audit, AuditEntry
from federation.protocol.access import AccessEvent
from federation.protocol.time import Instant
from keystore.identities import PatientId


def accesses_as_fhir(audit: Audit, recorded_by: str, patient_id: PatientId, *, now: Instant) -> tuple[bytes, int]:
    """Return a Bundle of every access to this patient's records that the log tells of, and how many. Raises Corrupt."""
    found = list(_accesses(audit.entries(), recorded_by, patient_id))
    return access_bundle(found, moment_of(now)), len(found)


def _accesses(entries: Iterable[AuditEntry], recorded_by: str, patient_id: PatientId) -> Iterator[RecordedAccess]:
    for entry in entries:
        event = entry.event
        if isinstance(event, AccessEvent) and event.patient_id == patient_id:
            yield RecordedAccess(
                sequence=entry.sequence,
                at=moment_of(entry.at),
                kind=event.kind,
                asker_id=event.asker_id,
                patient_id=event.patient_id,
                scope=event.scope,
                ground=event.ground,
                authorization=event.authorization,
                reason=event.reason,
                detail=event.detail,
                recorded_by=recorded_by,
                list_age_seconds=event.list_age_seconds,
            )
