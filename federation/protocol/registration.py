"""Registration, Chen et al. 2020, eq. 2-10: both sides.

reg1  X proves possession of PRK_X over the cloud's challenge and says who it is; a ticket, or Cert_D, says that it may (A2, A3).
      A member registers again by itself when its PK is rotated or its credential runs out: its live PRK_X says that it may.
reg2  The cloud signs M_X with s in its token: (R_X1, S_X); it states X's keys (KS_X), and X checks eq. 4, 7 or 10.
"""

from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from federation.errors import (
    AlreadyRegistered,
    AttributeChanged,
    ChallengeInvalid,
    CredentialInvalid,
    FieldInvalid,
    IdentityMismatch,
    NotRegistered,
    SessionUnknown,
    TicketInvalid,
)
from federation.protocol.anchors import Anchors, Lists, read_excerpt
from federation.protocol.doctor_certificate import verify_certificate
from federation.protocol.parsing import check, parse
from federation.protocol.sealing import (
    UNNAMED,
    Context,
    Opened,
    after_opening,
    open_payload,
    require_session_id,
    seal_opening,
    seal_reply,
)
from federation.protocol.sealing import find_key_of_any_age as find_key
from federation.protocol.statements import ROLE_NAMES, sign_statement, verify_signature
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier, open_encryption_key
from federation.v1 import statement_pb2 as pb
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.registration_pb2 import RegistrationAnswer, RegistrationRequest
from federation.v1.statement_pb2 import (
    Credential,
    EncryptionKeyStatement,
    KeyStatement,
    RevocationExcerpt,
    SignedStatement,
)
from keystore.curve import x_of
from keystore.encryption import DecryptionKey, Keyring
from keystore.errors import CredentialMismatch, InvalidPoint
from keystore.identities import DOCTOR, HOSPITAL, PATIENT, DoctorId
from keystore.issuing import Issued, check_issued
from keystore.signatures import SigningKey, VerifyingKey
from keystore.transcript import digest, text, transcript, u64


def attribute_of(role: "pb.Role.ValueType", evidence: bytes) -> bytes:
    """Return the credential's attribute: H(T("bp", B_P)) of a patient, H(Cert_D) or H(licence) of the others."""
    return digest(transcript("bp", evidence)) if role == pb.ROLE_PATIENT else digest(evidence)


def request_transcript(request: RegistrationRequest, cloud_id: str) -> bytes:
    """Return what reg1's signature covers: its fields, and the cloud."""
    return transcript(
        "reg1",
        text(ROLE_NAMES[request.role]),
        text(request.identity),
        request.evidence,
        request.verifying_key,
        request.encryption_key_statement.statement,
        request.ticket,
        request.challenge,
        u64(request.sent_at),
        text(cloud_id),
    )


def renewal_transcript(request: RegistrationRequest, cloud_id: str) -> bytes:
    """Return what the live PRK_X covers where a member registers again by itself: T("renew", the transcript of reg1)."""
    return transcript("renew", request_transcript(request, cloud_id))


def answer_transcript(
    request_digest: bytes, answer: RegistrationAnswer, public_point: ec.EllipticCurvePublicKey
) -> bytes:
    """Return what reg2's signature covers: T("reg2", H(reg1 plaintext), M_X, R_X1, x(U_X), T)."""
    issued = answer.credential, answer.registration_point, x_of(public_point)
    return transcript("reg2", request_digest, *issued, u64(answer.sent_at))


