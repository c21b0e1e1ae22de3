"""Every step of a rotation at the public cloud: what it does to what is there, and why it is refused."""

import threading
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from federation.app.node import read_trust
from federation.app.public_cloud_chores import RotationChores
from federation.app.public_cloud_rotation import FOLLOWED, LOG_ENTRIES, REGISTRATIONS, ROWS, SOON, cloud_rotation
from federation.app.rotation import SETTLING
from federation.audit import FORGOTTEN
from federation.errors import (
    CloudKeyRevoked,
    CredentialLive,
    CredentialRevoked,
    IssuerRevoked,
    Rejected,
)
from federation.protocol.bundle import follow_all, pin
from federation.protocol.index import Location
from federation.protocol.time import milliseconds
from federation.resealing import Pace
from federation.services.cloud import rows, walks
from federation.services.cloud.cloud import as_datetime
from federation.store.errors import NotStored
from federation.v1.statement_pb2 import ROLE_HOSPITAL, KeyStatement
from hsm import pin_from_value
from keystore.errors import (
    CertificateRejected,
    GenerationActive,
    GenerationNeeded,
    NothingToReseal,
    RetiredJustNow,
    RotationAlreadyPrepared,
    RotationNotPrepared,
)
from keystore.generations import State
from keystore.party import IDENTITY, INDEXING, ISSUING, SEALING, TLS_CA, PartyKeys
from keystore.policies import CLOUD_POLICIES
from keystore.x509 import create_tls_ca
from tests.e2e.unserved_cloud import Clock, Unserved, beside, opened, unserved_cloud

PURPOSES = (IDENTITY, ISSUING, TLS_CA, SEALING, INDEXING)
PLACE = Location("H:north/cardiology", b"h" * 16, "D:chen")


@pytest.fixture
def pin_provider(user_pin):
    """Give where the PIN comes from."""
    return pin_from_value(user_pin.reveal())


@pytest.fixture
def directory(tmp_path, make_token_uri, pin_provider):
    """Give the directory of a cloud."""
    with unserved_cloud(tmp_path, make_token_uri, pin_provider) as made:
        yield made


@pytest.fixture
def cloud(directory, pin_provider, make_token):
    """Give a process of it."""
    with opened(directory, pin_provider, Clock(), make_token) as made:
        yield made


def states(cloud: Unserved, purpose: str) -> list[State]:
    return [line.state for line in cloud.rotation.status() if line.purpose == purpose]


def walk(cloud: Unserved, purpose: str) -> int:
    return cloud.rotation.reseal(purpose, lambda _: None, Pace(sleep=lambda _: None)).changed


@pytest.mark.parametrize("purpose", PURPOSES)
def test_step_out_of_order_is_refused_by_its_reason(cloud, purpose):
    rotation = cloud.rotation
    with pytest.raises(RotationNotPrepared):
        rotation.activate(purpose)
    for step in (rotation.taint, rotation.revoke):
        with pytest.raises(GenerationActive):
            step(purpose, 1)
    rotation.prepare(purpose, generate=True)
    with pytest.raises(RotationAlreadyPrepared):
        rotation.prepare(purpose, generate=True)
    rotation.activate(purpose, at_once=True)
    cloud.clock.advance(SOON)
    assert states(cloud, purpose) == [State.RETIRED, State.ACTIVE]
    with pytest.raises(RetiredJustNow):
        rotation.revoke(purpose, 1)
    rotation.taint(purpose, 1)
    assert states(cloud, purpose) == [State.TAINTED, State.ACTIVE]


@pytest.mark.parametrize("purpose", [IDENTITY, ISSUING, TLS_CA])
def test_public_key_is_activated_in_an_hour_unless_the_operator_says_now(cloud, purpose):
    cloud.rotation.prepare(purpose, generate=True)
    active = cloud.rotation.activate(purpose)
    assert active.active_from == cloud.clock.now + milliseconds(FOLLOWED)
    assert states(cloud, purpose) == [State.ACTIVE, State.PREPARED]
    cloud.clock.advance(FOLLOWED)
    assert states(cloud, purpose) == [State.RETIRED, State.ACTIVE]


def test_certificate_that_a_ceremony_made_for_the_next_tls_ca_is_the_one_in_the_bundle(cloud):
    keys, now = cloud.node.cloud.keys, as_datetime(cloud.clock.now)
    successor = keys.generate_successor(TLS_CA, cloud.clock.now)
    key = keys.token.ed25519(successor.label, CLOUD_POLICIES[TLS_CA])
    for false in (create_tls_ca(key, "other", now=now), create_tls_ca(Ed25519PrivateKey.generate(), "test", now=now)):
        with pytest.raises(CertificateRejected):
            cloud_rotation(cloud.node, false).prepare(TLS_CA)
    given = create_tls_ca(key, "test", now=now)
    cloud_rotation(cloud.node, given).prepare(TLS_CA)
    assert cloud.node.trust().content.tls_ca_certificates[1] == given.public_bytes(Encoding.DER)


