"""What a party tells a patient of its log: entries, each proved below a head that it signed (docs/protocol.md, told)."""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.party.audit import Audit
from federation.party.log_heads import OwnLog
from federation.party.patients import LogPlace
from federation.protocol.access_log import MOST_WITNESSES, as_many_as_fit, prove, proved_head
from federation.protocol.merkle import EMPTY_ROOT, NodeReader
from federation.protocol.notes import read_note, text_key_id
from federation.store.rows import StoredHead
from federation.v1.access_pb2 import AccessEntry, ProvedHead
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import PatientId
from keystore.signatures import SigningKey


@dataclass(frozen=True)
class Telling:
    """Which of a patient's entries are to be told: so many that have room with the head, behind a place, and what is known.

    Behind a place, which is a further page, `known_size` is that of the first one's head.
    """

    patient_id: PatientId
    limit: int
    size_bytes: int
    known_size: int = 0
    after: LogPlace | None = None


@dataclass(frozen=True)
class ToldPage:
    """Entries, the newest first, what they are proved against, and the last one's place where older ones are left."""

    accesses: Sequence[AccessEntry]
    log_head: ProvedHead
    after: LogPlace | None


def tell(own: OwnLog, audit: Audit, telling: Telling, key: SigningKey) -> ToldPage:
    """Tell a patient who did, proved by a head under this key. What waits is sequenced first.

    Raises Corrupt, StoreError, HsmError.
    """
    own.log.sequence()
    page = audit.log_of(telling.patient_id, after=telling.after, limit=telling.limit)
    covered = page.accesses[0].leaf_index + 1 if page.accesses else 0
    head = _of_first_page(own, telling, covered) or _covering(own, max(covered, telling.known_size))
    note, witnesses = _noted(own, head, key)

    def proved(read: NodeReader) -> ProvedHead:
        for entry in page.accesses:
            prove(entry, head.size, read)
        return proved_head(note, head.size, telling.known_size, read, witnesses)

    log_head = own.log.reading(proved)
    told = page.accesses[: as_many_as_fit(page.accesses, log_head, telling.size_bytes)]
    after = page.after
    if len(told) < len(page.accesses):
        after = LogPlace(told[-1].leaf_index + 1, told[-1].number)
    return ToldPage(told, log_head, after)


def _of_first_page(own: OwnLog, telling: Telling, covered: int) -> StoredHead | None:
    """Return the head that a further page is to be proved against; None for a first one, or where this log has no such head."""
    if telling.after is None or telling.known_size < covered:
        return None
    return own.heads.get(own.log.state().number, telling.known_size)


def _covering(own: OwnLog, size: int) -> StoredHead:
    """Return the newest head that is believed if it covers so many leaves, else the newest, signed now where none does."""
    cosigned, number = own.newest_believed(), own.log.state().number
    if cosigned is not None and cosigned.number == number and cosigned.size >= size:
        return cosigned
    newest = own.sign_newest()
    return newest or StoredHead(number, 0, EMPTY_ROOT, own.clock(), b"")


def _noted(own: OwnLog, head: StoredHead, key: SigningKey) -> tuple[bytes, Sequence[SignedStatement]]:
    """Return a head's note under this key, with the lines of its witnesses, and the statements that these are verified by."""
    kept = own.heads.cosignatures(head.number, head.size)
    lines = sorted(kept, key=lambda it: not own.policy.counts(it.witness_id))[:MOST_WITNESSES]
    note = head.note
    if not _is_by(note, key):
        # Nothing was logged before, or it was signed by a key that has a successor: the lines below it are of its text.
        note = own.note(head.number, head.size, head.root, key)
    stated = (own.statement_of(it.witness_id) for it in lines)
    return note + b"".join(it.line for it in lines), [it for it in stated if it is not None]


def _is_by(note: bytes, key: SigningKey) -> bool:
    return bool(note) and read_note(note).signatures[0].key_id == text_key_id(key.verifying_key)