@dataclass(frozen=True, repr=False)
class Applicant:
    """Who asks to be registered, with what: B_P, Cert_D or a licence as `evidence`; a ticket unless a doctor.

    A member that registers again by itself has the PRK_X of its live registration as `current`, and no ticket.
    """

    role: "pb.Role.ValueType"
    identity: str
    evidence: bytes
    ticket: bytes | None
    signing_key: SigningKey
    decryption_key: DecryptionKey
    encryption_key_statement: SignedStatement
    current: SigningKey | None = None

    def apply(
        self, challenge: bytes, cloud_key: EncryptionKey, *, now: Instant
    ) -> "tuple[AwaitingCredential, SealedOpening]":
        """Send reg1."""
        request = RegistrationRequest(
            role=self.role,
            identity=self.identity,
            evidence=self.evidence,
            verifying_key=self.signing_key.verifying_key.data,
            encryption_key_statement=self.encryption_key_statement,
            challenge=challenge,
            sent_at=now,
        )
        if self.ticket is not None:
            request.ticket = self.ticket
        request.signature = self.signing_key.sign(request_transcript(request, cloud_key.owner))
        if self.current is not None:
            request.current_signature = self.current.sign(renewal_transcript(request, cloud_key.owner))
        context = Context("reg1", UNNAMED, cloud_key.owner, cloud_key.key_id, challenge, now)
        opening, plaintext = seal_opening(request, cloud_key.encryption_key, context)
        return AwaitingCredential(self, challenge, request, digest(plaintext)), opening


@dataclass(frozen=True)
class Registered:
    """reg2 held, eq. 4/7/10 among it. Import S_X into the token, test it there, and wipe it."""

    party: VerifiedParty
    registration_secret: bytearray
    lists: Lists

    def __repr__(self) -> str:
        return f"Registered(identity={self.party.identity!r}, registration_secret=32 bytes)"


@dataclass(frozen=True, repr=False)
class AwaitingCredential:
    """reg1 is sent."""

    applicant: Applicant
    challenge: bytes
    request: RegistrationRequest
    request_digest: bytes

    def receive(
        self, reply: SealedReply, anchors: Anchors, crls: tuple[bytes, ...], freshness: Freshness, *, now: Instant
    ) -> Registered:
        """Take reg2. Raises precise errors for clear fields, Rejected for anything after opening."""
        check(reply)  # reg2.1
        if reply.session_id != self.challenge:
            raise SessionUnknown("the answer belongs to another registration")  # reg2.2
        with after_opening():
            return self._accept(reply, anchors, crls, freshness, now)

    def _accept(
        self, reply: SealedReply, anchors: Anchors, crls: tuple[bytes, ...], freshness: Freshness, now: Instant
    ) -> Registered:
        own = self.applicant
        key = own.decryption_key
        context = Context("reg2", anchors.cloud_id, own.identity, key.key_id, self.challenge, reply.sent_at)
        answer = open_payload(RegistrationAnswer, reply.sealed, key, context).payload  # reg2.3
        freshness.require_not_future(answer.sent_at, now=now)  # reg2.4
        credential = parse(Credential, answer.credential)  # reg2.5
        self._require_own_data(credential)
        secret = bytearray(answer.registration_secret)
        point = self._check_equation(answer, anchors.issuer_at(credential.not_before))  # reg2.7
        signed = answer_transcript(self.request_digest, answer, point)
        verify_signature(anchors.cloud_key_at(answer.sent_at), answer.signature, signed)  # reg2.9, reg2.10
        lists = read_excerpt(anchors, answer.revocations, crls)  # reg2.11
        party = Verifier(anchors, lists, freshness).party(answer.key_statement, own.role, now=now)  # reg2.12
        if party.credential != answer.credential or party.registration_point != answer.registration_point:
            raise IdentityMismatch("the key statement is of another credential")  # reg2.13
        return Registered(party, secret, lists)

    def _require_own_data(self, credential: Credential) -> None:
        own = self.request
        expected = own.role, own.identity, attribute_of(own.role, own.evidence), digest(own.verifying_key)
        issued = credential.role, credential.identity, credential.attribute, credential.verifying_key_digest
        if expected != issued:
            raise CredentialInvalid("the credential does not hold what was asked for")  # reg2.6

    def _check_equation(self, answer: RegistrationAnswer, issuer_public_key: bytes) -> ec.EllipticCurvePublicKey:
        try:
            signature = answer.registration_point + answer.registration_secret
            return check_issued(issuer_public_key, answer.credential, signature)
        except (CredentialMismatch, InvalidPoint) as error:
            raise CredentialInvalid("(R_X1, S_X) does not satisfy eq. 4, 7, 10") from error  # reg2.8


_PREFIXES = {pb.ROLE_PATIENT: PATIENT, pb.ROLE_DOCTOR: DOCTOR, pb.ROLE_HOSPITAL: HOSPITAL}


