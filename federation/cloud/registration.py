"""Registration: reg1 in the order of docs/protocol.md, section 3, and reg2 (eq. 2-10).

Challenges are 16 bytes that the cloud knows again, so that nothing is kept of those that nobody uses:
challenge = u32be(seconds) || 4 random bytes || the first 8 bytes of HMAC(index key, T("challenge", the 8 bytes before)). Every
process has that key in its token. One is good for 5 minutes, and used up when reg1 is taken.

The cloud decides by what it knows itself whether a member's renewal is due (docs/adr/0018-rotation.md): a member that could
renew at will would hoard credentials, each good for a year, until the revocation list had no place for them.
"""

import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

from federation.cloud.revocation import require_room_for_renewal, revoke_credential
from federation.cloud.services import ROLES, Cloud, as_datetime
from federation.errors import (
    AlreadyRegistered,
    ChallengeInvalid,
    IssuerStopped,
    NotRegistered,
    RenewalNotDue,
    TicketInvalid,
)
from federation.party.epochs import as_signed, as_stored
from federation.protocol.anchors import is_revoked, serial_entry
from federation.protocol.registration import (
    AcceptedRequest,
    LiveRegistration,
    ReceivedRequest,
    TicketTerms,
    attribute_of,
    receive_request,
)
from federation.protocol.revocations import prefix_of
from federation.protocol.sealing import after_opening
from federation.protocol.statements import ROLE_NAMES, peek_statement
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.store.errors import AlreadyAdmitted, AlreadyStored, NonceRepeated, NotStored, StoreError
from federation.store.rows import Act, Admission, Registration, Superseded
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.registration_pb2 import (
    OpenRegistrationResponse,
    RegisterRequest,
)
from federation.v1.statement_pb2 import ROLE_DOCTOR, Credential, KeyStatement, SignedStatement
from federation.wire import operations
from keystore.errors import UnusableNonce
from keystore.generations import State
from keystore.issuing import Issued, IssuingKey
from keystore.keyring import Indexing, Together
from keystore.transcript import digest, text, transcript

ANSWER_KEPT = timedelta(minutes=10)

RESERVED = timedelta(minutes=1)
"""How long a registration that was cut off keeps another of its identity from beginning."""

CHALLENGE_LIFE = timedelta(minutes=5)
_CHALLENGE_CLEAR, _CHALLENGE_MAC = 8, 8

MOST_STANDING = 2
"""Superseded credentials of one identity that hold at a time. A member's own reasons wait for a place among them; where the
cloud's clock or rotation asks for a renewal, the oldest falls."""

ANSWER_LOST_AFTER = timedelta(minutes=10)
"""When a reg1 is no longer answered again: a member that has not got the answer by then needs another credential."""


def open_registration(cloud: Cloud) -> OpenRegistrationResponse:
    """Return a challenge, single use, and EK_C. Nothing is kept: anybody may ask for as many as they like."""
    now = cloud.clock()
    challenge = new_challenge(cloud.keys.index, cloud.keys.token.random(4), now=now)
    statement = cloud.epochs.current(now)
    return OpenRegistrationResponse(challenge=challenge, cloud_encryption_key_statement=statement)


def register(cloud: Cloud, request: RegisterRequest) -> SealedReply:
    """Answer reg1. The same reg1 within 10 minutes gets the kept answer again. Raises precise errors, then Rejected."""
    now = cloud.clock()
    received = receive_request(request.opening, cloud.epochs, cloud.identity)
    kept = cloud.stores.registrations.answer_to(received.digest, now=now)
    if kept is not None:
        return SealedReply.FromString(kept)
    accepted = _accept(cloud, received, now)
    require_due(cloud, accepted, now=now)  # reg1.19, reg1.20
    _require_unused(cloud, received.session_id, now)
    return _issue(cloud, accepted, now)


