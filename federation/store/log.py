"""The append-only log of a party: a Merkle tree of leaves, each the commitment to an entry that lies sealed beside it.

It is written in two steps (docs/adr/0033-log-tree.md). An act's transaction puts its entry among those that wait, under a random
id: no writer waits for another. `Log.sequence` gives all that wait their numbers, in the order of their times, and lets the tree
grow by their leaves: one transaction, for one process at a time. What anybody else keeps of the tree (a signed head) shows any
change below it.

Of the tree are kept the leaves, and for every full tile of 256 hashes their hash in the row above: C2SP's tlog-tiles.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa

from federation.protocol import merkle
from federation.store.budgets import spend
from federation.store.database import Database
from federation.store.errors import NotStored, StoredRecordCorrupt
from federation.store.grouping import GroupWriter
from federation.store.log_heads import LogHeads
from federation.store.party import admitted, evidence_row, require_admitted
from federation.store.portable import insert_if_absent, pages
from federation.store.prepared import Prepared
from federation.store.rows import Act, Admission, DeclaredHere, LogEntry, SealedEntry
from federation.store.schema import accesses, emergencies, evidence, log, log_entries, log_nodes, log_state, log_waiting

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
"""Hashes in a full tile."""

SEQUENCED_AT_ONCE = 256
"""Entries that one transaction takes into the tree: in SQLite who appends waits for it, some milliseconds."""

SHREDDED_AT_ONCE = 256
"""Entries that one transaction destroys."""

_NUMBER_MS: Final = 10_000
"""The time in which a log has one number: shorter than what a restored node waits before it serves."""

LOG: Final = "log"
"""The one row of the log's state."""

T = TypeVar("T")

_WAIT = Prepared(sa.insert(log_waiting), columns=log_waiting.columns.keys())
_KEEP = Prepared(sa.insert(evidence), columns=evidence.columns.keys())
_STATE = Prepared(
    sa.select(log_state.c.number, log_state.c.size, sa.exists(sa.select(log_waiting.c.at))).where(
        log_state.c.name == LOG
    )
)


class LogState(NamedTuple):
    """The log's number, its tree's size, and whether entries wait to be taken into it."""

    number: int
    size: int
    waits: bool


_made = count()


def new_entry_id() -> bytes:
    """Return an id for an entry: 6 bytes that count those of this process, then 10 that are random.

    So what a process logs within a millisecond stays in order.
    """
    return (next(_made) % 2**48).to_bytes(6, "big") + secrets.token_bytes(10)


def append(connection: sa.Connection, made: SealedEntry) -> None:
    """Add an entry within a transaction: what it tells of is then there if, and only if, the entry is. Raises BudgetSpent."""
    spend(connection, made.beside.claims)
    _WAIT.changed(connection, **_waiting(made))
    if made.beside.evidence is not None:
        _KEEP.changed(connection, **evidence_row(made.beside.evidence, made.at))
    if made.beside.emergency is not None:
        _queue(connection, made.beside.emergency, made.entry_id)


def _waiting(made: SealedEntry) -> dict[str, Any]:
    about = {"patient_key": None, "generation": None} if made.about is None else asdict(made.about)
    return {"at": made.at, "entry_id": made.entry_id, "leaf": made.leaf, "sealed": made.sealed, **about}


def _queue(connection: sa.Connection, declared: DeclaredHere, entry_id: bytes) -> None:
    """Put an emergency up for review with its first entry of the log; every other is counted with it."""
    if not insert_if_absent(connection, emergencies, **vars(declared), logged=entry_id, accesses=1):
        here = emergencies.c.emergency_digest == declared.emergency_digest
        connection.execute(sa.update(emergencies).where(here).values(accesses=emergencies.c.accesses + 1))


@contextmanager
def acting(connection: sa.Connection, act: Act | None) -> Iterator[None]:
    """Take a message first and log last, around the change; without an act there is the change alone.

    Raises AlreadyAdmitted.
    """
    if act is not None and act.admission is not None:
        require_admitted(connection, act.admission)
    yield
    if act is not None:
        append(connection, act.entry)


