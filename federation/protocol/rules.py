"""What an access is refused for, told to who has to do something about it: a row a reason, and the outcomes that refuse nothing.

`medunion explain` reads it. The numbers are those of the checks, in docs/protocol.md and beside the code.
"""

from dataclasses import dataclass

from federation.errors import (
    BudgetExhausted,
    DeputyExpired,
    DeputyInvalid,
    DeputyPowers,
    DeputyRevoked,
    DutyExpired,
    DutyInvalid,
    DutyMissing,
    DutyRevoked,
    EmergencyExpired,
    EmergencyInvalid,
    EmergencyRefused,
    FederationError,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    NewerThanList,
    NoSuchRecord,
    NotOwnRecord,
)

PLACES = {"D2": 5, "D4": 5, "access": 5, "shown": 5, "grant": 5, "own": 5, "deputy": 5, "duty": 5, "bg": 7}
"""List of checks -> the section of docs/protocol.md that has it."""

DECIDES = "the public cloud for a search, a hospital for its records and deposits: each by itself, before it looks for anything"
HOLDS = "the hospital that was asked"


@dataclass(frozen=True)
class Rule:
    """Why somebody is refused: who refuses, what has to hold, what to do about it, and the checks that require it."""

    error: type[FederationError]
    says: str
    do: str
    checks: tuple[str, ...]
    refused_by: str = DECIDES

    @property
    def reason(self) -> str:
        """Return the reason's name."""
        return self.error.reason