def _accept(cloud: Cloud, received: ReceivedRequest, now: Instant) -> AcceptedRequest:
    request = received.opened.payload
    registrations = cloud.stores.registrations
    ticket = registrations.find_ticket(digest(request.ticket), now=now) if request.ticket else None
    live = cloud.live(request.identity, now=now)
    return received.accept(
        cloud.verifier,
        challenge_holds=is_good_challenge(received.session_id, cloud.keys.index, cloud.freshness, now=now),
        ticket=None if ticket is None else TicketTerms(ROLES[ticket.role], ticket.identity),
        live=None if live is None else LiveRegistration(as_signed(live.key_statement)),
        now=now,
    )


def _require_unused(cloud: Cloud, challenge: bytes, now: Instant) -> None:
    """Look before a serial is used up for it; the challenge is used up with the registration. Raises Rejected."""
    with after_opening():
        if cloud.stores.replay.holds(challenge_replay_key(challenge), now=now):
            raise ChallengeInvalid("the challenge was used before")  # reg1.21


def _issue(cloud: Cloud, accepted: AcceptedRequest, now: Instant) -> SealedReply:
    issuing = cloud.keys_by_time.issuing(now)
    if cloud.stores.registrations.is_issuer_stopped(issuing.public_key):
        raise IssuerStopped("this issuing key has repeated a nonce")
    serial, credential, issued = _signed_credential(cloud, accepted, issuing, now)
    try:
        return _completed(cloud, accepted, (serial, credential, issued), now)
    except NonceRepeated as error:
        # Before anybody gets it: two credentials of one R_X1 give s away.
        cloud.stores.registrations.stop_issuer(issuing.public_key, serial, at=now)
        operations.warning("issuer-nonce-repeated")
        raise IssuerStopped("this issuing key has repeated a nonce") from error
    except BaseException:
        with suppress(StoreError):  # then it goes by its time
            cloud.stores.registrations.release(accepted.request.identity, serial)
        raise


def _completed(
    cloud: Cloud, accepted: AcceptedRequest, signed: tuple[bytes, bytes, Issued], now: Instant
) -> SealedReply:
    serial, credential, issued = signed
    try:
        statement, reply = accepted.answer(
            credential,
            issued,
            cloud.keys_by_time.signing_key(now),
            cloud.publisher.current.excerpt([prefix_of(serial_entry(serial))]),
            now=now,
        )
        shared_key = issued.shared_key(accepted.request.identity, serial)
        registration = _registration(cloud, accepted, issued.registration_point, statement, shared_key)
    finally:
        issued.wipe()
    return _complete(cloud, accepted, registration, reply, now)


def _act(cloud: Cloud, accepted: AcceptedRequest, registration: Registration, now: Instant) -> Act:
    """Return what is kept with a registration: its entry in the log, and that its challenge is used.

    So a request whose registration was lost with the database is taken when it comes again.
    """
    kind, detail = "REGISTRATION", f"{registration.role} {registration.identity} serial {registration.serial.hex()}"
    if accepted.renewed is not None:
        kind, detail = "REREGISTRATION", f"{detail} in place of {accepted.renewed.serial.hex()}"
    used = Admission(challenge_replay_key(accepted.session_id), now, challenge_kept_until(cloud.freshness, now=now))
    return replace(cloud.act(kind, detail, now=now), admission=used)


def _address_of(cloud: Cloud, accepted: AcceptedRequest) -> str | None:
    """Return where a hospital that registers again is dialled: there is no moment at which it can't be found."""
    live = cloud.stores.registrations.live(accepted.request.identity)
    return live.address if accepted.renewed is not None and live is not None else None


def _signed_credential(
    cloud: Cloud, accepted: AcceptedRequest, issuing: IssuingKey, now: Instant
) -> tuple[bytes, bytes, Issued]:
    """Reserve a serial, then sign M_X with s: the same M_X is never signed twice. Another serial where one won't do."""
    registrations, identity = cloud.stores.registrations, accepted.request.identity
    while True:
        serial = cloud.keys.token.random(16)
        credential = accepted.credential(serial, now=now)
        _reserve(cloud, accepted, serial, credential, now)
        try:
            return serial, credential, issuing.issue(credential)
        except UnusableNonce:
            registrations.release(identity, serial)
        except BaseException:
            with suppress(StoreError):
                registrations.release(identity, serial)
            raise


