"""What a backup says of itself, and the seal by which its node knows it again.

The manifest names every file's digest and every key that the backup needs. Its own digest is sealed under the token's sealing
key: who can't use that key can't make a backup that is taken, nor change one.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from federation.party.generations import StoredGenerations
from federation.settings import CloudSettings, HospitalSettings
from federation.store.errors import BackupRejected
from hsm import Token
from keystore.errors import GenerationsBroken, SealBroken
from keystore.generations import USABLE, GenerationBook, Generations, State, label_of
from keystore.keyring import Clock, Sealing
from keystore.party import IDENTITY, ISSUING, TLS_CA, CloudKeys, HospitalKeys
from keystore.signatures import VerifyingKey
from keystore.transcript import text, transcript

FORMAT = "medunion-backup/1"
MANIFEST, SEAL = "manifest.json", "manifest.seal"
SETTINGS, TRUST, BLOB_LIST, BLOBS = "medunion.toml", "trust.json", "blobs.sha256", "blobs"
_CHUNK_BYTES = 1024 * 1024
_SIGNING = frozenset({IDENTITY, ISSUING, TLS_CA})


@dataclass(frozen=True)
class Role:
    """A kind of node that can be backed up; `letter` is the first of its identities."""

    name: str
    letter: str
    settings: type[CloudSettings] | type[HospitalSettings]
    keys: Callable[[Token, GenerationBook, Clock], CloudKeys | HospitalKeys]
    purposes: tuple[str, ...]


ROLES = {
    "public-cloud": Role("public-cloud", "C", CloudSettings, CloudKeys, CloudKeys.purposes),
    "hospital": Role("hospital", "H", HospitalSettings, HospitalKeys, HospitalKeys.purposes),
}


@dataclass(frozen=True)
class Manifest:
    """A backup in one page. Times are ms since 1970, digests SHA-256 in hexadecimal; `files` is by name."""

    format: str
    made_at: int
    medunion: str
    role: str
    identity: str
    database: str
    schema: str
    log_entries: int
    log_head: str
    list_number: int
    blobs: int
    blobs_copied: bool
    keys: tuple[str, ...]
    public_keys: Mapping[str, str]
    generations: str
    files: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Write it, for people too."""
        return json.dumps(asdict(self), indent=2, sort_keys=True).encode() + b"\n"

    @classmethod
    def of(cls, content: bytes) -> "Manifest":
        """Read what `to_bytes` wrote. Raises BackupRejected."""
        try:
            fields = json.loads(content)
            manifest = cls(**{**fields, "keys": tuple(fields["keys"])})
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise BackupRejected("the manifest can't be read") from error
        if manifest.format != FORMAT or manifest.to_bytes() != content:
            raise BackupRejected(f"this is no backup of the format {FORMAT}")
        if manifest.role not in ROLES:
            raise BackupRejected(f"this is a backup of a {manifest.role!r}, and there is no such node")
        return manifest

    @property
    def digest(self) -> str:
        """Return the digest that stands for the whole backup."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def book(self) -> GenerationBook:
        """Return the generations of the keys as they were. Raises BackupRejected."""
        try:
            return _Fixed(Generations.from_json(self.generations.encode()))
        except GenerationsBroken as error:
            raise BackupRejected("the generations of the keys can't be read") from error

    def require_files(self, directory: Path) -> None:
        """Check that each file is what it was. Raises BackupRejected."""
        for name, expected in self.files.items():
            path = directory / name
            if path.name != name or not path.is_file() or digest_of(path) != expected:
                raise BackupRejected(f"{name} is not what was kept")


@dataclass(frozen=True)
class _Fixed:
    generations: Generations

    def read(self) -> Generations:
        return self.generations


def needed(generations: Generations, purposes: tuple[str, ...], now: int) -> tuple[str, ...]:
    """Return the labels without which something kept does not open, or nothing new is signed as before."""
    labels = []
    for purpose in purposes:
        active = generations.active(purpose, now).number
        for it in generations.of(purpose):
            state = generations.state(purpose, it.number, now)
            opens = purpose not in _SIGNING and state in USABLE | {State.PREPARED}
            if it.number == active or opens:
                labels.append(label_of(purpose, it.number))
    return tuple(labels)


def public_keys(keys: CloudKeys | HospitalKeys) -> dict[str, str]:
    """Return the public halves of the keys that sign now, by purpose."""
    found = {IDENTITY: keys.signing_key.verifying_key, TLS_CA: VerifyingKey.of(keys.tls_ca_key.public_key())}
    public = {purpose: key.data.hex() for purpose, key in found.items()}
    return public | ({ISSUING: keys.issuing.public_key.hex()} if isinstance(keys, CloudKeys) else {})


def seal(manifest: Manifest, sealing: Sealing) -> bytes:
    """Seal a manifest's digest."""
    return sealing.seal(bytes.fromhex(manifest.digest), _context(manifest))


def require_sealed(manifest: Manifest, sealed: bytes, sealing: Sealing) -> None:
    """Check that this token's key sealed this manifest. Raises BackupRejected."""
    try:
        kept = sealing.open(sealed, _context(manifest))
    except SealBroken as error:
        raise BackupRejected("the seal of the backup does not open under this token's keys") from error
    if not hmac.compare_digest(kept, bytes.fromhex(manifest.digest)):
        raise BackupRejected("the manifest is not what was sealed")


def digest_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def as_kept(book: StoredGenerations) -> str:
    """Return the generations as they stand now, in the form of the manifest."""
    return book.reread().to_json().decode()


def _context(manifest: Manifest) -> bytes:
    return transcript("backup", text(manifest.role), text(manifest.identity))
