"""What is monitored of each kind of node: its dependencies, and the numbers that Prometheus fetches (docs/adr/0019)."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from federation.cloud.revocation import Capacity
from federation.errors import StaleRevocationList
from federation.hospital.outbox import pause_after
from federation.monitor.monitor import Target
from federation.monitor.readings import Reading
from federation.party.log_heads import OwnLog
from federation.party.witness import FINDINGS, Witness
from federation.processes.worker import WorkerSlot
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.authorities import Authority, current_crl
from federation.protocol.bundle import TrustedBundle
from federation.protocol.verifier import Verifier
from federation.store.inspection import Survey, Unreviewed, Waiting
from federation.store.party import Settings
from federation.v1.statement_pb2 import Credential
from federation.wire.health import Dependency
from federation.wire.parts import DATABASE, LOG, PEERS, RECORDS, TOKEN, TOKEN_MEMBER
from federation.wire.server import LeafRotation
from federation.wire.workers import Workers
from hsm import Token, TokenGroup

if TYPE_CHECKING:
    from federation.cloud.node import PublicCloudNode
    from federation.hospital.node import HospitalNode

T = TypeVar("T")

CLOUD_SERVICES = frozenset(
    f"federation.v1.{name}Service"
    for name in ("Directory", "Membership", "Registration", "Search", "Revocation", "Restriction", "Publication", "Log")
)
HOSPITAL_SERVICES = frozenset(f"federation.v1.{name}Service" for name in ("Record", "Relay", "Log"))
ASK_CLOUD_EVERY = timedelta(seconds=10)
ASK_CLOUD_PATIENCE = timedelta(seconds=4)

WRITE_EVERY = timedelta(seconds=5)
"""How often the database is asked to keep something: reading does not show that its disk is full."""

KEEP_EVERY = timedelta(seconds=10)
"""How often the records' shelf is asked to keep something and to give it up: a bucket is paid by the request."""

COUNT_EVERY = timedelta(minutes=5)
"""How often what takes a walk over a table is counted."""

_PROBE = "health-probe"


def cloud_target(node: "PublicCloudNode", leaf: LeafRotation, workers: Workers, slot: WorkerSlot) -> Target:
    """Return the public cloud, as one of its processes serves it."""
    cloud, survey = node.cloud, Survey(node.database)
    counted = Cached(lambda: survey.registrations(now=cloud.clock()))

    def lists() -> Iterator[Reading]:
        verifier = cloud.publisher.current.verifier
        yield from list_readings(verifier.lists, verifier.anchors, now=cloud.clock())
        yield from room_readings(Capacity(verifier.lists.require_head().entries, cloud.most_revocations))
        yield bundle_reading(cloud.trust.newest())

    def certificates() -> Iterator[Reading]:
        yield from leaf_readings(leaf)
        yield certificate_reading("federation-tls-ca", cloud.tls_ca.not_valid_after_utc)

    return Target(
        role="public-cloud",
        directory=node.directory,
        settings=node.settings,
        token=cloud.keys.token,
        workers=workers,
        dependencies=own_dependencies(cloud.keys.token, Settings(node.database), survey),
        services=CLOUD_SERVICES,
        sources={
            "database": lambda: database_readings(survey, now=cloud.clock()),
            "log": lambda: log_readings(cloud.own_log, cloud.witness),
            "registrations": lambda: registration_readings(counted()),
            "lists": lists,
            "certificates": certificates,
            "slot": lambda: slot_readings(slot),
        },
        worker=slot.number,
    )