def _reserve(cloud: Cloud, accepted: AcceptedRequest, serial: bytes, credential: bytes, now: Instant) -> None:
    request = accepted.request
    with after_opening(), _meanwhile(accepted):
        cloud.stores.registrations.reserve_serial(
            serial,
            role=ROLE_NAMES[request.role],
            identity=request.identity,
            credential=credential,
            at=now,
            until=now + milliseconds(RESERVED),
            supersedes=None if accepted.renewed is None else accepted.renewed.serial,
        )


def _registration(
    cloud: Cloud, accepted: AcceptedRequest, registration_point: bytes, statement: SignedStatement, shared_key: bytes
) -> Registration:
    request = accepted.request
    credential = peek_statement(KeyStatement, statement).credential
    issued = Credential.FromString(credential)
    context = shared_key_context(request.identity, issued.serial)
    return Registration(
        role=ROLE_NAMES[request.role],
        identity=request.identity,
        serial=issued.serial,
        credential=credential,
        registration_point=registration_point,
        verifying_key=request.verifying_key,
        key_statement=as_stored(statement),
        encryption_key_statement=as_stored(request.encryption_key_statement),
        sealed_shared_key=cloud.keys.sealing.seal(shared_key, context, Together(context)),
        not_before=issued.not_before,
        not_after=issued.not_after,
        address=_address_of(cloud, accepted),
    )


def _complete(
    cloud: Cloud, accepted: AcceptedRequest, registration: Registration, reply: SealedReply, now: Instant
) -> SealedReply:
    """Make it live: somebody else may have taken the identity or the ticket meanwhile. Raises Rejected."""
    request = accepted.request
    act = _act(cloud, accepted, registration, now)
    with after_opening(), _meanwhile(accepted):
        cloud.stores.registrations.complete(
            registration,
            request_digest=accepted.request_digest,
            answer=reply.SerializeToString(deterministic=True),
            answer_until=now + milliseconds(ANSWER_KEPT),
            ticket_digest=digest(request.ticket) if request.ticket else None,
            supersedes=None if accepted.renewed is None else accepted.renewed.serial,
            now=now,
            act=act,
        )
    return reply


@contextmanager
def _meanwhile(accepted: AcceptedRequest) -> Iterator[None]:
    """Say what became of the identity, or of its ticket, since the request was accepted."""
    try:
        yield
    except AlreadyAdmitted as error:
        raise ChallengeInvalid("the challenge was used meanwhile") from error  # reg1.22
    except AlreadyStored as error:
        raise AlreadyRegistered("the identity was registered meanwhile") from error  # reg1.22
    except NotStored as error:
        if accepted.renewed is not None:
            raise NotRegistered("the registration that this one renews is gone") from error  # reg1.22
        raise TicketInvalid("the ticket was used meanwhile") from error  # reg1.22


def shared_key_context(identity: str, serial: bytes) -> bytes:
    """Return what K_X is sealed with, in a batch of its own: T("kx", ID_X, serial)."""
    return transcript("kx", text(identity), serial)


