"""What a server does for its own log beside answering: it lets the tree grow, and forgets what need not be kept.

Nobody waits for the tree: an entry is durable when it is written, and who has to see every entry lets the tree grow itself.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from federation.clock import Clock
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.chores import Chore
from federation.protocol.log_head import cosigned_at
from federation.protocol.time import Instant, milliseconds
from federation.protocol.witness_policy import WitnessPolicies, WitnessPolicy
from federation.settings import LogSettings
from federation.store.database import Database
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Evidence
from federation.wire import operations

SEQUENCE_EVERY = timedelta(milliseconds=100)
SWEEP_EVERY = timedelta(hours=1)
HEADS_KEPT = timedelta(hours=1)
"""For how long every head is kept; of older ones few of an hour."""

HEARTBEAT_EVERY = timedelta(minutes=10)
"""After which a log says that it is there, if nothing else came: who follows it expects a newer head by then."""

HEARTBEAT = "HEARTBEAT"
"""The kind of that entry."""

REQUEST = "D3"
"""The kind of the evidence that is kept with an entry of the log, of whoever was given something, and as long as that."""

_MINUTE = timedelta(minutes=1)
_YEAR = timedelta(days=365.25)


def size_witnessed(heads: LogHeads, policy: WitnessPolicy, before: Instant) -> int:
    """Return how many entries there were before a time, by this node's clock and by as many witnesses' as a policy asks for.

    0 where too few say so. One clock alone that is wrong, ahead or behind, moves this nowhere.
    """
    lines = heads.cosigned_before(before, policy.hospitals, policy.cloud_id)
    told = Counter((number, size) for number, size, line in lines if cosigned_at(line) < before)
    return max((size for (_, size), there in told.items() if there >= policy.cosignatures), default=0)


def log_upkeep(
    database: Database, audit: Audit, settings: LogSettings, policies: Callable[[], WitnessPolicies], clock: Clock
) -> list[Chore]:
    """Return the chores, which one process alone does; `policies` are the witness policies of the trust bundle at hand."""
    log, heads = Log(database), LogHeads(database)

    def sweep() -> None:
        heads.sweep(before=clock() - milliseconds(HEADS_KEPT))
        before = clock() - milliseconds(settings.retention_years * _YEAR)
        witnessed = size_witnessed(heads, policies().at(before), before)
        if shredded := audit.shred(before=before, now=clock(), witnessed=witnessed):
            operations.info("log-shredded", number=shredded)
        Evidence(database).forget(REQUEST, before=before)

    def beat() -> None:
        newest, now = heads.newest(), clock()
        # A head of a time ahead is one that a wrong clock signed: it keeps nothing silent.
        if newest is None or not 0 <= now - newest.at < milliseconds(HEARTBEAT_EVERY):
            audit.record(AuditEvent(HEARTBEAT, OK), now=now)

    return [
        Chore("heartbeat", _MINUTE, beat, leased=True, thread="log"),
        Chore("sequence-log", SEQUENCE_EVERY, log.sequence, leased=True, thread="log"),
        Chore("sweep-log", SWEEP_EVERY, sweep, leased=True, at_once=True, thread="log-sweep"),
    ]
