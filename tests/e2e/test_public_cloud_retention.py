"""`medunion public-cloud retention` and `forget-hospital`, on a cloud that serves: what goes, what stays, what the log says."""

from demo.stage import run
from tests.e2e.cloud_lab import CloudLab

WHY = "--why", "it has left"


def test_rows_of_a_hospital_that_has_left_are_taken_out_and_no_others(lab: CloudLab, at: tuple[object, ...]) -> None:
    gone, stays = lab.hospital("H:gone"), lab.hospital("H:stays")
    patient, doctor = lab.patient("P:ann", stays), lab.doctor("D:ben")
    for hospital, department in ((gone, "cardiology"), (gone, "oncology"), (stays, "cardiology")):
        lab.publish(hospital, "P:ann", department)
    forget = "public-cloud", "forget-hospital", *at, "H:gone", *WHY
    assert "2 rows; nothing is taken out yet" in run(*forget)
    assert "there are 2 rows, not 1" in run(*forget, "--confirm", "1", expect=1)
    assert "2 rows are taken out" in run(*forget, "--confirm", "2")
    answer = lab.client().search(doctor, lab.question(patient, doctor))
    assert [place.hospital.identity for place in answer.locations] == ["H:stays"]
    assert "2 rows of H:gone; by " in run("public-cloud", "log", *at)


def test_rows_of_one_patient_of_a_hospital_are_taken_out_and_no_others(lab: CloudLab, at: tuple[object, ...]) -> None:
    rogue, honest = lab.hospital("H:rogue"), lab.hospital("H:honest")
    patient, doctor = lab.patient("P:bob", honest), lab.doctor("D:cleo")
    for hospital, of, department in (
        (rogue, "P:bob", "cardiology"),
        (rogue, "P:bob", "oncology"),
        (rogue, "P:other", "cardiology"),
        (honest, "P:bob", "cardiology"),
    ):
        lab.publish(hospital, of, department)
    purge = "public-cloud", "forget-hospital", *at, "H:rogue", "--patient", "P:bob", *WHY
    assert "2 rows; nothing is taken out yet" in run(*purge)
    assert "there are 2 rows, not 3" in run(*purge, "--confirm", "3", expect=1)
    assert "2 rows are taken out" in run(*purge, "--confirm", "2")
    answer = lab.client().search(doctor, lab.question(patient, doctor))
    assert [place.hospital.identity for place in answer.locations] == ["H:honest"]
    assert "2 rows of H:rogue about P:bob; by " in run("public-cloud", "log", *at)
    assert "1 rows; nothing" in run("public-cloud", "forget-hospital", *at, "H:rogue", *WHY)


def test_what_is_over_is_counted_first_and_its_removal_is_logged(lab: CloudLab, at: tuple[object, ...]) -> None:
    lab.hospital("H:here")
    said = run("public-cloud", "retention", *at, "--days", "0", *WHY)
    assert "0 registrations" in said
    assert "Nothing is removed yet" in said
    assert "0 registrations" in run("public-cloud", "retention", *at, "--days", "0", "--yes", *WHY)
    assert '"RETENTION"' in run("public-cloud", "log", *at, "--verify")
    lab.publish(lab.hospital("H:there"), "P:zoe", "cardiology")