def new_challenge(key: Indexing, entropy: bytes, *, now: Instant) -> bytes:
    """Return a challenge; `entropy` are 4 random bytes."""
    clear = (now // 1000).to_bytes(4) + entropy
    return clear + key.mac(_challenge_covered(clear))[:_CHALLENGE_MAC]


def is_good_challenge(challenge: bytes, key: Indexing, freshness: Freshness, *, now: Instant) -> bool:
    """Return whether this cloud gave out the challenge within the last five minutes; whether it was used is another question.

    Another process did, perhaps, whose clock is ahead.
    """
    clear, mac = challenge[:_CHALLENGE_CLEAR], challenge[_CHALLENGE_CLEAR:]
    given_at = int.from_bytes(clear[:4]) * 1000
    if not freshness.begun(given_at, now=now) or now - given_at > milliseconds(CHALLENGE_LIFE):
        return False
    # One that was given out before the index key was rotated is good still.
    return any(hmac.compare_digest(mac, mine[:_CHALLENGE_MAC]) for _, mine in key.macs(_challenge_covered(clear)))


def challenge_replay_key(challenge: bytes) -> bytes:
    """Return what is kept of a challenge that was used: H(T("challenge-used", challenge))."""
    return digest(transcript("challenge-used", challenge))


def challenge_kept_until(freshness: Freshness, *, now: Instant) -> Instant:
    """Return until when: then it is too old by every clock."""
    return now + milliseconds(CHALLENGE_LIFE + 2 * freshness.skew)


def _challenge_covered(clear: bytes) -> bytes:
    return transcript("challenge", clear)


def require_due(cloud: Cloud, accepted: AcceptedRequest, *, now: Instant) -> None:
    """Require a reason to renew that the cloud sees itself, or a place for what the member itself has a reason to replace.

    Where the clock or the cloud asks for it, the oldest credential falls before too many would stand; nothing that a member
    chooses puts anything on the revocation list. Raises RenewalNotDue, which a member that has proved its live PRK_X may hear,
    with the wait until there is a reason or a place; and Limit.
    """
    live = accepted.renewed
    if live is None:
        return
    standing = _standing(cloud, live, now)
    if _is_due(cloud, live, now):
        for oldest in standing[: 1 - MOST_STANDING]:
            require_room_for_renewal(cloud)  # reg1.20
            revoke_credential(cloud, live.identity, oldest.serial, oldest.not_after, now=now)
        return
    due_at = _due_at(cloud, live)
    if not _is_own_choice(accepted, live, standing, now):
        raise _not_due("the live credential is good: no reason to renew it is known here", due_at, now)  # reg1.19
    if len(standing) >= MOST_STANDING:
        free_at = min(due_at, standing[-MOST_STANDING].not_after + 1)
        raise _not_due("two credentials that this one followed still stand", free_at, now)  # reg1.19


def _not_due(why: str, from_on: Instant, now: Instant) -> RenewalNotDue:
    refusal = RenewalNotDue(f"{why}; ask again from {as_datetime(from_on):%Y-%m-%d %H:%M} UTC on")
    refusal.retry_after = timedelta(milliseconds=from_on - now)
    return refusal


def _is_due(cloud: Cloud, live: VerifiedParty, now: Instant) -> bool:
    """Return whether the federation's clock or the cloud's own rotation asks for it: then nobody can bring it about."""
    issuer_is_active = cloud.verifier.anchors.issuers.state(live.issuer_public_key, now=now) is State.ACTIVE
    return not issuer_is_active or _due_at(cloud, live) <= now


def _due_at(cloud: Cloud, live: VerifiedParty) -> Instant:
    return Credential.FromString(live.credential).not_after - milliseconds(cloud.renewal_stretch)


def _is_own_choice(
    accepted: AcceptedRequest, live: VerifiedParty, standing: Sequence[Superseded], now: Instant
) -> bool:
    """Return whether the member has a reason of its own: another PRK_X or Cert_D, or an answer that it lost."""
    request, issued_at = accepted.request, Credential.FromString(live.credential).not_before
    return (
        request.verifying_key != live.verifying_key
        or (request.role == ROLE_DOCTOR and attribute_of(request.role, request.evidence) != live.attribute)
        or (bool(standing) and issued_at + milliseconds(ANSWER_LOST_AFTER) <= now)
    )


def _standing(cloud: Cloud, live: VerifiedParty, now: Instant) -> Sequence[Superseded]:
    """Return the superseded credentials of an identity that anybody would still take, the one that ends first in front."""
    unexpired = cloud.stores.registrations.superseded(live.identity, now=now)
    revoked = cloud.stores.revocations.listed(serial_entry(it.serial) for it in unexpired)
    return [it for it in unexpired if serial_entry(it.serial) not in revoked and not _fell_with_its_issuer(cloud, it)]


def _fell_with_its_issuer(cloud: Cloud, superseded: Superseded) -> bool:
    kept = cloud.stores.registrations.credential_of(superseded.serial)
    if kept is None:  # the log has every serial: what it lacks is counted
        return False
    period = cloud.verifier.anchors.issuers.at(Credential.FromString(kept).not_before)
    return period is not None and is_revoked(period)
