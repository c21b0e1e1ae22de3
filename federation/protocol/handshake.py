"""The handshake of both sessions, Chen et al. 2020, eq. 11-22 (P1, D1) and eq. 33-44 (D3, H1).

1. The initiator picks r_I and e_I, sends R_I = r_I R_R1, E_I = e_I B and who it is, sealed to the responder, signed for it.
2. The responder checks who asks, picks r_R and e_R, and both compute SEK from K1 = S_R R_I = r_I U_R, K2 = r_R U_I = S_I R_R
   and Z = e_I e_R B.
3. It proves that it has the key by kc, and who it is by its signature over the transcript of both messages.

r and e are independent, and an r serves the one base R_X1 of its receiver, once: else K1 falls (docs/findings.md). So r ends
where it was drawn: what a state keeps is the K that r made, and e.

A `Kind` is a row of what differs: the consultation's stands in `consultation`, the record session's in `record`. Both sides
end in a `Session`, the same for both, out of which the subject makes its own first state.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from federation.errors import (
    CertificateForeign,
    CredentialSuperseded,
    IdentityMismatch,
    KeyConfirmationFailed,
    SessionUnknown,
)
from federation.protocol.frames import Direction, DirectionKeys
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party, Pending
from federation.protocol.sealing import (
    UNNAMED,
    Context,
    after_opening,
    find_key,
    open_payload,
    require_session_id,
    seal_opening,
    seal_reply,
)
from federation.protocol.statements import Signed
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer, VerifiedParty, Verifier, role_of
from federation.v1 import statement_pb2 as pb
from federation.v1.consultation_pb2 import ConsultationOpening, ConsultationReply
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.record_pb2 import RecordOpening, RecordReply
from keystore.agreement import SoftwareAgreement, agree
from keystore.curve import SCALAR_SEED_BYTES, point_over, scalar_from_seed, x_of
from keystore.encryption import DecryptionKey
from keystore.signatures import SigningKey
from keystore.transcript import digest, frame, text, transcript

OpeningT = TypeVar("OpeningT", ConsultationOpening, RecordOpening)
ReplyT = TypeVar("ReplyT", ConsultationReply, RecordReply)
M = TypeVar("M", ConsultationOpening, RecordOpening, ConsultationReply, RecordReply)
S = TypeVar("S")


@dataclass(frozen=True)
class Side(Generic[M]):
    """One side of a kind: its message's label and type, the roles that it may have, and who the message says that it is from."""

    label: str
    payload_type: type[M]
    roles: "tuple[pb.Role.ValueType, ...]"
    identity: Callable[[M], str]
    certificate: Callable[[M], bytes] = lambda _: b""

    def context(self, sender: str, receiver: str, key_id: bytes, session_id: bytes, sent_at: Instant) -> Context:
        """Return what the seal of this side's message is bound to."""
        return Context(self.label.lower(), sender, receiver, key_id, session_id, sent_at)

    def verified(self, message: M, verifier: Verifier, *, now: Instant) -> VerifiedParty:
        """Make CRED(X), with Cert_D of a doctor, and require R_X1 and the identity to be those of the message."""
        # P1.3, D1.7, D3.3, H1.6
        role = role_of(self.identity(message), self.roles)
        party = verifier.member(message.key_statement, role, self.certificate(message), now=now)
        if self.identity(message) != party.identity or message.registration_point != party.registration_point:
            raise IdentityMismatch("the key statement is not of whoever sent the message")  # P1.4, D1.8, D3.4, H1.7
        return party


@dataclass(frozen=True)
class Kind(Generic[OpeningT, ReplyT]):
    """What differs between the two handshakes; every other step is one.

    `reply_of` begins a reply with the fields of its kind; `require_opening` is what a kind requires of an opening beside that.
    """

    initiator: Side[OpeningT]
    responder: Side[ReplyT]
    opening_transcript: Callable[[OpeningT, bytes, str, bytes, bytes], bytes]
    transcript_hash: Callable[[bytes, ReplyT, bytes, bytes], bytes]
    reply_transcript: Callable[[ReplyT, bytes, bytes], bytes]
    key_roles: str
    reply_of: Callable[[Party], ReplyT]
    require_opening: Callable[[OpeningT, VerifiedParty], None] = lambda _opening, _initiator: None


