"""EMR search, first half, Chen et al. 2020, eq. 25-32: the doctor asks the public cloud where a patient's records are.

D2  The doctor asks by the patient's consent, and proves that it shares K_D with the cloud (X7); or the patient asks itself.
C   The cloud checks who asks and why it may, looks in its blind index, logs, and answers bound to the question (C2).

An answer is a page of one size, on which each hospital stands once with as many of its records as there is room for. What does
not fit comes with the next one, which is asked for by the place that C gives. With the right "log" the patient asks who did:
C carries what the cloud's log has of it, in place of hospitals.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from federation.errors import (
    AnswerMismatch,
    Authorization,
    DepartmentForeign,
    FieldInvalid,
    IdentityMismatch,
    NotRegistered,
    ProofInvalid,
    SessionUnknown,
)
from federation.protocol import outcomes
from federation.protocol.access import AccessEvent, Allowed, Receiver, Right
from federation.protocol.access import Question as Asked
from federation.protocol.access_log import entries_digest, head_digest
from federation.protocol.outcomes import Outcome
from federation.protocol.parsing import check, field_rule, payload_rule
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
from federation.v1.access_pb2 import AccessEntry, ProvedHead
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.search_pb2 import (
    IndexDepartment,
    IndexHospital,
    KeptDepartment,
    KeptPlace,
    PlacesPage,
    SearchAnswer,
    SearchQuery,
)
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_LOG, ROLE_DOCTOR, ROLE_HOSPITAL, ROLE_PATIENT
from keystore.encryption import DecryptionKey, Keyring
from keystore.identities import ANY, DepartmentId, PatientId, hospital_of
from keystore.signatures import SigningKey, VerifyingKey
from keystore.transcript import LENGTH_BYTES, digest, listing, row, text, transcript, u64

ROWS_PER_PAGE = field_rule(IndexDepartment, "handles").max_items
HOSPITALS_PER_PAGE = field_rule(SearchAnswer, "hospitals").max_items
ACCESSES_PER_PAGE = field_rule(SearchAnswer, "accesses").max_items

BESIDE = 400
"""Bytes of C that are no hospital's, at the most: outcome, next, T_C, proof, Sig_C."""

ACCESSES_ROOM = payload_rule(SearchAnswer.DESCRIPTOR).padded_size - LENGTH_BYTES - BESIDE
"""Bytes of C that entries of a log and its head may have together."""

FRAMING, SHORT_FRAMING = 4, 2
"""Bytes of protobuf before a part of C: a tag, and a length below 2^21, or below 2^7."""


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
        query.after,
        query.nonce,
        text(cloud_id),
        text(RIGHT_NAMES[query.right]),
        u64(query.known_size) if query.HasField("known_size") else b"",
    )


def place_digest(hospital_id: str, address: str, statements: bytes, departments: Sequence[bytes]) -> bytes:
    """Return H(place), of the digests of a hospital's statements and of its departments."""
    return digest(row(text(hospital_id), text(address), statements, listing(departments)))


def statements_digest(hospital: IndexHospital) -> bytes:
    """Return H(T("row", KS_HPC, EK_HPC))."""
    return digest(row(hospital.key_statement.statement, hospital.encryption_key_statement.statement))


def department_digest(department: IndexDepartment) -> bytes:
    """Return H(T("row", ID_DE, [handle]))."""
    return digest(row(text(department.department_id), listing(department.handles)))


def place_of(hospital: IndexHospital) -> bytes:
    """Return H(place) of a hospital of an answer."""
    departments = [department_digest(it) for it in hospital.departments]
    return place_digest(hospital.hospital_id, hospital.address, statements_digest(hospital), departments)


def answer_transcript(answer: SearchAnswer, query: SearchQuery, asker: VerifiedParty) -> bytes:
    """Return what Sig_C covers: eq. 30, bound to the question (C2)."""
    page, places = page_of(answer, query, asker), [place_of(hospital) for hospital in answer.hospitals]
    head = head_digest(answer.log_head if answer.HasField("log_head") else None)
    told = entries_digest(answer.accesses), head
    return page_transcript(page, outcomes.of_search(answer.outcome).name, query.patient_id, places, *told)


