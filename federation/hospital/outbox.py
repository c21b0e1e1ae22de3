"""The outbox: publications on their way to the public cloud (X11, X12). A crash at any point loses none.

An entry is taken for each attempt, so that no two workers make it at once, and leaves only with the cloud's receipt, PUBACK. So
an attempt whose answer is lost is made again, with a new T, nonce, signature and seal; the cloud's upsert makes the second do no
harm.

What an attempt says is where the record stands then, not when the entry was made. An entry stays if the record changed under
the attempt, and until no message sent before the last change could be taken any more: a late "add" outlives no "withdraw".
"""

from collections.abc import Callable

from federation.errors import FederationError, Unavailable
from federation.hospital.hospital import Hospital
from federation.hospital.outbox_entries import publication_in
from federation.party.audit import OK, AuditEvent
from federation.protocol.parties import reason_of
from federation.protocol.time import Instant, milliseconds
from federation.store.rows import OutboxEntry, Standing
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, PUBLICATION_ACTION_WITHDRAW, Publication
from federation.v1.statement_pb2 import SignedStatement
from federation.wire import operations
from keystore.transcript import transcript

TAKEN_MS = 30_000
"""How long an entry is one worker's: a call may take half as long. What a worker leaves that dies is another's after that; where
one lives and takes longer, two publish the same row, which the index keeps once."""

FIRST_PAUSE_MS = 2_000
LONGEST_PAUSE_MS = 10 * 60 * 1_000
AT_ONCE = 32
PUBACK = "puback"

Publish = Callable[[Publication], SignedStatement]
"""Publishes and gives PUBACK, verified. Raises FederationError."""


class Outbox:
    """Publishes what is due."""

    def __init__(self, hospital: Hospital, publish: Publish) -> None:
        """Empty this hospital's outbox by these calls."""
        self._hospital = hospital
        self._publish = publish

    def publish_due(self) -> int:
        """Attempt what is due now, the longest due first; give how many the cloud has acknowledged.

        Ends early when the cloud does not answer: nothing else would get through either.
        """
        acknowledged = 0
        for entry in self._hospital.stores.outbox.due(now=self._hospital.clock(), limit=AT_ONCE):
            try:
                acknowledged += self._attempt(entry)
            except Unavailable as error:
                self._put_off(entry, error)
                operations.warning("publication-postponed", reason=reason_of(error), attempts=entry.attempts + 1)
                break
            except FederationError as error:
                self._put_off(entry, error)
                self._refused(entry, error)
        return acknowledged

    def _attempt(self, entry: OutboxEntry) -> bool:
        """Publish an entry unless another worker has it; say whether it was published."""
        hospital = self._hospital
        if not hospital.stores.outbox.take(entry, until=hospital.clock() + TAKEN_MS):
            return False
        publication = publication_in(entry, hospital.sealing)
        standing = hospital.stores.administration.standing(publication.handle)
        is_shown = standing is None or standing.is_shown
        publication.action = PUBLICATION_ACTION_ADD if is_shown else PUBLICATION_ACTION_WITHDRAW
        sent_at = hospital.clock()
        receipt = self._publish(publication)
        self._keep(publication, receipt, hospital.clock())
        self._settle(entry, publication.handle, standing, sent_at)
        return True

    def _settle(self, entry: OutboxEntry, handle: bytes, standing: Standing | None, sent_at: Instant) -> None:
        """Take the entry out, unless the index has to be told again."""
        stores, freshness = self._hospital.stores, self._hospital.member.freshness
        alone_from = 0 if standing is None else freshness.replay_key_until(now=standing.changed_at)
        if stores.administration.standing(handle) != standing:
            stores.outbox.postpone(entry.entry_id, not_before=sent_at)
        elif sent_at <= alone_from:
            stores.outbox.postpone(entry.entry_id, not_before=alone_from + 1)
        else:
            stores.outbox.settle(entry.entry_id)

    def _put_off(self, entry: OutboxEntry, error: FederationError) -> None:
        pause = max(pause_after(entry.attempts), milliseconds(error.retry_after))
        self._hospital.stores.outbox.postpone(entry.entry_id, not_before=self._hospital.clock() + pause)

    def _keep(self, publication: Publication, receipt: SignedStatement, now: Instant) -> None:
        """Keep PUBACK as evidence that the row was taken, or taken out."""
        hospital = self._hospital
        kind = "PUBLISHED" if publication.action == PUBLICATION_ACTION_ADD else "UNPUBLISHED"
        plaintext = receipt.SerializeToString(deterministic=True)
        sealed = hospital.sealing.seal(plaintext, evidence_context(PUBACK, publication.handle))
        hospital.stores.evidence.add(PUBACK, publication.handle, sealed, at=now)
        hospital.audit.record(AuditEvent(kind, OK, detail=publication.handle.hex()), now=now)

    def _refused(self, entry: OutboxEntry, error: FederationError) -> None:
        """Tell the operator; the entry stays, for what the cloud refuses today it may take tomorrow."""
        reason = reason_of(error)
        operations.warning("publication-refused", reason=reason, attempts=entry.attempts + 1)
        self._hospital.audit.record(AuditEvent("PUBLICATION", reason, detail=str(error)), now=self._hospital.clock())


def evidence_context(kind: str, reference: bytes) -> bytes:
    """Give what a hospital's evidence is sealed with."""
    return transcript("evidence", kind.encode(), reference)


def pause_after(attempts: int) -> int:
    """Give how long to wait before the next attempt, in ms: doubling from 2 s to 10 minutes."""
    return int(min(FIRST_PAUSE_MS * 2 ** min(attempts, 16), LONGEST_PAUSE_MS))
