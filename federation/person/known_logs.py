"""What a device remembers of others' logs, sealed: the newest head of each that it checked, and which leaves a patient was told.

So a log that was cut back or forked between two looks is found, and an entry that was told once and is no more.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from federation.errors import FederationError, HeadConflict, HeadOlder, LogProofInvalid, MissingField
from federation.party.member import Member
from federation.person.evidence import EvidenceBook
from federation.person.sealed_files import SealedFiles
from federation.protocol import exhibits
from federation.protocol.exhibit import KeptExhibit
from federation.protocol.judge import judge
from federation.protocol.judged_logs import authored, time_exhibit
from federation.protocol.log_head import peek_head
from federation.protocol.time import Instant
from federation.protocol.told_log import (
    KnownHead,
    LogAuthor,
    ToldLog,
    as_evidence,
    require_further,
    require_told,
    witnessed,
)
from federation.v1.access_pb2 import AccessEntry, ProvedHead
from federation.v1.log_pb2 import GetTimeStampResponse
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import PatientId
from keystore.transcript import digest, text, transcript

AskForStamp = Callable[[int, int], GetTimeStampResponse]
"""Asks a log's node for a time stamp: the log's number, and how many leaves it has to cover. Raises Unavailable."""

KNOWN_LOG = "known-log"
MOST_UNDATED = 64
"""Heads of a log that wait for a time stamp: where its node has no authority, they do so for ever."""
_NAME_BYTES = 16


@dataclass(frozen=True)
class UndatedHead:
    """A log's head under which something is evidence, and KS of then; an empty one of the public cloud."""

    note: bytes
    key_statement: SignedStatement

    @property
    def head(self) -> KnownHead:
        """Return what it says."""
        return KnownHead(peek_head(self.note), self.note)


class KnownLogs:
    """Heads of logs by whose they are, and what patients were told of them."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep them in this directory, sealed under this member's token key."""
        self._files = SealedFiles(directory, member, KNOWN_LOG)

    def head(self, party_id: str) -> KnownHead | None:
        """Return the newest head of a party's log that was checked, or None. Raises SealBroken."""
        note = self._files.get(_name("head", party_id))
        return None if note is None else KnownHead(peek_head(note), note)

    def keep(self, party_id: str, head: KnownHead) -> None:
        """Keep a head that was checked, in the place of the one before."""
        self._files.put(_name("head", party_id), head.note)

    def leaves(self, patient_id: PatientId, party_id: str) -> frozenset[int]:
        """Return which leaves of a log were told to be about a patient, at all looks from here. Raises SealBroken."""
        kept = self._files.get(_name("told", party_id, patient_id))
        return frozenset(json.loads(kept)) if kept else frozenset()

    def remember(self, patient_id: PatientId, party_id: str, entries: Iterable[AccessEntry]) -> None:
        """Keep that these were told."""
        leaves = self.leaves(patient_id, party_id) | {entry.leaf_index for entry in entries}
        self._files.put(_name("told", party_id, patient_id), json.dumps(sorted(leaves)).encode())

    def shown(self, patient_id: PatientId, origin: str) -> frozenset[int]:
        """Return which leaves of this log about a patient are evidence already. Raises SealBroken."""
        kept = self._files.get(_name("shown", origin, patient_id))
        return frozenset(json.loads(kept)) if kept else frozenset()

    def undated(self, party_id: str) -> list[UndatedHead]:
        """Return the heads of a party's log that are evidence and have no time stamp yet, the oldest first. Raises SealBroken."""
        kept = self._files.get(_name("undated", party_id))
        found = [] if kept is None else json.loads(kept)
        return [UndatedHead(b64decode(note), SignedStatement.FromString(b64decode(stated))) for note, stated in found]

    def keep_undated(self, party_id: str, heads: Sequence[UndatedHead]) -> None:
        """Keep that these are: the newest of them, if they are many."""
        written = [
            [b64encode(it).decode() for it in (head.note, head.key_statement.SerializeToString(deterministic=True))]
            for head in heads[-MOST_UNDATED:]
        ]
        self._files.put(_name("undated", party_id), json.dumps(written).encode())

    def keep_shown(self, patient_id: PatientId, origin: str, leaves: frozenset[int]) -> None:
        """Keep that these are."""
        self._files.put(_name("shown", origin, patient_id), json.dumps(sorted(leaves)).encode())


@dataclass(frozen=True)
class LogAnswer:
    """What a party said of its log, whose key and KS are these, unchecked: entries, their head, where older ones are."""

    entries: Sequence[AccessEntry]
    head: ProvedHead | None
    author: LogAuthor
    key_statement: SignedStatement | None = None
    older: int | None = None