@dataclass(frozen=True)
class TicketTerms:
    """Whom a ticket is for, as the cloud keeps it."""

    role: "pb.Role.ValueType"
    identity: str


@dataclass(frozen=True)
class LiveRegistration:
    """The registration of an identity that holds now, as the cloud keeps it."""

    key_statement: SignedStatement


@dataclass(frozen=True, repr=False)
class ReceivedRequest:
    """reg1 is open; nothing in it is checked yet. If H(plaintext) was answered within 10 minutes, give that answer again."""

    opened: Opened[RegistrationRequest]
    sent_at: Instant
    session_id: bytes

    @property
    def digest(self) -> bytes:
        """Return H(reg1 plaintext)."""
        return digest(self.opened.plaintext)

    def accept(
        self,
        verifier: Verifier,
        *,
        challenge_holds: bool,
        ticket: TicketTerms | None,
        live: LiveRegistration | None,
        now: Instant,
    ) -> "AcceptedRequest":
        """Check the request in the protocol's order; `live` is the identity's. Raises StaleMessage precisely, else Rejected."""
        verifier.freshness.require(self.sent_at, now=now)  # reg1.3
        with after_opening():
            return self._checked(verifier, challenge_holds, ticket, live, now)

    def _checked(
        self,
        verifier: Verifier,
        challenge_holds: bool,
        ticket: TicketTerms | None,
        live: LiveRegistration | None,
        now: Instant,
    ) -> "AcceptedRequest":
        request = self.opened.payload
        if not challenge_holds or request.challenge != self.session_id:
            raise ChallengeInvalid("the challenge is unknown, used or too old")  # reg1.4
        if request.identity[:2] != _PREFIXES[request.role]:
            raise FieldInvalid("the identity is not of the role asked for")  # reg1.5
        renewed = _require_entitled(request, ticket, live, verifier, now)
        signed = request_transcript(request, verifier.anchors.cloud_id)
        # reg1.15
        verify_signature(VerifyingKey(request.verifying_key), request.signature, signed)
        statement = open_encryption_key(request.encryption_key_statement, request.verifying_key)  # reg1.16
        if statement.identity != request.identity or not statement.not_before <= now < statement.not_after:
            raise CredentialInvalid("the encryption key is another's, or outside its validity")  # reg1.17
        if live is not None and renewed is None:
            raise AlreadyRegistered("the identity has a live registration")  # reg1.18
        return AcceptedRequest(request, statement, self.digest, self.session_id, verifier.anchors, renewed)


def receive_request(opening: SealedOpening, keyring: Keyring, cloud_id: str) -> ReceivedRequest:
    """Open reg1. Raises precise errors for clear fields but age, Rejected for anything after opening."""
    key = find_key(opening, keyring)  # reg1.1
    require_session_id(opening, size=16)
    with after_opening():
        context = Context("reg1", UNNAMED, cloud_id, key.key_id, opening.session_id, opening.sent_at)
        opened = open_payload(RegistrationRequest, opening.sealed, key, context)  # reg1.2
    return ReceivedRequest(opened, opening.sent_at, opening.session_id)


def _require_entitled(
    request: RegistrationRequest,
    ticket: TicketTerms | None,
    live: LiveRegistration | None,
    verifier: Verifier,
    now: Instant,
) -> VerifiedParty | None:
    """Require Cert_D, a ticket, or a live PRK_X that speaks for the request; give whose registration is renewed, if one is."""
    if request.role == pb.ROLE_PATIENT and len(request.evidence) != 32:
        raise FieldInvalid("a biometric password has 32 bytes")  # reg1.6
    if request.role == pb.ROLE_DOCTOR:
        verify_certificate(  # reg1.7
            request.evidence,
            authorities=verifier.anchors.authorities,
            lists=verifier.lists,
            doctor_id=DoctorId(request.identity),
            verifying_key=request.verifying_key,
            now=now,
        )
    if request.HasField("current_signature"):
        return _renewed(request, live, verifier, now)
    if request.role != pb.ROLE_DOCTOR and (
        ticket is None or (ticket.role, ticket.identity) != (request.role, request.identity)
    ):
        raise TicketInvalid("no ticket lets this identity register")  # reg1.14
    return None