@dataclass(frozen=True, repr=False)
class Session:
    """What either side holds once it can compute SEK: both transcripts and signatures, and a direction each way."""

    own: Party
    peer: Peer
    session_id: bytes
    transcript_hash: bytes
    key_confirmation: bytes
    sending: Direction
    receiving: Direction
    began_at: Instant
    opening: Signed
    reply: Signed

    @property
    def signing_key(self) -> SigningKey:
        """Return PRK of this side."""
        return self.own.signing_key


def begin(
    kind: Kind[OpeningT, ReplyT],
    own: Party,
    peer: Peer,
    opening: OpeningT,
    verifier: Verifier,
    established: Callable[[Session], S],
    *,
    now: Instant,
    entropy: Entropy,
) -> "tuple[AwaitingReply[OpeningT, ReplyT, S], SealedOpening]":
    """Send P1 or D3: pick r, R = r R_X1 (eq. 11, 33), sign for this responder (eq. 13, 35) and seal to it (eq. 12, 34).

    `opening` has the fields of its kind; the others are set here.
    """
    scalar, ephemeral, session_id = _draw(entropy), _draw(entropy), entropy(16)
    opening.registration_point = own.self_.registration_point
    opening.responder_serial = peer.party.serial
    opening.agreement_point = _agreement_point(scalar, peer.party)
    opening.ephemeral_point = x_of(ephemeral.public_key())
    opening.sent_at = now
    opening.contribution = entropy(32)
    opening.key_statement.CopyFrom(own.self_.key_statement)
    opening.encryption_key_statement.CopyFrom(own.encryption_key_statement)
    issuer, key = own.self_.issuer_public_key, peer.encryption_key
    signed = kind.opening_transcript(opening, issuer, peer.identity, key.key_id, session_id)
    opening.signature = own.signing_key.sign(signed)
    context = kind.initiator.context(UNNAMED, peer.identity, key.key_id, session_id, now)
    sealed, plaintext = seal_opening(opening, key.encryption_key, context)
    # The pending session holds its key: the answer opens even if the epoch ends meanwhile.
    own_key = verifier.encryption_key(own.encryption_key_statement, own.self_, now=now).key_id
    state = AwaitingReply(
        kind,
        own,
        peer,
        session_id,
        agree(SoftwareAgreement(scalar), peer.party.public_point, "K1", opening.agreement_point),
        ephemeral,
        opening.contribution,
        now,
        Signed(kind.initiator.label, signed, opening.signature, plaintext),
        own.keyring.find(own_key),
        established,
    )
    return state, sealed


@dataclass(frozen=True, repr=False)
class AwaitingReply(Generic[OpeningT, ReplyT, S]):
    """P1 or D3 is sent. e lives here and nowhere else."""

    kind: Kind[OpeningT, ReplyT]
    own: Party
    peer: Peer
    session_id: bytes
    k1: bytes
    ephemeral: ec.EllipticCurvePrivateKey
    contribution: bytes
    sent_at: Instant
    opening: Signed
    decryption_key: DecryptionKey
    _established: Callable[[Session], S]

    def receive(self, reply: SealedReply, verifier: Verifier, *, now: Instant) -> S:
        """Take D1 or H1 (eq. 20-22, 42-44). Raises precise errors for clear fields, Rejected for anything after opening."""
        check(reply)  # D1.1, H1.1
        if reply.session_id != self.session_id:
            raise SessionUnknown("the answer belongs to another session")  # D1.2, H1.2
        verifier.freshness.require(reply.sent_at, now=now)  # D1.3, H1.3
        with after_opening():
            session = self._accept(reply, verifier, now)
        return self._established(session)

    def _accept(self, sealed: SealedReply, verifier: Verifier, now: Instant) -> Session:
        responder, key = self.kind.responder, self.decryption_key
        context = responder.context(self.peer.identity, self.own.identity, key.key_id, self.session_id, sealed.sent_at)
        opened = open_payload(responder.payload_type, sealed.sealed, key, context)  # D1.4, H1.4
        reply = opened.payload
        if responder.identity(reply) != self.peer.identity:
            raise IdentityMismatch("another party answers than the one addressed")  # D1.5, H1.5
        if responder.certificate(reply) != self.peer.certificate:
            raise CertificateForeign("Cert_D is not the one that was checked")  # D1.6
        party = responder.verified(reply, verifier, now=now)  # D1.7, D1.8, H1.6, H1.7
        if (party.credential, party.registration_point) != self._addressed:
            raise IdentityMismatch("the answer is of another credential than the one addressed")  # D1.8, H1.7
        th = self.kind.transcript_hash(self.opening.message, reply, party.credential, self.session_id)
        k2 = self.own.registration_secret.agree(reply.agreement_point, "K2")
        shared = self.k1, k2, _forward_secret(self.ephemeral, reply.ephemeral_point)
        keys = derive(shared, (self.contribution, reply.contribution), th, self.kind.key_roles)
        if not hmac.compare_digest(keys.key_confirmation, reply.key_confirmation):
            raise KeyConfirmationFailed("the responder does not hold the session key")  # D1.9, H1.8
        covered = self.kind.reply_transcript(reply, party.issuer_public_key, th)
        signed = Signed(responder.label, covered, reply.signature, opened.plaintext)
        signed.verify(party.key)  # D1.10, H1.9
        return Session(
            own=self.own,
            peer=replace(self.peer, party=party),
            session_id=self.session_id,
            transcript_hash=th,
            key_confirmation=keys.key_confirmation,
            sending=Direction(self.session_id, keys.forward),
            receiving=Direction(self.session_id, keys.backward),
            began_at=self.sent_at,
            opening=self.opening,
            reply=signed,
        )

    @property
    def _addressed(self) -> tuple[bytes, bytes]:
        return self.peer.party.credential, self.peer.party.registration_point


