"""Whose cosignatures of a log's head count, and how many its readers ask for: the trust bundle says (docs/protocol.md, 8, wp).

Pure. A bundle keeps every policy with its beginning: who reads now goes by the last, a judge by the one of the evidence's time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from federation.errors import BundleInvalid, BundleRewritesHistory, HeadNotCosigned
from federation.protocol.log_head import Origin, held_lines, peek_head
from federation.protocol.time import Instant
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.directory_pb2 import WitnessPolicy as StatedPolicy
from keystore.identities import ANY, is_identity
from keystore.signatures import VerifyingKey

MOST_COSIGNATURES = 8
"""The highest k: as many statements of witnesses come with a head that a patient is shown."""


@dataclass(frozen=True)
class WitnessPolicy:
    """A policy, and since when. `hospitals` is None where every registered one counts, `cloud_id` where the cloud does not."""

    not_before: Instant
    cosignatures: int
    hospitals: frozenset[str] | None
    cloud_id: str | None

    @classmethod
    def read(cls, stated: StatedPolicy, cloud_id: str) -> "WitnessPolicy":
        """Take a policy of this cloud's bundle. Raises BundleInvalid."""
        named = frozenset(stated.hospitals)
        is_any = named == {ANY}
        if len(named) != len(stated.hospitals) or (ANY in named and not is_any):
            raise BundleInvalid("a witness policy names a hospital twice, or others beside all of them")  # tb.21
        counting = MOST_COSIGNATURES + 1 if is_any else min(len(named) + stated.public_cloud, MOST_COSIGNATURES + 1)
        if not 0 < stated.cosignatures < counting:
            raise BundleInvalid("a witness policy asks for no cosignature, or for more than there can be")  # tb.21
        return cls(
            stated.not_before,
            stated.cosignatures,
            None if is_any else named,
            cloud_id if stated.public_cloud else None,
        )

    def counts(self, witness_id: str) -> bool:
        """Return whether this member's cosignatures count, of another's log."""
        if not is_identity("hospital", witness_id):
            return witness_id == self.cloud_id
        return self.hospitals is None or witness_id in self.hospitals

    @property
    def named(self) -> tuple[str, ...]:
        """Return the hospitals that it names, in order; none where all of them count."""
        return tuple(sorted(self.hospitals or ()))

    def counted(self, cosigners: Iterable[str], author_id: str) -> tuple[str, ...]:
        """Return those of a head's cosigners that count, in order, each once, the log's author not at all."""
        return tuple(sorted({it for it in cosigners if it != author_id and self.counts(it)}))

    def is_met(self, cosigners: Iterable[str], author_id: str) -> bool:
        """Return whether a head that these have cosigned is believed."""
        return len(self.counted(cosigners, author_id)) >= self.cosignatures

    def require_met(self, cosigners: Iterable[str], author_id: str) -> tuple[str, ...]:
        """Return who counts of those that have cosigned a head. Raises HeadNotCosigned for fewer than it asks for."""
        counted = self.counted(cosigners, author_id)
        if len(counted) < self.cosignatures:
            raise HeadNotCosigned(f"{len(counted)} of the {self.cosignatures} cosignatures that are asked for")  # wp.1
        return counted


def witness_words(stated: StatedPolicy) -> str:
    """Return in words whom a stated policy counts, and how many it asks for."""
    named = "every hospital" if list(stated.hospitals) == [ANY] else ", ".join(stated.hospitals) or "no hospital"
    return f"{stated.cosignatures} of: {named}{', the public cloud' if stated.public_cloud else ''}"


@dataclass(frozen=True)
class WitnessPolicies:
    """The policies of a bundle, in the order of their beginnings; the first from 0."""

    all: tuple[WitnessPolicy, ...]

    @classmethod
    def read(cls, bundle: TrustBundle) -> "WitnessPolicies":
        """Take what a bundle states. Raises BundleInvalid."""
        stated = bundle.witness_policies
        if not stated or stated[0].not_before != 0:
            raise BundleInvalid("the trust bundle has no witness policy, or none of the beginning")  # tb.20
        if any(after.not_before <= before.not_before for before, after in pairwise(stated)):
            raise BundleInvalid("the witness policies of the trust bundle are not in their order")  # tb.20
        if stated[-1].not_before > bundle.issued_at:
            raise BundleInvalid("a witness policy begins later than its trust bundle was made")  # tb.20
        return cls(tuple(WitnessPolicy.read(it, bundle.cloud_id) for it in stated))

    @property
    def newest(self) -> WitnessPolicy:
        """Return the policy of now."""
        return self.all[-1]

    def at(self, moment: Instant) -> WitnessPolicy:
        """Return the policy of a moment."""
        return next(it for it in reversed(self.all) if it.not_before <= moment)

    def require_follow(self, before: "WitnessPolicies", issued_at: Instant) -> None:
        """Require that these go on from those of the bundle before, which was made then. Raises BundleRewritesHistory."""
        kept = len(before.all)
        if self.all[:kept] != before.all or any(it.not_before < issued_at for it in self.all[kept:]):
            raise BundleRewritesHistory("a witness policy of before is gone from the trust bundle, or another")  # tb.22


def require_believed(
    note: bytes, lines: Sequence[bytes], keys: Iterable[tuple[str, VerifyingKey]], policy: WitnessPolicy
) -> tuple[str, ...]:
    """Require that enough of these witnesses have cosigned a head that `open_head` took; return who counts.

    A line that does not hold counts nothing. Raises HeadNotCosigned, NoteMalformed for a note that is none.
    """
    author_id = Origin.read(peek_head(note).origin).author_id
    return policy.require_met(held_lines(note, lines, keys), author_id)
