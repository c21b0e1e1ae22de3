"""Rotation of a party's keys: what its operator sees of every generation, and the four steps (docs/adr/0018-rotation.md)."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from federation.clock import Clock, system_clock
from federation.party.generations import REREAD_SECONDS, StoredGenerations
from federation.party.reencryption import Pace, Progress, Tally, Walk, walked
from federation.protocol.time import Instant, milliseconds
from hsm.errors import KeyNotFound
from keystore.errors import GenerationNeeded, GenerationUnknown, NothingToReseal, PurposeUnknown, RetiredJustNow
from keystore.generations import Generation, Generations, State
from keystore.party import PartyKeys, Successor

SETTLING = timedelta(seconds=10 * REREAD_SECONDS)
"""How long after its retirement a generation may still be used by a process that has not read of it, or by a call under way."""

Count = Callable[[int], int]
"""Gives how many pieces need a generation, by its number."""


def _nothing(_: Generation) -> None:
    """Do nothing: what most keys ask for at most steps."""


def _own_public(successor: Successor) -> bytes:
    return successor.public


@dataclass(frozen=True)
class Use:
    """What hangs on the generations of one purpose, and what its steps ask for beside the book. The hooks may run again.

    `left` counts, by what it is in words, what needs a generation: it is not revoked while any does. What `forgettable` names
    may be given up when that is agreed to. `public` is what is noted of a successor's key: a TLS CA's certificate instead of
    its public key. `require_ready` raises if a successor must not be activated yet. `prepared`, `activated`, `tainted` and
    `revoked` follow the step, and get its generation. `lead` is how far ahead an activation is set that names no time, `soonest`
    one that is to be at once: where every process must have read of it first.
    """

    left: Mapping[str, Count]
    forgettable: frozenset[str] = frozenset()
    walk: Walk | None = None
    lead: timedelta = timedelta(0)
    soonest: timedelta = timedelta(0)
    public: Callable[[Successor], bytes] = _own_public
    require_ready: Callable[[Generation], object] = _nothing
    prepared: Callable[[Generation], object] = _nothing
    activated: Callable[[Generation], object] = _nothing
    tainted: Callable[[Generation], object] = _nothing
    revoked: Callable[[Generation], object] = _nothing


@dataclass(frozen=True)
class Status:
    """One generation as the operator sees it. Times are milliseconds since 1970; `left` says how much still needs it."""

    purpose: str
    number: int
    state: State
    prepared_at: Instant
    active_from: Instant | None
    retired_at: Instant | None
    tainted_at: Instant | None
    revoked_at: Instant | None
    left: Mapping[str, int] = field(default_factory=dict)


class Rotation:
    """The generations of one party's keys. Every step is in the book when it returns; processes that serve follow in a second.

    A step whose hook fails is in the book all the same, and the hook is due again: say the same step once more, or let the
    party's chores catch up.
    """

    def __init__(
        self,
        keys: PartyKeys,
        book: StoredGenerations,
        uses: Mapping[str, Use],
        record: Callable[[str], object],
        clock: Clock = system_clock,
    ) -> None:
        """Rotate these keys. `record` writes a line to the party's log before a step is in the book."""
        self._keys = keys
        self._book = book
        self._uses = uses
        self._record = record
        self._clock = clock

    @property
    def purposes(self) -> tuple[str, ...]:
        """Return what there is to rotate."""
        return tuple(self._uses)

    def status(self) -> Iterator[Status]:
        """Return every generation of every purpose. Counts what is left as it goes, which may take its time."""
        book, now = self._book.read(), self._clock()
        for purpose, use in self._uses.items():
            for it in book.of(purpose):
                state = book.state(purpose, it.number, now)
                counted = {} if state in {State.PREPARED, State.REVOKED} else _left(use, it.number)
                yield Status(
                    purpose=purpose,
                    number=it.number,
                    state=state,
                    prepared_at=it.prepared_at,
                    active_from=it.active_from,
                    retired_at=book.retired_at(purpose, it.number),
                    tainted_at=it.tainted_at,
                    revoked_at=it.revoked_at,
                    left=counted,
                )

    def left(self, purpose: str, number: int) -> int:
        """Count what still needs a generation. Raises PurposeUnknown, GenerationUnknown."""
        self._book.read().get(purpose, number)
        return sum(_left(self._use(purpose), number).values())

    def prepare(self, purpose: str, *, generate: bool = False) -> Generation:
        """Take the successor's key that a ceremony made in the token, or make it; whoever relies on it may learn of it now.

        Raises PurposeUnknown, RotationAlreadyPrepared, HsmError.
        """
        use, now = self._use(purpose), self._clock()
        find = self._keys.generate_successor if generate else self._keys.successor
        try:
            successor = find(purpose, now)
        except KeyNotFound as missing:
            raise KeyNotFound(
                f"{missing} A ceremony makes it (kind rotation), or --make-keys, before no witness."
            ) from missing
        public = use.public(successor)
        self._record(f"prepare {successor.label}")
        made = self._change(purpose, successor.number, lambda book: book.prepare(purpose, now, public))
        use.prepared(made)
        return made

    def activate(self, purpose: str, at: Instant | None = None, *, at_once: bool = False) -> Generation:
        """Let the successor take over, now or at that moment: by default when those who rely on it had time to learn of it.

        Raises PurposeUnknown, RotationNotPrepared, RotationAlreadyScheduled, ActivationInPast, and what the purpose requires.
        """
        use, now = self._use(purpose), self._clock()
        lead = milliseconds(use.soonest if at_once else use.lead)
        begin = now + lead if at is None else at
        changed = self._book.read().activate(purpose, begin, now)
        number = changed.of(purpose)[-1].number
        use.require_ready(changed.get(purpose, number))
        self._record(f"activate generation {number} of {purpose} at {begin}")
        active = self._change(purpose, number, lambda book: book.activate(purpose, begin, now))
        use.activated(active)
        return active

    def taint(self, purpose: str, number: int) -> Generation:
        """Say that a retired key can't be trusted any more: what hangs on it is replaced at once.

        Raises PurposeUnknown, GenerationUnknown, GenerationActive, GenerationPrepared, GenerationRevoked.
        """
        use, now = self._use(purpose), self._clock()
        self._book.read().taint(purpose, number, now)
        self._record(f"taint generation {number} of {purpose}")
        tainted = self._change(purpose, number, lambda book: book.taint(purpose, number, now))
        use.tainted(tainted)
        return tainted

    def revoke(self, purpose: str, number: int, *, forgetting: Collection[str] = ()) -> Generation:
        """End a generation that nothing needs any more, or only what may be forgotten and is named here.

        Raises PurposeUnknown, GenerationUnknown, GenerationActive, GenerationRevoked, RetiredJustNow, GenerationNeeded.
        """
        use, now = self._use(purpose), self._clock()
        book = self._book.read()
        book.revoke(purpose, number, now)
        if book.state(purpose, number, now) is not State.PREPARED:
            _require_settled(book, purpose, number, now)
            _require_unneeded(use, purpose, number, forgetting)
        self._record(f"revoke generation {number} of {purpose}")
        revoked = self._change(purpose, number, lambda book: book.revoke(purpose, number, now))
        use.revoked(revoked)
        return revoked

    def reseal(self, purpose: str, progress: Progress, pace: Pace | None = None) -> Tally:
        """Walk over what a purpose's retired generations hold, until all of it is under the active one.

        Raises PurposeUnknown, NothingToReseal, and what the walk raises; begun again, it goes on.
        """
        walk = self._use(purpose).walk
        if walk is None:
            raise NothingToReseal(f"nothing is kept under {purpose!r} that could be sealed anew here")
        return walked(walk(), pace or Pace(), progress)

    def _use(self, purpose: str) -> Use:
        if purpose not in self._uses:
            raise PurposeUnknown(f"this party has no key for {purpose!r}")
        return self._uses[purpose]

    def _change(self, purpose: str, number: int, step: Callable[[Generations], Generations]) -> Generation:
        return self._book.change(step).get(purpose, number)


def _left(use: Use, number: int) -> dict[str, int]:
    return {words: int(count(number)) for words, count in use.left.items()}


def _require_settled(book: Generations, purpose: str, number: int, now: Instant) -> None:
    """Check that no server may use it still: one that has not read of the activation yet, or is in the middle of a call."""
    retired_at = book.retired_at(purpose, number)
    if retired_at is None:
        raise GenerationUnknown(f"generation {number} of {purpose!r} was never active")
    if now < retired_at + milliseconds(SETTLING):
        raise RetiredJustNow(
            f"generation {number} of {purpose!r} retired a moment ago: "
            f"servers may still use it for {SETTLING.total_seconds():g} seconds"
        )


def _require_unneeded(use: Use, purpose: str, number: int, forgetting: Collection[str]) -> None:
    kept = {words: count for words, count in _left(use, number).items() if count}
    needed = [f"{count} {words}" for words, count in kept.items() if words not in use.forgettable & set(forgetting)]
    if needed:
        moves = f"; `rotate reseal {purpose}` brings what it can under the active key" if use.walk else ""
        raise GenerationNeeded(f"generation {number} of {purpose!r} is needed: {', '.join(needed)}{moves}")
