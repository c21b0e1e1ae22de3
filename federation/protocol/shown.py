"""What somebody shows for access to a patient's records: its digests, and the way from it to a decision.

Nobody's right yet. `Shown.decide`, the same at the public cloud and at every hospital, verifies what is shown, looks up what
became of it, and asks `federation.protocol.access`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from federation.protocol import access
from federation.protocol.access import (
    Allowed,
    Asker,
    Policy,
    Question,
    Receiver,
    Refused,
    Standing,
    decide,
)
from federation.protocol.access import Grant as GrantFacts
from federation.protocol.anchors import Lists
from federation.protocol.consent import (
    deputyship_statement,
    open_deputyship,
    open_duty,
    open_emergency,
    open_grant,
    peek_grant,
)
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.sealing import after_opening
from federation.protocol.statements import certificate_digest, digest_or_empty, signed_digest_or_empty
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty, Verifier
from federation.v1.access_pb2 import Access, Consent, DeclaredEmergency, Deputyship, OwnAccess, ShownDuty
from federation.v1.record_pb2 import Deposit, OwnDocument, RecordQuery
from federation.v1.search_pb2 import SearchQuery
from federation.v1.statement_pb2 import (
    RIGHT_INDEX,
    RIGHT_LOG,
    RIGHT_READ,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Role,
    SignedStatement,
)
from keystore.identities import HospitalId, PatientId
from keystore.transcript import digest, text, transcript


def asker_of(party: VerifiedParty) -> Asker:
    """Return who asks, as the decision knows it."""
    return Asker(party.role, party.identity, party.authority_id or None)


@dataclass(frozen=True)
class Shown:
    """What a message shows, or nothing. None of it is decided yet."""

    patient_id: PatientId
    access: Access | None = None

    @classmethod
    def of(cls, message: RecordQuery | Deposit | OwnDocument | SearchQuery) -> "Shown":
        """Return what a message shows."""
        return cls(PatientId(message.patient_id), message.access if message.HasField("access") else None)

    @classmethod
    def by_consent(cls, consent: Consent | None, patient_id: PatientId, duty: ShownDuty | None = None) -> "Shown":
        """Show a consent, or none, and that one is on duty."""
        if consent is None:
            return cls(patient_id)
        access_ = Access(consent=consent)
        if duty is not None:
            access_.consent.duty.CopyFrom(duty)
        return cls(patient_id, access_)

    @classmethod
    def by_own_right(cls, patient_id: PatientId, deputyship: Deputyship | None = None) -> "Shown":
        """Show that these are one's own records, or of whom one stands for by a deputyship."""
        return cls(patient_id, Access(own=OwnAccess(deputyship=deputyship)))

    @classmethod
    def in_emergency(cls, patient_id: PatientId, declared: DeclaredEmergency) -> "Shown":
        """Show an emergency that was declared."""
        return cls(patient_id, Access(emergency=declared))

    @property
    def consent(self) -> Consent | None:
        """Return the consent that is shown, if it is one."""
        return self.access.consent if self.ground == "consent" and self.access is not None else None

    @property
    def ground(self) -> str:
        """Return by what: "consent", "own", "emergency" or "none"."""
        return (self.access.WhichOneof("ground") if self.access is not None else None) or "none"

    @property
    def digest(self) -> bytes:
        """Return H(access), or nothing where nothing is shown: in c_P, Sig_HPC2 and the log."""
        if self.access is None:
            return b""
        return digest(transcript("access", *_fields(self.access, digest_or_empty)))

    @property
    def signed_digest(self) -> bytes:
        """Return Hs(access): nothing that is decided by can be exchanged under Sig_D2. Empty where nothing is shown."""
        if self.access is None:
            return b""
        fields = _fields(self.access, signed_digest_or_empty)
        return digest(transcript("access-signed", *fields, *_shown_beside(self.access)))

    @property
    def grant_digest(self) -> bytes:
        """Return H(grant), or nothing without one: in Sig_P2, when no duty is known yet."""
        return b"" if self.consent is None else digest_or_empty("grant", self.consent.grant)

    @property
    def claimed_grant(self) -> GrantFacts | None:
        """Return what its grant says, unverified: for who shows it. Raises MalformedMessage."""
        return None if self.consent is None else peek_grant(self.consent.grant)

    def decide(
        self, asker: VerifiedParty, question: Question, verifier: Verifier, receiver: Receiver, *, now: Instant
    ) -> Allowed:
        """Verify, and decide. Raises Authorization for what is wrong with it, Rejected for a false party behind it."""
        opened = _opened(self.access, asker, verifier, now=now)
        if question.right in _BY_WHAT_STOOD:
            _require_stood(opened, question, verifier, now=now)  # shown.16
        standing = _standing(opened, verifier.lists, receiver)
        decision = decide(opened, question, standing, _policy(verifier, receiver.emergency), now=now)
        if isinstance(decision, Refused):
            raise decision.error
        return decision