def _renewed(
    request: RegistrationRequest, live: LiveRegistration | None, verifier: Verifier, now: Instant
) -> VerifiedParty:
    """Require the live registration's own PRK_X to ask, for the same role, identity and attribute; a doctor's Cert_D may change.

    A credential that is revoked, or whose PK is, speaks for nothing: CRED is made for it as for anybody's.
    """
    if request.HasField("ticket"):
        raise FieldInvalid("a request renews a registration or has a ticket, not both")  # reg1.8
    if live is None:
        raise NotRegistered("the identity has no live registration to renew")  # reg1.9
    party = verifier.party(live.key_statement, request.role, now=now)  # reg1.10
    if party.identity != request.identity:
        raise IdentityMismatch("the live registration is another identity's")  # reg1.11
    # reg1.12
    verify_signature(party.key, request.current_signature, renewal_transcript(request, verifier.anchors.cloud_id))
    if request.role != pb.ROLE_DOCTOR and party.attribute != attribute_of(request.role, request.evidence):
        raise AttributeChanged("the biometric password or the licence is not the one registered")  # reg1.13
    return party


CREDENTIAL_LIFE = timedelta(days=365)


@dataclass(frozen=True, repr=False)
class AcceptedRequest:
    """reg1 held. Reserve a serial, sign the credential with s, then answer.

    `renewed` is the party whose live registration this one replaces, or None for an identity that had none.
    """

    request: RegistrationRequest
    encryption_key: EncryptionKeyStatement
    request_digest: bytes
    session_id: bytes
    anchors: Anchors
    renewed: VerifiedParty | None

    def credential(self, serial: bytes, *, now: Instant, life: timedelta = CREDENTIAL_LIFE) -> bytes:
        """Build M_X around a fresh serial. Its bytes are what s signs."""
        request = self.request
        credential = Credential(
            role=request.role,
            serial=serial,
            identity=request.identity,
            attribute=attribute_of(request.role, request.evidence),
            verifying_key_digest=digest(request.verifying_key),
            not_before=now,
            not_after=now + milliseconds(life),
        )
        check(credential)
        return credential.SerializeToString(deterministic=True)

    def answer(
        self,
        credential: bytes,
        issued: Issued,
        cloud_signing_key: SigningKey,
        revocations: RevocationExcerpt,
        *,
        now: Instant,
    ) -> tuple[SignedStatement, SealedReply]:
        """State X's keys (KS_X) and seal reg2; `revocations` hold the shard of its serial. The caller wipes S_X afterwards."""
        key_statement = self._key_statement(credential, issued, cloud_signing_key, now)
        answer = RegistrationAnswer(
            credential=credential,
            registration_point=issued.registration_point,
            registration_secret=bytes(issued.registration_secret),
            key_statement=key_statement,
            revocations=revocations,
            sent_at=now,
        )
        answer.signature = cloud_signing_key.sign(answer_transcript(self.request_digest, answer, issued.public_point))
        key = self.encryption_key
        context = Context("reg2", self.anchors.cloud_id, self.request.identity, key.key_id, self.session_id, now)
        return key_statement, seal_reply(answer, key.encryption_key, context)

    def _key_statement(
        self, credential: bytes, issued: Issued, cloud_signing_key: SigningKey, now: Instant
    ) -> SignedStatement:
        validity = parse(Credential, credential)
        statement = KeyStatement(
            role=self.request.role,
            identity=self.request.identity,
            credential=credential,
            registration_point=issued.registration_point,
            verifying_key=self.request.verifying_key,
            not_before=validity.not_before,
            not_after=validity.not_after,
            stated_at=now,
        )
        return sign_statement("ks", statement, cloud_signing_key)


def restate(key_statement: KeyStatement, cloud_signing_key: SigningKey, *, now: Instant) -> SignedStatement:
    """Sign KS_X anew by the PRK_C that is active now: the same in everything but the time of its signing."""
    statement = KeyStatement()
    statement.CopyFrom(key_statement)
    statement.stated_at = now
    return sign_statement("ks", statement, cloud_signing_key)
