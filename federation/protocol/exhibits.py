"""What each message leaves as evidence: the signature that a step made or verified, and whose key made it."""

from collections.abc import Iterable, Mapping

from federation.protocol import record, search
from federation.protocol.consent import deputyship_statement
from federation.protocol.consultation import (
    AwaitingDiagnosis,
    AwaitingReceipt,
    Diagnosed,
    InConsultation,
    biosignal_transcript,
)
from federation.protocol.exhibit import Exhibit
from federation.protocol.handshake import Session
from federation.protocol.judged_logs import ACCESS, access_openings, fork_exhibit
from federation.protocol.judged_shown import DEPUTYSHIPS, deputyship_of, deputyship_openings, openings_of
from federation.protocol.notes import read_note
from federation.protocol.shown import Shown
from federation.protocol.statements import Signed
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer, VerifiedParty
from federation.v1.access_pb2 import AccessEntry, Deputyship, ProvedHead
from federation.v1.consultation_pb2 import BiosignalDelivery
from federation.v1.record_pb2 import Deposit, OwnDocument, RecordOpening, RecordQuery, Scope
from federation.v1.search_pb2 import SearchQuery
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import PatientId
from keystore.transcript import digest


def of_opening(session: Session) -> Exhibit:
    """Name P1, at the doctor: the patient addressed this doctor."""
    return _of_peer(session.opening, session.peer)


def of_request(opening: Signed, query: RecordQuery) -> Exhibit:
    """Name D3, at the hospital: who asked it for content about whom, and by what, as D4 opened c_P."""
    d3 = RecordOpening.FromString(opening.message)
    return Exhibit.of(
        opening,
        d3.asker_id,
        key_statement=d3.key_statement,
        encryption_key_statement=d3.encryption_key_statement,
        certificate=d3.doctor_certificate,
        openings=commitment_openings(Shown.of(query), query.scope, query.blind, d3.key_statement),
    )


def of_reply(session: Session) -> Exhibit:
    """Name D1, at the patient, or H1, at whoever asked: whoever was addressed answered this session."""
    return _of_peer(session.reply, session.peer, openings={"opening": session.opening.message})


def of_biosignal(state: InConsultation) -> Exhibit:
    """Name P2, at the doctor: the patient's data and consent, for this doctor."""
    openings = {"doctor_certificate": state.session.own.certificate}
    return _of_party(state.signed, state.patient, openings=openings)


def of_own_biosignal(state: AwaitingDiagnosis, biosignal: bytes, shown: Shown, sent_at: Instant) -> Exhibit:
    """Name P2, at the patient: D5 covers H of its signature, so by it a diagnosis says whose it is."""
    doctor, biosignal_digest = state.doctor, digest(biosignal)
    covered = biosignal_transcript(
        state.transcript_hash,
        doctor.doctor_id,
        doctor.certificate,
        shown.patient_id,
        biosignal_digest,
        shown.grant_digest,
        sent_at,
    )
    message = BiosignalDelivery(
        biosignal_size_bytes=len(biosignal),
        biosignal_digest=biosignal_digest,
        patient_id=shown.patient_id,
        sent_at=sent_at,
        signature=state.biosignal_signature,
        consent=shown.consent,
    )
    signed = Signed("P2", covered, state.biosignal_signature, message.SerializeToString(deterministic=True))
    return _of_party(signed, state.patient.self_, openings={"doctor_certificate": doctor.certificate})


def of_grant(grant: SignedStatement, signer: VerifiedParty, deputyship: Deputyship | None = None) -> Exhibit:
    """Name a grant, at whoever gave it: the patient, or its deputy and by what."""
    openings = {} if deputyship is None else deputyship_openings(deputyship)
    return _of_party(Signed.of_statement("grant", grant), signer, openings=openings)


def of_mandate(mandate: SignedStatement, patient: VerifiedParty) -> Exhibit:
    """Name a mandate, at the patient who gave it."""
    return _of_party(Signed.of_statement("mandate", mandate), patient)


def of_deputyship(held: Deputyship, stated_by: VerifiedParty) -> Exhibit:
    """Name a mandate or guardianship, at the deputy who was given it."""
    return _of_party(Signed.of_statement(*deputyship_statement(held)), stated_by)


