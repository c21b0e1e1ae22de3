"""Guardianships that a hospital's desk states: kept sealed, stated anew, ended, swept."""

from datetime import timedelta

import pytest

from federation.errors import DeputyInvalid, DeputyRevoked, FieldInvalid, NotFound
from federation.hospital.guardians import (
    GUARDIANSHIPS_KEPT,
    KeptGuardianship,
    end_guardianship,
    guardianship,
    guardianships,
    reseal_guardianships,
    restate_guardianship,
    state_guardianship,
    sweep_guardianships,
)
from federation.hospital.own_statements import verifier_for
from federation.protocol.consent import Ward
from federation.protocol.shown import Shown, require_shown_deputy
from federation.v1.record_pb2 import RecordQuery
from federation.v1.statement_pb2 import POWER_GRANT, POWER_READ
from tests.hospital_lab import MILLISECOND, HospitalLab

YEAR = timedelta(days=365) // MILLISECOND


def ward(lab: HospitalLab, *, patient_id: str = "P:wang", until: int = YEAR) -> Ward:
    now = lab.federation.clock.now
    return Ward(patient_id, "P:lin", "parent", "Officer Ona", [POWER_GRANT, POWER_READ], now + until)


def stated(lab: HospitalLab) -> KeptGuardianship:
    return state_guardianship(lab.hospital, ward(lab), "ann")


def require_good(lab: HospitalLab, kept: KeptGuardianship) -> None:
    """Take it as this hospital does when the guardian shows it."""
    federation = lab.federation
    shown = Shown.by_own_right("P:wang", kept.shown)
    verifier = verifier_for(lab.hospital, RecordQuery(access=shown.access))
    deputy = federation.party(federation.other_patient).self_
    require_shown_deputy(kept.shown, "P:wang", deputy, POWER_READ, verifier, now=federation.clock.now)


def test_guardianship_is_kept_sealed_and_opens_as_it_was_stated(lab: HospitalLab) -> None:
    kept = stated(lab)
    (opened,) = guardianships(lab.hospital)
    assert opened == kept == guardianship(lab.hospital, kept.row.guardianship_id)
    assert kept.state(lab.federation.clock.now) == "stands"
    assert b"P:wang" not in kept.row.sealed
    said = kept.statement
    assert (said.hospital_id, said.patient_id, said.deputy_id, said.officer) == (
        *("H:alpha", "P:wang", "P:lin"),
        "Officer Ona",
    )
    require_good(lab, kept)


@pytest.mark.parametrize(
    ("changed", "error"),
    [({"patient_id": "wang"}, FieldInvalid), ({"until": -1}, DeputyInvalid), ({"until": 20 * YEAR}, DeputyInvalid)],
)
def test_guardianship_that_may_not_be_is_refused_and_not_kept(lab: HospitalLab, changed, error) -> None:
    with pytest.raises(error):
        state_guardianship(lab.hospital, ward(lab, **changed), "ann")
    assert list(guardianships(lab.hospital)) == []


def test_guardianship_ended_here_is_refused_here_before_any_list_has_it_deputy_revoked(lab: HospitalLab) -> None:
    kept = stated(lab)
    assert end_guardianship(lab.hospital, kept, "ann")
    assert not end_guardianship(lab.hospital, kept, "ann")
    with pytest.raises(DeputyRevoked):
        require_good(lab, kept)
    assert guardianship(lab.hospital, kept.row.guardianship_id).state(lab.federation.clock.now) == "ended"


def test_guardianship_is_stated_anew_under_the_credential_of_now_with_its_id(own_federation, tmp_path) -> None:
    with HospitalLab(own_federation, tmp_path) as lab:
        kept = stated(lab)
        own_federation.clock.advance(timedelta(hours=1))
        own_federation.renew(own_federation.hospital_a)
        own_federation.refresh()
        anew = restate_guardianship(lab.hospital, kept.row.guardianship_id, "ann")
        assert anew.statement.hospital_serial != kept.statement.hospital_serial
        before, after = list(kept.statement.ListFields()), list(anew.statement.ListFields())
        changed = {was[0].name for was, now in zip(before, after, strict=True) if was != now}
        assert changed == {"hospital_serial", "stated_at", "not_before"}
        own_federation.other_patient  # noqa: B018 - registered when first asked for
        require_good(lab, anew)


def test_guardianship_that_was_ended_or_is_over_or_is_none_is_not_stated_anew_not_found(lab: HospitalLab) -> None:
    ended, over = stated(lab), state_guardianship(lab.hospital, ward(lab, until=1), "ann")
    end_guardianship(lab.hospital, ended, "ann")
    lab.federation.clock.now += 1
    for guardianship_id in (ended.row.guardianship_id, over.row.guardianship_id, b"n" * 16):
        with pytest.raises(NotFound):
            restate_guardianship(lab.hospital, guardianship_id, "ann")


def test_log_says_who_stands_for_whom_and_who_saw_the_papers(lab: HospitalLab) -> None:
    kept = stated(lab)
    end_guardianship(lab.hospital, kept, "ann")
    events = [entry.event for entry in lab.hospital.audit.entries()][-2:]
    about = f"{kept.row.guardianship_id.hex()}: P:lin for P:wang, parent, seen by Officer Ona; by ann"
    assert [(event.kind, event.detail) for event in events] == [("GUARDIAN-STATED", about), ("GUARDIAN-ENDED", about)]


def test_guardianship_under_the_active_key_stays_as_it_is(lab: HospitalLab) -> None:
    stated(lab)
    assert list(reseal_guardianships(lab.hospital.stores.guardianships, lab.hospital.sealing)) == [False]


def test_guardianship_is_swept_a_while_after_its_end(lab: HospitalLab) -> None:
    state_guardianship(lab.hospital, ward(lab, until=1), "ann")
    lab.federation.clock.now += 1 + GUARDIANSHIPS_KEPT // MILLISECOND
    assert sweep_guardianships(lab.hospital) == 0
    lab.federation.clock.now += 1
    assert sweep_guardianships(lab.hospital) == 1
