"""Why somebody may do something with a patient's records: one decision, at the public cloud and at every hospital.

`decide` is pure: facts in, `Allowed` or `Refused` out. Whoever calls it has verified the signatures behind the facts
(`federation.protocol.shown`), and calls it before it searches. What no rule allows is refused. tests/decisions/ holds its known
answers, for every language.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeAlias, TypeVar

from federation.errors import (
    Authorization,
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
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    NotOwnRecord,
)
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.time import Instant, milliseconds
from federation.v1 import statement_pb2 as pb
from keystore.identities import ANY, DoctorId, HospitalId, PatientId

S = TypeVar("S")

BEGUN = "BEGUN"

DOCTORS_LIFE = timedelta(hours=24)
DEPARTMENTS_LIFE = timedelta(days=30)
HOSPITALS_LIFE = timedelta(days=90)
LONGEST_GRANT = timedelta(days=366)
LONGEST_MANDATE = timedelta(days=1827)
LONGEST_GUARDIANSHIP = timedelta(days=18 * 366)
LONGEST_DUTY = timedelta(hours=24)
LONGEST_EMERGENCY = timedelta(hours=1)

Right: TypeAlias = "pb.Right.ValueType"
Power: TypeAlias = "pb.Power.ValueType"
Sensitivity: TypeAlias = "pb.Sensitivity.ValueType"


@dataclass(frozen=True)
class Validity:
    """From when to when something holds, its end not included."""

    not_before: Instant
    not_after: Instant

    def holds(self, *, now: Instant, skew_ms: int) -> bool:
        """Return whether it is valid now; what began by a clock that is ahead within `skew_ms` has begun."""
        return self.not_before <= now + skew_ms and now < self.not_after

    def is_life(self, longest: timedelta) -> bool:
        """Return whether it begins before it ends, and is no longer than that."""
        return 0 < self.not_after - self.not_before <= milliseconds(longest)


@dataclass(frozen=True)
class ToDoctor:
    """Granted to a doctor, under whichever certificate of that authority."""

    doctor_id: DoctorId
    authority_id: str


@dataclass(frozen=True)
class ToDepartment:
    """Granted to those on duty in departments of a class at a hospital."""

    hospital_id: HospitalId
    department_class: str


@dataclass(frozen=True)
class ToHospital:
    """Granted to those on duty at a hospital."""

    hospital_id: HospitalId


Grantee = ToDoctor | ToDepartment | ToHospital


@dataclass(frozen=True)
class Grant:
    """What a grant says."""

    id: bytes
    patient_id: PatientId
    signer_id: PatientId
    grantee: Grantee | None
    hospitals: Sequence[str]
    department_classes: Sequence[str]
    highest_sensitivity: Sensitivity
    rights: Sequence[Right]
    stated_at: Instant
    validity: Validity


@dataclass(frozen=True)
class Deputyship:
    """What a mandate or a guardianship says. `kind` is its label: "mandate" or "guardian"; `stated_by` is who signed it."""

    kind: str
    id: bytes
    stated_by: str
    patient_id: PatientId
    deputy_id: PatientId
    powers: Sequence[Power]
    stated_at: Instant
    validity: Validity


@dataclass(frozen=True)
class Duty:
    """What a duty says."""

    id: bytes
    hospital_id: HospitalId
    doctor_id: DoctorId
    department_classes: Sequence[str]
    validity: Validity


@dataclass(frozen=True)
class Consent:
    """By a grant, of the patient or of a deputy; for those on duty, or to deposit, with a duty."""

    grant: Grant
    deputyship: Deputyship | None = None
    duty: Duty | None = None


@dataclass(frozen=True)
class OwnAccess:
    """The patient itself, or a deputy."""

    deputyship: Deputyship | None = None


@dataclass(frozen=True)
class Emergency:
    """What a declared emergency says, and the duty of the doctor. `second_doctor_id` is one whose signature held, or None."""

    id: bytes
    patient_id: PatientId
    doctor_id: DoctorId
    hospital: str
    reason_code: str
    second_doctor_id: DoctorId | None
    validity: Validity
    duty: Duty


Access = Consent | OwnAccess | Emergency


@dataclass(frozen=True)
class Asker:
    """Who asks, proved. `authority_id` is that of a doctor's certificate, None of a patient."""

    role: "pb.Role.ValueType"
    identity: str
    authority_id: str | None = None


