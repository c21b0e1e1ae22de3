"""Findings C1 to C6: attacks on search, index and record access."""

import hashlib
from dataclasses import replace

import pytest

from federation.errors import (
    CommitmentMismatch,
    Corrupt,
    GrantInvalid,
    GrantMissing,
    IdentityMismatch,
    KeyConfirmationFailed,
    ProofInvalid,
    SealInvalid,
    SignatureInvalid,
    UnknownKeyId,
)
from federation.protocol import record, search
from federation.protocol.access import Receiver
from federation.protocol.index import Location
from federation.protocol.statements import verify_signature
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.record_pb2 import RecordQuery
from federation.v1.statement_pb2 import Grant
from tests.mallory import altered, c, d2, d3_to, h1_from, reframed, refused, rejected, restated, signs_d3
from tests.simulator import CLOUD_ID

PLACE = Location("H:alpha/cardiology", b"h" * 16)


def decide(federation, intent, change=None):
    """Send D4 for an intent to hospital A, changed if asked, and let it decide."""
    session, hospital = federation.establish(federation.hospital_a, intent)
    _, frame = session.query(now=federation.clock.now)
    if change is not None:
        direction = replace(hospital.receiving, sequence=0)
        frame = reframed(direction, "d4", frame, altered(RecordQuery, change))
    verifier = federation.hospital_a.verifier()
    received = hospital.receive(frame, verifier, now=federation.clock.now)
    return received.decide(verifier, Receiver(), now=federation.clock.now)


def test_c1_no_grant_no_place_and_no_record(federation):
    """Any certified doctor asks for any patient, as the paper lets it. Without the patient's grant the cloud gives no
    row and the hospital no byte.
    """
    federation.cloud.publish("P:wang", PLACE)
    with refused(GrantMissing):
        federation.search(None)
    with refused(GrantMissing):
        decide(federation, federation.intent(None))


def test_c1_a_doctor_signs_a_grant_for_itself(federation):
    """The doctor makes a grant in the patient's name with its own key, or takes a colleague's. Neither bears the
    patient's signature for this doctor.
    """
    forged = restated("grant", federation.grant(), Grant, federation.doctor.keys.signing_key, lambda _: None)
    borrowed = federation.grant(doctor=federation.other_doctor)
    for grant in (forged, borrowed):
        with refused(GrantInvalid):
            federation.search(grant)
        with refused(GrantInvalid):
            decide(federation, federation.intent(grant))


def test_c1_a_grant_of_one_patient_opens_no_other(federation):
    """The doctor has P's grant and asks for Q under it, with P's or with Q's key statement beside it."""
    grant = federation.grant(patient=federation.other_patient)
    with refused(GrantInvalid):
        federation.search(grant)

    def name_the_granting_patient(query) -> None:
        query.access.consent.key_statement.CopyFrom(federation.other_patient.key_statement)

    with refused(GrantInvalid):
        decide(federation, federation.intent(grant), name_the_granting_patient)


def test_c2_swapped_answers(federation):
    """The doctor has two open questions, for P and Q; the attacker swaps the cloud's answers, so that Q's hospital would
    be asked for P. Session and question are bound: a swapped answer does not open, and one sealed anew proves nothing.
    """
    federation.cloud.publish("P:lin", PLACE)
    federation.refresh(federation.other_patient)
    about_wang, question_wang = federation.ask(federation.grant())
    grant = federation.grant(patient=federation.other_patient)
    about_lin, question_lin = federation.ask(grant, patient=federation.other_patient)
    federation.cloud.answer(question_wang)
    answer_lin = federation.cloud.answer(question_lin)
    verifier, now = federation.doctor.verifier(), federation.clock.now
    swapped = SealedReply(session_id=about_wang.session_id, sealed=answer_lin.sealed, sent_at=answer_lin.sent_at)
    with rejected(SealInvalid):
        about_wang.receive(swapped, verifier, now=now)
    with rejected(ProofInvalid):
        about_wang.receive(c(federation).close(swapped, c(federation).open(answer_lin)), verifier, now=now)
    assert len(about_lin.receive(answer_lin, verifier, now=now).locations) == 1


def test_c2_a_signature_of_one_answer_fits_no_other(federation):
    """An insider who shares K_D, and so can make the proof, puts the cloud's signature of one answer under another."""
    federation.cloud.publish("P:wang", PLACE)
    awaiting, question = federation.ask(federation.grant())
    other, other_question = federation.ask(federation.grant())
    reply, other_reply = federation.cloud.answer(question), federation.cloud.answer(other_question)
    transplanted = c(federation).open(other_reply).signature

    def change(answer) -> None:
        answer.signature = transplanted

    with rejected(SignatureInvalid):
        awaiting.receive(c(federation).change(reply, change), federation.doctor.verifier(), now=federation.clock.now)
    assert other.session_id != awaiting.session_id


