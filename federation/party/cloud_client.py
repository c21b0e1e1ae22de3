"""The calling side towards the public cloud, for hospitals, doctors and patients alike."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from federation.clock import Clock, system_clock, system_entropy
from federation.errors import AnswerMismatch, RevocationShardMissing, Unavailable, UnknownKeyId
from federation.party.channels import ChannelPool, call, peer_errors
from federation.party.lists import FollowedLists
from federation.party.member import Member
from federation.protocol import search as protocol
from federation.protocol.anchors import Lists, read_excerpt
from federation.protocol.bundle import TrustedBundle
from federation.protocol.calls import (
    CERTIFY_TLS,
    FETCH_RESTRICTIONS,
    PUBLISH,
    RENEW,
    RESTRICT,
    REVOKE,
    TICKET,
    Call,
)
from federation.protocol.parties import Entropy
from federation.protocol.restriction import (
    Restriction,
    Standings,
    Stating,
    ask_due,
    ask_restricting,
    receive_due,
    receive_standings,
)
from federation.protocol.revocation import STATEMENT_KINDS, TakenBack, peek_taken_back
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.protocol.verifier import EncryptionKey
from federation.v1.access_pb2 import Deputyship
from federation.v1.directory_pb2 import (
    GetAllRevocationShardsRequest,
    GetDirectoryRequest,
    GetDirectoryResponse,
    GetRevocationShardsRequest,
    GetTrustBundlesRequest,
    WatchDirectoryRequest,
    WatchDirectoryResponse,
)
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.membership_pb2 import (
    CertifyTlsIdentityRequest,
    EncryptionKeyRenewal,
    IssueTicketRequest,
    IssueTicketResponse,
    PutEncryptionKeyRequest,
    PutEncryptionKeyResponse,
    RenewalReceipt,
    TicketRequest,
    TlsIdentityRequest,
)
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.publication_pb2 import Publication, PublicationReceipt, PublishRequest
from federation.v1.publication_pb2_grpc import PublicationServiceStub
from federation.v1.registration_pb2 import (
    OpenRegistrationRequest,
    OpenRegistrationResponse,
    RegisterRequest,
)
from federation.v1.registration_pb2_grpc import RegistrationServiceStub
from federation.v1.restrictions_pb2 import (
    DueRestriction,
    FetchRestrictionsRequest,
    HeldRestriction,
    RestrictRequest,
)
from federation.v1.restrictions_pb2_grpc import RestrictionServiceStub
from federation.v1.revocation_pb2 import Revocation, RevokedStatement, RevokeRequest
from federation.v1.revocation_pb2_grpc import RevocationServiceStub
from federation.v1.search_pb2 import SearchRequest
from federation.v1.search_pb2_grpc import SearchServiceStub
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationExcerpt, SignedStatement
from federation.wire.channel import ANYWHERE, Dialling
from keystore.errors import CertificateRejected
from keystore.identities import PatientId
from keystore.transcript import digest
from keystore.x509 import TlsLeaf, is_issued_by, read_certificate, requested_key

Payload = TypeVar("Payload", bound=Message)
Answered = TypeVar("Answered")

CLOUD_KEY_KEPT_MS = 60_000
"""How long a verified EK_C is used without asking again."""

HEALTH_SECONDS = 3.0

ALL_SHARDS_SECONDS = 600.0
"""How long it may take to fetch all shards: 35 MB at a million entries."""

WATCH_SECONDS = 3600.0
"""How long one stream of the directory lives; its follower then opens the next."""


@dataclass(frozen=True)
class IssuedTicket:
    """A patient's ticket: 16 bytes, single use, and when it goes (ms)."""

    ticket: bytes
    expires_at: int

    def __repr__(self) -> str:
        return f"IssuedTicket(ticket={len(self.ticket)} bytes, expires_at={self.expires_at})"


