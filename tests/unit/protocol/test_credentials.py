"""CRED(X), EK_X and the lists: each check of docs/protocol.md, section 2, passing and failing."""

from contextlib import nullcontext
from datetime import timedelta

import pytest

from federation.errors import (
    CredentialExpired,
    CredentialInvalid,
    CredentialRevoked,
    IdentityMismatch,
    MalformedMessage,
    PointInvalid,
    SignatureInvalid,
    StaleRevocationList,
)
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.revocations import EMPTY
from federation.protocol.statements import sign_statement
from federation.protocol.verifier import Verifier
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    Credential,
    EncryptionKeyStatement,
    KeyStatement,
    RevocationHead,
    SignedStatement,
)
from keystore.encryption import key_id_of
from keystore.errors import InvalidPoint
from tests.keys import new_signing_key
from tests.mallory import BORROWED_POINTS, refused, restated

HOUR = 3_600_000


@pytest.fixture
def verifier(federation):
    return federation.cloud.verifier()


@pytest.fixture
def patient(federation):
    return federation.party(federation.patient).self_


def key_statement(federation, change, by=None) -> SignedStatement:
    key = by or federation.cloud.keys.signing_key
    return restated("ks", federation.patient.key_statement, KeyStatement, key, change)


def with_credential(change):
    def apply(statement: KeyStatement) -> None:
        credential = Credential.FromString(statement.credential)
        change(credential)
        statement.credential = credential.SerializeToString(deterministic=True)

    return apply


def test_a_live_credential_is_taken(federation, verifier):
    party = verifier.party(federation.patient.key_statement, ROLE_PATIENT, now=federation.clock.now)
    assert party.identity == "P:wang"
    secret = federation.party(federation.patient).registration_secret
    assert party.public_point == secret.public_point


def test_a_key_statement_with_a_wrong_signature_is_refused(federation, verifier):
    signed = key_statement(federation, lambda _: None, by=federation.doctor.keys.signing_key)
    with refused(SignatureInvalid):
        verifier.party(signed, ROLE_PATIENT, now=federation.clock.now)


def test_a_statement_under_another_label_is_refused(federation, verifier):
    content = KeyStatement.FromString(federation.patient.key_statement.statement)
    with refused(SignatureInvalid):
        verifier.party(
            sign_statement("ek", content, federation.cloud.keys.signing_key), ROLE_PATIENT, now=federation.clock.now
        )


def test_a_credential_of_another_role_is_refused(federation, verifier):
    for role in (ROLE_DOCTOR, ROLE_HOSPITAL):
        with refused(CredentialInvalid):
            verifier.party(federation.patient.key_statement, role, now=federation.clock.now)


@pytest.mark.parametrize(
    "change",
    [
        with_credential(lambda credential: setattr(credential, "role", ROLE_DOCTOR)),
        lambda statement: setattr(statement, "role", ROLE_DOCTOR),
        with_credential(lambda credential: setattr(credential, "identity", "P:lin")),
        lambda statement: setattr(statement, "identity", "P:lin"),
        with_credential(lambda credential: setattr(credential, "verifying_key_digest", bytes(32))),
        lambda statement: setattr(statement, "verifying_key", new_signing_key().verifying_key.data),
    ],
    ids=["role inside", "role", "identity inside", "identity", "key inside", "key"],
)
def test_a_key_statement_that_does_not_hold_together_is_refused(federation, verifier, change):
    with refused(CredentialInvalid):
        verifier.party(key_statement(federation, change), ROLE_PATIENT, now=federation.clock.now)


def test_an_identity_of_another_roles_prefix_is_refused(federation, verifier):
    def change(statement: KeyStatement) -> None:
        statement.identity = "D:wang"
        with_credential(lambda credential: setattr(credential, "identity", "D:wang"))(statement)

    with refused(CredentialInvalid):
        verifier.party(key_statement(federation, change), ROLE_PATIENT, now=federation.clock.now)


@pytest.mark.parametrize("wrap", [lambda change: change, with_credential], ids=["statement", "credential"])
@pytest.mark.parametrize(("field", "offset"), [("not_after", 0), ("not_before", 5_001)])
def test_an_expired_or_not_yet_valid_credential_is_refused(federation, verifier, wrap, field, offset):
    now = federation.clock.now
    signed = key_statement(federation, wrap(lambda content: setattr(content, field, now + offset)))
    with refused(CredentialExpired):
        verifier.party(signed, ROLE_PATIENT, now=now)


