"""EMR search, first half, Chen et al. 2020, eq. 25-32: the doctor asks the public cloud where a patient's records are.

D2  The doctor asks by the patient's consent, and proves that it shares K_D with the cloud (X7); or the patient asks itself.
C   The cloud checks who asks and why it may, looks in its blind index, logs, and answers bound to the question (C2).

With the right "log" the patient asks who did: C carries what the cloud's log has of it, in place of rows.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from federation.errors import (
    AnswerMismatch,
    Authorization,
    FieldInvalid,
    IdentityMismatch,
    NotRegistered,
    ProofInvalid,
    SessionUnknown,
)
from federation.protocol import outcomes
from federation.protocol.access import AccessEvent, Allowed, Receiver, Right
from federation.protocol.access import Question as Asked
from federation.protocol.access_log import entries_digest
from federation.protocol.outcomes import Outcome
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party, Pending
from federation.protocol.sealing import (
    UNNAMED,
    Context,
    Opened,
    after_opening,
    find_key,
    open_payload,
    require_session_id,
    seal_opening,
    seal_reply,
)
from federation.protocol.shown import Shown, asker_of
from federation.protocol.statements import RIGHT_NAMES, Signed, certificate_digest, verify_signature
from federation.protocol.time import Instant
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier, role_of
from federation.v1 import search_pb2 as pb
from federation.v1.access_pb2 import AccessEntry
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.search_pb2 import IndexRow, SearchAnswer, SearchQuery
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_LOG, ROLE_DOCTOR, ROLE_HOSPITAL, ROLE_PATIENT
from keystore.encryption import DecryptionKey, Keyring
from keystore.identities import ANY, DepartmentId, PatientId
from keystore.signatures import SigningKey
from keystore.transcript import digest, listing, row, text, transcript, u64

ROWS_PER_PAGE = 8
ACCESSES_PER_PAGE = 32


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def query_proof(shared_key: bytes, query: SearchQuery) -> bytes:
    """Return HMAC(K_A, T("D2-proof", T_D2, ID_P, ID_DE, nonce)): only who asks and the cloud can (X7)."""
    fields = u64(query.sent_at), text(query.patient_id), text(query.department_class), query.nonce
    return _hmac(shared_key, transcript("D2-proof", *fields))


def answer_proof(shared_key: bytes, sent_at: Instant, query_signature: bytes) -> bytes:
    """Return HMAC(K_A, T("C-proof", T_C, H(Sig_D2))) (X8)."""
    return _hmac(shared_key, transcript("C-proof", u64(sent_at), digest(query_signature)))


def query_transcript(query: SearchQuery, asker: VerifiedParty, cloud_id: str) -> bytes:
    """Return what Sig_D2 covers: eq. 26 with the proof in S_D's slot."""
    return transcript(
        "D2",
        query.proof,
        asker.registration_point,
        asker.serial,
        u64(query.sent_at),
        text(query.patient_id),
        text(query.department_class),
        text(query.asker_id),
        certificate_digest(query.doctor_certificate),
        Shown.of(query).signed_digest,
        u64(query.page),
        query.nonce,
        text(cloud_id),
        text(RIGHT_NAMES[query.right]),
    )


def rows_digest(rows: Sequence[IndexRow]) -> bytes:
    """Return H(rows)."""
    return digest(listing([_row(entry) for entry in rows]))


def answer_transcript(answer: SearchAnswer, query: SearchQuery, asker: VerifiedParty) -> bytes:
    """Return what Sig_C covers: eq. 30, bound to the question (C2)."""
    return transcript(
        "C",
        text(outcomes.of_search(answer.outcome).name),
        text(query.department_class),
        answer.proof,
        asker.registration_point,
        asker.serial,
        listing([text(entry.hospital_id) for entry in answer.rows]),
        u64(answer.sent_at),
        text(query.asker_id),
        digest(query.signature),
        rows_digest(answer.rows),
        u64(answer.page),
        u64(answer.pages),
        entries_digest(answer.accesses),
    )


@dataclass(frozen=True)
class Question:
    """What somebody wants to know, by what access: a page of a patient's records of one department class, or of ANY.

    With the right "log", a page of who asked for them, of ANY.
    """

    shown: Shown
    department_class: str = ANY
    page: int = 0
    right: Right = RIGHT_INDEX