def hospital_target(node: "HospitalNode", workers: Workers, slot: WorkerSlot) -> Target:
    """Return a hospital. The peer that it depends on is the public cloud."""
    member, survey = node.member, Survey(node.database)

    def kept() -> Iterator[Reading]:
        yield from database_readings(survey, now=node.clock())
        yield from outbox_readings(survey.outbox(), now=node.clock())
        yield from emergency_readings(survey.unreviewed(), now=node.clock())
        yield Reading("medunion_rooms_open", survey.rooms_open(now=node.clock()))

    def lists() -> Iterator[Reading]:
        verifier = member.verifier()
        yield from list_readings(verifier.lists, verifier.anchors, now=node.clock())
        yield from grace_readings(verifier)
        yield bundle_reading(node.bundle)

    def certificates() -> Iterator[Reading]:
        yield from leaf_readings(node.leaf)
        ca = node.identity_ca
        if ca is not None:
            yield certificate_reading("tls-identity-ca", ca.not_valid_after_utc)
        credential = Credential.FromString(member.party(node.clock()).self_.credential)
        yield certificate_reading("credential", datetime.fromtimestamp(credential.not_after / 1000, UTC))

    records = Dependency(RECORDS, node.blobs.keeps, every=KEEP_EVERY)
    cloud = Dependency(PEERS, node.cloud.answers, every=ASK_CLOUD_EVERY, patience=ASK_CLOUD_PATIENCE)
    return Target(
        role="hospital",
        directory=node.directory,
        settings=node.settings,
        token=member.keys.token,
        workers=workers,
        dependencies=[*own_dependencies(member.keys.token, Settings(node.database), survey), records, cloud],
        services=HOSPITAL_SERVICES,
        sources={
            "database": kept,
            "log": lambda: log_readings(node.hospital.own_log, node.hospital.witness),
            "lists": lists,
            "certificates": certificates,
            "slot": lambda: slot_readings(slot),
        },
        worker=slot.number,
    )


def slot_readings(slot: WorkerSlot) -> Iterator[Reading]:
    """Return how often a process of this number took the place of one that ended by itself."""
    yield Reading("medunion_process_restarts", slot.restarts)


def own_dependencies(token: Token, settings: Settings, survey: Survey) -> list[Dependency]:
    """Return what every server needs: its token, its database, its log; of several tokens each is told, too."""

    def keeps() -> bool:
        settings.put(_PROBE, b"")
        return True

    return [
        Dependency(TOKEN, token.health),
        *_members(token),
        Dependency(DATABASE, keeps, every=WRITE_EVERY),
        Dependency(LOG, survey.log_holds, every=WRITE_EVERY),
    ]


def _members(token: Token) -> Iterator[Dependency]:
    """Return the tokens of a group. Its probes are what brings a lost one back."""
    if isinstance(token, TokenGroup):
        for number, member in enumerate(token.members, start=1):
            yield Dependency(
                f"{TOKEN}-{number}",
                partial(token.member_health, member),
                kind=TOKEN_MEMBER,
                reason=partial(getattr, member, "reason"),
            )


def database_readings(survey: Survey, *, now: int) -> Iterator[Reading]:
    """Return the numbers of the database and the log."""
    pool = survey.pool()
    yield Reading("medunion_database_connections_in_use", pool.in_use)
    yield Reading("medunion_database_connections_limit", pool.limit)
    waiting, head = survey.log_waiting(now=now), survey.log_head()
    yield Reading("medunion_log_entries", survey.log_entries())
    yield Reading("medunion_log_waiting", waiting.number)
    yield Reading("medunion_log_waiting_seconds", waiting.oldest_ms / 1000)
    if head is not None:
        yield Reading("medunion_log_head_entries", head.size)
        yield Reading("medunion_log_head_timestamp_seconds", head.at / 1000)


def log_readings(own: OwnLog, witness: Witness) -> Iterator[Reading]:
    """Return whether the log has its witnesses, and what was found of others' logs and of this one."""
    cosigned_at = own.cosigned_at
    if cosigned_at is not None:
        yield Reading("medunion_log_cosigned_timestamp_seconds", cosigned_at / 1000)
    yield Reading("medunion_log_never_cosigned_seconds", _seconds_since(own.asked_at, own.clock()))
    silent_since = witness.followed.silent_since()
    yield Reading("medunion_followed_log_silent_seconds", _seconds_since(silent_since, own.clock()))
    found = witness.findings.open_by_kind()
    for kind in FINDINGS:
        yield Reading("medunion_log_findings", found.get(kind, 0), (kind,))


def _seconds_since(then: int | None, now: int) -> float:
    return 0.0 if then is None else max(0, now - then) / 1000


