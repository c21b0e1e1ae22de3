"""Signed notes (C2SP signed-note): a text, a blank line, and a line for each signature. docs/protocol.md, section 8.

Others' tools read them: so these signatures are DER, over the text itself, and name their key by four bytes.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature

from federation.errors import NoteMalformed, SignatureInvalid
from keystore.signatures import SigningKey, VerifyingKey

MOST_NOTE_BYTES = 16384
MOST_SIGNATURES = 64
KEY_ID_BYTES = 4
_DASH = "\N{EM DASH} "
_LINE = re.compile(f"{_DASH}(?P<name>[!-*,-~]+) (?P<signature>[A-Za-z0-9+/]+={{0,2}})\n")


@dataclass(frozen=True)
class NoteSignature:
    """One line under a note: the key's name, the four bytes that say which key, and what it signed with."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> bytes:
        """Return the line, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n".encode()


@dataclass(frozen=True)
class Note:
    """A note that was taken apart. Its text is nobody's until a signature under it holds."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


def text_key_id(key: VerifyingKey) -> bytes:
    """Return the key id of ECDSA signatures of notes (type 0x02): of SHA-256 of the key's SubjectPublicKeyInfo."""
    return hashlib.sha256(key.spki).digest()[:KEY_ID_BYTES]


def sign_note(text: bytes, name: str, key: SigningKey) -> bytes:
    """Return a text with one signature under it. Raises hsm.errors.HsmError of a key in a token."""
    line = NoteSignature(name, text_key_id(key.verifying_key), key.sign_text(text)).line()
    return text + b"\n" + line


def read_note(data: bytes) -> Note:
    """Take a note apart. Raises NoteMalformed."""
    text, lines = _split(_printable(data))
    return Note(text.encode(), tuple(map(_read_line, lines)))


def read_line(data: bytes) -> NoteSignature:
    """Read one line of a signature, with its newline. Raises NoteMalformed."""
    return _read_line(_printable(data))


def verify_text(key: VerifyingKey, signature: bytes, text: bytes) -> None:
    """Raise SignatureInvalid unless the signature holds over a text."""
    try:
        key.verify_text(signature, text)
    except InvalidSignature as error:
        raise SignatureInvalid("a signature of a note does not hold") from error


def require_signed(note: Note, name: str, key: VerifyingKey) -> None:
    """Require a signature under the note by this key under this name; others' are left alone. Raises SignatureInvalid."""
    key_id = text_key_id(key)
    own = [it for it in note.signatures if (it.name, it.key_id) == (name, key_id)]
    if not own:
        raise SignatureInvalid("the note is not signed by this key")
    for it in own:
        verify_text(key, it.signature, note.text)


def _printable(data: bytes) -> str:
    """Return the text of a note. Raises NoteMalformed for what is no UTF-8, has control characters, or is too long."""
    if len(data) > MOST_NOTE_BYTES:
        raise NoteMalformed("a note is not as long as that")
    try:
        decoded = data.decode()
    except UnicodeDecodeError as error:
        raise NoteMalformed("a note is UTF-8") from error
    if any(char < " " and char != "\n" for char in decoded):
        raise NoteMalformed("a note has no control characters")
    return decoded


def _split(note: str) -> tuple[str, list[str]]:
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not text or not lines.endswith("\n"):
        raise NoteMalformed("a note is a text, an empty line, and signatures")
    found = lines.split("\n")[:-1]
    if len(found) > MOST_SIGNATURES:
        raise NoteMalformed("a note has not as many signatures as that")
    return text + "\n", [line + "\n" for line in found]


def _read_line(line: str) -> NoteSignature:
    found = _LINE.fullmatch(line)
    if found is None:
        raise NoteMalformed("a line under a note is a dash, a name and a signature")
    signature = read_base64(found["signature"])
    if len(signature) <= KEY_ID_BYTES:
        raise NoteMalformed("a signature of a note is longer than its key id")
    return NoteSignature(found["name"], signature[:KEY_ID_BYTES], signature[KEY_ID_BYTES:])


def read_base64(text: str) -> bytes:
    """Read base64 in its one form (RFC 4648, section 4). Raises NoteMalformed."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteMalformed("this is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteMalformed("this base64 has another form")
    return data
