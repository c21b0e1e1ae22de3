"""The head of a log, and who stands by it: checkpoints and cosignatures (C2SP). docs/protocol.md, section 8.

A head is three lines, the log's origin, how many leaves its tree has, and the tree's root, signed as a note by its author's PRK.
No such text can be a transcript, which begins with "medunion/v1" and a zero, or a certificate; nor is one a cosignature's.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from federation.errors import FederationError, HeadNotCosigned, IdentityMismatch, NoteMalformed
from federation.protocol.merkle import EMPTY_ROOT, LARGEST_SIZE, TreeHead
from federation.protocol.notes import (
    KEY_ID_BYTES,
    NoteSignature,
    read_base64,
    read_line,
    read_note,
    require_signed,
    sign_note,
    verify_text,
)
from federation.protocol.time import Instant
from keystore.identities import is_identity
from keystore.signatures import SigningKey, VerifyingKey

_ORIGIN = re.compile(r"(?P<realm>[A-Za-z0-9._~%-]{1,192})/(?P<author>[^/]+)/(?P<number>[1-9][0-9]{0,8})")
_TEXT = re.compile(r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n")
_COSIGNATURE = b"\xff" + b"medunion/v1 ECDSA-P256-SHA256 cosignature/v1"
"""The type of a cosignature here: C2SP names none of ECDSA, and has 0xff and a name of one's own for what it does not name."""
_TIME_BYTES = 8
_SECOND = 1000


@dataclass(frozen=True)
class Origin:
    """Which log: the federation's realm (as in a URI), the id of whose it is, and which of its logs, from 1."""

    realm: str
    author_id: str
    number: int

    @classmethod
    def of(cls, realm: str, author_id: str, number: int = 1) -> "Origin":
        """Return the origin of a log of a member of this realm."""
        return cls(quote(realm, safe=""), author_id, number)

    @classmethod
    def read(cls, text: str) -> "Origin":
        """Read the text of an origin. Raises NoteMalformed."""
        found = _ORIGIN.fullmatch(text)
        if found is None or not is_identity("party", found["author"]):
            raise NoteMalformed("an origin is a realm, the id of a member and a number")
        return cls(found["realm"], found["author"], int(found["number"]))

    def name_of(self, witness_id: str) -> str:
        """Return under which name a member of the same realm cosigns."""
        return f"{self.realm}/{witness_id}"

    def __str__(self) -> str:
        """Return it as the first line of a head has it."""
        return f"{self.realm}/{self.author_id}/{self.number}"


