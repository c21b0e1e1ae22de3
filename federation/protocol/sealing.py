"""E_PUK around a payload: padding, the context that info binds, and the two outer forms (docs/protocol.md, 1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from federation.errors import (
    FederationError,
    FieldInvalid,
    MessageTooLarge,
    PaddingInvalid,
    Rejected,
    SealInvalid,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol.parsing import check, parse, payload_rule
from federation.protocol.time import Freshness, Instant, require_same_time
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from keystore.encryption import DecryptionKey, Keyring, seal
from keystore.errors import EpochKeyUnknown, KeystoreError, SealBroken
from keystore.transcript import LENGTH_BYTES, frame, text, transcript, u64

VERSION = 1
UNNAMED = ""
PADDING_STEP = 256
SEAL_OVERHEAD = 1136
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, repr=False)
class Opened(Generic[M]):
    """A payload that was under a seal, and its exact bytes: what H(p1 plaintext) and its like cover."""

    payload: M
    plaintext: bytes


@dataclass(frozen=True)
class Context:
    """What a seal is bound to beside its content. `sender` is UNNAMED where the receiver can't know it yet."""

    name: str
    sender: str
    receiver: str
    key_id: bytes
    session_id: bytes
    sent_at: Instant

    def info(self) -> bytes:
        """Return HPKE's info: T("hpke", name, sender, receiver, key id, session id, T in clear)."""
        parties = text(self.name), text(self.sender), text(self.receiver)
        return transcript("hpke", *parties, self.key_id, self.session_id, u64(self.sent_at))


@contextmanager
def after_opening() -> Iterator[None]:
    """Turn whatever is found after a seal was opened into the one answer `Rejected`; the cause stays attached (B9)."""
    try:
        yield
    except Rejected:
        raise
    except (FederationError, KeystoreError) as cause:
        raise Rejected("the message was not accepted") from cause


def pad(payload: Message, serialised: bytes) -> bytes:
    """Return F(message) || zeros: to the fixed size of its definition, or to a multiple of 256 bytes."""
    framed = frame(serialised)
    fixed = payload_rule(payload.DESCRIPTOR).padded_size
    size = fixed or -(-len(framed) // PADDING_STEP) * PADDING_STEP
    if len(framed) > size:
        raise MessageTooLarge(f"{payload.DESCRIPTOR.name} has {len(framed)} bytes of {size}")
    return framed.ljust(size, b"\x00")


def unpad(message_type: type[Message], padded: bytes) -> bytes:
    """Return the message out of F(message) || zeros. Raises PaddingInvalid."""
    fixed = payload_rule(message_type.DESCRIPTOR).padded_size
    end = LENGTH_BYTES + int.from_bytes(padded[:LENGTH_BYTES], "big")
    if len(padded) % PADDING_STEP or (fixed and len(padded) != fixed) or end > len(padded):
        raise PaddingInvalid("the sealed plaintext has not the size of its definition")  # open.7
    if any(padded[end:]) or (not fixed and len(padded) - end >= PADDING_STEP):
        raise PaddingInvalid("the padding is not zeros to the next step")  # open.7
    return padded[LENGTH_BYTES:end]


def seal_payload(payload: Message, encryption_key: bytes, context: Context) -> tuple[bytes, bytes]:
    """Seal a payload and give the ciphertext and the message's exact bytes. Raises MalformedMessage for one of our own."""
    check(payload)
    serialised = payload.SerializeToString(deterministic=True)
    return seal(encryption_key, pad(payload, serialised), context.info()), serialised


def seal_opening(payload: Message, encryption_key: bytes, context: Context) -> tuple[SealedOpening, bytes]:
    """Seal a payload as a SealedOpening; give it and the message's exact bytes."""
    sealed, serialised = seal_payload(payload, encryption_key, context)
    opening = SealedOpening(
        version=VERSION, session_id=context.session_id, key_id=context.key_id, sealed=sealed, sent_at=context.sent_at
    )
    return opening, serialised


def seal_reply(payload: Message, encryption_key: bytes, context: Context) -> SealedReply:
    """Seal a payload as a SealedReply."""
    sealed, _ = seal_payload(payload, encryption_key, context)
    return SealedReply(session_id=context.session_id, sealed=sealed, sent_at=context.sent_at)


def find_key(opening: SealedOpening, keyring: Keyring, *, freshness: Freshness, now: Instant) -> DecryptionKey:
    """Decide what the clear fields decide, precisely: rules, version, T, key id. Raises MalformedMessage."""
    _require_version(opening)
    freshness.require(opening.sent_at, now=now)  # open.3
    return _key_of(opening, keyring)


def find_key_of_any_age(opening: SealedOpening, keyring: Keyring) -> DecryptionKey:
    """Decide the same without T: for messages whose repetition gets the answer that was kept."""
    _require_version(opening)
    return _key_of(opening, keyring)


def _require_version(opening: SealedOpening) -> None:
    check(opening)  # open.1
    if opening.version != VERSION:
        raise UnsupportedVersion(f"version {opening.version} is not spoken here, {VERSION} is")  # open.2


def _key_of(opening: SealedOpening, keyring: Keyring) -> DecryptionKey:
    try:
        return keyring.find(opening.key_id)
    except EpochKeyUnknown as error:
        raise UnknownKeyId("sealed to a key that is not held here, or no longer") from error  # open.4


def require_session_id(opening: SealedOpening, *, size: int) -> None:
    """Raise FieldInvalid unless the session id has 16 bytes, or none for a call without a session."""
    if len(opening.session_id) != size:
        raise FieldInvalid(f"the session id has {len(opening.session_id)} bytes, not {size}")  # open.5


def open_payload(message_type: type[M], sealed: bytes, key: DecryptionKey, context: Context) -> Opened[M]:
    """Open, parse, and require the T inside to be the T outside (B2). Raises what `after_opening` hides."""
    try:
        plaintext = unpad(message_type, key.open(sealed, context.info()))
    except SealBroken as error:
        raise SealInvalid("the seal does not open") from error  # open.6
    payload = parse(message_type, plaintext)  # open.8
    # open.9
    require_same_time(payload.sent_at, context.sent_at)  # type: ignore[attr-defined] # every payload has sent_at
    return Opened(payload, plaintext)
