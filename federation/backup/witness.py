"""What the members have heard of a public cloud that was restored: its newest directory, by which it goes on.

A backup is older than the cloud was. The revocations since, the newest trust bundle and the number of the newest list are with
every member, signed by the cloud itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import DecodeError

from federation.backup.make import DIRECTORY
from federation.backup.manifest import Manifest
from federation.cloud.directory import LIST_FLOOR
from federation.cloud.node import PublicCloudNode
from federation.errors import FederationError
from federation.hospital.node import HospitalNode
from federation.party.epochs import as_stored
from federation.protocol.anchors import open_head
from federation.protocol.bundle import LABEL, TrustedBundle, pin
from federation.protocol.registration import CREDENTIAL_LIFE
from federation.protocol.revocations import SHARDS, Shard, WholeSet
from federation.protocol.statements import peek_statement, verify_signature
from federation.protocol.time import Instant, milliseconds
from federation.store.directory import TrustChain
from federation.store.errors import BackupRejected
from federation.store.party import Settings
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.statement_pb2 import RevocationExcerpt, RevocationHead
from keystore.signatures import VerifyingKey
from keystore.transcript import transcript

_KEPT = CREDENTIAL_LIFE + timedelta(days=1)
"""How long the restored cloud keeps a revocation whose end nobody knows any more: a list says what is revoked, not until when."""

_LEAP = 1_000_000
_LISTS_A_SECOND = 1_000
"""More lists than a cloud makes."""

_LENGTH = 4


@dataclass(frozen=True)
class Witness:
    """A directory as a hospital took it, and all shards of the revocation list under its head."""

    directory: GetDirectoryResponse
    shards: RevocationExcerpt

    @classmethod
    def of(cls, content: bytes) -> "Witness":
        """Read what `heard` gave. Raises BackupRejected."""
        size = _LENGTH + int.from_bytes(content[:_LENGTH])
        try:
            directory = GetDirectoryResponse.FromString(content[_LENGTH:size])
            shards = RevocationExcerpt.FromString(content[size:])
        except DecodeError as error:
            raise BackupRejected("this is no directory of a public cloud") from error
        if not directory.HasField("trust_bundle") or not directory.HasField("revocation_head"):
            raise BackupRejected("this is no directory of a public cloud")
        return cls(directory, shards)

    def verified(self, own: Sequence[VerifyingKey]) -> "Heard":
        """Return what it says if one of the cloud's own keys signed it. Raises BackupRejected."""
        try:
            bundle = pin(self.directory.trust_bundle)
            covered = transcript(LABEL, bundle.signed.statement)
            _require_one(own, bundle.signed.signature, covered)
            head = open_head(bundle.anchors, self.directory.revocation_head)
            shards = {it.prefix: Shard.read(it) for it in self.shards.shards if it.prefix < SHARDS}
            return Heard(bundle, head, WholeSet.of(shards).require_of(head))
        except FederationError as error:
            raise BackupRejected(f"a member's directory does not verify: {error}") from error


@dataclass(frozen=True)
class Heard:
    """What a member had of the cloud, verified."""

    bundle: TrustedBundle
    head: RevocationHead
    revocations: WholeSet


def heard(node: HospitalNode) -> bytes:
    """Return the newest directory that a hospital has taken, with all shards. Raises BackupRejected if it has none."""
    directory, lists = node.member.directory, node.member.lists.current()
    if directory is None or not isinstance(lists.listed, WholeSet):
        raise BackupRejected("this hospital has heard nothing of the public cloud yet")
    shards = [shard.message(prefix) for prefix, shard in enumerate(lists.listed.shards) if shard.size]
    kept = directory.SerializeToString(deterministic=True)
    return len(kept).to_bytes(_LENGTH) + kept + RevocationExcerpt(shards=shards).SerializeToString(deterministic=True)


def take_up(node: PublicCloudNode, witnesses: Sequence[Witness], *, now: Instant) -> None:
    """Let a restored cloud go on from the newest of what its members heard. Raises BackupRejected, StoreError."""
    keys, book = node.cloud.keys, node.book.read()
    own = [keys.signing_key_of(it.number).verifying_key for it in book.usable("identity", now)]
    verified = [witness.verified(own) for witness in witnesses]
    chain = TrustChain(node.database)
    newest = max((it.bundle for it in verified), key=lambda bundle: bundle.sequence)
    if newest.sequence > node.trust().sequence:
        chain.put(newest.sequence, as_stored(newest.signed))
    revocations, expires_at = node.cloud.stores.revocations, now + milliseconds(_KEPT)
    for it in verified:
        entries = [change for shard in it.revocations.shards for change in shard.changes]
        revocations.hear((it.entry for it in entries if not it.before), expires_at=expires_at, at=now)
        for sweep in (it for it in entries if it.before):
            revocations.sweep(sweep.entry, sweep.before, expires_at=expires_at, at=now)
    _set_floor(node, max(it.head.sequence for it in verified) + 1)


def floor_without(node: PublicCloudNode, manifest: Manifest, *, now: Instant) -> None:
    """Let a restored cloud's list numbers leap over all that it may have given out since. Raises StoreError."""
    seconds = max(0, now - manifest.made_at) // 1000
    kept = Settings(node.database).get(DIRECTORY)
    at_backup = 0
    if kept is not None:
        at_backup = peek_statement(RevocationHead, GetDirectoryResponse.FromString(kept).revocation_head).sequence
    _set_floor(node, at_backup + _LEAP + _LISTS_A_SECOND * seconds)


def _set_floor(node: PublicCloudNode, number: int) -> None:
    Settings(node.database).put(LIST_FLOOR, str(number).encode())


def _require_one(own: Sequence[VerifyingKey], signature: bytes, covered: bytes) -> None:
    refused: FederationError | None = None
    for key in own:
        try:
            return verify_signature(key, signature, covered)
        except FederationError as error:
            refused = error
    raise BackupRejected("none of this cloud's keys signed a member's trust bundle") from refused