def require_shown_deputy(
    shown: Deputyship, patient_id: str, deputy: VerifiedParty, power: access.Power, verifier: Verifier, *, now: Instant
) -> None:
    """Require that a party stands for a patient now, with this power.

    Raises DeputyInvalid, DeputyExpired, DeputyRevoked, DeputyPowers, and Rejected for a false party behind it.
    """
    opened = _open_deputyship(shown, verifier, now=now)
    is_revoked = is_taken_back(opened, verifier.lists)
    standing = Standing(frozenset({"deputyship"}) if is_revoked else frozenset())
    access.require_deputy(opened, patient_id, deputy.identity, power, standing, _policy(verifier), now=now)


def require_shown_duty(
    duty: access.Duty, hospital_id: HospitalId, doctor_id: str, verifier: Verifier, *, now: Instant
) -> None:
    """Require that a verified duty is this doctor's at this hospital, and holds now.

    Raises DutyInvalid, DutyExpired, DutyRevoked.
    """
    is_revoked = verifier.lists.is_revoked("duty", duty.hospital_id, duty.id)
    standing = Standing(frozenset({"duty"}) if is_revoked else frozenset())
    access.require_duty(duty, hospital_id, doctor_id, standing, _policy(verifier), now=now)


def _policy(verifier: Verifier, emergency: EmergencyPolicy | None = None) -> Policy:
    return Policy(milliseconds(verifier.freshness.skew), emergency)


def _opened(shown: Access | None, asker: VerifiedParty, verifier: Verifier, *, now: Instant) -> access.Access | None:
    if shown is None:
        return None
    match shown.WhichOneof("ground"):
        case "consent":
            return _opened_consent(shown.consent, asker, verifier, now=now)
        case "own":
            return access.OwnAccess(_opened_deputyship(shown.own, verifier, now=now))
        case "emergency":
            return _opened_emergency(shown.emergency, asker, verifier, now=now)
        case _:
            return None


def _opened_consent(consent: Consent, asker: VerifiedParty, verifier: Verifier, *, now: Instant) -> access.Consent:
    with after_opening():
        signer = verifier.party(consent.key_statement, ROLE_PATIENT, now=now)  # shown.1
    grant = open_grant(consent, signer)
    deputyship = _opened_deputyship(consent, verifier, now=now)
    duty = _opened_duty(consent.duty, asker, verifier, now=now) if consent.HasField("duty") else None
    return access.Consent(grant, deputyship, duty)


def _opened_emergency(
    shown: DeclaredEmergency, asker: VerifiedParty, verifier: Verifier, *, now: Instant
) -> access.Emergency:
    duty = _opened_duty(shown.duty, asker, verifier, now=now)
    second = None
    if shown.HasField("second"):
        with after_opening():
            # shown.12
            second = verifier.doctor(shown.second.key_statement, shown.second.doctor_certificate, now=now)
    return open_emergency(shown, asker, second, duty)


def _opened_duty(shown: ShownDuty, asker: VerifiedParty, verifier: Verifier, *, now: Instant) -> access.Duty:
    with after_opening():
        hospital = verifier.party(shown.key_statement, ROLE_HOSPITAL, now=now)  # shown.8
    return open_duty(shown, hospital, asker)


def _opened_deputyship(holder: Consent | OwnAccess, verifier: Verifier, *, now: Instant) -> access.Deputyship | None:
    return _open_deputyship(holder.deputyship, verifier, now=now) if holder.HasField("deputyship") else None


def _open_deputyship(shown: Deputyship, verifier: Verifier, *, now: Instant) -> access.Deputyship:
    role = stating_role(shown)
    with after_opening():
        signer = verifier.party(shown.key_statement, role, now=now)  # shown.5
    return open_deputyship(shown, signer)


def stating_role(shown: Deputyship) -> "Role.ValueType":
    """Return who has to have signed a deputyship: a patient a mandate, a hospital a guardianship. Raises DeputyInvalid."""
    return ROLE_PATIENT if deputyship_statement(shown)[0] == "mandate" else ROLE_HOSPITAL


