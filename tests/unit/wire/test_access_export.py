"""The accesses to one patient's records, out of a sealed log, as AuditEvents."""

import json
from dataclasses import replace
from typing import Any

from federation.clinical.audit_events import LIST_AGE
from federation.clinical.fhir import validate_bundle
from federation.party.access_export import accesses_as_fhir
from federation.party.audit import Audit, AuditEvent
from federation.protocol.access import AccessEvent
from federation.store.database import Database
from federation.store.log import Log
from keystore.party import PartyKeys

READ = AccessEvent("READ", "D:a", "P:b", "cardiology", bytes(range(32)), "consent", "BEGUN")


def test_export_has_every_access_of_the_patient_and_nothing_else(token, database: Database) -> None:
    audit = Audit(Log(database), PartyKeys.create(token).sealing, where="H:north")
    audit.record(READ, now=1_790_000_000_001)
    audit.record(replace(READ, patient_id="P:other"), now=1_790_000_000_002)
    audit.record(AuditEvent("TICKET", "OK", detail="P:b"), now=1_790_000_000_003)
    audit.record(replace(READ, reason="RECORD_CUT_SHORT", detail="7 bytes sent"), now=1_790_000_000_004)
    bundle, count = accesses_as_fhir(audit, "H:alpha", "P:b", now=1_790_000_000_005)
    validate_bundle(bundle)
    assert count == 2
    assert [told(entry["resource"]) for entry in json.loads(bundle)["entry"]] == [
        (1, "2026-09-21T14:13:20.001Z", "0", "BEGUN"),
        (4, "2026-09-21T14:13:20.004Z", "4", "RECORD_CUT_SHORT: 7 bytes sent"),
    ]
    assert b"P:other" not in bundle


def told(event: dict[str, Any]) -> tuple[int, str, str, str]:
    return event["extension"][0]["valuePositiveInt"], event["recorded"], event["outcome"], event["outcomeDesc"]


def test_export_says_how_old_the_list_was_that_an_access_was_decided_by(token, database: Database) -> None:
    audit = Audit(Log(database), PartyKeys.create(token).sealing, where="H:north", listed_at=lambda: 1_000)
    audit.record(READ, now=7_201_000)
    audit.record(AuditEvent("TICKET", "OK", detail="P:b"), now=7_202_000)
    audit.record(READ, now=0)  # by a clock that was set back
    bundle, _ = accesses_as_fhir(audit, "H:alpha", "P:b", now=7_203_000)
    validate_bundle(bundle)
    events = [entry["resource"] for entry in json.loads(bundle)["entry"]]
    assert [event["extension"][1] for event in events] == [
        {"url": LIST_AGE, "valueUnsignedInt": 0},
        {"url": LIST_AGE, "valueUnsignedInt": 7_200},
    ]
    assert audit.verify() == 3, "the leaf does not say it"
