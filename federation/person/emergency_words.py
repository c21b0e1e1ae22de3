"""An emergency in words, for the doctors who declare and sign one."""

from federation.clinical.text import printable
from federation.person.emergencies import Declared
from federation.words import local_time
from keystore.identities import ANY

FOLLOWS = (
    "This is logged as an emergency, told to the patient, and reviewed by an officer of each hospital within 7 days."
)


def asked_words(doctor_id: str, patient_id: str, hospital: str, reason_code: str) -> str:
    """Return what a doctor is about to declare."""
    where = "every hospital" if hospital == ANY else hospital
    return (
        f"Without consent, {doctor_id} asks for the records of {printable(patient_id, 80)}"
        f" at {where}, for the reason {printable(reason_code, 40)}."
    )


def declared_words(declared: Declared) -> str:
    """Return what was declared, by its number."""
    return f"{declared.statement.emergency_id.hex()}: {reading_words(declared)}"


def reading_words(declared: Declared) -> str:
    """Return what was declared: who reads whose records, where, why, until when."""
    said = declared.statement
    where = "every hospital" if said.hospital == ANY else said.hospital
    by = said.doctor_id if declared.second_doctor_id is None else f"{said.doctor_id} with {declared.second_doctor_id}"
    return (
        f"{by} reads the records of {said.patient_id} at {where},"
        f" {printable(said.reason_code, 40)}, until {until_words(declared)}"
    )


def until_words(declared: Declared) -> str:
    """Return until when an emergency lives."""
    return local_time(declared.statement.not_after)
