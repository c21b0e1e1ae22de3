"""Each kind of node as it is watched."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from federation.monitor.observation import Subject
from federation.monitor.sources import Reading
from federation.monitor.watched import (
    Seldom,
    bundle_reading,
    certificate_reading,
    database_readings,
    leaf_readings,
    list_readings,
    outbox_readings,
    own_dependencies,
    registration_readings,
)
from federation.processes.worker import WorkerSlot
from federation.store.inspection import Survey
from federation.store.party import Settings
from federation.v1.statement_pb2 import Credential
from federation.wire.health import PEERS, Dependency
from federation.wire.server import LeafRotation
from federation.wire.workers import Workers

if TYPE_CHECKING:
    from federation.cloud.node import PublicCloudNode
    from federation.hospital.node import HospitalNode

CLOUD_SERVICES = frozenset(
    f"federation.v1.{name}Service"
    for name in ("Directory", "Membership", "Registration", "Search", "Revocation", "Publication")
)
HOSPITAL_SERVICES = frozenset({"federation.v1.RecordService", "federation.v1.RelayService"})
ASK_CLOUD_EVERY = timedelta(seconds=10)
ASK_CLOUD_PATIENCE = timedelta(seconds=4)


def cloud_subject(node: "PublicCloudNode", leaf: LeafRotation, workers: Workers, slot: WorkerSlot) -> Subject:
    """Give the public cloud, as one of its processes serves it."""
    cloud, survey = node.cloud, Survey(node.database)
    counted = Seldom(lambda: survey.registrations(now=cloud.clock()))

    def lists() -> Iterator[Reading]:
        verifier = cloud.bulletin.current.verifier
        yield from list_readings(verifier.lists, verifier.anchors, now=cloud.clock())
        yield bundle_reading(cloud.trust.newest())

    def certificates() -> Iterator[Reading]:
        yield from leaf_readings(leaf)
        yield certificate_reading("federation-tls-ca", cloud.tls_ca.not_valid_after_utc)

    return Subject(
        role="public-cloud",
        directory=node.directory,
        settings=node.settings,
        token=cloud.keys.token,
        workers=workers,
        dependencies=own_dependencies(cloud.keys.token, Settings(node.database), survey),
        services=CLOUD_SERVICES,
        sources={
            "database": lambda: database_readings(survey),
            "registrations": lambda: registration_readings(counted()),
            "lists": lists,
            "certificates": certificates,
            "place": lambda: slot_readings(slot),
        },
        worker=slot.number,
    )


def hospital_subject(node: "HospitalNode", workers: Workers, slot: WorkerSlot) -> Subject:
    """Give a hospital. The peer that it depends on is the public cloud."""
    member, survey = node.member, Survey(node.database)

    def kept() -> Iterator[Reading]:
        yield from database_readings(survey)
        yield from outbox_readings(survey.outbox(), now=node.clock())
        yield Reading("medunion_rooms_open", survey.rooms_open(now=node.clock()))

    def lists() -> Iterator[Reading]:
        verifier = member.verifier()
        yield from list_readings(verifier.lists, verifier.anchors, now=node.clock())
        yield bundle_reading(node.bundle)

    def certificates() -> Iterator[Reading]:
        yield from leaf_readings(node.leaf)
        ca = node.identity_ca
        if ca is not None:
            yield certificate_reading("tls-identity-ca", ca.not_valid_after_utc)
        credential = Credential.FromString(member.party(node.clock()).self_.credential)
        yield certificate_reading("credential", datetime.fromtimestamp(credential.not_after / 1000, UTC))

    cloud = Dependency(PEERS, node.cloud.answers, every=ASK_CLOUD_EVERY, patience=ASK_CLOUD_PATIENCE)
    return Subject(
        role="hospital",
        directory=node.directory,
        settings=node.settings,
        token=member.keys.token,
        workers=workers,
        dependencies=[*own_dependencies(member.keys.token, Settings(node.database), survey), cloud],
        services=HOSPITAL_SERVICES,
        sources={
            "database": kept,
            "lists": lists,
            "certificates": certificates,
            "place": lambda: slot_readings(slot),
        },
        worker=slot.number,
    )


def slot_readings(slot: WorkerSlot) -> Iterator[Reading]:
    """Give how often a process of this number took the place of one that ended by itself."""
    yield Reading("medunion_process_restarts", slot.restarts)
