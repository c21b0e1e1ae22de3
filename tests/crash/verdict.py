"""Whether everything that was acknowledged is there, once: the journal against what the parties have."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from federation.protocol.anchors import statement_entry

Line = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What the programs of `facts` told."""

    hospital: dict[str, Any]
    cloud: dict[str, Any]
    practice: dict[str, Any]


def faults(journal: Iterable[Line], facts: Facts) -> list[str]:
    """Give a sentence for each thing that is lost, doubled or contradicts another."""
    noted: dict[str, list[Line]] = {}
    for line in journal:
        noted.setdefault(line["kind"], []).append(line)
    return [
        *_deposits(noted.get("deposited", []), facts),
        *_index(facts),
        *_logs(noted, facts),
        *_revocations(noted.get("revoked", []), facts),
        *_registrations(noted.get("registered", []), facts),
        *_evidence(noted, facts),
    ]


def _deposits(deposited: list[Line], facts: Facts) -> Iterator[str]:
    kept: dict[str, list[Line]] = {}
    for record in facts.hospital["records"]:
        kept.setdefault(record["handle"], []).append(record)
    for line in deposited:
        found = kept.get(line["handle"], [])
        if len(found) != 1:
            yield f"the acknowledged deposit {line['handle']} is there {len(found)} times"
        elif any(found[0][name] != line[name] for name in ("diagnosis", "consultation", "patient_id")):
            yield f"the acknowledged deposit {line['handle']} holds something else"
    for consultation, count in Counter(it["consultation"] for it in facts.hospital["records"]).items():
        if count > 1:
            yield f"one consultation {consultation} was kept {count} times"
    if facts.practice["waiting"]:
        yield f"{facts.practice['waiting']} deposits still wait"


def _index(facts: Facts) -> Iterator[str]:
    """What is found is what is on file, and each once: also what nobody saw acknowledged."""
    for patient_id, found in facts.practice["found"].items():
        on_file = [it["handle"] for it in facts.hospital["records"] if it["patient_id"] == patient_id]
        if sorted(found) != sorted(on_file):
            yield f"{patient_id} has {len(on_file)} records on file, and the index gives {len(found)}"


def _logs(noted: dict[str, list[Line]], facts: Facts) -> Iterator[str]:
    for name, log in (("hospital", facts.hospital["log"]), ("cloud", facts.cloud["log"])):
        if "fault" in log:
            yield f"the log of the {name} is broken: {log['fault']}"
    if facts.cloud["log"].get("unfound"):
        yield f"accesses {facts.cloud['log']['unfound']} are not found by their patients, or are none"
    at_hospital, at_cloud = facts.hospital["log"]["given"], facts.cloud["log"]["given"]
    for kind, entry, given in (
        ("released", "READ", at_hospital),
        ("deposited", "STORE", at_hospital),
        ("searched", "SEARCH", at_cloud),
    ):
        for line in noted.get(kind, []):
            if not given.get(f"{entry} {line['authorization']}"):
                yield f"no entry of the log tells what was {kind} under {line['authorization']}"


def _revocations(revoked: list[Line], facts: Facts) -> Iterator[str]:
    for line in revoked:
        entry = statement_entry("grant", line["patient_id"], bytes.fromhex(line["grant_id"]))
        if entry.hex() not in facts.cloud["revoked"]:
            yield f"the revoked grant {line['grant_id']} is not on the list"


def _registrations(registered: list[Line], facts: Facts) -> Iterator[str]:
    for line in registered:
        if facts.cloud["registrations"].get(line["identity"]) != line["serial"]:
            yield f"the registration {line['serial']} of {line['identity']} does not stand"


def _evidence(noted: dict[str, list[Line]], facts: Facts) -> Iterator[str]:
    receipts, diagnoses = set(facts.practice["receipts"]), set(facts.practice["diagnoses"])
    for line in noted.get("deposited", []):
        if line["handle"] not in receipts:
            yield f"the doctor has no receipt for {line['handle']}"
    for line in noted.get("diagnosed", []):
        if line["diagnosis"] not in diagnoses:
            yield f"the patient lost the diagnosis {line['diagnosis']}"
    published = set(facts.hospital["published"])
    for record in facts.hospital["records"]:
        if record["handle"] not in published:
            yield f"the hospital has no receipt for the row of {record['handle']}"
