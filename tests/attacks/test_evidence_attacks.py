"""Attacks on a judge: whoever signs may say anything in what it signs, and whoever holds evidence may show anything beside it.

Each signature here is a true one, of the attacker's own key.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message

from federation.party.member import Member
from federation.protocol import consultation, exhibits, record, search
from federation.protocol.exhibit import Exhibit, KeptExhibit
from federation.protocol.judge import judge
from federation.protocol.judging import Judgement, fields_of
from federation.protocol.shown import Shown
from federation.protocol.statements import Signed
from federation.v1.consultation_pb2 import ConsultationOpening, ConsultationReply
from federation.v1.record_pb2 import RecordEnd, RecordOpening, RecordReply
from federation.v1.search_pb2 import SearchAnswer, SearchQuery
from federation.v1.statement_pb2 import Emergency, Grant
from keystore.identities import PatientId
from keystore.signatures import SigningKey
from keystore.transcript import listing, transcript
from tests.emergencies import declared
from tests.mallory import restated
from tests.simulator import Federation, lent
from tests.unit.protocol.judging import changed, kept, of_every_kind

M = TypeVar("M", bound=Message)


@pytest.fixture
def court(shared_federation: Federation) -> Any:
    """A federation, in which a judge is shown things."""
    with lent(shared_federation) as federation:
        yield federation


def judged(federation: Federation, exhibit: Exhibit) -> Judgement:
    (found,) = judge([kept(exhibit)], federation.cloud.anchors)
    return found


def reason(found: Judgement) -> tuple[str, str]:
    assert found.proves == ()
    return found.checks[-1].name, found.checks[-1].reason


def shown(federation: Federation, kind: str) -> KeptExhibit:
    return next(it for it in of_every_kind(federation) if it.exhibit.kind == kind)


def question(federation: Federation, shown_: Any, change: Callable[[SearchQuery], None]) -> Exhibit:
    """The doctor's D2, with something else in it, signed by the doctor."""
    party = federation.party(federation.doctor)
    asked = search.Question(shown_)
    awaiting, _ = search.ask(
        party,
        asked,
        federation.cloud.encryption_key(),
        federation.doctor.verifier(),
        now=federation.clock.now,
        entropy=federation.entropy,
    )
    query = awaiting.query
    change(query)
    covered = search.query_transcript(query, party.self_, federation.cloud.anchors.cloud_id)
    query.signature = party.signing_key.sign(covered)
    signed = Signed("D2", covered, query.signature, query.SerializeToString(deterministic=True))
    return changed(kept(exhibits.of_question(signed, query)), signer=party.identity).exhibit


def signed_anew(
    one: KeptExhibit, message_type: type[M], key: SigningKey, change: Callable[[M], None], again: Callable[[M], bytes]
) -> Exhibit:
    """An exhibit whose message says something else, signed by that key."""
    message = message_type.FromString(one.exhibit.message)
    change(message)
    covered = again(message)
    message.signature = key.sign(covered)  # type: ignore[attr-defined]
    other = message.SerializeToString(deterministic=True)
    return changed(one, message=other, signed=covered, signature=message.signature).exhibit  # type: ignore[attr-defined]


def test_question_that_a_doctor_signs_in_another_doctors_name_is_not_the_others(court: Federation) -> None:
    """Else it would read "D:roe asked": of an honest doctor who asked nothing."""
    forged = question(court, court.shown(court.grant()), lambda query: setattr(query, "asker_id", "D:roe"))
    assert reason(judged(court, forged)) == ("message", "IDENTITY_MISMATCH")


def test_opening_that_a_doctor_signs_in_another_doctors_name_is_not_the_others(court: Federation) -> None:
    one, party = shown(court, "D3"), court.party(court.doctor)
    fields = fields_of("D3", 12, one.exhibit.signed)

    def again(opening: RecordOpening) -> bytes:
        return record.opening_transcript(opening, party.self_.issuer_public_key, "H:alpha", fields[8], fields[9])

    forged = signed_anew(one, RecordOpening, party.signing_key, lambda it: setattr(it, "asker_id", "D:roe"), again)
    assert reason(judged(court, forged)) == ("message", "IDENTITY_MISMATCH")


def test_opening_that_a_patient_signs_in_another_patients_name_is_not_the_others(court: Federation) -> None:
    one, party = shown(court, "P1"), court.party(court.patient)
    fields = fields_of("P1", 12, one.exhibit.signed)

    def again(opening: ConsultationOpening) -> bytes:
        issuer = party.self_.issuer_public_key
        return consultation.opening_transcript(opening, issuer, "D:chen", fields[9], fields[10])

    change = lambda it: setattr(it, "patient_id", "P:lin")  # noqa: E731 - said once
    forged = signed_anew(one, ConsultationOpening, party.signing_key, change, again)
    assert reason(judged(court, forged)) == ("message", "IDENTITY_MISMATCH")


