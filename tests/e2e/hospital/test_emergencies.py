"""Emergencies at a hospital: let in by its policy, logged and put up for review before the first byte, reviewed once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from federation.check import own
from federation.check.findings import KINDS, Examined, Verdict
from federation.errors import (
    Conflict,
    Corrupt,
    DutyExpired,
    EmergencyExpired,
    EmergencyRefused,
    FieldInvalid,
    MalformedMessage,
    NoSuchRecord,
    NotFound,
)
from federation.hospital.emergencies import (
    REVIEWED_WITHIN,
    KeptEmergency,
    accesses_in,
    count_emergencies_under,
    emergencies,
    emergency,
    reseal_emergencies,
    review_emergency,
)
from federation.party.node_directory import NodeDirectory
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.shown import Shown
from federation.protocol.statements import open_statement
from federation.store import schema
from federation.store.inspection import Survey, Unreviewed
from federation.v1.statement_pb2 import Review
from keystore.transcript import digest
from tests.emergencies import POLICY, REASON, declared, let_in, read
from tests.hospital_lab import MILLISECOND, SETTINGS, Client, HospitalLab
from tests.waiting import until


@dataclass
class Ward:
    """A hospital that lets in emergencies, with a record of P:wang."""

    lab: HospitalLab
    client: Client

    def read(self, shown: Shown) -> bytes:
        return read(self.lab, self.client, shown)

    def only(self) -> KeptEmergency:
        (kept,) = emergencies(self.lab.hospital)
        return kept


@pytest.fixture
def ward(lab: HospitalLab) -> Iterator[Ward]:
    lab.import_files()
    with let_in(lab).serving() as client:
        yield Ward(lab, client)


def test_emergency_is_let_in_logged_and_put_up_for_review(ward: Ward) -> None:
    federation = ward.lab.federation
    assert ward.read(declared(federation))
    until(lambda: ward.lab.reasons == ["BEGUN", "OK"], "the end is logged")
    (begun, ended) = [it.event for it in ward.lab.hospital.audit.entries() if it.event.kind == "READ"]
    assert (begun.ground, begun.reason, ended.ground, ended.reason) == ("emergency", "BEGUN", "emergency", "OK")
    kept = ward.only()
    said = kept.statement
    assert (said.doctor_id, said.patient_id, said.reason_code) == ("D:chen", "P:wang", REASON)
    assert (kept.row.accesses, kept.finding, kept.row.reviewed_at) == (1, None, None)
    assert kept.is_overdue_after == federation.clock.now + REVIEWED_WITHIN // timedelta(milliseconds=1)
    assert b"P:wang" not in kept.row.sealed
    assert [it.event.reason for it in accesses_in(ward.lab.hospital, kept)] == ["BEGUN", "OK"]
    assert Survey(ward.lab.database).unreviewed() == Unreviewed(1, federation.clock.now)


def test_emergency_used_again_within_its_hour_is_one_with_two_accesses(ward: Ward) -> None:
    shown = declared(ward.lab.federation)
    first = ward.read(shown)
    ward.lab.federation.clock.advance(timedelta(minutes=59))
    ward.lab.federation.refresh()
    assert ward.read(shown) == first
    assert ward.only().row.accesses == 2
    until(lambda: len(list(accesses_in(ward.lab.hospital, ward.only()))) == 4, "both ends are logged")


def test_emergency_over_is_refused_emergency_expired(ward: Ward) -> None:
    shown = declared(ward.lab.federation)
    ward.lab.federation.clock.advance(timedelta(hours=1))
    ward.lab.federation.refresh()
    with pytest.raises(EmergencyExpired):
        ward.read(shown)
    assert emergencies(ward.lab.hospital) == []


def test_emergency_off_duty_is_refused_duty_expired(ward: Ward) -> None:
    shown = declared(ward.lab.federation)
    ward.lab.off_duty()
    with pytest.raises(DutyExpired):
        ward.read(shown)


def test_emergency_for_no_reason_of_the_list_is_refused_emergency_refused(ward: Ward) -> None:
    with pytest.raises(EmergencyRefused):
        ward.read(declared(ward.lab.federation, reason_code="curious"))
    assert ward.lab.reasons == ["EMERGENCY_REFUSED"]
    assert emergencies(ward.lab.hospital) == []


@pytest.mark.parametrize(
    ("policy", "is_seconded", "is_let_in"),
    [
        (None, True, False),
        (EmergencyPolicy(POLICY.reasons, second_clinician=True), False, False),
        (EmergencyPolicy(POLICY.reasons, second_clinician=True), True, True),
        (EmergencyPolicy(POLICY.reasons, frozenset({"radiology"})), True, False),
        (EmergencyPolicy(POLICY.reasons, frozenset({"neurology"})), False, True),
    ],
)
def test_policy_says_which_emergency_is_let_in(
    lab: HospitalLab, policy: EmergencyPolicy | None, is_seconded: bool, is_let_in: bool
) -> None:
    lab.import_files()
    shown = declared(lab.federation, clinician=lab.federation.other_doctor if is_seconded else None)
    with let_in(lab, policy).serving() as client:
        if is_let_in:
            assert read(lab, client, shown)
        else:
            with pytest.raises(EmergencyRefused):
                read(lab, client, shown)
    assert len(emergencies(lab.hospital)) == is_let_in


def test_emergency_about_a_patient_without_records_waits_for_review_too(ward: Ward) -> None:
    with pytest.raises(NoSuchRecord):
        ward.read(declared(ward.lab.federation, patient_id="P:lin"))
    assert ward.only().statement.patient_id == "P:lin"


def test_review_is_signed_by_the_hospital_logged_and_final_conflict(ward: Ward) -> None:
    ward.read(declared(ward.lab.federation))
    hospital, kept = ward.lab.hospital, ward.only()
    finding = review_emergency(hospital, kept, "Officer Ona", "He was alone.", "ann", justified=False)
    key = ward.lab.federation.party(ward.lab.federation.hospital_a).self_.key
    review = open_statement("review", Review, finding.signed, key)
    assert (review.emergency_digest, review.justified) == (kept.row.emergency_digest, False)
    assert (review.officer, review.note_digest) == ("Officer Ona", digest(b"He was alone."))
    opened = emergency(hospital, kept.row.emergency_digest)
    assert opened.finding == finding
    for again in (kept, opened):
        with pytest.raises(Conflict):
            review_emergency(hospital, again, "Officer Ona", "I was wrong.", "ann", justified=True)
    assert ward.only().finding == finding
    logged = [it.event for it in hospital.audit.entries() if it.event.kind == "EMERGENCY-REVIEWED"]
    assert len(logged) == 1
    assert "D:chen with P:wang, NOT JUSTIFIED, found by Officer Ona; by ann" in logged[0].detail
    assert emergencies(hospital, unreviewed=True) == []
    assert Survey(ward.lab.database).unreviewed() == Unreviewed(0, None)


def test_emergency_used_again_after_its_review_stays_reviewed_and_counts(ward: Ward) -> None:
    shown = declared(ward.lab.federation)
    ward.read(shown)
    review_emergency(ward.lab.hospital, ward.only(), "Ona", "Yes.", "ann", justified=True)
    ward.read(shown)
    assert ward.only().finding is not None
    assert ward.only().row.accesses == 2


@pytest.mark.parametrize(
    ("officer", "note", "error"),
    [("Ona", " ", FieldInvalid), ("Ona", "x" * 4001, FieldInvalid), ("O" * 129, "Yes.", MalformedMessage)],
)
def test_review_that_says_nothing_is_refused(ward: Ward, officer: str, note: str, error: type[Exception]) -> None:
    ward.read(declared(ward.lab.federation))
    with pytest.raises(error):
        review_emergency(ward.lab.hospital, ward.only(), officer, note, "ann", justified=True)
    assert ward.only().finding is None


def test_check_tells_of_a_review_that_is_overdue(ward: Ward) -> None:
    """And of one that waits within its time as something that is well."""
    now = ward.lab.federation.clock.now
    ward.read(declared(ward.lab.federation))
    found = []
    for later in (timedelta(days=7), timedelta(days=7, milliseconds=1)):
        examined = Examined(
            NodeDirectory(ward.lab.directory),
            KINDS["H"],
            SETTINGS,
            lambda: None,
            lambda later=later: now + later // MILLISECOND,
        )
        examined.database = ward.lab.database
        found += own.emergencies(examined)
    assert [it.verdict for it in found] == [Verdict.OK, Verdict.WRONG]
    assert "1 to review, the oldest for more than 7 days" in found[1].says


def test_review_of_what_was_never_used_is_refused_not_found(ward: Ward) -> None:
    with pytest.raises(NotFound):
        emergency(ward.lab.hospital, bytes(32))


def test_emergency_moved_to_another_row_does_not_open_stored_record_corrupt(ward: Ward) -> None:
    """By somebody who writes the database, and would have an officer review another's."""
    ward.read(declared(ward.lab.federation))
    moved = sa.update(schema.emergencies).values(emergency_digest=bytes(32))
    ward.lab.database.write(lambda connection: connection.execute(moved))
    with pytest.raises(Corrupt):
        emergencies(ward.lab.hospital)


def test_emergencies_are_sealed_anew_once_with_their_reviews(ward: Ward) -> None:
    hospital, sealing = ward.lab.hospital, ward.lab.hospital.sealing
    ward.read(declared(ward.lab.federation))
    ward.read(declared(ward.lab.federation))
    review_emergency(hospital, emergencies(hospital)[0], "Ona", "Yes.", "ann", justified=True)
    store, before = hospital.stores.emergencies, emergencies(hospital)
    assert count_emergencies_under(store, sealing, sealing.generation) == 3
    assert [*reseal_emergencies(store, sealing)] == [False, False]
    assert emergencies(hospital) == before