@dataclass(frozen=True)
class Question:
    """What somebody wants to do with whose records. What is None is not of this decision."""

    asker: Asker
    right: "Right | None"
    patient_id: PatientId
    hospital_id: HospitalId | None = None
    department_class: str | None = None


@dataclass(frozen=True)
class Hidden:
    """What a patient hides: at a hospital, of a class, one record; ANY is every one. `handle` is lower-case hexadecimal."""

    hospital: str = ANY
    department_class: str = ANY
    handle: str = ANY

    def hides(self, hospital_id: str, department_class: str, handle: str) -> bool:
        """Return whether a record is among it."""
        named = (self.hospital, hospital_id), (self.department_class, department_class), (self.handle, handle)
        return all(hidden in (ANY, value) for hidden, value in named)


@dataclass(frozen=True)
class Standing:
    """What became of what is shown, and of who asks, as far as it is known here.

    `revoked` holds "grant", "deputyship", "duty"; `exhausted` "accesses", "emergencies": the budgets that are used up.
    """

    revoked: Collection[str] = ()
    hidden: Sequence[Hidden] = ()
    emergency_overrides: bool = False
    exhausted: Collection[str] = ()


@dataclass(frozen=True)
class Policy:
    """What this receiver allows: how far clocks may differ, and emergencies, if at all."""

    skew_ms: int = 5000
    emergency: EmergencyPolicy | None = None


@dataclass(frozen=True)
class Receiver:
    """What a receiver knows of a question by itself, beside the federation's lists, and what it allows."""

    hidden: Sequence[Hidden] = ()
    emergency_overrides: bool = False
    exhausted: Collection[str] = ()
    emergency: EmergencyPolicy | None = None


@dataclass(frozen=True)
class Allowed:
    """It may be done, as far as this goes. `ground` is "consent", "own", "deputy" or "emergency".

    What lies beyond is not on file for who asks: other hospitals, other classes, records of a higher sensitivity, hidden ones.
    """

    ground: str
    hospitals: Sequence[str]
    department_classes: Sequence[str]
    highest_sensitivity: Sensitivity
    hidden: Sequence[Hidden] = ()

    def classes(self, asked: str, published: frozenset[str]) -> tuple[str, ...]:
        """Return the classes that the question and the access both cover. Raises GrantScope for none."""
        wanted = sorted(published) if asked == ANY else [asked]
        covered = tuple(name for name in wanted if covers(self.department_classes, name))
        if not covered:
            raise GrantScope("the grant is not for this department class")  # D2.11, D4.12
        return covered

    def shows(self, hospital_id: str, department_class: str, handle: str, sensitivity: Sensitivity) -> bool:
        """Return whether a record is on file for who asks."""
        return (
            covers(self.hospitals, hospital_id)
            and covers(self.department_classes, department_class)
            and pb.SENSITIVITY_UNSPECIFIED < sensitivity <= self.highest_sensitivity
            and not any(one.hides(hospital_id, department_class, handle) for one in self.hidden)
        )


@dataclass(frozen=True)
class Refused:
    """It may not be done, and why: what a proved asker is told of it is the outcome of this error."""

    error: Authorization

    @property
    def reason(self) -> str:
        """Return the reason's name."""
        return self.error.reason


def decide(
    access: Access | None, question: Question, standing: Standing, policy: Policy, *, now: Instant
) -> Allowed | Refused:
    """Decide. `access` is None where nothing was shown."""
    rule = _Rule(question, standing, policy, now)
    try:
        match access:
            case Consent():
                return rule.by_consent(access)
            case OwnAccess():
                return rule.by_own_right(access)
            case Emergency():
                return rule.by_emergency(access)
            case _:
                raise GrantMissing("no grant, no record")  # access.1
    except Authorization as error:
        return Refused(error)


