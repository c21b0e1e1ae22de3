"""D3 and H1: how a doctor's session with a hospital begins, and what each side refuses."""

from datetime import timedelta

import pytest

from federation.errors import (
    CertificateRevoked,
    CredentialInvalid,
    CredentialRevoked,
    CredentialSuperseded,
    FieldInvalid,
    FutureDated,
    IdentityMismatch,
    KeyConfirmationFailed,
    MissingField,
    PointInvalid,
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
from tests.mallory import (
    BORROWED_POINTS,
    d3_to,
    h1_from,
    outside,
    refused,
    rejected,
    signs_d3,
    with_unknown_field,
)


@pytest.fixture
def intent(federation):
    return federation.intent(federation.grant())


@pytest.fixture
def opened(federation, intent):
    return federation.open_session(federation.hospital_a, intent)


@pytest.fixture
def take(federation):
    return lambda opening, hospital=None: federation.receive_session(hospital or federation.hospital_a, opening)


@pytest.fixture
def changed(federation, opened):
    """Give D3 with its content changed and signed again."""

    def run(change, *, sign=True):
        issuer = federation.cloud.keys.issuing.public_key
        key = federation.doctor.keys.signing_key
        signs = signs_d3(key, opened[1], issuer, "H:alpha") if sign else lambda _: None
        return d3_to(federation, federation.hospital_a).change(opened[1], change, signs)

    return run


def test_an_opening_is_taken(opened, take):
    assert take(opened[1]).peer.identity == "D:chen"


def test_a_changed_opening_signed_again_is_taken_so_the_refusals_below_have_one_cause(changed, take):
    take(changed(lambda d3: None))


def test_a_stale_opening_is_refused(federation, opened, take):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        take(opened[1])


def test_a_future_dated_opening_is_refused(federation, opened, take):
    federation.clock.advance(timedelta(seconds=-6))
    with refused(FutureDated):
        take(opened[1])


def test_an_opening_with_a_time_mismatch_is_refused(federation, opened, take):
    seal = d3_to(federation, federation.hospital_a)
    with rejected(TimeMismatch):
        take(seal.close(opened[1], seal.open(opened[1]), sent_at=opened[1].sent_at - 1))


def test_a_replayed_opening_is_refused(opened, take):
    take(opened[1])
    with rejected(Replayed):
        take(opened[1])


def test_an_opening_for_another_recipient_is_refused(federation, opened, take):
    with refused(UnknownKeyId):
        take(opened[1], federation.hospital_b)


def test_an_unsupported_version_is_refused(opened, take):
    with refused(UnsupportedVersion):
        take(outside(opened[1], version=0))


def test_an_opening_without_a_session_is_refused(opened, take):
    with refused(FieldInvalid):
        take(outside(opened[1], session_id=b""))


def test_an_unknown_field_in_an_opening_is_refused(federation, opened, take):
    seal = d3_to(federation, federation.hospital_a)
    payload = with_unknown_field(seal.open(opened[1]).SerializeToString(deterministic=True))
    with rejected(UnknownField):
        take(seal.close(opened[1], payload))


def test_a_missing_field_in_an_opening_is_refused(changed, take):
    with rejected(MissingField):
        take(changed(lambda d3: d3.ClearField("patient_commitment")))


@pytest.mark.parametrize("field", ["agreement_point", "ephemeral_point", "registration_point"])
@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_an_invalid_point_in_an_opening_is_refused(changed, take, field, point):
    with rejected(PointInvalid):
        take(changed(lambda d3: setattr(d3, field, point)))


def test_an_opening_on_another_base_than_the_hospitals_of_now_is_refused(changed, take):
    with rejected(CredentialSuperseded):
        take(changed(lambda d3: setattr(d3, "responder_serial", b"o" * 16)))


def test_an_opening_with_a_wrong_signature_is_refused(changed, take):
    with rejected(SignatureInvalid):
        take(changed(lambda d3: setattr(d3, "patient_commitment", bytes(32)), sign=False))


def test_another_doctors_id_is_refused(changed, take):
    """The key statement and everything else is the sender's own."""
    with rejected(IdentityMismatch):
        take(changed(lambda d3: setattr(d3, "asker_id", "D:roe")))


def test_another_registration_point_than_the_statements_is_refused(federation, changed, take):
    point = federation.party(federation.other_doctor).self_.registration_point
    with rejected(IdentityMismatch):
        take(changed(lambda d3: setattr(d3, "registration_point", point)))


def test_another_doctors_statements_are_refused(federation, changed, take):
    other = federation.other_doctor

    def change(d3):
        d3.key_statement.CopyFrom(other.key_statement)
        d3.doctor_certificate = other.certificate

    with rejected(IdentityMismatch):
        take(changed(change))


def test_a_credential_of_another_role_is_refused(federation, changed, take):
    with rejected(CredentialInvalid):
        take(changed(lambda d3: d3.key_statement.CopyFrom(federation.patient.key_statement)))


def test_another_certificate_than_the_credentials_is_refused(federation, changed, take):
    with rejected(CredentialInvalid):
        take(changed(lambda d3: setattr(d3, "doctor_certificate", federation.other_doctor.certificate)))


def test_a_revoked_certificate_is_refused(federation, opened, take):
    federation.revoke_certificate(federation.hospital_a)
    with rejected(CertificateRevoked):
        take(opened[1])


def test_a_revoked_doctor_is_refused(federation, opened, take):
    federation.revoke(federation.doctor, federation.hospital_a)
    with rejected(CredentialRevoked):
        take(opened[1])


@pytest.fixture
def replied(federation, opened, take):
    _, reply = take(opened[1]).reply(now=federation.clock.now, entropy=federation.entropy)
    return reply


@pytest.fixture
def hear(federation, opened):
    return lambda reply: opened[0].receive(reply, federation.doctor.verifier(), now=federation.clock.now)


@pytest.fixture
def h1(federation):
    return h1_from(federation, federation.hospital_a)


def test_a_reply_is_taken(replied, hear):
    assert hear(replied).session.peer.identity == "H:alpha"


def test_a_stale_reply_is_refused(federation, replied, hear):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        hear(replied)


def test_a_reply_with_a_time_mismatch_is_refused(replied, hear, h1):
    with rejected(TimeMismatch):
        hear(h1.close(replied, h1.open(replied), sent_at=replied.sent_at + 1))


def test_a_reply_of_another_session_is_refused(replied, hear):
    with refused(SessionUnknown):
        hear(outside(replied, session_id=bytes(16)))


def test_another_hospital_answering_is_refused(federation, replied, hear, h1):
    other = h1_from(federation, federation.hospital_b)
    with rejected(SealInvalid):
        hear(other.close(replied, h1.open(replied)))


def test_another_hospitals_id_in_a_reply_is_refused(replied, hear, h1):
    with rejected(IdentityMismatch):
        hear(h1.change(replied, lambda payload: setattr(payload, "hospital_id", "H:beta")))


def test_another_hospitals_key_statement_in_a_reply_is_refused(federation, replied, hear, h1):
    other = federation.hospital_b.key_statement
    with rejected(IdentityMismatch):
        hear(h1.change(replied, lambda payload: payload.key_statement.CopyFrom(other)))


def test_a_doctors_key_statement_in_a_reply_is_refused(federation, replied, hear, h1):
    other = federation.other_doctor.key_statement
    with rejected(CredentialInvalid):
        hear(h1.change(replied, lambda payload: payload.key_statement.CopyFrom(other)))


@pytest.mark.parametrize("field", ["agreement_point", "ephemeral_point", "registration_point"])
@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_an_invalid_point_in_a_reply_is_refused(replied, hear, h1, field, point):
    with rejected(PointInvalid):
        hear(h1.change(replied, lambda payload: setattr(payload, field, point)))


@pytest.mark.parametrize("field", ["key_confirmation", "contribution"])
def test_a_wrong_key_confirmation_is_refused(replied, hear, h1, field):
    with rejected(KeyConfirmationFailed):
        hear(h1.change(replied, lambda payload: setattr(payload, field, bytes(32))))


def test_a_reply_with_a_wrong_signature_is_refused(replied, hear, h1):
    with rejected(SignatureInvalid):
        hear(h1.change(replied, lambda payload: setattr(payload, "signature", bytes(64))))
