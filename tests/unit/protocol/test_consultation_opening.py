"""P1: what the doctor refuses, precisely where the clear fields decide and as REJECTED where the seal was opened."""

from datetime import timedelta

import pytest

from federation.errors import (
    CredentialExpired,
    CredentialInvalid,
    CredentialRevoked,
    CredentialSuperseded,
    FieldInvalid,
    FutureDated,
    IdentityMismatch,
    MissingField,
    PointInvalid,
    Replayed,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
    StaleRevocationList,
    TimeMismatch,
    UnknownField,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol import consultation
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.statement_pb2 import EncryptionKeyStatement
from tests.mallory import BORROWED_POINTS, outside, p1_to, refused, rejected, restated, signs_p1, with_unknown_field


@pytest.fixture
def opening(federation) -> SealedOpening:
    return federation.open_consultation()[1]


@pytest.fixture
def seal(federation):
    return p1_to(federation, federation.doctor)


@pytest.fixture
def sign(federation, opening):
    return signs_p1(federation.patient.keys.signing_key, opening, federation.cloud.keys.issuing.public_key, "D:chen")


def test_an_opening_is_taken(federation, opening):
    asked = federation.receive_opening(opening)
    assert asked.peer.identity == "P:wang"


def test_a_changed_opening_signed_again_is_taken_so_the_refusals_below_have_one_cause(federation, opening, seal, sign):
    federation.receive_opening(seal.change(opening, lambda p1: None, sign))


def test_a_stale_opening_is_refused(federation, opening):
    federation.clock.advance(timedelta(seconds=30, milliseconds=1))
    with refused(StaleMessage):
        federation.receive_opening(opening)


def test_a_future_dated_opening_is_refused(federation, opening):
    federation.clock.advance(timedelta(seconds=-5, milliseconds=-1))
    with refused(FutureDated):
        federation.receive_opening(opening)


def test_an_opening_with_a_time_mismatch_is_refused(federation, opening, seal):
    payload = seal.open(opening)
    with rejected(TimeMismatch):
        federation.receive_opening(seal.close(opening, payload, sent_at=opening.sent_at + 1))


def test_an_opening_with_another_time_in_clear_is_refused(federation, opening):
    with rejected(SealInvalid):
        federation.receive_opening(outside(opening, sent_at=opening.sent_at + 1))


def test_a_replayed_opening_is_refused(federation, opening):
    federation.receive_opening(opening)
    with rejected(Replayed):
        federation.receive_opening(opening)


def test_a_replayed_opening_sealed_again_is_refused(federation, opening, seal):
    """The replay key is ID_P and R_P2, not the ciphertext."""
    federation.receive_opening(opening)
    with rejected(Replayed):
        federation.receive_opening(seal.change(opening, lambda p1: None))


def test_an_opening_for_another_recipient_is_refused(federation, opening):
    with refused(UnknownKeyId):
        federation.receive_opening(opening, federation.other_doctor)


def test_an_opening_relabelled_for_another_recipient_is_refused(federation, opening):
    other = p1_to(federation, federation.other_doctor)
    with rejected(SealInvalid):
        federation.receive_opening(outside(opening, key_id=other.key.key_id), federation.other_doctor)


def test_an_opening_of_an_unsupported_version_is_refused(federation, opening):
    with refused(UnsupportedVersion):
        federation.receive_opening(outside(opening, version=2))


def test_an_opening_without_a_session_is_refused(federation, opening):
    with refused(FieldInvalid):
        federation.receive_opening(outside(opening, session_id=b""))


def test_an_opening_moved_to_another_session_is_refused(federation, opening):
    with rejected(SealInvalid):
        federation.receive_opening(outside(opening, session_id=b"x" * 16))


def test_an_opening_sealed_again_for_another_session_is_refused(federation, opening, seal):
    """The session id is under the signature too."""
    with rejected(SignatureInvalid):
        federation.receive_opening(seal.close(outside(opening, session_id=b"x" * 16), seal.open(opening)))


def test_an_unknown_field_inside_the_seal_is_refused(federation, opening, seal):
    payload = with_unknown_field(seal.open(opening).SerializeToString(deterministic=True))
    with rejected(UnknownField):
        federation.receive_opening(seal.close(opening, payload))


def test_a_missing_field_inside_the_seal_is_refused(federation, opening, seal, sign):
    with rejected(MissingField):
        federation.receive_opening(seal.change(opening, lambda p1: p1.ClearField("contribution"), sign))


@pytest.mark.parametrize("field", ["agreement_point", "ephemeral_point", "registration_point"])
@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_an_invalid_point_inside_the_seal_is_refused(federation, opening, seal, sign, field, point):
    with rejected(PointInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, field, point), sign))


