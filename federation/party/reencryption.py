"""Walks that seal anew what a retired generation sealed, while the party's servers serve (docs/adr/0018-rotation.md).

A walk looks at each piece once and replaces it by comparison, so it undoes nothing that a server did meanwhile. What the active
generation sealed stays as it is: a walk that was cut short is simply begun again.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from federation.store.party import Epochs, Evidence
from federation.store.rows import StoredEvidence
from keystore.keyring import Sealing
from keystore.party import PartyKeys


@dataclass(frozen=True)
class Tally:
    """How far a walk is: pieces looked at, and how many of them were changed."""

    seen: int = 0
    changed: int = 0

    def after(self, changed: bool) -> "Tally":
        """Count one piece more."""
        return Tally(self.seen + 1, self.changed + changed)


Steps = Iterator[bool]
"""A walk: gives for each piece whether it was changed, after it was."""

Walk = Callable[[], Steps]
Progress = Callable[[Tally], None]


@dataclass(frozen=True)
class Pace:
    """How many pieces a walk changes in a second at most, so that servers beside it have the token and the database too."""

    per_second: float = 200.0
    sleep: Callable[[float], None] = time.sleep


def walked(steps: Steps, pace: Pace, progress: Progress) -> Tally:
    """Walk to the end at this pace, tell each step, and return the sum. Raises what the steps raise; what is done stays done."""
    tally = Tally()
    for changed in steps:
        tally = tally.after(changed)
        progress(tally)
        if changed:
            pace.sleep(1 / pace.per_second)
    return tally


def sealed_under(pieces: Iterable[bytes], sealing: Sealing, generation: int) -> int:
    """Count the pieces that a generation sealed. Raises SealBroken for one that names none."""
    return sum(sealing.generation_of(sealed) == generation for sealed in pieces)


def reseal_epochs(epochs: Epochs, keys: PartyKeys) -> Steps:
    """Seal the ML-KEM seeds anew. Raises SealBroken."""
    for epoch in epochs.all():
        anew = keys.reseal_epoch(epoch.token_label, epoch.sealed_seed)
        yield anew != epoch.sealed_seed and epochs.reseal(epoch.key_id, epoch.sealed_seed, anew)


def reseal_evidence(evidence: Evidence, sealing: Sealing, context: Callable[[StoredEvidence], bytes]) -> Steps:
    """Seal kept evidence anew, each piece with its own context. Raises SealBroken."""
    for piece in evidence.walk():
        anew = sealing.reseal(piece.sealed, context(piece))
        yield anew != piece.sealed and evidence.reseal(piece.entry_id, piece.sealed, anew)
