"""What a server does about logs beside answering: it has its own heads cosigned, and looks at those of others.

A log that shows one past to one and another to another is found when those two compare: whoever witnesses a log asks it for its
newest head as anybody may, and asks its other witnesses which head they keep. Of two heads the log has to prove that one goes on
from the other, or it is a fork. docs/adr/0034-witnesses.md
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from federation.errors import (
    FederationError,
    HeadBaseMismatch,
    HeadConflict,
    HeadOlder,
    Limit,
    LogProofInvalid,
    Unavailable,
)
from federation.party.log_heads import OwnLog
from federation.party.log_peers import LogPeers
from federation.party.witness import CUT_BACK, FORK, REWRITTEN, ShownLog, Witness, keys_of, open_shown
from federation.protocol.log_head import LogHead, Origin, require_cosigned
from federation.protocol.merkle import require_consistent
from federation.protocol.notes import read_note
from federation.store.followed import FollowedLog
from federation.store.rows import StoredHead
from federation.store.witnessed import WitnessedHead
from federation.v1.log_pb2 import CosignRequest, GetLogHeadResponse
from federation.v1.statement_pb2 import SignedStatement
from federation.wire import operations
from keystore.signatures import VerifyingKey

MOST_TRIES = 3
"""At one witness for one head: it says which head it keeps, and is asked again from there."""

MOST_AT_ONCE = 8
"""Logs that are looked at side by side: one that does not answer holds up none of the others for long."""

MOST_ASKED = 8
"""Others that are asked which head of a log they keep."""


@dataclass(frozen=True)
class Cosigning:
    """Has the newest head of the own log cosigned by its witnesses; the trust bundle's policy says how many are enough."""

    own: OwnLog
    witness: Witness
    peers: LogPeers
    witnesses: Callable[[], Sequence[str]]
    _kept: dict[str, int] = field(default_factory=dict)

    def push(self) -> bool:
        """Show the newest head to every witness that has not cosigned it, and return whether enough have now."""
        head, asked = self.own.sign_newest(), self.witnesses()
        if head is None or not asked:
            return head is None
        cosigners = self.own.cosigners(head)
        for number, witness_id in enumerate(asked, start=1):
            if witness_id not in cosigners:
                self._tried(number, witness_id, head)
        is_cosigned = self.own.is_believed(head)
        if is_cosigned:
            self.own.note_cosigned()
        elif self.own.cosigned_at is None:
            self.own.note_asked()
        return is_cosigned

    def stand_by(self, patience: timedelta) -> bool:
        """Ask all witnesses at once for a head over all that is logged by now; return whether enough have cosigned it in time.

        Raises StoreError, HsmError.
        """
        head = self.own.sign_newest()
        if head is None or not patience:
            return False
        if self.own.is_believed(head):
            return True
        found = threading.Event()

        def ask(number: int, witness_id: str) -> None:
            self._tried(number, witness_id, head)
            if self.own.is_believed(head):
                found.set()

        for asked in enumerate(self.witnesses(), start=1):
            threading.Thread(target=ask, args=asked, name="medunion-stand-by", daemon=True).start()
        return found.wait(patience.total_seconds())

    def _tried(self, number: int, witness_id: str, head: StoredHead) -> None:
        try:
            self._ask(witness_id, head)
        except FederationError as error:
            operations.warning("head-not-cosigned", witness=number, reason=error.reason)

    def _ask(self, witness_id: str, head: StoredHead) -> None:
        old_size = min(self._kept.get(witness_id, 0), head.size)
        for _ in range(MOST_TRIES):
            request = CosignRequest(
                note=head.note,
                old_size=old_size,
                proof=self.own.consistency(old_size, head.size),
                key_statement=self.own.key_statement(),
            )
            answer = self.peers.cosign(witness_id, request)
            if answer.HasField("cosignature"):
                self._take(witness_id, head, answer.cosignature)
                self._kept[witness_id] = head.size
                return
            kept = self._base(head, answer.kept_note) if answer.HasField("kept_note") else 0
            if kept is None:
                return
            old_size = kept
        raise Unavailable("the witness asks for another proof each time")

    def _take(self, witness_id: str, head: StoredHead, line: bytes) -> None:
        """Keep a cosignature that holds. Raises what is wrong with it."""
        known = self.own.statement_of(witness_id)
        try:
            self._keep(witness_id, head, line, known)
        except FederationError:
            if witness_id == self.witness.verifier().anchors.cloud_id:
                raise
            self._keep(witness_id, head, line, self.peers.head(witness_id).key_statement)

    def _keep(self, witness_id: str, head: StoredHead, line: bytes, stated: SignedStatement | None) -> None:
        keys = keys_of(witness_id, stated, self.witness.verifier(), now=self.own.clock())
        _require_line(head.note, line, witness_id, keys)
        self.own.keep_cosignature(head, witness_id, line, stated)

    def _base(self, head: StoredHead, note: bytes) -> int | None:
        """Return the size of the own head that a witness keeps, or None where this log does not go on from it.

        Raises FederationError for a note that is none of this log's.
        """
        kept = open_shown(note, self.own.key_statement(), self.witness.verifier(), now=self.own.clock())
        number, tree = kept.origin.number, kept.head
        if number < head.number:
            return 0
        if number == head.number and self.own.has(tree.size, tree.root):
            return tree.size if tree.size <= head.size else None  # another process is ahead of this one
        kind = CUT_BACK if number > head.number or tree.size > head.size else REWRITTEN
        self._find_own(FORK if number == head.number and tree.size == head.size else kind, kept, head)
        operations.warning("own-log-contradicted", kept=tree.size, here=head.size)
        return None

    def _find_own(self, kind: str, kept: ShownLog, head: StoredHead) -> None:
        shown = open_shown(head.note, self.own.key_statement(), self.witness.verifier(), now=self.own.clock())
        self.witness.find(kind, shown, kept.kept(self.own.clock()), now=self.own.clock())


