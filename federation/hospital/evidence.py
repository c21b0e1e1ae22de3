"""A hospital's receipts of the public cloud, as exhibits for a judge."""

from collections.abc import Iterator

from federation.hospital.outbox import PUBACK, evidence_context
from federation.hospital.services import Hospital
from federation.protocol.exhibit import Exhibit, KeptExhibit
from federation.protocol.statements import Signed
from federation.v1.statement_pb2 import SignedStatement


def receipts(hospital: Hospital) -> Iterator[KeptExhibit]:
    """Yield every PUBACK, the oldest first. Raises SealBroken for one that was altered."""
    cloud_id = hospital.member.anchors.cloud_id
    for kind, reference, sealed, at in hospital.stores.evidence.all(PUBACK):
        opened = hospital.sealing.open(sealed, evidence_context(kind, reference))
        signed = Signed.of_statement(PUBACK, SignedStatement.FromString(opened))
        yield KeptExhibit(Exhibit.of(signed, cloud_id), reference, at, 0)
