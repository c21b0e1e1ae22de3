"""Why somebody may do something with a patient's records: what is shown, and the one decision on it (C1).

Today that is the patient's grant, which is made, opened and taken back here too. What is shown for it, an `AccessClaim`, is
nobody's right yet; `authorize`, the same at the public cloud and at every hospital, makes an `Access` of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from federation.errors import (
    EmergencyNotSupported,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantScope,
    IdentityMismatch,
    MalformedMessage,
    SignatureInvalid,
)
from federation.protocol.parties import Entropy, Party
from federation.protocol.sealing import after_opening
from federation.protocol.statements import (
    digest_or_empty,
    open_statement,
    peek_statement,
    sign_statement,
    signed_digest_or_empty,
)
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.protocol.verifier import VerifiedParty, Verifier
from federation.v1 import statement_pb2 as pb
from federation.v1.record_pb2 import Deposit, RecordQuery
from federation.v1.search_pb2 import SearchQuery
from federation.v1.statement_pb2 import ROLE_PATIENT, Grant, SignedStatement
from keystore.identities import ANY, DoctorId, HospitalId, PatientId
from keystore.transcript import digest, statement_digest

S = TypeVar("S")

BEGUN = "BEGUN"


@dataclass(frozen=True)
class Use:
    """What somebody wants to do. `department_class` and `hospital` None: not of this decision."""

    right: "pb.Right.ValueType"
    doctor_id: DoctorId
    certificate_digest: bytes
    hospital: HospitalId | None
    department_class: str | None


@dataclass(frozen=True)
class Access:
    """Why something is allowed with a patient's records, and what. `id` and `digest` are those of the grant."""

    patient_id: PatientId
    id: bytes
    digest: bytes
    rights: Sequence["pb.Right.ValueType"]
    hospitals: Sequence[str]
    department_classes: Sequence[str]
    until: Instant

    @classmethod
    def by_grant(cls, grant: Grant, signed: SignedStatement) -> "Access":
        """Return the access that a grant means."""
        return cls(
            patient_id=PatientId(grant.patient_id),
            id=grant.grant_id,
            digest=statement_digest("grant", signed.statement),
            rights=tuple(grant.rights),
            hospitals=tuple(grant.hospitals),
            department_classes=tuple(grant.department_classes),
            until=grant.not_after,
        )

    def require(self, use: Use) -> None:
        """Raise GrantScope unless the use is among what it allows."""
        if use.right not in self.rights:
            raise GrantScope("the grant does not give this right")  # grant.8
        if use.hospital is not None and not covers(self.hospitals, use.hospital):
            raise GrantScope("the grant is not for this hospital")  # grant.9
        if use.department_class is not None and not covers(self.department_classes, use.department_class):
            raise GrantScope("the grant is not for this department class")  # grant.10

    def classes(self, asked: str, published: frozenset[str]) -> tuple[str, ...]:
        """Return the classes that the question and the access both cover. Raises GrantScope for none."""
        wanted = sorted(published) if asked == ANY else [asked]
        covered = tuple(name for name in wanted if covers(self.department_classes, name))
        if not covered:
            raise GrantScope("the grant is not for this department class")  # D2.15, D4.16
        return covered


@dataclass(frozen=True)
class AccessClaim:
    """What somebody shows for access to a patient's records, or nothing. None of it is decided yet."""

    patient_id: PatientId
    grant: SignedStatement | None = None
    patient_key_statement: SignedStatement | None = None
    emergency: SignedStatement | None = None

    @classmethod
    def of(cls, message: RecordQuery | Deposit | SearchQuery) -> "AccessClaim":
        """Return what a message shows."""
        emergency = None
        if not isinstance(message, Deposit) and message.HasField("emergency"):
            emergency = message.emergency
        return cls(
            patient_id=PatientId(message.patient_id),
            grant=message.grant if message.HasField("grant") else None,
            patient_key_statement=message.patient_key_statement if message.HasField("patient_key_statement") else None,
            emergency=emergency,
        )

    @property
    def digest(self) -> bytes:
        """Return H(grant or emergency), or nothing where there is neither: in c_P, Sig_P2 and the log."""
        if self.emergency is not None:
            return statement_digest("bg", self.emergency.statement)
        return digest_or_empty("grant", self.grant)

    @property
    def signed_digest(self) -> bytes:
        """Return Hs(grant or emergency): nothing that the cloud decides by can be exchanged under Sig_D2."""
        if self.emergency is not None:
            return signed_digest_or_empty("bg", self.emergency)
        return signed_digest_or_empty("grant", self.grant)

    @property
    def claimed(self) -> Access | None:
        """Return the access that it says that it is, unverified: for who shows it. Raises MalformedMessage."""
        return None if self.grant is None else Access.by_grant(peek_statement(Grant, self.grant), self.grant)

    def require_supported(self) -> None:
        """Raise EmergencyNotSupported for an emergency."""
        if self.emergency is not None:
            raise EmergencyNotSupported("emergencies are not served in this release")  # D2.10, D4.10

    def authorize(self, use: Use, verifier: Verifier, *, now: Instant) -> Access:
        """Decide on CRED(P), then on the grant. Raises Authorization for the grant, Rejected for a false patient."""
        self.require_supported()
        if self.grant is None or self.patient_key_statement is None:
            raise GrantMissing("no grant, no record")  # D2.11, D4.12, STO.14
        with after_opening():
            patient = verifier.party(self.patient_key_statement, ROLE_PATIENT, now=now)  # D2.12, D4.13, STO.15
            if patient.identity != self.patient_id:
                raise IdentityMismatch("the patient's key statement is another patient's")  # D2.13, D4.14, STO.16
        return authorize(self.grant, patient, use, verifier, now=now)  # D2.14, D4.15, STO.17


