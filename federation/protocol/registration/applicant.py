"""The applicant's side: reg1 is sent, reg2 is checked."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import CredentialInvalid, IdentityMismatch, SessionUnknown
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.parsing import check, parse
from federation.protocol.registration.transcripts import (
    answer_transcript,
    attribute_of,
    renewal_transcript,
    request_transcript,
)
from federation.protocol.sealing import UNNAMED, Context, after_opening, open_payload, seal_opening
from federation.protocol.statements import verify_signature
from federation.protocol.time import Freshness, Instant
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier
from federation.v1 import statement_pb2 as pb
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.registration_pb2 import RegistrationAnswer, RegistrationRequest
from federation.v1.statement_pb2 import Credential, SignedStatement
from keystore.encryption import DecryptionKey
from keystore.errors import CredentialMismatch, InvalidPoint
from keystore.issuing import check_issued
from keystore.transcript import digest


@dataclass(frozen=True, repr=False)
class Applicant:
    """Who asks to be registered, with what: B_P, Cert_D or a licence as `evidence`; a ticket unless a doctor.

    A member that registers again by itself has the PRK_X of its live registration as `current`, and no ticket.
    """

    role: "pb.Role.ValueType"
    identity: str
    evidence: bytes
    ticket: bytes | None
    signing_key: Ed25519PrivateKey
    decryption_key: DecryptionKey
    encryption_key_statement: SignedStatement
    current: Ed25519PrivateKey | None = None

    def apply(
        self, challenge: bytes, cloud_key: EncryptionKey, *, now: Instant
    ) -> "tuple[AwaitingCredential, SealedOpening]":
        """Send reg1."""
        request = RegistrationRequest(
            role=self.role,
            identity=self.identity,
            evidence=self.evidence,
            verifying_key=self.signing_key.public_key().public_bytes_raw(),
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
        check(reply)
        if reply.session_id != self.challenge:
            raise SessionUnknown("the answer belongs to another registration")
        with after_opening():
            return self._accept(reply, anchors, crls, freshness, now)

    def _accept(
        self, reply: SealedReply, anchors: Anchors, crls: tuple[bytes, ...], freshness: Freshness, now: Instant
    ) -> Registered:
        own = self.applicant
        key = own.decryption_key
        context = Context("reg2", anchors.cloud_id, own.identity, key.key_id, self.challenge, reply.sent_at)
        answer = open_payload(RegistrationAnswer, reply.sealed, key, context).payload
        freshness.require_not_future(answer.sent_at, now=now)
        credential = parse(Credential, answer.credential)
        self._require_own_data(credential)
        secret = bytearray(answer.registration_secret)
        point = self._check_equation(answer, anchors.issuer_at(credential.not_before))
        signed = answer_transcript(self.request_digest, answer, point)
        verify_signature(anchors.cloud_key_at(answer.sent_at), answer.signature, signed)
        lists = Lists.read(anchors, answer.revocation_list, crls)
        party = Verifier(anchors, lists, freshness).party(answer.key_statement, own.role, now=now)
        if party.credential != answer.credential or party.registration_point != answer.registration_point:
            raise IdentityMismatch("the key statement is of another credential")
        return Registered(party, secret, lists)

    def _require_own_data(self, credential: Credential) -> None:
        own = self.request
        expected = own.role, own.identity, attribute_of(own.role, own.evidence), digest(own.verifying_key)
        issued = credential.role, credential.identity, credential.attribute, credential.verifying_key_digest
        if expected != issued:
            raise CredentialInvalid("the credential does not hold what was asked for")

    def _check_equation(self, answer: RegistrationAnswer, issuer_public_key: bytes) -> bytes:
        try:
            signature = answer.registration_point + answer.registration_secret
            return check_issued(issuer_public_key, answer.credential, signature)
        except (CredentialMismatch, InvalidPoint) as error:
            raise CredentialInvalid("(R_X1, S_X) does not satisfy eq. 4, 7, 10") from error