def receive_opening(
    kind: Kind[OpeningT, ReplyT],
    own: Party,
    opening: SealedOpening,
    verifier: Verifier,
    replied: Callable[[Session, OpeningT], S],
    *,
    now: Instant,
) -> "Pending[ReceivedOpening[OpeningT, ReplyT, S]]":
    """Take P1 or D3 (eq. 14, 15, 36, 37). Raises precise errors for clear fields, Rejected for anything after opening."""
    key = find_key(opening, own.keyring, freshness=verifier.freshness, now=now)  # P1.1, D3.1
    require_session_id(opening, size=16)
    with after_opening():
        received = _accept_opening(kind, own, opening, key, verifier, replied, now)
    initiator, payload = kind.initiator, received.payload
    replay_key = digest(transcript(initiator.label, text(initiator.identity(payload)), payload.agreement_point))
    return Pending(replay_key, verifier.freshness.replay_key_until(now=now), received)


def _accept_opening(
    kind: Kind[OpeningT, ReplyT],
    own: Party,
    sealed: SealedOpening,
    key: DecryptionKey,
    verifier: Verifier,
    replied: Callable[[Session, OpeningT], S],
    now: Instant,
) -> "ReceivedOpening[OpeningT, ReplyT, S]":
    initiator = kind.initiator
    context = initiator.context(UNNAMED, own.identity, key.key_id, sealed.session_id, sealed.sent_at)
    opened = open_payload(initiator.payload_type, sealed.sealed, key, context)  # P1.2, D3.2
    opening = opened.payload
    party = initiator.verified(opening, verifier, now=now)  # P1.3, P1.4, D3.3, D3.4
    kind.require_opening(opening, party)  # P1.5
    encryption_key = verifier.encryption_key(opening.encryption_key_statement, party, now=now)  # P1.6, D3.5
    covered = kind.opening_transcript(opening, party.issuer_public_key, own.identity, key.key_id, sealed.session_id)
    signed = Signed(initiator.label, covered, opening.signature, opened.plaintext)
    signed.verify(party.key)  # P1.7, D3.6
    if opening.responder_serial != own.self_.serial:
        raise CredentialSuperseded("the opening rests on another credential than this party's of now")  # P1.8, D3.7
    peer = Peer(party, encryption_key, initiator.certificate(opening))
    return ReceivedOpening(kind, own, peer, sealed.session_id, opening, signed, replied)


