"""Registering with the public cloud (Chen et al. 2020, eq. 2-10), for hospitals, doctors and patients alike."""

import time
from collections.abc import Callable

from federation.clients.cloud import CloudClient
from federation.errors import Unavailable
from federation.member import Member
from federation.protocol.registration import Registered
from federation.protocol.verifier import VerifiedParty
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.statement_pb2 import Role

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Before each repetition of a reg1 whose answer was lost."""


def register(
    member: Member,
    cloud: CloudClient,
    role: "Role.ValueType",
    evidence: bytes,
    ticket: bytes | None,
    *,
    certificate: bytes = b"",
    pause: Callable[[float], None] = time.sleep,
) -> VerifiedParty:
    """Register this member: B_P, Cert_D or a licence as evidence, a ticket unless a doctor (whose `certificate` is kept).

    Raises the cloud's refusal, Rejected for a false answer, CredentialMismatch if S_X fails its test in the token. The
    party is registered when this returns; until then nothing of the registration is kept.
    """
    cloud.refresh(member)
    opened = cloud.open_registration()
    now = cloud.clock()
    key = member.verifier().cloud_encryption_key(opened.cloud_encryption_key_statement, now=now)
    applicant = member.applicant(role, evidence, ticket, now=now)
    awaiting, opening = applicant.apply(opened.challenge, key, now=now)
    reply = _answer(cloud, opening, pause)
    registered = awaiting.receive(reply, member.anchors, _crls(member), member.freshness, now=cloud.clock())
    return _installed(member, registered, certificate)


def _answer(cloud: CloudClient, opening: SealedOpening, pause: Callable[[float], None]) -> SealedReply:
    """Send the same reg1 until it is answered: the cloud answers it once and repeats that answer for 10 minutes."""
    for seconds in PAUSES_SECONDS:
        try:
            return cloud.send_registration(opening)
        except Unavailable:
            pause(seconds)
    return cloud.send_registration(opening)


def _crls(member: Member) -> tuple[bytes, ...]:
    directory = member.directory
    return () if directory is None else tuple(directory.certificate_revocation_lists)


def _installed(member: Member, registered: Registered, certificate: bytes) -> VerifiedParty:
    try:
        member.install(registered, certificate)
    finally:
        registered.registration_secret[:] = bytes(len(registered.registration_secret))
    return registered.party