def test_c3_a_rogue_hospital_forwards_d3(federation):
    """The doctor opens a session with rogue hospital A, which seals the same content to B: B would hold evidence that D
    asked it. Sig_D3 names the hospital, its key and the session.
    """
    _, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    with refused(UnknownKeyId):
        federation.receive_session(federation.hospital_b, opening)
    content = d3_to(federation, federation.hospital_a).open(opening)
    to_b = d3_to(federation, federation.hospital_b)
    opening.key_id = to_b.key.key_id
    with rejected(SignatureInvalid):
        federation.receive_session(federation.hospital_b, to_b.close(opening, content))


def test_c3_another_hospital_than_the_one_addressed_answers(federation):
    """B, having got D3's content from A, answers the doctor in its own name. The doctor wants the hospital it addressed."""
    now = federation.clock.now
    awaiting, opening = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    content = d3_to(federation, federation.hospital_a).open(opening)
    to_b = d3_to(federation, federation.hospital_b)
    opening.key_id = to_b.key.key_id
    issuer = federation.cloud.keys.issuing.public_key
    signs = signs_d3(federation.doctor.keys.signing_key, opening, issuer, "H:beta")
    content.responder_serial = federation.party(federation.hospital_b).self_.serial
    signs(content)  # even if the doctor itself had signed for B
    _, reply = federation.receive_session(federation.hospital_b, to_b.close(opening, content)).reply(
        now=now, entropy=federation.entropy
    )
    verifier = federation.doctor.verifier()
    with rejected(SealInvalid):
        awaiting.receive(reply, verifier, now=now)
    from_b = h1_from(federation, federation.hospital_b).open(reply)
    with rejected(IdentityMismatch):
        awaiting.receive(h1_from(federation, federation.hospital_a).close(reply, from_b), verifier, now=now)


def test_c4_a_hospitals_signature_fits_one_session(federation):
    """Whoever sees a Sig_HPC1 attaches it to another session within the window, where as printed it covers a time and a
    name. It covers the transcript hash and the tag: in another session it fails.
    """
    now, intent = federation.clock.now, federation.intent(federation.grant())
    _, first = federation.open_session(federation.hospital_a, intent)
    awaiting, second = federation.open_session(federation.hospital_a, intent)
    replies = [
        federation.receive_session(federation.hospital_a, opening).reply(now=now, entropy=federation.entropy)[1]
        for opening in (first, second)
    ]
    seal = h1_from(federation, federation.hospital_a)
    transplanted = seal.open(replies[0])

    def take_signature(h1) -> None:
        h1.signature = transplanted.signature

    with rejected(SignatureInvalid):
        awaiting.receive(seal.change(replies[1], take_signature), federation.doctor.verifier(), now=now)
    with rejected(KeyConfirmationFailed):
        awaiting.receive(seal.close(replies[1], transplanted), federation.doctor.verifier(), now=now)


def test_c5_the_index_can_not_be_searched_without_its_key(federation):
    """A thief of the database tests patients against row keys, as h(ID_P || ID_DE) allows at millions a second. The row
    key is an HMAC under a key of the token; no unkeyed hash of the names is there, and no name in the values.
    """
    federation.cloud.publish("P:wang", replace(PLACE, doctor_id="D:chen"))
    ((row_key, rows),) = federation.cloud.rows.items()
    ((row_id, sealed),) = rows.items()
    joined = [b"P:wang" + name for name in (b"cardiology", b"H:alpha/cardiology", b"/cardiology", b"|cardiology")]
    joined.append(search.transcript("idx", b"P:wang", b"cardiology"))
    for guess in joined:
        for algorithm in (hashlib.sha256, hashlib.sha512, hashlib.sha1, hashlib.sha3_256):
            assert algorithm(guess).digest()[:32] not in (row_key, row_id)
    for name in (b"alpha", b"cardiology", b"chen", b"wang", b"h" * 16):
        assert name not in row_key + row_id + sealed


def test_c5_a_doctors_own_row_is_no_pad_for_the_others(federation):
    """A doctor who knows one row's content xors it off, and off the next row, as one pad for all rows allows. Equal
    contents have different ciphertexts, and a changed bit is noticed.
    """
    index = federation.cloud.index
    (name,), (of_another,) = index.names("P:wang", PLACE), index.names("P:lin", PLACE)
    first, second, other = index.seal(name, PLACE), index.seal(name, PLACE), index.seal(of_another, PLACE)
    assert first[12:] != second[12:]
    pad = bytes(a ^ b for a, b in zip(first, other, strict=True))
    assert pad.count(0) < len(pad) // 4
    with refused(Corrupt):
        index.reveal(
            of_another.row_key, of_another.row_id, bytes(a ^ b for a, b in zip(first, pad, strict=True))[:-1] + b"\0"
        )
    with refused(Corrupt):
        index.reveal(name.row_key, name.row_id, other)


