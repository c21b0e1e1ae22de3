"""The public cloud, the medical authority and the clock of the in-memory federation (tests/simulator.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import Authorization
from federation.party.epochs import EpochKeeper
from federation.party.lists import FollowedLists
from federation.party.member import Member
from federation.protocol import search
from federation.protocol.access import Allowed, Receiver
from federation.protocol.anchors import Anchors, Lists, key_entry, periods_of, serial_entry
from federation.protocol.authorities import crls_beside, pin_crl
from federation.protocol.bundle import TrustedBundle, issue, issue_next
from federation.protocol.index import BlindIndex, Location
from federation.protocol.registration import LiveRegistration, TicketTerms, receive_request, restate
from federation.protocol.revocations import Change, WholeSet, prefix_of
from federation.protocol.statements import peek_statement, sign_statement
from federation.protocol.time import Lifetimes
from federation.protocol.verifier import EncryptionKey, Verifier
from federation.store.party import ReplayMemory
from federation.v1 import search_pb2
from federation.v1.directory_pb2 import (
    GetDirectoryResponse,
    MedicalAuthority,
    TrustBundle,
    WatchDirectoryResponse,
    WitnessPolicy,
)
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    CrlPin,
    KeyStatement,
    RevocationExcerpt,
    RevocationHead,
    SignedStatement,
)
from hsm import Token
from keystore import x509 as issuing
from keystore.generations import Generations
from keystore.party import IDENTITY, ISSUING, CloudKeys, PartyKeys
from tests.policies import stated
from tests.sqlite_stores import new_epochs, new_replay_memory

START = 1_790_000_000_000
CLASSES = ("cardiology", "neurology", "psychiatry")
CLOUD_ID = "C:union"


@dataclass
class Clock:
    """The federation's one clock; each party may differ from it by its own skew."""

    now: int = START

    def advance(self, duration: timedelta) -> None:
        self.now += duration // timedelta(milliseconds=1)

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now / 1000, UTC)


class Authority:
    """A medical authority, its CA key in a token."""

    def __init__(self, token: Token, clock: Clock, authority_id: str = "M:chamber") -> None:
        self.clock = clock
        self.authority_id = authority_id
        self.key = token.generate_signing("authority")
        self.certificate = issuing.create_authority(self.key, authority_id, now=clock.moment)
        self.doctor_ids = ["D:*"]
        self.crl_url: str | None = None
        self.revoked: list[issuing.RevokedCertificate] = []
        self.crl_number = 0
        self._crl = b""
        self._said: tuple[int, int] | None = None

    def certify(self, keys: PartyKeys, doctor_id: str, life: timedelta = issuing.DOCTOR_LIFE) -> bytes:
        request = issuing.request_certificate(keys.signing_key.x509, doctor_id)
        issued = issuing.issue_doctor_certificate(
            self.certificate, self.key, request, doctor_id, now=self.clock.moment, life=life
        )
        return issued.public_bytes(Encoding.DER)

    def revoke(self, certificate: bytes) -> None:
        serial = x509.load_der_x509_certificate(certificate).serial_number
        self.revoked.append(issuing.RevokedCertificate(serial, self.clock.moment))

    def crl(self) -> bytes:
        """Give the newest CRL; it is made anew, under the next number, where the time or what is revoked is another."""
        if self._said != (self.clock.now, len(self.revoked)):
            self._said = self.clock.now, len(self.revoked)
            self.crl_number += 1
            crl = issuing.issue_crl(self.certificate, self.key, self.revoked, self.crl_number, now=self.clock.moment)
            self._crl = crl.public_bytes(Encoding.DER)
        return self._crl

    def pin(self) -> CrlPin:
        crl = self.crl()
        return pin_crl(self.certificate.public_bytes(Encoding.DER), self.crl_number, crl)

    def as_anchor(self) -> MedicalAuthority:
        return MedicalAuthority(
            authority_id=self.authority_id,
            certificate=self.certificate.public_bytes(Encoding.DER),
            doctor_ids=self.doctor_ids,
            crl_url=self.crl_url,
        )