def ask(
    asker: Party,
    question: Question,
    cloud_key: EncryptionKey,
    verifier: Verifier,
    *,
    now: Instant,
    entropy: Entropy,
) -> "tuple[AwaitingAnswer, SealedOpening]":
    """Send D2 (eq. 25, 26)."""
    session_id, shown = entropy(16), question.shown
    query = SearchQuery(
        patient_id=shown.patient_id,
        sent_at=now,
        asker_id=asker.identity,
        doctor_certificate=asker.certificate or None,
        department_class=question.department_class,
        page=question.page,
        nonce=entropy(16),
        key_statement=asker.self_.key_statement,
        encryption_key_statement=asker.encryption_key_statement,
        access=shown.access,
        right=question.right,
    )
    shared_key = asker.registration_secret.shared_key(asker.identity, asker.self_.serial)
    query.proof = query_proof(shared_key, query)
    covered = query_transcript(query, asker.self_, cloud_key.owner)
    query.signature = asker.signing_key.sign(covered)
    context = Context("d2", UNNAMED, cloud_key.owner, cloud_key.key_id, session_id, now)
    opening, plaintext = seal_opening(query, cloud_key.encryption_key, context)
    own_key = verifier.encryption_key(asker.encryption_key_statement, asker.self_, now=now).key_id
    asked = Signed("D2", covered, query.signature, plaintext)
    state = AwaitingAnswer(asker, query, asked, session_id, shared_key, cloud_key.owner, asker.keyring.find(own_key))
    return state, opening


@dataclass(frozen=True)
class RecordLocation:
    """Where a record is: an index row whose hospital's statements held."""

    hospital: VerifiedParty
    encryption_key: EncryptionKey
    address: str
    department_id: DepartmentId
    handle: bytes


@dataclass(frozen=True, repr=False)
class Answer:
    """What the cloud answered. No record yet is no error: `locations` is empty. `accesses` are the newest first."""

    locations: tuple[RecordLocation, ...]
    accesses: tuple[AccessEntry, ...]
    page: int
    pages: int
    query: SearchQuery
    asked: Signed
    answered: Signed


@dataclass(frozen=True, repr=False)
class AwaitingAnswer:
    """D2 is sent."""

    asker: Party
    query: SearchQuery
    asked: Signed
    session_id: bytes
    shared_key: bytes
    cloud_id: str
    decryption_key: DecryptionKey

    def receive(self, reply: SealedReply, verifier: Verifier, *, now: Instant) -> Answer:
        """Take C (eq. 31, 32). Raises Authorization for what is wrong with the access, Rejected for a false answer."""
        check(reply)  # C.1
        if reply.session_id != self.session_id:
            raise SessionUnknown("the answer belongs to another question")  # C.2
        verifier.freshness.require(reply.sent_at, now=now)  # C.3
        with after_opening():
            outcome, answer = self._accept(reply, verifier, now)
        if outcome.error is not None:
            raise outcome.error(f"the public cloud refuses: {outcome.name}")  # C.12
        return answer

    def _accept(self, reply: SealedReply, verifier: Verifier, now: Instant) -> "tuple[Outcome, Answer]":
        context = Context(
            "c", self.cloud_id, self.asker.identity, self.decryption_key.key_id, self.session_id, reply.sent_at
        )
        opened = open_payload(SearchAnswer, reply.sealed, self.decryption_key, context)  # C.4
        answer = opened.payload
        expected = answer_proof(self.shared_key, answer.sent_at, self.query.signature)
        if not hmac.compare_digest(expected, answer.proof):
            raise ProofInvalid("the answer is not from the cloud that shares K_D, or to another question")  # C.5
        covered = answer_transcript(answer, self.query, self.asker.self_)
        answered = Signed("C", covered, answer.signature, opened.plaintext)
        answered.verify(verifier.anchors.cloud_key_at(answer.sent_at))  # C.6, C.7
        if answer.page != self.query.page:
            raise AnswerMismatch("the answer is of another page")  # C.8
        if answer.rows if self.query.right == RIGHT_LOG else answer.accesses:
            raise AnswerMismatch("the answer is to another question")  # C.13
        locations = tuple(_place(entry, verifier, now) for entry in answer.rows)
        return outcomes.of_search(answer.outcome), Answer(
            locations, tuple(answer.accesses), answer.page, answer.pages, self.query, self.asked, answered
        )


def _place(entry: IndexRow, verifier: Verifier, now: Instant) -> RecordLocation:
    hospital = verifier.party(entry.key_statement, ROLE_HOSPITAL, now=now)  # C.9
    if hospital.identity != entry.hospital_id:
        raise IdentityMismatch("an index row names another hospital than its statement")  # C.10
    key = verifier.encryption_key(entry.encryption_key_statement, hospital, now=now)  # C.11
    return RecordLocation(hospital, key, entry.address, DepartmentId(entry.department_id), entry.handle)


