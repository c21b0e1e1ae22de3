"""rev: what a party takes back of what it stated, or in a patient's name; pure, once the call itself holds.

What is revoked is an id among what one party stated, or was stated about one patient: its own name space, in which nothing is
anybody else's. So it is of no matter whether the statement's signature holds, or under which credential it was made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message

from federation.errors import (
    Authorization,
    DeputyInvalid,
    DutyInvalid,
    FieldInvalid,
    GrantInvalid,
    IdentityMismatch,
    MalformedMessage,
)
from federation.protocol.access import (
    LONGEST_DUTY,
    LONGEST_GRANT,
    LONGEST_GUARDIANSHIP,
    LONGEST_MANDATE,
    Validity,
)
from federation.protocol.anchors import Lists, key_entry, serial_entry, statement_entry
from federation.protocol.calls import STATEMENT_NAMES
from federation.protocol.shown import require_shown_deputy
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty, Verifier, role_of
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import ShownDuty
from federation.v1.revocation_pb2 import Revocation
from federation.v1.statement_pb2 import (
    Credential,
    Duty,
    EncryptionKeyStatement,
    Grant,
    Guardianship,
    KeyStatement,
    Mandate,
    SignedStatement,
)

STATEMENT_KINDS = {name: kind for kind, name in STATEMENT_NAMES.items()}


@dataclass(frozen=True)
class TakenBack:
    """A statement as a revocation list names it: of a kind ("grant", "mandate", "guardian", "duty"), whose, with which id."""

    kind: str
    owner_id: str
    id: bytes
    validity: Validity

    @property
    def entry(self) -> bytes:
        """Return the list's entry."""
        return statement_entry(self.kind, self.owner_id, self.id)

    def is_named_by(self, lists: Lists) -> bool:
        """Return whether a list takes it back."""
        return lists.is_revoked(self.kind, self.owner_id, self.id)


@dataclass(frozen=True)
class _Kind:
    """What there is to know of a kind: its message, who takes it back, in whose name space its id is, how long it lives."""

    message_type: type[Message]
    role: "pb.Role.ValueType"
    owner: Callable[[Any], str]
    id: Callable[[Any], bytes]
    longest: timedelta
    error: type[Authorization]

    def read(self, name: str, signed: SignedStatement) -> TakenBack:
        statement: Any = peek_statement(self.message_type, signed)
        validity = Validity(statement.not_before, statement.not_after)
        return TakenBack(name, self.owner(statement), self.id(statement), validity)


_KINDS = {
    "grant": _Kind(
        Grant, pb.ROLE_PATIENT, lambda it: it.patient_id, lambda it: it.grant_id, LONGEST_GRANT, GrantInvalid
    ),
    "mandate": _Kind(
        Mandate, pb.ROLE_PATIENT, lambda it: it.patient_id, lambda it: it.mandate_id, LONGEST_MANDATE, DeputyInvalid
    ),
    "guardian": _Kind(
        Guardianship,
        pb.ROLE_HOSPITAL,
        lambda it: it.hospital_id,
        lambda it: it.guardianship_id,
        LONGEST_GUARDIANSHIP,
        DeputyInvalid,
    ),
    "duty": _Kind(Duty, pb.ROLE_HOSPITAL, lambda it: it.hospital_id, lambda it: it.duty_id, LONGEST_DUTY, DutyInvalid),
}


def peek_taken_back(kind: str, signed: SignedStatement) -> TakenBack:
    """Return how a list would name a statement, unverified. Raises MalformedMessage."""
    return _KINDS[kind].read(kind, signed)


def entries_of_room(
    key_statement: SignedStatement, encryption_key_statement: SignedStatement, duty: ShownDuty
) -> tuple[bytes, ...]:
    """Return what a patient looks up to check what stands in a room: KS_D, EK_D, the duty and KS_HPC."""
    return (*entries_of_keys(key_statement, encryption_key_statement), *entries_of_duty(duty))


def entries_of_keys(key_statement: SignedStatement, encryption_key_statement: SignedStatement) -> tuple[bytes, ...]:
    """Return what is looked up to check a party's KS_X and EK_X."""
    key = peek_statement(EncryptionKeyStatement, encryption_key_statement)
    return _serial_of(key_statement), key_entry(key.key_id)


def entries_of_duty(duty: ShownDuty) -> tuple[bytes, ...]:
    """Return what a doctor looks up to check a duty: KS_HPC, and the duty."""
    return _serial_of(duty.key_statement), peek_taken_back("duty", duty.duty).entry


def _serial_of(key_statement: SignedStatement) -> bytes:
    return serial_entry(Credential.FromString(peek_statement(KeyStatement, key_statement).credential).serial)


def sender_role(sender_id: str) -> "pb.Role.ValueType":
    """Return the role of who may send rev: patient or hospital. Raises CredentialInvalid."""
    return role_of(sender_id, (pb.ROLE_PATIENT, pb.ROLE_HOSPITAL))  # rev.1


def require_revocable(
    payload: Revocation, sender: VerifiedParty, verifier: Verifier, *, now: Instant
) -> Sequence[TakenBack]:
    """Require that this party may take all of it back, and return the statements; none, where it is everything before a time.

    Raises Authorization, IdentityMismatch, FieldInvalid, FutureDated, and Rejected for a false party behind a deputyship.
    """
    _require_owner(payload, sender, verifier, now)
    if bool(payload.statements) == payload.HasField("before"):
        raise FieldInvalid("either statements are taken back, or all before a time")  # rev.4
    if payload.HasField("before"):
        if sender.role != pb.ROLE_PATIENT:
            raise FieldInvalid("only what a patient signed is taken back as a whole")  # rev.5
        # Else what it signs from now on, until then, would be nothing.
        verifier.freshness.require_not_future(payload.before, now=now)  # rev.6
    return [
        _revocable(STATEMENT_NAMES[it.kind], it.statement, payload.owner_id, sender.role) for it in payload.statements
    ]


def _require_owner(payload: Revocation, sender: VerifiedParty, verifier: Verifier, now: Instant) -> None:
    if payload.HasField("deputyship"):
        # rev.2
        require_shown_deputy(payload.deputyship, payload.owner_id, sender, pb.POWER_REVOKE, verifier, now=now)
    elif payload.owner_id != sender.identity:
        raise IdentityMismatch("these are another party's statements, and no deputyship is shown")  # rev.3


def _revocable(name: str, signed: SignedStatement, owner_id: str, role: "pb.Role.ValueType") -> TakenBack:
    kind = _KINDS[name]
    if role != kind.role:
        raise FieldInvalid(f"a {name} is not of this party's making")  # rev.7
    try:
        taken = kind.read(name, signed)
    except MalformedMessage as error:
        raise kind.error(f"what is to be taken back is no {name}") from error  # rev.8
    if taken.owner_id != owner_id:
        raise kind.error(f"the {name} is another's")  # rev.9
    if not taken.validity.is_life(kind.longest):
        # Else an entry of the list, which is for everybody, would stay for long.
        raise kind.error(f"a {name} begins before it ends, and ends after at most {kind.longest.days} days")  # rev.10
    return taken