def test_an_opening_on_another_base_than_the_doctors_of_now_is_refused(federation, opening, seal, sign):
    """The patient holds an older KS_D: its R_P2 rests on an R_D1 whose S_D another took the place of."""
    with rejected(CredentialSuperseded):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, "responder_serial", b"o" * 16), sign))


def test_a_wrong_signature_is_refused(federation, opening, seal):
    with rejected(SignatureInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, "contribution", b"x" * 32)))


def test_an_opening_signed_for_another_doctor_is_refused(federation, opening, seal):
    key, issuer = federation.patient.keys.signing_key, federation.cloud.keys.issuing.public_key
    with rejected(SignatureInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: None, signs_p1(key, opening, issuer, "D:roe")))


def test_another_patients_key_statement_is_refused(federation, opening, seal, sign):
    other = federation.other_patient.key_statement
    with rejected(IdentityMismatch):
        federation.receive_opening(seal.change(opening, lambda p1: p1.key_statement.CopyFrom(other), sign))


def test_another_patients_id_is_refused(federation, opening, seal, sign):
    """The key statement and everything else is the sender's own."""
    with rejected(IdentityMismatch):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, "patient_id", "P:lin"), sign))


def test_another_registration_point_than_the_statements_is_refused(federation, opening, seal, sign):
    point = federation.party(federation.other_patient).self_.registration_point
    with rejected(IdentityMismatch):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, "registration_point", point), sign))


def test_a_credential_of_another_role_is_refused(federation, opening, seal, sign):
    statement = federation.other_doctor.key_statement
    with rejected(CredentialInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: p1.key_statement.CopyFrom(statement), sign))


def test_anothers_biometric_password_is_refused(federation, opening, seal, sign):
    with rejected(CredentialInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, "biometric_password", bytes(32)), sign))


def test_a_revoked_credential_is_refused(federation, opening):
    federation.revoke(federation.patient, federation.doctor)
    with rejected(CredentialRevoked):
        federation.receive_opening(opening)


def test_a_revoked_encryption_key_is_refused(federation, opening):
    statement = federation.party(federation.patient).encryption_key_statement.statement
    federation.cloud.revoked_keys.append(EncryptionKeyStatement.FromString(statement).key_id)
    federation.refresh(federation.doctor)
    with rejected(CredentialRevoked):
        federation.receive_opening(opening)


def test_an_expired_encryption_key_is_refused(federation, opening, seal, sign):
    patient = federation.party(federation.patient)
    expired = restated(
        "ek",
        patient.encryption_key_statement,
        EncryptionKeyStatement,
        patient.signing_key,
        lambda statement: setattr(statement, "not_after", federation.clock.now),
    )
    with rejected(CredentialExpired):
        federation.receive_opening(seal.change(opening, lambda p1: p1.encryption_key_statement.CopyFrom(expired), sign))


def test_a_doctor_with_a_stale_revocation_list_refuses(federation):
    federation.refresh(federation.doctor)
    federation.party(federation.doctor)  # at work already when its list grows old
    federation.clock.advance(timedelta(hours=1))
    federation.refresh(federation.patient, federation.hospital_a)
    _, opening = federation.open_consultation()
    with rejected(StaleRevocationList):
        federation.receive_opening(opening)


def test_nothing_of_a_refused_opening_is_kept(federation, opening, seal):
    """No partial state: the honest message still goes through after a forged copy of it was refused."""
    with rejected(SignatureInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, "contribution", b"x" * 32)))
    federation.receive_opening(opening)


def test_a_pending_state_opens_only_once_its_replay_key_is_kept(federation, opening):
    doctor = federation.party(federation.doctor)
    pending = consultation.receive_opening(doctor, opening, federation.doctor.verifier(), now=federation.clock.now)
    assert pending.admit(True).peer.identity == "P:wang"
    with rejected(Replayed):
        pending.admit(False)