@dataclass(frozen=True, repr=False)
class ClaimedQuery:
    """D2 is open. Look up the live registration of `claimed_asker` and its K_A, then verify."""

    opened: Opened[SearchQuery]
    session_id: bytes

    @property
    def claimed_asker(self) -> str:
        """Return the ID_A that the query names; nothing is verified yet."""
        return self.opened.payload.asker_id

    def verify(
        self, registered_serial: bytes | None, shared_key: bytes, verifier: Verifier, *, now: Instant
    ) -> "Pending[VerifiedQuery]":
        """Check who asks, Cert_D, proof and Sig_D2 (eq. 27, 28). Raises Rejected."""
        query = self.opened.payload
        with after_opening():
            role = role_of(query.asker_id, (ROLE_DOCTOR, ROLE_PATIENT))
            asker = verifier.member(query.key_statement, role, query.doctor_certificate, now=now)  # D2.3
            if asker.identity != query.asker_id:
                raise IdentityMismatch("the key statement is not of whoever asks")  # D2.4
            if asker.serial != registered_serial:
                raise NotRegistered("whoever asks has no live registration with this credential")  # D2.5
            key = verifier.encryption_key(query.encryption_key_statement, asker, now=now)  # D2.6
            if not hmac.compare_digest(query_proof(shared_key, query), query.proof):
                raise ProofInvalid("whoever asks does not share K_A with this cloud")  # D2.7
            # D2.8
            verify_signature(asker.key, query.signature, query_transcript(query, asker, verifier.anchors.cloud_id))
        verified = VerifiedQuery(query, asker, key, self.session_id, shared_key)
        replay_key = digest(transcript("D2", text(query.asker_id), query.nonce))
        return Pending(replay_key, verifier.freshness.replay_key_until(now=now), verified)


def receive_query(opening: SealedOpening, keyring: Keyring, verifier: Verifier, *, now: Instant) -> ClaimedQuery:
    """Open D2. Raises precise errors for clear fields, Rejected for anything after opening."""
    key = find_key(opening, keyring, freshness=verifier.freshness, now=now)  # D2.1
    require_session_id(opening, size=16)
    with after_opening():
        context = Context("d2", UNNAMED, verifier.anchors.cloud_id, key.key_id, opening.session_id, opening.sent_at)
        return ClaimedQuery(open_payload(SearchQuery, opening.sealed, key, context), opening.session_id)  # D2.2


@dataclass(frozen=True)
class Findings:
    """What the cloud is about to say: an outcome, the rows or accesses of the page asked for, and how many pages there are."""

    outcome: "pb.SearchOutcome.ValueType"
    rows: tuple[IndexRow, ...] = ()
    pages: int = 1
    accesses: tuple[AccessEntry, ...] = ()


@dataclass(frozen=True, repr=False)
class VerifiedQuery:
    """Who asks is proved. Next: why it may."""

    query: SearchQuery
    asker: VerifiedParty
    asker_key: EncryptionKey
    session_id: bytes
    shared_key: bytes

    @property
    def is_for_log(self) -> bool:
        """Return whether it is asked who did, not where records are."""
        return self.query.right == RIGHT_LOG

    def decide(self, verifier: Verifier, receiver: Receiver, *, now: Instant) -> tuple[Allowed, tuple[str, ...]]:
        """Decide on what is shown; give what it allows and the classes that may be looked up. Raises Authorization, Rejected."""
        query, asker = self.query, self.asker
        with after_opening():
            if query.right != RIGHT_INDEX and (query.right, query.department_class) != (RIGHT_LOG, ANY):
                raise FieldInvalid("a search is for the index, or for the log of every class")  # D2.12
        question = Asked(asker_of(asker), query.right, PatientId(query.patient_id))
        allowed = Shown.of(query).decide(asker, question, verifier, receiver, now=now)  # D2.10
        return allowed, allowed.classes(query.department_class, verifier.anchors.department_classes)

    def refusal(self, error: Authorization) -> Findings:
        """Return the outcome that tells a proved asker what is wrong with its access."""
        return Findings(outcomes.search_outcome(error))

    def event(self, reason: str) -> AccessEvent:
        """Return the entry for the access log."""
        query, shown = self.query, Shown.of(self.query)
        return AccessEvent(
            kind="LOG" if self.is_for_log else "SEARCH",
            asker_id=self.asker.identity,
            patient_id=shown.patient_id,
            scope=query.department_class,
            authorization=shown.digest,
            ground=shown.ground,
            reason=reason,
            grant_digest=shown.grant_digest,
        )

    def answer(self, findings: Findings, cloud_id: str, signing_key: SigningKey, *, now: Instant) -> SealedReply:
        """Send C (eq. 29, 30): the page asked for, in one size whatever the outcome."""
        query = self.query
        answer = SearchAnswer(
            outcome=findings.outcome,
            rows=findings.rows,
            accesses=findings.accesses,
            page=query.page,
            pages=findings.pages,
            sent_at=now,
            proof=answer_proof(self.shared_key, now, query.signature),
        )
        answer.signature = signing_key.sign(answer_transcript(answer, query, self.asker))
        context = Context("c", cloud_id, self.asker.identity, self.asker_key.key_id, self.session_id, now)
        return seal_reply(answer, self.asker_key.encryption_key, context)


def _row(entry: IndexRow) -> bytes:
    return row(
        text(entry.hospital_id),
        text(entry.department_id),
        text(entry.address),
        entry.key_statement.statement,
        entry.encryption_key_statement.statement,
        entry.handle,
    )
