"""Registrations under a rotation: who issued and who signed them, when they are renewed and when they fall."""

import pytest

from federation.cloud import rekey
from federation.errors import CloudKeyRevoked, CredentialLive, CredentialRevoked, IssuerRevoked, Rejected
from federation.rotation.cloud import REGISTRATIONS
from federation.store.errors import NotStored
from federation.v1.statement_pb2 import ROLE_HOSPITAL, KeyStatement
from keystore.errors import GenerationNeeded
from keystore.party import IDENTITY, ISSUING, PartyKeys
from tests.e2e.cloud_rotation.stepping import walk


def test_registration_that_was_renewed_meanwhile_is_not_forgotten_with_the_old_one(cloud, monkeypatch):
    keys = PartyKeys.create(cloud.make_token("party"))
    cloud.hospital("H:north", keys)
    cloud.rotate(ISSUING)
    registrations = cloud.node.cloud.stores.registrations
    seen = list(registrations.walk())
    second = cloud.hospital("H:north", keys, renews=keys.signing_key).party
    monkeypatch.setattr(registrations, "walk", lambda: iter(seen))
    assert rekey.forget_registrations(cloud.node.cloud, 1) == 0
    assert registrations.live("H:north").serial == second.serial


def test_signing_key_is_revoked_when_the_walk_has_signed_every_statement_anew_and_old_evidence_still_verifies(cloud):
    old = cloud.hospital("H:north").party.key_statement
    cloud.rotate(IDENTITY)
    with pytest.raises(GenerationNeeded, match="1 key statements"):
        cloud.rotation.revoke(IDENTITY, 1)
    assert (walk(cloud, IDENTITY), walk(cloud, IDENTITY)) == (1, 0)
    cloud.rotation.revoke(IDENTITY, 1)
    verifier = cloud.node.cloud.publisher.current.verifier
    assert cloud.node.cloud.member("H:north", now=cloud.clock.now).role == ROLE_HOSPITAL
    with pytest.raises(CloudKeyRevoked):
        verifier.party(old, ROLE_HOSPITAL, now=cloud.clock.now)
    assert verifier.anchors.for_evidence.open("ks", KeyStatement, old).identity == "H:north"


def test_statement_that_was_put_into_the_store_gets_no_signature(cloud):
    cloud.hospital("H:north")
    registrations = cloud.node.cloud.stores.registrations
    kept = registrations.live("H:north").key_statement
    forged = type(kept)(kept.statement.replace(b"H:north", b"H:mouth"), kept.signature)
    assert registrations.restate("H:north", kept, forged)
    cloud.rotate(IDENTITY)
    assert walk(cloud, IDENTITY) == 0
    assert registrations.live("H:north").key_statement == forged
    with pytest.raises(GenerationNeeded):
        cloud.rotation.revoke(IDENTITY, 1)


def test_issuing_key_is_not_revoked_under_a_live_registration(cloud):
    keys = PartyKeys.create(cloud.make_token("party"))
    cloud.hospital("H:north", keys)
    cloud.rotate(ISSUING)
    with pytest.raises(GenerationNeeded, match="1 live registrations"):
        cloud.rotation.revoke(ISSUING, 1)
    cloud.hospital("H:north", keys, renews=keys.signing_key)
    cloud.rotation.revoke(ISSUING, 1)
    assert cloud.node.cloud.member("H:north", now=cloud.clock.now).identity == "H:north"


def test_credential_is_issued_by_the_key_of_its_begin_and_both_hold(cloud):
    cloud.hospital("H:north")
    cloud.rotate(ISSUING)
    cloud.hospital("H:south")
    now, (old, new) = cloud.clock.now, cloud.node.trust().anchors.issuers.periods
    assert cloud.node.cloud.member("H:north", now=now).issuer_public_key == old.verifying_key
    assert cloud.node.cloud.member("H:south", now=now).issuer_public_key == new.verifying_key


def test_registrations_that_are_forgotten_fall_with_their_issuing_key_and_their_identities_register_again(cloud):
    old = cloud.hospital("H:north").party.key_statement
    cloud.rotate(ISSUING)
    cloud.rotation.revoke(ISSUING, 1, forgetting={REGISTRATIONS})
    with pytest.raises(IssuerRevoked):
        cloud.node.cloud.publisher.current.verifier.party(old, ROLE_HOSPITAL, now=cloud.clock.now)
    assert cloud.node.cloud.stores.registrations.live("H:north") is None
    cloud.hospital("H:north")
    kinds = [entry.event.kind for entry in cloud.node.cloud.audit.entries()]
    assert "REGISTRATION-FORGOTTEN" in kinds
    assert kinds.count("ROTATION") == 3


def test_hospital_that_registers_again_by_itself_keeps_its_address_and_its_old_credential_falls_by_serial(cloud):
    keys = PartyKeys.create(cloud.make_token("party"))
    first = cloud.hospital("H:north", keys).party
    registrations = cloud.node.cloud.stores.registrations
    live = registrations.live("H:north")
    registrations.renew("H:north", live.encryption_key_statement, "north.example:1")
    cloud.rotate(ISSUING)
    second = cloud.hospital("H:north", keys, renews=keys.signing_key).party
    live = registrations.live("H:north")
    assert (live.serial, live.address) == (second.serial, "north.example:1")
    verifier, now = cloud.node.cloud.publisher.current.verifier, cloud.clock.now
    assert verifier.party(first.key_statement, ROLE_HOSPITAL, now=now).serial == first.serial
    with pytest.raises(CredentialLive):
        cloud.node.revoke_serial(second.serial)
    with pytest.raises(NotStored):
        cloud.node.revoke_serial(bytes(16))
    cloud.node.revoke_serial(first.serial)
    verifier = cloud.node.publish().verifier
    verifier.party(second.key_statement, ROLE_HOSPITAL, now=now)
    with pytest.raises(CredentialRevoked):
        verifier.party(first.key_statement, ROLE_HOSPITAL, now=now)
    assert [e.event.kind for e in cloud.node.cloud.audit.entries()][-2:] == ["REREGISTRATION", "REVOCATION"]


def test_identity_that_is_revoked_loses_the_credentials_that_others_followed_too(cloud):
    keys = PartyKeys.create(cloud.make_token("party"))
    first = cloud.hospital("H:north", keys).party
    cloud.rotate(ISSUING)
    second = cloud.hospital("H:north", keys, renews=keys.signing_key).party
    assert cloud.node.revoke("H:north") == [second.serial, first.serial]
    verifier = cloud.node.publish().verifier
    for party in (first, second):
        with pytest.raises(CredentialRevoked):
            verifier.party(party.key_statement, ROLE_HOSPITAL, now=cloud.clock.now)


def test_registration_is_not_renewed_by_another_key_than_its_own(cloud):
    keys = PartyKeys.create(cloud.make_token("party"))
    cloud.hospital("H:north", keys)
    thief = PartyKeys.create(cloud.make_token("party"))
    with pytest.raises(Rejected):
        cloud.hospital("H:north", thief, renews=thief.signing_key)
