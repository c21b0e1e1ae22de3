"""The single calls of registered parties to the public cloud: one sealed message, signed over its fields and ID_C.

pub (publish), ekput (renew), tlsca (TLS identity), tkt (ticket), rev (take statements back), rst (restrict), rstget (fetch
restrictions): the same steps for each. The cloud opens the call, learns whose it claims to be, looks that party up, and verifies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from federation.errors import IdentityMismatch
from federation.protocol.consent import deputyship_statement
from federation.protocol.parties import Pending
from federation.protocol.sealing import (
    UNNAMED,
    Context,
    Opened,
    after_opening,
    find_key,
    open_payload,
    require_session_id,
    seal_opening,
)
from federation.protocol.statements import (
    SENSITIVITY_NAMES,
    peek_statement,
    signed_digest_or_empty,
    verify_signature,
)
from federation.protocol.time import Freshness, Instant
from federation.protocol.verifier import EncryptionKey, VerifiedParty
from federation.v1 import publication_pb2 as pub
from federation.v1 import revocation_pb2 as rev
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.membership_pb2 import EncryptionKeyRenewal, TicketRequest, TlsIdentityRequest
from federation.v1.publication_pb2 import Publication
from federation.v1.restrictions_pb2 import RestrictionCall, RestrictionsFetch
from federation.v1.revocation_pb2 import Revocation
from federation.v1.statement_pb2 import EncryptionKeyStatement, KeyStatement
from keystore.encryption import Keyring
from keystore.signatures import SigningKey
from keystore.transcript import digest, listing, row, text, transcript, u64

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Call(Generic[M]):
    """One kind of call: its label, its payload, what is signed, whose it claims to be, and what names it against replay."""

    name: str
    payload_type: type[M]
    fields: Callable[[M], tuple[bytes, ...]]
    sender: Callable[[M], str]
    replay: Callable[[M], tuple[bytes, ...]]

    def send(
        self, payload: M, signing_key: SigningKey, cloud_key: EncryptionKey, *, now: Instant
    ) -> tuple[SealedOpening, bytes]:
        """Set T, sign and seal; give the opening and the payload's exact bytes."""
        payload.sent_at = now  # type: ignore[attr-defined] # every call has sent_at and signature
        payload.signature = signing_key.sign(self._signed(payload, cloud_key.owner))  # type: ignore[attr-defined]
        context = Context(self.name, UNNAMED, cloud_key.owner, cloud_key.key_id, b"", now)
        return seal_opening(payload, cloud_key.encryption_key, context)

    def receive(
        self, opening: SealedOpening, keyring: Keyring, cloud_id: str, freshness: Freshness, *, now: Instant
    ) -> "Claimed[M]":
        """Open a call. Raises precise errors for clear fields, Rejected for anything after opening."""
        key = find_key(opening, keyring, freshness=freshness, now=now)  # call.1
        require_session_id(opening, size=0)
        with after_opening():
            context = Context(self.name, UNNAMED, cloud_id, key.key_id, b"", opening.sent_at)
            opened = open_payload(self.payload_type, opening.sealed, key, context)  # call.2
            return Claimed(self, opened, self.sender(opened.payload), cloud_id, freshness)

    def _signed(self, payload: M, cloud_id: str) -> bytes:
        return transcript(self.name, *self.fields(payload), text(cloud_id))


@dataclass(frozen=True, repr=False)
class Claimed(Generic[M]):
    """An open call. `claimed_sender` is what it says; nothing is verified yet."""

    call: Call[M]
    opened: Opened[M]
    claimed_sender: str
    cloud_id: str
    freshness: Freshness

    def verify(self, sender: VerifiedParty, *, now: Instant) -> "Pending[Opened[M]]":
        """Verify the signature of the party that the caller looked up. Raises Rejected."""
        payload = self.opened.payload
        with after_opening():
            if sender.identity != self.claimed_sender:
                raise IdentityMismatch("the call is another party's")  # call.5
            signed = self.call._signed(payload, self.cloud_id)  # noqa: SLF001 - the call's own other half
            # call.6
            verify_signature(sender.key, payload.signature, signed)  # type: ignore[attr-defined] # every call has signature
        replay_key = digest(transcript(self.call.name.upper(), *self.call.replay(payload)))
        return Pending(replay_key, self.freshness.replay_key_until(now=now), self.opened)


