"""Faults as the app tells them: what happened, and what to do next. A refusal without a next step is a dead end."""

from datetime import timedelta
from typing import Final

from federation.errors import FieldInvalid
from federation.pages.app.states import Notice
from federation.words import advice, happened

_NEW_CODE: Final = "Ask the doctor for a new code, and give it here."
_DESK: Final = "Ask at the desk of the practice or hospital, and show them this."
_LATER: Final = "Check whether you are connected to the network, and try again in a minute."
_PROGRAM: Final = "Bring this program up to date. If that changes nothing, ask at the desk, and show them this."
_CLOCK: Final = "Set this device's clock by the network, then try again."
_NOT_IN: Final = "Don't go in. Ask the doctor, face to face, to show the code again: this one leads to somebody else."
_OTHER_DOCTOR: Final = "Don't go in. Ask at the desk for another doctor, and tell them this."
_LOG: Final = "Keep this device as it is, and show this to whoever runs your federation."
_CONSENTS: Final = "Look at your consents: each can be given anew."

_NEXT: Final = {
    "CODE_INVALID": "Photograph the code again, whole and from the front, or ask for it as text and copy every character.",
    "NO_SUCH_ROOM": _NEW_CODE,
    "NO_ANSWER": _NEW_CODE,
    "REFUSED_BY_PEER": "Ask the doctor whether the code is still shown; then begin again with a new one.",
    "ROOM_CHANGED": "Give the code again, and look at who is there now.",
    "IDENTITY_MISMATCH": _NOT_IN,
    "SIGNATURE_INVALID": _NOT_IN,
    "CERTIFICATE_ILLEGAL": _OTHER_DOCTOR,
    "CERTIFICATE_OUT_OF_SCOPE": _OTHER_DOCTOR,
    "CERTIFICATE_FOREIGN": _OTHER_DOCTOR,
    "CERTIFICATE_EXPIRED": _OTHER_DOCTOR,
    "CERTIFICATE_REVOKED": _OTHER_DOCTOR,
    "CREDENTIAL_REVOKED": _OTHER_DOCTOR,
    "CREDENTIAL_EXPIRED": _DESK,
    "NOT_ON_DUTY": "Tell the doctor: the hospital has to put this doctor on its roster before you can go in.",
    "DUTY_INVALID": "Choose a department where the doctor is on duty, or consent for this doctor alone.",
    "DUTY_EXPIRED": "Tell the doctor: its duty at the hospital has ended.",
    "DUTY_REVOKED": "Tell the doctor: the hospital took its duty back.",
    "HEAD_CONFLICT": _LOG,
    "HEAD_OLDER": _LOG,
    "LEAF_MISMATCH": _LOG,
    "LOG_PROOF_INVALID": _LOG,
    "GRANT_EXPIRED": "Choose again how long it is for, or give a new consent.",
    "GRANT_INVALID": "Choose something else, or give a new consent.",
    "GRANT_REVOKED": "Give a new consent.",
    "GRANT_SCOPE": _CONSENTS,
    "NO_SUCH_GRANT": _CONSENTS,
    "NO_DEPUTY": "Ask whom you stand for to make you its deputy, with the power that this needs.",
    "DEPUTY_EXPIRED": "Ask whom you stand for, or the hospital's desk, for a new one.",
    "DEPUTY_REVOKED": "You no longer stand for this patient. Ask the patient if that is a mistake.",
    "DEPUTY_POWERS": "Ask whom you stand for to give you the power that this needs.",
    "DEPUTY_INVALID": "Check that the file was made for you, and that it is the whole file.",
    "RESTRICTION_SUPERSEDED": "Look at what is hidden now, and change it again.",
    "NO_SUCH_HIDING": "Look at what is hidden now, and change it again.",
    "MESSAGE_TOO_LARGE": "Choose a smaller file: 16 MiB are the most.",
    "LIMIT_REACHED": "Wait a minute, then try again.",
    "UNAVAILABLE": _LATER,
    "STALE": _CLOCK,
    "FUTURE_DATED": _CLOCK,
    "REVOCATION_LIST_STALE": _LATER,
    "BUNDLE_STALE": _LATER,
    "NOT_REGISTERED": "Get a ticket at a hospital's desk, and register with `medunion patient register`.",
    "RECORD_CUT_SHORT": "Fetch what is missing again.",
    "RECORD_DIGEST_MISMATCH": "Fetch it again. If it stays so, tell the hospital: what it sends is not what it signed.",
    "NO_SUCH_RECORD": "Find your records again: some may have moved.",
    "RECORD_WITHDRAWN": "Ask the hospital why it withdrew the record.",
    "RECORD_ERASED": "Ask the hospital why it erased the record.",
    "BUDGET_EXHAUSTED": "Try again tomorrow.",
    "UNSUPPORTED_VERSION": _PROGRAM,
    "UNKNOWN_FIELD": _PROGRAM,
    "STORE_FULL": "Make room on this device's disk, then try again.",
    "FIELD_INVALID": "Correct it, and try again.",
    "FILE_UNUSABLE": "Choose another file.",
    "PHOTO_UNUSABLE": "Choose a photo as JPEG, PNG or WebP, or type the code.",
    "PHOTO_WITHOUT_CODE": "Hold the camera straight and near, so that the whole code is sharp; or type the code.",
    "ECG_INVALID": "Choose the file that your recorder wrote: a DICOM ECG, or an Observation as FHIR JSON.",
    "FHIR_INVALID": "Choose the file that your recorder wrote: a DICOM ECG, or an Observation as FHIR JSON.",
    "FHIR_NOT_JSON": "Choose the file that your recorder wrote: a DICOM ECG, or an Observation as FHIR JSON.",
    "FHIR_TOO_LARGE": "Choose a smaller file: 16 MiB are the most.",
    "WRONG_SUBJECT": "Choose a file that is about whom the visit is for.",
}
"""Reason -> what a patient can do now, where that is more than what anybody can."""

OTHERWISE: Final = "Try again. If it stays so, ask at the desk, and show them the word in brackets."


def days_in(typed: str, most: int) -> timedelta:
    """Read a number of days that was typed. Raises FieldInvalid for anything but a whole number from 1 on."""
    if not (typed.isascii() and typed.isdigit() and 1 <= int(typed[:9]) <= most):
        raise FieldInvalid(f"days are a whole number from 1 to {most}")
    return timedelta(days=int(typed))


def told(error: BaseException) -> Notice:
    """Return a fault as a person is told it, with what to do next."""
    return Notice("bad", happened(error), _NEXT.get(str(getattr(error, "reason", ""))) or advice(error) or OTHERWISE)
