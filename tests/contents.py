"""What a hospital sends as M_EMR, put together without a hospital."""

from itertools import pairwise

from federation.protocol.frames import Piece, padded_size
from federation.v1.record_pb2 import PART_KIND_ATTACHMENT, RecordEntry, RecordManifest, RecordPart
from keystore.transcript import digest, frame


def manifest(contents: list[bytes]) -> RecordManifest:
    """List these parts, of one record."""
    parts = [
        RecordPart(
            kind=PART_KIND_ATTACHMENT,
            name=f"part-{number}",
            media_type="application/octet-stream",
            size_bytes=len(content),
            digest=digest(content),
        )
        for number, content in enumerate(contents)
    ]
    entry = RecordEntry(handle=bytes(16), version=1, department_id="H:alpha/cardiology", stored_at=1, parts=parts)
    return RecordManifest(patient_id="P:wang", hospital_id="H:alpha", records=[entry])


def record_of(*parts: bytes, patient_id: str = "P:wang", hospital_id: str = "H:alpha") -> bytes:
    """Give M_EMR = F(manifest) || the parts."""
    listed = manifest(list(parts))
    listed.patient_id, listed.hospital_id = patient_id, hospital_id
    return frame(listed.SerializeToString(deterministic=True)) + b"".join(parts)


def cut(content: bytes, *places: int) -> list[Piece]:
    """Cut content there, its zeros behind the last slice."""
    edges = [0, *places, len(content)]
    whole = [Piece(content[start:end]) for start, end in pairwise(edges)]
    return [*whole[:-1], Piece(whole[-1].content, padded_size(len(content)) - len(content))]