@dataclass(frozen=True)
class _Rule:
    """The rules over one question, each a check that raises."""

    question: Question
    standing: Standing
    policy: Policy
    now: Instant

    def by_consent(self, consent: Consent) -> Allowed:
        grant = consent.grant
        if grant.patient_id != self.question.patient_id:
            raise GrantInvalid("the grant is about another patient")  # grant.1
        self._require_signer(consent)
        self._require_standing(grant)
        self._require_grantee(consent)
        self._require_scope(grant)
        if self.question.right in _BUDGETED:
            self._require_budget("accesses")
        hidden = self.standing.hidden
        return Allowed("consent", grant.hospitals, grant.department_classes, grant.highest_sensitivity, hidden)

    def by_own_right(self, own: OwnAccess) -> Allowed:
        question, deputyship = self.question, own.deputyship
        if question.asker.role != pb.ROLE_PATIENT:
            raise NotOwnRecord("only a patient has records of its own")  # own.1
        if question.right is None or question.right not in _OWN:
            raise NotOwnRecord("a patient finds, reads, sees who did and adds; it deposits no encounter")  # own.2
        if deputyship is None:
            if question.asker.identity != question.patient_id:
                raise NotOwnRecord("these are another patient's records")  # own.3
            return Allowed("own", (ANY,), (ANY,), pb.SENSITIVITY_SECRET)
        self._require_deputy(deputyship, question.asker.identity, _OWN[question.right])
        # Whoever may hide a record may see it; another deputy is restricted as a doctor is.
        hidden = () if pb.POWER_RESTRICT in deputyship.powers else self.standing.hidden
        return Allowed("deputy", (ANY,), (ANY,), pb.SENSITIVITY_RESTRICTED, hidden)

    def by_emergency(self, emergency: Emergency) -> Allowed:
        asker, question, policy = self.question.asker, self.question, self.policy.emergency
        if policy is None:
            raise EmergencyRefused("no emergency is let in here")  # bg.1
        if asker.role != pb.ROLE_DOCTOR or emergency.doctor_id != asker.identity:
            raise EmergencyInvalid("the emergency is another doctor's")  # bg.2
        if emergency.patient_id != question.patient_id:
            raise EmergencyInvalid("the emergency is about another patient")  # bg.3
        if question.hospital_id is not None and emergency.hospital not in (ANY, question.hospital_id):
            raise EmergencyInvalid("the emergency is for another hospital")  # bg.4
        if not emergency.validity.is_life(LONGEST_EMERGENCY):
            raise EmergencyInvalid("an emergency lives at most an hour")  # bg.5
        if not self._holds(emergency.validity):
            raise EmergencyExpired("the emergency is not yet, or no longer, valid")  # bg.6
        if question.right not in _IN_EMERGENCY:
            raise EmergencyRefused("in an emergency records are found and read, nothing else")  # bg.7
        self._require_let_in(emergency, policy)
        self._require_budget("emergencies")
        hidden = () if self.standing.emergency_overrides else self.standing.hidden
        return Allowed("emergency", (emergency.hospital,), (ANY,), pb.SENSITIVITY_RESTRICTED, hidden)

    def _require_let_in(self, emergency: Emergency, policy: EmergencyPolicy) -> None:
        self._require_duty(emergency.duty, emergency.duty.hospital_id)  # bg.8
        if ANY not in policy.duty_classes and not set(emergency.duty.department_classes) & set(policy.duty_classes):
            raise EmergencyRefused("the doctor is not on duty where emergencies are let in from")  # bg.9
        if emergency.reason_code not in policy.reasons:
            raise EmergencyRefused("this is no reason that is let in here")  # bg.10
        if policy.second_clinician and emergency.second_doctor_id in (None, emergency.doctor_id):
            raise EmergencyRefused("an emergency takes a second clinician here")  # bg.11

    def _require_standing(self, grant: Grant) -> None:
        if not grant.validity.is_life(LONGEST_GRANT):
            # grant.3
            raise GrantInvalid(f"a grant begins before it ends, and ends after at most {LONGEST_GRANT.days} days")
        if grant.stated_at > grant.validity.not_before:
            # Dated ahead it would outlive "everything that I signed before".
            raise GrantInvalid("a grant is signed before it begins, not after")  # grant.3
        if not self._holds(grant.validity):
            raise GrantExpired("the grant is not yet, or no longer, valid")  # grant.4
        if "grant" in self.standing.revoked:
            raise GrantRevoked("the grant was taken back")  # grant.5

    def _require_scope(self, grant: Grant) -> None:
        question = self.question
        if grant.highest_sensitivity not in _GRANTED:
            raise GrantInvalid("no grant opens what is secret")  # grant.10
        if question.right is not None and question.right not in _GIVEN.intersection(grant.rights):
            raise GrantScope("the grant does not give this right")  # grant.11
        if question.hospital_id is not None and not covers(grant.hospitals, question.hospital_id):
            raise GrantScope("the grant is not for this hospital")  # grant.12
        if question.department_class is not None and not covers(grant.department_classes, question.department_class):
            raise GrantScope("the grant is not for this department class")  # grant.13

    def _require_budget(self, name: str) -> None:
        if name in self.standing.exhausted:
            raise BudgetExhausted(f"no more {name} are given in this time")  # access.2

    def _require_signer(self, consent: Consent) -> None:
        grant, deputyship = consent.grant, consent.deputyship
        if grant.signer_id == grant.patient_id:
            if deputyship is not None:
                raise DeputyInvalid("the patient itself signed the grant, and a deputyship is shown")  # grant.2
            return
        if deputyship is None:
            raise DeputyInvalid("another than the patient signed the grant, and no deputyship is shown")  # grant.2
        self._require_deputy(deputyship, grant.signer_id, pb.POWER_GRANT)

    def _require_deputy(self, deputyship: Deputyship, deputy_id: str, power: Power) -> None:
        patient_id = self.question.patient_id
        require_deputy(deputyship, patient_id, deputy_id, power, self.standing, self.policy, now=self.now)

    def _require_grantee(self, consent: Consent) -> None:
        asker, grantee, duty = self.question.asker, consent.grant.grantee, consent.duty
        if asker.role != pb.ROLE_DOCTOR:
            raise GrantInvalid("a grant is for doctors")  # grant.6
        match grantee:
            case ToDoctor():
                if (grantee.doctor_id, grantee.authority_id) != (asker.identity, asker.authority_id):
                    raise GrantInvalid("the grant is for another doctor, or one of another authority")  # grant.7
            case ToDepartment():
                self._require_duty(duty, grantee.hospital_id)
                if duty is None or grantee.department_class not in duty.department_classes:
                    raise DutyInvalid("the duty is not in the department that the grant is for")  # grant.8
            case ToHospital():
                self._require_duty(duty, grantee.hospital_id)
            case _:
                raise GrantInvalid("the grant is for nobody that is known here")  # grant.7
        if self.question.right == pb.RIGHT_WRITE:
            self._require_duty(duty, self.question.hospital_id)  # grant.9

    def _require_duty(self, duty: Duty | None, hospital_id: HospitalId | None) -> None:
        asker = self.question.asker
        require_duty(duty, hospital_id, asker.identity, self.standing, self.policy, now=self.now)

    def _holds(self, validity: Validity) -> bool:
        return validity.holds(now=self.now, skew_ms=self.policy.skew_ms)


