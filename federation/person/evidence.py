"""What a party keeps to show a judge (docs/protocol.md, 7; Table 2 of the paper and what the repairs add).

An exhibit holds the exact bytes that were signed, the signature, and whatever says whose key made it: KS, EK, Cert_D. A judge
needs no session key and no server. Exhibits lie in the party's store, sealed under its token's key.
"""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from federation.party.member import Member
from federation.protocol.statements import Signed
from federation.protocol.time import Instant
from federation.store.party import Evidence
from federation.store.rows import StoredEvidence
from federation.v1.statement_pb2 import SignedStatement
from keystore.transcript import text, transcript

_FORMAT = "medunion-evidence/1"
_KINDS = {"stoack": "STOACK"}
"""What an exhibit is called where its label is written otherwise."""


@dataclass(frozen=True)
class Exhibit:
    """One signature and what it takes to judge it.

    `signed` is the transcript T(...) under the signature; `message` the exact bytes of the message that its fields come from,
    where that is more than the transcript holds; `openings` what else opens its digests (the diagnosis, a grant, c_P's blind).
    """

    kind: str
    signer: str
    signed: bytes
    signature: bytes
    message: bytes = b""
    key_statement: SignedStatement | None = None
    encryption_key_statement: SignedStatement | None = None
    certificate: bytes = b""
    openings: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        signed: Signed,
        signer: str,
        *,
        key_statement: SignedStatement | None = None,
        encryption_key_statement: SignedStatement | None = None,
        certificate: bytes = b"",
        openings: dict[str, bytes] | None = None,
    ) -> "Exhibit":
        """Make one of what a step signed or verified; its kind is the label."""
        return cls(
            kind=_KINDS.get(signed.label, signed.label),
            signer=signer,
            signed=signed.transcript,
            signature=signed.signature,
            message=signed.message,
            key_statement=key_statement,
            encryption_key_statement=encryption_key_statement,
            certificate=certificate,
            openings=openings or {},
        )

    def __repr__(self) -> str:
        return f"Exhibit(kind={self.kind!r}, signer={self.signer!r})"


@dataclass(frozen=True)
class KeptExhibit:
    """An exhibit, when it was received (ms), and the sequence of the revocation list that held then."""

    exhibit: Exhibit
    reference: bytes
    received_at: Instant
    list_sequence: int

    def to_json(self) -> str:
        """Write it for a judge: base64 for bytes, statements as their exact bytes and signature."""
        exhibit = self.exhibit
        content = {
            "format": _FORMAT,
            "kind": exhibit.kind,
            "signer": exhibit.signer,
            "received_at_ms": self.received_at,
            "revocation_list_sequence": self.list_sequence,
            "signed": _encode(exhibit.signed),
            "signature": _encode(exhibit.signature),
            "message": _encode(exhibit.message),
            "key_statement": _statement(exhibit.key_statement),
            "encryption_key_statement": _statement(exhibit.encryption_key_statement),
            "certificate": _encode(exhibit.certificate),
            "openings": {name: _encode(value) for name, value in exhibit.openings.items()},
        }
        return json.dumps(content, indent=1)

    @classmethod
    def from_json(cls, data: str, reference: bytes) -> "KeptExhibit":
        """Read what `to_json` wrote."""
        content = json.loads(data)
        exhibit = Exhibit(
            kind=content["kind"],
            signer=content["signer"],
            signed=base64.b64decode(content["signed"]),
            signature=base64.b64decode(content["signature"]),
            message=base64.b64decode(content["message"]),
            key_statement=_read_statement(content["key_statement"]),
            encryption_key_statement=_read_statement(content["encryption_key_statement"]),
            certificate=base64.b64decode(content["certificate"]),
            openings={name: base64.b64decode(value) for name, value in content["openings"].items()},
        )
        return cls(exhibit, reference, content["received_at_ms"], content["revocation_list_sequence"])


class EvidenceBook:
    """A party's exhibits."""

    def __init__(self, member: Member, store: Evidence) -> None:
        """Keep them in this store, sealed under this member's token key."""
        self._member = member
        self._store = store

    def keep(self, exhibit: Exhibit, reference: bytes, *, now: Instant) -> None:
        """Keep an exhibit; `reference` names what it belongs to (a session id, a grant id)."""
        kept = KeptExhibit(exhibit, reference, now, self._member.verifier().lists.sequence)
        context = self._context(exhibit.kind, reference, now)
        sealed = self._member.sealing.seal(kept.to_json().encode(), context)
        self._store.add(exhibit.kind, reference, sealed, at=now)

    def all(self, kind: str | None = None) -> Iterator[KeptExhibit]:
        """Yield the exhibits, or one kind's, the oldest first. Raises SealBroken for one that was altered."""
        for name, reference, sealed, at in self._store.all(kind):
            opened = self._member.sealing.open(sealed, self._context(name, reference, at))
            yield KeptExhibit.from_json(opened.decode(), reference)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield every exhibit as a file for a judge: a name of ours, and JSON. Raises as `all`."""
        for count, kept in enumerate(self.all(), start=1):
            yield f"{count:04}-{kept.exhibit.kind}.json", kept.to_json().encode()

    def zipped(self) -> bytes:
        """Return these files as one zip. Raises as `all`."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files():
                archive.writestr(name, content)
        return packed.getvalue()

    def context_of(self, piece: StoredEvidence) -> bytes:
        """Return what a piece is sealed with, for sealing it anew."""
        return self._context(piece.kind, piece.reference, piece.at)

    def _context(self, kind: str, reference: bytes, at: Instant) -> bytes:
        return transcript("evidence", text(self._member.identity), text(kind), reference, at.to_bytes(8, "big"))


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _statement(signed: SignedStatement | None) -> dict[str, str] | None:
    if signed is None:
        return None
    return {"statement": _encode(signed.statement), "signature": _encode(signed.signature)}


def _read_statement(content: dict[str, str] | None) -> SignedStatement | None:
    if content is None:
        return None
    return SignedStatement(
        statement=base64.b64decode(content["statement"]), signature=base64.b64decode(content["signature"])
    )
