"""A patient's own documents: OWN becomes a record (docs/protocol.md, 6), marked as the patient's, or nothing is kept.

The record holds a FHIR bundle that says who wrote what, the document byte for byte as its author signed it, and what proves that.
It is published as an imported record is: no doctor's consent stands behind it.
"""

import json
from datetime import UTC, datetime
from mimetypes import guess_extension

from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import CheckedBundle
from federation.clinical.own_document import OwnWriting, document_bundle
from federation.errors import Limit, Rejected
from federation.hospital.deposits import (
    FHIR_JSON,
    FIRST_VERSION,
    base64_text,
    deputyship_evidence,
    kept_receipt,
    signed_evidence,
    store,
)
from federation.hospital.own_statements import verifier_for
from federation.hospital.receiver import receiver_for
from federation.hospital.services import Hospital
from federation.hospital.vault import PartLabel, RecordMetadata
from federation.protocol.record_hospital import AcceptedDocument, ReceivedDocument
from federation.protocol.shown import Shown
from federation.protocol.statements import SENSITIVITY_NAMES
from federation.protocol.time import Instant
from federation.store.rows import Act
from federation.v1.record_pb2 import OwnDocument
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import HospitalId, PatientId
from keystore.transcript import digest, text, transcript

MOST_RECORDS = 384
"""Of one patient here, until it adds no more: of the 512 rows that the index has for them, some stay for what doctors write."""

_REFERENCE = PartLabel("fhir-bundle", "document.json", FHIR_JSON)
_EVIDENCE = PartLabel("attachment", "evidence.json", "application/json")


def keep_document(hospital: Hospital, received: ReceivedDocument) -> SignedStatement:
    """Decide, log, and keep the document; return its receipt. The same own again gets the same receipt.

    Raises Authorization for what is wrong with the access, Limit for too many, Rejected for anything else, StoreError,
    HsmError; then nothing is kept.
    """
    kept = kept_receipt(hospital, received)
    if kept is not None:
        return kept
    now = hospital.clock()
    receiver = receiver_for(hospital, received.request.asker, Shown.of(received.own), now=now, is_budgeted=False)
    logged = received.decide(verifier_for(hospital, received.own), receiver, now=now)
    asker = received.request.asker.identity
    _require_room(hospital, PatientId(received.own.patient_id), asker)
    # Logged with the record, in one transaction, as a deposit is.
    act = Act(hospital.audit.entry(logged.event, now=now))
    return _kept(hospital, logged.recorded(), act, now)


def _require_room(hospital: Hospital, patient_id: PatientId, asker: str) -> None:
    keys = hospital.vault.asked_by(asker).patient_keys(patient_id)
    if hospital.stores.records.count_of(keys, most=MOST_RECORDS) >= MOST_RECORDS:
        raise Limit(f"of a patient with {MOST_RECORDS} records here no document of its own is taken")  # OWN.17


def _kept(hospital: Hospital, document: AcceptedDocument, act: Act, now: Instant) -> SignedStatement:
    own, department_class = document.own, document.own.scope.department_class
    department_id = hospital.department_of(department_class)  # OWN.18
    label = PartLabel("attachment", f"content{guess_extension(own.media_type) or '.bin'}", own.media_type)
    reference = _reference(own, label.name, now)
    metadata = RecordMetadata(
        PatientId(own.patient_id),
        department_id,
        _handle(hospital.identity, own),
        FIRST_VERSION,
        now,
        keep_until=hospital.retention.keep_until(department_class, now),
        sensitivity=SENSITIVITY_NAMES[own.sensitivity],
    )
    receipt = document.received.receipt(metadata.handle, metadata.version, now=now)
    with hospital.vault.asked_by(document.received.request.asker.identity).draft() as draft:
        draft.add(_REFERENCE, [reference.content])
        draft.add(label, [document.content])
        draft.add(_EVIDENCE, [_evidence(document, now)])
        return store(hospital, draft, metadata, received=document.received, receipt=receipt, act=act)


def _reference(own: OwnDocument, name: str, now: Instant) -> CheckedBundle:
    try:
        writing = OwnWriting(
            patient_id=own.patient_id,
            author_id=own.author_id,
            title=own.title.decode(),
            media_type=own.media_type,
            size_bytes=own.size_bytes,
            digest=own.content_digest,
            name=name,
            sensitivity=SENSITIVITY_NAMES[own.sensitivity],
            written=datetime.fromtimestamp(own.written_at / 1000, UTC),
        )
        return document_bundle(writing, recorded=datetime.fromtimestamp(now / 1000, UTC))
    except (ClinicalError, UnicodeDecodeError) as error:
        raise Rejected("the message was not accepted") from error  # OWN.19


def _handle(hospital_id: HospitalId, own: OwnDocument) -> bytes:
    """Name a record for what was signed: one document is one record, whatever T its own has.

    By the signature, not by what it covers: nobody who sees a handle can try which document it is of.
    """
    return digest(transcript("document", text(hospital_id), own.signature))[:16]


def _evidence(document: AcceptedDocument, now: Instant) -> bytes:
    """Return what a judge needs beside the document to check its author's signature (docs/protocol.md, 7), as JSON."""
    own, author, shown = document.own, document.author, document.own.access.own
    fields = {
        "received_at": now,
        "patient_id": own.patient_id,
        "author_id": own.author_id,
        "author_key_statement": signed_evidence(author.party.key_statement),
        "deputyship": deputyship_evidence(shown.deputyship) if shown.HasField("deputyship") else None,
        "signed": base64_text(document.covered),
        "signature": base64_text(own.signature),
    }
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