def test_revocation_that_was_cut_short_is_finished_by_a_cloud_that_serves(cloud):
    cloud.hospital("H:north")
    rows.publish(cloud.node.cloud, "P:ann", PLACE)
    for purpose in (ISSUING, INDEXING):
        cloud.rotate(purpose)
        cloud.node.book.change(lambda book: book.revoke(purpose, 1, cloud.clock.now))  # noqa: B023 - called here
    chores = RotationChores(cloud.node, timedelta(milliseconds=10))
    chores.start()
    deadline = time.monotonic() + 10
    registrations, index = cloud.node.cloud.stores.registrations, cloud.node.cloud.stores.index
    while (registrations.live("H:north") or list(index.walk())) and time.monotonic() < deadline:
        time.sleep(0.01)
    chores.stop()
    assert registrations.live("H:north") is None
    assert not list(index.walk())


def test_registration_that_was_renewed_meanwhile_is_not_forgotten_with_the_old_one(cloud, monkeypatch):
    keys = PartyKeys.create(cloud.make_token("party"))
    cloud.hospital("H:north", keys)
    cloud.rotate(ISSUING)
    registrations = cloud.node.cloud.stores.registrations
    seen = list(registrations.walk())
    second = cloud.hospital("H:north", keys, renews=keys.signing_key).party
    monkeypatch.setattr(registrations, "walk", lambda: iter(seen))
    assert walks.forget_registrations(cloud.node.cloud, 1) == 0
    assert registrations.live("H:north").serial == second.serial


def test_key_that_no_ceremony_made_is_not_prepared(cloud):
    with pytest.raises(Exception, match=r"issuer\.2"):
        cloud.rotation.prepare(ISSUING)
    assert states(cloud, ISSUING) == [State.ACTIVE]


def test_every_bundle_of_a_rotation_follows_the_one_before_it_and_the_file_follows_them(cloud, directory):
    first = cloud.node.trust()
    for purpose in (ISSUING, IDENTITY, TLS_CA):
        cloud.rotate(purpose)
        cloud.rotation.taint(purpose, 1)
    chain, bundle = cloud.node.cloud.trust, pin(first.signed)
    while following := chain.after(bundle.sequence):
        bundle = follow_all(bundle, following)
    assert bundle == cloud.node.trust() == read_trust(directory.trust_file)
    # A TLS CA's taint stands in no bundle, and its activation only when it has come about.
    assert bundle.sequence == first.sequence + 8
    content = bundle.content
    assert [period.HasField("tainted_at") for period in (*content.issuers, *content.cloud_keys)] == [True, False] * 2
    assert len(content.tls_ca_certificates) == 2


def test_bundle_names_the_tls_ca_that_certifies_first_and_the_one_that_waits_second(cloud):
    first = cloud.node.trust().content.tls_ca_certificates[0]
    second = cloud.rotation.prepare(TLS_CA, generate=True).public
    assert list(cloud.node.trust().content.tls_ca_certificates) == [first, second]
    cloud.rotation.activate(TLS_CA)
    assert list(cloud.node.trust().content.tls_ca_certificates) == [first, second]
    cloud.clock.advance(FOLLOWED)
    cloud.node.publish()
    assert list(cloud.node.trust().content.tls_ca_certificates) == [second, first]
    assert cloud.node.cloud.tls_ca == x509.load_der_x509_certificate(second)
    cloud.clock.advance(SETTLING)
    cloud.rotation.revoke(TLS_CA, 1)
    assert list(cloud.node.trust().content.tls_ca_certificates) == [second]


def test_activation_signs_lists_and_the_encryption_key_anew(cloud):
    before = cloud.node.publish()
    cloud.rotate(IDENTITY)
    after, anchors = cloud.node.publish(), cloud.node.trust().anchors
    assert after.sequence > before.sequence
    assert after.directory.cloud_encryption_key_statement != before.directory.cloud_encryption_key_statement
    cloud.rotation.revoke(IDENTITY, 1)
    anchors = cloud.node.trust().anchors
    assert anchors.cloud_keys.at(after.verifier.lists.revocations.this_update) == anchors.cloud_keys.periods[1]
    verifier = cloud.node.publish().verifier
    verifier.cloud_encryption_key(after.directory.cloud_encryption_key_statement, now=cloud.clock.now)
    with pytest.raises(CloudKeyRevoked):
        verifier.cloud_encryption_key(before.directory.cloud_encryption_key_statement, now=cloud.clock.now)


