"""What travels under a session's keys: frames, their padding, and content in slices.

E_SEK seals frames: the sequence starts at 0 in each direction and must be exactly the next (findings B12). Sizes on the wire tell
a size class, at most 12 % wide, and no more (docs/protocol.md, 1): Padme's (Nikitin et al. 2019, "Reducing metadata leakage from
encrypted files and communication with PURBs"), above one smallest class that all short messages share.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from federation.errors import (
    FieldInvalid,
    Limit,
    MessageTooLarge,
    OutOfOrder,
    PaddingInvalid,
    RecordCutShort,
    RecordDigestMismatch,
    SealInvalid,
    SessionUnknown,
)
from federation.protocol.parsing import check, field_rule, parse, payload_rule
from federation.protocol.sealing import Opened
from federation.protocol.time import Instant, require_same_time
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import Deposit, RecordManifest, Resumption
from keystore.transcript import LENGTH_BYTES, digest, frame, text, transcript, u64

M = TypeVar("M", bound=Message)
Content = bytes | bytearray | memoryview

MOST_BIOSIGNAL_BYTES = 16 * 1024 * 1024
"""Of M_SD, wherever it goes: what a doctor may diagnose, its hospital may keep."""
MOST_SLICE_BYTES = 1024 * 1024
TAG_BYTES = 16
"""That AES-256-GCM puts behind what it seals."""
_LENGTH_DELIMITED = 2
"""The wire type of bytes and messages in protocol buffers."""
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

    def seal(self, name: str, content: Content, *, last: bool, sent_at: Instant) -> "tuple[Direction, SessionFrame]":
        """Seal the next frame: a slice as it is, or the message that ends it all, which is padded here."""
        plaintext = pad_message(bytes(content)) if last else content
        direction, sealed = self._seal(name, plaintext, last=last, sent_at=sent_at)
        return direction, sealed.frame

    def seal_slice(self, name: str, content: Content, *, sent_at: Instant) -> "tuple[Direction, SealedFrame]":
        """Seal a slice of a long content as the next frame."""
        return self._seal(name, content, last=False, sent_at=sent_at)

    def open(self, name: str, frame: SessionFrame) -> "tuple[Direction, bytes]":
        """Open the next frame: give the slice with what pads it, or the message without.

        Raises MalformedMessage, OutOfOrder, SessionUnknown, SealInvalid.
        """
        check(frame)  # frame.1
        if frame.session_id != self.session_id:
            raise SessionUnknown("the frame belongs to another session")  # frame.2
        if frame.sequence != self.sequence:
            raise OutOfOrder(f"frame {frame.sequence} came where {self.sequence} is next")  # frame.3
        context = self._context(name, frame.sent_at, last=frame.last)
        try:
            plaintext = AESGCM(self.keys.key).decrypt(self._nonce(), frame.sealed, context)
        except InvalidTag as error:
            raise SealInvalid("the frame does not open") from error  # frame.4
        opened = unpad_message(plaintext) if frame.last else _require_slice(plaintext)  # frame.5
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

    def _seal(self, name: str, plaintext: Content, *, last: bool, sent_at: Instant) -> "tuple[Direction, SealedFrame]":
        sealed = bytearray(len(plaintext) + TAG_BYTES)
        # Into a buffer, for then other threads run meanwhile.
        AESGCM(self.keys.key).encrypt_into(self._nonce(), plaintext, self._context(name, sent_at, last=last), sealed)
        head = SessionFrame(session_id=self.session_id, sequence=self.sequence, last=last, sent_at=sent_at)
        return replace(self, sequence=self.sequence + 1), SealedFrame(head, sealed)

    def _nonce(self) -> bytes:
        return bytes(a ^ b for a, b in zip(self.keys.iv, self.sequence.to_bytes(12, "big"), strict=True))

    def _context(self, name: str, sent_at: Instant, *, last: bool) -> bytes:
        return transcript(text(name).decode(), self.session_id, u64(self.sequence), u64(sent_at), u64(int(last)))


@dataclass(frozen=True, repr=False)
class SealedFrame:
    """A frame with its ciphertext beside it: protobuf copies that whenever one message takes another, or is serialised."""

    head: SessionFrame
    sealed: bytearray

    @property
    def frame(self) -> SessionFrame:
        """Return the frame as a message."""
        frame = SessionFrame(sealed=bytes(self.sealed))
        frame.MergeFrom(self.head)
        return frame

    def serialised_in(self, message: Message, field_name: str) -> bytes:
        """Return a message with the frame as one more field, serialised: here the ciphertext is copied, once."""
        frame = _with_field(self.head, "sealed", [self.sealed])
        return b"".join(_with_field(message, field_name, frame))


def _with_field(message: Message, name: str, content: Sequence[Content]) -> list[Content]:
    """Return the parts of a serialised message that has one more field of bytes, or of a message, than it holds.

    Protocol buffers takes fields in any order, so the field may come last (its encoding: tag, length, bytes).
    """
    tag = message.DESCRIPTOR.fields_by_name[name].number << 3 | _LENGTH_DELIMITED
    return [message.SerializeToString(), _varint(tag), _varint(sum(map(len, content))), *content]


def _varint(number: int) -> bytes:
    more = [number >> shift & 0x7F | 0x80 for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([*more[:-1], more[-1] & 0x7F])


def parse_last(plaintext: bytes, frame: SessionFrame, message_type: type[M]) -> Opened[M]:
    """Parse what the last frame held, and require the T inside to be the T in clear. Raises MalformedMessage, TimeMismatch."""
    message = parse(message_type, plaintext)
    require_same_time(message.sent_at, frame.sent_at)  # type: ignore[attr-defined] # every message has sent_at
    return Opened(message, plaintext)


def with_slice(pieces: tuple[bytes, ...], piece: bytes, *, most_bytes: int) -> tuple[bytes, ...]:
    """Return the slices with the next one. Raises Limit for more than may be held."""
    if len(pieces) >= MOST_SLICES or sum(map(len, pieces)) + len(piece) > most_bytes:
        raise Limit(f"this may have {most_bytes} bytes in {MOST_SLICES} slices")  # frame.8
    return (*pieces, piece)


def _require_slice(plaintext: bytes) -> bytes:
    if not plaintext:
        raise FieldInvalid("a slice is empty")  # frame.6
    if len(plaintext) > MOST_SLICE_BYTES:
        raise MessageTooLarge(f"a slice has {len(plaintext)} bytes of {MOST_SLICE_BYTES}")  # frame.7
    return plaintext


SMALLEST_BYTES = 2048
SLICE_BYTES = 512 * 1024
"""Of a record that is cut, at most. It goes on behind multiples of it, so each ends a slice."""
SENT_SLICE_BYTES = 64 * 1024
"""Of what people send. At 128 kbit/s one takes four seconds: the first is fresh when it comes, each comes in a call's time."""