_BY_WHAT_STOOD = frozenset({RIGHT_INDEX, RIGHT_READ, RIGHT_LOG})
"""Rights that give something out. A deposit gives nothing, and a doctor who looks at a consent of now neither."""


def _require_stood(opened: access.Access | None, question: Question, verifier: Verifier, *, now: Instant) -> None:
    """Require that a consent stood before a list that is over, and what is beside it. Raises NewerThanList.

    An emergency is newer by what it is, and a duty that the receiver itself stated is in its own roster. A grant to a
    doctor needs no duty: the one beside it, which is shown with each, may be newer.
    """
    stated: list[Instant] = []
    if isinstance(opened, access.Consent):
        grant, duty = opened.grant, opened.duty
        stated.append(grant.stated_at)
        needs_duty = not isinstance(grant.grantee, access.ToDoctor)
        if needs_duty and duty is not None and duty.hospital_id != question.hospital_id:
            stated.append(duty.validity.not_before)
    if isinstance(opened, access.Consent | access.OwnAccess) and opened.deputyship is not None:
        stated.append(opened.deputyship.stated_at)
    for stated_at in stated:
        verifier.require_stood(stated_at, now=now)


def _standing(opened: access.Access | None, lists: Lists, receiver: Receiver) -> Standing:
    """Return what became of what is shown, each statement by itself or with all that its patient signed, as known here."""
    revoked: set[str] = set()
    grant = opened.grant if isinstance(opened, access.Consent) else None
    deputyship = opened.deputyship if isinstance(opened, access.Consent | access.OwnAccess) else None
    duty = opened.duty if isinstance(opened, access.Consent | access.Emergency) else None
    if grant is not None and lists.is_taken_back("grant", grant.patient_id, grant.id, grant.stated_at):
        revoked.add("grant")
    if deputyship is not None and is_taken_back(deputyship, lists):
        revoked.add("deputyship")
    if duty is not None and lists.is_revoked("duty", duty.hospital_id, duty.id):
        revoked.add("duty")
    return Standing(frozenset(revoked), receiver.hidden, receiver.emergency_overrides, receiver.exhausted)


def is_taken_back(deputyship: access.Deputyship, lists: Lists) -> bool:
    """Return whether a deputyship was taken back: a mandate also with all that its patient signed."""
    if deputyship.kind == "mandate":
        return lists.is_taken_back("mandate", deputyship.patient_id, deputyship.id, deputyship.stated_at)
    # Not under the patient: another hospital could state one of the same id, and take that back.
    return lists.is_revoked(deputyship.kind, deputyship.stated_by, deputyship.id)


Digest = Callable[[str, SignedStatement | None], bytes]


def _fields(shown: Access, statement_digest: Digest) -> tuple[bytes, ...]:
    """Return the ground and the statements that are shown, each by this digest, or nothing where there is none."""
    main = b""
    if shown.HasField("consent"):
        main = statement_digest("grant", shown.consent.grant)
    elif shown.HasField("emergency"):
        main = statement_digest("bg", shown.emergency.emergency)
    deputyship, duty = held_deputyship(shown), held_duty(shown)
    return (
        text(shown.WhichOneof("ground") or ""),
        main,
        b"" if deputyship is None else statement_digest(*deputyship_statement(deputyship)),
        b"" if duty is None else statement_digest("duty", duty.duty),
    )


def _shown_beside(shown: Access) -> tuple[bytes, ...]:
    """Return Hs of the key statements beside the statements, and what the second clinician shows."""
    deputyship, duty, second = held_deputyship(shown), held_duty(shown), shown.emergency.second
    held = (
        shown.consent.key_statement if shown.HasField("consent") else None,
        None if deputyship is None else deputyship.key_statement,
        None if duty is None else duty.key_statement,
    )
    is_seconded = shown.emergency.HasField("second")
    return (
        *(signed_digest_or_empty("ks", signed) for signed in held),
        second.signature,
        signed_digest_or_empty("ks", second.key_statement if is_seconded else None),
        certificate_digest(second.doctor_certificate),
    )


def held_deputyship(shown: Access) -> Deputyship | None:
    """Return the deputyship in an access, if there is one."""
    for holder in (shown.consent, shown.own):
        if holder.HasField("deputyship"):
            return holder.deputyship
    return None


def held_duty(shown: Access) -> ShownDuty | None:
    """Return the duty in an access, if there is one."""
    for holder in (shown.consent, shown.emergency):
        if holder.HasField("duty"):
            return holder.duty
    return None