def _require_line(note: bytes, line: bytes, witness_id: str, keys: Sequence[VerifyingKey]) -> None:
    """Require a witness's line to be by one of its keys. Raises what is wrong with it by the last of them."""
    refused: FederationError = Unavailable("the witness has no key")
    for key in keys:
        try:
            require_cosigned(note, [line], [(witness_id, key)], 1)
        except FederationError as error:
            refused = error
        else:
            return
    raise refused


@dataclass(frozen=True)
class Following:
    """Looks at the logs that this server witnesses, as anybody may, and compares with what other witnesses keep."""

    witness: Witness
    peers: LogPeers
    followed: Callable[[], Iterable[str]]
    asked: Callable[[], Sequence[str]]

    def look(self) -> Mapping[str, str]:
        """Look at every log that is followed, some at a time; return by node what kept it from being looked at."""
        followed = [it for it in dict.fromkeys(self.followed()) if it != self.witness.identity]
        with ThreadPoolExecutor(MOST_AT_ONCE, "medunion-follow") as threads:
            looked = list(zip(followed, threads.map(self._looked_at, followed), strict=True))
        known = {it.node_id: it for it in self.witness.followed.all()}
        grown = filter(None, (self._grown(node_id, shown, known.get(node_id)) for node_id, (shown, _) in looked))
        self.witness.followed.note(grown, followed)
        return {node_id: reason for node_id, (_, reason) in looked if reason}

    def _looked_at(self, node_id: str) -> tuple[LogHead | None, str]:
        """Return the head that was taken, and the reason why a log can't be looked at."""
        try:
            return self.look_at(node_id), ""
        except FederationError as error:
            operations.info("log-not-followed", reason=error.reason)
            return None, error.reason

    def _grown(self, node_id: str, shown: LogHead | None, known: FollowedLog | None) -> FollowedLog | None:
        """Return how far a log has come, if that is further than was known, or nothing was."""
        if known is not None and (shown is None or (shown.origin, shown.size) == (known.origin, known.size)):
            return None
        origin, size = ("", 0) if shown is None else (shown.origin, shown.size)
        return FollowedLog(node_id, origin, size, self.witness.clock())

    def look_at(self, node_id: str) -> LogHead | None:
        """Take the newest head of a log if it goes on from the kept one, and compare it with what others keep.

        Return it if it was taken. Raises FederationError where the log can't be looked at; what is found wrong with it is kept as
        a finding.
        """
        # Kept first, asked then: a log that is honest never shows an older head than one that was kept before it was asked.
        held = self.witness.witnessed.of(node_id)
        response = self.peers.head(node_id)
        if not response.HasField("note"):
            return None
        shown, others = self._opened(node_id, response), self._others(node_id, response)
        if held is not None and held.is_doubted:
            # What was cosigned here since the backup the others know: a fork that begins behind it is not taken.
            if not (self._is_one(shown, others) and self._goes_on(held, shown)):
                return None
        elif self._goes_on(held, shown):
            self._is_one(shown, others)
        else:
            return None
        return shown.head

    def _is_one(self, shown: ShownLog, others: Sequence[str]) -> bool:
        """Compare a head with those that others keep of the same log; return whether none contradicts."""
        agreed = [self._agrees(other_id, shown) for other_id in others]
        return all(agreed)

    def _goes_on(self, held: WitnessedHead | None, shown: ShownLog) -> bool:
        """Take a head that its log showed itself, or keep what is found of it; return whether it was taken."""
        now = self.witness.clock()
        old_size = held.size if held is not None and held.origin == shown.head.origin else 0
        try:
            proof = self._proof(shown, old_size, shown.head.size) if old_size <= shown.head.size else ()
            self.witness.take(shown, old_size, proof, now=now)
        except HeadOlder:
            if self._is_older_than(held, shown):
                self.witness.find(CUT_BACK, shown, held, now=now)
            return False
        except LogProofInvalid:
            self.witness.find(REWRITTEN, shown, held, now=now)
            return False
        except (HeadConflict, HeadBaseMismatch):  # kept as a finding already; or another process took a head meanwhile
            return False
        return True

    def _is_older_than(self, held: WitnessedHead | None, shown: ShownLog) -> bool:
        """Return whether a head is older than the one that was kept before it was asked for; a later one came meanwhile else."""
        if held is None:
            return False
        return (shown.origin.number, shown.head.size) < (Origin.read(held.origin).number, held.size)

    def _agrees(self, other_id: str, shown: ShownLog) -> bool:
        """Return whether a head and the one that another keeps of the same log go on from each other, or there is none there."""
        try:
            response = self.peers.head(other_id, of=shown.node_id)
            if not response.HasField("note"):
                return True
            theirs = self._opened(shown.node_id, response)
        except FederationError as error:
            operations.info("log-not-compared", reason=error.reason)
            return True
        if theirs.head.origin != shown.head.origin:
            return True
        now = self.witness.clock()
        if theirs.head.size > shown.head.size:
            shown = self._opened(shown.node_id, self.peers.head(shown.node_id))  # it may have grown meanwhile
            if shown.head.size < theirs.head.size:
                self.witness.find(CUT_BACK, shown, theirs.kept(now), now=now)
                return False
        if not self._joined(theirs, shown):
            self.witness.find(FORK, theirs, shown.kept(now), now=now)
            return False
        return True

    def _joined(self, theirs: ShownLog, shown: ShownLog) -> bool:
        """Return whether the log proves that its head goes on from the one that another keeps. Raises Unavailable, Limit."""
        try:
            proof = self._proof(shown, theirs.head.size, shown.head.size)
            require_consistent(theirs.head.tree, shown.head.tree, proof)
        except LogProofInvalid:
            return False
        return True

    def _proof(self, shown: ShownLog, old_size: int, new_size: int) -> Sequence[bytes]:
        """Ask a log for a proof. Raises LogProofInvalid where it answers with none: that is no proof; Unavailable, Limit."""
        if old_size in {0, new_size}:
            return ()
        try:
            return self.peers.consistency(shown.node_id, old_size, new_size)
        except (Unavailable, Limit):
            raise
        except FederationError as error:
            if error.reason == FederationError.reason:
                raise
            raise LogProofInvalid("the log proves nothing of a head that it has signed") from error

    def _opened(self, node_id: str, response: GetLogHeadResponse) -> ShownLog:
        stated = response.key_statement if response.HasField("key_statement") else None
        shown = open_shown(response.note, stated, self.witness.verifier(), now=self.witness.clock())
        if shown.node_id != node_id:
            raise Unavailable("the answer is about another log")
        return shown

    def _others(self, node_id: str, response: GetLogHeadResponse) -> Sequence[str]:
        """Return whom to ask beside: this server's own witnesses, and those that have cosigned the head."""
        names = (it.name.rpartition("/")[2] for it in read_note(response.note).signatures)
        asked = dict.fromkeys([*self.asked(), *(it for it in names if it[:2] in {"H:", "C:"})])
        return [it for it in asked if it not in {node_id, self.witness.identity}][:MOST_ASKED]
