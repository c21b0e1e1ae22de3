"""Consents in words, for who gives them and for who is shown them: to whom, what, where, until when."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from federation.protocol import access
from federation.protocol.access import Grantee, Power, Right, Sensitivity, ToDepartment, ToDoctor, ToHospital
from federation.protocol.time import Instant
from federation.v1 import statement_pb2 as pb
from federation.words import local_time
from keystore.identities import ANY

POWERS = {
    pb.POWER_READ: "find and read the records",
    pb.POWER_GRANT: "consent in the patient's name",
    pb.POWER_REVOKE: "take consents back",
    pb.POWER_LOG: "see who looked at the records",
    pb.POWER_RESTRICT: "hide records",
    pb.POWER_ADD: "add notes and documents",
}
"""What a deputy may do -> in words."""


class Terms(Protocol):
    """What a consent allows: one that is to be given, or one that was."""

    @property
    def hospitals(self) -> Sequence[str]: ...
    @property
    def department_classes(self) -> Sequence[str]: ...
    @property
    def rights(self) -> Sequence[Right]: ...
    @property
    def highest_sensitivity(self) -> Sensitivity: ...


NOTHING_BEYOND = "Nothing beyond this visit: no record of it is kept at the hospital, and none of yours is read."
"""What a visit without a consent amounts to."""

KNOWN_BY = "Hospitals know as soon as they have the next list, within the hour at the latest."
"""When what was taken back opens nothing any more."""

_STATED = {"mandate": "mandate of", "guardian": "guardianship, stated by"}


def grantee_words(grantee: Grantee | None) -> str:
    """Return whom a consent is for."""
    match grantee:
        case ToDoctor():
            return f"{grantee.doctor_id} (certified by {grantee.authority_id})"
        case ToDepartment():
            return f"every doctor on duty in {grantee.department_class} at {grantee.hospital_id}"
        case ToHospital():
            return f"every doctor on duty at {grantee.hospital_id}"
        case None:
            return "nobody that is known here"


def right_sentences(terms: Terms, whose: str) -> Iterator[str]:
    """Yield one sentence for each thing that a consent allows; `whose` records are "your", or "the patient's"."""
    where, what = _places(terms.hospitals), _departments(terms.department_classes)
    if pb.RIGHT_WRITE in terms.rights:
        yield f"Keep the record of a visit at {where}, in {what}."
    if reading := _reading(terms, whose):
        yield f"{reading[0].upper()}{reading[1:]}."


def consent_sentence(who: str, terms: Terms, whose: str, until: str) -> str:
    """Return in one sentence what a consent amounts to, for who is about to sign it."""
    reading, allowed = _reading(terms, whose), []
    if reading:
        allowed.append(reading)
    if pb.RIGHT_WRITE in terms.rights:
        where, what = _places(terms.hospitals), _departments(terms.department_classes)
        # Where both are allowed, they are in the same places.
        allowed.append(
            "keep the record of a visit there" if reading else f"keep the record of a visit at {where}, in {what}"
        )
    return f"{who} may {', and '.join(allowed) or 'do nothing'}, until {until}."


def stated_words(kind: str, stated_by: str) -> str:
    """Return by what somebody stands for a patient, and who stated it."""
    return f"{_STATED[kind]} {stated_by}"


def grant_lines(grant: access.Grant, whose: str) -> Iterator[str]:
    """Yield a consent, one thing a line: whom it is for and until when, then what it allows."""
    yield f"For {grantee_words(grant.grantee)}, until {local_time(grant.validity.not_after)}:"
    yield from term_lines(grant, whose)


def term_lines(terms: Terms, whose: str) -> Iterator[str]:
    """Yield what a consent allows, one thing a line."""
    sentences = list(right_sentences(terms, whose))
    yield from (f"  - {sentence}" for sentence in sentences or ["Nothing."])


def standing_words(is_revoked: bool, validity: access.Validity, now: Instant) -> str:
    """Return whether something still holds, in a word or two."""
    if is_revoked:
        return "TAKEN BACK"
    if validity.not_after <= now:
        return f"ended {local_time(validity.not_after)}"
    return f"until {local_time(validity.not_after)}"


def power_words(powers: Sequence[Power]) -> str:
    """Return what a deputy may do."""
    return and_list([POWERS[power] for power in POWERS if power in powers]) or "nothing"


def and_list(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _reading(terms: Terms, whose: str) -> str:
    rights, where, what = set(terms.rights), _places(terms.hospitals), _departments(terms.department_classes)
    if {pb.RIGHT_INDEX, pb.RIGHT_READ} <= rights:
        return f"find and read {whose} records at {where}, of {what}{_closed(terms)}"
    if pb.RIGHT_READ in rights:
        return f"read {whose} records at {where}, of {what}{_closed(terms)}"
    if pb.RIGHT_INDEX in rights:
        return f"see at which hospitals {whose} records of {what} are, and read none"
    return ""


def _places(hospitals: Sequence[str]) -> str:
    return "every hospital" if ANY in hospitals else and_list(hospitals) or "no hospital"


def _departments(classes: Sequence[str]) -> str:
    return "every department" if ANY in classes else and_list(classes) or "no department"


def _closed(terms: Terms) -> str:
    if terms.highest_sensitivity == pb.SENSITIVITY_RESTRICTED:
        return ", restricted ones too"
    return ""
