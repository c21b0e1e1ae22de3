"""Who takes part in a run of the protocol, a step of it, and the registration phase."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from federation.protocol import registration
from federation.protocol.anchors import serial_entry
from federation.protocol.frames import DirectionKeys
from federation.protocol.handshake import SessionKeys
from federation.protocol.parties import Entropy, Party
from federation.protocol.revocations import WholeSet, prefix_of
from federation.protocol.sealing import UNNAMED, Context
from federation.protocol.verifier import EncryptionKey, Verifier
from federation.v1 import statement_pb2
from federation.v1.registration_pb2 import RegistrationAnswer, RegistrationRequest
from federation.v1.statement_pb2 import RevocationExcerpt, SignedStatement
from keystore.curve import x_of
from keystore.encryption import DecryptionKey, Keyring
from keystore.issuing import IssuingKey
from tests.vectors.signed import Facts


@dataclass(frozen=True)
class CloudSide:
    """The public cloud's keys and what it hands out."""

    identity: str
    keyring: Keyring
    signing_key: Any
    issuing: IssuingKey
    retired_issuing: IssuingKey
    encryption_key: EncryptionKey
    revocation_head: SignedStatement
    revoked: WholeSet
    crls: tuple[bytes, ...]

    def excerpt(self, *entries: bytes) -> RevocationExcerpt:
        """Give the shards of these entries."""
        return self.revoked.excerpt(self.revocation_head, map(prefix_of, entries))

    def issuing_of(self, issuer_public_key: bytes) -> IssuingKey:
        """Give s of a PK."""
        return next(key for key in (self.issuing, self.retired_issuing) if key.public_key == issuer_public_key)


@dataclass(frozen=True)
class World:
    """Who takes part, at one moment."""

    now: int
    verifier: Verifier
    cloud: CloudSide
    patient: Party
    doctor: Party
    hospital: Party
    shared_keys: dict[str, bytes]
    biometric_password: bytes
    tls_request: bytes
    entropy: Callable[[str], Entropy]
    issuers: dict[str, bytes]

    def shared_key(self, party: Party) -> bytes:
        """Give K_X, which the cloud keeps."""
        return self.shared_keys[party.identity]

    def role_of(self, party: Party) -> str:
        """Give "patient", "doctor" or "hospital"."""
        named = {"patient": self.patient, "doctor": self.doctor, "hospital": self.hospital}
        return next(role for role, one in named.items() if one is party)

    def issuer_of(self, role: str) -> bytes:
        """Give the PK of a party's credential, as the vectors' makers know it: nothing of the product's code says it here."""
        return self.issuers[role]


@dataclass(frozen=True)
class Step:
    """One message as its sender made it, and how its receiver takes it: `receive(message, now=..., admitted=True)`."""

    name: str
    payload_type: type[Message] | None
    message: Any
    receive: Callable[..., Any]
    sealed: tuple[DecryptionKey, Context] | None = None
    framed: tuple[str, DirectionKeys] | None = None
    facts: Facts = field(default_factory=Facts)
    signing_key: Any = None
    keys: SessionKeys | None = None

    @property
    def label(self) -> str:
        """Give the payload's name: what HPKE's info or the frame's associated data holds, where there is one."""
        if self.sealed:
            return self.sealed[1].name
        return self.framed[0] if self.framed else self.name


Carry = Callable[[Step], Any]
"""Carries a step's message to its receiver, and gives the receiver's next state."""


def register(
    cloud: CloudSide,
    verifier: Verifier,
    applicant: registration.Applicant,
    entropy: Callable[[str], Entropy],
    carry: Carry,
    now: int,
    begin: int,
    live: registration.LiveRegistration | None = None,
) -> registration.Registered:
    """reg1, reg2. The credential begins at `begin`; with a live registration, this one takes its place."""
    who = statement_pb2.Role.Name(applicant.role).removeprefix("ROLE_").lower()
    who += "-again" if live else ""
    draw = entropy(f"reg1-{who}")
    challenge, serial = draw(16), draw(16)
    waiting, opening = applicant.apply(challenge, cloud.encryption_key, now=now)
    terms = registration.TicketTerms(applicant.role, applicant.identity)

    def receive(message: Any, *, now: int, admitted: bool = True) -> registration.AcceptedRequest:
        received = registration.receive_request(message, cloud.keyring, cloud.identity)
        return received.accept(
            verifier,
            challenge_holds=admitted and message.session_id == challenge,
            ticket=terms if applicant.ticket and received.opened.payload.ticket == applicant.ticket else None,
            live=live,
            now=now,
        )

    key = cloud.keyring.find(cloud.encryption_key.key_id)
    context = Context("reg1", UNNAMED, cloud.identity, key.key_id, challenge, now)
    facts = Facts(cloud_id=cloud.identity)
    step = Step(
        f"reg1-{who}", RegistrationRequest, opening, receive, (key, context), None, facts, applicant.signing_key
    )
    accepted = carry(step)
    credential = accepted.credential(serial, now=begin)
    issued = cloud.issuing_of(verifier.anchors.issuer_at(begin)).issue(credential)
    _, reply = accepted.answer(credential, issued, cloud.signing_key, cloud.excerpt(serial_entry(serial)), now=now)
    own = applicant.decryption_key
    context = Context("reg2", cloud.identity, applicant.identity, own.key_id, challenge, now)
    facts = Facts(request_digest=accepted.request_digest, public_x=x_of(issued.public_point))

    def receive_answer(message: Any, *, now: int, admitted: bool = True) -> registration.Registered:
        return waiting.receive(message, verifier.anchors, cloud.crls, verifier.freshness, now=now)

    step = Step(
        f"reg2-{who}", RegistrationAnswer, reply, receive_answer, (own, context), None, facts, cloud.signing_key
    )
    return carry(step)
