"""What a witness decides about a log head: pure, and never for a fork (C2SP tlog-witness). docs/protocol.md, section 8.

Whoever calls keeps the state that comes back before it cosigns, and lets no two heads of one log be decided on at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.errors import HeadBaseMismatch, HeadConflict, HeadOlder, WitnessIneligible
from federation.protocol.log_head import LogHead, Origin, open_head
from federation.protocol.merkle import EMPTY_ROOT, TreeHead, require_consistent
from keystore.signatures import VerifyingKey

NOTHING = TreeHead(0, EMPTY_ROOT)


@dataclass(frozen=True)
class WitnessState:
    """The newest head of a log that a witness has taken, and its note, which is what proves a fork."""

    head: LogHead
    note: bytes


@dataclass(frozen=True)
class ShownHead:
    """A head as its log shows it to a witness: the note, from which size the proof begins, and the proof."""

    note: bytes
    old_size: int
    proof: Sequence[bytes]


def next_state(
    kept: WitnessState | None, shown: ShownHead, *, origin: str, key: VerifyingKey, witness_id: str
) -> WitnessState:
    """Return what a witness keeps from now on and cosigns, where the log of this origin and key shows a head.

    `kept` is of this origin. Raises WitnessIneligible; NoteMalformed, SignatureInvalid, IdentityMismatch; HeadOlder,
    HeadConflict with both notes, HeadBaseMismatch with the size to begin from, LogProofInvalid.
    """
    if Origin.read(origin).author_id == witness_id:
        raise WitnessIneligible("nobody is a witness of its own log")  # wit.1
    head = open_head(shown.note, origin, key)  # wit.2
    before = kept.head.tree if kept else NOTHING
    if head.size < before.size:
        raise HeadOlder(f"a head of {head.size} leaves was shown, and one of {before.size} is kept")  # wit.3
    if kept and head.size == before.size and head.root != before.root:
        raise HeadConflict(f"two heads of {head.size} leaves", kept=kept.note, shown=shown.note)  # wit.4
    if shown.old_size != before.size:
        raise HeadBaseMismatch(f"the proof has to begin at {before.size}", kept_size=before.size)  # wit.5
    require_consistent(before, head.tree, shown.proof)  # wit.6
    return WitnessState(head, shown.note)
