"""The roster: what may go on it, what a line of it becomes, and what changes where it is there already."""

from datetime import timedelta

import pytest

from federation.errors import FieldInvalid, NotOnDuty
from federation.hospital.roster import (
    LONGEST_SPAN,
    SHIFTS_KEPT,
    Span,
    checked_span,
    planned,
    put_on_roster,
    require_on_duty,
    shown_duty,
    sweep_roster,
    take_off_roster,
)
from federation.protocol.statements import peek_statement
from federation.v1.statement_pb2 import Duty, KeyStatement
from tests.hospital_lab import MILLISECOND, HospitalLab

HOUR = 3_600_000
DOCTOR = "D:poe"


def span(lab: HospitalLab, hours: float = 12, *, begins: float = 0, classes: tuple[str, ...] = ("cardiology",)) -> Span:
    now = lab.federation.clock.now + round(begins * HOUR)
    return checked_span(lab.hospital, DOCTOR, classes, now, now + round(hours * HOUR))


def put(lab: HospitalLab, *spans: Span, revive: bool = False) -> list[tuple[int, int]]:
    """Put what is new on the roster; give from when until when each is."""
    plan = planned(lab.hospital, spans, revive=revive)
    put_on_roster(lab.hospital, plan.new, "ann", "by hand")
    return [(shift.not_before, shift.not_after) for shift in plan.new]


@pytest.mark.parametrize(
    ("doctor_id", "classes", "hours", "says"),
    [
        ("P:wang", (), 1, "not the id of a doctor"),
        (DOCTOR, ("alchemy",), 1, "'alchemy' is no department class; the federation has cardiology, neurology"),
        (DOCTOR, ("psychiatry",), 1, "H:alpha has no department of the class psychiatry; it has cardiology, neurology"),
        (DOCTOR, (), 0, "ends before it begins"),
        (DOCTOR, (), -1, "ends before it begins"),
        (DOCTOR, (), LONGEST_SPAN / timedelta(hours=1) + 1, "longer than 366 days"),
    ],
)
def test_line_that_may_not_be_is_refused_field_invalid(
    lab: HospitalLab, doctor_id: str, classes: tuple[str, ...], hours: float, says: str
) -> None:
    now = lab.federation.clock.now
    with pytest.raises(FieldInvalid, match=says):
        checked_span(lab.hospital, doctor_id, classes, now, now + round(hours * HOUR))


def test_line_names_each_department_once_in_one_order(lab: HospitalLab) -> None:
    assert span(lab, classes=("neurology", "cardiology", "neurology")).department_classes == ("cardiology", "neurology")


def test_line_of_more_than_a_day_becomes_shifts_of_a_day_without_a_gap(lab: HospitalLab) -> None:
    now = lab.federation.clock.now
    assert put(lab, span(lab, 60)) == [
        (now, now + 24 * HOUR),
        (now + 24 * HOUR, now + 48 * HOUR),
        (now + 48 * HOUR, now + 60 * HOUR),
    ]
    assert put(lab, span(lab, 24, begins=60)) == [(now + 60 * HOUR, now + 84 * HOUR)]


def test_line_again_changes_nothing_and_one_that_overlaps_is_another(lab: HospitalLab) -> None:
    assert len(put(lab, span(lab, 30), span(lab, 30))) == 2
    assert put(lab, span(lab, 30)) == []
    assert len(planned(lab.hospital, [span(lab, 30)]).present) == 2
    assert len(put(lab, span(lab, 29))) == 1
    assert len(put(lab, span(lab, 30, classes=()))) == 2


def test_shift_ended_by_hand_is_left_so_by_a_file_and_made_again_by_hand(lab: HospitalLab) -> None:
    put(lab, span(lab))
    take_off_roster(lab.hospital, require_on_duty(lab.hospital, DOCTOR, lab.hospital.member.verifier().lists), "ann")
    assert [shift.ended_at is not None for shift in planned(lab.hospital, [span(lab)]).ended] == [True]
    assert put(lab, span(lab)) == []
    with pytest.raises(NotOnDuty):
        require_on_duty(lab.hospital, DOCTOR, lab.hospital.member.verifier().lists)
    assert len(put(lab, span(lab), revive=True)) == 1
    require_on_duty(lab.hospital, DOCTOR, lab.hospital.member.verifier().lists)
    assert put(lab, span(lab), revive=True) == []


def test_shift_that_is_over_and_is_not_there_is_left_out(lab: HospitalLab) -> None:
    put(lab, span(lab, 2, begins=-5))
    plan = planned(lab.hospital, [span(lab, 2, begins=-5), span(lab, 30, begins=-26)])
    assert (plan.over, len(plan.new), len(plan.present)) == (2, 1, 0)


def test_log_says_who_changed_the_roster_and_whose_duty_was_stated(lab: HospitalLab) -> None:
    put(lab, span(lab))
    shift = require_on_duty(lab.hospital, DOCTOR, lab.hospital.member.verifier().lists)
    key = peek_statement(KeyStatement, lab.federation.doctor.key_statement).verifying_key
    shown_duty(lab.hospital, DOCTOR, key)
    take_off_roster(lab.hospital, shift, "ann")
    events = [entry.event for entry in lab.hospital.audit.entries()][-3:]
    assert [(event.kind, event.reason) for event in events] == [
        ("ROSTER", "OK"),
        ("DUTY-STATED", "OK"),
        ("DUTY-ENDED", "OK"),
    ]
    assert events[0].detail == "1 shifts, by hand; by ann"
    assert events[1].detail == f"{shift.shift_id.hex()} of {DOCTOR}"
    assert events[2].detail == f"{shift.shift_id.hex()} of {DOCTOR}; by ann"


def test_duty_says_what_the_shift_does_and_another_key_gets_another(lab: HospitalLab) -> None:
    put(lab, span(lab))
    keys = [
        peek_statement(KeyStatement, member.key_statement).verifying_key
        for member in (lab.federation.doctor, lab.federation.other_doctor)
    ]
    first, second = (peek_statement(Duty, shown_duty(lab.hospital, DOCTOR, key).duty) for key in keys)
    shift = require_on_duty(lab.hospital, DOCTOR, lab.hospital.member.verifier().lists)
    assert (first.duty_id, first.doctor_id, first.not_before, first.not_after) == (
        shift.shift_id,
        DOCTOR,
        shift.not_before,
        shift.not_after,
    )
    assert first.verifying_key_digest != second.verifying_key_digest
    assert first.duty_id == second.duty_id  # what takes the one back takes the other back


def test_shift_is_swept_a_while_after_its_end(lab: HospitalLab) -> None:
    put(lab, span(lab, 1))
    lab.federation.clock.now += HOUR + SHIFTS_KEPT // MILLISECOND
    assert sweep_roster(lab.hospital) == 0
    lab.federation.clock.now += 1
    assert sweep_roster(lab.hospital) > 0
    assert lab.hospital.stores.shifts.of(DOCTOR, ending_after=0) == []