def page_transcript(
    page: PlacesPage, outcome: str, patient_id: str, places: Sequence[bytes], entries: bytes, head: bytes
) -> bytes:
    """Return what Sig_C covers, from a page as it is kept and the digests of its places."""
    return transcript(
        "C",
        text(outcome),
        text(patient_id),
        text(page.department_class),
        page.proof,
        page.registration_point,
        page.serial,
        listing(list(places)),
        u64(page.sent_at),
        text(page.asker_id),
        page.query_digest,
        page.next,
        entries,
        head,
    )


def page_of(answer: SearchAnswer, query: SearchQuery, asker: VerifiedParty) -> PlacesPage:
    """Return an answer's page as a patient may keep it, all of it shown."""
    return PlacesPage(
        department_class=query.department_class,
        proof=answer.proof,
        registration_point=asker.registration_point,
        serial=asker.serial,
        asker_id=query.asker_id,
        query_digest=digest(query.signature),
        sent_at=answer.sent_at,
        next=answer.next or None,
        places=[
            KeptPlace(
                digest=statements_digest(it),
                hospital_id=it.hospital_id,
                address=it.address,
                departments=[KeptDepartment(shown=department) for department in it.departments],
            )
            for it in answer.hospitals
        ],
        signature=answer.signature or None,
    )


@dataclass(frozen=True)
class Question:
    """What somebody wants to know, by what access: a page of a patient's records of one department class, or of ANY.

    With the right "log", a page of who asked for them, of ANY, proved from the head of this size; 0 where none is remembered.
    `after` is the `next` of the page before.
    """

    shown: Shown
    department_class: str = ANY
    after: bytes = b""
    right: Right = RIGHT_INDEX
    known_size: int = 0


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
        after=question.after or None,
        nonce=entropy(16),
        key_statement=asker.self_.key_statement,
        encryption_key_statement=asker.encryption_key_statement,
        access=shown.access,
        right=question.right,
        known_size=question.known_size or None,
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
    """Where a record is, at a hospital whose statements held."""

    hospital: VerifiedParty
    encryption_key: EncryptionKey
    address: str
    department_id: DepartmentId
    handle: bytes


@dataclass(frozen=True, repr=False)
class Answer:
    """What the cloud answered. No record yet is no error: `locations` is empty. `accesses` are the newest first.

    They are proved by nothing yet but `log_head` (`federation.protocol.told_log`), of which the cloud signed this by `cloud_key`.
    `next` is what a question for the next page is to say, and empty where there is none. `page` is what a patient may keep.
    """

    locations: tuple[RecordLocation, ...]
    accesses: tuple[AccessEntry, ...]
    log_head: ProvedHead | None
    cloud_key: VerifyingKey
    next: bytes
    query: SearchQuery
    asked: Signed
    answered: Signed
    page: PlacesPage


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
            raise outcome.error(f"the public cloud refuses: {outcome.name}")  # C.14
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
        cloud_key = verifier.anchors.cloud_key_at(answer.sent_at)  # C.6
        answered.verify(cloud_key)  # C.7
        log_head = answer.log_head if answer.HasField("log_head") else None
        if answer.hospitals if self.query.right == RIGHT_LOG else answer.accesses or log_head:
            raise AnswerMismatch("the answer is to another question")  # C.8
        _require_named_once(answer.hospitals)  # C.9
        locations = tuple(place for hospital in answer.hospitals for place in _places(hospital, verifier, now))
        return outcomes.of_search(answer.outcome), Answer(
            locations,
            tuple(answer.accesses),
            log_head,
            cloud_key,
            answer.next,
            self.query,
            self.asked,
            answered,
            page_of(answer, self.query, self.asker.self_),
        )