class Log:
    """The append-only log, written before anything is released. The database itself refuses UPDATE and DELETE on its leaves."""

    def __init__(self, database: Database, at_once: int = SEQUENCED_AT_ONCE) -> None:
        """Keep the log in a database; one transaction takes so many entries into the tree."""
        self._database = database
        self._at_once = at_once
        self._group = GroupWriter(partial(_write_together, database))

    def append(self, made: SealedEntry) -> None:
        """Add an entry; it is durable when this returns. Raises BudgetSpent; then nothing is written.

        Entries that come at once are written together, with their evidence, but for those that a budget or a review waits for.
        """
        if made.beside.is_evidence_alone:
            self._group.put(made)
        else:
            self._database.write_by_key(lambda connection: append(connection, made))

    def append_once(self, made: SealedEntry, admission: Admission) -> bool:
        """Take a message with the entry that tells of it, and say whether it is new: else nothing is written.

        Raises BudgetSpent; then nothing is written.
        """

        def step(connection: sa.Connection) -> bool:
            if not admitted(connection, admission):
                return False
            append(connection, made)
            return True

        return self._database.write_by_key(step)

    def state(self) -> LogState:
        """Return the log's number, its size, and whether anything waits."""
        row = self._database.look(_STATE.first)
        if row is None:
            raise StoredRecordCorrupt("the log has no state")
        return LogState(row[0], row[1], bool(row[2]))

    def size(self) -> int:
        """Return the number of leaves."""
        return self.state().size

    def sequence(self) -> int:
        """Take into the tree what waits, and return its size. Any number of processes may do so at once."""
        state = self.state()
        if not state.waits:
            return state.size
        while True:
            size, taken = self._database.write_by_key(partial(_sequence, self._at_once))
            if taken < self._at_once:
                return size

    def begin_anew(self, *, now: int) -> int:
        """Give the log a number that it never had, under which its heads are signed from now on, and return it.

        What other parties keep of the old number's heads is not contradicted then by a log that was put back shorter. The number
        is the time in 10 s: the same backup restored twice isn't two logs of one number.
        """
        number = max(self.state().number + 1, now // _NUMBER_MS)
        renamed = sa.update(log_state).where(log_state.c.name == LOG, log_state.c.number < number).values(number=number)
        self._database.write_by_key(lambda connection: connection.execute(renamed), repeatable=True)
        return self.state().number

    def entry(self, sequence: int) -> LogEntry:
        """Return an entry by its number. Raises NotStored."""
        return self._one(log.c.sequence == sequence, f"the log has no entry {sequence}")

    def entry_of(self, entry_id: bytes) -> LogEntry:
        """Return an entry that was sequenced by its id. Raises NotStored."""
        return self._one(log.c.entry_id == entry_id, "the log has no such entry")

    def number_of(self, entry_id: bytes) -> int | None:
        """Return an entry's number, or None if it is not sequenced."""
        query = sa.select(log.c.sequence).where(log.c.entry_id == entry_id)
        number: int | None = self._database.look(lambda connection: connection.scalar(query))
        return number

    def entries(self, *, after: int = 0, up_to: int | None = None) -> Iterator[LogEntry]:
        """Return the entries whose sequence is above `after`, in order; the first one's sequence is 1.

        What waits is among them, unless they end at a number.
        """
        last = self.sequence() if up_to is None else up_to
        query = ENTRIES.where(log.c.sequence > after, log.c.sequence <= last)
        return pages(self._database, query, (log.c.sequence,), lambda row: LogEntry(**row))

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree of 2**level leaves. Raises NotStored."""
        return self.reading(lambda read: read(level, index))

    def reading(self, step: Callable[[merkle.NodeReader], T]) -> T:
        """Run a step that computes with the tree's hashes, which it reads of one snapshot, a tile at a time."""
        return self._database.read(lambda connection: step(node_reader(connection)))

    def root(self, size: int) -> bytes:
        """Return the root of the tree as it was when it had so many leaves. Raises NotStored."""
        return self.reading(lambda read: merkle.root(size, read))

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> bytes:
        """Return the first hashes of a tile, one behind the other. Raises NotStored if it has fewer."""
        hashes = self._database.look(lambda connection: _tile(connection, level, index))
        if not 0 < width <= len(hashes):
            raise NotStored(f"the tile {level}/{index} has {len(hashes)} hashes")
        return b"".join(hashes[:width])

    def verify(self, look: Callable[[LogEntry], None] = lambda _: None) -> int:
        """Grow the tree anew from its leaves, compare what is kept of it, its signed heads too, and return its size.

        `look` is given every entry. Raises StoredRecordCorrupt, and what `look` raises.
        """
        # In this order: the chore that shreds moves the mark on meanwhile, and another process lets the tree grow.
        heads, size = _roots_by_size(self._database), self.sequence()
        growing, shredded = Growing(self._kept_nodes), self.shredded()
        for entry in self.entries(up_to=size):
            if entry.sequence != growing.size + 1:
                raise StoredRecordCorrupt(f"the log is not what was written: entry {growing.size + 1}")
            if entry.sealed is None and entry.sequence > shredded and entry.sequence > (shredded := self.shredded()):
                raise StoredRecordCorrupt(f"entry {entry.sequence} of the log is missing, and its time is not over")
            look(entry)
            growing.add(entry.leaf)
            if not heads.pop(growing.size, set()) <= {growing.root()}:
                raise StoredRecordCorrupt(f"the log is not the one whose head was signed at entry {growing.size}")
        newest = self._database.look(lambda connection: connection.scalar(_NEWEST)) or 0
        if growing.size != size or heads or newest > self.size():
            raise StoredRecordCorrupt(f"the log has {growing.size} entries, and its tree or its heads have others")
        return size

    def due(self, *, before: int, witnessed: int = 0) -> int:
        """Return the number up to which every entry is older than a time: by its date, or for so many had been witnessed then."""
        known = max(self.shredded(), witnessed)
        younger = sa.select(log.c.sequence).where(log.c.sequence > known, log.c.at >= before)
        first = self._database.look(lambda connection: connection.scalar(younger.order_by(log.c.sequence).limit(1)))
        return self.size() if first is None else first - 1

    def shredded(self) -> int:
        """Return the number up to which entries were shredded."""
        mark = sa.select(log_state.c.shredded).where(log_state.c.name == LOG)
        return self._database.look(lambda connection: connection.scalar(mark)) or 0

    def shred(self, up_to: int) -> int:
        """Destroy for good what is sealed of the entries up to a number, some at a time, and say how many those were.

        Their leaves stay, and so does the tree. Whom they were about is forgotten too.
        """
        first = sa.select(log_entries.c.sequence).where(log_entries.c.sequence <= up_to)
        batch = first.order_by(log_entries.c.sequence).limit(SHREDDED_AT_ONCE)

        def step(connection: sa.Connection) -> int:
            numbers = list(connection.scalars(batch))
            if not numbers:
                return 0
            here = log_state.c.name == LOG, log_state.c.shredded < numbers[-1]
            connection.execute(sa.update(log_state).where(*here).values(shredded=numbers[-1]))
            connection.execute(sa.delete(accesses).where(accesses.c.sequence.in_(numbers)))
            return connection.execute(sa.delete(log_entries).where(log_entries.c.sequence.in_(numbers))).rowcount

        return self._database.write_by_key(step, repeatable=True)

    def _kept_nodes(self, level: int) -> Iterator[bytes]:
        query = sa.select(log_nodes).where(log_nodes.c.level == level)
        return pages(self._database, query, (log_nodes.c.position,), lambda row: bytes(row["hash"]))

    def _one(self, condition: sa.ColumnElement[bool], missing: str) -> LogEntry:
        query = ENTRIES.where(condition)
        row = self._database.look(lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise NotStored(missing)
        return LogEntry(**row)


_NEWEST: Final = sa.select(sa.func.max(log.c.sequence))
ENTRIES: Final = sa.select(log, log_entries.c.sealed).select_from(
    log.outerjoin(log_entries, log.c.sequence == log_entries.c.sequence)
)
"""Entries with what is sealed, as far as it is there."""


def node_reader(connection: sa.Connection) -> merkle.NodeReader:
    """Return what reads the tree's hashes within a transaction, and each tile once. It raises NotStored."""
    tiles: dict[tuple[int, int], list[bytes]] = {}

    def read(level: int, index: int) -> bytes:
        row, height = divmod(level, TILE_HEIGHT)
        tile, first = divmod(index << height, TILE_WIDTH)
        if (row, tile) not in tiles:
            tiles[row, tile] = _tile(connection, row, tile)
        hashes = tiles[row, tile][first : first + (1 << height)]
        if len(hashes) != 1 << height:
            raise NotStored(f"the log's tree has no node {level}/{index}")
        return root_of(hashes)

    return read


def root_and_size(connection: sa.Connection) -> tuple[int, bytes]:
    """Return the tree's size and root within a transaction."""
    size: int = connection.scalars(sa.select(log_state.c.size).where(log_state.c.name == LOG)).one()
    return size, merkle.root(size, node_reader(connection))


class Growing:
    """A tree that grows leaf by leaf, in O(log n) memory, beside what is kept of one.

    `kept` gives the hashes that are kept of a row of tiles, in order; without it nothing is compared.
    """

    def __init__(self, kept: Callable[[int], Iterator[bytes]] | None = None) -> None:
        self.size = 0
        self._kept = kept
        self._rows: dict[int, Iterator[bytes]] = {}
        self._complete: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Add a leaf. Raises StoredRecordCorrupt where another hash is kept than follows from the leaves."""
        self.size += 1
        level, grown = 0, leaf
        while self._complete and self._complete[-1][0] == level:
            level, grown = level + 1, merkle.node_hash(self._complete.pop()[1], grown)
            if self._kept is not None and level % TILE_HEIGHT == 0:
                self._compare(self._kept, level // TILE_HEIGHT, grown)
        self._complete.append((level, grown))

    def root(self) -> bytes:
        """Return the root as it is now."""
        if not self._complete:
            return merkle.EMPTY_ROOT
        *lefts, (_, found) = self._complete
        for _, left in reversed(lefts):
            found = merkle.node_hash(left, found)
        return found

    def _compare(self, kept: Callable[[int], Iterator[bytes]], row: int, grown: bytes) -> None:
        if row not in self._rows:
            self._rows[row] = kept(row)
        if next(self._rows[row], None) != grown:
            raise StoredRecordCorrupt(f"the log's tree is not what follows from its entries up to {self.size}")


def _roots_by_size(database: Database) -> dict[int, set[bytes]]:
    """Return the roots of the heads that were signed."""
    found: dict[int, set[bytes]] = {}
    for head in LogHeads(database).all():
        found.setdefault(head.size, set()).add(head.root)
    return found


def _write_together(database: Database, made: Sequence[SealedEntry]) -> None:
    rows = [_waiting(it) for it in made]
    pieces = [evidence_row(it.beside.evidence, it.at) for it in made if it.beside.evidence is not None]

    def step(connection: sa.Connection) -> None:
        _WAIT.many(connection, rows)
        if pieces:
            _KEEP.many(connection, pieces)

    database.write_by_key(step)


_FIRST = sa.select(log_waiting.c.at, log_waiting.c.entry_id).order_by(log_waiting.c.at, log_waiting.c.entry_id)
_TAKE: Final = (
    sa.delete(log_waiting)
    .where(
        sa.tuple_(log_waiting.c.at, log_waiting.c.entry_id).in_(_FIRST.limit(sa.bindparam("most", type_=sa.Integer)))
    )
    .returning(log_waiting)
)
_SIZE: Final = sa.select(log_state.c.size).where(log_state.c.name == LOG).with_for_update()
"""Whoever has this row lets the tree grow; SQLite has one that writes, whatever it writes."""


_LEAF: Final = ("sequence", "at", "entry_id", "leaf")
_SEALED: Final = ("sequence", "sealed")
_ABOUT: Final = ("patient_key", "sequence", "generation")
_GROW = Prepared(sa.insert(log), columns=_LEAF)
_SEAL = Prepared(sa.insert(log_entries), columns=_SEALED)
_NOTE = Prepared(sa.insert(accesses), columns=_ABOUT)


def _sequence(most: int, connection: sa.Connection) -> tuple[int, int]:
    """Take some of what waits, and return the size that the tree has then, and how many those were."""
    size: int = connection.scalars(_SIZE).one()
    rows = sorted(
        connection.execute(_TAKE, {"most": most}).mappings().all(), key=lambda row: (row["at"], row["entry_id"])
    )
    if not rows:
        return size, 0
    taken = [{"sequence": number, **row} for number, row in enumerate(rows, start=size + 1)]
    about = [row for row in taken if row["patient_key"] is not None]
    for statement, columns, of in ((_GROW, _LEAF, taken), (_SEAL, _SEALED, taken), (_NOTE, _ABOUT, about)):
        statement.many(connection, [{column: row[column] for column in columns} for row in of])
    grown = size + len(taken)
    _close_tiles(connection, size, grown)
    connection.execute(sa.update(log_state).where(log_state.c.name == LOG).values(size=grown))
    return grown, len(taken)


def _close_tiles(connection: sa.Connection, before: int, after: int) -> None:
    """Keep the hash of each tile that has become full, row by row upwards, where a row had and has so many hashes."""
    level = 0
    while (first := before // TILE_WIDTH) != (end := after // TILE_WIDTH):
        hashes = _hashes(connection, level, first * TILE_WIDTH, end * TILE_WIDTH)
        full = [hashes[start : start + TILE_WIDTH] for start in range(0, len(hashes), TILE_WIDTH)]
        level += 1
        connection.execute(
            sa.insert(log_nodes),
            [
                {"level": level, "position": position, "hash": root_of(tile)}
                for position, tile in enumerate(full, start=first)
            ],
        )
        before, after = first, end


def _tile(connection: sa.Connection, level: int, index: int) -> list[bytes]:
    return _hashes(connection, level, index * TILE_WIDTH, (index + 1) * TILE_WIDTH)


def _hashes(connection: sa.Connection, level: int, start: int, end: int) -> list[bytes]:
    """Return the hashes of a row of tiles from a place up to another."""
    if level == 0:
        # Entries count from 1, leaves from 0.
        leaves = sa.select(log.c.leaf).where(log.c.sequence > start, log.c.sequence <= end)
        return list(connection.scalars(leaves.order_by(log.c.sequence)))
    at, here = log_nodes.c.position, log_nodes.c.level == level
    nodes = sa.select(log_nodes.c.hash).where(here, at >= start, at < end).order_by(at)
    return list(connection.scalars(nodes))


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [merkle.node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
