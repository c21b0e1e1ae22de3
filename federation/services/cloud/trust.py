"""The cloud's side of the trust bundle: the chain in its store, and the next link of it."""

import threading
from collections.abc import Callable, Sequence

from federation.epochs import as_signed, as_stored
from federation.errors import Unavailable
from federation.protocol.bundle import TrustedBundle, issue_next, pin
from federation.protocol.time import Instant
from federation.store.errors import AlreadyStored
from federation.store.interfaces import TrustChain
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.statement_pb2 import SignedStatement
from keystore.party import PartyKeys

MOST_AT_ONCE = 4
"""Bundles of one answer (protos/federation/v1/directory.proto)."""

_ATTEMPTS = 5


class TrustOffice:
    """Keeps the newest bundle at hand and signs the next. Safe for several threads and processes."""

    def __init__(self, chain: TrustChain, keys: PartyKeys) -> None:
        """Keep the chain of a store, signed by PRK_C."""
        self._chain = chain
        self._keys = keys
        self._lock = threading.Lock()
        self._newest: TrustedBundle | None = None

    def newest(self) -> TrustedBundle:
        """Give the newest bundle of the chain. Raises Unavailable for a cloud whose first bundle isn't signed yet."""
        kept = self._chain.newest()
        if kept is None:
            raise Unavailable("this federation has no trust bundle yet")
        with self._lock:
            if self._newest is None or self._newest.sequence != kept[0]:
                # The cloud's own store is trusted: who can write there needs no forged bundle.
                self._newest = pin(as_signed(kept[1]))
            return self._newest

    def after(self, sequence: int) -> Sequence[SignedStatement]:
        """Give the next bundles after a number, oldest first; at most `MOST_AT_ONCE`."""
        return [as_signed(kept) for _, kept in self._chain.after(sequence, limit=MOST_AT_ONCE)]

    def publish(self, change: Callable[[TrustBundle], None], *, now: Instant) -> TrustedBundle:
        """Sign the next bundle: the newest one, changed. Give the newest as it is where that changes nothing.

        Raises what `federation.protocol.bundle.issue_next` finds wrong with it, Unavailable, StoreError, HsmError.
        """
        for _ in range(_ATTEMPTS):
            newest = self.newest()
            content = TrustBundle()
            content.CopyFrom(newest.content)
            change(content)
            if content == newest.content:
                return newest
            following = issue_next(newest, content, self._keys.signing_key, now=now)
            try:
                self._chain.put(following.sequence, as_stored(following.signed))
            except AlreadyStored:
                continue
            return following
        raise Unavailable("other processes change the trust bundle faster than this one")
