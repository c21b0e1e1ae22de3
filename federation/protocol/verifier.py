"""CRED(X) and its company: the checks that every receiver makes (docs/protocol.md, 2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import ec

from federation.errors import CertificateForeign, CredentialExpired, CredentialInvalid, IdentityMismatch, PointInvalid
from federation.protocol.anchors import NO_GRACE, Anchors, Grace, Lists
from federation.protocol.doctor_certificate import verify_certificate
from federation.protocol.identities import Identified
from federation.protocol.parsing import parse
from federation.protocol.revocations import EMPTY
from federation.protocol.statements import open_statement, peek_statement
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.v1 import statement_pb2 as pb
from federation.v1.statement_pb2 import Credential, EncryptionKeyStatement, KeyStatement, SignedStatement
from keystore.curve import public_point
from keystore.encryption import KEM_ID, key_id_of, require_encryption_key
from keystore.errors import InvalidPoint, SealBroken
from keystore.identities import DOCTOR, HOSPITAL, PATIENT
from keystore.signatures import VerifyingKey
from keystore.transcript import digest


@dataclass(frozen=True)
class VerifiedParty(Identified):
    """Somebody whose CRED held: what others may use of it. `issuer_public_key` is the PK that signed its credential.

    `authority_id` is the authority of a doctor whose Cert_D held, else empty.
    """

    role: "pb.Role.ValueType"
    identity: str
    serial: bytes
    attribute: bytes
    credential: bytes
    registration_point: bytes
    public_point: ec.EllipticCurvePublicKey
    verifying_key: bytes
    issuer_public_key: bytes
    key_statement: SignedStatement
    authority_id: str = ""

    @property
    def key(self) -> VerifyingKey:
        """Return PUK_X."""
        return VerifyingKey(self.verifying_key)


@dataclass(frozen=True)
class EncryptionKey:
    """Somebody's encryption key of the epoch, verified."""

    owner: str
    key_id: bytes
    encryption_key: bytes
    statement: SignedStatement


@dataclass(frozen=True)
class Peer(Identified):
    """Somebody to talk to, verified: CRED(X), EK_X, and a doctor's Cert_D, else empty."""

    party: VerifiedParty
    encryption_key: EncryptionKey
    certificate: bytes = b""

    @property
    def identity(self) -> str:
        """Return ID_X."""
        return self.party.identity

    @property
    def key(self) -> VerifyingKey:
        """Return PUK_X."""
        return self.party.key

    def require_still_good(self, verifier: "Verifier", *, now: Instant) -> None:
        """Decide anew on CRED(X) and Cert_D, by the lists of now. Raises Authentication, StaleRevocationList."""
        verifier.member(self.party.key_statement, self.party.role, self.certificate, now=now)


