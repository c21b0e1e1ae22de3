"""The cloud's side, up to its decision: reg1 is opened and checked."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from federation.errors import (
    AlreadyRegistered,
    AttributeChanged,
    ChallengeInvalid,
    CredentialInvalid,
    FieldInvalid,
    IdentityMismatch,
    NotRegistered,
    TicketInvalid,
)
from federation.protocol.doctor_certificate import verify_certificate
from federation.protocol.registration.answer import AcceptedRequest
from federation.protocol.registration.transcripts import attribute_of, renewal_transcript, request_transcript
from federation.protocol.sealing import UNNAMED, Context, Opened, after_opening, open_payload, require_session_id
from federation.protocol.sealing import find_key_of_any_age as find_key
from federation.protocol.statements import verify_signature
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty, Verifier, open_encryption_key
from federation.v1 import statement_pb2 as pb
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import SignedStatement
from keystore.encryption import Keyring
from keystore.identities import DOCTOR, HOSPITAL, PATIENT
from keystore.transcript import digest

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
        """Give H(reg1 plaintext)."""
        return digest(self.opened.plaintext)

    def accept(
        self,
        verifier: Verifier,
        *,
        challenge_holds: bool,
        ticket: TicketTerms | None,
        live: LiveRegistration | None,
        now: Instant,
    ) -> AcceptedRequest:
        """Check the request in the protocol's order; `live` is the identity's. Raises StaleMessage precisely, else Rejected."""
        verifier.freshness.require(self.sent_at, now=now)
        with after_opening():
            return self._checked(verifier, challenge_holds, ticket, live, now)

    def _checked(
        self,
        verifier: Verifier,
        challenge_holds: bool,
        ticket: TicketTerms | None,
        live: LiveRegistration | None,
        now: Instant,
    ) -> AcceptedRequest:
        request = self.opened.payload
        if not challenge_holds or request.challenge != self.session_id:
            raise ChallengeInvalid("the challenge is unknown, used or too old")
        if request.identity[:2] != _PREFIXES[request.role]:
            raise FieldInvalid("the identity is not of the role asked for")
        renewed = _require_entitled(request, ticket, live, verifier, now)
        signed = request_transcript(request, verifier.anchors.cloud_id)
        verify_signature(Ed25519PublicKey.from_public_bytes(request.verifying_key), request.signature, signed)
        statement = open_encryption_key(request.encryption_key_statement, request.verifying_key)
        if statement.identity != request.identity or not statement.not_before <= now < statement.not_after:
            raise CredentialInvalid("the encryption key is another's, or outside its validity")
        if live is not None and renewed is None:
            raise AlreadyRegistered("the identity has a live registration")
        return AcceptedRequest(request, statement, self.digest, self.session_id, verifier.anchors, renewed)


def receive_request(opening: SealedOpening, keyring: Keyring, cloud_id: str) -> ReceivedRequest:
    """Open reg1. Raises precise errors for clear fields but age, Rejected for anything after opening."""
    key = find_key(opening, keyring)
    require_session_id(opening, size=16)
    with after_opening():
        context = Context("reg1", UNNAMED, cloud_id, key.key_id, opening.session_id, opening.sent_at)
        opened = open_payload(RegistrationRequest, opening.sealed, key, context)
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
        raise FieldInvalid("a biometric password has 32 bytes")
    if request.role == pb.ROLE_DOCTOR:
        verify_certificate(
            request.evidence,
            authorities=verifier.anchors.authorities,
            lists=verifier.lists,
            doctor_id=request.identity,
            verifying_key=request.verifying_key,
            now=now,
        )
    if request.HasField("current_signature"):
        return _renewed(request, live, verifier, now)
    if request.role != pb.ROLE_DOCTOR and (
        ticket is None or (ticket.role, ticket.identity) != (request.role, request.identity)
    ):
        raise TicketInvalid("no ticket lets this identity register")
    return None


def _renewed(
    request: RegistrationRequest, live: LiveRegistration | None, verifier: Verifier, now: Instant
) -> VerifiedParty:
    """Require the live registration's own PRK_X to ask, for the same role, identity and attribute; a doctor's Cert_D may change.

    A credential that is revoked, or whose PK is, speaks for nothing: CRED is made for it as for anybody's.
    """
    if request.HasField("ticket"):
        raise FieldInvalid("a request renews a registration or has a ticket, not both")
    if live is None:
        raise NotRegistered("the identity has no live registration to renew")
    party = verifier.party(live.key_statement, request.role, now=now)
    if party.identity != request.identity:
        raise IdentityMismatch("the live registration is another identity's")
    verify_signature(party.key, request.current_signature, renewal_transcript(request, verifier.anchors.cloud_id))
    if request.role != pb.ROLE_DOCTOR and party.attribute != attribute_of(request.role, request.evidence):
        raise AttributeChanged("the biometric password or the licence is not the one registered")
    return party
