"""Findings A1 to A5: attacks on registration and on what it hands out."""

from dataclasses import replace
from random import Random

import pytest
import sqlalchemy as sa

from federation.errors import (
    AlreadyRegistered,
    CertificateForeign,
    CredentialInvalid,
    CredentialRevoked,
    KeyConfirmationFailed,
    SignatureInvalid,
    TicketInvalid,
)
from federation.party.member import Member
from federation.protocol import consultation
from federation.protocol.registration import LiveRegistration, Registered, TicketTerms, receive_request
from federation.store import schema
from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_HOSPITAL, ROLE_PATIENT, Credential
from keystore.biometric import DeviceSecret, biometric_password, simulate_reading, simulate_template
from keystore.curve import ORDER
from keystore.errors import CredentialMismatch
from keystore.fuzzy import enrol, recover
from keystore.issuing import check_issued
from keystore.party import PartyKeys
from tests.mallory import d2, reg1, rejected, signs_reg1
from tests.simulator import BIOMETRIC_PASSWORD, CLOUD_ID, Federation


def registered_with_secret(federation: Federation, identity: str) -> tuple[Member, bytes, Registered]:
    """Register a patient, and keep S_P as the cloud (or a thief of the moment) could."""
    member = federation.new_member(identity, PartyKeys.create(federation.make_token("mallory")))
    seen: list[tuple[bytes, Registered]] = []
    install = member.install

    def watch(registered: Registered, certificate: bytes = b"") -> None:
        seen.append((bytes(registered.registration_secret), registered))
        install(registered, certificate)

    member.install = watch  # type: ignore[method-assign]
    federation.cloud.register(member, ROLE_PATIENT, BIOMETRIC_PASSWORD)
    return member, *seen[0]


def test_a1_a_patients_credential_does_not_pass_as_a_hospitals(federation):
    """Mallory registers as a patient and presents her (R, S) as a hospital's or a doctor's. Role and every length are
    inside what s signed, so eq. 7 and 10 fail for any other reading, and CRED refuses the statement in another role.
    """
    _, secret, registered = registered_with_secret(federation, "P:mallory1")
    party, issuer = registered.party, federation.cloud.keys.issuing.public_key
    signature = party.registration_point + secret
    check_issued(issuer, party.credential, signature)
    for role, identity in ((ROLE_HOSPITAL, "H:mallory1"), (ROLE_DOCTOR, "D:mallory1")):
        claimed = Credential.FromString(party.credential)
        claimed.role, claimed.identity = role, identity
        with pytest.raises(CredentialMismatch):
            check_issued(issuer, claimed.SerializeToString(deterministic=True), signature)
        with pytest.raises(CredentialInvalid):
            federation.cloud.verifier().party(party.key_statement, role, now=federation.clock.now)


def application(federation: Federation, identity: str, role: int, evidence: bytes, ticket: bytes | None):
    """Mallory, with keys of her own, applies under that identity."""
    member = federation.new_member(identity, PartyKeys.create(federation.make_token("mallory")))
    applicant = member.applicant(role, evidence, ticket, now=federation.clock.now)
    _, opening = applicant.apply(federation.entropy(16), federation.cloud.encryption_key(), now=federation.clock.now)
    return applicant, opening


def accept(federation: Federation, opening, *, ticket: TicketTerms | None = None, live: LiveRegistration | None = None):
    received = receive_request(opening, federation.cloud.epochs, CLOUD_ID)
    return received.accept(
        federation.cloud.verifier(),
        challenge_holds=True,
        ticket=ticket,
        live=live,
        now=federation.clock.now,
    )


def test_a2_a_doctors_public_certificate_registers_nobody_else(federation):
    """Mallory, who has seen D:chen's Cert_D as every patient has, asks for a credential in its name. Her own key is not
    the certificate's, and under the certificate's key she can't sign the challenge.
    """
    applicant, opening = application(federation, "D:chen", ROLE_DOCTOR, federation.doctor.certificate, None)
    with rejected(CertificateForeign):
        accept(federation, opening)

    def claim_the_key(request) -> None:
        request.verifying_key = federation.party(federation.doctor).self_.verifying_key

    with rejected(SignatureInvalid):
        accept(federation, reg1(federation).change(opening, claim_the_key, signs_reg1(applicant.signing_key)))