@dataclass(frozen=True)
class LogHead:
    """How many leaves a log has, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def tree(self) -> TreeHead:
        """Return the tree, for proofs."""
        return TreeHead(self.size, self.root)

    def text(self) -> bytes:
        """Return what is signed: three lines (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n".encode()


@dataclass(frozen=True)
class Cosignature:
    """A witness's word that a head follows all that it has seen of this log, and when it gave it."""

    witness_id: str
    at: Instant


def sign_head(head: LogHead, signing_key: SigningKey) -> bytes:
    """Return the note of a head, signed by its author. Raises hsm.errors.HsmError of a key in a token."""
    return sign_note(head.text(), head.origin, signing_key)


def open_head(note: bytes, origin: str, key: VerifyingKey) -> LogHead:
    """Verify the note of a head, then read it. Raises NoteMalformed, SignatureInvalid, IdentityMismatch."""
    parts = read_note(note)  # lh.1
    require_signed(parts, origin, key)  # lh.2
    head = _read_head(parts.text)
    if head.origin != origin:
        raise IdentityMismatch("this is the head of another log")  # lh.5
    return head


def peek_head(note: bytes) -> LogHead:
    """Read a head whose author is to be found by it. Raises NoteMalformed. Nothing of it may be used before `open_head`."""
    return _read_head(read_note(note).text)


def cosign(note: bytes, signing_key: SigningKey, witness_id: str, now: Instant) -> bytes:
    """Return a witness's line under a head that it has checked. Raises NoteMalformed, HsmError of a key in a token."""
    text = read_note(note).text
    name = Origin.read(_read_head(text).origin).name_of(witness_id)
    seconds = now // _SECOND
    signature = seconds.to_bytes(_TIME_BYTES, "big") + signing_key.sign_text(cosigned_text(text, seconds))
    return NoteSignature(name, cosigner_key_id(name, signing_key.verifying_key), signature).line()


def require_cosigned(
    note: bytes, lines: Sequence[bytes], keys: Iterable[tuple[str, VerifyingKey]], quorum: int
) -> tuple[Cosignature, ...]:
    """Require that so many of these witnesses, its author not among them, have cosigned a head; return by whom.

    `keys` are witnesses' with their ids; one who has two counts once. `note` is one that `open_head` took. Lines of others are
    left alone. Raises NoteMalformed, SignatureInvalid, HeadNotCosigned.
    """
    text = read_note(note).text
    origin = Origin.read(_read_head(text).origin)
    parts = [read_line(line) for line in lines]  # cosig.1
    found = dict[str, Cosignature]()
    for witness_id, key in keys:
        name = origin.name_of(witness_id)
        own = (name, cosigner_key_id(name, key))
        for it in parts:
            if (it.name, it.key_id) == own:
                found[witness_id] = _cosignature(it, witness_id, key, text)
    found.pop(origin.author_id, None)
    if quorum < 1 or len(found) < quorum:
        raise HeadNotCosigned(f"{len(found)} witnesses have cosigned this head, and {quorum} are asked for")  # cosig.4
    return tuple(found.values())


def held_lines(note: bytes, lines: Sequence[bytes], keys: Iterable[tuple[str, VerifyingKey]]) -> dict[str, bytes]:
    """Return by witness the line that holds as its cosignature of a head, one for each, none of the log's author.

    Others are passed over: they are anybody's. Raises NoteMalformed for a note that is none.
    """
    read_note(note)
    found = dict[str, bytes]()
    for witness_id, key in keys:
        for line in lines:
            with suppress(FederationError):
                require_cosigned(note, [line], [(witness_id, key)], 1)
                found.setdefault(witness_id, line)
    return found


def cosigned_at(line: bytes) -> Instant:
    """Return when a witness says that it cosigned, by a line that `require_cosigned` took. Raises NoteMalformed."""
    return int.from_bytes(read_line(line).signature[:_TIME_BYTES], "big") * _SECOND


def cosigner_key_id(name: str, key: VerifyingKey) -> bytes:
    """Return the key id of a witness's cosignatures, which is another than that of its own heads."""
    return hashlib.sha256(name.encode() + b"\n" + _COSIGNATURE + key.spki).digest()[:KEY_ID_BYTES]


def cosigned_text(text: bytes, seconds: int) -> bytes:
    """Return what a witness signs (C2SP tlog-cosignature): a header, the time, and the text of the head."""
    return f"cosignature/v1\ntime {seconds}\n".encode() + text


def _cosignature(line: NoteSignature, witness_id: str, key: VerifyingKey, text: bytes) -> Cosignature:
    stamp, signature = line.signature[:_TIME_BYTES], line.signature[_TIME_BYTES:]
    seconds = int.from_bytes(stamp, "big")
    if len(stamp) < _TIME_BYTES or seconds > LARGEST_SIZE:
        raise NoteMalformed("a cosignature begins with a time")  # cosig.2
    verify_text(key, signature, cosigned_text(text, seconds))  # cosig.3
    return Cosignature(witness_id, seconds * _SECOND)


def _read_head(text: bytes) -> LogHead:
    found = _TEXT.fullmatch(text.decode())
    if found is None:
        raise NoteMalformed("a log head is an origin, a size and a root")  # lh.3
    head = LogHead(found["origin"], int(found["size"]), read_base64(found["root"]))
    if head.size > LARGEST_SIZE or (head.size == 0 and head.root != EMPTY_ROOT):
        raise NoteMalformed("a log has no such size and root")  # lh.4
    return head
