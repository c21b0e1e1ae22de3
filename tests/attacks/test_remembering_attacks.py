"""Attacks on what a process remembers: what held once is shown again, changed, by another, or after it fell."""

from dataclasses import replace

import pytest

from federation.errors import (
    CertificateIllegal,
    CertificateOutOfScope,
    CertificateRevoked,
    CloudKeyRevoked,
    CredentialExpired,
    CredentialInvalid,
    CredentialRevoked,
    IssuerRevoked,
    MalformedMessage,
    SignatureInvalid,
)
from federation.protocol import statements
from federation.protocol.anchors import KeyHistory
from federation.protocol.statements import open_statement, peek_statement, verify_signature
from federation.protocol.verifier import Verifier
from federation.v1.directory_pb2 import KeyPeriod
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    Duty,
    KeyStatement,
    RevocationHead,
    SignedStatement,
)
from keystore.signatures import VerifyingKey
from tests.keys import new_signing_key
from tests.mallory import refused
from tests.simulator import Federation

YEARS_MS = 20 * 365 * 24 * 3_600_000


@pytest.fixture
def verifier(federation: Federation) -> Verifier:
    """Give the checks of a hospital that has met the doctor and the other hospital."""
    met = federation.hospital_a.verifier()
    see(federation, met)
    see(federation, met)
    return met


def see(federation: Federation, verifier: Verifier) -> None:
    """Verify the doctor with its Cert_D, and a hospital with its EK."""
    now, doctor, hospital = federation.clock.now, federation.doctor, federation.hospital_b
    verifier.doctor(doctor.key_statement, doctor.certificate, now=now)
    party = verifier.party(hospital.key_statement, ROLE_HOSPITAL, now=now)
    verifier.encryption_key(hospital.epochs.current(federation.clock.now), party, now=now)


def resigned(signed: SignedStatement, signature: bytes) -> SignedStatement:
    return SignedStatement(statement=signed.statement, signature=signature)


def test_statement_that_held_is_refused_signature_invalid_with_another_signature(
    federation: Federation, verifier: Verifier
) -> None:
    ours, other = federation.doctor.key_statement, federation.hospital_b.key_statement
    with refused(SignatureInvalid):
        verifier.party(resigned(ours, other.signature), ROLE_DOCTOR, now=federation.clock.now)


def test_signature_that_held_is_refused_over_another_statement(federation: Federation, verifier: Verifier) -> None:
    changed = KeyStatement.FromString(federation.doctor.key_statement.statement)
    changed.not_after += 1
    forged = SignedStatement(
        statement=changed.SerializeToString(deterministic=True), signature=federation.doctor.key_statement.signature
    )
    with refused(SignatureInvalid):
        verifier.party(forged, ROLE_DOCTOR, now=federation.clock.now)


def test_encryption_key_that_held_is_refused_as_another_partys(federation: Federation, verifier: Verifier) -> None:
    now = federation.clock.now
    another = verifier.party(federation.hospital_a.key_statement, ROLE_HOSPITAL, now=now)
    with refused(SignatureInvalid):
        verifier.encryption_key(federation.hospital_b.epochs.current(now), another, now=now)


def test_statement_that_held_is_refused_under_another_label(federation: Federation, verifier: Verifier) -> None:
    signed = federation.doctor.key_statement
    key = verifier.anchors.cloud_key_at(KeyStatement.FromString(signed.statement).stated_at)
    open_statement("ks", KeyStatement, signed, key)
    with refused(SignatureInvalid):
        open_statement("ek", KeyStatement, signed, key)


def test_credential_revoked_between_two_calls_is_refused(federation: Federation, verifier: Verifier) -> None:
    federation.revoke(federation.doctor, federation.hospital_a)
    with refused(CredentialRevoked):
        see(federation, federation.hospital_a.verifier())


def test_certificate_revoked_between_two_calls_is_refused(federation: Federation, verifier: Verifier) -> None:
    federation.revoke_certificate(federation.hospital_a)
    with refused(CertificateRevoked):
        see(federation, federation.hospital_a.verifier())


def test_statement_that_expired_between_two_calls_is_refused(federation: Federation, verifier: Verifier) -> None:
    hospital, later = federation.hospital_b.key_statement, federation.clock.now + YEARS_MS
    assert verifier.lists.head is not None
    current = RevocationHead()
    current.CopyFrom(verifier.lists.head)
    current.next_update = later + 1
    then = replace(verifier, lists=replace(verifier.lists, head=current))
    with refused(CredentialExpired):
        then.party(hospital, ROLE_HOSPITAL, now=later)


def test_puk_c_that_another_bundle_revokes_is_refused(federation: Federation, verifier: Verifier) -> None:
    period = KeyPeriod()
    period.CopyFrom(verifier.anchors.cloud_keys.periods[0])
    period.revoked_at = federation.clock.now
    fallen = replace(verifier, anchors=replace(verifier.anchors, cloud_keys=KeyHistory((period,))))
    with refused(CloudKeyRevoked):
        see(federation, fallen)


