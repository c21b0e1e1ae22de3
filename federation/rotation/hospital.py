"""Rotation of a hospital's keys: what hangs on each, and what its steps ask for (docs/rotation.md)."""

from datetime import timedelta

from federation.hospital.emergencies import count_emergencies_under, reseal_emergencies
from federation.hospital.guardians import count_guardianships_under, reseal_guardianships
from federation.hospital.node import HospitalNode
from federation.hospital.outbox import evidence_context, reseal_outbox
from federation.hospital.vault import count_wrapped_under, rekey_records
from federation.party.audit import OK, AuditEvent
from federation.party.generations import REREAD_SECONDS
from federation.party.patients import ACCESSES
from federation.party.reencryption import Steps, reseal_epochs, reseal_evidence, sealed_under
from federation.rotation.steps import Rotation, Use
from federation.store.accesses import Accesses
from federation.store.party import Epochs
from federation.store.rows import StoredEvidence
from keystore.generations import Generation
from keystore.party import IDENTITY, INDEXING, RECORDS, SEALING, TLS_CA

PURPOSES = (IDENTITY, TLS_CA, SEALING, RECORDS, INDEXING)

FOLLOWED = timedelta(seconds=3 * REREAD_SECONDS)
"""Before then a process may not have read of a new index key: it would look for records under the old ones alone."""

LOG_ENTRIES = "log entries"
FORGETTABLE = {LOG_ENTRIES: "forget-log"}


def hospital_rotation(node: HospitalNode) -> Rotation:
    """Return the rotation of a hospital's keys, for its operator's commands."""
    uses = {
        IDENTITY: _identity(node),
        TLS_CA: _tls_ca(node),
        SEALING: _sealing(node),
        RECORDS: _records(node),
        INDEXING: _indexing(node),
    }

    def record(line: str) -> None:
        node.hospital.audit.record(AuditEvent("ROTATION", OK, detail=line), now=node.clock())

    return Rotation(node.keys, node.book, uses, record, node.clock)


def _identity(node: HospitalNode) -> Use:
    """Let the hospital register again: it signs by the key of its live registration."""

    def register_again(_: Generation) -> None:
        if node.member.is_registered:
            node.cloud.refresh(node.member)
            node.renew_registration()

    return Use(left={"registration": node.member.is_registered_under}, activated=register_again, tainted=register_again)


def _tls_ca(node: HospitalNode) -> Use:
    return Use(
        left={},
        require_ready=lambda it: node.tls.certify_if_needed(it.number),
        activated=lambda _: node.tls.certify_what_is_due(),
    )


def _sealing(node: HospitalNode) -> Use:
    hospital, sealing = node.hospital, node.keys.sealing
    stores, epochs = hospital.stores, Epochs(node.database)

    def walk() -> Steps:
        yield from reseal_epochs(epochs, node.keys)
        yield from reseal_evidence(stores.evidence, sealing, _evidence_context)
        yield from reseal_outbox(stores.outbox, sealing)
        yield from reseal_guardianships(stores.guardianships, sealing)
        yield from reseal_emergencies(stores.emergencies, sealing)
        yield from hospital.restrictions.reseal()
        yield node.member.reseal_request()

    return Use(
        left={
            "epochs": lambda number: sealed_under((it.sealed_seed for it in epochs.all()), sealing, number),
            "evidence": lambda number: sealed_under((it.sealed for it in stores.evidence.walk()), sealing, number),
            "publications": lambda number: sealed_under((it.sealed for it in stores.outbox.all()), sealing, number),
            "guardianships": lambda number: count_guardianships_under(stores.guardianships, sealing, number),
            "emergencies": lambda number: count_emergencies_under(stores.emergencies, sealing, number),
            "restrictions": hospital.restrictions.count_under,
            "registration under way": node.member.request_is_under,
            LOG_ENTRIES: hospital.audit.count_under,
        },
        forgettable=frozenset({LOG_ENTRIES}),
        walk=walk,
    )


def _records(node: HospitalNode) -> Use:
    records, vault = node.hospital.stores.records, node.hospital.vault
    return Use(
        left={"records": lambda number: count_wrapped_under(records, vault, number)},
        walk=lambda: rekey_records(records, vault),
    )


def _indexing(node: HospitalNode) -> Use:
    hospital = node.hospital
    records, vault, restrictions = hospital.stores.records, hospital.vault, hospital.restrictions

    def walk() -> Steps:
        yield from rekey_records(records, vault)
        yield from restrictions.name_anew()
        yield from hospital.audit.name_anew()

    return Use(
        left={
            "records": records.count,
            "restrictions by patient": restrictions.store.count,
            ACCESSES: Accesses(node.database).count,
        },
        walk=walk,
        lead=FOLLOWED,
        soonest=FOLLOWED,
    )


def _evidence_context(piece: StoredEvidence) -> bytes:
    return evidence_context(piece.kind, piece.reference)