def padded_size(size: int) -> int:
    """Return padded(n): 2,048, or n rounded up so that its S = floor(log2 E) + 1 bits below the highest may be set."""
    if size <= SMALLEST_BYTES:
        return SMALLEST_BYTES
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def pad_message(message: bytes) -> bytes:
    """Return F(message) || zeros: the plaintext of a last frame."""
    framed = frame(message)
    return framed.ljust(padded_size(len(framed)), b"\x00")


def unpad_message(plaintext: bytes) -> bytes:
    """Return the message out of F(message) || zeros. Raises PaddingInvalid."""
    size = LENGTH_BYTES + int.from_bytes(plaintext[:LENGTH_BYTES], "big")
    return unpad_content(plaintext, size)[LENGTH_BYTES:]


def unpad_content(padded: bytes, size: int) -> bytes:
    """Return the content out of content || zeros. Raises PaddingInvalid unless it is padded as a content of that size is."""
    require_padded(len(padded), size)
    require_zeros(padded[size:])
    return padded[:size]


def require_padded(arrived: int, size: int) -> None:
    """Raise PaddingInvalid unless so many bytes arrived as a content of that size has with its padding."""
    if arrived != padded_size(size):
        raise PaddingInvalid("what is under the session key has not the size of its class")


def require_zeros(padding: bytes) -> None:
    """Raise PaddingInvalid for padding that says something."""
    if padding != bytes(len(padding)):
        raise PaddingInvalid("the padding under the session key is not zeros")


@dataclass(frozen=True, repr=False)
class Piece:
    """A slice that is to be sent: content, and how many zeros stand after it."""

    content: Content
    zeros: int = 0

    @property
    def padded(self) -> Content:
        """Return what goes under the seal."""
        return b"".join((self.content, bytes(self.zeros))) if self.zeros else self.content


def sent_slice(_offset: int) -> int:
    """Return SENT_SLICE_BYTES, wherever a slice begins."""
    return SENT_SLICE_BYTES


def pieces(chunks: Iterable[bytes], begun: int = 0, next_size: Callable[[int], int] = sent_slice) -> Iterator[Piece]:
    """Cut a byte stream and its padding into slices; the last may be shorter than it was to be, none is empty.

    `begun` is how many bytes of the content went before: what it is padded to goes by all of it. `next_size` gives the bytes of
    the slice that begins behind so many, and is asked when that slice is. A slice that lies in one chunk is a view of it: nothing
    of a long content is copied that need not be.
    """
    waiting, size, sent = list[memoryview](), 0, begun
    most = next_size(sent)
    for chunk in chunks:
        rest = memoryview(chunk)
        while size + len(rest) >= most:
            cut = most - size
            yield Piece(_joined([*waiting, rest[:cut]]))
            waiting, size, sent, rest = [], 0, sent + most, rest[cut:]
            most = next_size(sent)
        waiting.append(rest)
        size += len(rest)
    end, whole = _joined(waiting), padded_size(sent + size)
    while sent < whole:
        size = min(whole - sent, most)
        yield Piece(end, size - len(end))
        end, sent = b"", sent + size
        most = next_size(sent)