class LogChecker:
    """Checks what logs tell a patient, by what this device remembers; keeps what it checked, and what tells against a log."""

    def __init__(self, member: Member, known: KnownLogs, book: EvidenceBook) -> None:
        """Remember heads there, and keep evidence in this book."""
        self._member = member
        self._known = known
        self._book = book

    def known_size(self, party_id: str) -> int:
        """Return of which size the head of a party's log is that is remembered, 0 for none."""
        known = self._known.head(party_id)
        return 0 if known is None else known.head.size

    def checked(
        self, said: LogAnswer, patient_id: PatientId, before: ToldLog | None = None, *, now: Instant
    ) -> ToldLog:
        """Check what a log told of a patient, and remember its head; a further page is put to those before. Raises MissingField.

        And as `require_told`, `require_further`. Where the head does not follow the one that is remembered, or that of the page
        before, both are kept as evidence, and the older stays.
        """
        if said.head is None:
            raise MissingField("a log came without its head")  # told.1
        author, entries = said.author, tuple(said.entries)
        known = self._known.head(author.party_id) if before is None else before.head
        try:
            if before is None:
                told = require_told(entries, said.head, patient_id, author, known, said.older)
            else:
                told = require_further(entries, said.head, patient_id, author, before, said.older)
        except (HeadConflict, HeadOlder, LogProofInvalid):
            if known is not None:
                exhibit = exhibits.of_heads(known.note, said.head, author.party_id, said.key_statement)
                self._book.keep(exhibit, digest(said.head.note), now=now)
            raise
        if before is None:
            self._known.keep(author.party_id, told.head)
            told = witnessed(told, said.head, self._member.verifier(), now=now)
        self._keep(told, said.head, patient_id, author, said.key_statement, now)
        return told

    def _keep(
        self,
        told: ToldLog,
        head: ProvedHead,
        patient_id: PatientId,
        author: LogAuthor,
        key_statement: SignedStatement | None,
        now: Instant,
    ) -> None:
        """Keep what was told for the first time as evidence, with what proves it today."""
        origin = told.head.head.origin
        shown = self._known.shown(patient_id, origin)
        new = [entry for entry in told.entries if entry.leaf_index not in shown]
        if not new:
            return
        proved = as_evidence(head, author, self._member.verifier(), now=now)
        exhibit = exhibits.of_accesses(proved, new, patient_id, author.party_id, key_statement)
        self._book.keep(exhibit, digest(proved.note), now=now)
        self._known.keep_shown(patient_id, origin, shown | {entry.leaf_index for entry in new})
        head_to_date, waiting = (
            UndatedHead(proved.note, key_statement or SignedStatement()),
            self._known.undated(author.party_id),
        )
        if head_to_date not in waiting:  # the pages of a look are below one head
            self._known.keep_undated(author.party_id, [*waiting, head_to_date])

    def have_dated(self, party_id: str, ask: AskForStamp, *, now: Instant) -> None:
        """Keep a time stamp over each head of a party's log that is evidence, as far as its node has one by now.

        Only what a judge would take is kept. A node that does not answer, or has none yet, is asked at the next look.
        """
        waiting, known = self._known.undated(party_id), self._known.head(party_id)
        # Nothing proves that a log which was begun anew goes on from a head of the one before.
        heads = [it for it in waiting if known is not None and it.head.number == known.number]
        dated = list[UndatedHead]()
        with suppress(FederationError):
            for head in heads:
                stamp = ask(head.head.number, head.head.head.size)
                if not self._has_kept(party_id, head, stamp, now):
                    break  # nor has it one of a newer head
                dated.append(head)
        left = [it for it in heads if it not in dated]
        if left != waiting:
            self._known.keep_undated(party_id, left)

    def _has_kept(self, party_id: str, head: UndatedHead, stamp: GetTimeStampResponse, now: Instant) -> bool:
        if not stamp.HasField("time_stamp"):
            return False
        stated = head.key_statement if head.key_statement.HasField("statement") else None
        # A witness may have another key by now than the one that its line is by: the stamp counts without it, too.
        alone = GetTimeStampResponse(
            note=authored(stamp.note),
            key_statement=stamp.key_statement if stamp.HasField("key_statement") else None,
            time_stamp=stamp.time_stamp,
            consistency=stamp.consistency,
        )
        for shown in (stamp, alone):
            exhibit = time_exhibit(party_id, head.note, stated, shown)
            (judged,) = judge([KeptExhibit(exhibit, b"", now, 0)], self._member.anchors)
            if judged.holds:
                self._book.keep(exhibit, digest(head.note), now=now)
                return True
        return False


def _name(*parts: str) -> bytes:
    return digest(transcript("known-log", *map(text, parts)))[:_NAME_BYTES]
