"""Budgets at a hospital: of how many patients a doctor, or all on duty at a hospital, read records in a day and a month."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from federation.errors import BudgetExhausted, GrantRevoked, NoSuchRecord
from federation.party.member import Member
from federation.protocol.frames import SLICE_BYTES
from federation.protocol.record import Slice
from tests.emergencies import budgeted, declared, let_in, read
from tests.hospital_lab import JOHNNIE, MILLISECOND, Client, HospitalLab, ecg, encounter_of, report

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _everybody(lab: HospitalLab) -> None:
    """Have both patients and doctors before a test moves the clock that other tests find put back."""
    assert lab.federation.other_patient is not lab.federation.other_doctor


@contextmanager
def serving(lab: HospitalLab, **most: int) -> Iterator[Client]:
    with budgeted(let_in(lab), **most).serving() as client:
        yield client


def asked(lab: HospitalLab, client: Client, patient: Member, doctor: Member | None = None) -> None:
    """Ask by consent for a patient's records; whether there are any is no matter of budgets."""
    federation = lab.federation
    shown = federation.shown(federation.grant(doctor=doctor, patient=patient), patient, doctor)
    with suppress(NoSuchRecord):
        read(lab, client, shown, doctor)


def in_emergency(lab: HospitalLab, client: Client, patient: Member) -> None:
    with suppress(NoSuchRecord):
        read(lab, client, declared(lab.federation, patient_id=patient.identity))


def refused(lab: HospitalLab, client: Client, patient: Member, doctor: Member | None = None) -> None:
    with pytest.raises(BudgetExhausted):
        asked(lab, client, patient, doctor)


def to_midnight(lab: HospitalLab) -> None:
    """Put the clock to a second before the next midnight, in UTC."""
    now = datetime.fromtimestamp(lab.federation.clock.now / 1000, UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    advance(lab, midnight - now - SECOND)


def advance(lab: HospitalLab, by: timedelta) -> None:
    lab.federation.clock.now += by // MILLISECOND
    lab.federation.refresh()


def test_another_patient_is_refused_budget_exhausted_and_one_seen_today_costs_nothing_more(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_doctor_a_day=1) as client:
        asked(lab, client, federation.patient)
        refused(lab, client, federation.other_patient)
        asked(lab, client, federation.patient)
        refused(lab, client, federation.other_patient)
    assert lab.reasons.count("BUDGET_EXHAUSTED") == 2


def test_one_doctor_is_used_up_and_another_goes_on(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_doctor_a_day=1) as client:
        asked(lab, client, federation.patient)
        refused(lab, client, federation.other_patient)
        asked(lab, client, federation.other_patient, federation.other_doctor)


def test_doctors_on_duty_at_one_hospital_share_its_budget(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_hospital_a_day=1) as client:
        asked(lab, client, federation.patient)
        refused(lab, client, federation.other_patient, federation.other_doctor)
        asked(lab, client, federation.patient, federation.other_doctor)


def test_month_is_used_up_when_a_new_day_has_come(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_doctor_a_day=1, patients_per_doctor_a_month=1) as client:
        asked(lab, client, federation.patient)
        to_midnight(lab)
        advance(lab, SECOND)
        refused(lab, client, federation.other_patient)
        asked(lab, client, federation.patient)


def test_own_records_deposits_and_emergencies_cost_nothing_of_it(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_doctor_a_day=1, emergencies_per_doctor_a_day=1) as client:
        asked(lab, client, federation.other_patient)
        refused(lab, client, federation.patient)
        client.deposit(encounter_of(federation, ecg(), report(federation), federation.grant()))
        assert read(lab, client, federation.own(), federation.patient)
        in_emergency(lab, client, federation.patient)
        refused(lab, client, federation.patient)  # an emergency makes nobody a patient seen by consent
        with pytest.raises(BudgetExhausted):
            in_emergency(lab, client, federation.other_patient)
        in_emergency(lab, client, federation.patient)


def test_what_is_refused_costs_nothing(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_doctor_a_day=1) as client:
        grant = federation.grant()
        federation.revoke_grant(grant)
        with pytest.raises(GrantRevoked):
            read(lab, client, federation.shown(grant))
        asked(lab, client, federation.other_patient)


def test_budget_around_midnight_is_spent_once_a_day(lab: HospitalLab) -> None:
    """A second before midnight and a second after are two days; nothing of the one is left for the other."""
    federation = lab.federation
    to_midnight(lab)
    with serving(lab, patients_per_doctor_a_day=1) as client:
        asked(lab, client, federation.patient)
        refused(lab, client, federation.other_patient)
        advance(lab, SECOND)
        asked(lab, client, federation.other_patient)
        refused(lab, client, federation.patient)


def test_record_that_began_before_midnight_is_read_to_its_end(lab: HospitalLab, tmp_path: Path) -> None:
    """Though the new day is used up by another patient, and it is decided anew by a new list."""
    federation = lab.federation
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(120 * SLICE_BYTES))
    lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", scan)
    to_midnight(lab)
    with serving(lab, patients_per_doctor_a_day=1) as client, client.session() as session:
        intent = federation.intent(federation.grant())
        state, frame = client.establish(session, intent).query(now=federation.clock.now)
        session.send(frame=frame)
        state, piece = state.receive(session.receive().frame, federation.doctor.verifier(), now=federation.clock.now)
        assert isinstance(piece, Slice)
        advance(lab, SECOND)
        asked(lab, client, federation.other_patient)
        refused(lab, client, federation.patient)
        while isinstance(piece, Slice):
            frame = session.receive().frame
            state, piece = state.receive(frame, federation.doctor.verifier(), now=federation.clock.now)


def test_budget_lowered_and_restarted_counts_what_was_read_before(lab: HospitalLab) -> None:
    federation = lab.federation
    with serving(lab, patients_per_doctor_a_day=5) as client:
        asked(lab, client, federation.patient)
    lab.restart()
    with serving(lab, patients_per_doctor_a_day=1) as client:
        refused(lab, client, federation.other_patient)
