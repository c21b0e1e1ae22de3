"""A visit in words, for the doctor: who came, for whom, by what, and where the doctor is on duty."""

from collections.abc import Sequence

from federation.protocol import access
from federation.protocol.consent import peek_deputyship
from federation.protocol.consultation import InConsultation
from federation.v1.statement_pb2 import Right
from federation.words import local_time


def allows(consultation: InConsultation, right: "Right.ValueType") -> bool:
    """Return whether the patient's grant holds a right; servers decide this for themselves."""
    grant = consultation.shown.claimed_grant
    return grant is not None and right in grant.rights


def arrival_words(consultation: InConsultation) -> str:
    """Return who is here, and whose visit it is."""
    came, consent = consultation.patient.identity, consultation.shown.consent
    if consent is None or not consent.HasField("deputyship"):
        return f"{came} is here; both sides have proved who they are."
    deputyship = peek_deputyship(consent.deputyship)
    made_by = "its mandate" if deputyship.kind == "mandate" else "a guardianship that a hospital stated"
    until = local_time(deputyship.validity.not_after)
    return f"{came} is here for {consultation.patient_id}, by {made_by}, until {until}; both sides have proved who they are."


def duty_words(duty: access.Duty) -> str:
    """Return where a doctor is on duty, and until when."""
    classes = ", ".join(duty.department_classes) or "no department"
    return f"{duty.hospital_id} states that you are on duty in {classes} until {local_time(duty.validity.not_after)}"


def refused_words(reason: str) -> str:
    """Return that somebody was refused, who learns only that."""
    return f"Somebody was refused ({reason}); still waiting."


def earlier_receipt_words(patient_id: str, sent_at: int) -> str:
    """Return that an earlier diagnosis was signed for."""
    return f"{patient_id} signed for an earlier diagnosis at {local_time(sent_at)}."


MORE_THAN_READ = "The public cloud knows of more records than are read. SOME RECORDS ARE MISSING."


def brought_words(as_of: int) -> str:
    """Return that what the patient brought takes the public cloud's place."""
    when = local_time(as_of)
    return f"The public cloud does not answer. The patient's device says where records are, as of {when}. SOME MAY BE MISSING."


def handed_words(as_of: int, hospitals: Sequence[str]) -> str:
    """Return, for the patient, what goes to the doctor in the public cloud's place."""
    when, where = local_time(as_of), ", ".join(hospitals)
    return f"The public cloud does not answer. Where your records are, as of {when}, goes to the doctor: {where}."


def refused_act_words(what: str, at: int, why: str) -> str:
    """Return that something which waited for the public cloud was refused by it, and what that means."""
    return f"{what}, on {local_time(at)}, waited for the public cloud and WAS REFUSED by it: it is not done. {why} Do it again."


WAITS = (
    "The public cloud does not answer. This waits here, and is sent when it answers and this client is open; until then nobody"
    " else knows of it."
)
