"""Deposits: STO becomes a record, or a record's next version (docs/protocol.md, 6). Valid FHIR about this patient, or nothing.

The record holds the encounter as a FHIR bundle, M_SD and M_DINF byte for byte as they were signed, and the statements and
signatures that prove them. Record, outbox entry and answer are one transaction: a crash leaves all of them or none.
"""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from federation.clinical.encounter import encounter_bundle
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import CheckedBundle
from federation.errors import AmendmentMismatch, Rejected
from federation.hospital.outbox import new_entry
from federation.hospital.own_statements import verifier_for
from federation.hospital.receiver import receiver_for
from federation.hospital.services import Hospital
from federation.hospital.vault import Draft, PartLabel, RecordMetadata
from federation.protocol.consent import deputyship_statement
from federation.protocol.record_hospital import AcceptedDeposit, ReceivedDeposit, ReceivedDocument, sender_of
from federation.protocol.sealing import after_opening
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.store.errors import AlreadyStored
from federation.store.rows import Act, StoredRecord
from federation.v1.access_pb2 import Deputyship
from federation.v1.record_pb2 import Deposit
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import HospitalId, PatientId
from keystore.transcript import digest, text, transcript

FHIR_JSON = "application/fhir+json"
FIRST_VERSION = 1
_ENCOUNTER = PartLabel("fhir-bundle", "encounter.json", FHIR_JSON)
_BIOSIGNAL = PartLabel("attachment", "biosignal.json", FHIR_JSON)
_DIAGNOSIS = PartLabel("attachment", "diagnosis.json", FHIR_JSON)
_EVIDENCE = PartLabel("attachment", "evidence.json", "application/json")


Received = ReceivedDeposit | ReceivedDocument


def kept_receipt(hospital: Hospital, received: Received) -> SignedStatement | None:
    """Return the receipt of the same message, if its sender had it kept before."""
    is_same = sender_of(received.opened.payload) == received.request.asker.identity
    answer = hospital.stores.records.answer_to(received.digest) if is_same else None
    return None if answer is None else SignedStatement.FromString(answer)


def keep_deposit(hospital: Hospital, received: ReceivedDeposit) -> SignedStatement:
    """Decide, log, and keep the deposit; return its receipt. The same sto again gets the same receipt.

    Raises Authorization for what is wrong with the access, Rejected for anything else, StoreError, HsmError; then nothing
    is kept.
    """
    kept = kept_receipt(hospital, received)
    if kept is not None:
        return kept
    now = hospital.clock()
    receiver = receiver_for(hospital, received.request.asker, Shown.of(received.sto), now=now, is_budgeted=False)
    logged = received.decide(verifier_for(hospital, received.sto), receiver, now=now)
    # Logged with the record, in one transaction: a deposit releases nothing, and the log tells of none that is not kept.
    act = Act(hospital.audit.entry(logged.event, now=now))
    return _kept(hospital, logged.recorded(), act, now)


def _kept(hospital: Hospital, deposit: AcceptedDeposit, act: Act, now: Instant) -> SignedStatement:
    sto, handle = deposit.sto, _handle(hospital.identity, deposit.sto)
    department_id = hospital.department_of(sto.scope.department_class)
    encounter = _encounter(deposit, now)
    versions = hospital.stores.administration.versions(handle)
    version = _version_of(hospital, versions, sto)
    if version is not None:  # the same diagnosis is kept under another T, whose receipt was lost
        return deposit.receipt(handle, version, now=now)
    before = _amended(hospital, versions, sto)
    metadata = RecordMetadata(
        PatientId(sto.patient_id),
        department_id,
        handle,
        FIRST_VERSION if before is None else before.version + 1,
        now,
        doctor_id=deposit.doctor.doctor_id,
        consent_digest=Shown.of(sto).grant_digest,
        diagnosis_digest=digest(sto.diagnosis_signature),
        keep_until=hospital.retention.keep_until(sto.scope.department_class, now),
        sensitivity=encounter.summary.sensitivity,
    )
    receipt = deposit.receipt(handle, metadata.version, now=now)
    with hospital.vault.asked_by(deposit.received.request.asker.identity).draft() as draft:
        draft.add(_ENCOUNTER, [encounter.content])
        if deposit.biosignal:
            draft.add(_BIOSIGNAL, [deposit.biosignal])
        draft.add(_DIAGNOSIS, [deposit.diagnosis])
        draft.add(_EVIDENCE, [_evidence(deposit, now)])
        return store(hospital, draft, metadata, received=deposit.received, receipt=receipt, act=act, before=before)


def _version_of(hospital: Hospital, versions: Sequence[StoredRecord], sto: Deposit) -> int | None:
    own = digest(sto.diagnosis_signature)
    return next((one.version for one in versions if hospital.vault.metadata_of(one).diagnosis_digest == own), None)


