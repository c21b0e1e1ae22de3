"""What a party keeps, as interfaces. One contract suite (tests/contract/test_store_*.py) runs on every implementation.

Times are milliseconds since the Unix epoch; a limit is inclusive: what ends at t is good at t. Every method is one
transaction: when it returns, the change is durable; when it raises, nothing has changed. What is confidential arrives
sealed: the store never sees a key or a plaintext record.

What `walk` and `all` give comes page by page, by key: in bounded memory, and beside writers. A row that is there from the
walk's beginning to its end comes exactly once, as it is when its page is read; one that comes or goes meanwhile may be missed.
What a walk replaces it compares first (`reseal`, `restate`, `rewrap`, `move` say whether the row was still as given), so that
it never undoes what a server did in between.
"""

from federation.store.interfaces.cloud import (
    Authorities,
    Index,
    Registration,
    Registrations,
    RevocationBook,
    RevocationKind,
    Revocations,
    RowBound,
    RowName,
    RowOwner,
    RowPage,
    SealedRow,
    StoredAuthority,
    Superseded,
    Ticket,
    TrustChain,
    Wanted,
)
from federation.store.interfaces.custody import Custody, Hold, Standing, StandingName
from federation.store.interfaces.hospital import (
    OutboxEntry,
    Records,
    Rooms,
    StoredPart,
    StoredRecord,
    StoredRoom,
)
from federation.store.interfaces.party import (
    Epochs,
    Evidence,
    Log,
    LogEntry,
    ReplayMemory,
    SealedEntry,
    Settings,
    StoredEpoch,
    StoredEvidence,
    StoredStatement,
)

__all__ = [
    "Authorities",
    "Custody",
    "Epochs",
    "Evidence",
    "Hold",
    "Index",
    "Log",
    "LogEntry",
    "OutboxEntry",
    "Records",
    "Registration",
    "Registrations",
    "ReplayMemory",
    "RevocationBook",
    "RevocationKind",
    "Revocations",
    "Rooms",
    "RowBound",
    "RowName",
    "RowOwner",
    "RowPage",
    "SealedEntry",
    "SealedRow",
    "Settings",
    "Standing",
    "StandingName",
    "StoredAuthority",
    "StoredEpoch",
    "StoredEvidence",
    "StoredPart",
    "StoredRecord",
    "StoredRoom",
    "StoredStatement",
    "Superseded",
    "Ticket",
    "TrustChain",
    "Wanted",
]