def require_deputy(
    deputyship: Deputyship,
    patient_id: str,
    deputy_id: str,
    power: Power,
    standing: Standing,
    policy: Policy,
    *,
    now: Instant,
) -> None:
    """Require that one stands for the other now, with this power.

    Raises DeputyInvalid, DeputyExpired, DeputyRevoked, DeputyPowers.
    """
    if deputyship.patient_id != patient_id or deputyship.deputy_id != deputy_id:
        raise DeputyInvalid("the deputyship is of another patient, or for another deputy")  # deputy.1
    if deputyship.patient_id == deputyship.deputy_id:
        raise DeputyInvalid("nobody is its own deputy")  # deputy.2
    longest = _LONGEST_DEPUTYSHIP.get(deputyship.kind, timedelta(0))
    if not deputyship.validity.is_life(longest):
        raise DeputyInvalid(f"a {deputyship.kind} lives at most {longest.days} days")  # deputy.3
    if deputyship.stated_at > deputyship.validity.not_before:
        raise DeputyInvalid("a deputyship is signed before it begins, not after")  # deputy.3
    if not deputyship.validity.holds(now=now, skew_ms=policy.skew_ms):
        raise DeputyExpired("the deputyship is not yet, or no longer, valid")  # deputy.4
    if "deputyship" in standing.revoked:
        raise DeputyRevoked("the deputyship was taken back")  # deputy.5
    if power not in deputyship.powers:
        raise DeputyPowers("the deputyship does not give this power")  # deputy.6