def test_c5_rows_of_two_hospitals_do_not_overwrite_each_other(federation):
    """A second hospital publishes for the same patient and class, and takes the first one's place. Rows are one per
    hospital and handle: both are found, and each hospital replaces its own only.
    """
    federation.cloud.publish("P:wang", PLACE)
    federation.cloud.publish("P:wang", Location("H:beta/cardiology", PLACE.handle))
    federation.cloud.publish("P:wang", PLACE)
    places = federation.search(federation.grant()).locations
    assert sorted(place.department_id for place in places) == ["H:alpha/cardiology", "H:beta/cardiology"]


def test_c5_names_do_not_run_into_each_other(federation):
    """A hospital registers a patient "P1" in "2DE", whose row is that of "P12" in "DE" where both are joined unframed."""
    (first,), (second,) = (federation.cloud.index.patients(name) for name in ("P:1", "P:12"))
    assert first.row_key("2de") != second.row_key("de")
    assert search.transcript("idx", b"P1", b"2DE") != search.transcript("idx", b"P12", b"DE")


def test_c6_a_question_is_evidence_without_the_doctors_secret(federation):
    """A judge verifies Sig_D2, where the paper signs S_D itself: to use it, the doctor's secret would be published.
    Every field that is signed is public to the parties; K_D and S_D are not needed.
    """
    _, opening = federation.ask(federation.grant())
    query = d2(federation).open(opening)
    judge = federation.cloud.verifier()
    doctor = judge.doctor(query.key_statement, query.doctor_certificate, now=federation.clock.now)
    verify_signature(doctor.key, query.signature, search.query_transcript(query, doctor, CLOUD_ID))


def test_c6_a_question_carries_nothing_of_the_doctors_secret(federation):
    """The cloud's operator reads D2 and looks for S_D or what replaces it elsewhere. The proof is an HMAC over this one
    question: with another nonce it is another, and it proves nothing else.
    """
    _, first = federation.ask(federation.grant())
    _, second = federation.ask(federation.grant())
    proofs = [d2(federation).open(opening).proof for opening in (first, second)]
    assert proofs[0] != proofs[1]

    def reuse(query) -> None:
        query.proof = proofs[0]

    with rejected(ProofInvalid):
        federation.cloud.answer(d2(federation).change(second, reuse))


def test_c7_the_query_names_the_patient_that_d3_committed_to(federation):
    """The doctor commits to one patient in D3, whose evidence the hospital keeps, and asks for another in D4."""

    def ask_for_another(query) -> None:
        query.patient_id = "P:lin"
        query.access.consent.key_statement.CopyFrom(federation.other_patient.key_statement)

    with rejected(CommitmentMismatch):
        decide(federation, federation.intent(federation.grant()), ask_for_another)


def test_c7_a_commitment_tells_no_guess_of_the_patient(federation):
    """The hospital, before D4, tries every patient on file against c_P. The blind is 32 random bytes: equal patients,
    grants and scopes have different commitments, and a guess without it can't be tested.
    """
    first = federation.intent(federation.grant())
    second = replace(first, blind=federation.entropy(32))
    assert first.commitment != second.commitment
    assert record.commitment(first.shown, first.scope, bytes(32)) != first.commitment
    assert record.commitment(first.shown, first.scope, first.blind) == first.commitment


@pytest.mark.parametrize("outcome", ["found", "none", "missing"])
def test_c9_every_decision_leaves_an_entry_for_the_log(federation, outcome):
    """A doctor searches without leaving a trace. Each verified question gives the entry that is logged before C goes."""
    if outcome == "found":
        federation.cloud.publish("P:wang", PLACE)
    _, opening = federation.ask(None if outcome == "missing" else federation.grant())
    verifier, now = federation.cloud.verifier(), federation.clock.now
    claimed = search.receive_query(opening, federation.cloud.epochs, verifier, now=now)
    verified = claimed.verify(*federation.cloud.shared_keys["D:chen"], verifier, now=now).admit(True)
    event = verified.event("OK" if outcome != "missing" else GrantMissing.reason)
    assert (event.kind, event.asker_id, event.patient_id) == ("SEARCH", "D:chen", "P:wang")
    assert bool(event.authorization) == (outcome != "missing")