def authorize(
    signed: SignedStatement | None, patient: VerifiedParty, use: Use, verifier: Verifier, *, now: Instant
) -> Access:
    """Return the access if it allows this use now. Raises Authorization: missing, invalid, expired, revoked, or its scope."""
    if signed is None:
        raise GrantMissing("no grant, no record")  # grant.1
    grant = open_grant_for(signed, patient, use.doctor_id, use.certificate_digest, verifier.freshness, now=now)
    verifier.lists.require_grant_good(patient.patient_id, grant.grant_id)  # grant.7
    access = Access.by_grant(grant, signed)
    access.require(use)
    return access


def covers(allowed: Sequence[str], value: str) -> bool:
    """Return whether a list of an access covers a value; asking for ANY needs ANY."""
    return ANY in allowed or value in allowed


@dataclass(frozen=True)
class AccessEvent:
    """Who was given, or denied, what: an entry of the access log. `authorization` is the digest of what was shown.

    `reason` is BEGUN when it is about to be done, "OK" when it was, or an error's reason; `detail` says how far it came.
    """

    kind: str
    doctor_id: DoctorId
    patient_id: PatientId
    scope: str
    authorization: bytes
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Logged(Generic[S]):
    """A state that may be entered once what it releases is in the append-only log."""

    event: AccessEvent
    _next: S

    def recorded(self) -> S:
        """Return the state: the caller says that the event is durable."""
        return self._next


DEFAULT_LIFE = timedelta(hours=24)
LONGEST_LIFE = timedelta(days=366)


@dataclass(frozen=True)
class Terms:
    """What a patient allows a doctor. Empty lists allow nothing; ANY allows every one."""

    hospitals: Sequence[str] = (ANY,)
    department_classes: Sequence[str] = (ANY,)
    rights: Sequence["pb.Right.ValueType"] = (pb.RIGHT_INDEX, pb.RIGHT_READ, pb.RIGHT_WRITE)
    purpose: str = "consultation"
    life: timedelta = DEFAULT_LIFE


def make_grant(
    patient: Party, doctor_id: DoctorId, certificate: bytes, terms: Terms, *, now: Instant, entropy: Entropy
) -> SignedStatement:
    """Sign a grant for one doctor (PRK_P). Raises GrantInvalid for a life that none may have."""
    grant = Grant(
        grant_id=entropy(16),
        patient_id=patient.identity,
        patient_serial=patient.self_.serial,
        doctor_id=doctor_id,
        doctor_certificate_digest=digest(certificate),
        hospitals=terms.hospitals,
        department_classes=terms.department_classes,
        rights=terms.rights,
        purpose=terms.purpose,
        not_before=now,
        not_after=now + milliseconds(terms.life),
    )
    _require_life(grant)
    return sign_statement("grant", grant, patient.signing_key)


def open_grant(signed: SignedStatement, patient: VerifiedParty) -> Grant:
    """Verify that the patient signed this grant for its own live credential, and for a life that one may have.

    Raises GrantInvalid.
    """
    try:
        grant = open_statement("grant", Grant, signed, patient.key)
    except (SignatureInvalid, MalformedMessage) as error:
        raise GrantInvalid("the grant does not bear this patient's signature") from error  # grant.2
    if grant.patient_id != patient.identity or grant.patient_serial != patient.serial:
        raise GrantInvalid("the grant is another patient's, or of an earlier registration")  # grant.3
    _require_life(grant)
    return grant


def named_for_revocation(signed: SignedStatement, patient: VerifiedParty) -> Grant:
    """Return the grant that a patient takes back. Raises GrantInvalid unless it says that it is this patient's.

    Whichever credential it was signed under, and whether its signature holds: what is revoked is (ID_P, grant id), the
    patient's own name space, and nobody else's grant is in it.
    """
    try:
        grant = peek_statement(Grant, signed)
    except MalformedMessage as error:
        raise GrantInvalid("what is to be revoked is no grant") from error  # rev.1
    if grant.patient_id != patient.identity:
        raise GrantInvalid("the grant is another patient's")  # rev.2
    _require_life(grant)  # else an entry of the list, which is for everybody, would stay for ever
    return grant


def _require_life(grant: Grant) -> None:
    if not 0 < grant.not_after - grant.not_before <= milliseconds(LONGEST_LIFE):
        # grant.4, rev.3
        raise GrantInvalid(f"a grant begins before it ends, and ends after at most {LONGEST_LIFE.days} days")


def open_grant_for(
    signed: SignedStatement,
    patient: VerifiedParty,
    doctor_id: DoctorId,
    certificate_digest: bytes,
    freshness: Freshness,
    *,
    now: Instant,
) -> Grant:
    """Return the grant if its patient signed it for this doctor with this Cert_D, and now is its time (eq. 24).

    Raises GrantInvalid, GrantExpired.
    """
    grant = open_grant(signed, patient)
    if grant.doctor_id != doctor_id or grant.doctor_certificate_digest != certificate_digest:
        raise GrantInvalid("the grant is for another doctor")  # grant.5
    if not freshness.begun(grant.not_before, now=now) or now >= grant.not_after:
        raise GrantExpired("the grant is not yet, or no longer, valid")  # grant.6
    return grant
