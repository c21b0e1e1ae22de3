"""What a log tells its patient, checked by the patient: each entry by its leaf, the head, and the head remembered before (told).

Pure: what is remembered goes in, what is to be remembered comes out. Who keeps it is `federation.person.known_logs`.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

from federation.errors import (
    AnswerMismatch,
    FederationError,
    FieldInvalid,
    HeadConflict,
    HeadOlder,
    IdentityMismatch,
    LeafMismatch,
    LogProofInvalid,
)
from federation.protocol.access_log import event_of
from federation.protocol.log_head import LogHead, Origin, held_lines, open_head, peek_head
from federation.protocol.log_leaf import access_leaf
from federation.protocol.merkle import leaf_hash, require_consistent, require_included
from federation.protocol.notes import read_note, text_key_id
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty, Verifier
from federation.v1.access_pb2 import AccessEntry, ProvedHead
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from keystore.identities import PatientId
from keystore.signatures import VerifyingKey


@dataclass(frozen=True)
class LogAuthor:
    """Whose log it is: a realm's public cloud or hospital, and its key of now."""

    realm: str
    party_id: str
    key: VerifyingKey


@dataclass(frozen=True)
class KnownHead:
    """A head of a log that was checked, and its note."""

    head: LogHead
    note: bytes

    @property
    def number(self) -> int:
        """Return which of its author's logs it is of: a later one begins where an older copy of the log was restored."""
        return Origin.read(self.head.origin).number


@dataclass(frozen=True)
class ToldLog:
    """What a log told of a patient, each entry proved below this head, the newest first.

    `cosigners` are those of that head that count by the witness policy, which asks for so many `cosignatures`. `begins_anew`
    says that this log is another than the one remembered: nothing proves what became of that one. Older entries, which were not
    asked for, are before the leaf `older`; None where there are none. `asked_at` is when it was asked.
    """

    entries: tuple[AccessEntry, ...]
    head: KnownHead
    cosigners: tuple[str, ...]
    begins_anew: bool = False
    older: int | None = None
    asked_at: Instant = 0
    cosignatures: int = 1

    @property
    def is_witnessed(self) -> bool:
        """Return whether as many have cosigned the head as the federation asks for."""
        return len(self.cosigners) >= self.cosignatures

    @property
    def untold(self) -> int:
        """Return how many it counts and does not tell, where it should: between two, or behind the last of all."""
        if not self.entries:
            return 0
        behind = 0 if self.older is None else self.entries[-1].number - 1
        return self.entries[0].number - len(self.entries) - behind


def require_told(
    entries: Sequence[AccessEntry],
    head: ProvedHead,
    patient_id: PatientId,
    author: LogAuthor,
    known: KnownHead | None,
    older: int | None = None,
) -> ToldLog:
    """Check what a log told of a patient, where this head of it is remembered. Its cosigners are looked at by `witnessed`.

    By its word older entries are before the leaf `older`.

    Raises IdentityMismatch, NoteMalformed, SignatureInvalid, FieldInvalid; LeafMismatch of an entry that is not what its leaf
    says; HeadOlder, HeadConflict, LogProofInvalid of a head that does not follow the one remembered.
    """
    origin = Origin.read(peek_head(head.note).origin)
    if origin != Origin.of(author.realm, author.party_id, origin.number):
        raise IdentityMismatch("this is the head of somebody else's log")  # told.2
    shown = KnownHead(open_head(head.note, str(origin), author.key), head.note)  # told.3
    _require_order(entries)  # told.4
    for entry in entries:
        _require_in(shown.head, entry, patient_id, author.party_id)  # told.5
    if older is not None and entries and older > entries[-1].leaf_index:
        raise FieldInvalid("older entries of a log are said to be where newer ones are")  # told.10
    begins_anew = known is not None and _follows(known, shown, head)
    return ToldLog(tuple(entries), shown, (), begins_anew, older)


