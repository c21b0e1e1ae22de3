"""The newest trust bundle of a party: followed from the one it pinned, kept durably, never given back for an older one.

Every process of a party reads it from the store, so what one of them took the others use a moment later, without a restart.

A bundle may come by a file in place of the network: a member that was away while the TLS CA changed can't dial the public cloud
any more. It needs no new pin: the bundles between are each signed by a key that the one before names, from the one that it
holds, and so may come from anywhere.
"""

import hmac
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf import json_format

from federation.errors import BundleOutOfSequence
from federation.party.node_directory import NodeDirectory, read_trust
from federation.protocol.bundle import BundleLease, TrustedBundle, follow, follow_all, pin, sequence_of
from federation.protocol.time import Instant
from federation.settings import CloudSettings, ConfigError, DatabaseSettings, HospitalSettings
from federation.store.directory import TrustChain
from federation.store.party import Settings
from federation.v1.directory_pb2 import GetTrustBundlesResponse
from federation.v1.statement_pb2 import RevocationHead, SignedStatement
from remembered import Memory

Between = Callable[[int], Sequence[SignedStatement]]
"""Fetches the bundles after a number, oldest first, perhaps not all of them at once. Raises FederationError."""

_NAME = "trust-bundle"

MOST_BUNDLES = 10_000
MOST_BYTES = 64 * 1024 * 1024
"""Of a chain's file."""


class TrustKeeper:
    """The bundle that holds now. Safe for several threads and processes."""

    def __init__(
        self, settings: Settings, pinned: TrustedBundle, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with the bundle that was handed over, or what has followed it since. `seconds` only goes forward."""
        self._settings = settings
        self._lock = threading.Lock()
        self._newest = pinned
        self._known: Memory[None, TrustedBundle] = Memory("trust bundle", seconds)

    def newest(self) -> TrustedBundle:
        """Return the newest bundle that was taken. Raises StoreError."""
        return self._known.of(None, lambda: self._kept_or(self._newest))

    def take(self, signed: SignedStatement, between: Between | None = None) -> TrustedBundle:
        """Follow to the bundle that a directory names, over those between, and return the one that now holds.

        An older one than the one at hand changes nothing. Raises what `federation.protocol.bundle.follow` finds wrong with any
        of them, BundleOutOfSequence where one is missing or another of a number at hand, StoreError; what held before holds.
        """
        current, target = self.newest(), sequence_of(signed)
        if target == current.sequence and not hmac.compare_digest(signed.statement, current.signed.statement):
            raise BundleOutOfSequence(f"there are two trust bundles of the number {target}")  # tb.2
        while current.sequence + 1 < target:
            current = self._kept_after(follow_all(current, _required(between, current.sequence)))
        return self._kept_after(follow(current, signed)) if current.sequence < target else current

    def lease(self, revocations: RevocationHead | None) -> BundleLease:
        """Return how long the bundle may be used, by the newest list that is at hand."""
        lease = BundleLease.of(self.newest())
        return lease if revocations is None else lease.heard(revocations)

    def require_usable(self, revocations: RevocationHead | None, *, now: Instant) -> None:
        """Require the newest bundle's grace not to be over. Raises BundleStale."""
        self.lease(revocations).require_usable(now=now)

    def _kept_after(self, followed: TrustedBundle) -> TrustedBundle:
        kept = followed.signed.SerializeToString(deterministic=True)
        self._settings.advance(_NAME, followed.sequence, kept)
        newest = self._kept_or(followed)
        self._known.forget()
        return newest

    def _kept_or(self, at_hand: TrustedBundle) -> TrustedBundle:
        """Go on with what the store has if it is newer. Who can write to a party's own store needs no forged bundle."""
        newer = self._settings.newer(_NAME, at_hand.sequence)
        found = at_hand if newer is None else pin(SignedStatement.FromString(newer[1]))
        with self._lock:
            self._newest = max(self._newest, found, key=lambda bundle: bundle.sequence)
            return self._newest


def _required(between: Between | None, sequence: int) -> Sequence[SignedStatement]:
    bundles = () if between is None else between(sequence)
    if not bundles:
        raise BundleOutOfSequence("the trust bundles between the one at hand and the newest cannot be had")  # tb.3
    return bundles


def chain_of(cloud: NodeDirectory) -> Sequence[SignedStatement]:
    """Return every bundle that a public cloud signed, oldest first. Needs no token. Raises ConfigError, StoreError."""
    with cloud.database(cloud.settings(CloudSettings).database) as database:
        kept = TrustChain(database).after(0, limit=MOST_BUNDLES)
    return [SignedStatement(statement=one.statement, signature=one.signature) for _, one in kept]


def chain_to_json(chain: Sequence[SignedStatement]) -> str:
    """Return the form of a chain's file: the answer to GetTrustBundles as JSON."""
    response = GetTrustBundlesResponse(trust_bundles=chain)
    return json_format.MessageToJson(response, preserving_proto_field_name=True) + "\n"


def read_chain(path: Path) -> Sequence[SignedStatement]:
    """Read a chain, oldest first, or a single `trust.json`. Raises ConfigError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is too large for trust bundles")
        content = path.read_text(encoding="utf-8")
        chain = list(json_format.Parse(content, GetTrustBundlesResponse()).trust_bundles)
        if not chain:
            raise ConfigError(f"{path} holds no trust bundle")
        return sorted(chain, key=sequence_of)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (json_format.ParseError, ValueError, RecursionError):
        return [read_trust(path).signed]


def update_trust(member: NodeDirectory, chain: Sequence[SignedStatement]) -> tuple[TrustedBundle, TrustedBundle]:
    """Follow a chain from the bundle that a member holds; return the one it held and the one that holds now.

    Its servers take it within a second. Raises what `federation.protocol.bundle.follow` finds wrong, ConfigError, StoreError.
    """
    with member.database(_database_settings(member)) as database:
        keeper = TrustKeeper(Settings(database), member.trust())
        before = keeper.newest()
        return before, keeper.take(chain[-1], lambda after: [it for it in chain if sequence_of(it) > after])


def _database_settings(member: NodeDirectory) -> DatabaseSettings:
    """Whoever's directory it is: clients keep their store where it is always."""
    if member.letter in {"D", "P"}:
        return DatabaseSettings()
    return member.settings(HospitalSettings).database
