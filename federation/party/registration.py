"""Registering with the public cloud (Chen et al. 2020, eq. 2-10), for hospitals, doctors and patients alike.

A crash between the cloud's commit and the import of S_X would leave a party that is registered and can't act. So reg1 is kept
until its answer is taken: the cloud gives the same answer to the same reg1 for 10 minutes.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import FederationError, Unavailable
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.protocol.registration import Applicant, AwaitingCredential, Registered, attribute_of
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import EncryptionKeyStatement, Role
from keystore.errors import EpochKeyUnknown, GenerationUnknown, SealBroken

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Before each repetition of a reg1 whose answer was lost."""

ANSWER_KEPT = timedelta(minutes=10)
"""How long the cloud repeats its answer to the same reg1."""

Pause = Callable[[float], None]


def register(
    member: Member,
    cloud: CloudClient,
    role: "Role.ValueType",
    evidence: bytes,
    ticket: bytes | None,
    *,
    certificate: bytes = b"",
    pause: Pause = time.sleep,
) -> VerifiedParty:
    """Register this member: B_P, Cert_D or a licence as evidence, a ticket unless a doctor (whose `certificate` is kept).

    Raises the cloud's refusal, Rejected for a false answer, CredentialMismatch if S_X fails its test in the token. The
    party is registered when this returns; what was cut short goes on if it is called again within 10 minutes.
    """
    cloud.refresh(member)
    taken = resume(member, cloud, evidence, certificate, pause)
    if taken is not None:
        return taken
    return apply(member, cloud, role, evidence, ticket, certificate=certificate, pause=pause)


def apply(
    member: Member,
    cloud: CloudClient,
    role: "Role.ValueType",
    evidence: bytes,
    ticket: bytes | None,
    *,
    certificate: bytes,
    current: Ed25519PrivateKey | None = None,
    pause: Pause,
) -> VerifiedParty:
    """Send a new reg1 and take its answer. Raises as `register`."""
    opened = cloud.open_registration()
    now = cloud.clock()
    key = member.verifier().cloud_encryption_key(opened.cloud_encryption_key_statement, now=now)
    applicant = member.applicant(role, evidence, ticket, now=now, current=current)
    awaiting, opening = applicant.apply(opened.challenge, key, now=now)
    under_way = _UnderWay(opening, awaiting.request, awaiting.request_digest, attribute_of(role, evidence))
    member.keep_request(under_way.to_bytes())
    return _taken(member, cloud, awaiting, _answer(member, cloud, opening, pause), certificate)


def resume(
    member: Member, cloud: CloudClient, evidence: bytes, certificate: bytes, pause: Pause = time.sleep
) -> VerifiedParty | None:
    """Take the answer to a reg1 that an earlier run sent, if there is one that the cloud may still repeat.

    None if there is none, or the cloud never took it. Raises Unavailable, and as `register` for what is wrong with the answer.
    """
    try:
        under_way = _UnderWay.of(member)
        if under_way is None or under_way.is_over(cloud.clock()) or not under_way.is_for(evidence):
            return None
        awaiting = under_way.awaiting(member, evidence)
    except (SealBroken, EpochKeyUnknown, GenerationUnknown):
        return None  # another token's, or of keys that ended
    try:
        reply = _answer(member, cloud, under_way.opening, pause)
    except Unavailable:
        raise
    except FederationError:
        return None
    return _taken(member, cloud, awaiting, reply, certificate)


@dataclass(frozen=True)
class _UnderWay:
    """A reg1 that is sent. Its evidence is not kept, for a patient's is never written down: it is given again.

    `attribute` is the credential's: by it other evidence is known, such as a doctor's newer certificate.
    """

    opening: SealedOpening
    request: RegistrationRequest
    request_digest: bytes
    attribute: bytes

    def to_bytes(self) -> bytes:
        request = RegistrationRequest()
        request.CopyFrom(self.request)
        request.ClearField("evidence")
        opening = self.opening.SerializeToString(deterministic=True)
        return b"".join(
            (
                self.request_digest,
                self.attribute,
                len(opening).to_bytes(4, "big"),
                opening,
                request.SerializeToString(deterministic=True),
            )
        )

    @classmethod
    def of(cls, member: Member) -> "_UnderWay | None":
        kept = member.request_under_way
        if kept is None:
            return None
        request_digest, attribute, size, rest = kept[:32], kept[32:64], int.from_bytes(kept[64:68], "big"), kept[68:]
        opening, request = SealedOpening.FromString(rest[:size]), RegistrationRequest.FromString(rest[size:])
        return cls(opening, request, request_digest, attribute)

    def is_for(self, evidence: bytes) -> bool:
        return hmac.compare_digest(attribute_of(self.request.role, evidence), self.attribute)

    def is_over(self, now: Instant) -> bool:
        return now >= self.request.sent_at + milliseconds(ANSWER_KEPT)

    def awaiting(self, member: Member, evidence: bytes) -> AwaitingCredential:
        request = RegistrationRequest()
        request.CopyFrom(self.request)
        request.evidence = evidence
        statement = request.encryption_key_statement
        applicant = Applicant(
            role=request.role,
            identity=request.identity,
            evidence=evidence,
            ticket=request.ticket or None,
            signing_key=member.keys.signing_key_for(request.verifying_key),
            decryption_key=member.epochs.find(peek_statement(EncryptionKeyStatement, statement).key_id),
            encryption_key_statement=statement,
        )
        return AwaitingCredential(applicant, request.challenge, request, self.request_digest)


def _answer(member: Member, cloud: CloudClient, opening: SealedOpening, pause: Pause) -> SealedReply:
    """Send the same reg1 until it is answered. One that is refused is over, one whose answer is lost may be taken later."""
    try:
        for seconds in PAUSES_SECONDS:
            try:
                return cloud.send_registration(opening)
            except Unavailable as error:
                pause(max(seconds, error.retry_after.total_seconds()))
        return cloud.send_registration(opening)
    except Unavailable:
        raise
    except FederationError:
        member.keep_request(None)
        raise


def _taken(
    member: Member, cloud: CloudClient, awaiting: AwaitingCredential, reply: SealedReply, certificate: bytes
) -> VerifiedParty:
    registered = awaiting.receive(reply, member.anchors, _crls(member), member.freshness, now=cloud.clock())
    party = _installed(member, registered, certificate)
    member.keep_request(None)
    return party


def _crls(member: Member) -> tuple[bytes, ...]:
    directory = member.directory
    return () if directory is None else tuple(directory.certificate_revocation_lists)


def _installed(member: Member, registered: Registered, certificate: bytes) -> VerifiedParty:
    try:
        member.install(registered, certificate)
    finally:
        registered.registration_secret[:] = bytes(len(registered.registration_secret))
    return registered.party