def _joined(parts: Sequence[memoryview]) -> Content:
    filled = [part for part in parts if part]
    return filled[0] if len(filled) == 1 else b"".join(filled)


def content_size(manifest: RecordManifest) -> int:
    """Return the bytes of all parts that a manifest lists."""
    return sum(part.size_bytes for entry in manifest.records for part in entry.parts)


@dataclass(frozen=True, repr=False)
class IncomingRecord:
    """What came of M_EMR so far. `manifest` and `size_bytes` are known once that is whole; nothing of it is proved yet."""

    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    slices: int = 0
    arrived: int = 0
    head: bytes = b""
    manifest: RecordManifest | None = None
    manifest_digest: bytes = b""
    size_bytes: int | None = None

    def take(self, piece: bytes) -> "tuple[IncomingRecord, bytes]":
        """Return the state after a slice, and what of the slice is content.

        Raises PaddingInvalid, at the first byte too many; MalformedMessage for a manifest that is none, Limit for one in too
        many slices.
        """
        state = self if self.size_bytes is not None else self._with_head(self.head + piece)
        if state.size_bytes is not None and self.arrived + len(piece) > padded_size(state.size_bytes):
            raise PaddingInvalid("more came than the manifest says")  # H2.7
        content = piece if state.size_bytes is None else piece[: max(0, state.size_bytes - self.arrived)]
        require_zeros(piece[len(content) :])  # H2.8
        hasher = self.hasher.copy()
        hasher.update(content)
        came = replace(state, hasher=hasher, slices=self.slices + 1, arrived=self.arrived + len(piece))
        return came, content

    @property
    def resumable(self) -> int:
        """Return behind how many bytes another session may go on: whole slices, the manifest in them, and not all. 0 for none."""
        if self.manifest is None or self.size_bytes is None:
            return 0
        whole = min(self.arrived, self.size_bytes - 1) // SLICE_BYTES * SLICE_BYTES
        return whole if whole >= self.size_bytes - content_size(self.manifest) else 0

    def resumption(self) -> Resumption | None:
        """Return where it goes on in another session; None from the beginning. Raises FieldInvalid where it can't."""
        if not self.arrived:
            return None
        if self.arrived != self.resumable:
            raise FieldInvalid("a record goes on behind its manifest, and behind whole slices")
        return Resumption(manifest_digest=self.manifest_digest, offset=self.arrived)

    def whole_digest(self) -> bytes:
        """Return H(M_EMR). Raises RecordCutShort, PaddingInvalid unless all of it came, padded as its size is."""
        if self.size_bytes is None or self.arrived < self.size_bytes:
            raise RecordCutShort("the record ends before its manifest says")  # H2.13
        require_padded(self.arrived, self.size_bytes)  # H2.14
        return self.hasher.digest()

    def _with_head(self, head: bytes) -> "IncomingRecord":
        if self.slices >= MOST_SLICES:
            raise Limit(f"a manifest comes in at most {MOST_SLICES} slices")  # H2.4
        most = payload_rule(RecordManifest.DESCRIPTOR).max_size
        end = LENGTH_BYTES + int.from_bytes(head[:LENGTH_BYTES], "big")
        if len(head) < LENGTH_BYTES or (len(head) < end <= LENGTH_BYTES + most):
            return replace(self, head=head)
        if end > LENGTH_BYTES + most:
            raise MessageTooLarge(f"a manifest has at most {most} bytes")  # H2.5
        manifest = parse(RecordManifest, head[LENGTH_BYTES:end])  # H2.6
        size_bytes = end + content_size(manifest)
        manifest_digest = digest(head[LENGTH_BYTES:end])
        return replace(self, head=b"", manifest=manifest, manifest_digest=manifest_digest, size_bytes=size_bytes)


MOST_DIAGNOSIS_BYTES = field_rule(DiagnosisDelivery, "diagnosis").max_size
MOST_DEPOSIT_BYTES = padded_size(MOST_BIOSIGNAL_BYTES + MOST_DIAGNOSIS_BYTES)
"""Of M_SD || M_DINF || zeros."""


def deposit_content(sto: Deposit, pieces: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Return M_SD and M_DINF out of the slices. Raises Limit, PaddingInvalid, RecordDigestMismatch."""
    if sto.biosignal_size_bytes > MOST_BIOSIGNAL_BYTES or sto.diagnosis_size_bytes > MOST_DIAGNOSIS_BYTES:
        # STO.10
        raise Limit(f"a deposit has at most {MOST_BIOSIGNAL_BYTES} bytes of M_SD, {MOST_DIAGNOSIS_BYTES} of M_DINF")
    content = unpad_content(b"".join(pieces), sto.biosignal_size_bytes + sto.diagnosis_size_bytes)  # STO.11
    biosignal, diagnosis = content[: sto.biosignal_size_bytes], content[sto.biosignal_size_bytes :]
    if digest(biosignal) != sto.biosignal_digest or digest(diagnosis) != sto.diagnosis_digest:
        raise RecordDigestMismatch("the content of the deposit is not what was signed")  # STO.12
    return biosignal, diagnosis
