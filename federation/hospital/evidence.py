"""What a hospital could show a judge: its receipts of the public cloud, and who asked it for records of whom, by what."""

from collections.abc import Iterator

from federation.hospital.outbox import PUBACK, evidence_context
from federation.hospital.services import Hospital
from federation.party.log_upkeep import REQUEST
from federation.protocol import exhibits
from federation.protocol.exhibit import Exhibit, KeptExhibit
from federation.protocol.judging import fields_of
from federation.protocol.record_hospital import ReceivedQuery
from federation.protocol.statements import Signed
from federation.store.rows import Piece
from federation.v1.record_pb2 import RecordOpening, RecordQuery
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import PatientId
from keystore.transcript import transcript, u64

_KEPT = "kept-request"


def receipts(hospital: Hospital) -> Iterator[KeptExhibit]:
    """Yield every PUBACK, the oldest first. Raises SealBroken for one that was altered."""
    cloud_id = hospital.member.anchors.cloud_id
    for reference, at, opened in _opened(hospital, PUBACK):
        signed = Signed.of_statement(PUBACK, SignedStatement.FromString(opened))
        yield KeptExhibit(Exhibit.of(signed, cloud_id), reference, at, 0)


def request(hospital: Hospital, query: ReceivedQuery) -> Piece:
    """Seal D3, and D4, which opens what D3 commits to: to be kept with the log's entry of the access that is given.

    Raises HsmError.
    """
    session = query.request.session
    opening, asked = session.opening, query.query.SerializeToString(deterministic=True)
    sequence = u64(hospital.member.verifier().lists.sequence)
    kept = transcript(_KEPT, opening.transcript, opening.message, asked, sequence)
    context = evidence_context(REQUEST, session.session_id)
    return Piece(REQUEST, session.session_id, hospital.sealing.seal(kept, context))


def requests(hospital: Hospital, patient_id: PatientId) -> Iterator[KeptExhibit]:
    """Yield every D3 for content about a patient, the oldest first. Raises SealBroken for one that was altered."""
    for reference, at, opened in _opened(hospital, REQUEST):
        covered, message, asked, sequence = fields_of(_KEPT, 4, opened)
        query = RecordQuery.FromString(asked)
        if query.patient_id == patient_id:
            signed = Signed(REQUEST, covered, RecordOpening.FromString(message).signature, message)
            exhibit = exhibits.of_request(signed, query)
            yield KeptExhibit(exhibit, reference, at, int.from_bytes(sequence, "big"))


def _opened(hospital: Hospital, kind: str) -> Iterator[tuple[bytes, int, bytes]]:
    for _, reference, sealed, at in hospital.stores.evidence.all(kind):
        yield reference, at, hospital.sealing.open(sealed, evidence_context(kind, reference))