def require_further(
    entries: Sequence[AccessEntry],
    head: ProvedHead,
    patient_id: PatientId,
    author: LogAuthor,
    before: ToldLog,
    older: int | None = None,
) -> ToldLog:
    """Check a further page of what a log told, and return it put to the pages before, which were checked: below one head.

    Raises as `require_told`; AnswerMismatch for a page below another head.
    """
    page = require_told(entries, head, patient_id, author, before.head, older)
    if page.head.head != before.head.head:
        raise AnswerMismatch("a further page of a log is below another head than the first")  # told.9
    _require_order((*before.entries[-1:], *page.entries))  # told.10
    _require_before(before.older, page)
    return replace(before, entries=before.entries + page.entries, older=older)


def witnessed(told: ToldLog, head: ProvedHead, verifier: Verifier, *, now: Instant) -> ToldLog:
    """Return what was told with who has cosigned its head, as far as they count by the policy of now, and how many it asks for.

    Who may are the hospitals whose statements came along, and the public cloud; a line that does not hold counts nothing.
    """
    policy, author_id = verifier.anchors.witnesses.newest, Origin.read(told.head.head.origin).author_id
    cosigners = policy.counted(_cosigned(head, verifier, now), author_id)
    return replace(told, cosigners=cosigners, cosignatures=policy.cosignatures)


def as_evidence(head: ProvedHead, author: LogAuthor, verifier: Verifier, *, now: Instant) -> ProvedHead:
    """Return a head that held with its author's line and those of its cosigners, their statements, and nothing else."""
    note, own_name = read_note(head.note), (peek_head(head.note).origin, text_key_id(author.key))
    own = next(it for it in note.signatures if (it.name, it.key_id) == own_name)
    lines, stated = _cosigned(head, verifier, now), _witnesses(head, verifier, now)
    return ProvedHead(
        note=note.text + b"\n" + own.line() + b"".join(lines.values()),
        witness_key_statements=[party.key_statement for witness_id, party in stated.items() if witness_id in lines],
    )


def _witnesses(head: ProvedHead, verifier: Verifier, now: Instant) -> dict[str, VerifiedParty]:
    """Return the hospitals whose statements came along with a head, and held."""
    found = dict[str, VerifiedParty]()
    for signed in head.witness_key_statements:
        with suppress(FederationError):
            party = verifier.party(signed, ROLE_HOSPITAL, now=now)
            found[party.identity] = party
    return found


def _cosigned(head: ProvedHead, verifier: Verifier, now: Instant) -> dict[str, bytes]:
    """Return the line of each witness under a head whose cosignature holds."""
    keys = [(verifier.anchors.cloud_id, verifier.anchors.cloud_key_at(now))]
    keys += [(witness_id, party.key) for witness_id, party in _witnesses(head, verifier, now).items()]
    return held_lines(head.note, [it.line() for it in read_note(head.note).signatures], keys)


def _require_order(entries: Sequence[AccessEntry]) -> None:
    for newer, older in pairwise(entries):
        if newer.number <= older.number or newer.leaf_index <= older.leaf_index:
            raise FieldInvalid("the entries of a log are not the newest first")


def _require_before(leaf: int | None, page: ToldLog) -> None:
    if leaf is not None and any(it.leaf_index >= leaf for it in page.entries[:1]):
        raise FieldInvalid("a further page of a log has entries that were not asked for")  # told.10
    if leaf is not None and page.older is not None and page.older >= leaf:
        raise FieldInvalid("a further page of a log leads nowhere")  # told.10


def _require_in(head: LogHead, entry: AccessEntry, patient_id: PatientId, party_id: str) -> None:
    leaf = access_leaf(event_of(entry, patient_id), party_id, entry.at, entry.blind)
    try:
        require_included(leaf_hash(leaf), entry.leaf_index, head.size, entry.inclusion, head.root)
    except LogProofInvalid as error:
        raise LeafMismatch("an entry is not what the log has at its place") from error


def _follows(known: KnownHead, shown: KnownHead, proved: ProvedHead) -> bool:
    """Require that a head follows the one remembered; say whether it is of a log that was begun anew."""
    if shown.number > known.number:
        return True
    if shown.number < known.number or shown.head.size < known.head.size:
        raise HeadOlder("a log is shorter than it was when it was last looked at")  # told.6
    if shown.head.size == known.head.size and shown.head.root != known.head.root:
        raise HeadConflict(f"two heads of {known.head.size} leaves", kept=known.note, shown=shown.note)  # told.7
    require_consistent(known.head.tree, shown.head.tree, proved.consistency)  # told.8
    return False
