"""The own log, checked as a whole: its tree, what each entry commits to, and the heads that were signed of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federation.errors import Corrupt, FederationError
from federation.party.audit import Audit
from federation.protocol.log_head import LogHead, open_head, peek_head
from federation.protocol.notes import read_note, text_key_id
from federation.protocol.time import Instant
from federation.store.database import Database
from federation.store.log_heads import LogHeads
from federation.store.rows import StoredHead
from keystore.generations import GenerationBook
from keystore.party import IDENTITY, PartyKeys
from keystore.signatures import VerifyingKey


@dataclass(frozen=True)
class Verified:
    """What was found: how many entries the tree has, how many signed heads it gives, and the newest of these."""

    entries: int
    heads: int
    newest: LogHead | None


@dataclass(frozen=True)
class SignedHeads:
    """The heads that were signed of a log, and the keys that sign them; there may have been others that were given up since."""

    heads: LogHeads
    keys: Sequence[VerifyingKey]
    gave_keys_up: bool

    @classmethod
    def of(cls, database: Database, keys: PartyKeys, book: GenerationBook, now: Instant) -> "SignedHeads":
        """Return those of a node; of its keys those that are usable now."""
        generations = book.read()
        usable = generations.usable(IDENTITY, now)
        known = [keys.signing_key_of(it.number).verifying_key for it in usable]
        gone = any(it.revoked_at is not None for it in generations.of(IDENTITY))
        return cls(LogHeads(database), known, gone)


def verify_log(audit: Audit, signed: SignedHeads, progress: Callable[[int], None] = lambda _: None) -> Verified:
    """Check the log by itself. Raises StoredRecordCorrupt, Corrupt. `progress` is told of entries as they are read."""
    kept = [_opened(head, signed) for head in signed.heads.all()]
    return Verified(audit.verify(progress), len(kept), kept[-1] if kept else None)


def _opened(head: StoredHead, signed: SignedHeads) -> LogHead:
    said = peek_head(head.note)
    _require_own(head, said.origin, signed)
    if (said.size, said.root) != (head.size, head.root):
        raise Corrupt(f"the head of the log at entry {head.size} is kept as another than was signed")
    return said


def _require_own(head: StoredHead, origin: str, signed: SignedHeads) -> None:
    """Require a signature of a key of this node. Of one that it gave up the root alone speaks, which the tree has to have."""
    named = {it.key_id for it in read_note(head.note).signatures}
    key = next((it for it in signed.keys if text_key_id(it) in named), None)
    if key is None and signed.gave_keys_up:
        return
    if key is None:
        raise Corrupt(f"none of this node's keys signed the head of the log at entry {head.size}")
    try:
        open_head(head.note, origin, key)
    except FederationError as error:
        raise Corrupt(f"the head of the log at entry {head.size} is not as it was signed") from error
