"""Consents and mandates by their numbers, deputies who act by them, and one's own records."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import DeputyExpired, DeputyInvalid, DeputyRevoked, GrantRevoked, MalformedMessage
from federation.person.consents import NewGrant
from federation.person.doctor import DoctorRoom
from federation.person.errors import NoDeputy, NoSuchGrant, NoSuchMandate
from federation.person.patient import PatientClient
from federation.protocol.anchors import statement_entry
from federation.protocol.consent import Ward, make_guardianship, peek_deputyship
from federation.protocol.index import Location
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_GRANT, POWER_READ, POWER_REVOKE
from tests.grants import wide
from tests.hospital_lab import CARDIOLOGY, JOHNNIE, ecg
from tests.simulator import Federation
from tests.unit.person.conftest import Surgery
from tests.unit.person.visits import meet, to_doctor

YEAR = timedelta(days=365)


def give(surgery: Surgery, room: DoctorRoom, patient: PatientClient, deputyship: Deputyship | None = None) -> int:
    """Visit with a new consent for the doctor, and give its number."""
    surgery.federation.clock.now += 1  # evidence is listed by its time
    view = patient.look(room.code)
    offer = to_doctor(view, wide())
    meet(surgery, room, patient, view, NewGrant(offer.grantee, offer.terms, deputyship))
    return patient.consents.grants()[-1].number


def guardianship(federation: Federation, patient_id: str, deputy_id: str, *powers: int) -> Deputyship:
    """What a hospital's desk hands to a guardian."""
    hospital, now = federation.party(federation.hospital_a), federation.clock.now
    ward = Ward(patient_id, deputy_id, "parent", "Officer", powers, now + YEAR // timedelta(milliseconds=1))
    stated = make_guardianship(hospital, ward, now=now, entropy=federation.entropy)
    return Deputyship(guardianship=stated, key_statement=hospital.self_.key_statement)


@pytest.fixture
def deputy(surgery: Surgery) -> PatientClient:
    """P:lin, whom P:wang makes its deputy."""
    return surgery.patient(surgery.federation.other_patient)


def appointed(surgery: Surgery, deputy: PatientClient, *powers: int) -> Deputyship:
    handed = surgery.patient().consents.appoint("P:lin", powers, YEAR)
    return deputy.consents.accept(handed.SerializeToString()).shown


def test_grants_are_numbered_in_the_order_of_giving_and_keep_their_numbers(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    assert [give(surgery, room, patient) for _ in range(3)] == [1, 2, 3]
    patient.consents.revoke([patient.consents.grant(2)])
    assert [(kept.number, kept.is_revoked) for kept in surgery.patient().consents.grants()] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert give(surgery, room, patient) == 4


@pytest.mark.parametrize("number", [0, 2, 99])
def test_no_such_grant(surgery: Surgery, room: DoctorRoom, number: int) -> None:
    patient = surgery.patient()
    give(surgery, room, patient)
    with pytest.raises(NoSuchGrant):
        patient.consents.grant(number)
    with pytest.raises(NoSuchGrant):
        patient.consents.grant(1, "P:lin")


def test_sweep_takes_back_all_that_was_signed_until_now_and_nothing_later(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    patient.consents.appoint("P:lin", [POWER_READ], YEAR)
    give(surgery, room, patient)
    assert patient.acts.sweep("P:wang")
    give(surgery, room, patient)
    assert [kept.is_revoked for kept in patient.consents.grants()] == [True, False]
    assert [kept.is_revoked for kept in patient.consents.mandates()] == [True]


def test_doctor_is_refused_by_a_grant_that_was_taken_back(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    view = patient.look(room.code)
    _, present = meet(surgery, room, patient, view, to_doctor(view, wide()))
    patient.consents.revoke(patient.consents.grants())
    with pytest.raises(GrantRevoked):
        surgery.doctor.search(present)


def test_deputy_visits_for_the_patient_and_the_doctor_sees_for_whom(
    surgery: Surgery, room: DoctorRoom, deputy: PatientClient
) -> None:
    held = appointed(surgery, deputy, POWER_GRANT)
    view = deputy.look(room.code)
    offer = to_doctor(view, wide())
    _, present = meet(surgery, room, deputy, view, NewGrant(offer.grantee, offer.terms, held), ecg())
    assert (present.patient.identity, present.patient_id) == ("P:lin", "P:wang")
    assert present.shown.claimed_grant.signer_id == "P:lin"
    (kept,) = deputy.consents.grants()
    assert peek_deputyship(kept.deputyship).patient_id == kept.grant.patient_id == "P:wang"
    handle = surgery.lab.import_files()
    surgery.federation.cloud.publish("P:wang", Location(CARDIOLOGY, handle))
    assert [found.handle for found in surgery.doctor.search(present)] == [handle]


def test_deputy_without_the_power_to_grant_is_told_before_anything_goes_out(
    surgery: Surgery, room: DoctorRoom, deputy: PatientClient
) -> None:
    appointed(surgery, deputy, POWER_READ)
    with pytest.raises(NoDeputy, match='does not give the power "grant"'):
        deputy.consents.acting_for("P:wang", POWER_GRANT)
    with pytest.raises(NoDeputy, match="neither a mandate"):
        deputy.consents.acting_for("P:other", POWER_READ)


def test_deputy_takes_its_own_grants_back_by_the_power_to_revoke(
    surgery: Surgery, room: DoctorRoom, deputy: PatientClient
) -> None:
    held = appointed(surgery, deputy, POWER_GRANT)
    give(surgery, room, deputy, held)
    with pytest.raises(NoDeputy):
        deputy.consents.revoke(deputy.consents.grants())
    able = appointed(surgery, deputy, POWER_GRANT, POWER_REVOKE)
    deputy.consents.revoke(deputy.consents.grants())
    assert surgery.cloud.revocations == [("P:wang", able)]
    assert [kept.is_revoked for kept in deputy.consents.grants()] == [True]


def test_mandate_that_ended_makes_no_deputy_and_ends_its_grants(
    surgery: Surgery, room: DoctorRoom, deputy: PatientClient
) -> None:
    patient = surgery.patient()
    give(surgery, room, deputy, appointed(surgery, deputy, POWER_GRANT))
    ended, is_known = patient.acts.end_mandate(1)
    assert (ended.mandate.deputy_id, is_known) == ("P:lin", True)
    with pytest.raises(NoSuchMandate):
        patient.acts.end_mandate(2)
    deputy.refresh()
    assert [one.is_revoked for one in deputy.consents.held()] == [True]
    assert [kept.is_revoked for kept in deputy.consents.grants()] == [True]
    with pytest.raises(NoDeputy, match="taken back"):
        deputy.consents.acting_for("P:wang", POWER_GRANT)


def test_nobody_is_its_own_deputy(surgery: Surgery) -> None:
    with pytest.raises(DeputyInvalid):
        surgery.patient().consents.appoint("P:wang", [POWER_READ], YEAR)


def test_guardianship_of_a_hospitals_desk_is_accepted_and_acted_by(
    surgery: Surgery, room: DoctorRoom, deputy: PatientClient
) -> None:
    handed = guardianship(surgery.federation, "P:wang", "P:lin", POWER_GRANT, POWER_READ)
    held = deputy.consents.accept(handed.SerializeToString())
    assert (held.stated_by, held.says.kind) == ("H:alpha", "guardian")
    assert deputy.consents.mandates() == []
    give(surgery, room, deputy, deputy.consents.acting_for("P:wang", POWER_GRANT).shown)
    assert deputy.consents.grants()[0].deputyship == handed


def test_guardianship_that_its_hospital_took_back_makes_no_guardian(surgery: Surgery, deputy: PatientClient) -> None:
    handed = guardianship(surgery.federation, "P:wang", "P:lin", POWER_GRANT, POWER_READ)
    held = deputy.consents.accept(handed.SerializeToString())
    assert not held.is_revoked
    surgery.federation.cloud.revoked_statements.append(statement_entry("guardian", "H:alpha", held.says.id))
    deputy.refresh()
    assert [one.is_revoked for one in deputy.consents.held()] == [True]
    with pytest.raises(NoDeputy):
        deputy.consents.acting_for("P:wang", POWER_READ)


def test_guardian_is_told_before_anything_goes_out_that_its_hospital_took_the_guardianship_back(
    surgery: Surgery, room: DoctorRoom, deputy: PatientClient
) -> None:
    handed = guardianship(surgery.federation, "P:wang", "P:lin", POWER_GRANT, POWER_READ)
    held = deputy.consents.accept(handed.SerializeToString())
    view = deputy.look(room.code)
    offer = replace(to_doctor(view, wide()), deputyship=handed)
    deputy.require_use(offer, view)
    surgery.federation.cloud.revoked_statements.append(statement_entry("guardian", "H:alpha", held.says.id))
    deputy.refresh()
    with pytest.raises(DeputyRevoked):
        deputy.require_use(offer, view)


def test_accepted_twice_is_held_once(surgery: Surgery, deputy: PatientClient) -> None:
    handed = surgery.patient().consents.appoint("P:lin", [POWER_READ], YEAR).SerializeToString()
    for _ in range(2):
        deputy.consents.accept(handed)
    assert len(deputy.consents.held()) == 1


def test_what_is_no_deputyship_of_ones_own_is_not_accepted(surgery: Surgery, deputy: PatientClient) -> None:
    patient, other = surgery.patient(), surgery.federation.new_patient("P:kim")
    for_another = patient.consents.appoint("P:kim", [POWER_READ], YEAR)
    with pytest.raises(DeputyInvalid, match="it is for P:kim"):
        deputy.consents.accept(for_another.SerializeToString())
    forged = patient.consents.appoint("P:lin", [POWER_READ], YEAR)
    forged.key_statement.CopyFrom(other.key_statement)
    with pytest.raises(DeputyInvalid):
        deputy.consents.accept(forged.SerializeToString())
    for rubbish in (b"", b"\xff", bytes(100_000), Deputyship().SerializeToString()):
        with pytest.raises((MalformedMessage, DeputyInvalid)):
            deputy.consents.accept(rubbish)
    assert deputy.consents.held() == []


def test_deputyship_over_or_taken_back_is_not_accepted(surgery: Surgery, deputy: PatientClient) -> None:
    patient = surgery.patient()
    short = patient.consents.appoint("P:lin", [POWER_READ], timedelta(seconds=1))
    surgery.federation.clock.now += 1_000
    with pytest.raises(DeputyExpired):
        deputy.consents.accept(short.SerializeToString())
    handed = patient.consents.appoint("P:lin", [POWER_READ], YEAR)
    patient.acts.end_mandate(2)
    deputy.refresh()
    with pytest.raises(DeputyRevoked):
        deputy.consents.accept(handed.SerializeToString())


def test_own_records_are_found_fetched_and_kept_as_evidence(surgery: Surgery, tmp_path: Path) -> None:
    handle, patient = surgery.lab.import_files(), surgery.patient()
    assert patient.find_records() == []
    surgery.federation.cloud.publish("P:wang", Location(CARDIOLOGY, handle))
    locations = patient.find_records()
    assert [(found.hospital.identity, found.handle) for found in locations] == [("H:alpha", handle)]
    (record,) = patient.fetch_records(locations)
    assert [b"".join(content) for _, _, content in record.parts()] == [JOHNNIE.read_bytes()]
    record.close()
    assert [kept.exhibit.kind for kept in patient.book.all("H2")] == ["H2"]
    (opened,) = patient.book.all("H2")
    assert opened.exhibit.openings["ground"] == b"own"
    assert {kept.exhibit.signer for kept in patient.book.all("D2")} == {"P:wang"}


def test_deputy_reads_by_the_power_to_read(surgery: Surgery, deputy: PatientClient) -> None:
    handle = surgery.lab.import_files()
    surgery.federation.cloud.publish("P:wang", Location(CARDIOLOGY, handle))
    held = appointed(surgery, deputy, POWER_READ)
    (location,) = deputy.find_records(held)
    (record,) = deputy.fetch_records([location], deputyship=held)
    record.close()
    assert deputy.find_records() == []
    (kept,) = deputy.book.all("H2")
    assert kept.exhibit.openings["mandate"] == held.mandate.statement