def list_readings(lists: Lists, anchors: Anchors, *, now: int) -> Iterator[Reading]:
    """Return the revocation list in hand and the authorities' CRLs."""
    if lists.head is not None:
        listed = lists.head
        yield Reading("medunion_revocation_list_sequence", listed.sequence)
        yield Reading("medunion_revocation_list_issued_timestamp_seconds", listed.this_update / 1000)
        yield Reading("medunion_revocation_list_end_timestamp_seconds", listed.next_update / 1000)
        yield Reading("medunion_revocation_list_entries", listed.entries)
    for authority in anchors.authorities:
        yield Reading("medunion_crl_end_timestamp_seconds", _crl_end(authority, lists, now), (authority.authority_id,))


def grace_readings(verifier: Verifier) -> Iterator[Reading]:
    """Return until when a hospital goes on by the revocation list in hand, though that is over by then."""
    if verifier.lists.head is not None:
        end = verifier.lists.head.next_update + verifier.grace.length_ms
        yield Reading("medunion_revocation_grace_end_timestamp_seconds", end / 1000)


def room_readings(capacity: Capacity) -> Iterator[Reading]:
    """Return how much of the revocation list's room is left."""
    yield Reading("medunion_revocation_list_entries_limit", capacity.most)
    yield Reading("medunion_revocation_list_room", max(0, capacity.most - capacity.entries))


def _crl_end(authority: Authority, lists: Lists, now: int) -> float:
    """Return when the authority's CRL ends; 0, which is long ago, if there is no current one."""
    try:
        end = current_crl(authority, lists.crls, datetime.fromtimestamp(now / 1000, UTC)).next_update_utc
    except StaleRevocationList:
        return 0.0
    return 0.0 if end is None else end.timestamp()


def certificate_reading(name: str, end: datetime) -> Reading:
    """Return when a certificate ends."""
    return Reading("medunion_certificate_end_timestamp_seconds", end.timestamp(), (name,))


def leaf_readings(leaf: LeafRotation) -> Iterator[Reading]:
    """Return when the TLS leaf ends that is served now."""
    yield certificate_reading("tls-leaf", leaf.current().not_after)


def oldest_seconds(waiting: Sequence[Waiting], *, now: int) -> float:
    """Return for how long at least the oldest entry of the outbox has waited.

    An entry keeps when it is due next, not when it came: the pauses behind its attempts are added up.
    """
    ages = [now - w.first_due + sum(map(pause_after, range(w.attempts))) for w in waiting]
    return max(0, *ages) / 1000 if ages else 0.0


class Cached(Generic[T]):
    """A number that is costly to get, gotten anew when it is older than that."""

    def __init__(self, get: Callable[[], T], every: timedelta = COUNT_EVERY) -> None:
        """Get it when it is first asked for."""
        self._get = get
        self._every = every.total_seconds()
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > self._every:
                self._kept = time.monotonic(), self._get()
            return self._kept[1]


def registration_readings(counted: Mapping[str, int]) -> Iterator[Reading]:
    """Return the live registrations by role."""
    for role, count in counted.items():
        yield Reading("medunion_registrations", count, (role,))


def outbox_readings(waiting: Sequence[Waiting], *, now: int) -> Iterator[Reading]:
    """Return how much the public cloud doesn't know yet, and since when."""
    yield Reading("medunion_outbox_entries", sum(w.entries for w in waiting))
    yield Reading("medunion_outbox_oldest_seconds", oldest_seconds(waiting, now=now))


def emergency_readings(unreviewed: Unreviewed, *, now: int) -> Iterator[Reading]:
    """Return how many emergencies wait for an officer, and for how long."""
    oldest = unreviewed.oldest_declared_at
    yield Reading("medunion_emergencies_unreviewed", unreviewed.number)
    yield Reading("medunion_emergencies_oldest_seconds", 0.0 if oldest is None else max(0, now - oldest) / 1000)


def bundle_reading(bundle: TrustedBundle) -> Reading:
    """Return when the trust bundle in hand was signed."""
    return Reading("medunion_trust_bundle_issued_timestamp_seconds", bundle.content.issued_at / 1000)