def test_signing_key_is_revoked_when_the_walk_has_signed_every_statement_anew_and_old_evidence_still_verifies(cloud):
    old = cloud.hospital("H:north").party.key_statement
    cloud.rotate(IDENTITY)
    with pytest.raises(GenerationNeeded, match="1 key statements"):
        cloud.rotation.revoke(IDENTITY, 1)
    assert (walk(cloud, IDENTITY), walk(cloud, IDENTITY)) == (1, 0)
    cloud.rotation.revoke(IDENTITY, 1)
    verifier = cloud.node.cloud.bulletin.current.verifier
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
        cloud.node.cloud.bulletin.current.verifier.party(old, ROLE_HOSPITAL, now=cloud.clock.now)
    assert cloud.node.cloud.stores.registrations.live("H:north") is None
    cloud.hospital("H:north")
    kinds = [entry.event.kind for entry in cloud.node.cloud.audit.entries()]
    assert "REGISTRATION-FORGOTTEN" in kinds
    assert kinds.count("ROTATION") == 3


def test_sealing_key_is_revoked_when_all_but_the_log_is_under_another_and_the_chain_holds_without_it(cloud):
    cloud.hospital("H:north")
    rows.publish(cloud.node.cloud, "P:ann", PLACE)
    entries = len(list(cloud.node.cloud.audit.entries()))
    cloud.rotate(SEALING)
    lines = [line for line in cloud.rotation.status() if line.purpose == SEALING]
    assert dict(lines[0].left) == {
        "epochs": 1,
        "shared keys": 1,
        "rows' values": 1,
        LOG_ENTRIES: entries + 2,
    }
    with pytest.raises(GenerationNeeded):
        cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    assert walk(cloud, SEALING) == 3
    with pytest.raises(GenerationNeeded, match="log entries"):
        cloud.rotation.revoke(SEALING, 1)
    cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    audit = cloud.node.cloud.audit
    kinds = [entry.event.kind for entry in audit.entries()]
    assert kinds[: entries + 2] == [FORGOTTEN] * (entries + 2)
    assert FORGOTTEN not in kinds[entries + 2 :]
    assert audit.verify() == len(kinds)
    assert rows.look_up(cloud.node.cloud, "P:ann", ["cardiology"]) == [PLACE]


def test_row_that_does_not_open_stays_and_keeps_its_sealing_key(cloud):
    rows.publish(cloud.node.cloud, "P:ann", PLACE)
    index = cloud.node.cloud.stores.index
    row = next(index.walk())
    assert index.reseal(row, row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]))
    rows.publish(cloud.node.cloud, "P:lin", PLACE)
    cloud.rotate(SEALING)
    assert walk(cloud, SEALING) == 2
    with pytest.raises(GenerationNeeded, match="1 rows' values"):
        cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})


def test_index_row_moves_when_somebody_looks_it_up_or_publishes_it_again(cloud):
    union, index = cloud.node.cloud, cloud.node.cloud.stores.index
    second = Location("H:north/cardiology", b"i" * 16)
    for place in (PLACE, second):
        rows.publish(union, "P:ann", place)
    rows.publish(union, "P:lin", PLACE)
    cloud.rotate(INDEXING)
    assert (index.count(1), index.count(2)) == (3, 0)
    rows.publish(union, "P:ann", PLACE)
    assert (index.count(1), index.count(2)) == (2, 1)
    assert len(rows.look_up(union, "P:ann", ["cardiology"])) == 2
    assert (index.count(1), index.count(2)) == (1, 2)
    with pytest.raises(GenerationNeeded, match="1 index rows"):
        cloud.rotation.revoke(INDEXING, 1)
    with pytest.raises(NothingToReseal):
        walk(cloud, INDEXING)
    assert rows.look_up(union, "P:lin", ["cardiology"]) == [PLACE]
    cloud.rotation.revoke(INDEXING, 1)
    assert len(rows.look_up(union, "P:ann", ["cardiology"])) == 2


def test_index_row_under_an_older_generation_is_withdrawn(cloud):
    rows.publish(cloud.node.cloud, "P:ann", PLACE)
    cloud.rotate(INDEXING)
    rows.withdraw(cloud.node.cloud, "P:ann", PLACE)
    assert rows.look_up(cloud.node.cloud, "P:ann", ["cardiology"]) == []
    assert not list(cloud.node.cloud.stores.index.walk())


