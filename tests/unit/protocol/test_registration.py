"""reg1: what the cloud refuses to register (eq. 2-10; A1, A2, A3)."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from federation.errors import (
    AlreadyRegistered,
    CertificateExpired,
    CertificateForeign,
    CertificateIllegal,
    CertificateRevoked,
    ChallengeInvalid,
    CredentialInvalid,
    FieldInvalid,
    FutureDated,
    MissingField,
    PointInvalid,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
    TicketInvalid,
    TimeMismatch,
    UnknownField,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol.registration import LiveRegistration, TicketTerms, receive_request
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    EncryptionKeyStatement,
)
from keystore.curve import point_over, private_key, x_of
from tests.mallory import BORROWED_POINTS, refused, reg1, rejected, restated, with_unknown_field
from tests.simulator import CLOUD_ID
from tests.unit.protocol.applying import Applying


def test_a_patient_with_a_ticket_is_registered(patient):
    registered = patient.receive(patient.answer())
    assert registered.party.identity == "P:new"
    assert bytes(registered.registration_secret).hex() not in repr(registered)
    secret, point = private_key(bytes(registered.registration_secret)), registered.party.registration_point
    assert secret.exchange(ec.ECDH(), point_over(point)) == x_of(registered.party.public_point)


def test_a_doctor_with_a_certificate_is_registered(doctor):
    assert doctor.receive(doctor.answer()).party.role == ROLE_DOCTOR


def test_a_changed_request_signed_again_is_taken_so_the_refusals_below_have_one_cause(patient):
    patient.accept(patient.changed(lambda request: None))


def test_a_stale_request_is_refused(federation, patient):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        patient.accept()


def test_a_future_dated_request_is_refused(federation, patient):
    federation.clock.advance(timedelta(seconds=-6))
    with refused(FutureDated):
        patient.accept()


def test_a_request_with_a_time_mismatch_is_refused(federation, patient):
    seal = reg1(federation)
    with rejected(TimeMismatch):
        patient.accept(seal.close(patient.opening, seal.open(patient.opening), sent_at=patient.opening.sent_at + 1))


def test_an_unsupported_version_is_refused(patient):
    patient.opening.version = 2
    with refused(UnsupportedVersion):
        patient.accept()


def test_an_unknown_key_id_is_refused(patient):
    patient.opening.key_id = bytes(16)
    with refused(UnknownKeyId):
        patient.accept()


def test_a_request_without_a_challenge_is_refused(patient):
    patient.opening.session_id = b""
    with refused(FieldInvalid):
        patient.accept()


def test_a_request_for_another_cloud_is_refused(patient, federation):
    with rejected(SealInvalid):
        receive_request(patient.opening, federation.cloud.epochs, "C:other")


def test_an_unknown_field_in_a_request_is_refused(federation, patient):
    seal = reg1(federation)
    payload = with_unknown_field(seal.open(patient.opening).SerializeToString(deterministic=True))
    with rejected(UnknownField):
        patient.accept(seal.close(patient.opening, payload))


def test_a_missing_field_in_a_request_is_refused(patient):
    with rejected(MissingField):
        patient.accept(patient.changed(lambda request: request.ClearField("evidence")))


def test_a_challenge_that_is_unknown_used_or_too_old_is_refused(patient):
    with rejected(ChallengeInvalid):
        patient.accept(challenge_holds=False)


def test_another_challenge_inside_the_seal_is_refused(patient):
    """An old signed request sealed again under a fresh challenge."""
    with rejected(ChallengeInvalid):
        patient.accept(patient.changed(lambda request: setattr(request, "challenge", bytes(16))))


def test_a_request_without_a_ticket_is_refused(patient):
    with rejected(TicketInvalid):
        patient.accept(ticket=None)


@pytest.mark.parametrize(
    "terms", [TicketTerms(ROLE_PATIENT, "P:lin"), TicketTerms(ROLE_HOSPITAL, "P:new")], ids=["identity", "role"]
)
def test_a_ticket_of_another_identity_or_role_is_refused(patient, terms):
    with rejected(TicketInvalid):
        patient.accept(ticket=terms)


@pytest.mark.parametrize("identity", ["D:new", "H:new", "C:new"])
def test_an_identity_of_another_roles_prefix_is_refused(patient, identity):
    changed = patient.changed(lambda request: setattr(request, "identity", identity))
    with rejected(FieldInvalid):
        patient.accept(changed, ticket=TicketTerms(ROLE_PATIENT, identity))


def test_a_request_without_possession_of_its_key_is_refused(federation, patient):
    """PUK of somebody else, signed by one's own."""
    other = federation.party(federation.other_patient).self_.verifying_key
    with rejected(SignatureInvalid):
        patient.accept(patient.changed(lambda request: setattr(request, "verifying_key", other)))


