"""The whole visit in memory, before, during and after a rotation of s and PRK_C; and what a judge makes of it later."""

from federation.errors import CloudKeyRevoked, IssuerRevoked
from federation.protocol.anchors import Anchors
from federation.protocol.exhibit import Exhibit
from federation.protocol.statements import verify_signature
from federation.v1.search_pb2 import SearchAnswer
from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_PATIENT, Credential, KeyStatement
from keystore.party import IDENTITY, ISSUING
from keystore.signatures import VerifyingKey
from tests.mallory import refused
from tests.simulator import Federation
from tests.unit.protocol.visiting import visit

KINDS = {"P1", "D1", "P2", "grant", "D2", "C", "D3", "H1", "H2", "D5", "P6", "STOACK"}


def judge(exhibit: Exhibit, anchors: Anchors) -> bytes:
    """Judge an exhibit by the trust bundle alone, and give the PK of the signer's credential; nothing for the cloud."""
    if exhibit.key_statement is None:
        assert exhibit.signer == anchors.cloud_id
        key = anchors.cloud_key_at(SearchAnswer.FromString(exhibit.message).sent_at)
        verify_signature(key, exhibit.signature, exhibit.signed)
        return b""
    named = anchors.open("ks", KeyStatement, exhibit.key_statement)
    assert named.identity == exhibit.signer
    verify_signature(VerifyingKey(named.verifying_key), exhibit.signature, exhibit.signed)
    return anchors.issuer_at(Credential.FromString(named.credential).not_before)


def issuer_of(federation: Federation, member) -> bytes:
    return federation.party(member).self_.issuer_public_key


def test_a_visit_runs_from_the_biosignal_to_the_deposit(federation: Federation) -> None:
    assert {exhibit.kind for exhibit in visit(federation)} == KINDS


def rotated_between_two_visits(federation: Federation) -> list[Exhibit]:
    """A visit; a rotation of s and PRK_C; the doctor and one hospital register again; another visit."""
    kept = visit(federation)
    federation.cloud.rotate(ISSUING, IDENTITY)
    federation.refresh()
    federation.renew(federation.doctor)
    federation.renew(federation.hospital_b)
    return kept + visit(federation)


def test_a_patient_of_the_old_pk_visits_a_doctor_of_the_new_one(own_federation: Federation) -> None:
    federation = own_federation
    old = federation.cloud.keys.issuing.public_key
    rotated_between_two_visits(federation)
    new = federation.cloud.keys.issuing.public_key
    sides = federation.patient, federation.hospital_a, federation.doctor, federation.hospital_b
    assert [issuer_of(federation, member) for member in sides] == [old, old, new, new]


def test_whoever_has_not_heard_of_the_new_pk_hears_of_it_with_the_directory(own_federation: Federation) -> None:
    federation = own_federation
    federation.cloud.rotate(ISSUING, IDENTITY)
    assert federation.patient.trust.newest().sequence == 1
    federation.refresh(federation.doctor)
    federation.renew(federation.doctor)
    federation.refresh(federation.patient)
    assert federation.patient.trust.newest().sequence == 3
    federation.consult()


def test_a_key_statement_signed_anew_outlives_the_key_that_signed_the_first(own_federation: Federation) -> None:
    """PRK_C alone is rotated and the old one revoked: nobody registers again, every KS is signed anew."""
    federation = own_federation
    federation.cloud.rotate(IDENTITY)
    federation.refresh()
    for member in federation.members:
        federation.cloud.restate(member)
    federation.cloud.revoke_generation(IDENTITY)
    federation.refresh()
    visit(federation)


def test_evidence_of_both_visits_is_judged_after_both_old_keys_are_revoked(own_federation: Federation) -> None:
    federation = own_federation
    kept = rotated_between_two_visits(federation)
    for member in (federation.patient, federation.hospital_a):
        federation.renew(member)
    federation.cloud.revoke_generation(ISSUING, IDENTITY)
    federation.refresh()
    anchors = federation.cloud.anchors
    issuers = [judge(exhibit, anchors.for_evidence) for exhibit in kept]
    first, second = (period.verifying_key for period in anchors.issuers.periods)
    assert set(issuers) == {b"", first, second}
    for exhibit, issuer in zip(kept, issuers, strict=True):
        if issuer == first:
            with refused(CloudKeyRevoked):
                judge(exhibit, anchors)
    assert len(visit(federation)) == len(kept) // 2, "all have registered again by now"


def test_an_old_pk_that_is_revoked_ends_its_credentials_and_no_others(own_federation: Federation) -> None:
    federation = own_federation
    rotated_between_two_visits(federation)
    federation.cloud.revoke_generation(ISSUING)
    verifier, now = federation.cloud.verifier(), federation.clock.now
    with refused(IssuerRevoked):
        verifier.party(federation.patient.key_statement, ROLE_PATIENT, now=now)
    assert verifier.party(federation.doctor.key_statement, ROLE_DOCTOR, now=now).identity == "D:chen"