RULES = (
    Rule(
        GrantMissing,
        "Nobody finds, reads or deposits anything of a patient without what allows it: a grant, the patient's own right, or a "
        "declared emergency. Nothing was shown.",
        "Ask the patient, or who stands for the patient, for a grant.",
        ("access.1",),
    ),
    Rule(
        GrantInvalid,
        "A grant is signed by who it says, is about the patient asked for, was signed before it begins, lives at most 366 days, "
        "is for a doctor, names the one who shows it (a doctor under the same medical authority, or those on duty somewhere) and "
        "opens nothing that is secret. One of these is not so.",
        "Compare whom the grant names with who uses it. A renewed certificate of the same authority keeps a grant; a change of "
        "the authority, or of the doctor, takes a new one.",
        ("grant.1", "grant.3", "grant.6", "grant.7", "grant.10", "shown.2", "shown.3", "shown.4"),
    ),
    Rule(
        GrantExpired,
        "A grant holds from its start, within what clocks may differ, to its end, and not at its end.",
        "Ask the patient for a new one. If it should hold, compare this computer's clock with the server's.",
        ("grant.4",),
    ),
    Rule(
        GrantRevoked,
        "The patient, or a deputy who may, has taken the grant back: by itself, or with all that was signed before a moment.",
        "Nothing of yours makes it good again. Ask the patient.",
        ("grant.5",),
    ),
    Rule(
        GrantScope,
        "A grant gives the rights that it names (to find, to read, to deposit), at the hospitals and in the department classes "
        "that it names, and an empty list names none. The log of accesses is in no grant.",
        "Ask for what the grant covers, or ask the patient for one that covers this.",
        ("grant.11", "grant.12", "grant.13", "D2.11", "D4.12"),
    ),
    Rule(
        DutyMissing,
        "What was granted to a department or to a hospital is for its doctors on duty, and whoever deposits is on duty at the "
        "hospital: the duty that the hospital signed has to be shown. None was.",
        "Is the doctor on the hospital's roster now? Its desk puts it there.",
        ("duty.1",),
    ),
    Rule(
        DutyInvalid,
        "A duty is signed by its hospital, for this doctor and its key, for at most 24 hours, and counts at the hospital, and in "
        "the department, that the grant is for; for a deposit, at the hospital that takes it. One of these is not so.",
        "Show the duty of the hospital and the department that the patient granted to; the roster says in which departments a "
        "doctor is on duty.",
        ("duty.2", "duty.3", "duty.4", "grant.8", "shown.9", "shown.10", "shown.11"),
    ),
    Rule(
        DutyExpired,
        "A duty holds from its start, within what clocks may differ, to its end: not yesterday's, and not tomorrow's.",
        "Ask the hospital for the duty of now. If there is none, its desk extends the roster.",
        ("duty.5",),
    ),
    Rule(
        DutyRevoked,
        "The hospital has taken the duty back before its end.",
        "Ask the hospital's desk why.",
        ("duty.6",),
    ),
    Rule(
        DeputyInvalid,
        "Who signs a grant or asks in another's name shows a mandate that this patient signed, or a guardianship that a hospital "
        "stated, for this deputy; nobody is its own deputy, and the patient's own signature takes none. A mandate lives at most "
        "1,827 days, a guardianship 18 years, and both were signed before they begin. One of these is not so.",
        "Compare whom the mandate or guardianship names with who signed. A deputy makes no further deputies.",
        ("grant.2", "deputy.1", "deputy.2", "deputy.3", "shown.5", "shown.6", "shown.7"),
    ),
    Rule(
        DeputyExpired,
        "A mandate or guardianship holds from its start, within what clocks may differ, to its end; a child's ends on its 18th "
        "birthday. What a deputy granted ends with it.",
        "The patient signs itself, or gives a new mandate; for who can't sign, the hospital's desk states the guardianship anew.",
        ("deputy.4",),
    ),
    Rule(
        DeputyRevoked,
        "The mandate or guardianship was taken back, and what the deputy granted fell with it.",
        "Ask the patient, who may grant anew.",
        ("deputy.5",),
    ),
    Rule(
        DeputyPowers,
        "A deputy does what its powers name, one by one: to grant, to take back, to read, to see the log, to hide.",
        "Ask the patient, or the desk that stated the guardianship, for one with this power.",
        ("deputy.6",),
    ),
    Rule(
        NotOwnRecord,
        "A patient, or a deputy by its mandate, finds and reads its own records and sees who did. Nobody asks so in another "
        "role, for another patient, or to deposit an encounter.",
        "A doctor asks by the patient's grant; who stands for a patient shows the mandate or guardianship.",
        ("own.1", "own.2", "own.3"),
    ),
    Rule(
        EmergencyInvalid,
        "An emergency is signed by the doctor who shows it, and by the second clinician if it names one, for this patient, for "
        "this hospital or every one, and lives at most an hour. One of these is not so.",
        "Declare it anew, for this patient and hospital.",
        ("bg.2", "bg.3", "bg.4", "bg.5", "shown.13", "shown.14", "shown.15"),
    ),
    Rule(
        EmergencyExpired,
        "An emergency holds from its start, within what clocks may differ, to its end: an hour at most.",
        "Declare it anew if it lasts.",
        ("bg.6",),
    ),
    Rule(
        EmergencyRefused,
        "Emergencies are let in where the receiver's policy says so: for the reasons on its list, from doctors on duty in the "
        "departments that it names, with a second clinician if it asks for one, to find and to read and for nothing else.",
        "Ask who runs that server which emergencies it lets in; where it lets none in, only a grant helps.",
        ("bg.1", "bg.7", "bg.9", "bg.10", "bg.11"),
    ),
    Rule(
        BudgetExhausted,
        "A doctor, and its hospital, have so many accesses, and so many emergencies, in a day and in a month.",
        "Wait for the next day or month, or ask who runs that server. If nobody here asked so often, somebody else did: look "
        "into the log.",
        ("access.2",),
    ),
    Rule(
        NewerThanList,
        "A hospital that hears nothing from the public cloud goes on for a while by a revocation list that is over, for what "
        "stood before it: nobody has said yet whether what is newer was taken back.",
        "Show a grant, a duty and a key that are older than the hospital's last list, or wait until the public cloud answers.",
        (),
        HOLDS,
    ),
    Rule(
        NoSuchRecord,
        "There is nothing that may be shown: no record of the patient, of these classes, by these handles; or one that is more "
        "sensitive than the access opens, that the patient hides, that is withdrawn or erased. All of it is one answer.",
        "Look at the handles and classes asked for. That something is hidden is nobody's to learn.",
        (),
        HOLDS,
    ),
)

REFUSES_NOTHING = {
    "found": "There are records; where they are follows. It holds what the access shows and nothing else.",
    "none": "There is no record that the access shows, which is no error.",
    "served": "What was asked for was given, or the deposit was kept.",
}
"""The outcomes that are no refusal."""