def test_index_row_under_two_generations_is_found_once(cloud):
    """A process that had not read of the activation published it again after another had moved it."""
    union = cloud.node.cloud
    rows.publish(union, "P:ann", PLACE)
    (older,) = union.stores.index.walk()
    cloud.rotate(INDEXING)
    rows.publish(union, "P:ann", PLACE)
    union.stores.index.upsert(older)
    assert rows.look_up(union, "P:ann", ["cardiology"]) == [PLACE]
    assert union.stores.index.count(1) == 0


def test_index_rows_that_are_forgotten_go(cloud):
    rows.publish(cloud.node.cloud, "P:ann", PLACE)
    cloud.rotate(INDEXING)
    cloud.rotation.revoke(INDEXING, 1, forgetting={ROWS})
    assert not list(cloud.node.cloud.stores.index.walk())


def test_prepared_key_that_nobody_wants_is_revoked_and_leaves_the_bundle(cloud):
    cloud.rotation.prepare(ISSUING, generate=True)
    assert len(cloud.node.trust().content.issuers) == 2
    cloud.rotation.revoke(ISSUING, 2)
    assert len(cloud.node.trust().content.issuers) == 1
    cloud.rotate(ISSUING)
    assert states(cloud, ISSUING) == [State.RETIRED, State.REVOKED, State.ACTIVE]


def test_processes_that_change_the_bundle_at_once_make_one_chain(cloud):
    with ExitStack() as stack:
        processes = [stack.enter_context(beside(cloud, cloud.clock)) for _ in range(3)]
        successor = cloud.node.cloud.keys.generate_successor(ISSUING, cloud.clock.now)
        cloud.node.book.change(lambda book: book.prepare(ISSUING, cloud.clock.now, successor.public))
        ready, seen = threading.Barrier(3), []

        def publish(process: Unserved) -> None:
            ready.wait()
            seen.append(process.node.publish())

        threads = [threading.Thread(target=publish, args=(process,)) for process in processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {issue.trust.sequence for issue in seen} == {cloud.node.trust().sequence}
    assert len({issue.trust.digest for issue in seen}) == 1


def test_process_whose_clock_is_behind_does_not_undo_an_activation(cloud):
    with beside(cloud, Clock(cloud.clock.now - 2000)) as other:
        cloud.rotation.prepare(TLS_CA, generate=True)
        cloud.rotation.activate(TLS_CA, at_once=True)
        cloud.clock.advance(SOON)
        newest = cloud.node.publish().trust
        assert other.node.publish().trust == newest == cloud.node.publish().trust


def test_hospital_that_registers_again_by_itself_keeps_its_address_and_its_old_credential_falls_by_serial(cloud):
    keys = PartyKeys.create(cloud.make_token("party"))
    first = cloud.hospital("H:north", keys).party
    registrations = cloud.node.cloud.stores.registrations
    live = registrations.live("H:north")
    registrations.renew("H:north", live.encryption_key_statement, "north.example:1")
    second = cloud.hospital("H:north", keys, renews=keys.signing_key).party
    live = registrations.live("H:north")
    assert (live.serial, live.address) == (second.serial, "north.example:1")
    verifier, now = cloud.node.cloud.bulletin.current.verifier, cloud.clock.now
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
    assert [e.event.kind for e in cloud.node.cloud.audit.entries()][-3:] == [
        "REGISTRATION",
        "REREGISTRATION",
        "REVOCATION",
    ]


def test_identity_that_is_revoked_loses_the_credentials_that_others_followed_too(cloud):
    keys = PartyKeys.create(cloud.make_token("party"))
    first = cloud.hospital("H:north", keys).party
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


def test_restart_between_any_two_steps_changes_nothing(directory, pin_provider, make_token):
    clock = Clock()
    for step in (
        lambda it: it.rotation.prepare(SEALING, generate=True),
        lambda it: it.rotation.activate(SEALING, at_once=True),
        lambda it: it.clock.advance(SOON),
        lambda it: walk(it, SEALING),
        lambda it: it.rotation.taint(SEALING, 1),
        lambda it: it.clock.advance(SETTLING),
        lambda it: it.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES}),
    ):
        with opened(directory, pin_provider, clock, make_token) as cloud:
            step(cloud)
    with opened(directory, pin_provider, clock, make_token) as cloud:
        assert states(cloud, SEALING) == [State.REVOKED, State.ACTIVE]
        assert walks.count_shared_keys(cloud.node.cloud, 1) == 0
        cloud.clock.advance(timedelta(minutes=1))
        cloud.hospital("H:north")
