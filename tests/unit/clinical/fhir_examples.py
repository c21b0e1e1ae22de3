"""Consents and accesses whose FHIR is kept in tests/data/fhir, looked through by hand against PCF and BALP."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from federation.clinical.audit_events import RecordedAccess
from federation.clinical.consents import ConsentTerms, GivenConsent, Recipient

DATA = Path(__file__).parents[2] / "data" / "fhir"
STATED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
REALM, CLOUD = "test union", "C:union"

TO_DOCTOR = GivenConsent(
    terms=ConsentTerms(
        recipient=Recipient("D:rossi", "M:board"),
        hospitals=("H:alpha",),
        department_classes=("cardiology", "radiology"),
        rights=("find", "read", "deposit"),
        sensitivity="normal",
        purpose="consultation",
        begins=STATED,
        ends=STATED + timedelta(hours=24),
    ),
    patient_id="P:wang",
    signer_id="P:wang",
    stated_at=STATED,
    grant_id=bytes(range(16)),
    number=1,
    stands=True,
    signed=b"statement and signature",
)
TO_DEPARTMENT = replace(
    TO_DOCTOR,
    terms=replace(
        TO_DOCTOR.terms,
        recipient=Recipient("H:alpha/cardiology"),
        hospitals=("*",),
        department_classes=("*",),
        rights=("find", "read"),
        sensitivity="restricted",
        ends=STATED + timedelta(days=30),
    ),
    signer_id="P:lin",
    number=2,
    stands=False,
)
TO_HOSPITAL = replace(
    TO_DOCTOR, terms=replace(TO_DOCTOR.terms, recipient=Recipient("H:alpha"), rights=("deposit",)), number=3
)

READ = RecordedAccess(
    sequence=12,
    at=STATED,
    kind="READ",
    asker_id="D:rossi",
    patient_id="P:wang",
    scope="cardiology",
    ground="consent",
    authorization=bytes(32),
    reason="OK",
    detail="4096 bytes sent",
    recorded_by="H:alpha",
)
SEARCH = replace(READ, sequence=13, kind="SEARCH", detail="", scope="*", recorded_by="C:union")
STORE = replace(READ, sequence=14, kind="STORE", detail="")
OWN = replace(READ, sequence=15, asker_id="P:wang", ground="own", authorization=b"\1" * 32, reason="BEGUN", detail="")
EMERGENCY = replace(READ, sequence=16, ground="emergency", detail="")
DENIED = replace(READ, sequence=17, ground="none", authorization=b"", reason="GRANT_MISSING", detail="")
FAULT = replace(READ, sequence=18, reason="STORED_RECORD_CORRUPT", detail="")
LOG = replace(OWN, sequence=19, kind="LOG", reason="OK")


def known(name: str) -> Any:
    """Give a known answer."""
    return json.loads((DATA / f"{name}.json").read_text())
