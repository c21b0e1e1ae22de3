"""Rotation of the public cloud's keys: what hangs on each, what its steps ask for, and what a serving cloud does after them.

A walk that was done is noted in the store by purpose and generation; one that a crash cut short is simply begun again
(docs/rotation-public-cloud.md).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cloud import rekey
from federation.cloud.node import PublicCloudNode
from federation.cloud.services import as_datetime
from federation.party.chores import Chore
from federation.party.generations import REREAD_SECONDS
from federation.party.patients import ACCESSES
from federation.party.reencryption import Pace, Steps, Tally, Walk, sealed_under, walked
from federation.protocol.time import milliseconds
from federation.rotation.steps import SETTLING, Rotation, Use
from federation.store.accesses import Accesses
from federation.wire import operations
from keystore.generations import Generation, State
from keystore.party import IDENTITY, INDEXING, ISSUING, SEALING, TLS_CA, Successor
from keystore.policies import CLOUD_POLICIES
from keystore.x509 import create_tls_ca, require_tls_ca

PURPOSES = (IDENTITY, ISSUING, TLS_CA, SEALING, INDEXING)

FOLLOWED = timedelta(hours=1)
"""How long members have to learn of a public key before it is used, unless the operator says otherwise."""

SOON = timedelta(seconds=3 * REREAD_SECONDS)
"""Before then some process of the cloud may not have read of an activation yet, and would work with the old key."""

REGISTRATIONS, ROWS, LOG_ENTRIES = "live registrations", "index rows", "log entries"
RESTRICTIONS = "restrictions by patient"
FORGETTABLE = {REGISTRATIONS: "forget-registrations", ROWS: "forget-rows", LOG_ENTRIES: "forget-log"}

CHORES_EVERY = timedelta(seconds=5)
CHANGES_A_SECOND = 100.0
LOOKED_AT_BETWEEN_PAUSES = 500
PAUSE = timedelta(milliseconds=50)


def cloud_rotation(node: PublicCloudNode, tls_ca: x509.Certificate | None = None) -> Rotation:
    """Return the rotation of a cloud's keys, for its operator. `tls_ca` is what a ceremony made for the next TLS CA."""
    cloud = node.cloud
    uses = {
        IDENTITY: _identity(node),
        ISSUING: _issuing(node),
        TLS_CA: _tls_ca(node, tls_ca),
        SEALING: _sealing(node),
        INDEXING: _indexing(node),
    }

    def record(line: str) -> None:
        cloud.record("ROTATION", line, now=cloud.clock())

    return Rotation(cloud.keys, node.book, uses, record, cloud.clock)


def _identity(node: PublicCloudNode) -> Use:
    def restate() -> Steps:
        # What is signed anew is verified first, by the bundle of now.
        node.publish()
        yield from rekey.restate_all(node.cloud)

    return Use(
        left={"key statements": lambda number: rekey.count_stated(node.cloud, number)},
        walk=restate,
        lead=FOLLOWED,
        soonest=SOON,
        prepared=lambda _: node.publish(),
        activated=lambda _: node.publish(),
        tainted=lambda _: node.publish(),
        revoked=lambda _: node.publish(),
    )


def _issuing(node: PublicCloudNode) -> Use:
    def fall(generation: Generation) -> None:
        node.publish()
        rekey.forget_registrations(node.cloud, generation.number)

    return Use(
        left={REGISTRATIONS: lambda number: rekey.count_issued(node.cloud, number)},
        forgettable=frozenset({REGISTRATIONS}),
        lead=FOLLOWED,
        soonest=SOON,
        prepared=lambda _: node.publish(),
        activated=lambda _: node.publish(),
        tainted=lambda _: node.publish(),
        revoked=fall,
    )


def _tls_ca(node: PublicCloudNode, given: x509.Certificate | None) -> Use:
    def public(successor: Successor) -> bytes:
        keys = node.cloud.keys
        key = keys.token.signing(successor.label, CLOUD_POLICIES[TLS_CA])
        realm, now = node.trust().content.realm, as_datetime(node.cloud.clock())
        if given is not None:
            require_tls_ca(given, key, realm, now=now)
        certificate = create_tls_ca(key, realm, now=now) if given is None else given
        return certificate.public_bytes(Encoding.DER)

    return Use(
        left={},
        public=public,
        lead=FOLLOWED,
        soonest=SOON,
        prepared=lambda _: node.publish(),
        activated=lambda _: node.publish(),
        tainted=lambda _: node.publish(),
        revoked=lambda _: node.publish(),
    )