class MemoryBook:
    """The cloud's generations, in memory."""

    def __init__(self) -> None:
        self.generations = Generations()

    def read(self) -> Generations:
        return self.generations


@dataclass
class Cloud:
    """The public cloud."""

    keys: CloudKeys
    book: MemoryBook
    clock: Clock
    authority: Authority
    entropy: Callable[[int], bytes]
    sequence: int = 0
    published: tuple[GetDirectoryResponse, WholeSet] | None = None
    revoked_serials: list[bytes] = field(default_factory=list)
    revoked_statements: list[bytes] = field(default_factory=list)
    sweeps: dict[bytes, int] = field(default_factory=dict)
    revoked_keys: list[bytes] = field(default_factory=list)
    shared_keys: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    replay: ReplayMemory = field(default_factory=new_replay_memory)
    rows: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    hospitals: dict[str, tuple[SignedStatement, SignedStatement]] = field(default_factory=dict)
    more_authorities: list[Authority] = field(default_factory=list)
    witness_policies: list[WitnessPolicy] = field(default_factory=lambda: [stated()])

    def __post_init__(self) -> None:
        self.epochs = EpochKeeper(CLOUD_ID, self.keys, new_epochs(), Lifetimes())
        self.index = BlindIndex(self.keys.index, self.keys.sealing)
        self.founding_keys = {
            ISSUING: self.keys.issuing.public_key,
            IDENTITY: self.keys.signing_key.verifying_key.data,
        }
        self.bundles = [issue(self.bundle_content(), self.keys.signing_key)]

    def bundle_content(self) -> TrustBundle:
        generations = self.book.read()
        return TrustBundle(
            realm="test",
            cloud_id=CLOUD_ID,
            cloud_address="localhost:1",
            cloud_peer_address="localhost:2",
            issuers=periods_of(generations, ISSUING, self.founding_keys[ISSUING]),
            cloud_keys=periods_of(generations, IDENTITY, self.founding_keys[IDENTITY]),
            tls_ca_certificates=[b"unused"],
            medical_authorities=[authority.as_anchor() for authority in self.authorities],
            department_classes=CLASSES,
            issued_at=self.clock.now,
            offline_grace_seconds=7 * 24 * 3600,
            witness_policies=self.witness_policies,
        )

    @property
    def authorities(self) -> list[Authority]:
        return [self.authority, *self.more_authorities]

    @property
    def bundle(self) -> TrustedBundle:
        return self.bundles[-1]

    def bundles_after(self, sequence: int) -> list[SignedStatement]:
        return [bundle.signed for bundle in self.bundles[sequence:]]

    def publish_bundle(self) -> None:
        """Say in the next bundle what the book says now; the active PRK_C signs it."""
        content = self.bundle_content()
        self.bundles.append(issue_next(self.bundle, content, self.keys.signing_key, now=self.clock.now))

    def rotate(self, *purposes: str) -> None:
        """Prepare the next generations, tell everybody, and activate them a minute later."""
        for purpose in purposes:
            successor = self.keys.generate_successor(purpose, self.clock.now)
            self.book.generations = self.book.generations.prepare(purpose, self.clock.now, successor.public)
        self.publish_bundle()
        self.clock.advance(timedelta(minutes=1))
        for purpose in purposes:
            self.book.generations = self.book.generations.activate(purpose, self.clock.now, self.clock.now)
        self.publish_bundle()

    def revoke_generation(self, *purposes: str, number: int = 1) -> None:
        for purpose in purposes:
            self.book.generations = self.book.generations.revoke(purpose, number, self.clock.now)
        self.publish_bundle()

    @property
    def anchors(self) -> Anchors:
        return self.bundle.anchors

    @property
    def revoked(self) -> WholeSet:
        """What is revoked now."""
        entries = [
            *map(serial_entry, self.revoked_serials),
            *self.revoked_statements,
            *map(key_entry, self.revoked_keys),
        ]
        swept = [Change(whose, before) for whose, before in self.sweeps.items()]
        return WholeSet.from_changes([*map(Change, entries), *swept])

    def revocation_head(self) -> SignedStatement:
        self.sequence += 1
        now, revoked = self.clock.now, self.revoked
        content = RevocationHead(
            sequence=self.sequence,
            this_update=now,
            next_update=now + 3_600_000,
            root=revoked.root,
            entries=revoked.entries,
            revision=self.sequence,
            bundle_sequence=self.bundle.sequence,
            crls=[authority.pin() for authority in self.authorities],
        )
        return sign_statement("rl", content, self.keys.signing_key)

    def excerpt(self, *entries: bytes) -> RevocationExcerpt:
        """Give the shards of these entries under a head of now."""
        return self.revoked.excerpt(self.revocation_head(), map(prefix_of, entries))

    def shards(self, prefixes: Sequence[int], held_crls: Sequence[bytes] = ()) -> RevocationExcerpt:
        """Give these shards, and the CRLs but those, as the newest directory that was handed out has them."""
        directory, revoked = self._published()
        excerpt = revoked.excerpt(directory.revocation_head, prefixes)
        excerpt.certificate_revocation_lists.extend(crls_beside(directory.certificate_revocation_lists, held_crls))
        return excerpt

    def _published(self) -> tuple[GetDirectoryResponse, WholeSet]:
        if self.published is None:
            self.directory()
        assert self.published is not None
        return self.published

    def all_shards(self, held_crls: Sequence[bytes]) -> list[RevocationExcerpt]:
        """Give all shards of the newest directory that was handed out, and its CRLs but those."""
        directory, revoked = self._published()
        head, crls = directory.revocation_head, crls_beside(directory.certificate_revocation_lists, held_crls)
        shards = [shard.message(prefix) for prefix, shard in enumerate(revoked.shards)]
        parts = (RevocationExcerpt(head=head, shards=shards[at : at + 32]) for at in range(0, len(shards), 32))
        return [RevocationExcerpt(head=head, certificate_revocation_lists=crls), *parts]

    def changes(self, directory: GetDirectoryResponse) -> WatchDirectoryResponse:
        """Give a directory whole, as what a follower does not have."""
        return WatchDirectoryResponse(
            cloud_encryption_key_statement=directory.cloud_encryption_key_statement,
            revocation_head=directory.revocation_head,
            certificate_revocation_lists=directory.certificate_revocation_lists,
            trust_bundle=directory.trust_bundle,
        )

    def hand_over(self, directory: GetDirectoryResponse, member: Member) -> None:
        """Hand a directory to a member: a hospital takes all shards with it, others ask for those that they need."""
        if isinstance(member.lists, FollowedLists):
            member.lists.follow(self.changes(directory), self.bundles_after, self.all_shards)
        else:
            member.update(directory, self.bundles_after, self.shards)

    def directory(self) -> GetDirectoryResponse:
        directory = GetDirectoryResponse(
            cloud_encryption_key_statement=self.epochs.current(self.clock.now),
            revocation_head=self.revocation_head(),
            certificate_revocation_lists=[self.authority.crl()],
            trust_bundle=self.bundle.signed,
        )
        self.published = directory, self.revoked
        return directory

    def verifier(self) -> Verifier:
        crls = (self.authority.crl(),)
        return Verifier(self.anchors, Lists.read(self.anchors, self.revocation_head(), crls, self.revoked))

    def encryption_key(self) -> EncryptionKey:
        return self.verifier().cloud_encryption_key(self.epochs.current(self.clock.now), now=self.clock.now)

    def register(self, member: Member, role: int, evidence: bytes, certificate: bytes = b"") -> None:
        """Run the registration phase for a member who has a ticket (or Cert_D), or, registered already, its live PRK_X."""
        now, challenge = self.clock.now, self.entropy(16)
        live = LiveRegistration(member.key_statement) if member.is_registered else None
        ticket = None if role == ROLE_DOCTOR or live else self.entropy(16)
        current = member.signing_key if live else None
        applicant = member.applicant(role, evidence, ticket, now=now, current=current)
        waiting, opening = applicant.apply(challenge, self.encryption_key(), now=now)
        received = receive_request(opening, self.epochs, CLOUD_ID)
        accepted = received.accept(
            self.verifier(),
            challenge_holds=True,
            ticket=TicketTerms(role, member.identity),
            live=live,
            now=now,
        )
        serial = self.entropy(16)
        credential = accepted.credential(serial, now=now)
        issued = self.keys.issuing.issue(credential)
        key_statement, reply = accepted.answer(
            credential, issued, self.keys.signing_key, self.excerpt(serial_entry(serial)), now=now
        )
        shared = issued.shared_key(member.identity, serial)
        self.shared_keys[member.identity] = serial, shared
        issued.wipe()
        registered = waiting.receive(reply, self.anchors, (self.authority.crl(),), member.freshness, now=now)
        member.install(registered, certificate)
        self.hand_over(self.directory(), member)
        if role == ROLE_HOSPITAL:
            self.hospitals[member.identity] = key_statement, applicant.encryption_key_statement

    def restate(self, member: Member) -> None:
        """Sign a member's KS anew by the active PRK_C, and hand it over."""
        signed = restate(peek_statement(KeyStatement, member.key_statement), self.keys.signing_key, now=self.clock.now)
        assert member.restate(signed, now=self.clock.now)
        if member.identity in self.hospitals:
            self.hospitals[member.identity] = signed, self.hospitals[member.identity][1]

    def publish(self, patient_id: str, location: Location) -> None:
        name = self.index.names(patient_id, location)[0]
        self.rows.setdefault(name.row_key, {})[name.row_id] = self.index.seal(name, location)

    def locations(self, patient_id: str, classes: tuple[str, ...], allowed: Allowed) -> list[Location]:
        """Return where records are that an access shows, in the order of their classes."""
        found = []
        for name in classes:
            key = self.index.patients(patient_id)[0].row_key(name)
            for row_id, sealed in self.rows.get(key, {}).items():
                location = self.index.reveal(key, row_id, sealed)
                if allowed.shows(location.hospital_id, name, location.handle.hex(), location.sensitivity):
                    found.append(location)
        return found

    def page(self, found: list[Location], after: int) -> search.Findings:
        """Put on a page what it holds of the locations behind the first so many."""
        page, taken = search.Page(), after
        for location in found[after:]:
            key_statement, encryption_key = self.hospitals[location.hospital_id]
            hospital = search_pb2.IndexHospital(
                hospital_id=location.hospital_id,
                address="localhost:3",
                key_statement=key_statement,
                encryption_key_statement=encryption_key,
            )
            if not page.take(hospital, location.department_id, location.handle):
                break
            taken += 1
        outcome = search_pb2.SEARCH_OUTCOME_FOUND if found else search_pb2.SEARCH_OUTCOME_NONE
        return search.Findings(outcome, page.hospitals, b"%d" % taken if taken < len(found) else b"")

    def answer(self, opening: SealedOpening, verifier: Verifier | None = None) -> SealedReply:
        """Take D2 and answer C, as the search service does, by lists that are made now unless some are at hand."""
        now, verifier = self.clock.now, verifier or self.verifier()
        claimed = search.receive_query(opening, self.epochs, verifier, now=now)
        serial, shared = self.shared_keys.get(claimed.claimed_asker, (None, bytes(32)))
        pending = claimed.verify(serial, shared, verifier, now=now)
        query = pending.admit(self.replay.admit(pending.replay_key, now=now, until=pending.keep_until))
        try:
            allowed, classes = query.decide(verifier, Receiver(), now=now)
        except Authorization as error:
            findings = query.refusal(error)
        else:
            found = self.locations(query.query.patient_id, classes, allowed)
            findings = self.page(found, int(query.query.after or 0))
        return query.answer(findings, CLOUD_ID, self.keys.signing_key, now=now)
