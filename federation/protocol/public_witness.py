"""Witnesses of the public: C2SP's tlog-witness protocol and its cosignatures, beside those of members.

Such a witness knows a log by its own key as signed-note spells one, of type 0x02 here, and signs with Ed25519 or ML-DSA-44
(tlog-cosignature). It belongs to nobody here: its line shows to whom trusts it that a head went on from all that it had seen.
docs/adr/0034-witnesses.md
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from federation.errors import HeadNotCosigned, NoteMalformed, SignatureInvalid
from federation.protocol.log_head import cosigned_text, peek_head
from federation.protocol.merkle import LARGEST_SIZE
from federation.protocol.notes import KEY_ID_BYTES, NoteSignature, read_base64, read_line, read_note, text_key_id
from keystore.signatures import VerifyingKey

ED25519, ML_DSA_44 = 0x04, 0x06
"""Types of cosignatures (C2SP tlog-cosignature)."""

_ECDSA = b"\x02"
_KEY_BYTES = {ED25519: 32, ML_DSA_44: 1312}
_TIME_BYTES = 8
_VKEY = re.compile(r"(?P<name>[!-*,-~]{1,128})\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+={0,2})")


def log_vkey(origin: str, key: VerifyingKey) -> str:
    """Return the key of a log as its public witnesses have to be told of it (C2SP signed-note's verifier key)."""
    return f"{origin}+{text_key_id(key).hex()}+{b64encode(_ECDSA + key.spki).decode()}"


@dataclass(frozen=True)
class PublicWitness:
    """A witness by its name and key; `algorithm` is ED25519 or ML_DSA_44."""

    name: str
    algorithm: int
    key: bytes

    @classmethod
    def read(cls, vkey: str) -> "PublicWitness":
        """Read a verifier key. Raises NoteMalformed."""
        found = _VKEY.fullmatch(vkey)
        if found is None:
            raise NoteMalformed("a witness's key is a name, eight hexadecimal digits and base64, with + between them")
        typed = read_base64(found["key"])
        witness = cls(found["name"], typed[0], typed[1:])
        if _KEY_BYTES.get(witness.algorithm) != len(witness.key):
            raise NoteMalformed("a witness's key is of cosignature/v1: Ed25519 (0x04) or ML-DSA-44 (0x06)")
        if witness.key_id.hex() != found["id"]:
            raise NoteMalformed("the digits in a witness's key are not of that name and key")
        return witness

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which its lines name it."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.key).digest()[:KEY_ID_BYTES]

    def line_of(self, note: bytes, answer: bytes) -> bytes:
        """Return its line under a head, out of an answer of some lines.

        Raises NoteMalformed, SignatureInvalid, HeadNotCosigned.
        """
        for line in answer.splitlines(keepends=True):
            found = read_line(line)
            if (found.name, found.key_id) == (self.name, self.key_id):
                self._require(found, note)
                return found.line()
        raise HeadNotCosigned("the public witness's answer has no line of its own")

    def _require(self, line: NoteSignature, note: bytes) -> None:
        stamp, signature = line.signature[:_TIME_BYTES], line.signature[_TIME_BYTES:]
        seconds = int.from_bytes(stamp, "big")
        if len(stamp) < _TIME_BYTES or not 0 < seconds <= LARGEST_SIZE:
            raise NoteMalformed("a cosignature begins with a time")
        try:
            if self.algorithm == ED25519:
                signed = cosigned_text(read_note(note).text, seconds)
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature, signed)
            else:
                MLDSA44PublicKey.from_public_bytes(self.key).verify(signature, self._subtree(note, seconds))
        except InvalidSignature as error:
            raise SignatureInvalid("a public witness's cosignature does not hold") from error

    def _subtree(self, note: bytes, seconds: int) -> bytes:
        """Return what ML-DSA-44 signs of a head: that it is the subtree from 0 to its size (C2SP tlog-cosignature)."""
        head = peek_head(note)
        name, origin = self.name.encode(), head.origin.encode()
        sized = [bytes([len(it)]) + it for it in (name, origin)]
        numbers = [it.to_bytes(8, "big") for it in (seconds, 0, head.size)]
        return b"subtree/v1\n\0" + sized[0] + numbers[0] + sized[1] + numbers[1] + numbers[2] + head.root


def add_checkpoint(note: bytes, old_size: int, proof: Sequence[bytes]) -> bytes:
    """Return what is posted to a witness's add-checkpoint (C2SP tlog-witness)."""
    lines = [f"old {old_size}", *(b64encode(it).decode() for it in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + note


def read_kept_size(answer: bytes) -> int:
    """Return the size that a witness keeps, of its answer 409. Raises NoteMalformed."""
    if re.fullmatch(rb"(0|[1-9][0-9]{0,18})\n", answer) is None or int(answer) > LARGEST_SIZE:
        raise NoteMalformed("a witness's conflict says the size that it keeps")
    return int(answer)
