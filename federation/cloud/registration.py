"""RegistrationService: reg1 in the order of docs/protocol.md, section 3, and reg2 (eq. 2-10)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

from federation.cloud.challenges import is_good, kept_until, new_challenge, replay_key
from federation.cloud.cloud import ROLES, Cloud
from federation.cloud.renewals import require_due
from federation.errors import AlreadyRegistered, ChallengeInvalid, NotRegistered, TicketInvalid
from federation.party.epochs import as_signed, as_stored
from federation.protocol.registration import (
    AcceptedRequest,
    LiveRegistration,
    ReceivedRequest,
    TicketTerms,
    receive_request,
)
from federation.protocol.sealing import after_opening
from federation.protocol.statements import ROLE_NAMES, peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.store.errors import AlreadyAdmitted, AlreadyStored, NotStored, StoreError
from federation.store.rows import Act, Admission, Registration
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.registration_pb2 import (
    OpenRegistrationRequest,
    OpenRegistrationResponse,
    RegisterRequest,
    RegisterResponse,
)
from federation.v1.registration_pb2_grpc import RegistrationServiceServicer
from federation.v1.statement_pb2 import Credential, KeyStatement, SignedStatement
from federation.wire.roles import ServicerContext
from federation.wire.workers import Workers
from keystore.errors import InvalidScalar
from keystore.issuing import Issued, IssuingKey
from keystore.transcript import digest, text, transcript

ANSWER_KEPT = timedelta(minutes=10)

RESERVED = timedelta(minutes=1)
"""How long a registration that was cut off keeps another of its identity from beginning."""


class RegistrationServicer(RegistrationServiceServicer):
    """The wire's side."""

    def __init__(self, cloud: Cloud, workers: Workers) -> None:
        """Register parties with this cloud."""
        self._cloud = cloud
        self._workers = workers

    async def OpenRegistration(  # noqa: N802 - the name in the proto
        self,
        request: OpenRegistrationRequest,  # noqa: ARG002 - empty
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> OpenRegistrationResponse:
        """Give a challenge and EK_C."""
        return await self._workers.run(open_registration, self._cloud)

    async def Register(self, request: RegisterRequest, context: ServicerContext) -> RegisterResponse:  # noqa: N802, ARG002
        """Take reg1 and answer reg2."""
        return RegisterResponse(reply=await self._workers.run(register, self._cloud, request))


def open_registration(cloud: Cloud) -> OpenRegistrationResponse:
    """Give a challenge, single use, and EK_C. Nothing is kept: anybody may ask for as many as they like."""
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
        cloud.bulletin.current.verifier,
        challenge_holds=is_good(received.session_id, cloud.keys.index, cloud.freshness, now=now),
        ticket=None if ticket is None else TicketTerms(ROLES[ticket.role], ticket.identity),
        live=None if live is None else LiveRegistration(as_signed(live.key_statement)),
        now=now,
    )


def _require_unused(cloud: Cloud, challenge: bytes, now: Instant) -> None:
    """Look before a serial is used up for it; the challenge is used up with the registration. Raises Rejected."""
    with after_opening():
        if cloud.stores.replay.holds(replay_key(challenge), now=now):
            raise ChallengeInvalid("the challenge was used before")  # reg1.21


def _issue(cloud: Cloud, accepted: AcceptedRequest, now: Instant) -> SealedReply:
    issuing = cloud.keys_by_time.issuing(now)
    serial, credential, issued = _signed_credential(cloud, accepted, issuing, now)
    try:
        return _completed(cloud, accepted, issuing, (serial, credential, issued), now)
    except BaseException:
        with suppress(StoreError):  # then it goes by its time
            cloud.stores.registrations.release(accepted.request.identity, serial)
        raise


def _completed(
    cloud: Cloud, accepted: AcceptedRequest, issuing: IssuingKey, signed: tuple[bytes, bytes, Issued], now: Instant
) -> SealedReply:
    serial, credential, issued = signed
    try:
        statement, reply = accepted.answer(
            credential,
            issued,
            cloud.keys_by_time.signing_key(now),
            cloud.bulletin.current.revocation_list,
            now=now,
        )
        shared_key = issued.shared_key(issuing.public_key, accepted.request.identity, serial)
        registration = _registration(cloud, accepted, issued.registration_point, statement, shared_key)
    finally:
        issued.wipe()
    return _complete(cloud, accepted, registration, reply, now)


def _act(cloud: Cloud, accepted: AcceptedRequest, registration: Registration, now: Instant) -> Act:
    """Give what is kept with a registration: its entry in the log, and that its challenge is used.

    So a request whose registration was lost with the database is taken when it comes again.
    """
    kind, detail = "REGISTRATION", f"{registration.role} {registration.identity} serial {registration.serial.hex()}"
    if accepted.renewed is not None:
        kind, detail = "REREGISTRATION", f"{detail} in place of {accepted.renewed.serial.hex()}"
    used = Admission(replay_key(accepted.session_id), now, kept_until(cloud.freshness, now=now))
    return replace(cloud.act(kind, detail, now=now), admission=used)


def _address_of(cloud: Cloud, accepted: AcceptedRequest) -> str | None:
    """Give where a hospital that registers again is dialled: there is no moment at which it can't be found."""
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
        except InvalidScalar:
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
    return Registration(
        role=ROLE_NAMES[request.role],
        identity=request.identity,
        serial=issued.serial,
        credential=credential,
        registration_point=registration_point,
        verifying_key=request.verifying_key,
        key_statement=as_stored(statement),
        encryption_key_statement=as_stored(request.encryption_key_statement),
        sealed_shared_key=cloud.keys.sealing.seal(shared_key, shared_key_context(request.identity, issued.serial)),
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
    """Give what K_X is sealed with: T("kx", ID_X, serial)."""
    return transcript("kx", text(identity), serial)
