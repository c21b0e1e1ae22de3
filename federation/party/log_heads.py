"""A server's own log as others see it: its signed heads, the lines of its witnesses under them, and proofs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federation.clock import Clock
from federation.protocol.anchors import Anchors
from federation.protocol.log_head import LogHead, Origin, sign_head
from federation.protocol.merkle import consistency_proof, root
from federation.protocol.time import Instant
from federation.protocol.witness_policy import WitnessPolicies, WitnessPolicy
from federation.store.errors import NotStored, StoredRecordCorrupt
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Settings
from federation.store.rows import StoredCosignature, StoredHead
from federation.store.time_stamps import TimeStamps
from federation.v1.log_pb2 import GetLogHeadResponse, GetTimeStampResponse
from federation.v1.statement_pb2 import SignedStatement
from keystore.signatures import SigningKey

_WITNESS = "witness "
"""Before the name of a witness: where its KS is kept."""

_COSIGNED_AT = "log-cosigned-at"
_ASKED_AT = "log-asked-at"


_MOST_LINES_BYTES = 7_168
"""Lines that are shown under a head: with it they are a note of 8 kB at most."""

_PUBLIC = "public "
"""Before the name of a witness that is no member: no id begins so, and no such name has a space."""


def public_id(name: str) -> str:
    """Return under what the lines of a public witness are kept."""
    return _PUBLIC + name


@dataclass(frozen=True)
class OwnLog:
    """The log of this server. Safe for several threads and processes.

    `anchors` are of the trust bundle at hand, which says whose cosignatures count. `key_statement` gives KS, of which the cloud
    has none; `signing_key` the PRK that is active at a moment.
    """

    identity: str
    anchors: Callable[[], Anchors]
    log: Log
    heads: LogHeads
    stamps: TimeStamps
    settings: Settings
    signing_key: Callable[[Instant], SigningKey]
    key_statement: Callable[[], SignedStatement | None]
    clock: Clock

    def sign_newest(self) -> StoredHead | None:
        """Take what waits into the tree, sign its head if it grew, and return the newest; None before there is anything.

        Raises StoredRecordCorrupt for a log that is shorter than a head that was signed, or another; StoreError, HsmError.
        """
        size, number, newest = self.log.sequence(), self.log.state().number, self.heads.newest()
        if newest is not None and newest.number == number and newest.size > size:
            newer = self.log.size()
            if newest.size > newer:
                raise StoredRecordCorrupt(f"a head of {newest.size} entries was signed, and the log has {newer}")
            size = newer
        if size == 0 or (newest is not None and (newest.number, newest.size) == (number, size)):
            return newest
        if newest is not None and newest.number == number and not self.has(newest.size, newest.root):
            raise StoredRecordCorrupt(f"the log is not the one whose head was signed at entry {newest.size}")
        return self._signed(number, size)

    def _signed(self, number: int, size: int) -> StoredHead:
        now, tree_root = self.clock(), self.root(size)
        note = self.note(number, size, tree_root, self.signing_key(now))
        made = StoredHead(number, size, tree_root, now, note)
        if self.heads.put(made):
            return made
        return self.heads.get(number, size) or made

    def note(self, number: int, size: int, tree_root: bytes, key: SigningKey) -> bytes:
        """Sign a head of this log by a key. Raises HsmError."""
        return sign_head(LogHead(str(Origin.of(self.anchors().realm, self.identity, number)), size, tree_root), key)

    def root(self, size: int) -> bytes:
        """Return the root of the tree when it had so many leaves. Raises NotStored."""
        return self.log.reading(lambda read: root(size, read))

    def has(self, size: int, of_root: bytes) -> bool:
        """Return whether the tree had this root when it had so many leaves."""
        try:
            return self.root(size) == of_root
        except NotStored:
            return False

    def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the proof that the tree of one size begins with that of another. Raises NotStored."""
        return self.log.reading(lambda read: consistency_proof(old_size, new_size, read))

    def shown(self) -> GetLogHeadResponse:
        """Return the newest head with the lines of its witnesses, and with the statements that verify them."""
        newest = self.heads.newest()
        response = GetLogHeadResponse()
        key_statement = self.key_statement()
        if key_statement is not None:
            response.key_statement.CopyFrom(key_statement)
        if newest is not None:
            lines = self._shown_lines(newest)
            response.note = newest.note + b"".join(it.line for it in lines)
            stated = (self.statement_of(it.witness_id) for it in lines)
            response.witness_key_statements.extend(it for it in stated if it is not None)
        return response

    def time_stamp(self, number: int, size: int) -> GetTimeStampResponse:
        """Return the first time stamp that covers so many leaves, and the proof from there; nothing where none does."""
        stamp = self.stamps.covering(number, size) if number == self.log.state().number else None
        if stamp is None:
            return GetTimeStampResponse()
        stated = SignedStatement.FromString(stamp.key_statement) if stamp.key_statement else None
        lines = self.heads.cosignatures(stamp.number, stamp.size)
        witnesses = (self.statement_of(it.witness_id) for it in lines)
        return GetTimeStampResponse(
            note=stamp.note + b"".join(it.line for it in lines),
            key_statement=stated,
            time_stamp=stamp.time_stamp,
            consistency=self.consistency(size, stamp.size),
            witness_key_statements=[it for it in witnesses if it is not None],
        )

    def keep_cosignature(
        self, head: StoredHead, witness_id: str, line: bytes, key_statement: SignedStatement | None
    ) -> None:
        """Keep a witness's line, which was verified, and KS of the witness."""
        if key_statement is not None and self.statement_of(witness_id) != key_statement:
            self.settings.put(_WITNESS + witness_id, key_statement.SerializeToString(deterministic=True))
        self.heads.cosign(StoredCosignature(head.number, head.size, witness_id, line, self.clock()))

    def cosigners(self, head: StoredHead) -> frozenset[str]:
        """Return which members have cosigned a head."""
        return frozenset(it for it in self._lines(head) if not it.startswith(_PUBLIC))

    @property
    def policy(self) -> WitnessPolicy:
        """Return the witness policy of now."""
        return self.witness_policies().newest

    def witness_policies(self) -> WitnessPolicies:
        """Return the witness policies of the trust bundle at hand."""
        return self.anchors().witnesses

    def is_believed(self, head: StoredHead) -> bool:
        """Return whether as many have cosigned a head as the policy asks for."""
        return self.policy.is_met(self.cosigners(head), self.identity)

    def newest_believed(self) -> StoredHead | None:
        """Return the newest head that as many have cosigned as the policy asks for."""
        policy = self.policy
        return self.heads.newest_cosigned(policy.cosignatures, policy.hospitals, policy.cloud_id)

    def public_cosigners(self, head: StoredHead) -> frozenset[str]:
        """Return which witnesses of the public have cosigned a head, by their names."""
        return frozenset(it.removeprefix(_PUBLIC) for it in self._lines(head) if it.startswith(_PUBLIC))

    def _shown_lines(self, head: StoredHead) -> Sequence[StoredCosignature]:
        """Return members' lines first, and of the public's, of which one may have 3 kB, those for which there is room."""
        lines = self.heads.cosignatures(head.number, head.size)
        lines = sorted(lines, key=lambda it: it.witness_id.startswith(_PUBLIC))
        while sum(len(it.line) for it in lines) > _MOST_LINES_BYTES:
            lines.pop()
        return lines

    def _lines(self, head: StoredHead) -> list[str]:
        return [it.witness_id for it in self.heads.cosignatures(head.number, head.size)]

    def statement_of(self, witness_id: str) -> SignedStatement | None:
        """Return the kept KS of a witness."""
        kept = self.settings.get(_WITNESS + witness_id)
        return None if kept is None else SignedStatement.FromString(kept)

    @property
    def cosigned_at(self) -> Instant | None:
        """Return when the newest head was last seen to be cosigned by as many as the policy asks for."""
        kept = self.settings.get(_COSIGNED_AT)
        return None if kept is None else int(kept)

    def note_cosigned(self) -> None:
        """Note that the newest head is cosigned by enough witnesses now."""
        self.settings.put(_COSIGNED_AT, str(self.clock()).encode())

    @property
    def asked_at(self) -> Instant | None:
        """Return since when witnesses have been asked, where enough have never cosigned a head of this log."""
        kept = None if self.settings.get(_COSIGNED_AT) is not None else self.settings.get(_ASKED_AT)
        return None if kept is None else int(kept)

    def note_asked(self) -> None:
        """Note that witnesses are asked from now on, if they were not before."""
        if self.settings.get(_ASKED_AT) is None:
            self.settings.put(_ASKED_AT, str(self.clock()).encode())

    def begin_anew(self) -> int:
        """Begin the log anew under a number that it never had, where it lost entries which others know of; return that."""
        return self.log.begin_anew(now=self.clock())
