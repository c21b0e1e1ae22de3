"""D2 and C: what the cloud refuses of a question, and the doctor of an answer."""

import itertools
from datetime import timedelta

import pytest

from federation.errors import (
    AnswerMismatch,
    Authorization,
    CertificateRevoked,
    CredentialInvalid,
    CredentialRevoked,
    DepartmentForeign,
    EmergencyRefused,
    FieldInvalid,
    FutureDated,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    IdentityMismatch,
    MissingField,
    NotRegistered,
    ProofInvalid,
    Replayed,
    SealInvalid,
    SessionUnknown,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownField,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol import outcomes, search
from federation.protocol.consent import Declaration, make_emergency
from federation.protocol.index import Location
from federation.v1.access_pb2 import ACCESS_GROUND_OWN, ACCESS_KIND_SEARCH, DeclaredEmergency
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.statement_pb2 import RIGHT_READ
from tests.grants import wide
from tests.mallory import c, d2, outside, refused, rejected, signs_d2, with_unknown_field

PLACE = Location("H:alpha/cardiology", b"h" * 16)
ACCESS = {
    "number": 1,
    "at": 1,
    "asker_id": "D:chen",
    "kind": ACCESS_KIND_SEARCH,
    "department_class": "*",
    "ground": ACCESS_GROUND_OWN,
    "reason": "OK",
    "leaf_index": 0,
    "blind": bytes(32),
}


@pytest.fixture
def grant(federation):
    return federation.grant()


@pytest.fixture
def question(federation, grant):
    federation.cloud.publish("P:wang", PLACE)
    return federation.ask(grant)


@pytest.fixture
def changed(federation, question):
    """Give D2 with its content changed, proved and signed again."""

    def run(change, *, sign=True) -> SealedOpening:
        signs = signs_d2(federation, federation.doctor) if sign else lambda _: None
        return d2(federation).change(question[1], change, signs)

    return run


def test_a_question_under_a_grant_is_answered(federation, grant):
    federation.cloud.publish("P:wang", PLACE)
    answer = federation.search(grant)
    assert [(place.department_id, place.handle) for place in answer.locations] == [("H:alpha/cardiology", b"h" * 16)]


def test_no_record_yet_is_no_error(federation, grant):
    assert federation.search(grant).locations == ()


def test_a_changed_question_signed_again_is_answered_so_the_refusals_below_have_one_cause(federation, changed):
    federation.cloud.answer(changed(lambda query: None))


def test_what_one_page_does_not_hold_comes_with_the_next(federation, grant):
    handles = [number.to_bytes(16, "big") for number in range(search.ROWS_PER_PAGE + 1)]
    for handle in handles:
        federation.cloud.publish("P:wang", Location("H:alpha/cardiology", handle))
    first = federation.search(grant)
    assert (len(first.locations), bool(first.next)) == (search.ROWS_PER_PAGE, True)
    second = federation.search(grant, after=first.next)
    assert [place.handle for place in (*first.locations, *second.locations)] == handles
    assert second.next == b""


def test_a_stale_question_is_refused(federation, question):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        federation.cloud.answer(question[1])


def test_a_future_dated_question_is_refused(federation, question):
    federation.clock.advance(timedelta(seconds=-6))
    with refused(FutureDated):
        federation.cloud.answer(question[1])


def test_a_question_with_a_time_mismatch_is_refused(federation, question):
    seal = d2(federation)
    with rejected(TimeMismatch):
        federation.cloud.answer(seal.close(question[1], seal.open(question[1]), sent_at=question[1].sent_at + 1))


def test_a_replayed_question_is_refused(federation, question):
    federation.cloud.answer(question[1])
    with rejected(Replayed):
        federation.cloud.answer(question[1])


def test_a_question_with_its_nonce_used_again_is_refused_as_replayed(federation, question, changed):
    federation.cloud.answer(question[1])
    with rejected(Replayed):
        federation.cloud.answer(changed(lambda query: setattr(query, "after", b"elsewhere")))


def test_an_unsupported_version_is_refused(federation, question):
    with refused(UnsupportedVersion):
        federation.cloud.answer(outside(question[1], version=9))


def test_an_unknown_key_id_is_refused(federation, question):
    with refused(UnknownKeyId):
        federation.cloud.answer(outside(question[1], key_id=bytes(16)))


def test_a_question_without_a_session_is_refused(federation, question):
    with refused(FieldInvalid):
        federation.cloud.answer(outside(question[1], session_id=b""))


def test_an_unknown_field_in_a_question_is_refused(federation, question):
    seal = d2(federation)
    payload = with_unknown_field(seal.open(question[1]).SerializeToString(deterministic=True))
    with rejected(UnknownField):
        federation.cloud.answer(seal.close(question[1], payload))


def test_a_missing_field_in_a_question_is_refused(federation, changed):
    with rejected(MissingField):
        federation.cloud.answer(changed(lambda query: query.ClearField("nonce")))


def test_a_wrong_proof_is_refused(federation, changed):
    """Who has PRK_D and not S_D: the signature holds over a proof that does not."""

    def forge(query):
        party = federation.party(federation.doctor)
        query.proof = bytes(32)
        query.signature = party.signing_key.sign(search.query_transcript(query, party.self_, "C:union"))

    with rejected(ProofInvalid):
        federation.cloud.answer(changed(forge, sign=False))


def test_a_wrong_signature_is_refused(federation, changed):
    """Who has S_D and not PRK_D: the proof holds, the signature does not."""
    with rejected(SignatureInvalid):
        federation.cloud.answer(changed(lambda query: setattr(query, "signature", bytes(64)), sign=False))


def test_a_question_for_another_patient_than_was_proved_is_refused(federation, changed):
    with rejected(ProofInvalid):
        federation.cloud.answer(changed(lambda query: setattr(query, "patient_id", "P:lin"), sign=False))


def test_another_doctors_key_statement_is_refused(federation, changed):
    other = federation.other_doctor

    def change(query):
        query.key_statement.CopyFrom(other.key_statement)
        query.doctor_certificate = other.certificate

    with rejected(IdentityMismatch):
        federation.cloud.answer(changed(change))


def test_a_credential_of_another_role_is_refused(federation, changed):
    with rejected(CredentialInvalid):
        federation.cloud.answer(changed(lambda query: query.key_statement.CopyFrom(federation.patient.key_statement)))


def test_a_doctor_without_a_live_registration_is_refused(federation, question, monkeypatch):
    monkeypatch.setitem(federation.cloud.shared_keys, "D:chen", (b"another serial..", bytes(32)))
    with rejected(NotRegistered):
        federation.cloud.answer(question[1])


def test_an_unregistered_doctor_is_refused(federation, question, monkeypatch):
    monkeypatch.delitem(federation.cloud.shared_keys, "D:chen")
    with rejected(NotRegistered):
        federation.cloud.answer(question[1])


def test_a_revoked_doctor_is_refused(federation, question):
    federation.cloud.revoked_serials.append(federation.party(federation.doctor).self_.serial)
    with rejected(CredentialRevoked):
        federation.cloud.answer(question[1])


def test_a_revoked_certificate_is_refused(federation, question):
    federation.authority.revoke(federation.doctor.certificate)
    with rejected(CertificateRevoked):
        federation.cloud.answer(question[1])


def test_a_missing_grant_is_refused(federation):
    with refused(GrantMissing):
        federation.search(None)


def test_a_grant_for_another_doctor_is_refused_as_invalid(federation):
    with refused(GrantInvalid):
        federation.search(federation.grant(doctor=federation.other_doctor))


def test_an_expired_grant_is_refused(federation):
    grant = federation.grant(wide(life=timedelta(minutes=1)))
    federation.clock.advance(timedelta(minutes=1))
    with refused(GrantExpired):
        federation.search(grant)


def test_a_revoked_grant_is_refused(federation, grant):
    federation.revoke_grant(grant)
    with refused(GrantRevoked):
        federation.search(grant)


def test_a_grant_without_the_index_right_is_refused(federation):
    with refused(GrantScope):
        federation.search(federation.grant(wide(rights=[RIGHT_READ])))


def test_a_grant_for_another_class_is_refused(federation):
    with refused(GrantScope):
        federation.search(federation.grant(wide(department_classes=["neurology"])), "cardiology")


def test_a_question_for_any_class_shows_only_the_grants_classes(federation):
    federation.cloud.publish("P:wang", PLACE)
    federation.cloud.publish("P:wang", Location("H:alpha/psychiatry", b"p" * 16))
    answer = federation.search(federation.grant(wide(department_classes=["cardiology"])))
    assert [place.department_id for place in answer.locations] == ["H:alpha/cardiology"]


def test_a_class_that_is_not_published_has_no_rows(federation):
    """Only "*" of the federation's list is looked up; a class outside it has no rows and no error of its own."""
    assert federation.search(federation.grant(), "astrology").locations == ()


def test_an_emergency_is_refused_where_no_policy_lets_one_in(federation, changed):
    declared = Declaration("P:wang", "unconscious", "found in the street")
    doctor, now = federation.party(federation.doctor), federation.clock.now
    emergency = make_emergency(doctor, declared, now=now, entropy=federation.entropy)
    shown = DeclaredEmergency(emergency=emergency, duty=federation.duty())

    def change(query):
        query.access.emergency.CopyFrom(shown)

    answer = c(federation).open(federation.cloud.answer(changed(change)))
    assert outcomes.of_search(answer.outcome).error is EmergencyRefused


def test_another_patients_key_statement_beside_the_grant_is_refused(federation, changed):
    other = federation.other_patient.key_statement
    reply = federation.cloud.answer(changed(lambda query: query.access.consent.key_statement.CopyFrom(other)))
    assert outcomes.of_search(c(federation).open(reply).outcome).error is GrantInvalid


def test_a_refusals_outcome_for_an_error_of_no_outcome_is_invalid_grant():
    assert search.VerifiedQuery.refusal(None, Authorization("x")).outcome == 4  # type: ignore[arg-type]


@pytest.fixture
def answered(federation, question):
    return question[0], federation.cloud.answer(question[1])


def receive(federation, awaiting, reply):
    return awaiting.receive(reply, federation.doctor.verifier(), now=federation.clock.now)


def signed_c(federation, awaiting, *, prove=True):
    """Prove and sign C as the cloud would to this question."""

    def sign(answer):
        if prove:
            answer.proof = search.answer_proof(awaiting.shared_key, answer.sent_at, awaiting.query.signature)
        signed = search.answer_transcript(answer, awaiting.query, awaiting.asker.self_)
        answer.signature = federation.cloud.keys.signing_key.sign(signed)

    return sign


def test_a_stale_answer_is_refused(federation, answered):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        receive(federation, *answered)


def test_an_answer_with_a_time_mismatch_is_refused(federation, answered):
    awaiting, reply = answered
    seal = c(federation)
    with rejected(TimeMismatch):
        receive(federation, awaiting, seal.close(reply, seal.open(reply), sent_at=reply.sent_at + 1))


def test_an_answer_of_another_session_is_refused(federation, answered):
    awaiting, reply = answered
    with refused(SessionUnknown):
        receive(federation, awaiting, outside(reply, session_id=bytes(16)))


def test_an_answer_that_was_tampered_with_is_refused(federation, answered):
    awaiting, reply = answered
    with rejected(SealInvalid):
        receive(federation, awaiting, outside(reply, sealed=reply.sealed[:-1] + bytes([reply.sealed[-1] ^ 1])))


def test_an_answer_with_a_wrong_proof_is_refused(federation, answered):
    awaiting, reply = answered
    sign = signed_c(federation, awaiting, prove=False)
    with rejected(ProofInvalid):
        receive(
            federation, awaiting, c(federation).change(reply, lambda answer: setattr(answer, "proof", bytes(32)), sign)
        )


def test_an_answer_with_a_wrong_signature_is_refused(federation, answered):
    """Who has K_D and not PRK_C can't invent a place."""
    awaiting, reply = answered
    with rejected(SignatureInvalid):
        receive(federation, awaiting, c(federation).change(reply, lambda answer: answer.ClearField("hospitals")))


def test_an_answer_of_another_page_is_refused_for_its_proof(federation, grant, answered):
    """Each page is another question, whose signature the proof and Sig_C cover."""
    later, _ = federation.ask(grant, after=b"8")
    moved = outside(answered[1], session_id=later.session_id)
    with rejected(ProofInvalid):
        receive(federation, later, c(federation).close(moved, c(federation).open(answered[1])))


def named_at_beta(answer):
    answer.hospitals[0].hospital_id = "H:beta"


def of_betas_key(federation):
    return lambda answer: answer.hospitals[0].key_statement.CopyFrom(federation.hospital_b.key_statement)


def of_betas_encryption_key(federation):
    statement = federation.hospital_b.party(federation.clock.now).encryption_key_statement
    return lambda answer: answer.hospitals[0].encryption_key_statement.CopyFrom(statement)


def hospital_twice(answer):
    answer.hospitals.append(answer.hospitals[0])


def hospital_without_a_department(answer):
    answer.hospitals[0].ClearField("departments")


def department_twice(answer):
    departments = answer.hospitals[0].departments
    departments.add(department_id=departments[0].department_id, handles=[b"another record.."])


def department_without_a_record(answer):
    answer.hospitals[0].departments.add(department_id="H:alpha/surgery")


def department_of_another_hospital(answer):
    answer.hospitals[0].departments.add(department_id="H:beta/surgery", handles=[b"another record.."])


def record_twice(answer):
    answer.hospitals[0].departments[0].handles.append(b"h" * 16)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (named_at_beta, IdentityMismatch),
        (hospital_twice, FieldInvalid),
        (hospital_without_a_department, FieldInvalid),
        (department_twice, FieldInvalid),
        (department_without_a_record, FieldInvalid),
        (department_of_another_hospital, DepartmentForeign),
        (record_twice, FieldInvalid),
        (lambda answer: answer.accesses.add(**ACCESS), AnswerMismatch),
    ],
    ids=[
        "named as another",
        "hospital twice",
        "hospital without a department",
        "department twice",
        "department without a record",
        "department of another",
        "record twice",
        "with a log",
    ],
)
def test_an_answer_signed_by_the_cloud_that_is_not_what_was_asked_for_is_refused(federation, answered, change, reason):
    awaiting, reply = answered
    changed = c(federation).change(reply, change, signed_c(federation, awaiting))
    with rejected(reason):
        receive(federation, awaiting, changed)