def test_a_key_statement_stated_in_the_future_is_refused(federation, verifier):
    """Or a PRK_C that waits for its stated time could speak already."""
    now = federation.clock.now
    for stated_at, taken in ((now + 5_000, True), (now + 5_001, False)):
        signed = key_statement(federation, lambda content, at=stated_at: setattr(content, "stated_at", at))
        with nullcontext() if taken else refused(CredentialExpired):
            verifier.party(signed, ROLE_PATIENT, now=now)


def test_what_a_clock_ahead_within_sigma_stated_just_now_is_valid(federation, verifier, patient):
    """Or a party whose clock is a second behind the cloud's would refuse its own registration, and be locked out."""
    now = federation.clock.now
    signed = key_statement(
        federation, with_credential(lambda credential: setattr(credential, "not_before", now + 5_000))
    )
    assert verifier.party(signed, ROLE_PATIENT, now=now).identity == patient.identity


def test_a_revoked_credential_is_refused(federation, patient):
    federation.cloud.revoked_serials.append(patient.serial)
    with refused(CredentialRevoked):
        federation.cloud.verifier().party(patient.key_statement, ROLE_PATIENT, now=federation.clock.now)


def test_a_registration_point_that_is_invalid_is_refused(federation, verifier):
    for point in BORROWED_POINTS.values():
        signed = key_statement(
            federation, lambda statement, point=point: setattr(statement, "registration_point", point)
        )
        with refused(PointInvalid):
            verifier.party(signed, ROLE_PATIENT, now=federation.clock.now)


def test_a_public_point_that_is_the_neutral_element_is_refused(federation, verifier, monkeypatch):
    """Nobody can find such an R_X1 (it takes a preimage of z): test_curve reaches the check, this what becomes of it."""

    def neutral(*_: bytes) -> None:
        raise InvalidPoint("U_X is the neutral element")

    monkeypatch.setattr("federation.protocol.verifier.public_point", neutral)
    with refused(PointInvalid):
        verifier.party(key_statement(federation, lambda _: None), ROLE_PATIENT, now=federation.clock.now)


def encryption_key(federation, change, by=None) -> SignedStatement:
    patient = federation.party(federation.patient)
    return restated("ek", patient.encryption_key_statement, EncryptionKeyStatement, by or patient.signing_key, change)


def test_a_current_encryption_key_is_taken(federation, verifier, patient):
    statement = federation.party(federation.patient).encryption_key_statement
    key = verifier.encryption_key(statement, patient, now=federation.clock.now)
    assert key.owner == "P:wang"
    assert key.key_id == key_id_of(key.encryption_key)


def test_an_encryption_key_signed_by_another_is_refused(federation, verifier, patient):
    signed = encryption_key(federation, lambda _: None, by=federation.doctor.keys.signing_key)
    with refused(SignatureInvalid):
        verifier.encryption_key(signed, patient, now=federation.clock.now)


def test_somebody_elses_encryption_key_is_refused(federation, verifier, patient):
    signed = encryption_key(federation, lambda statement: setattr(statement, "identity", "P:lin"))
    with refused(IdentityMismatch):
        verifier.encryption_key(signed, patient, now=federation.clock.now)


def no_key(statement: EncryptionKeyStatement) -> None:
    statement.encryption_key = b"\xff" * 1249
    statement.key_id = key_id_of(statement.encryption_key)


@pytest.mark.parametrize(
    "change",
    [
        lambda statement: setattr(statement, "verifying_key_digest", bytes(32)),
        lambda statement: setattr(statement, "key_id", bytes(16)),
        lambda statement: setattr(statement, "kem", 0x0020),
        no_key,
    ],
    ids=["another verifying key", "another key id", "another KEM", "no key at all"],
)
def test_an_encryption_key_that_does_not_hold_together_is_refused(federation, verifier, patient, change):
    with refused(CredentialInvalid):
        verifier.encryption_key(encryption_key(federation, change), patient, now=federation.clock.now)


@pytest.mark.parametrize(("field", "offset"), [("not_after", 0), ("not_before", 5_001)])
def test_an_expired_encryption_key_is_refused(federation, verifier, patient, field, offset):
    now = federation.clock.now
    signed = encryption_key(federation, lambda statement: setattr(statement, field, now + offset))
    with refused(CredentialExpired):
        verifier.encryption_key(signed, patient, now=now)


def test_a_revoked_encryption_key_is_refused(federation, patient):
    statement = federation.party(federation.patient).encryption_key_statement
    federation.cloud.revoked_keys.append(EncryptionKeyStatement.FromString(statement.statement).key_id)
    with refused(CredentialRevoked):
        federation.cloud.verifier().encryption_key(statement, patient, now=federation.clock.now)


