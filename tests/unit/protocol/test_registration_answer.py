"""reg2: what a party refuses to believe of its registration (eq. 4, 7, 10)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    CredentialInvalid,
    FieldInvalid,
    FutureDated,
    IdentityMismatch,
    MissingField,
    PointInvalid,
    RevocationShardInvalid,
    RevocationShardMissing,
    SessionUnknown,
    SignatureInvalid,
)
from federation.protocol import registration
from federation.protocol.anchors import serial_entry
from federation.protocol.statements import peek_statement
from federation.v1.statement_pb2 import (
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Credential,
    KeyStatement,
)
from keystore.curve import public_point, x_of
from tests.keys import new_key
from tests.mallory import BORROWED_POINTS, refused, reg2, rejected, restated
from tests.simulator import BIOMETRIC_PASSWORD
from tests.unit.protocol.applying import Applying


@pytest.fixture
def changed_answer(federation, patient):
    """Give reg2 with its content changed; signed again by the cloud if asked."""

    def run(change, *, sign=True):
        def signs(answer):
            if not sign:
                return
            issuer = federation.cloud.keys.issuing.public_key
            point = public_point(answer.registration_point, issuer, answer.credential)
            signed = registration.answer_transcript(patient.waiting.request_digest, answer, point)
            answer.signature = federation.cloud.keys.signing_key.sign(signed)

        seal = reg2("P:new", patient.applicant.decryption_key)
        return seal.change(patient.answer(), change, signs)

    return run


def test_a_changed_answer_signed_again_is_taken_so_the_refusals_below_have_one_cause(patient, changed_answer):
    patient.receive(changed_answer(lambda answer: None))


def test_an_answer_to_another_registration_is_refused(patient):
    reply = patient.answer()
    reply.session_id = bytes(16)
    with refused(SessionUnknown):
        patient.receive(reply)


def test_an_answer_bound_to_another_request_is_refused(patient):
    """A7: the signature covers H(reg1 plaintext)."""
    patient.waiting = replace(patient.waiting, request_digest=bytes(32))
    with rejected(SignatureInvalid):
        patient.receive(patient.answer())


def test_a_future_dated_answer_is_refused(federation, patient):
    reply = patient.answer()
    federation.clock.advance(timedelta(seconds=-6))
    with rejected(FutureDated):
        patient.receive(reply)


def test_an_answer_of_a_cloud_whose_clock_is_ahead_within_sigma_is_taken(federation, patient):
    reply = patient.answer()
    federation.clock.advance(timedelta(seconds=-5))
    assert patient.receive(reply).party.identity == "P:new"


def test_an_old_answer_is_taken_when_it_is_kept_for_a_repeated_request(federation, patient):
    reply = patient.answer()
    federation.clock.advance(timedelta(minutes=9))
    patient.receive(reply)


def test_an_answer_of_another_signer_is_refused(patient, changed_answer):
    with rejected(SignatureInvalid):
        patient.receive(changed_answer(lambda answer: setattr(answer, "signature", bytes(64)), sign=False))


@pytest.mark.parametrize(
    "change",
    [
        lambda credential: setattr(credential, "identity", "P:lin"),
        lambda credential: setattr(credential, "role", ROLE_HOSPITAL),
        lambda credential: setattr(credential, "attribute", bytes(32)),
        lambda credential: setattr(credential, "verifying_key_digest", bytes(32)),
    ],
    ids=["identity", "role", "attribute", "key"],
)
def test_a_credential_that_does_not_hold_what_was_asked_for_is_refused(patient, changed_answer, change):
    def apply(answer):
        credential = Credential.FromString(answer.credential)
        change(credential)
        answer.credential = credential.SerializeToString(deterministic=True)

    with rejected(CredentialInvalid):
        patient.receive(changed_answer(apply))


@pytest.mark.parametrize("field", ["attribute", "identity"])
def test_a_credential_that_the_cloud_issued_for_something_else_is_refused(federation, patient, changed_answer, field):
    """All of it holds together, eq. 4 too: it is another patient's, or of another reading of the same one."""

    def apply(answer):
        credential = Credential.FromString(answer.credential)
        setattr(credential, field, {"attribute": bytes(32), "identity": "P:lin"}[field])
        answer.credential = credential.SerializeToString(deterministic=True)
        issued = federation.cloud.keys.issuing.issue(answer.credential)
        answer.registration_point, answer.registration_secret = (
            issued.registration_point,
            bytes(issued.registration_secret),
        )

        def state(statement: KeyStatement) -> None:
            statement.identity, statement.credential = credential.identity, answer.credential
            statement.registration_point = answer.registration_point

        key = federation.cloud.keys.signing_key
        answer.key_statement.CopyFrom(restated("ks", answer.key_statement, KeyStatement, key, state))

    with rejected(CredentialInvalid):
        patient.receive(changed_answer(apply))