def of_question(asked: Signed, query: SearchQuery) -> Exhibit:
    """Name D2, at whoever asked: what was asked of the public cloud, and why it might be."""
    return Exhibit.of(
        asked,
        query.asker_id,
        key_statement=query.key_statement,
        encryption_key_statement=query.encryption_key_statement,
        certificate=query.doctor_certificate,
    )


def of_answer(answer: search.Answer, cloud_id: str) -> tuple[Exhibit, Exhibit]:
    """Name D2 and C, at whoever asked: what was asked of the public cloud, and what it answered."""
    return of_question(answer.asked, answer.query), Exhibit.of(answer.answered, cloud_id)


def of_record(session: Session, intent: record.Intent, received: record.Received) -> Exhibit:
    """Name H2, at whoever asked: the hospital gave this content, and what opens c_P."""
    openings = commitment_openings(intent.shown, intent.scope, intent.blind, session.own.self_.key_statement)
    openings["record_digest"] = received.record_digest
    return _of_party(received.signed, session.peer.party, openings=openings)


def of_own_diagnosis(state: AwaitingReceipt) -> Exhibit:
    """Name D5, at the doctor who made it."""
    doctor = state.consultation.session.own
    return _of_party(state.signed, doctor.self_, certificate=doctor.certificate)


def of_diagnosis(state: Diagnosed) -> Exhibit:
    """Name D5, at the patient: the doctor's diagnosis."""
    return _of_peer(state.signed, state.consultation.doctor)


def of_receipt(signed: Signed, patient: VerifiedParty) -> Exhibit:
    """Name P6, at the doctor: the patient has the diagnosis."""
    return _of_party(signed, patient)


def of_deposit(signed: Signed, hospital: VerifiedParty, deposit: Deposit | OwnDocument) -> Exhibit:
    """Name STOACK, at the doctor, or the author of a document: the hospital keeps it."""
    return _of_party(signed, hospital, openings={"deposit": deposit.SerializeToString(deterministic=True)})


def of_accesses(
    head: ProvedHead,
    entries: Iterable[AccessEntry],
    patient_id: PatientId,
    party_id: str,
    key_statement: SignedStatement | None,
) -> Exhibit:
    """Name what a log told its patient, at that patient: entries, each with its proof, the head, and who cosigned it."""
    note = read_note(head.note)
    told = {entry.leaf_index: entry.SerializeToString(deterministic=True) for entry in entries}
    openings = access_openings(patient_id, head.note, told, list(head.witness_key_statements))
    return Exhibit(
        ACCESS, party_id, note.text, note.signatures[0].signature, key_statement=key_statement, openings=openings
    )


def of_heads(known: bytes, shown: ProvedHead, party_id: str, key_statement: SignedStatement | None) -> Exhibit:
    """Name two heads of one log that do not follow each other, at who was shown both."""
    return fork_exhibit(party_id, known, shown.note, key_statement)


def deputyship_in(openings: Mapping[str, bytes]) -> Deputyship | None:
    """Return the deputyship that a kept exhibit names among its openings, if there is one."""
    for label in DEPUTYSHIPS:
        if label in openings:
            signed, key_statement = (
                SignedStatement(statement=openings[name], signature=openings[f"{name}_signature"])
                for name in (label, f"{label}_key_statement")
            )
            return deputyship_of(label, (signed, key_statement))
    return None


def _of_party(
    signed: Signed, party: VerifiedParty, *, certificate: bytes = b"", openings: dict[str, bytes] | None = None
) -> Exhibit:
    return Exhibit.of(
        signed, party.identity, key_statement=party.key_statement, certificate=certificate, openings=openings
    )


def _of_peer(signed: Signed, peer: Peer, *, openings: dict[str, bytes] | None = None) -> Exhibit:
    return Exhibit.of(
        signed,
        peer.identity,
        key_statement=peer.party.key_statement,
        encryption_key_statement=peer.encryption_key.statement,
        certificate=peer.certificate,
        openings=openings,
    )


def commitment_openings(
    shown: Shown, scope: Scope, blind: bytes, asker_key_statement: SignedStatement
) -> dict[str, bytes]:
    """Return what opens c_P: the patient, the scope, rho, and each statement that was shown, of this asker."""
    return {
        "patient_id": shown.patient_id.encode(),
        "scope": scope.SerializeToString(deterministic=True),
        "blind": blind,
        "ground": shown.ground.encode(),
        **({} if shown.access is None else openings_of(shown.access, asker_key_statement)),
    }