def test_a_clouds_encryption_key_of_another_signer_is_refused(federation, verifier):
    current = federation.cloud.epochs.current(federation.clock.now)
    assert verifier.cloud_encryption_key(current, now=federation.clock.now).owner == "C:union"
    forged = restated("ek", current, EncryptionKeyStatement, federation.doctor.keys.signing_key, lambda _: None)
    with refused(SignatureInvalid):
        verifier.cloud_encryption_key(forged, now=federation.clock.now)


def lists(federation, **changes) -> Lists:
    now = federation.clock.now
    content = head(federation, now)
    for name, value in changes.items():
        setattr(content, name, value)
    signed = sign_statement("rl", content, federation.cloud.keys.signing_key)
    return Lists.read(federation.cloud.anchors, signed, (federation.authority.crl(),), EMPTY)


def head(federation, now: int) -> RevocationHead:
    update = {"this_update": now, "next_update": now + HOUR}
    return RevocationHead(sequence=10**6, root=EMPTY.root, entries=0, revision=1, bundle_sequence=1, **update)


def test_no_revocation_list_at_all_is_stale(federation, patient):
    with refused(StaleRevocationList):
        Verifier(federation.cloud.anchors, Lists()).party(patient.key_statement, ROLE_PATIENT, now=federation.clock.now)


def test_a_stale_revocation_list_is_refused(federation, patient):
    federation.clock.advance(timedelta(hours=1))
    with refused(StaleRevocationList):
        federation.patient.verifier().party(patient.key_statement, ROLE_PATIENT, now=federation.clock.now)
    federation.refresh()
    federation.patient.verifier().party(patient.key_statement, ROLE_PATIENT, now=federation.clock.now)


def test_a_revocation_list_from_the_future_is_refused(federation, patient):
    now = federation.clock.now
    ahead = Verifier(federation.cloud.anchors, lists(federation, this_update=now + 5_001))
    with refused(StaleRevocationList):
        ahead.party(patient.key_statement, ROLE_PATIENT, now=now)
    within_skew = Verifier(federation.cloud.anchors, lists(federation, this_update=now + 5_000))
    within_skew.party(patient.key_statement, ROLE_PATIENT, now=now)


def test_a_revocation_list_that_lives_too_long_is_refused_as_malformed(federation):
    with refused(MalformedMessage):
        lists(federation, next_update=federation.clock.now + HOUR + 1)


def test_a_revocation_list_of_another_signer_is_refused(federation):
    now = federation.clock.now
    content = head(federation, now)
    signed = sign_statement("rl", content, federation.hospital_a.keys.signing_key)
    with refused(SignatureInvalid):
        Lists.read(federation.cloud.anchors, signed, ())


@pytest.mark.parametrize("crl", [b"", b"junk", bytes.fromhex("3000")])
def test_what_is_no_crl_is_refused_as_malformed(federation, crl):
    with refused(MalformedMessage):
        Lists.read(federation.cloud.anchors, federation.cloud.revocation_head(), (crl,))


def test_an_older_revocation_list_does_not_replace_a_newer_one(federation, patient):
    """A cloud's old answer, played again, does not bring a revoked credential back."""
    old = federation.cloud.directory()
    federation.cloud.revoked_serials.append(patient.serial)
    federation.refresh()
    federation.cloud.hand_over(old, federation.hospital_a)
    with refused(CredentialRevoked):
        federation.hospital_a.verifier().party(patient.key_statement, ROLE_PATIENT, now=federation.clock.now)


def bundle(federation) -> TrustBundle:
    copy = TrustBundle()
    copy.CopyFrom(federation.cloud.bundle.content)
    return copy


def test_a_trust_bundle_with_a_key_that_is_no_point_is_refused(federation):
    for field in ("issuers", "cloud_keys"):
        broken = bundle(federation)
        getattr(broken, field)[0].verifying_key = b"\x02" + BORROWED_POINTS["twist"]
        with refused(PointInvalid):
            Anchors.of(broken)


def test_a_trust_bundle_with_a_malformed_authority_is_refused(federation):
    broken = bundle(federation)
    broken.medical_authorities[0].certificate = b"junk"
    with refused(MalformedMessage):
        Anchors.of(broken)


def test_a_signature_of_any_key_does_not_hold_under_a_stranger(federation, verifier):
    stranger = new_signing_key()
    signed = key_statement(federation, lambda _: None, by=stranger)
    with refused(SignatureInvalid):
        verifier.party(signed, ROLE_PATIENT, now=federation.clock.now)
