"""D1: what the patient refuses, and the room that it is shown before P1."""

from datetime import timedelta

import pytest

from federation.errors import (
    CertificateForeign,
    CertificateRevoked,
    CredentialInvalid,
    CredentialRevoked,
    FutureDated,
    IdentityMismatch,
    KeyConfirmationFailed,
    MissingField,
    PointInvalid,
    SealInvalid,
    SessionUnknown,
    SignatureInvalid,
    StaleMessage,
    StaleRevocationList,
    TimeMismatch,
    UnknownField,
)
from federation.protocol import consultation
from tests.mallory import BORROWED_POINTS, d1_from, outside, refused, rejected, with_unknown_field


@pytest.fixture
def exchange(federation):
    awaiting, opening = federation.open_consultation()
    _, reply = federation.receive_opening(opening).reply(now=federation.clock.now, entropy=federation.entropy)
    return awaiting, reply


@pytest.fixture
def receive(federation, exchange):
    return lambda reply: exchange[0].receive(reply, federation.patient.verifier(), now=federation.clock.now)


@pytest.fixture
def seal(federation):
    return d1_from(federation, federation.doctor)


def test_a_reply_is_taken_and_both_hold_one_key(federation, exchange, receive):
    established = receive(exchange[1])
    assert established.session.peer.identity == "D:chen"


def test_a_stale_reply_is_refused(federation, exchange, receive):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        receive(exchange[1])


def test_a_future_dated_reply_is_refused(federation, exchange, receive):
    federation.clock.advance(timedelta(seconds=-6))
    with refused(FutureDated):
        receive(exchange[1])


def test_a_reply_with_a_time_mismatch_is_refused(exchange, receive, seal):
    reply = exchange[1]
    with rejected(TimeMismatch):
        receive(seal.close(reply, seal.open(reply), sent_at=reply.sent_at + 1))


def test_a_reply_of_another_session_is_refused(exchange, receive):
    with refused(SessionUnknown):
        receive(outside(exchange[1], session_id=b"x" * 16))


def test_a_reply_to_another_opening_is_refused(federation, exchange):
    """The patient asked twice: the answer to one is not the answer to the other."""
    other, _ = federation.open_consultation()
    reply = outside(exchange[1], session_id=other.session_id)
    with rejected(SealInvalid):
        other.receive(reply, federation.patient.verifier(), now=federation.clock.now)


def test_a_reply_sealed_again_for_another_opening_fails_key_confirmation(federation, exchange, seal):
    other, _ = federation.open_consultation()
    reply = seal.close(outside(exchange[1], session_id=other.session_id), seal.open(exchange[1]))
    with rejected(KeyConfirmationFailed):
        other.receive(reply, federation.patient.verifier(), now=federation.clock.now)


def test_an_unknown_field_in_a_reply_is_refused(exchange, receive, seal):
    payload = with_unknown_field(seal.open(exchange[1]).SerializeToString(deterministic=True))
    with rejected(UnknownField):
        receive(seal.close(exchange[1], payload))


def test_a_missing_field_in_a_reply_is_refused(exchange, receive, seal):
    with rejected(MissingField):
        receive(seal.change(exchange[1], lambda d1: d1.ClearField("key_confirmation")))


@pytest.mark.parametrize("field", ["agreement_point", "ephemeral_point", "registration_point"])
@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_an_invalid_point_in_a_reply_is_refused(exchange, receive, seal, field, point):
    with rejected(PointInvalid):
        receive(seal.change(exchange[1], lambda d1: setattr(d1, field, point)))


def test_another_doctor_answering_is_refused(federation, exchange, receive):
    """Another doctor's own, well formed answer: its seal names it, so it does not even open."""
    other = d1_from(federation, federation.other_doctor)
    payload = d1_from(federation, federation.doctor).open(exchange[1])
    with rejected(SealInvalid):
        receive(other.close(exchange[1], payload))


def test_another_doctors_id_in_a_reply_is_refused(exchange, receive, seal):
    with rejected(IdentityMismatch):
        receive(seal.change(exchange[1], lambda d1: setattr(d1, "doctor_id", "D:roe")))


def test_another_certificate_than_the_one_checked_is_refused_as_foreign(federation, exchange, receive, seal):
    other = federation.other_doctor.certificate
    with rejected(CertificateForeign):
        receive(seal.change(exchange[1], lambda d1: setattr(d1, "doctor_certificate", other)))


def test_another_doctors_key_statement_in_a_reply_is_refused(federation, exchange, receive, seal):
    other = federation.other_doctor.key_statement
    with rejected(CredentialInvalid):
        receive(seal.change(exchange[1], lambda d1: d1.key_statement.CopyFrom(other)))


def test_a_registration_point_other_than_the_statements_is_refused(federation, exchange, receive, seal):
    point = federation.party(federation.other_doctor).self_.registration_point
    with rejected(IdentityMismatch):
        receive(seal.change(exchange[1], lambda d1: setattr(d1, "registration_point", point)))


@pytest.mark.parametrize("field", ["key_confirmation", "contribution"])
def test_a_wrong_key_confirmation_is_refused(exchange, receive, seal, field):
    """kc_D, or anything that goes into the key: eq. 22 does not hold."""
    with rejected(KeyConfirmationFailed):
        receive(seal.change(exchange[1], lambda d1: setattr(d1, field, bytes(32))))


def test_a_wrong_signature_in_a_reply_is_refused(exchange, receive, seal):
    def change(d1):
        d1.signature = bytes([d1.signature[0] ^ 1]) + d1.signature[1:]

    with rejected(SignatureInvalid):
        receive(seal.change(exchange[1], change))


def test_a_doctor_revoked_meanwhile_is_refused(federation, exchange, receive):
    federation.revoke(federation.doctor, federation.patient)
    with rejected(CredentialRevoked):
        receive(exchange[1])


def test_a_certificate_revoked_meanwhile_is_refused(federation, exchange, receive):
    federation.revoke_certificate(federation.patient)
    with rejected(CertificateRevoked):
        receive(exchange[1])


def room_check(federation, room, code):
    return consultation.check_room(room, code, federation.patient.verifier(), now=federation.clock.now)


def test_a_room_of_the_codes_doctor_is_taken(federation):
    assert room_check(federation, *federation.room()).party.identity == "D:chen"


def test_a_room_of_another_doctor_than_the_code_names_is_refused(federation):
    room, _ = federation.room(federation.other_doctor)
    _, code = federation.room()
    with refused(IdentityMismatch):
        room_check(federation, room, code)


def test_a_room_with_another_doctors_encryption_key_is_refused(federation):
    room, code = federation.room()
    room.encryption_key_statement.CopyFrom(federation.party(federation.other_doctor).encryption_key_statement)
    with refused(SignatureInvalid):
        room_check(federation, room, code)


def test_a_room_with_a_missing_field_is_refused(federation):
    room, code = federation.room()
    room.ClearField("doctor_certificate")
    with refused(MissingField):
        room_check(federation, room, code)


def test_a_room_of_a_doctor_with_a_revoked_certificate_is_refused(federation):
    federation.revoke_certificate()
    with refused(CertificateRevoked):
        room_check(federation, *federation.room())


def test_a_patient_with_a_stale_revocation_list_addresses_nobody(federation):
    federation.clock.advance(timedelta(hours=1))
    with refused(StaleRevocationList):
        room_check(federation, *federation.room())
