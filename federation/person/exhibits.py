"""What each message leaves as evidence: the signature that a step made or verified, and whose key made it."""

from federation.person.evidence import Exhibit
from federation.protocol import record, search
from federation.protocol.consultation import AwaitingReceipt, Diagnosed, InConsultation
from federation.protocol.handshake import Session
from federation.protocol.statements import Signed
from federation.protocol.verifier import Peer, VerifiedParty
from federation.v1.record_pb2 import Deposit
from federation.v1.statement_pb2 import SignedStatement


def of_opening(session: Session) -> Exhibit:
    """Name P1, at the doctor: the patient addressed this doctor."""
    return _of_peer(session.opening, session.peer)


def of_reply(session: Session) -> Exhibit:
    """Name D1, at the patient, or H1, at the doctor: whoever was addressed answered this session."""
    return _of_peer(session.reply, session.peer, openings={"opening": session.opening.message})


def of_biosignal(state: InConsultation) -> Exhibit:
    """Name P2, at the doctor: the patient's data and consent, for this doctor."""
    openings = {"doctor_certificate": state.session.own.certificate}
    return _of_party(state.signed, state.patient, openings=openings)


def of_grant(grant: SignedStatement, patient: VerifiedParty) -> Exhibit:
    """Name a grant, at the patient who gave it."""
    return _of_party(Signed.of_statement("grant", grant), patient)


def of_answer(answer: search.Answer, cloud_id: str) -> tuple[Exhibit, Exhibit]:
    """Name D2 and C, at the doctor: what was asked of the public cloud, and what it answered."""
    query = answer.query
    asked = Exhibit.of(
        answer.asked, query.doctor_id, key_statement=query.key_statement, certificate=query.doctor_certificate
    )
    return asked, Exhibit.of(answer.answered, cloud_id)


def of_record(session: Session, intent: record.Intent, received: record.Received) -> Exhibit:
    """Name H2, at the doctor: the hospital gave this content, and what opens c_P."""
    openings = _commitment_openings(intent) | {"record_digest": received.record_digest}
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


def of_deposit(signed: Signed, hospital: VerifiedParty, deposit: Deposit) -> Exhibit:
    """Name STOACK, at the doctor: the hospital keeps the encounter."""
    return _of_party(signed, hospital, openings={"deposit": deposit.SerializeToString(deterministic=True)})


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


def _commitment_openings(intent: record.Intent) -> dict[str, bytes]:
    grant = intent.claim.grant
    return {
        "patient_id": intent.claim.patient_id.encode(),
        "grant": b"" if grant is None else grant.statement,
        "grant_signature": b"" if grant is None else grant.signature,
        "scope": intent.scope.SerializeToString(deterministic=True),
        "blind": intent.blind,
    }