_ACTIONS = {pub.PUBLICATION_ACTION_ADD: b"add", pub.PUBLICATION_ACTION_WITHDRAW: b"withdraw"}


def _publication_fields(payload: Publication) -> tuple[bytes, ...]:
    return (
        _ACTIONS[payload.action],
        text(payload.patient_id),
        text(payload.department_id),
        text(payload.hospital_id),
        text(payload.doctor_id),
        payload.handle,
        text(SENSITIVITY_NAMES[payload.sensitivity]),
        payload.consent_digest,
        payload.nonce,
        u64(payload.sent_at),
    )


def _renewal_owner(payload: EncryptionKeyRenewal) -> str:
    return peek_statement(EncryptionKeyStatement, payload.encryption_key_statement).identity


STATEMENT_NAMES: dict["rev.StatementKind.ValueType", str] = {
    rev.STATEMENT_KIND_GRANT: "grant",
    rev.STATEMENT_KIND_MANDATE: "mandate",
    rev.STATEMENT_KIND_GUARDIAN: "guardian",
    rev.STATEMENT_KIND_DUTY: "duty",
}


def _revocation_fields(payload: Revocation) -> tuple[bytes, ...]:
    revoked = [row(text(STATEMENT_NAMES[one.kind]), one.statement.statement) for one in payload.statements]
    return (
        text(payload.owner_id),
        listing(revoked),
        u64(payload.before) if payload.HasField("before") else b"",
        _deputyship_digest(payload),
        payload.key_statement.statement,
        payload.nonce,
        u64(payload.sent_at),
    )


def _restriction_fields(payload: RestrictionCall) -> tuple[bytes, ...]:
    restriction = payload.restriction if payload.HasField("restriction") else None
    return (
        text(payload.patient_id),
        signed_digest_or_empty("restrict", restriction),
        u64(payload.follows) if payload.HasField("follows") else b"",
        _deputyship_digest(payload),
        payload.key_statement.statement,
        payload.encryption_key_statement.statement,
        payload.nonce,
        u64(payload.sent_at),
    )


def _fetch_fields(payload: RestrictionsFetch) -> tuple[bytes, ...]:
    return (
        text(payload.hospital_id),
        listing([row(one.reference, u64(one.number)) for one in payload.held]),
        payload.encryption_key_statement.statement,
        payload.nonce,
        u64(payload.sent_at),
    )


def _deputyship_digest(payload: Revocation | RestrictionCall) -> bytes:
    if not payload.HasField("deputyship"):
        return b""
    return signed_digest_or_empty(*deputyship_statement(payload.deputyship))


def _stating_party(payload: Revocation | RestrictionCall) -> str:
    return peek_statement(KeyStatement, payload.key_statement).identity


PUBLISH = Call(
    "pub",
    Publication,
    fields=_publication_fields,
    sender=lambda p: p.hospital_id,
    replay=lambda p: (text(p.hospital_id), p.nonce),
)
RENEW = Call(
    "ekput",
    EncryptionKeyRenewal,
    fields=lambda p: (p.encryption_key_statement.statement, text(p.address), u64(p.sent_at)),
    sender=_renewal_owner,
    replay=lambda p: (p.signature,),
)
CERTIFY_TLS = Call(
    "tlsca",
    TlsIdentityRequest,
    fields=lambda p: (text(p.hospital_id), p.certificate_signing_request, p.nonce, u64(p.sent_at)),
    sender=lambda p: p.hospital_id,
    replay=lambda p: (text(p.hospital_id), p.nonce),
)
TICKET = Call(
    "tkt",
    TicketRequest,
    fields=lambda p: (text(p.hospital_id), text(p.patient_id), p.nonce, u64(p.sent_at)),
    sender=lambda p: p.hospital_id,
    replay=lambda p: (text(p.hospital_id), p.nonce),
)
REVOKE = Call(
    "rev",
    Revocation,
    fields=_revocation_fields,
    sender=_stating_party,
    replay=lambda p: (text(p.owner_id), p.nonce),
)
RESTRICT = Call(
    "rst",
    RestrictionCall,
    fields=_restriction_fields,
    sender=_stating_party,
    replay=lambda p: (text(p.patient_id), p.nonce),
)
FETCH_RESTRICTIONS = Call(
    "rstget",
    RestrictionsFetch,
    fields=_fetch_fields,
    sender=lambda p: p.hospital_id,
    replay=lambda p: (text(p.hospital_id), p.nonce),
)
