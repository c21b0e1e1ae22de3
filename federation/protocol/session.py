"""E_SEK: the frames of a session. Sequence starts at 0 in each direction and must be exactly the next (findings B12)."""

from dataclasses import dataclass, replace
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from federation.errors import FieldInvalid, Limit, MessageTooLarge, OutOfOrder, SealInvalid, SessionUnknown
from federation.protocol.padding import pad_message, unpad_message
from federation.protocol.parsing import check, parse
from federation.protocol.sealing import Opened
from federation.protocol.time import Instant, require_same_time
from federation.v1.envelope_pb2 import SessionFrame
from keystore.transcript import text, transcript, u64

M = TypeVar("M", bound=Message)

MOST_SLICE_BYTES = 1024 * 1024
MOST_SLICES = 1024
"""Of content that a receiver holds in memory until it is whole: work and memory are bounded by the frames too."""


@dataclass(frozen=True, repr=False)
class DirectionKeys:
    """Key (32 bytes) and iv (12 bytes) of one direction."""

    key: bytes
    iv: bytes


@dataclass(frozen=True)
class Direction:
    """One direction of a session, and the sequence of its next frame."""

    session_id: bytes
    keys: DirectionKeys
    sequence: int = 0

    def seal(self, name: str, content: bytes, *, last: bool, sent_at: Instant) -> "tuple[Direction, SessionFrame]":
        """Seal the next frame: a slice as it is, or the message that ends it all, which is padded here."""
        context = self._context(name, sent_at, last=last)
        plaintext = pad_message(content) if last else content
        sealed = AESGCM(self.keys.key).encrypt(self._nonce(), plaintext, context)
        frame = SessionFrame(
            session_id=self.session_id, sequence=self.sequence, last=last, sealed=sealed, sent_at=sent_at
        )
        return replace(self, sequence=self.sequence + 1), frame

    def open(self, name: str, frame: SessionFrame) -> "tuple[Direction, bytes]":
        """Open the next frame: give the slice with what pads it, or the message without.

        Raises MalformedMessage, OutOfOrder, SessionUnknown, SealInvalid.
        """
        check(frame)
        if frame.session_id != self.session_id:
            raise SessionUnknown("the frame belongs to another session")
        if frame.sequence != self.sequence:
            raise OutOfOrder(f"frame {frame.sequence} came where {self.sequence} is next")
        context = self._context(name, frame.sent_at, last=frame.last)
        try:
            plaintext = AESGCM(self.keys.key).decrypt(self._nonce(), frame.sealed, context)
        except InvalidTag as error:
            raise SealInvalid("the frame does not open") from error
        opened = unpad_message(plaintext) if frame.last else _require_slice(plaintext)
        return replace(self, sequence=self.sequence + 1), opened

    def seal_message(self, name: str, message: Message, *, sent_at: Instant) -> "tuple[Direction, SessionFrame]":
        """Seal a message as the last frame."""
        return self.seal(name, message.SerializeToString(deterministic=True), last=True, sent_at=sent_at)

    def open_message(self, name: str, frame: SessionFrame, message_type: type[M]) -> "tuple[Direction, Opened[M]]":
        """Open a message that is one frame, and require the T inside to be the T in clear.

        Raises OutOfOrder for a slice, MalformedMessage, TimeMismatch, and as `open`.
        """
        direction, plaintext = self.open(name, frame)
        if not frame.last:
            raise OutOfOrder(f"{name} is one frame")
        return direction, parse_last(plaintext, frame, message_type)

    def _nonce(self) -> bytes:
        return bytes(a ^ b for a, b in zip(self.keys.iv, self.sequence.to_bytes(12, "big"), strict=True))

    def _context(self, name: str, sent_at: Instant, *, last: bool) -> bytes:
        return transcript(text(name).decode(), self.session_id, u64(self.sequence), u64(sent_at), u64(int(last)))


def parse_last(plaintext: bytes, frame: SessionFrame, message_type: type[M]) -> Opened[M]:
    """Parse what the last frame held, and require the T inside to be the T in clear. Raises MalformedMessage, TimeMismatch."""
    message = parse(message_type, plaintext)
    require_same_time(message.sent_at, frame.sent_at)  # type: ignore[attr-defined] # every message has sent_at
    return Opened(message, plaintext)


def with_slice(pieces: tuple[bytes, ...], piece: bytes, *, most_bytes: int) -> tuple[bytes, ...]:
    """Give the slices with the next one. Raises Limit for more than may be held."""
    if len(pieces) >= MOST_SLICES or sum(map(len, pieces)) + len(piece) > most_bytes:
        raise Limit(f"this may have {most_bytes} bytes in {MOST_SLICES} slices")
    return (*pieces, piece)


def _require_slice(plaintext: bytes) -> bytes:
    if not plaintext:
        raise FieldInvalid("a slice is empty")
    if len(plaintext) > MOST_SLICE_BYTES:
        raise MessageTooLarge(f"a slice has {len(plaintext)} bytes of {MOST_SLICE_BYTES}")
    return plaintext
