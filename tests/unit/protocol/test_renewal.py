"""A member registers again by itself: its live PRK_X speaks for the request, in place of a ticket."""

from datetime import timedelta

import pytest

from federation.errors import (
    AlreadyRegistered,
    AttributeChanged,
    CertificateForeign,
    CredentialExpired,
    CredentialInvalid,
    CredentialRevoked,
    FieldInvalid,
    IdentityMismatch,
    NotRegistered,
    SignatureInvalid,
    TicketInvalid,
)
from federation.protocol.registration import (
    LiveRegistration,
    TicketTerms,
    renewal_transcript,
    request_transcript,
    restate,
)
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Credential,
    EncryptionKeyStatement,
    KeyStatement,
)
from keystore.transcript import digest, transcript
from tests.keys import new_signing_key
from tests.mallory import reg1, rejected, restated, signs_reg1
from tests.simulator import BIOMETRIC_PASSWORD, CLOUD_ID
from tests.unit.protocol.applying import Applying


@pytest.fixture
def live(federation):
    return LiveRegistration(federation.patient.key_statement)


def renewing(federation, member=None, role=ROLE_PATIENT, evidence=BIOMETRIC_PASSWORD, **changes) -> Applying:
    """Somebody with a live registration asks for the next one."""
    member = member or federation.patient
    return Applying(federation, member, role, evidence, None, **{"current": member.keys.signing_key, **changes})


def under_new_key(federation, member) -> dict[str, object]:
    """Give the parts of a request under a PRK_X that the cloud has not seen yet."""
    key = new_signing_key()
    own = member.party(federation.clock.now).encryption_key_statement

    def name_the_key(statement: EncryptionKeyStatement) -> None:
        statement.verifying_key_digest = digest(key.verifying_key.data)

    return {
        "signing_key": key,
        "encryption_key_statement": restated("ek", own, EncryptionKeyStatement, key, name_the_key),
    }


def test_the_live_key_signs_the_request_s_own_transcript(federation):
    request = renewing(federation).waiting.request
    covered = transcript("renew", request_transcript(request, CLOUD_ID))
    assert renewal_transcript(request, CLOUD_ID) == covered
    federation.party(federation.patient).self_.key.verify(request.current_signature, covered)


def test_a_member_renews_its_registration_without_a_ticket(federation, live):
    again = renewing(federation)
    assert again.accept(live=live).renewed == federation.party(federation.patient).self_
    registered = again.receive(again.answer(live=live))
    assert registered.party.identity == "P:wang"
    assert registered.party.serial != federation.party(federation.patient).self_.serial


def test_a_member_renews_under_a_new_key_that_the_old_one_speaks_for(federation, live):
    new = under_new_key(federation, federation.patient)
    again = renewing(federation, **new)
    party = again.receive(again.answer(live=live)).party
    assert party.verifying_key == new["signing_key"].verifying_key.data


def test_a_hospital_renews_with_its_licence(federation):
    hospital = federation.hospital_a
    again = renewing(federation, hospital, ROLE_HOSPITAL, b"licence of H:alpha")
    assert again.accept(live=LiveRegistration(hospital.key_statement)).renewed.identity == "H:alpha"


def test_a_doctor_renews_with_another_certificate(federation):
    doctor = federation.doctor
    certificate = federation.authority.certify(doctor.keys, "D:chen", timedelta(days=30))
    again = renewing(federation, doctor, ROLE_DOCTOR, certificate)
    live = LiveRegistration(doctor.key_statement)
    assert again.receive(again.answer(live=live)).party.attribute == digest(certificate)


def test_a_doctors_certificate_is_verified_in_a_renewal_too(federation):
    doctor = federation.doctor
    foreign = federation.party(federation.other_doctor).certificate
    with rejected(CertificateForeign):
        renewing(federation, doctor, ROLE_DOCTOR, foreign).accept(live=LiveRegistration(doctor.key_statement))


def test_a_first_registration_is_accepted_as_none_that_renews(patient):
    assert patient.accept().renewed is None


def test_a_renewal_of_nothing_is_refused(federation):
    with rejected(NotRegistered):
        renewing(federation).accept(live=None)