def test_a3_a_victims_identity_is_not_registered_twice(federation):
    """Mallory asks for a second credential of P:wang, whose identity she only knows. Without a ticket for P:wang the
    cloud refuses; with one (say, stolen at the desk) the live registration stands in the way.
    """
    _, opening = application(federation, "P:wang", ROLE_PATIENT, BIOMETRIC_PASSWORD, b"t" * 16)
    for ticket in (None, TicketTerms(ROLE_PATIENT, "P:mallory")):
        with rejected(TicketInvalid):
            accept(federation, opening, ticket=ticket)
    live = LiveRegistration(federation.patient.key_statement)
    with rejected(AlreadyRegistered):
        accept(federation, opening, ticket=TicketTerms(ROLE_PATIENT, "P:wang"), live=live)


def test_a3_a_reissue_takes_the_earlier_credential_back(federation):
    """Whoever holds a credential that was re-issued tries to go on with it. Its serial is on the revocation list."""
    member, _, registered = registered_with_secret(federation, "P:mallory3")
    federation.cloud.revoked_serials.append(registered.party.serial)
    federation.refresh()
    with pytest.raises(CredentialRevoked):
        federation.doctor.verifier().party(member.key_statement, ROLE_PATIENT, now=federation.clock.now)


def test_a4_a_lost_devices_files_hold_no_secret_of_the_credential(federation):
    """A thief reads everything that the device stores beside its token, and tests guesses of B_P against it. S_P is in
    none of it, and the token keeps it sensitive and not extractable.
    """
    member, secret, _ = registered_with_secret(federation, "P:mallory4")
    scalar = int.from_bytes(secret, "big")
    kept = sa.select(schema.settings.c.value)
    stored = b"".join(member._settings._database.read(lambda connection: connection.scalars(kept).all()))
    stored += b"".join(epoch.sealed_seed + epoch.statement.statement for epoch in member.epochs._store.all())
    assert all(value.to_bytes(32, "big") not in stored for value in (scalar, ORDER - scalar))
    private = [thing for thing in member.keys.token.objects() if thing.object_class in ("PRIVATE_KEY", "SECRET_KEY")]
    assert any(thing.label.startswith("registration-secret-") for thing in private)
    assert all(thing.sensitive and not thing.extractable for thing in private)


def test_a4_a_biometric_reading_alone_does_not_confirm_the_password():
    """A thief with a copy of the template, or with every guess of it, tests them against the public attribute H(B_P).
    The device secret, 32 random bytes, is in B_P: without it no guess can be told right from wrong.
    """
    template = simulate_template(b"wang")
    key, _ = enrol(template, bytes(20))
    own, guessed = DeviceSecret(b"d" * 32), DeviceSecret(b"e" * 32)
    derived = [biometric_password(key, device, realm="test", enrolment_counter=1).value for device in (own, guessed)]
    assert derived[0] != derived[1]


def test_a5_the_escrow_of_s_does_not_make_a_doctor(federation):
    """The cloud kept S_D and, for good measure, opens P1; it answers with the right key confirmation. It has no PRK_D,
    so Sig_D1 fails; and who has PRK_D without S_D fails at the key confirmation: it takes both.
    """
    now = federation.clock.now
    own = federation.party(federation.doctor)
    stranger = federation.party(federation.other_doctor)
    for impostor, cause in (
        (replace(own, signing_key=federation.cloud.keys.signing_key), SignatureInvalid),
        (replace(own, registration_secret=stranger.registration_secret), KeyConfirmationFailed),
    ):
        awaiting, opening = federation.open_consultation()
        pending = consultation.receive_opening(impostor, opening, federation.doctor.verifier(), now=now)
        _, reply = pending.admit(True).reply(now=now, entropy=federation.entropy)
        with rejected(cause):
            awaiting.receive(reply, federation.patient.verifier(), now=now)


def test_a5_the_escrow_of_s_does_not_ask_in_a_doctors_name(federation):
    """The cloud, or who has its K_D, makes a question with the right proof. The signature is still missing, so what it
    makes is no evidence against the doctor and no access at a hospital.
    """
    _, opening = federation.ask(federation.grant())

    def sign_as_the_cloud(query) -> None:
        query.signature = federation.cloud.keys.signing_key.sign(b"anything")

    with rejected(SignatureInvalid):
        federation.cloud.answer(d2(federation).change(opening, sign_as_the_cloud))


def test_x14_a_noisy_reading_gives_the_password_bit_for_bit():
    """Two readings of one body never agree, and eq. 3, 12 and 17 need the same B_P everywhere. The fuzzy extractor
    gives one key for all readings; the password is derived from it.
    """
    template = simulate_template(b"wang")
    key, helper = enrol(template, bytes(20))
    device = DeviceSecret(b"d" * 32)
    again = recover(simulate_reading(template, 0.15, Random(1)), helper)
    first, second = (biometric_password(k, device, realm="test", enrolment_counter=1).value for k in (key, again))
    assert first == second
