"""reg1 and reg2: what the cloud refuses to register, and a party to believe (eq. 2-10; A1, A2, A3)."""

from dataclasses import replace
from datetime import timedelta

import pytest

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
    IdentityMismatch,
    MissingField,
    PointInvalid,
    SealInvalid,
    SessionUnknown,
    SignatureInvalid,
    StaleMessage,
    TicketInvalid,
    TimeMismatch,
    UnknownField,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol import registration
from federation.protocol.registration import TicketTerms, receive_request
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Credential,
    EncryptionKeyStatement,
    KeyStatement,
)
from keystore import group
from keystore.party import PartyKeys
from tests.mallory import BORROWED_POINTS, refused, reg1, reg2, rejected, restated, signs_reg1, with_unknown_field
from tests.simulator import BIOMETRIC_PASSWORD, CLOUD_ID


class Applying:
    """Somebody applies; each step may be changed."""

    def __init__(self, federation, member, role, evidence, ticket):
        self.federation, self.member, self.role = federation, member, role
        now = federation.clock.now
        self.applicant = member.applicant(role, evidence, ticket, now=now)
        self.waiting, self.opening = self.applicant.apply(
            federation.entropy(16), federation.cloud.encryption_key(), now=now
        )
        self.terms = TicketTerms(role, member.identity) if ticket else None

    def accept(self, opening=None, **changes):
        received = receive_request(opening or self.opening, self.federation.cloud.epochs, CLOUD_ID)
        arguments = {"challenge_consumed": True, "ticket": self.terms, "registered_already": False, **changes}
        return received.accept(self.federation.cloud.verifier(), **arguments, now=self.federation.clock.now)

    def changed(self, change, *, sign=True):
        signs = signs_reg1(self.applicant.signing_key) if sign else lambda _: None
        return reg1(self.federation).change(self.opening, change, signs)

    def answer(self):
        federation, now = self.federation, self.federation.clock.now
        accepted = self.accept()
        credential = accepted.credential(federation.entropy(16), now=now)
        issued = federation.cloud.keys.issuing.issue(credential)
        signing_key = federation.cloud.keys.signing_key
        return accepted.answer(credential, issued, signing_key, federation.cloud.revocation_list(), now=now)[1]

    def receive(self, reply):
        crls = (self.federation.authority.crl(),)
        anchors, now = self.federation.cloud.anchors, self.federation.clock.now
        return self.waiting.receive(reply, anchors, crls, self.member.freshness, now=now)


@pytest.fixture(scope="module")
def applicants(shared_federation):
    """Give the applicants' tokens, made once."""
    make = shared_federation.make_token
    return {name: PartyKeys.create(make("applicant")) for name in ("P:new", "D:new")}


@pytest.fixture
def patient(federation, applicants):
    member = federation.new_member("P:new", applicants["P:new"])
    return Applying(federation, member, ROLE_PATIENT, BIOMETRIC_PASSWORD, b"t" * 16)


@pytest.fixture
def doctor_member(federation, applicants):
    return federation.new_member("D:new", applicants["D:new"])


@pytest.fixture
def doctor(federation, doctor_member):
    certificate = federation.authority.certify(doctor_member.keys, "D:new")
    return Applying(federation, doctor_member, ROLE_DOCTOR, certificate, None)


def test_a_patient_with_a_ticket_is_registered(patient):
    registered = patient.receive(patient.answer())
    assert registered.party.identity == "P:new"
    assert bytes(registered.registration_secret).hex() not in repr(registered)
    assert group.multiply_base(bytes(registered.registration_secret)) == registered.party.public_point


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
        patient.accept(challenge_consumed=False)


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
    """With a key of small order any signature holds: proof of possession, and every later signature, would be void."""
    with rejected(PointInvalid):
        patient.accept(patient.changed(lambda request: setattr(request, "verifying_key", point)))


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
        lambda statement: setattr(statement, "encryption_key", b"\xff" * 1216),
    ],
    ids=["another identity", "expired", "no key"],
)
def test_an_encryption_key_that_does_not_hold_together_is_refused(patient, change):
    own = patient.applicant
    statement = restated("ek", own.encryption_key_statement, EncryptionKeyStatement, own.signing_key, change)
    with rejected(CredentialInvalid):
        patient.accept(patient.changed(lambda request: request.encryption_key_statement.CopyFrom(statement)))


def test_an_identity_that_is_already_registered_is_refused(patient):
    with rejected(AlreadyRegistered):
        patient.accept(registered_already=True)


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


@pytest.fixture
def changed_answer(federation, patient):
    """Give reg2 with its content changed; signed again by the cloud if asked."""

    def run(change, *, sign=True):
        def signs(answer):
            if not sign:
                return
            issuer = federation.cloud.anchors.issuer_public_key
            message = registration.transcript("cred", answer.credential)
            point = group.public_point(answer.registration_point, issuer, message)
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
    with rejected(IdentityMismatch):
        patient.receive(changed_answer(lambda answer: answer.key_statement.CopyFrom(earlier)))


def test_a_key_statement_of_another_signer_is_refused(federation, patient, changed_answer):
    def apply(answer):
        key = federation.doctor.keys.signing_key
        answer.key_statement.CopyFrom(restated("ks", answer.key_statement, KeyStatement, key, lambda _: None))

    with rejected(SignatureInvalid):
        patient.receive(changed_answer(apply))


def test_a_missing_field_in_an_answer_is_refused(patient, changed_answer):
    with rejected(MissingField):
        patient.receive(changed_answer(lambda answer: answer.ClearField("revocation_list"), sign=False))