def test_puk_c_of_another_bundle_is_refused(federation: Federation, verifier: Verifier) -> None:
    """Another realm's cloud, which knows nothing of what held here."""
    period = KeyPeriod()
    period.CopyFrom(verifier.anchors.cloud_keys.periods[0])
    period.verifying_key = new_signing_key().verifying_key.data
    foreign = replace(verifier, anchors=replace(verifier.anchors, cloud_keys=KeyHistory((period,))))
    with refused(SignatureInvalid):
        see(federation, foreign)


def test_pk_that_another_bundle_revokes_is_refused(federation: Federation, verifier: Verifier) -> None:
    period = KeyPeriod()
    period.CopyFrom(verifier.anchors.issuers.periods[0])
    period.revoked_at = federation.clock.now
    fallen = replace(verifier, anchors=replace(verifier.anchors, issuers=KeyHistory((period,))))
    with refused(IssuerRevoked):
        see(federation, fallen)


def test_authority_that_another_bundle_leaves_out_is_refused(federation: Federation, verifier: Verifier) -> None:
    without = replace(verifier, anchors=replace(verifier.anchors, authorities=()))
    with refused(CertificateIllegal):
        see(federation, without)


def test_authority_whose_scope_another_bundle_narrows_is_refused(federation: Federation, verifier: Verifier) -> None:
    """Its certificate is the one that was remembered to have signed Cert_D."""
    authorities = tuple(replace(it, doctor_ids=("D:nobody",)) for it in verifier.anchors.authorities)
    narrowed = replace(verifier, anchors=replace(verifier.anchors, authorities=authorities))
    with refused(CertificateOutOfScope):
        see(federation, narrowed)


def test_certificate_that_held_is_refused_with_another_doctors_credential(
    federation: Federation, verifier: Verifier
) -> None:
    with refused(CredentialInvalid):
        verifier.doctor(
            federation.doctor.key_statement, federation.doctor.certificate + b"\x00", now=federation.clock.now
        )


def test_what_a_caller_does_to_a_statement_changes_nothing_that_is_remembered(federation: Federation) -> None:
    duty, key = federation.duty().duty, federation.hospital_a.keys.signing_key.verifying_key
    open_statement("duty", Duty, duty, key).hospital_id = "H:mallory"
    assert open_statement("duty", Duty, duty, key).hospital_id == "H:alpha"
    peek_statement(Duty, duty).hospital_id = "H:mallory"
    assert peek_statement(Duty, duty).hospital_id == "H:alpha"


def test_statement_that_was_read_is_verified_all_the_same(federation: Federation, verifier: Verifier) -> None:
    """How a statement reads is remembered by its bytes: that somebody signed it is not."""
    ours, other = federation.doctor.key_statement, federation.hospital_b.key_statement
    forged = SignedStatement(statement=ours.statement, signature=other.signature)
    assert peek_statement(KeyStatement, forged) == peek_statement(KeyStatement, ours)
    with pytest.raises(SignatureInvalid):
        verifier.party(forged, ROLE_DOCTOR, now=federation.clock.now)


def test_statement_that_breaks_a_rule_is_refused_each_time(federation: Federation) -> None:
    broken = SignedStatement(statement=federation.doctor.key_statement.statement + b"\x08\x01")
    for _ in range(2):
        with pytest.raises(MalformedMessage):
            peek_statement(Duty, broken)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Give the signatures that are verified from now on, in place of remembered."""
    found: list[bytes] = []

    def verify(key: VerifyingKey, signature: bytes, signed: bytes) -> None:
        found.append(signature)
        verify_signature(key, signature, signed)

    monkeypatch.setattr(statements, "verify_signature", verify)
    return found


def test_signature_of_a_short_statement_is_verified_once(federation: Federation, verified: list[bytes]) -> None:
    duty, key = federation.duty().duty, federation.hospital_a.keys.signing_key.verifying_key
    for _ in range(3):
        open_statement("duty", Duty, duty, key)
    assert verified == [duty.signature]


def test_signature_that_does_not_hold_is_verified_each_time(federation: Federation, verified: list[bytes]) -> None:
    duty, key = federation.duty().duty, new_signing_key().verifying_key
    for _ in range(3):
        with refused(SignatureInvalid):
            open_statement("duty", Duty, duty, key)
    assert verified == [duty.signature] * 3


def test_long_statement_is_not_remembered(
    federation: Federation, verified: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member could fill the memory with statements of 256 KiB."""
    duty, key = federation.duty().duty, federation.hospital_a.keys.signing_key.verifying_key
    monkeypatch.setattr(statements, "MOST_REMEMBERED_BYTES", len(duty.statement) - 1)
    for _ in range(3):
        open_statement("duty", Duty, duty, key)
    assert verified == [duty.signature] * 3
