"""The public cloud decides on access before it searches: a patient of its own, deputies, sensitivity; and who asked is found."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from demo.stage import run
from federation import errors
from federation.clock import system_entropy
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.protocol.access import AccessEvent, ToHospital, Validity
from federation.protocol.consent import Shift, Ward, make_duty, make_grant, make_guardianship, make_mandate
from federation.protocol.search import ACCESSES_PER_PAGE, Answer, Question
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_KIND_LOG,
    ACCESS_KIND_SEARCH,
    Deputyship,
    ShownDuty,
)
from federation.v1.statement_pb2 import (
    POWER_GRANT,
    POWER_LOG,
    POWER_READ,
    RIGHT_LOG,
    SENSITIVITY_NORMAL,
    SENSITIVITY_RESTRICTED,
    SENSITIVITY_SECRET,
    Guardianship,
)
from hsm import Pin
from tests.e2e.cloud_lab import CloudLab, question_of
from tests.grants import WIDE, consent_shown, wide

Hospital = tuple[Member, CloudClient]


@pytest.fixture(scope="module")
def hospital(lab: CloudLab) -> Hospital:
    """Return a hospital whose records of P:own are of every sensitivity."""
    made = lab.hospital("H:every")
    for sensitivity in (SENSITIVITY_NORMAL, SENSITIVITY_RESTRICTED, SENSITIVITY_SECRET):
        lab.publish(made, "P:own", "cardiology", sensitivity)
    return made


@pytest.fixture(scope="module")
def patient(lab: CloudLab, hospital: Hospital) -> Member:
    """Return a patient with records."""
    return lab.patient("P:own", hospital)


@pytest.fixture(scope="module")
def mother(lab: CloudLab, hospital: Hospital) -> Member:
    """Return another patient."""
    return lab.patient("P:mother", hospital)


@pytest.fixture(scope="module")
def doctor(lab: CloudLab) -> Member:
    """Return a doctor."""
    return lab.doctor("D:asks")


def by_mandate(patient: Member, deputy: Member, now: int, *powers: int) -> Deputyship:
    mandate = make_mandate(
        patient.party(now), deputy.identity, powers, timedelta(days=1), now=now, entropy=system_entropy
    )
    return Deputyship(mandate=mandate, key_statement=patient.key_statement)


def on_duty(hospital: Member, doctor: Member, now: int) -> ShownDuty:
    shift = Shift(system_entropy(16), doctor.identity, ("cardiology",), Validity(now, now + 3_600_000))
    stated = make_duty(hospital.party(now), shift, doctor.signing_key.verifying_key.data)
    return ShownDuty(duty=stated, key_statement=hospital.key_statement)


def found(lab: CloudLab, asker: Member, shown: Shown) -> int:
    return len(lab.client().search(asker, Question(shown)).locations)


def test_patient_finds_all_of_its_own_and_nobody_elses(lab: CloudLab, patient: Member, mother: Member) -> None:
    assert found(lab, patient, Shown.by_own_right("P:own")) == 3
    with pytest.raises(errors.NotOwnRecord):
        found(lab, mother, Shown.by_own_right("P:own"))


def test_doctor_has_no_records_of_its_own(lab: CloudLab, patient: Member, doctor: Member) -> None:
    with pytest.raises(errors.NotOwnRecord):
        found(lab, doctor, Shown.by_own_right("P:own"))


def test_patient_finds_nothing_by_a_grant_to_a_doctor(
    lab: CloudLab, patient: Member, mother: Member, doctor: Member
) -> None:
    with pytest.raises(errors.GrantInvalid):
        lab.client().search(mother, question_of(patient, lab.grant(patient, doctor)))


def test_doctor_finds_up_to_the_sensitivity_of_its_grant(lab: CloudLab, patient: Member, doctor: Member) -> None:
    assert len(lab.client().search(doctor, lab.question(patient, doctor)).locations) == 1
    terms = wide(highest_sensitivity=SENSITIVITY_RESTRICTED)
    assert len(lab.client().search(doctor, lab.question(patient, doctor, terms)).locations) == 2


def test_deputy_finds_what_is_not_secret_with_the_power_to_read(lab: CloudLab, patient: Member, mother: Member) -> None:
    now = lab.client().clock()
    assert found(lab, mother, Shown.by_own_right("P:own", by_mandate(patient, mother, now, POWER_READ))) == 2
    with pytest.raises(errors.DeputyPowers):
        found(lab, mother, Shown.by_own_right("P:own", by_mandate(patient, mother, now, POWER_GRANT)))


def test_doctor_finds_by_a_deputys_grant_as_long_as_the_mandate_stands(
    lab: CloudLab, hospital: Hospital, patient: Member, mother: Member, doctor: Member
) -> None:
    client = lab.client()
    now = client.clock()
    shown = by_mandate(patient, mother, now, POWER_GRANT)
    to = ToHospital("H:every")
    grant = make_grant(mother.party(now), to, WIDE, now=now, entropy=system_entropy, deputyship=shown)
    with pytest.raises(errors.DutyMissing):
        found(lab, doctor, consent_shown("P:own", grant, mother.key_statement, shown))
    duty = on_duty(hospital[0], doctor, now)
    consented = consent_shown("P:own", grant, mother.key_statement, shown, duty)
    assert found(lab, doctor, consented) == 1
    client.revoke(patient, [("mandate", shown.mandate)])
    with pytest.raises(errors.DeputyExpired):
        found(lab, doctor, consented)


def test_duty_opens_what_is_granted_to_its_hospital_and_ends_when_it_is_taken_back(
    lab: CloudLab, hospital: Hospital, patient: Member, doctor: Member
) -> None:
    client = lab.client()
    now = client.clock()
    duty = on_duty(hospital[0], doctor, now)
    grant = make_grant(patient.party(now), ToHospital("H:every"), WIDE, now=now, entropy=system_entropy)
    shown = consent_shown("P:own", grant, patient.key_statement, duty=duty)
    assert found(lab, doctor, shown) == 1
    client.revoke(hospital[0], [("duty", duty.duty)])
    with pytest.raises(errors.DutyExpired):
        found(lab, doctor, shown)


def test_who_asked_for_a_patients_records_is_found_by_the_patient(lab: CloudLab, hospital: Hospital) -> None:
    lab.publish(hospital, "P:asked", "cardiology")
    patient, meddler, doctor = lab.patient("P:asked", hospital), lab.doctor("D:meddler"), lab.doctor("D:own")
    lab.client().search(doctor, lab.question(patient, doctor))
    with pytest.raises(errors.GrantMissing):
        found(lab, meddler, Shown("P:asked"))
    found(lab, patient, Shown.by_own_right("P:asked"))
    events = [it.event for _, it in lab.node.cloud.audit.accesses_of("P:asked", limit=32)]
    assert [(it.asker_id, it.ground, it.reason) for it in events] == [
        ("P:asked", "own", "OK"),
        ("D:meddler", "none", "GRANT_MISSING"),
        ("D:own", "consent", "OK"),
    ]


def log_of(lab: CloudLab, asker: Member, shown: Shown, after: bytes = b"") -> Answer:
    return lab.client().search(asker, Question(shown, after=after, right=RIGHT_LOG))


def test_patient_reads_who_asked_and_that_is_an_access_too(lab: CloudLab, hospital: Hospital, mother: Member) -> None:
    patient, doctor = lab.patient("P:reader", hospital), lab.doctor("D:known")
    own, now = Shown.by_own_right("P:reader"), lab.client().clock()
    assert log_of(lab, patient, own).accesses == ()
    question = lab.question(patient, doctor)
    lab.client().search(doctor, question)
    answer = log_of(lab, patient, own)
    assert (answer.locations, answer.next) == ((), b"")
    searched, read = answer.accesses
    assert (searched.number, searched.asker_id, searched.kind) == (2, "D:known", ACCESS_KIND_SEARCH)
    assert (searched.ground, searched.reason) == (ACCESS_GROUND_CONSENT, "OK")
    assert searched.grant_digest == question.shown.grant_digest != b""
    assert (read.number, read.asker_id, read.kind) == (1, "P:reader", ACCESS_KIND_LOG)
    with_power = Shown.by_own_right("P:reader", by_mandate(patient, mother, now, POWER_LOG))
    assert log_of(lab, mother, with_power).accesses[0].kind == ACCESS_KIND_LOG
    with pytest.raises(errors.DeputyPowers):
        log_of(lab, mother, Shown.by_own_right("P:reader", by_mandate(patient, mother, now, POWER_READ)))
    with pytest.raises(errors.NotOwnRecord):
        log_of(lab, mother, own)
    with pytest.raises(errors.GrantScope):
        log_of(lab, doctor, question.shown)


def test_log_comes_in_pages_whose_numbers_stay(lab: CloudLab, hospital: Hospital) -> None:
    patient, cloud = lab.patient("P:often", hospital), lab.node.cloud
    for number in range(2 * ACCESSES_PER_PAGE + 1):
        event = AccessEvent("SEARCH", "D:asks", "P:often", "*", b"", "none", f"REASON_{number}")
        cloud.audit.record(event, now=cloud.clock())
    own = Shown.by_own_right("P:often")
    pages = [log_of(lab, patient, own)]
    while pages[-1].next:
        pages.append(log_of(lab, patient, own, pages[-1].next))
    # What reading writes is newer than all of it: it pushes nothing on to the next page.
    assert [entry.number for page in pages for entry in page.accesses] == [*range(2 * ACCESSES_PER_PAGE + 1, 0, -1)]
    assert len(pages) > 2
    assert all(0 < len(page.accesses) <= ACCESSES_PER_PAGE for page in pages)


def test_access_that_the_log_has_not_is_not_given(lab: CloudLab, patient: Member) -> None:
    """The entry, and by whom it is found, are one transaction, and the answer comes after it."""
    lost = "CREATE TRIGGER lost BEFORE INSERT ON log_waiting BEGIN SELECT RAISE(ABORT, 'lost'); END"
    database, before = lab.node.database, lab.node.cloud.audit.verify()
    database.write(lambda connection: connection.exec_driver_sql(lost))
    with pytest.raises(errors.Unavailable):
        found(lab, patient, Shown.by_own_right("P:own"))
    database.write(lambda connection: connection.exec_driver_sql("DROP TRIGGER lost"))
    told = [it.event.kind for it in lab.node.cloud.audit.entries(after=before)]
    assert "SEARCH" not in told


def test_operator_takes_a_guardianship_back_by_its_hospital_and_id(
    lab: CloudLab,
    hospital: Hospital,
    patient: Member,
    mother: Member,
    tmp_path: Path,
    user_pin: Pin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pin = tmp_path / "pin"
    pin.write_text(user_pin.reveal())
    pin.chmod(0o600)
    # The stage gives its commands no SoftHSM of this process; this cloud's token is one.
    monkeypatch.setattr("demo.stage.environment", lambda: dict(os.environ))
    now = lab.client().clock()
    ward = Ward("P:own", "P:mother", "parent", "officer", [POWER_READ], now + 3_600_000)
    signed = make_guardianship(hospital[0].party(now), ward, now=now, entropy=system_entropy)
    stands = Shown.by_own_right("P:own", Deputyship(guardianship=signed, key_statement=hospital[0].key_statement))
    assert found(lab, mother, stands) == 2
    named = Guardianship.FromString(signed.statement).guardianship_id.hex()
    at = "--directory", lab.directory / "cloud", "--pin-file", pin
    assert "32 hex digits" in run("public-cloud", "revoke-guardian", *at, "H:every", "abc", expect=2)
    assert "is taken back" in run("public-cloud", "revoke-guardian", *at, "H:every", named)
    lab.node.cloud.publisher.refresh(lab.client().clock())
    with pytest.raises(errors.DeputyExpired):
        found(lab, mother, stands)
    assert f"H:every guardian {named}" in run("public-cloud", "log", *at)