def _require_named_once(hospitals: Sequence[IndexHospital]) -> None:
    """Require that nothing is there twice, or without a record. Raises FieldInvalid."""
    departments = [department for hospital in hospitals for department in hospital.departments]
    named: list[Sequence[object]] = [
        [it.hospital_id for it in hospitals],
        [it.department_id for it in departments],
        *(it.handles for it in departments),
    ]
    if any(len(set(names)) < len(names) for names in named):
        raise FieldInvalid("an answer names a hospital, a department or a record twice")
    if not (all(it.departments for it in hospitals) and all(it.handles for it in departments)):
        raise FieldInvalid("an answer names a hospital or a department without a record")


def _places(found: IndexHospital, verifier: Verifier, now: Instant) -> "Iterator[RecordLocation]":
    hospital = verifier.party(found.key_statement, ROLE_HOSPITAL, now=now)  # C.10
    if hospital.identity != found.hospital_id:
        raise IdentityMismatch("an answer names another hospital than its statement")  # C.11
    key = verifier.encryption_key(found.encryption_key_statement, hospital, now=now)  # C.12
    for department in found.departments:
        department_id = DepartmentId(department.department_id)
        if hospital_of(department_id) != hospital.identity:
            raise DepartmentForeign("an answer names a department of another hospital")  # C.13
        for handle in department.handles:
            yield RecordLocation(hospital, key, found.address, department_id, handle)


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


class Page:
    """What a page of an answer holds, put on it row by row: hospitals once each, with their departments, with their records."""

    def __init__(self) -> None:
        """Begin with an empty page."""
        self._hospitals: dict[str, IndexHospital] = {}
        self._departments: dict[str, IndexDepartment] = {}
        self._rows: set[tuple[str, bytes]] = set()
        self._room = payload_rule(SearchAnswer.DESCRIPTOR).padded_size - LENGTH_BYTES - BESIDE

    @property
    def hospitals(self) -> Sequence[IndexHospital]:
        """Return the hospitals, as C names them."""
        return tuple(self._hospitals.values())

    def take(self, hospital: IndexHospital, department_id: DepartmentId, handle: bytes) -> bool:
        """Put a record of a hospital, which names no departments itself, on the page; return whether it has room."""
        if (department_id, handle) in self._rows:
            return True
        is_new, is_newly_of = hospital.hospital_id not in self._hospitals, department_id not in self._departments
        size = SHORT_FRAMING + len(handle)
        size += 2 * FRAMING + len(department_id) if is_newly_of else 0
        size += FRAMING + hospital.ByteSize() if is_new else 0
        if size > self._room or len(self._rows) == ROWS_PER_PAGE:
            return False
        if is_new and len(self._hospitals) == HOSPITALS_PER_PAGE:
            return False
        if is_new:
            self._hospitals[hospital.hospital_id] = IndexHospital()
            self._hospitals[hospital.hospital_id].CopyFrom(hospital)
        if is_newly_of:
            departments = self._hospitals[hospital.hospital_id].departments
            self._departments[department_id] = departments.add(department_id=department_id)
        self._departments[department_id].handles.append(handle)
        self._rows.add((department_id, handle))
        self._room -= size
        return True


@dataclass(frozen=True)
class Findings:
    """What the cloud is about to say: an outcome, hospitals or accesses, and where the next page begins if there is one."""

    outcome: "pb.SearchOutcome.ValueType"
    hospitals: Sequence[IndexHospital] = ()
    next: bytes = b""
    accesses: Sequence[AccessEntry] = ()
    log_head: ProvedHead | None = None


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
            hospitals=findings.hospitals,
            accesses=findings.accesses,
            log_head=findings.log_head,
            next=findings.next or None,
            sent_at=now,
            proof=answer_proof(self.shared_key, now, query.signature),
        )
        answer.signature = signing_key.sign(answer_transcript(answer, query, self.asker))
        context = Context("c", cloud_id, self.asker.identity, self.asker_key.key_id, self.session_id, now)
        return seal_reply(answer, self.asker_key.encryption_key, context)