def _sealing(node: PublicCloudNode) -> Use:
    cloud = node.cloud

    def seeds(number: int) -> int:
        return sealed_under((epoch.sealed_seed for epoch in node.epochs.all()), cloud.keys.sealing, number)

    return Use(
        left={
            "epochs": seeds,
            "shared keys": lambda number: rekey.count_shared_keys(cloud, number),
            "rows' values": lambda number: rekey.count_sealed_rows(cloud, number),
            "restrictions": cloud.restrictions.count_under,
            LOG_ENTRIES: cloud.audit.count_under,
        },
        forgettable=frozenset({LOG_ENTRIES}),
        walk=lambda: rekey.reseal(cloud, node.epochs),
        lead=SOON,
        soonest=SOON,
    )


def _indexing(node: PublicCloudNode) -> Use:
    cloud = node.cloud
    return Use(
        left={
            ROWS: cloud.stores.index.count,
            ACCESSES: Accesses(node.database).count,
            RESTRICTIONS: cloud.restrictions.store.count,
        },
        forgettable=frozenset({ROWS}),
        walk=lambda: rekey.name_anew(cloud),
        lead=SOON,
        soonest=SOON,
        revoked=lambda it: rekey.forget_rows(node.cloud, it.number),
    )


def rotation_chores(
    node: PublicCloudNode, pause: Callable[[float], None], every: timedelta = CHORES_EVERY
) -> list[Chore]:
    """Return what a serving cloud does after a rotation, at a low pace: `pause` makes way for calls, or raises LeaseLost."""
    unfinished, pace = _Unfinished(node), Pace(CHANGES_A_SECOND, pause)
    walks: dict[str, Walk] = {
        SEALING: lambda: rekey.reseal(node.cloud, node.epochs),
        IDENTITY: lambda: rekey.restate_all(node.cloud),
        INDEXING: lambda: rekey.name_anew(node.cloud),
    }
    acts = {"finish-revocations": unfinished.finish} | {
        f"walk-{purpose}": partial(_catch_up, node, purpose, walk, pace) for purpose, walk in walks.items()
    }
    return [
        Chore(name, every, act, leased=True, thread="rotation", event="rotation-chore-failed")
        for name, act in acts.items()
    ]


@dataclass(frozen=True)
class _Unfinished:
    """Revocations that a crash may have cut short: what fell with a generation goes, once for each."""

    node: PublicCloudNode
    finished: set[tuple[str, int]] = field(default_factory=set)

    def finish(self) -> None:
        cloud, book = self.node.cloud, self.node.book.read()
        for purpose, forget in ((ISSUING, rekey.forget_registrations), (INDEXING, rekey.forget_rows)):
            for it in book.of(purpose):
                fell = book.state(purpose, it.number, cloud.clock()) is State.REVOKED and it.active_from is not None
                if fell and (purpose, it.number) not in self.finished:
                    forget(cloud, it.number)
                    self.finished.add((purpose, it.number))


def _catch_up(node: PublicCloudNode, purpose: str, walk: Walk, pace: Pace) -> None:
    """Walk once for each activation, when every process works with the new generation."""
    now = node.cloud.clock()
    active = node.book.read().active(purpose, now)
    key = f"walked-{purpose}"
    done = int(node.stored_settings.get(key) or b"1")
    if active.number == done or now < (active.active_from or 0) + milliseconds(SETTLING):
        return

    def make_way(tally: Tally) -> None:
        """Make way for calls also where there is nothing to change."""
        if tally.seen % LOOKED_AT_BETWEEN_PAUSES == 0:
            pace.sleep(PAUSE.total_seconds())

    tally = walked(walk(), pace, make_way)
    node.stored_settings.put(key, str(active.number).encode())
    operations.info("rotation-walked", purpose=purpose, generation=active.number, changed=tally.changed)