def test_a_credential_with_a_serial_of_another_size_is_never_signed(federation, patient):
    with refused(FieldInvalid):
        patient.accept().credential(bytes(15), now=federation.clock.now)


@pytest.mark.parametrize("field", ["session_id", "sealed", "sent_at"])
def test_an_answer_without_a_clear_field_is_refused_precisely(patient, field):
    reply = patient.answer()
    reply.ClearField(field)
    with refused(MissingField):
        patient.receive(reply)


def test_an_answer_that_does_not_satisfy_equation_4_is_refused(patient, changed_answer):
    def apply(answer):
        secret = int.from_bytes(answer.registration_secret, "little") ^ 2
        answer.registration_secret = secret.to_bytes(32, "little")

    with rejected(CredentialInvalid):
        patient.receive(changed_answer(apply))


@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
def test_an_invalid_point_in_an_answer_is_refused(patient, changed_answer, point):
    with rejected(PointInvalid):
        patient.receive(changed_answer(lambda answer: setattr(answer, "registration_point", point), sign=False))


def test_a_key_statement_of_another_credential_is_refused(federation, patient, changed_answer):
    """The statement is another registration's of the same party."""
    patient_of_before = Applying(federation, patient.member, ROLE_PATIENT, BIOMETRIC_PASSWORD, b"t" * 16)
    earlier = patient_of_before.receive(patient_of_before.answer()).party.key_statement
    serial = Credential.FromString(peek_statement(KeyStatement, earlier).credential).serial

    def apply(answer):
        answer.key_statement.CopyFrom(earlier)
        answer.revocations.CopyFrom(federation.cloud.excerpt(serial_entry(serial)))

    with rejected(IdentityMismatch):
        patient.receive(changed_answer(apply))


def test_an_answer_without_the_shard_of_its_serial_is_refused_revocation_shard_missing(
    federation, patient, changed_answer
):
    with rejected(RevocationShardMissing):
        patient.receive(changed_answer(lambda answer: answer.revocations.CopyFrom(federation.cloud.excerpt())))


def test_an_answer_with_a_shard_that_is_not_its_head_s_is_refused_revocation_shard_invalid(
    federation, patient, changed_answer
):
    def apply(answer):
        answer.revocations.shards[0].entries.append(bytes(32))

    with rejected(RevocationShardInvalid):
        patient.receive(changed_answer(apply))


@pytest.mark.parametrize("field", ["credential", "registration_point"])
def test_a_key_statement_that_differs_from_the_credential_in_one_field_is_refused(
    federation, patient, changed_answer, field
):
    def differ(statement: KeyStatement) -> None:
        if field == "registration_point":
            statement.registration_point = x_of(new_key().public_key())
            return
        credential = Credential.FromString(statement.credential)
        credential.not_after += 1
        statement.credential = credential.SerializeToString(deterministic=True)

    def apply(answer):
        key = federation.cloud.keys.signing_key
        answer.key_statement.CopyFrom(restated("ks", answer.key_statement, KeyStatement, key, differ))

    with rejected(IdentityMismatch):
        patient.receive(changed_answer(apply))


def test_a_key_statement_of_another_signer_is_refused(federation, patient, changed_answer):
    def apply(answer):
        key = federation.doctor.keys.signing_key
        answer.key_statement.CopyFrom(restated("ks", answer.key_statement, KeyStatement, key, lambda _: None))

    with rejected(SignatureInvalid):
        patient.receive(changed_answer(apply))


def test_a_missing_field_in_an_answer_is_refused(patient, changed_answer):
    with rejected(MissingField):
        patient.receive(changed_answer(lambda answer: answer.ClearField("revocations"), sign=False))