def test_a_renewal_that_has_a_ticket_too_is_refused(federation, live):
    member = federation.patient
    both = Applying(federation, member, ROLE_PATIENT, BIOMETRIC_PASSWORD, b"t" * 16, current=member.keys.signing_key)
    with rejected(FieldInvalid):
        both.accept(live=live)


def test_a_renewal_by_another_key_than_the_live_one_is_refused(federation, live):
    with rejected(SignatureInvalid):
        renewing(federation, current=new_signing_key()).accept(live=live)


def test_a_renewal_changed_after_the_live_key_signed_is_refused(federation, live):
    again = renewing(federation)
    later = again.changed(lambda request: setattr(request, "challenge", again.opening.session_id))
    again.accept(later, live=live)
    other = under_new_key(federation, federation.patient)

    def put_other_key(request: RegistrationRequest) -> None:
        request.verifying_key = other["signing_key"].verifying_key.data
        request.encryption_key_statement.CopyFrom(other["encryption_key_statement"])

    swapped = reg1(federation).change(again.opening, put_other_key, signs_reg1(other["signing_key"]))
    with rejected(SignatureInvalid):
        again.accept(swapped, live=live)


def test_a_renewal_without_possession_of_the_new_key_is_refused(federation, live):
    new = under_new_key(federation, federation.patient)
    again = renewing(federation, **new)
    forged = reg1(federation).change(again.opening, lambda _: None, signs_reg1(federation.patient.keys.signing_key))
    with rejected(SignatureInvalid):
        again.accept(forged, live=live)


def test_a_renewal_with_another_attribute_is_refused(federation, live):
    with rejected(AttributeChanged):
        renewing(federation, evidence=bytes(32)).accept(live=live)
    hospital = federation.hospital_a
    with rejected(AttributeChanged):
        renewing(federation, hospital, ROLE_HOSPITAL, b"another licence").accept(
            live=LiveRegistration(hospital.key_statement)
        )


def test_a_renewal_of_another_identity_is_refused(federation):
    live = LiveRegistration(federation.other_patient.key_statement)
    with rejected(IdentityMismatch):
        renewing(federation).accept(live=live)


def test_a_renewal_of_another_role_is_refused(federation):
    live = LiveRegistration(federation.hospital_a.key_statement)
    with rejected(CredentialInvalid):
        renewing(federation).accept(live=live)


def test_a_revoked_credential_renews_nothing(federation, live):
    federation.cloud.revoked_serials.append(federation.party(federation.patient).self_.serial)
    again = renewing(federation)
    with rejected(CredentialRevoked):
        again.accept(live=live)


def test_a_credential_that_is_over_renews_nothing(federation):
    def end(statement: KeyStatement) -> None:
        statement.not_after = federation.clock.now

    over = restated("ks", federation.patient.key_statement, KeyStatement, federation.cloud.keys.signing_key, end)
    with rejected(CredentialExpired):
        renewing(federation).accept(live=LiveRegistration(over))


def test_a_request_without_ticket_and_without_the_live_key_is_refused(federation, live):
    plain = renewing(federation, current=None)
    with rejected(TicketInvalid):
        plain.accept(live=live)
    with rejected(AlreadyRegistered):
        plain.accept(live=live, ticket=TicketTerms(ROLE_PATIENT, "P:wang"))


def test_a_key_statement_signed_anew_says_the_same_and_when(federation):
    own = federation.party(federation.patient).self_
    statement = KeyStatement.FromString(own.key_statement.statement)
    federation.clock.advance(timedelta(minutes=1))
    now = federation.clock.now
    signed = restate(statement, federation.cloud.keys.signing_key, now=now)
    again = federation.cloud.verifier().restated(signed, own, now=now)
    assert (again.credential, again.serial) == (own.credential, own.serial)
    assert KeyStatement.FromString(again.key_statement.statement).stated_at == now
    assert Credential.FromString(again.credential).not_before == statement.not_before


def test_a_key_statement_signed_anew_for_another_credential_is_not_taken(federation):
    verifier, now = federation.cloud.verifier(), federation.clock.now
    own = federation.party(federation.patient).self_
    with pytest.raises(CredentialInvalid):
        verifier.restated(federation.other_patient.key_statement, own, now=now)
