"""What a party keeps to show a judge (docs/protocol.md, 7; Table 2 of the paper and what the repairs add).

An exhibit holds the exact bytes that were signed, the signature, and whatever says whose key made it: KS, EK, Cert_D. A judge
needs no session key and no server. Exhibits lie in the party's store, sealed under its token's key.
"""

from collections.abc import Collection, Iterator

from federation.party.member import Member
from federation.protocol.exhibit import Exhibit, KeptExhibit, write_file
from federation.protocol.time import Instant
from federation.store.party import Evidence
from federation.store.rows import StoredEvidence
from keystore.transcript import text, transcript


class EvidenceBook:
    """A party's exhibits."""

    def __init__(self, member: Member, store: Evidence) -> None:
        """Keep them in this store, sealed under this member's token key."""
        self._member = member
        self._store = store

    def keep(self, exhibit: Exhibit, reference: bytes, *, now: Instant) -> None:
        """Keep an exhibit; `reference` names what it belongs to (a session id, a grant id)."""
        kept = KeptExhibit(exhibit, reference, now, self._member.verifier().lists.sequence)
        context = self._context(exhibit.kind, reference, now)
        sealed = self._member.sealing.seal(kept.to_json().encode(), context)
        self._store.add(exhibit.kind, reference, sealed, at=now)

    def all(self, kind: str | None = None) -> Iterator[KeptExhibit]:
        """Yield the exhibits, or one kind's, the oldest first. Raises SealBroken for one that was altered."""
        for name, reference, sealed, at in self._store.all(kind):
            opened = self._member.sealing.open(sealed, self._context(name, reference, at))
            yield KeptExhibit.from_json(opened.decode())

    def file(self, numbers: Collection[int] = (), kinds: Collection[str] = ()) -> bytes:
        """Return the file for a judge: of all exhibits, or of those of these numbers, from 1, the oldest first, or kinds.

        Raises as `all`.
        """
        kept = [it for it in enumerate(self.all(), start=1) if not kinds or it[1].exhibit.kind in kinds]
        return write_file(one for number, one in kept if not numbers or number in numbers)

    def context_of(self, piece: StoredEvidence) -> bytes:
        """Return what a piece is sealed with, for sealing it anew."""
        return self._context(piece.kind, piece.reference, piece.at)

    def _context(self, kind: str, reference: bytes, at: Instant) -> bytes:
        return transcript("evidence", text(self._member.identity), text(kind), reference, at.to_bytes(8, "big"))