def reply_of(court: Federation, one: KeptExhibit) -> Exhibit:
    """D1 or H1 whose signer says that it is somebody else."""
    opening = one.exhibit.openings["opening"]
    if one.exhibit.kind == "D1":
        party = court.party(court.doctor)

        def again(reply: ConsultationReply) -> bytes:
            th = consultation.consultation_transcript_hash(opening, reply, party.self_.credential, one.reference)
            return consultation.reply_transcript(reply, party.self_.issuer_public_key, th)

        change = lambda it: setattr(it, "doctor_id", "D:roe")  # noqa: E731 - said once
        return signed_anew(one, ConsultationReply, party.signing_key, change, again)
    hospital = court.party(court.hospital_a)

    def once_more(reply: RecordReply) -> bytes:
        th = record.session_transcript_hash(opening, reply, hospital.self_.credential, one.reference)
        return record.reply_transcript(reply, hospital.self_.issuer_public_key, th)

    return signed_anew(
        one, RecordReply, hospital.signing_key, lambda it: setattr(it, "hospital_id", "H:beta"), once_more
    )


@pytest.mark.parametrize("kind", ["D1", "H1"])
def test_reply_that_is_signed_in_anothers_name_is_not_the_others(court: Federation, kind: str) -> None:
    one = shown(court, kind)
    forged = reply_of(court, one)
    (found,) = judge([KeptExhibit(forged, one.reference, 0, 0)], court.cloud.anchors)
    assert reason(found) == ("message", "IDENTITY_MISMATCH")


def test_question_by_a_grant_that_the_doctor_signed_itself_proves_no_consent(court: Federation) -> None:
    forged = restated("grant", court.grant(), Grant, court.doctor.keys.signing_key, lambda _: None)
    found = judged(court, question(court, court.shown(forged), lambda _: None))
    assert reason(found) == ("grant", "SIGNATURE_INVALID")


def test_question_by_a_grant_beside_which_another_patient_stands_proves_no_consent(court: Federation) -> None:
    """P:lin signs a grant that says it is P:wang's, and its own key statement stands beside."""
    forged = restated("grant", court.grant(), Grant, court.other_patient.keys.signing_key, lambda _: None)
    access = court.shown(court.grant()).access
    assert access is not None
    access.consent.grant.CopyFrom(forged)
    access.consent.key_statement.CopyFrom(court.other_patient.key_statement)
    found = judged(court, question(court, Shown(PatientId("P:wang"), access), lambda _: None))
    assert reason(found) == ("grant", "IDENTITY_MISMATCH")


def test_question_with_another_doctors_encryption_key_does_not_hold(court: Federation) -> None:
    other = court.party(court.other_doctor).encryption_key_statement
    forged = question(court, court.shown(None), lambda query: query.encryption_key_statement.CopyFrom(other))
    assert reason(judged(court, forged))[0] == "encryption-key"
    hidden = changed(kept(forged), encryption_key_statement=None).exhibit
    assert reason(judged(court, hidden)) == ("message", "ANSWER_MISMATCH")


def test_emergency_that_another_doctor_declared_is_not_the_askers(court: Federation) -> None:
    found = judged(court, question(court, declared(court, court.other_doctor), lambda _: None))
    assert reason(found) == ("bg", "SIGNATURE_INVALID")


def seconded(court: Federation, change: Callable[[Any], None], **said: Any) -> Judgement:
    """The judgement of a question in an emergency, of what its second clinician shows something is changed."""
    emergency = declared(court, clinician=court.other_doctor, **said)
    assert emergency.access is not None
    change(emergency.access.emergency)
    return judged(court, question(court, emergency, lambda _: None))


def test_second_clinician_who_signed_another_emergency_seconds_nothing(court: Federation) -> None:
    assert "D:roe seconded that emergency" in seconded(court, lambda _: None).proves
    other = declared(court, clinician=court.other_doctor).access
    assert other is not None

    def exchange(emergency: Any) -> None:
        emergency.second.CopyFrom(other.emergency.second)

    assert reason(seconded(court, exchange)) == ("second", "SIGNATURE_INVALID")


