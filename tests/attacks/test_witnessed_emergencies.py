"""An emergency's first byte waits for a witness: what the hospital lets out it can't leave out of its log afterwards."""

from dataclasses import replace

import pytest

from federation.hospital.witnessing import UNWITNESSED
from federation.protocol.access import AccessEvent
from tests.emergencies import declared, let_in, read
from tests.grants import WIDE
from tests.hospital_lab import HospitalLab


def kinds(lab: HospitalLab) -> list[str]:
    """Give the kinds of the log's entries, in their order."""
    return [entry.event.kind for entry in lab.hospital.audit.entries()]


def standing_by(lab: HospitalLab, *, stands: bool) -> list[list[str]]:
    """Have a witness that does or does not stand by; give what the log held whenever it was asked."""
    seen: list[list[str]] = []

    def stand_by() -> bool:
        seen.append(kinds(lab))
        return stands

    lab.hospital = replace(lab.hospital, stand_by=stand_by)
    return seen


@pytest.mark.parametrize("stands", [True, False])
def test_emergency_is_shown_to_a_witness_after_its_entry_and_before_its_first_byte(
    lab: HospitalLab, stands: bool
) -> None:
    lab.import_files()
    seen = standing_by(lab, stands=stands)
    with let_in(lab).serving() as client:
        assert read(lab, client, declared(lab.federation))
    (before,) = seen
    begun = [e.event for e in lab.hospital.audit.entries() if isinstance(e.event, AccessEvent)]
    assert [event.ground for event in begun] == ["emergency", "emergency"]
    assert before[-1] == begun[0].kind
    assert before.count(begun[0].kind) == 1
    assert (UNWITNESSED in kinds(lab)) is not stands


def test_access_by_consent_waits_for_nobody(lab: HospitalLab) -> None:
    lab.import_files()
    seen = standing_by(lab, stands=False)
    with lab.serving() as client:
        assert client.read(lab.federation.intent(lab.federation.grant(WIDE)))[0]
    assert seen == []