@dataclass(frozen=True)
class Verifier:
    """A receiver's checks at one moment: anchors, lists, the freshness window, and for how long a list counts that is over."""

    anchors: Anchors
    lists: Lists
    freshness: Freshness = field(default_factory=Freshness)
    grace: Grace = NO_GRACE

    def party(self, signed: SignedStatement, role: "pb.Role.ValueType", *, now: Instant) -> VerifiedParty:
        """Make CRED(X) for a key statement. Raises Authentication, MalformedMessage, StaleRevocationList."""
        self.lists.require_current(now, skew_ms=milliseconds(self.freshness.skew), grace=self.grace)
        party = self._party(signed, role, now)
        self.require_stood(peek_statement(KeyStatement, signed).stated_at, now=now)  # cred.14
        return party

    def require_stood(self, stated_at: Instant, *, now: Instant) -> None:
        """Require that what was stated then stood before a list that is over. Raises NewerThanList."""
        self.lists.require_stood(stated_at, now=now, grace=self.grace)

    def party_then(self, signed: SignedStatement, role: "pb.Role.ValueType", *, at: Instant) -> VerifiedParty:
        """Make CRED(X) as it was at a moment, whatever became of it since: for what outlives its signer's credential.

        Raises Authentication, MalformedMessage.
        """
        then = replace(self, anchors=self.anchors.for_evidence, lists=Lists(listed=EMPTY))
        return then._party(signed, role, at)  # noqa: SLF001 - one of its own

    def _party(self, signed: SignedStatement, role: "pb.Role.ValueType", now: Instant) -> VerifiedParty:
        statement = self.anchors.open("ks", KeyStatement, signed)  # cred.2
        credential = parse(Credential, statement.credential)  # cred.3
        _require_agreement(statement, credential, role)
        # Else a PRK_C that waits for its stated time could speak already.
        self._require_valid(statement.stated_at, statement.not_after, now)  # cred.8
        self._require_valid(statement.not_before, statement.not_after, now)  # cred.9
        self._require_valid(credential.not_before, credential.not_after, now)  # cred.10
        self.lists.require_serial_good(credential.serial)
        issuer = self.anchors.issuer_at(credential.not_before)
        return VerifiedParty(
            role=role,
            identity=statement.identity,
            serial=credential.serial,
            attribute=credential.attribute,
            credential=statement.credential,
            registration_point=statement.registration_point,
            public_point=_public_point(statement, issuer),
            verifying_key=statement.verifying_key,
            issuer_public_key=issuer,
            key_statement=signed,
        )

    def doctor(self, signed: SignedStatement, certificate: bytes, *, now: Instant) -> VerifiedParty:
        """Make CRED(D) and require Cert_D to be legal, this doctor's, and the one in the credential."""
        party = self.party(signed, pb.ROLE_DOCTOR, now=now)  # doctor.1
        if party.attribute != digest(certificate):
            raise CredentialInvalid("the credential was issued for another Cert_D")  # doctor.2
        authority = verify_certificate(  # doctor.3
            certificate,
            authorities=self.anchors.authorities,
            lists=self.lists,
            doctor_id=party.doctor_id,
            verifying_key=party.verifying_key,
            now=now,
        )
        return replace(party, authority_id=authority.authority_id)

    def member(
        self, signed: SignedStatement, role: "pb.Role.ValueType", certificate: bytes, *, now: Instant
    ) -> VerifiedParty:
        """Make CRED(X) for a key statement, and a doctor's with its Cert_D. Raises as `party` and `doctor`.

        Raises CertificateForeign for a Cert_D of somebody who is no doctor.
        """
        if role == pb.ROLE_DOCTOR:
            return self.doctor(signed, certificate, now=now)
        if certificate:
            raise CertificateForeign("only a doctor has a Cert_D")
        return self.party(signed, role, now=now)

    def encryption_key(self, signed: SignedStatement, owner: VerifiedParty, *, now: Instant) -> EncryptionKey:
        """Verify EK_X by PUK_X. Raises Authentication, MalformedMessage."""
        return self._encryption_key(signed, owner.identity, owner.verifying_key, now)

    def cloud_encryption_key(self, signed: SignedStatement, *, now: Instant) -> EncryptionKey:
        """Verify EK_C by the PUK_C that it names. Raises Authentication, MalformedMessage."""
        begun_by = now + milliseconds(self.freshness.skew)
        key = self.anchors.cloud_key_of(peek_statement(EncryptionKeyStatement, signed), now=begun_by)  # ek.1
        return self._encryption_key(signed, self.anchors.cloud_id, key.data, now)

    def restated(self, signed: SignedStatement, own: VerifiedParty, *, now: Instant) -> VerifiedParty:
        """Make CRED(X) for a party's own KS, signed anew by a rotated PRK_C, and require it to say the same as before.

        Raises CredentialInvalid for another credential or key, else as `party`.
        """
        party = self.party(signed, own.role, now=now)  # ekack.3
        if replace(party, key_statement=own.key_statement, authority_id=own.authority_id) != own:
            raise CredentialInvalid("the key statement signed anew is not of this credential and key")  # ekack.4
        return party

    def _encryption_key(self, signed: SignedStatement, owner: str, key: bytes, now: Instant) -> EncryptionKey:
        statement = open_encryption_key(signed, key)
        if statement.identity != owner:
            raise IdentityMismatch("the encryption key is somebody else's")  # ek.6
        self._require_valid(statement.not_before, statement.not_after, now)  # ek.7
        self.lists.require_key_good(statement.key_id)
        return EncryptionKey(owner, statement.key_id, statement.encryption_key, signed)

    def _require_valid(self, not_before: Instant, not_after: Instant, now: Instant) -> None:
        """Require validity; what was stated just now by a clock that is ahead within sigma is valid."""
        if not self.freshness.begun(not_before, now=now) or now >= not_after:
            raise CredentialExpired("outside its validity")


def open_encryption_key(signed: SignedStatement, verifying_key: bytes) -> EncryptionKeyStatement:
    """Verify EK_X by the key that it names and require key id and KEM to fit. Raises Authentication, MalformedMessage."""
    # ek.2
    statement = open_statement("ek", EncryptionKeyStatement, signed, VerifyingKey(verifying_key))
    if statement.verifying_key_digest != digest(verifying_key):
        raise CredentialInvalid("the encryption key names another verifying key")  # ek.3
    if statement.kem != KEM_ID or statement.key_id != key_id_of(statement.encryption_key):
        raise CredentialInvalid("the encryption key is not of its key id and KEM")  # ek.4
    try:
        require_encryption_key(statement.encryption_key)
    except SealBroken as error:
        raise CredentialInvalid("nothing can be sealed to the encryption key") from error  # ek.5
    return statement


def _public_point(statement: KeyStatement, issuer_public_key: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return public_point(statement.registration_point, issuer_public_key, statement.credential)
    except InvalidPoint as error:
        raise PointInvalid("U_X is not a point that a party can have") from error  # cred.13


def _require_agreement(statement: KeyStatement, credential: Credential, role: "pb.Role.ValueType") -> None:
    if not (statement.role == credential.role == role):
        raise CredentialInvalid("the credential is for another role")  # cred.4
    if statement.identity != credential.identity:
        raise CredentialInvalid("the credential is another identity's")  # cred.5
    if credential.verifying_key_digest != digest(statement.verifying_key):
        raise CredentialInvalid("the credential is for another key")  # cred.6
    if statement.identity[:2] != _PREFIXES[role]:
        raise CredentialInvalid("the identity is not of this role")  # cred.7


_PREFIXES = {pb.ROLE_PATIENT: PATIENT, pb.ROLE_DOCTOR: DOCTOR, pb.ROLE_HOSPITAL: HOSPITAL}


def role_of(identity: str, roles: Sequence["pb.Role.ValueType"]) -> "pb.Role.ValueType":
    """Return which of these roles an identity is of. Raises CredentialInvalid for none of them."""
    for role in roles:
        if identity.startswith(_PREFIXES[role]):
            return role
    raise CredentialInvalid("the identity is not of a role that may send this")
