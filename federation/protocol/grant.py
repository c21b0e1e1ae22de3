"""The patient's grant (C1): how it is made, opened, and named when it is taken back. `access` decides by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from federation.errors import GrantExpired, GrantInvalid, MalformedMessage, SignatureInvalid
from federation.protocol.parties import Entropy, Party
from federation.protocol.statements import open_statement, peek_statement, sign_statement
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.v1 import statement_pb2 as pb
from federation.v1.statement_pb2 import Grant, SignedStatement
from keystore.identities import ANY, DoctorId
from keystore.transcript import digest

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
