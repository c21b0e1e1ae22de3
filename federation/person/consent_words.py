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
    rights, where, what = set(terms.rights), _places(terms.hospitals), _departments(terms.department_classes)
    if pb.RIGHT_WRITE in rights:
        yield f"Keep the record of a visit at {where}, in {what}."
    if {pb.RIGHT_INDEX, pb.RIGHT_READ} <= rights:
        yield f"Find and read {whose} records at {where}, of {what}{_closed(terms)}."
    elif pb.RIGHT_READ in rights:
        yield f"Read {whose} records at {where}, of {what}{_closed(terms)}."
    elif pb.RIGHT_INDEX in rights:
        yield f"See at which hospitals {whose} records of {what} are, and read none."


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


def _places(hospitals: Sequence[str]) -> str:
    return "every hospital" if ANY in hospitals else and_list(hospitals) or "no hospital"


def _departments(classes: Sequence[str]) -> str:
    return "every department" if ANY in classes else and_list(classes) or "no department"


def _closed(terms: Terms) -> str:
    if terms.highest_sensitivity == pb.SENSITIVITY_RESTRICTED:
        return ", restricted ones too"
    return ""