@dataclass(frozen=True, repr=False)
class ReceivedOpening(Generic[OpeningT, ReplyT, S]):
    """P1 or D3 held: somebody asks. It holds the key only once the first frame under it opens (B2)."""

    kind: Kind[OpeningT, ReplyT]
    own: Party
    peer: Peer
    session_id: bytes
    payload: OpeningT
    opening: Signed
    _replied: Callable[[Session, OpeningT], S]

    def reply(self, *, now: Instant, entropy: Entropy) -> tuple[S, SealedReply]:
        """Send D1 or H1: pick r, R = r R_X1 (eq. 16, 38), derive SEK (eq. 17, 39), confirm it (eq. 18, 19, 40, 41)."""
        scalar, ephemeral, contribution = _draw(entropy), _draw(entropy), entropy(32)
        kind, own, key = self.kind, self.own.self_, self.peer.encryption_key
        reply = kind.reply_of(self.own)
        reply.key_statement.CopyFrom(own.key_statement)
        reply.registration_point = own.registration_point
        reply.agreement_point = _agreement_point(scalar, self.peer.party)
        reply.ephemeral_point = x_of(ephemeral.public_key())
        reply.contribution = contribution
        reply.sent_at = now
        th = kind.transcript_hash(self.opening.message, reply, own.credential, self.session_id)
        k1 = self.own.registration_secret.agree(self.payload.agreement_point, "K1")
        k2 = agree(SoftwareAgreement(scalar), self.peer.party.public_point, "K2", reply.agreement_point)
        shared = k1, k2, _forward_secret(ephemeral, self.payload.ephemeral_point)
        keys = derive(shared, (self.payload.contribution, contribution), th, kind.key_roles)
        reply.key_confirmation = keys.key_confirmation
        signed = kind.reply_transcript(reply, own.issuer_public_key, th)
        reply.signature = self.own.signing_key.sign(signed)
        context = kind.responder.context(own.identity, self.peer.identity, key.key_id, self.session_id, now)
        sealed = seal_reply(reply, key.encryption_key, context)
        message = reply.SerializeToString(deterministic=True)
        session = Session(
            own=self.own,
            peer=self.peer,
            session_id=self.session_id,
            transcript_hash=th,
            key_confirmation=keys.key_confirmation,
            sending=Direction(self.session_id, keys.backward),
            receiving=Direction(self.session_id, keys.forward),
            began_at=self.payload.sent_at,
            opening=self.opening,
            reply=Signed(kind.responder.label, signed, reply.signature, message),
        )
        return self._replied(session, self.payload), sealed


@dataclass(frozen=True, repr=False)
class SessionKeys:
    """The keys of a session: initiator to responder, responder to initiator, and kc (32 bytes)."""

    forward: DirectionKeys
    backward: DirectionKeys
    key_confirmation: bytes


def _draw(entropy: Entropy) -> ec.EllipticCurvePrivateKey:
    """Draw a scalar of 48 bytes of its own: r or e."""
    return scalar_from_seed(entropy(SCALAR_SEED_BYTES))


def _agreement_point(scalar: ec.EllipticCurvePrivateKey, peer: VerifiedParty) -> bytes:
    """Return x(r R_X1), of use to who holds this peer's S_X alone (eq. 11, 16, 33, 38)."""
    return scalar.exchange(ec.ECDH(), point_over(peer.registration_point))


def _forward_secret(ephemeral: ec.EllipticCurvePrivateKey, received: bytes) -> bytes:
    """Return Z = x(e_own E_peer)."""
    return ephemeral.exchange(ec.ECDH(), point_over(received))


def derive(
    shared: tuple[bytes, bytes, bytes], contributions: tuple[bytes, bytes], transcript_hash: bytes, roles: str
) -> SessionKeys:
    """Derive SEK_1 or SEK_2 (eq. 17, 22, 39, 44; B5, B13). `roles` is the initiator's letter and the responder's: "PD", "DH".

    `shared` are K1, K2 and Z: the two products of eq. 17's sum, and what forward secrecy rests on alone.
    PRK = HKDF-Extract-SHA256(salt = TH, ikm = F(K1) || F(K2) || F(Z) || F(kappa_1) || F(kappa_2)); each key is
    HKDF-Expand(PRK, T("key", name, TH)).
    """
    initiator, responder = roles[0], roles[1]
    material = b"".join(map(frame, (*shared, *contributions)))
    extracted = HKDF.extract(SHA256(), transcript_hash, material)

    def expand(name: str, length: int) -> bytes:
        info = transcript("key", name.encode(), transcript_hash)
        return HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(extracted)

    return SessionKeys(
        forward=DirectionKeys(expand(f"k_{initiator}>{responder}", 32), expand(f"iv_{initiator}>{responder}", 12)),
        backward=DirectionKeys(expand(f"k_{responder}>{initiator}", 32), expand(f"iv_{responder}>{initiator}", 12)),
        key_confirmation=expand(f"kc_{responder}", 32),
    )
