"""Registering with the public cloud (Chen et al. 2020, eq. 2-10), for hospitals, doctors and patients alike.

The ticket for it, 16 bytes, is shown once, at an enrolment desk or by the cloud's operator, as text and as QR, and typed or
scanned elsewhere; the text ends with a check, so that what is mistyped is refused where it is typed. A member registers again by
itself: before its credential ends, when its PK or its own key is rotated (ADR 18).

A crash between the cloud's commit and the import of S_X would leave a party that is registered and can't act. So reg1 is kept
until its answer is taken: the cloud gives the same answer to the same reg1 for 10 minutes.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from federation.errors import FederationError, Rejected, TicketInvalid, Unavailable
from federation.party.cloud_client import CloudClient
from federation.party.hand_over import HandOverAwaited
from federation.party.member import Member
from federation.protocol.anchors import has_ended
from federation.protocol.registration import Applicant, AwaitingCredential, attribute_of
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.v1.directory_pb2 import KeyPeriod
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import Credential, EncryptionKeyStatement, KeyStatement, Role
from keystore.errors import EpochKeyUnknown, GenerationUnknown, SealBroken
from keystore.generations import State
from keystore.signatures import SigningKey

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Before each repetition of a reg1 whose answer was lost."""

ANSWER_KEPT = timedelta(minutes=10)
"""How long the cloud repeats its answer to the same reg1."""

RENEWED_BEFORE_END = timedelta(days=30)
"""How long before its credential ends a member registers again."""

SPREAD = timedelta(days=1)
"""Over how long the members of a federation spread their renewals after a rotation of s, each at a moment of its own."""

TICKET_BYTES = 16
_TICKET_LETTERS = 28
"""35 of each 40 bits: the ticket's 128, and the first 12 of its SHA-256."""
_GROUP = 4

Pause = Callable[[float], None]


def ticket_text(ticket: bytes) -> str:
    """Write a ticket and the first 12 bits of its SHA-256 in base32 (RFC 4648, section 6), in groups of four: `ABCD-EFGH-...`."""
    letters = base64.b32encode(ticket + hashlib.sha256(ticket).digest()[:2]).decode()[:_TICKET_LETTERS]
    return "-".join(letters[start : start + _GROUP] for start in range(0, _TICKET_LETTERS, _GROUP))


def parse_ticket(text: str) -> bytes:
    """Read a ticket; case, white space and dashes are no part of it. Raises TicketInvalid."""
    letters = "".join(text.upper().replace("-", " ").split())
    try:
        # The last letter that is not written completes 18 bytes, of which the ticket is the first 16.
        ticket = base64.b32decode(f"{letters}A===")[:TICKET_BYTES]
    except (binascii.Error, ValueError) as error:
        raise TicketInvalid("this is no ticket: it has 28 letters and digits, in groups of four") from error
    if len(ticket) != TICKET_BYTES or ticket_text(ticket).replace("-", "") != letters:
        raise TicketInvalid("this ticket is mistyped: look at it again, all 28 letters and digits")
    return ticket


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

    Raises the cloud's refusal, Rejected for a false answer, CredentialMismatch if S_X fails its test in the token,
    HandOverAwaited if the token takes S_X by its maker's tool alone. The party is registered when this returns; what was
    cut short goes on if it is called again within 10 minutes.
    """
    cloud.refresh(member)
    member.require_none_awaited(cloud.clock())
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
    current: SigningKey | None = None,
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


class Due(StrEnum):
    """Why a member registers again."""

    IDENTITY_ROTATED = "its identity key was rotated"
    ISSUER_TAINTED = "its PK is tainted"
    ISSUER_RETIRED = "its PK is retired"
    ENDING = "its credential ends soon"


def renewal_due(member: Member, now: Instant) -> Due | None:
    """Return why this member should register again now, if it should. Raises NotRegistered."""
    statement = peek_statement(KeyStatement, member.key_statement)
    credential = Credential.FromString(statement.credential)
    if member.keys.signing_key.verifying_key.data != statement.verifying_key:
        return Due.IDENTITY_ROTATED
    issuers = member.anchors.issuers
    issuer = issuers.at(credential.not_before)
    if issuer is not None:
        state = issuers.state(issuer.verifying_key, now=now)
        if state is State.TAINTED:
            return Due.ISSUER_TAINTED
        if state is State.RETIRED and _is_turn(issuer, member.identity, now):
            return Due.ISSUER_RETIRED
    if credential.not_after - milliseconds(RENEWED_BEFORE_END) <= now:
        return Due.ENDING
    return None


def restatement_due(member: Member, now: Instant) -> bool:
    """Return whether the PRK_C behind this member's KS can't be relied on any more: then one signed anew is needed at once."""
    cloud_keys = member.anchors.cloud_keys
    signer = cloud_keys.at(peek_statement(KeyStatement, member.key_statement).stated_at)
    return signer is not None and cloud_keys.state(signer.verifying_key, now=now) in {State.TAINTED, State.REVOKED}


def renew_registration(
    member: Member, cloud: CloudClient, evidence: bytes, *, certificate: bytes = b"", pause: Pause = time.sleep
) -> VerifiedParty:
    """Register this member again, by its live PRK_X in place of a ticket; evidence and certificate as for `register`.

    Raises NotRegistered, the cloud's refusal (among others of a licence or B_P that isn't the registered one), Unavailable.
    What was cut short goes on when it is called again.
    """
    role = peek_statement(KeyStatement, member.key_statement).role
    cloud.refresh(member)
    member.require_none_awaited(cloud.clock())
    taken = resume(member, cloud, evidence, certificate, pause)
    if taken is not None:
        return taken
    first, *others = _maybe_live(member)
    try:
        return apply(member, cloud, role, evidence, None, certificate=certificate, current=first, pause=pause)
    except Rejected:
        if not others:
            raise
    # The cloud may have taken an earlier reg1 whose answer nobody can have any more: then the newer key is the live one.
    return apply(member, cloud, role, evidence, None, certificate=certificate, current=others[0], pause=pause)


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
    try:
        member.install(registered, certificate)
    except HandOverAwaited:
        member.keep_request(None)  # its answer is kept
        raise
    member.keep_request(None)
    return registered.party


def _crls(member: Member) -> tuple[bytes, ...]:
    directory = member.directory
    return () if directory is None else tuple(directory.certificate_revocation_lists)


def _maybe_live(member: Member) -> list[SigningKey]:
    """Return the PRK_X that the cloud may hold to be live: of the kept KS, and the active one where it is another."""
    named, active = member.signing_key, member.keys.signing_key
    same = named.verifying_key.data == active.verifying_key.data
    return [named] if same else [named, active]


def _is_turn(issuer: KeyPeriod, identity: str, now: Instant) -> bool:
    """Spread what everybody does after a rotation: each member has its own part of the day, the same one at every try."""
    share = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") / 2**32
    return has_ended(issuer, now - int(milliseconds(SPREAD) * share))
