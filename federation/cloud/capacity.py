"""How full the revocation list is: everybody fetches it whole, so it is bounded; a full one takes no more (docs/scaling.md)."""

from collections.abc import Mapping
from dataclasses import dataclass

from federation.errors import Limit
from federation.store.rows import RevocationKind, Revocations
from federation.v1.statement_pb2 import RevocationList

MOST_ENTRIES = 4096 - 128
"""Serials, and grants, that may be revoked at a time. A list names 4,096 of each (protos/federation/v1/statement.proto), so
calls that count at the same moment find room for all: a longer list could not be signed, and without one everybody refuses."""

MOST_KEY_IDS = 1024
"""Encryption keys that a list names."""

MOST: Mapping[RevocationKind, int] = {"serial": MOST_ENTRIES, "grant": MOST_ENTRIES, "key": MOST_KEY_IDS}

HIGH = 0.8
"""The part of its room from which on a list is told of: what is left is the time to do something about it, and not for a member's
renewals to take."""

KEPT_FOR_LIVE = 256
"""Places for serials that only a live credential gets: whoever is to be shut out is, before what it had earlier."""


@dataclass(frozen=True)
class Fill:
    """How many entries of a kind there are, and at most."""

    kind: RevocationKind
    entries: int
    most: int

    @property
    def is_high(self) -> bool:
        """Say whether somebody should look."""
        return self.entries > HIGH * self.most

    @property
    def is_full(self) -> bool:
        """Say whether nothing more of the kind is revoked."""
        return self.entries >= self.most


def fills(counted: Mapping[RevocationKind, int]) -> list[Fill]:
    """Give how full a list of so many entries is, by kind."""
    return [Fill(kind, counted.get(kind, 0), most) for kind, most in MOST.items()]


def fills_of(listed: RevocationList) -> list[Fill]:
    """Give how full a list is, by kind."""
    return fills({"serial": len(listed.serials), "grant": len(listed.grants), "key": len(listed.key_ids)})


def require_room_for_live(book: Revocations) -> None:
    """Raise Limit where no live credential can be revoked."""
    _require_room(len(book.serials), MOST_ENTRIES)


def require_room_for_superseded(book: Revocations) -> None:
    """Raise Limit where no credential can be revoked that another one followed."""
    _require_room(len(book.serials), MOST_ENTRIES - KEPT_FOR_LIVE)


def require_room_for_renewal(book: Revocations) -> None:
    """Raise Limit where no renewal may let an earlier credential fall."""
    _require_room(len(book.serials), int(HIGH * MOST_ENTRIES))


def require_room_for_grant(book: Revocations) -> None:
    """Raise Limit where no grant can be taken back."""
    _require_room(len(book.grants), MOST_ENTRIES)


def _require_room(entries: int, most: int) -> None:
    if entries >= most:
        raise Limit("the revocation list is full")
