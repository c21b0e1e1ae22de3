"""An exhibit, and the file of exhibits that a holder hands to a judge (docs/evidence.md).

The file is JSON in one form: names sorted, base64 in one form, nothing that is not asked for. So a byte of it that was changed
makes it no such file, or changes a value, which `federation.protocol.judge` then looks at.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from federation.errors import FieldInvalid, MalformedMessage, MessageTooLarge, MissingField
from federation.protocol.parsing import LAST_TIME, parse
from federation.protocol.statements import Signed
from federation.protocol.time import Instant
from federation.v1.consultation_pb2 import BiosignalDelivery, ConsultationReply
from federation.v1.record_pb2 import RecordReply
from federation.v1.statement_pb2 import SignedStatement

FORMAT = "medunion-evidence/1"
MOST_FILE_BYTES = 256 * 1024 * 1024
_KINDS = {"stoack": "STOACK", "puback": "PUBACK"}
"""What an exhibit is called where its label is written otherwise."""

_UNSIGNED: dict[str, tuple[type[Message], str, bytes | int]] = {
    "D1": (ConsultationReply, "contribution", bytes(32)),
    "H1": (RecordReply, "contribution", bytes(32)),
    "P2": (BiosignalDelivery, "biosignal_size_bytes", 0),
}
"""What no signature covers of a message, and what stands in its place: a judge could hold it to nothing."""


@dataclass(frozen=True)
class Exhibit:
    """One signature and what it takes to judge it.

    `signed` is the transcript T(...) under the signature, or a note's text; `message` the exact bytes of the message that its
    fields come from, where that is more than the transcript holds, but for what no signature covers; `openings` what else opens
    its digests (a deposit, a grant, c_P's blind), and of a log what it told.
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
            message=without_unsigned(signed.label, signed.message),
            key_statement=key_statement,
            encryption_key_statement=encryption_key_statement,
            certificate=certificate,
            openings=openings or {},
        )

    def __repr__(self) -> str:
        return f"Exhibit(kind={self.kind!r}, signer={self.signer!r})"


@dataclass(frozen=True)
class KeptExhibit:
    """An exhibit, what it belongs to, when it was received (ms), and the sequence of the revocation list that held then.

    But for the exhibit itself, all of it is its holder's word.
    """

    exhibit: Exhibit
    reference: bytes
    received_at: Instant
    list_sequence: int

    def to_json(self) -> str:
        """Write it: base64 for bytes, statements as their exact bytes and signature."""
        return json.dumps(_written(self), sort_keys=True)

    @classmethod
    def from_json(cls, data: str) -> "KeptExhibit":
        """Read what `to_json` wrote. Raises MalformedMessage."""
        return _read(_loaded(data))


def without_unsigned(kind: str, message: bytes) -> bytes:
    """Return a message without what no signature covers. Raises MalformedMessage."""
    if kind not in _UNSIGNED:
        return message
    message_type, name, nothing = _UNSIGNED[kind]
    bare = parse(message_type, message)
    setattr(bare, name, nothing)
    return bare.SerializeToString(deterministic=True)


def write_file(kept: Iterable[KeptExhibit]) -> bytes:
    """Return the file of these exhibits."""
    content = {"format": FORMAT, "exhibits": [_written(one) for one in kept]}
    return (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()


def read_file(data: bytes) -> list[KeptExhibit]:
    """Read a file of exhibits, which has the one form that `write_file` gives it. Raises MalformedMessage."""
    if len(data) > MOST_FILE_BYTES:
        raise MessageTooLarge(f"evidence has at most {MOST_FILE_BYTES} bytes")
    try:
        content = _loaded(data.decode("ascii"))
    except UnicodeDecodeError as error:
        raise MalformedMessage("evidence is JSON in ASCII") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FieldInvalid(f"this is no evidence of the form {FORMAT}")
    exhibits = content.get("exhibits")
    if not isinstance(exhibits, list):
        raise MissingField("a file of evidence lists its exhibits")
    kept = [_read(one) for one in exhibits]
    if write_file(kept) != data:
        raise MalformedMessage("evidence is written in one form, and this is another")  # judge.1
    return kept


def _loaded(data: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("evidence is JSON") from error


def _written(kept: KeptExhibit) -> dict[str, object]:
    exhibit = kept.exhibit
    return {
        "kind": exhibit.kind,
        "signer": exhibit.signer,
        "reference": _encode(kept.reference),
        "received_at_ms": kept.received_at,
        "revocation_list_sequence": kept.list_sequence,
        "signed": _encode(exhibit.signed),
        "signature": _encode(exhibit.signature),
        "message": _encode(exhibit.message),
        "key_statement": _statement(exhibit.key_statement),
        "encryption_key_statement": _statement(exhibit.encryption_key_statement),
        "certificate": _encode(exhibit.certificate),
        "openings": {name: _encode(value) for name, value in exhibit.openings.items()},
    }


def _read(content: Any) -> KeptExhibit:  # noqa: ANN401 - whatever the JSON holds
    try:
        exhibit = Exhibit(
            kind=_text(content["kind"]),
            signer=_text(content["signer"]),
            signed=_decode(content["signed"]),
            signature=_decode(content["signature"]),
            message=_decode(content["message"]),
            key_statement=_read_statement(content["key_statement"]),
            encryption_key_statement=_read_statement(content["encryption_key_statement"]),
            certificate=_decode(content["certificate"]),
            openings={_text(name): _decode(value) for name, value in content["openings"].items()},
        )
        at, sequence = _count(content["received_at_ms"]), _count(content["revocation_list_sequence"])
        return KeptExhibit(exhibit, _decode(content["reference"]), at, sequence)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise MalformedMessage("an exhibit does not have its form") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise TypeError("not text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LAST_TIME:
        raise TypeError("not a number")
    return value


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _statement(signed: SignedStatement | None) -> dict[str, str] | None:
    if signed is None:
        return None
    return {"statement": _encode(signed.statement), "signature": _encode(signed.signature)}


def _read_statement(content: Mapping[str, object] | None) -> SignedStatement | None:
    if content is None:
        return None
    return SignedStatement(statement=_decode(content["statement"]), signature=_decode(content["signature"]))