def _amended(hospital: Hospital, versions: Sequence[StoredRecord], sto: Deposit) -> StoredRecord | None:
    """Return the version on file that this deposit's diagnosis takes the place of; None where the consultation is not on file.

    Raises Rejected unless it is the newest, in the same class.
    """
    if not versions:
        return None
    newest = versions[-1]
    is_next = hospital.vault.metadata_of(newest).diagnosis_digest == sto.amends
    with after_opening():
        if not is_next or newest.department_class != sto.scope.department_class:
            raise AmendmentMismatch("the diagnosis does not amend the newest on file, or under another class")  # STO.21
    return newest


def _encounter(deposit: AcceptedDeposit, now: Instant) -> CheckedBundle:
    try:
        return encounter_bundle(
            patient_id=deposit.sto.patient_id,
            observation=deposit.biosignal,
            report=deposit.diagnosis,
            recorded=datetime.fromtimestamp(now / 1000, UTC),
            is_amended=deposit.sto.HasField("amends"),
        )
    except ClinicalError as error:
        raise Rejected("the message was not accepted") from error  # STO.20


def store(
    hospital: Hospital,
    draft: Draft,
    metadata: RecordMetadata,
    *,
    received: Received,
    receipt: SignedStatement,
    act: Act,
    before: StoredRecord | None = None,
) -> SignedStatement:
    """Store a record, its outbox entry, its receipt and the act in one transaction; return the receipt that stands.

    `before` is the version that this one follows: the index has its handle already, and is told of another sensitivity alone.
    Raises Rejected if another amendment was stored in its place.
    """
    record = draft.sealed(metadata)
    answer = received.digest, receipt.SerializeToString(deterministic=True)
    # Kept from here on: a commit whose answer is lost may have happened. The sweep removes what is of no record.
    draft.keep()
    try:
        entry = None
        if before is None or before.sensitivity != metadata.sensitivity:
            entry = new_entry(
                hospital.identity, metadata, hospital.sealing, now=metadata.stored_at, entropy=hospital.entropy
            )
        hospital.stores.records.add(record, blobs=draft.blobs, outbox=entry, answer=answer, act=act)
    except AlreadyStored:
        # The same message in another session was faster; or the same encounter or document is kept under another T, whose
        # receipt was lost; or another amendment came first.
        draft.discard()
        kept = kept_receipt(hospital, received)
        if kept is None:
            _require_stands(hospital, metadata)
        return kept or receipt
    return receipt


def _require_stands(hospital: Hospital, metadata: RecordMetadata) -> None:
    """Require that the version on file has this diagnosis; a document, which has none, is named by its own signature."""
    versions = hospital.stores.administration.versions(metadata.handle)
    stored = next((one for one in versions if one.version == metadata.version), None)
    with after_opening():
        if stored is not None and hospital.vault.metadata_of(stored).diagnosis_digest != metadata.diagnosis_digest:
            raise AmendmentMismatch("another amendment came first")


def _handle(hospital_id: HospitalId, sto: Deposit) -> bytes:
    """Name a record for the consultation: one is one record, however often its diagnosis was amended, whatever T its sto has.

    A hospital that stalls may keep a sto after its doctor has given it up as stale, and has sent the next.
    """
    return digest(transcript("encounter", text(hospital_id), sto.biosignal_signature))[:16]


def _evidence(deposit: AcceptedDeposit, now: Instant) -> bytes:
    """Return what a judge needs beside M_SD and M_DINF to check Sig_P2 and Sig_D5 (docs/protocol.md, 7), as JSON."""
    sto, doctor, consent = deposit.sto, deposit.doctor, deposit.sto.access.consent
    fields = {
        "received_at": now,
        "patient_id": sto.patient_id,
        "doctor_id": sto.doctor_id,
        "doctor_certificate": base64_text(doctor.certificate),
        "doctor_key_statement": signed_evidence(doctor.party.key_statement),
        "grant": signed_evidence(consent.grant),
        "signer_key_statement": signed_evidence(consent.key_statement),
        "deputyship": deputyship_evidence(consent.deputyship) if consent.HasField("deputyship") else None,
        "duty": signed_evidence(consent.duty.duty),
        "duty_key_statement": signed_evidence(consent.duty.key_statement),
        "consultation_digest": sto.consultation_digest.hex(),
        "biosignal_digest": sto.biosignal_digest.hex(),
        "biosignal_sent_at": sto.biosignal_sent_at,
        "biosignal_signature": base64_text(sto.biosignal_signature),
        "diagnosis_digest": sto.diagnosis_digest.hex(),
        "based_on": [digest.hex() for digest in sto.based_on],
        "diagnosis_sent_at": sto.diagnosis_sent_at,
        "diagnosis_signature": base64_text(sto.diagnosis_signature),
        "amends": sto.amends.hex() if sto.HasField("amends") else None,
    }
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def deputyship_evidence(shown: Deputyship) -> dict[str, object]:
    """Return a deputyship and the key statement to check it by, as JSON."""
    label, statement = deputyship_statement(shown)
    return {label: signed_evidence(statement), "key_statement": signed_evidence(shown.key_statement)}


def signed_evidence(statement: SignedStatement) -> dict[str, str]:
    """Return a statement as it was signed, as JSON."""
    return {"statement": base64_text(statement.statement), "signature": base64_text(statement.signature)}


def base64_text(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode()