@pytest.mark.parametrize(
    ("change", "reason"), [(of_betas_key, IdentityMismatch), (of_betas_encryption_key, SignatureInvalid)]
)
def test_an_answers_hospital_with_a_statement_of_another_is_refused(federation, answered, change, reason):
    awaiting, reply = answered
    changed = c(federation).change(reply, change(federation), signed_c(federation, awaiting))
    with rejected(reason):
        receive(federation, awaiting, changed)


@pytest.mark.parametrize("moved", ["hospitals", "departments", "handles"])
def test_what_an_answer_holds_is_signed_in_its_order(federation, grant, moved):
    """Two hospitals of two departments of two records: whichever of them change places, Sig_C is of another answer."""
    for name, handle in itertools.product(
        ("H:alpha/cardiology", "H:alpha/psychiatry", "H:beta/cardiology"), (b"1", b"2")
    ):
        federation.cloud.publish("P:wang", Location(name, handle * 16))
    awaiting, opening = federation.ask(grant)

    def change(answer):
        holders = {
            "hospitals": answer,
            "departments": answer.hospitals[0],
            "handles": answer.hospitals[0].departments[0],
        }
        parts = getattr(holders[moved], moved)
        swapped = [*parts][::-1]
        del parts[:]
        parts.extend(swapped)

    with rejected(SignatureInvalid):
        receive(federation, awaiting, c(federation).change(federation.cloud.answer(opening), change))


def test_an_answers_revoked_hospital_is_refused(federation, answered):
    federation.revoke(federation.hospital_a, federation.doctor)
    with rejected(CredentialRevoked):
        receive(federation, *answered)
