"""M_SD || M_DINF || zeros, as a deposit's slices hold it: how much there may be, and whether it is what was signed."""

from federation.errors import Limit, RecordDigestMismatch
from federation.protocol.consultation import MOST_BIOSIGNAL_BYTES
from federation.protocol.padding import padded_size, unpad_content
from federation.protocol.parsing import field_rule
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.record_pb2 import Deposit
from keystore.transcript import digest

MOST_DIAGNOSIS_BYTES = field_rule(DiagnosisDelivery, "diagnosis").max_size
MOST_DEPOSIT_BYTES = padded_size(MOST_BIOSIGNAL_BYTES + MOST_DIAGNOSIS_BYTES)
"""Of M_SD || M_DINF || zeros."""


def deposit_content(sto: Deposit, pieces: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Give M_SD and M_DINF out of the slices. Raises Limit, PaddingInvalid, RecordDigestMismatch."""
    if sto.biosignal_size_bytes > MOST_BIOSIGNAL_BYTES or sto.diagnosis_size_bytes > MOST_DIAGNOSIS_BYTES:
        raise Limit(f"a deposit has at most {MOST_BIOSIGNAL_BYTES} bytes of M_SD, {MOST_DIAGNOSIS_BYTES} of M_DINF")
    content = unpad_content(b"".join(pieces), sto.biosignal_size_bytes + sto.diagnosis_size_bytes)
    biosignal, diagnosis = content[: sto.biosignal_size_bytes], content[sto.biosignal_size_bytes :]
    if digest(biosignal) != sto.biosignal_digest or digest(diagnosis) != sto.diagnosis_digest:
        raise RecordDigestMismatch("the content of the deposit is not what was signed")
    return biosignal, diagnosis