def test_a_request_changed_after_signing_is_refused(patient):
    with rejected(SignatureInvalid):
        patient.accept(patient.changed(lambda request: setattr(request, "evidence", bytes(32)), sign=False))


@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_a_verifying_key_that_is_no_valid_point_is_refused(patient, point):
    with rejected(PointInvalid):
        patient.accept(patient.changed(lambda request: setattr(request, "verifying_key", b"\x02" + point)))


def test_a_biometric_password_of_another_size_is_refused(patient):
    with rejected(FieldInvalid):
        patient.accept(patient.changed(lambda request: setattr(request, "evidence", bytes(31))))


def test_an_encryption_key_of_another_signer_is_refused(federation, patient):
    other = federation.party(federation.other_patient).encryption_key_statement
    with rejected(SignatureInvalid):
        patient.accept(patient.changed(lambda request: request.encryption_key_statement.CopyFrom(other)))


@pytest.mark.parametrize(
    "change",
    [
        lambda statement: setattr(statement, "identity", "P:lin"),
        lambda statement: setattr(statement, "not_after", statement.not_before),
        lambda statement: setattr(statement, "encryption_key", b"\xff" * 1249),
    ],
    ids=["another identity", "expired", "no key"],
)
def test_an_encryption_key_that_does_not_hold_together_is_refused(patient, change):
    own = patient.applicant
    statement = restated("ek", own.encryption_key_statement, EncryptionKeyStatement, own.signing_key, change)
    with rejected(CredentialInvalid):
        patient.accept(patient.changed(lambda request: request.encryption_key_statement.CopyFrom(statement)))


def test_an_identity_that_is_already_registered_is_refused(federation, patient):
    with rejected(AlreadyRegistered):
        patient.accept(live=LiveRegistration(federation.patient.key_statement))


def test_a_certificate_replayed_without_its_key_is_refused_as_foreign(federation, doctor_member):
    """Mallory sends D:chen's public Cert_D with a key of her own (A2)."""
    stolen = Applying(federation, doctor_member, ROLE_DOCTOR, federation.doctor.certificate, None)
    as_chen = stolen.changed(lambda request: setattr(request, "identity", "D:chen"))
    with rejected(CertificateForeign):
        stolen.accept(as_chen)


def test_a_certificate_with_its_own_key_and_no_possession_is_refused(federation, doctor_member):
    """With the real PUK_D she can't sign."""
    stolen = Applying(federation, doctor_member, ROLE_DOCTOR, federation.doctor.certificate, None)

    def change(request):
        request.identity = "D:chen"
        request.verifying_key = federation.party(federation.doctor).self_.verifying_key

    with rejected(SignatureInvalid):
        stolen.accept(stolen.changed(change))


def test_an_illegal_certificate_is_refused(federation, doctor_member):
    with rejected(CertificateIllegal):
        Applying(federation, doctor_member, ROLE_DOCTOR, b"no certificate", None).accept()


def test_an_expired_certificate_is_refused(federation, doctor_member):
    certificate = federation.authority.certify(doctor_member.keys, "D:new", timedelta(milliseconds=1))
    federation.clock.advance(timedelta(seconds=2))
    with rejected(CertificateExpired):
        Applying(federation, doctor_member, ROLE_DOCTOR, certificate, None).accept()


def test_a_revoked_certificate_is_refused(federation, doctor):
    federation.authority.revoke(doctor.applicant.evidence)
    with rejected(CertificateRevoked):
        doctor.accept()


def test_the_same_request_has_the_same_digest_whatever_its_seal(federation, patient):
    """A party that lost the answer sends reg1 again; the cloud knows it by H(reg1 plaintext)."""
    again = reg1(federation).change(patient.opening, lambda request: None)
    epochs = federation.cloud.epochs
    first, second = (receive_request(opening, epochs, CLOUD_ID) for opening in (patient.opening, again))
    assert patient.opening.sealed != again.sealed
    assert first.digest == second.digest == patient.waiting.request_digest
