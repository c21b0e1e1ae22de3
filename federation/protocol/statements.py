"""Signatures over transcripts, and statements: exact bytes, signed under a label, parsed only after the signature holds."""

from dataclasses import dataclass
from typing import TypeVar, cast

from cryptography.exceptions import InvalidSignature
from google.protobuf.message import Message

from federation.errors import SignatureInvalid
from federation.protocol.parsing import check, parse
from federation.v1 import statement_pb2 as pb
from federation.v1.statement_pb2 import SignedStatement
from keystore.signatures import SigningKey, VerifyingKey
from keystore.transcript import digest, signed_digest, statement_digest, transcript
from remembered import Memory

M = TypeVar("M", bound=Message)

ROLE_NAMES: dict["pb.Role.ValueType", str] = {
    pb.ROLE_PATIENT: "patient",
    pb.ROLE_DOCTOR: "doctor",
    pb.ROLE_HOSPITAL: "hospital",
}
RIGHT_NAMES: dict["pb.Right.ValueType", str] = {
    pb.RIGHT_INDEX: "index",
    pb.RIGHT_READ: "read",
    pb.RIGHT_WRITE: "write",
    pb.RIGHT_LOG: "log",
    pb.RIGHT_ADD: "add",
}
POWER_NAMES: dict["pb.Power.ValueType", str] = {
    pb.POWER_GRANT: "grant",
    pb.POWER_REVOKE: "revoke",
    pb.POWER_READ: "read",
    pb.POWER_LOG: "log",
    pb.POWER_RESTRICT: "restrict",
    pb.POWER_ADD: "add",
}
SENSITIVITY_NAMES: dict["pb.Sensitivity.ValueType", str] = {
    pb.SENSITIVITY_NORMAL: "normal",
    pb.SENSITIVITY_RESTRICTED: "restricted",
    pb.SENSITIVITY_SECRET: "secret",
}
SENSITIVITIES = {name: value for value, name in SENSITIVITY_NAMES.items()}


@dataclass(frozen=True, repr=False)
class Signed:
    """A signature, what it covers, and the exact bytes of the message that it came in: what a party may show a judge."""

    label: str
    transcript: bytes
    signature: bytes
    message: bytes

    @classmethod
    def of_statement(cls, label: str, signed: SignedStatement) -> "Signed":
        """Return a statement's signature, over T(label, its bytes)."""
        return cls(label, transcript(label, signed.statement), signed.signature, signed.statement)

    def verify(self, key: VerifyingKey) -> None:
        """Raise SignatureInvalid unless the signature holds over the transcript."""
        verify_signature(key, self.signature, self.transcript)


def sign_statement(label: str, message: Message, key: SigningKey) -> SignedStatement:
    """Sign a statement over T(label, its bytes). Raises MalformedMessage for one that breaks its own rules."""
    check(message)
    statement = message.SerializeToString(deterministic=True)
    return SignedStatement(statement=statement, signature=key.sign(transcript(label, statement)))


def verify_signature(key: VerifyingKey, signature: bytes, signed: bytes) -> None:
    """Raise SignatureInvalid unless the signature holds over the transcript."""
    try:
        key.verify(signature, signed)
    except InvalidSignature as error:
        raise SignatureInvalid("a signature does not hold") from error


MOST_REMEMBERED_BYTES = 4096
"""Of a statement: a longer one, such as a list, is verified each time."""

_OPENED: Memory[tuple[str, type[Message], bytes, bytes, bytes], Message] = Memory("statements")
_READ: Memory[tuple[type[Message], bytes], Message] = Memory("readings of statements")


def open_statement(label: str, message_type: type[M], signed: SignedStatement, key: VerifyingKey) -> M:
    """Verify a statement, then parse it. Raises SignatureInvalid, MalformedMessage.

    One that held is remembered by all that went into it, the key too. Whether that key counts, and what the statement says of
    time, is for the caller to look at each time.
    """
    statement, signature = signed.statement, signed.signature

    def opened() -> Message:
        verify_signature(key, signature, transcript(label, statement))
        return parse(message_type, statement)

    if len(statement) > MOST_REMEMBERED_BYTES:
        return cast("M", opened())
    return _copy(message_type, _OPENED.of((label, message_type, statement, signature, key.data), opened))


def peek_statement(message_type: type[M], signed: SignedStatement) -> M:
    """Parse a statement whose signer is named inside. Nothing in it may be used before its signature is verified.

    Raises MalformedMessage. How a statement reads is remembered by its bytes.
    """
    statement = signed.statement
    if len(statement) > MOST_REMEMBERED_BYTES:
        return parse(message_type, statement)
    return _copy(message_type, _READ.of((message_type, statement), lambda: parse(message_type, statement)))


def _copy(message_type: type[M], remembered: Message) -> M:
    """Return a message of one's own: nobody can change what is remembered."""
    copy = message_type()
    copy.CopyFrom(cast("M", remembered))
    return copy


def certificate_digest(certificate: bytes) -> bytes:
    """Return H(Cert_D), or nothing where a patient asks: the field of a transcript."""
    return digest(certificate) if certificate else b""


def digest_or_empty(label: str, signed: SignedStatement | None) -> bytes:
    """Return H(statement), 32 bytes, or nothing for an absent one: the field of a transcript."""
    return b"" if signed is None else statement_digest(label, signed.statement)


def signed_digest_or_empty(label: str, signed: SignedStatement | None) -> bytes:
    """Return Hs(statement), which covers its signature too, or nothing for an absent one: the field of a transcript."""
    return b"" if signed is None else signed_digest(label, signed.statement, signed.signature)
