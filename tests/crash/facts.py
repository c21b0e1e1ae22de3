"""What is there when the killing is over, told by programs of their own: each opens one party's token and store.

facts.main("hospital" | "cloud" | "practice", directory, file for the answer, further words)
"""

import json
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from federation.clock import system_clock, system_entropy
from federation.cloud.node import PublicCloudNode, open_public_cloud
from federation.hospital.node import HospitalNode
from federation.hospital.outbox import PUBACK
from federation.party.audit import OK, Audit, AuditEntry
from federation.party.node_directory import NodeDirectory
from federation.protocol.access import BEGUN, AccessEvent, ToDoctor
from federation.protocol.consent import make_grant
from federation.protocol.search import Question
from federation.protocol.shown import Shown
from federation.store.accesses import Accesses
from federation.store.errors import StoreError
from federation.store.rows import StoredRecord
from federation.v1.access_pb2 import Consent
from hsm import pin_from_file
from keystore.transcript import digest
from tests.crash.journal import Journal
from tests.crash.people import Person, Place
from tests.grants import WIDE

PUBLISHING_SECONDS = 60
AUTHORITY = "M:board"


def main(kind: str, directory: str, answer: str, *words: str) -> None:
    """Write what is there as JSON."""
    told = _PROGRAMS[kind](Path(directory), *words)
    partial = Path(answer).with_suffix(".partial")
    partial.write_text(json.dumps(told, default=bytes.hex))
    partial.rename(answer)


def publish(directory: Path) -> dict[str, Any]:
    """Publish what waits, without the minute that a killed worker's entries are left alone for."""
    with HospitalNode(NodeDirectory(directory), pin_from_file(directory / "pin")) as node:
        node.cloud.refresh(node.member)
        outbox = node.hospital.stores.outbox
        give_up_at = time.monotonic() + PUBLISHING_SECONDS
        while outbox.size():
            assert time.monotonic() < give_up_at, "the public cloud takes nothing"
            for entry in outbox.all():
                outbox.postpone(entry.entry_id, not_before=0)
            if not node.outbox.publish_due():  # the server may be at it
                time.sleep(0.1)
        return {}


def hospital(directory: Path) -> dict[str, Any]:
    """Every record as it reads, the log, the receipts."""
    with HospitalNode(NodeDirectory(directory), pin_from_file(directory / "pin")) as node:
        evidence = node.hospital.stores.evidence
        return {
            "records": [_record(node, record) for record in node.hospital.stores.records.all()],
            "log": _log(node.hospital.audit),
            "published": sorted(reference.hex() for _, reference, _, _ in evidence.all(PUBACK)),
        }


def _record(node: HospitalNode, record: StoredRecord) -> dict[str, Any]:
    vault = node.hospital.vault
    content = b"".join(vault.read(record))
    parts, place = {}, 0
    for part in vault.parts(record):
        parts[part.name] = content[place : place + part.size_bytes]
        assert digest(parts[part.name]) == part.digest
        place += part.size_bytes
    return {
        "handle": record.handle,
        "version": record.version,
        "patient_id": vault.metadata_of(record).patient_id,
        "diagnosis": digest(parts["diagnosis.json"]),
        "consultation": json.loads(parts["evidence.json"])["consultation_digest"],
    }


def cloud(directory: Path) -> dict[str, Any]:
    """Registrations, revocations, the log."""
    with open_public_cloud(NodeDirectory(directory), pin_from_file(directory / "pin")) as node:
        stores, now = node.cloud.stores, system_clock()
        stores.revocations.expire(now=now)
        book = stores.revocations.since(-1).changes
        return {
            "registrations": {it.identity: it.serial for it in stores.registrations.walk()},
            "revoked": [it.digest for it in book if not it.is_ended],
            "log": _log(node.cloud.audit) | {"unfound": _unfound(node)},
        }


def _unfound(node: PublicCloudNode) -> list[int]:
    """The accesses that are not found by their patient, and what is found and is none."""
    accesses = {it.sequence for it in node.cloud.audit.entries() if isinstance(it.event, AccessEvent)}
    return sorted(accesses ^ {it.sequence for it in Accesses(node.database).walk()})


def _log(audit: Audit) -> dict[str, Any]:
    """The log, checked, and how often each thing was given by each access."""
    try:
        count = audit.verify()
    except StoreError as error:
        return {"fault": str(error), "given": {}}
    given = Counter(f"{entry.event.kind} {_authorization(entry)}" for entry in audit.entries() if _is_given(entry))
    return {"entries": count, "given": given}


def _is_given(entry: AuditEntry) -> bool:
    # A record's entry is there before its first byte; how it ended is another, which a crash may leave out. A deposit has one.
    given = BEGUN if entry.event.kind == "READ" else OK
    return entry.event.reason == given and hasattr(entry.event, "authorization")


def _authorization(entry: AuditEntry) -> str:
    return getattr(entry.event, "authorization", b"").hex()


def practice(path: Path, doctors: str, patients: str) -> dict[str, Any]:
    """What each patient's newest doctor finds in the index, and what everybody keeps to show a judge."""
    place = Place(path)
    with ExitStack() as stack:
        journal = Journal(path / "facts.journal")
        present = [Person(place, label, "D", journal, stack) for label in doctors.split(",")]
        people = [Person(place, label, "P", journal, stack) for label in patients.split(",")]
        people = [it for it in people if it.member.is_registered]
        asking = next(it for it in present if it.member.is_registered)
        asking.cloud.refresh(asking.member)
        return {
            "found": {it.member.identity: _found(asking, it) for it in people},
            "receipts": [kept.reference for it in present for kept in it.as_doctor().book.all("STOACK")],
            "diagnoses": [digest(it.report) for one in people for it in one.as_patient().diagnoses()],
            "waiting": sum(len(it.as_doctor().waiting_deposits()) for it in present if it.member.is_registered),
        }


def _found(doctor: Person, patient: Person) -> list[bytes]:
    patient.cloud.refresh(patient.member)
    now = system_clock()
    party = patient.member.party(now)
    to = ToDoctor(doctor.member.doctor_id, AUTHORITY)
    grant = make_grant(party, to, WIDE, now=now, entropy=system_entropy)
    shown = Shown.by_consent(
        Consent(grant=grant, key_statement=patient.member.key_statement), patient.member.patient_id
    )
    answer = doctor.cloud.search(doctor.member, Question(shown))
    found = [it.handle for it in answer.locations]
    while answer.next:
        answer = doctor.cloud.search(doctor.member, Question(shown, after=answer.next))
        found += [it.handle for it in answer.locations]
    return found


_PROGRAMS = {"publish": publish, "hospital": hospital, "cloud": cloud, "practice": practice}