class CloudClient:
    """Calls to the public cloud. Safe for several threads; close it, or use it as a context manager.

    Every method raises the cloud's refusal as its own class (`federation.errors`), or Unavailable.
    """

    def __init__(
        self,
        trust: Callable[[], TrustedBundle],
        *,
        leaf: Callable[[], TlsLeaf] | None = None,
        clock: Clock = system_clock,
        entropy: Entropy = system_entropy,
        opened: Callable[[grpc.Channel], grpc.Channel] = lambda channel: channel,
        dialling: Dialling = ANYWHERE,
    ) -> None:
        """Call the cloud of the trust bundle that holds at each call; a hospital's `leaf` is shown to it as a peer (mutual TLS).

        `opened` may wrap a new channel.
        """
        self.clock = clock
        self.entropy = entropy
        self._trust = trust
        self._leaf = leaf
        self._channels = ChannelPool(trust, opened, dialling=dialling)
        self._cloud_key: tuple[int, EncryptionKey] | None = None

    @property
    def _channel(self) -> grpc.Channel:
        content = self._trust().content
        return self._channels.get(content.cloud_address, content.cloud_id)

    def directory(self, held_crls: Sequence[bytes] = ()) -> GetDirectoryResponse:
        """Fetch EK_C, the head of the revocation list and the authorities' CRLs but those; nothing of it is verified yet."""
        return call(DirectoryServiceStub(self._channel).GetDirectory, GetDirectoryRequest(held_crls=held_crls))

    def shards(self, prefixes: Sequence[int], held_crls: Sequence[bytes]) -> RevocationExcerpt:
        """Fetch the shards of these prefixes, and the authorities' CRLs but those; nothing of them is verified yet."""
        request = GetRevocationShardsRequest(prefixes=prefixes, held_crls=held_crls)
        return call(DirectoryServiceStub(self._channel).GetRevocationShards, request).revocations

    def all_shards(self, held_crls: Sequence[bytes]) -> Iterator[RevocationExcerpt]:
        """Fetch all shards of one moment, in parts, and the authorities' CRLs but those; nothing of it is verified yet."""
        fetch = DirectoryServiceStub(self._channel).GetAllRevocationShards
        stream = fetch(GetAllRevocationShardsRequest(held_crls=held_crls), timeout=ALL_SHARDS_SECONDS)
        with peer_errors(fetch):
            for answer in stream:
                yield answer.revocations

    def answers(self) -> bool:
        """Return whether the cloud serves. Raises Unavailable and its like when it does not answer at all."""
        check: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        return call(check, HealthCheckRequest(), seconds=HEALTH_SECONDS).status == HealthCheckResponse.SERVING

    def bundles_after(self, sequence: int) -> Sequence[SignedStatement]:
        """Fetch the next trust bundles after a number, oldest first, perhaps not all; nothing of them is verified yet."""
        request = GetTrustBundlesRequest(after_sequence=sequence)
        return call(DirectoryServiceStub(self._channel).GetTrustBundles, request).trust_bundles

    def refresh(self, member: Member) -> Lists:
        """Bring the member's trust bundle and lists up to date.

        Raises what is wrong with a false bundle, SignatureInvalid, MalformedMessage for a false directory.
        """
        if not isinstance(member.lists, FollowedLists):
            directory = self.directory(member.lists.held_crls)
            lists = member.update(directory, self.bundles_after, self.shards)
            # It can act then, also where the cloud does not answer any more.
            member.lists.want(member.own_entries)
            return lists
        with self.watch(member.lists) as changes:
            return member.lists.follow(next(changes), self.bundles_after, self.all_shards)

    @contextmanager
    def watch(self, held: FollowedLists) -> Iterator[Iterator[WatchDirectoryResponse]]:
        """Follow the directory: one message at once, and another with each change. Leaving the block ends the stream."""
        follow = DirectoryServiceStub(self._channel).WatchDirectory
        request = WatchDirectoryRequest(held_crls=held.held_crls, revision=held.revision)
        stream = follow(request, timeout=WATCH_SECONDS)
        try:
            yield _reported(follow, stream)
        finally:
            stream.cancel()

    def cloud_key(self, member: Member) -> EncryptionKey:
        """Return EK_C, verified by PUK_C; asked for anew every minute."""
        now = self.clock()
        if self._cloud_key is not None and 0 <= now - self._cloud_key[0] < CLOUD_KEY_KEPT_MS:
            return self._cloud_key[1]
        self.refresh(member)
        directory = member.directory or GetDirectoryResponse()
        key = member.verifier().cloud_encryption_key(directory.cloud_encryption_key_statement, now=now)
        self._cloud_key = now, key
        return key

    def open_registration(self) -> OpenRegistrationResponse:
        """Ask for a challenge and EK_C."""
        return call(RegistrationServiceStub(self._channel).OpenRegistration, OpenRegistrationRequest())

    def send_registration(self, opening: SealedOpening) -> SealedReply:
        """Send reg1 and return reg2, not opened yet. The same reg1 again gets the same answer."""
        return call(RegistrationServiceStub(self._channel).Register, RegisterRequest(opening=opening)).reply

    def renew(self, member: Member, address: str | None = None) -> RenewalReceipt:
        """Put the newest EK_X to the cloud, of a new epoch if one is due, and a hospital's address; take KS signed anew."""
        now = self.clock()
        statement = member.epochs.rotate(now) if member.epochs.is_due(now) else member.epochs.current(now)
        payload = EncryptionKeyRenewal(encryption_key_statement=statement, address=address)
        stub = MembershipServiceStub(self._channel)

        def send(opening: SealedOpening) -> PutEncryptionKeyResponse:
            return call(stub.PutEncryptionKey, PutEncryptionKeyRequest(opening=opening))

        answer, _ = self._sealed(member, RENEW, payload, send)
        receipt = member.anchors.open("ekack", RenewalReceipt, answer.receipt)  # ekack.1
        if receipt.key_id != peek_statement(EncryptionKeyStatement, statement).key_id:
            raise AnswerMismatch("the receipt is for another encryption key")  # ekack.2
        if answer.HasField("key_statement"):
            member.restate(answer.key_statement, now=self.clock())
        return receipt

    def publish(self, member: Member, publication: Publication) -> SignedStatement:
        """Publish or withdraw a record over mutual TLS; return PUBACK, verified. T, nonce and signature are set here."""
        publication.nonce = self.entropy(16)
        stub = PublicationServiceStub(self._peer_channel())

        def send(opening: SealedOpening) -> SignedStatement:
            return call(stub.Publish, PublishRequest(opening=opening)).receipt

        signed, plaintext = self._sealed(member, PUBLISH, publication, send)
        receipt = member.anchors.open("puback", PublicationReceipt, signed)  # PUBACK.1
        if receipt.publication_digest != digest(plaintext):
            raise AnswerMismatch("the receipt is for another publication")  # PUBACK.2
        return signed

    def issue_ticket(self, member: Member, patient_id: PatientId) -> IssuedTicket:
        """Get a ticket for a patient whom this hospital has identified, over mutual TLS."""
        payload = TicketRequest(hospital_id=member.identity, patient_id=patient_id, nonce=self.entropy(16))
        stub = MembershipServiceStub(self._peer_channel())

        def send(opening: SealedOpening) -> IssueTicketResponse:
            return call(stub.IssueTicket, IssueTicketRequest(opening=opening))

        answer, _ = self._sealed(member, TICKET, payload, send)
        return IssuedTicket(answer.ticket, answer.expires_at)

    def certify_tls_identity(self, member: Member, request: bytes) -> x509.Certificate:
        """Have a hospital's identity CA certified; `request` is PKCS#10, DER. Raises AnswerMismatch for another's."""
        payload = TlsIdentityRequest(
            hospital_id=member.identity, certificate_signing_request=request, nonce=self.entropy(16)
        )
        stub = MembershipServiceStub(self._channel)

        def send(opening: SealedOpening) -> bytes:
            return call(stub.CertifyTlsIdentity, CertifyTlsIdentityRequest(opening=opening)).certificate

        certificate, _ = self._sealed(member, CERTIFY_TLS, payload, send)
        return self._require_issued(certificate, requested_key(request, member.identity))

    def revoke(
        self,
        member: Member,
        statements: Sequence[tuple[str, SignedStatement]],
        *,
        owner_id: str | None = None,
        before: Instant | None = None,
        deputyship: Deputyship | None = None,
    ) -> Lists:
        """Take back statements, each with its kind, or what was signed before a time; return the list that says so, verified.

        They are the member's own, or by a deputyship those of `owner_id`. Kinds are "grant", "mandate", "guardian", "duty".
        Raises AnswerMismatch for a list that names not all that still holds.
        """
        owner = member.identity if owner_id is None else owner_id
        taken = [peek_taken_back(kind, signed) for kind, signed in statements]
        payload = Revocation(
            owner_id=owner,
            statements=[RevokedStatement(kind=STATEMENT_KINDS[kind], statement=it) for kind, it in statements],
            before=before,
            deputyship=deputyship,
            key_statement=member.key_statement,
            nonce=self.entropy(16),
        )
        stub = RevocationServiceStub(self._channel)

        def send(opening: SealedOpening) -> RevocationExcerpt:
            return call(stub.Revoke, RevokeRequest(opening=opening)).revocations

        excerpt, _ = self._sealed(member, REVOKE, payload, send)
        lists = read_excerpt(member.anchors, excerpt, ())  # rev.13
        # What is over by itself the list may have forgotten already.
        expected = [it for it in taken if self.clock() < it.validity.not_after]
        if not _names_all(lists, expected, owner, before):
            raise AnswerMismatch("the revocation list of the answer does not name what was taken back")  # rev.14
        self.refresh(member)
        return lists

    def restrict(
        self,
        member: Member,
        patient_id: PatientId,
        stating: Stating | None = None,
        deputyship: Deputyship | None = None,
    ) -> tuple[Standings, Restriction]:
        """State what a patient hides, or without a restriction ask; return what stands, verified, and how far it has come.

        Raises RestrictionSuperseded where something else stands than what it follows.
        """
        party = member.party(self.clock())
        payload = ask_restricting(party, patient_id, stating, deputyship, self.entropy(16))
        stub = RestrictionServiceStub(self._channel)

        def send(opening: SealedOpening) -> SealedReply:
            return call(stub.Restrict, RestrictRequest(opening=opening)).reply

        reply, plaintext = self._sealed(member, RESTRICT, payload, send)
        return receive_standings(reply, party, payload, plaintext, member.verifier(), now=self.clock())

    def fetch_restrictions(self, member: Member, held: Sequence[HeldRestriction]) -> Sequence[DueRestriction]:
        """Acknowledge what a hospital has taken, and fetch what is due there next, over mutual TLS; unverified."""
        party = member.party(self.clock())
        payload = ask_due(party, held, entropy=self.entropy)
        stub = RestrictionServiceStub(self._peer_channel())

        def send(opening: SealedOpening) -> SealedReply:
            return call(stub.FetchRestrictions, FetchRestrictionsRequest(opening=opening)).reply

        reply, _ = self._sealed(member, FETCH_RESTRICTIONS, payload, send)
        return receive_due(reply, party, member.verifier(), now=self.clock())

    def search(self, member: Member, question: protocol.Question) -> protocol.Answer:
        """Ask where a patient's records are: D2 and C. Raises Authorization for what is wrong with the grant."""
        try:
            return self._search_once(member, question)
        except UnknownKeyId:
            self._cloud_key = None
            return self._search_once(member, question)

    def close(self) -> None:
        """Close the channels."""
        self._channels.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sealed(
        self, member: Member, kind: Call[Payload], payload: Payload, send: Callable[[SealedOpening], Answered]
    ) -> tuple[Answered, bytes]:
        """Sign, seal and send one call; return the answer and the payload's exact bytes. Once more if EK_C has changed."""
        try:
            return self._sealed_once(member, kind, payload, send)
        except UnknownKeyId:
            self._cloud_key = None
            return self._sealed_once(member, kind, payload, send)

    def _sealed_once(
        self, member: Member, kind: Call[Payload], payload: Payload, send: Callable[[SealedOpening], Answered]
    ) -> tuple[Answered, bytes]:
        key = self.cloud_key(member)
        opening, plaintext = kind.send(payload, member.signing_key, key, now=self.clock())
        return send(opening), plaintext

    def _search_once(self, member: Member, question: protocol.Question) -> protocol.Answer:
        key = self.cloud_key(member)
        now = self.clock()
        awaiting, opening = protocol.ask(
            member.party(now),
            question,
            key,
            member.verifier(),
            now=now,
            entropy=self.entropy,
        )
        reply = call(SearchServiceStub(self._channel).Search, SearchRequest(opening=opening)).reply
        return awaiting.receive(reply, member.verifier(), now=self.clock())

    def _peer_channel(self) -> grpc.Channel:
        if self._leaf is None:
            raise Unavailable("this party has no TLS identity to show to the cloud")
        content = self._trust().content
        return self._channels.get(content.cloud_peer_address, content.cloud_id, self._leaf())

    def _require_issued(self, certificate: bytes, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        try:
            issued = read_certificate(certificate)
        except CertificateRejected as error:
            raise AnswerMismatch("what should be the certificate is none") from error  # tlsca.2
        roots = map(x509.load_der_x509_certificate, self._trust().content.tls_ca_certificates)
        if not any(is_issued_by(issued, root) for root in roots):
            raise AnswerMismatch("the certificate does not come from the federation's CA")  # tlsca.3
        certified = issued.public_key()
        if certified != key:
            raise AnswerMismatch("the certificate is for another key")  # tlsca.4
        return issued


def _names_all(lists: Lists, taken: Sequence[TakenBack], owner: str, before: Instant | None) -> bool:
    try:
        return all(it.is_named_by(lists) for it in taken) and (not before or lists.swept_before(owner) >= before)
    except RevocationShardMissing:
        return False


def _reported(method: object, stream: Iterator[WatchDirectoryResponse]) -> Iterator[WatchDirectoryResponse]:
    with peer_errors(method):
        yield from stream
