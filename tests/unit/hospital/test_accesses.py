"""Whose records an access at a hospital was about is found in its log, without opening all of it."""

from federation.store.accesses import Accesses
from tests.hospital_lab import HospitalLab
from tests.unit.hospital.test_sessions import record_under_way


def reasons(lab: HospitalLab, patient_id: str) -> list[str]:
    found = lab.hospital.audit.accesses_of(patient_id, limit=32)
    assert [place.number for place, _ in found] == [*range(len(found), 0, -1)]
    return [it.event.reason for _, it in found]


def test_accesses_to_a_patients_records_are_found_newest_first_and_no_other_entry(lab: HospitalLab) -> None:
    record = record_under_way(lab)
    record.log("OK")
    assert reasons(lab, "P:wang") == ["OK", "BEGUN"]
    assert reasons(lab, "P:eve") == []


def test_database_names_no_patient_and_links_its_accesses_to_no_record(lab: HospitalLab) -> None:
    record_under_way(lab)
    (row,) = Accesses(lab.database).walk()
    assert b"wang" not in row.patient_key
    assert row.patient_key not in lab.hospital.vault.patient_keys("P:wang")