def require_duty(
    duty: Duty | None,
    hospital_id: HospitalId | None,
    doctor_id: str,
    standing: Standing,
    policy: Policy,
    *,
    now: Instant,
) -> None:
    """Require that this doctor is on duty at this hospital now. Raises DutyMissing, DutyInvalid, DutyExpired, DutyRevoked."""
    if duty is None:
        raise DutyMissing("no duty is shown, and the grant, or a deposit, asks for one")  # duty.1
    if duty.hospital_id != hospital_id:
        raise DutyInvalid("the duty is at another hospital")  # duty.2
    if duty.doctor_id != doctor_id:
        raise DutyInvalid("the duty is another doctor's")  # duty.3
    if not duty.validity.is_life(LONGEST_DUTY):
        raise DutyInvalid("a duty lives at most 24 hours")  # duty.4
    if not duty.validity.holds(now=now, skew_ms=policy.skew_ms):
        raise DutyExpired("the duty is not yet, or no longer, valid")  # duty.5
    if "duty" in standing.revoked:
        raise DutyRevoked("the hospital took the duty back")  # duty.6


_LONGEST_DEPUTYSHIP = {"mandate": LONGEST_MANDATE, "guardian": LONGEST_GUARDIANSHIP}
_GRANTED = frozenset({pb.SENSITIVITY_NORMAL, pb.SENSITIVITY_RESTRICTED})
_GIVEN = frozenset({pb.RIGHT_INDEX, pb.RIGHT_READ, pb.RIGHT_WRITE})
_OWN: "dict[Right, Power]" = {
    pb.RIGHT_INDEX: pb.POWER_READ,
    pb.RIGHT_READ: pb.POWER_READ,
    pb.RIGHT_LOG: pb.POWER_LOG,
    pb.RIGHT_ADD: pb.POWER_ADD,
}
"""What a patient may do -> the power that a deputy needs for it."""
_IN_EMERGENCY = frozenset({pb.RIGHT_INDEX, pb.RIGHT_READ})
_BUDGETED = frozenset({pb.RIGHT_INDEX, pb.RIGHT_READ})
"""A deposit gives nothing out, and a visit that was begun is finished."""


def covers(allowed: Sequence[str], value: str) -> bool:
    """Return whether a list of an access covers a value; asking for ANY needs ANY."""
    return ANY in allowed or value in allowed


@dataclass(frozen=True)
class AccessEvent:
    """Who was given, or denied, what: an entry of the access log. `authorization` is H(access).

    `ground` says by what: "consent", "own", "deputy", "emergency" or, where nothing was shown, "none". `reason` is BEGUN when it
    is about to be done, "OK" when it was, or an error's reason; `detail` says how far it came;
    `grant_digest` is H(grant), or nothing. `list_age_seconds` is how old the head of the revocation list was that it was decided
    by, where the log says that; in no leaf.
    """

    kind: str
    asker_id: str
    patient_id: PatientId
    scope: str
    authorization: bytes
    ground: str
    reason: str
    detail: str = ""
    grant_digest: bytes = b""
    list_age_seconds: int | None = None


@dataclass(frozen=True)
class Logged(Generic[S]):
    """A state that may be entered once what it releases is in the append-only log."""

    event: AccessEvent
    _next: S

    def recorded(self) -> S:
        """Return the state: the caller says that the event is durable."""
        return self._next
