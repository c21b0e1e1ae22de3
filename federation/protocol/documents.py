"""A patient's own document, OWN: what its author signs, and how it is put together (docs/protocol.md, section 6).

A patient, or a deputy, writes it for one hospital. What may be done with it is decided in `federation.protocol.record`.
"""

from dataclasses import dataclass, replace

from federation.errors import Limit, RecordDigestMismatch
from federation.protocol.frames import MOST_BIOSIGNAL_BYTES, unpad_content
from federation.protocol.parsing import check
from federation.protocol.parties import Party
from federation.protocol.shown import Shown
from federation.protocol.statements import SENSITIVITY_NAMES
from federation.protocol.time import Instant
from federation.v1 import statement_pb2 as statement
from federation.v1.record_pb2 import PURPOSE_ADD, OwnDocument, Scope
from keystore.identities import HospitalId
from keystore.transcript import digest, text, transcript, u64

MOST_DOCUMENT_BYTES = MOST_BIOSIGNAL_BYTES
"""Of a document: a hospital holds it in memory until it is whole, as it holds M_SD."""


def document_transcript(own: OwnDocument, hospital_id: HospitalId) -> bytes:
    """Return what the author signs: T("own", ID_HPC, ID_P, ID_A, class, H(access), title, .., H(content), written at)."""
    return transcript(
        "own",
        text(hospital_id),
        text(own.patient_id),
        text(own.author_id),
        text(own.scope.department_class),
        Shown.of(own).digest,
        own.title,
        text(own.media_type),
        text(SENSITIVITY_NAMES[own.sensitivity]),
        u64(own.size_bytes),
        own.content_digest,
        u64(own.written_at),
    )


def document_content(own: OwnDocument, pieces: tuple[bytes, ...]) -> bytes:
    """Return the document out of the slices. Raises Limit, PaddingInvalid, RecordDigestMismatch."""
    if own.size_bytes > MOST_DOCUMENT_BYTES:
        raise Limit(f"a document has at most {MOST_DOCUMENT_BYTES} bytes")  # OWN.10
    content = unpad_content(b"".join(pieces), own.size_bytes)  # OWN.11
    if digest(content) != own.content_digest:
        raise RecordDigestMismatch("the document is not what its author signed")  # OWN.12
    return content


@dataclass(frozen=True, repr=False)
class NewDocument:
    """What a patient or a deputy adds. `title` is shown with it; `media_type` is RFC 6838's, as its author says."""

    title: str
    media_type: str
    content: bytes
    sensitivity: "statement.Sensitivity.ValueType" = statement.SENSITIVITY_NORMAL


@dataclass(frozen=True, repr=False)
class SignedDocument:
    """A document as its author signed it for a hospital. The same message again gets the same receipt."""

    message: OwnDocument
    content: bytes

    def sent_anew(self, *, now: Instant) -> "SignedDocument":
        """Return it under the T of now: one that the hospital did not keep, and that has grown stale."""
        message = OwnDocument()
        message.CopyFrom(self.message)
        message.sent_at = now
        return replace(self, message=message)


def sign_document(
    author: Party,
    new: NewDocument,
    shown: Shown,
    hospital_id: HospitalId,
    department_class: str,
    blind: bytes,
    *,
    now: Instant,
) -> SignedDocument:
    """Sign a document for this hospital. Raises Limit, MalformedMessage for what can't be said, HsmError."""
    if len(new.content) > MOST_DOCUMENT_BYTES:
        raise Limit(f"a document has at most {MOST_DOCUMENT_BYTES} bytes")
    own = OwnDocument(
        patient_id=shown.patient_id,
        author_id=author.identity,
        sent_at=now,
        blind=blind,
        scope=Scope(purpose=PURPOSE_ADD, department_class=department_class),
        access=shown.access,
        title=new.title.encode(),
        media_type=new.media_type,
        sensitivity=new.sensitivity,
        size_bytes=len(new.content),
        content_digest=digest(new.content),
        written_at=now,
        signature=bytes(64),
    )
    check(own)
    own.signature = author.signing_key.sign(document_transcript(own, hospital_id))
    return SignedDocument(own, new.content)