def test_second_clinician_whom_the_emergency_does_not_name_is_refused(court: Federation) -> None:
    def unnamed(emergency: Any) -> None:
        alone = declared(court).access
        assert alone is not None
        emergency.emergency.CopyFrom(alone.emergency.emergency)

    def other(emergency: Any) -> None:
        emergency.second.key_statement.CopyFrom(court.doctor.key_statement)

    def certified(emergency: Any) -> None:
        emergency.second.doctor_certificate = court.doctor.certificate

    def gone(emergency: Any) -> None:
        emergency.ClearField("second")

    assert reason(seconded(court, unnamed)) == ("content", "FIELD_INVALID")
    assert reason(seconded(court, other)) == ("second", "ANSWER_MISMATCH")
    assert reason(seconded(court, certified)) == ("second", "CREDENTIAL_INVALID")
    assert reason(seconded(court, gone))[0] == "second"


def test_opening_of_another_patient_than_was_committed_to_is_commitment_mismatch(court: Federation) -> None:
    """The hospital shows the doctor's D3, and says that it was for somebody else."""
    one = shown(court, "D3")
    openings = one.exhibit.openings
    assert "for content about P:wang" in judged(court, one.exhibit).proves[0]
    lied = changed(one, openings={**openings, "patient_id": b"P:lin"}).exhibit
    assert reason(judged(court, lied)) == ("content", "COMMITMENT_MISMATCH")
    half = {name: value for name, value in openings.items() if name != "blind"}
    assert reason(judged(court, changed(one, openings=half).exhibit)) == ("content", "MISSING_FIELD")
    silent = judged(court, changed(one, openings={}).exhibit)
    assert silent.holds
    assert "P:wang" not in "".join(silent.proves)
    assert "For which patient." in silent.leaves_open


def test_emergency_whose_signature_is_not_the_doctors_is_none_beside_a_record(court: Federation) -> None:
    """H(access) covers the emergency and not its signature: a hospital could show any."""
    emergency = declared(court)
    assert emergency.access is not None
    intent = record.Intent(emergency, court.intent(None).scope, court.entropy(32))
    _, hospital = court.establish(court.hospital_a, intent)
    own = court.party(court.doctor).self_.key_statement
    openings = exhibits.commitment_openings(emergency, intent.scope, intent.blind, own)
    of_d3 = kept(changed(kept(exhibits.of_opening(hospital.session)), openings=openings).exhibit)
    assert any("a bg of D:chen was shown" in it for it in judged(court, of_d3.exhibit).proves)
    forged = court.doctor.keys.signing_key.sign(transcript("bg", b"another"))
    found = judged(court, changed(of_d3, openings={**openings, "bg_signature": forged}).exhibit)
    assert reason(found) == ("bg", "SIGNATURE_INVALID")
    other = court.other_doctor
    restating = restated("bg", emergency.access.emergency.emergency, Emergency, other.keys.signing_key, lambda _: None)
    beside = {
        "bg_signature": restating.signature,
        "bg_key_statement": other.key_statement.statement,
        "bg_key_statement_signature": other.key_statement.signature,
    }
    found = judged(court, changed(of_d3, openings={**openings, **beside}).exhibit)
    assert reason(found) == ("bg", "IDENTITY_MISMATCH")


def test_record_that_was_refused_is_not_shown_as_served(court: Federation) -> None:
    one = shown(court, "H2")
    message = RecordEnd.FromString(one.exhibit.message)
    message.outcome = 2  # type: ignore[assignment]
    found = judged(court, changed(one, message=message.SerializeToString(deterministic=True)).exhibit)
    assert reason(found) == ("message", "ANSWER_MISMATCH")


def test_hospital_of_an_answer_beside_which_another_stands_does_not_hold(court: Federation) -> None:
    """Sig_C covers the bytes of its statements, and not their signatures; and the cloud may have named anything."""
    one, key = shown(court, "C"), court.cloud.keys.signing_key

    def exchanged(name: str, member: Member) -> Exhibit:
        answer = SearchAnswer.FromString(one.exhibit.message)
        party = court.party(member)
        statement = party.self_.key_statement if name == "key_statement" else party.encryption_key_statement
        getattr(answer.hospitals[0], name).CopyFrom(statement)
        fields = list(fields_of("C", 13, one.exhibit.signed))
        fields[6] = listing([search.place_of(hospital) for hospital in answer.hospitals])
        covered = transcript("C", *fields)
        answer.signature = key.sign(covered)
        message = answer.SerializeToString(deterministic=True)
        return changed(one, message=message, signed=covered, signature=answer.signature).exhibit

    assert judged(court, one.exhibit).holds
    assert reason(judged(court, exchanged("key_statement", court.hospital_b))) == ("hospital", "ANSWER_MISMATCH")
    assert reason(judged(court, exchanged("encryption_key_statement", court.hospital_b)))[0] == "hospital"
