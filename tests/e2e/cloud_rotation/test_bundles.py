"""A rotation's trust bundles: one chain, whoever makes them and whenever."""

import threading
from contextlib import ExitStack

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cloud.services import as_datetime
from federation.party.node_directory import read_trust
from federation.protocol.bundle import follow_all, pin
from federation.rotation.cloud import FOLLOWED, SOON, cloud_rotation
from federation.rotation.steps import SETTLING
from keystore.errors import CertificateRejected
from keystore.generations import State
from keystore.party import IDENTITY, ISSUING, TLS_CA
from keystore.policies import CLOUD_POLICIES
from keystore.x509 import create_tls_ca
from tests.e2e.cloud_rotation.stepping import states
from tests.e2e.unserved_cloud import Clock, Unserved, beside
from tests.keys import new_key


def test_certificate_that_a_ceremony_made_for_the_next_tls_ca_is_the_one_in_the_bundle(cloud):
    keys, now = cloud.node.cloud.keys, as_datetime(cloud.clock.now)
    successor = keys.generate_successor(TLS_CA, cloud.clock.now)
    key = keys.token.signing(successor.label, CLOUD_POLICIES[TLS_CA])
    for false in (create_tls_ca(key, "other", now=now), create_tls_ca(new_key(), "test", now=now)):
        with pytest.raises(CertificateRejected):
            cloud_rotation(cloud.node, false).prepare(TLS_CA)
    given = create_tls_ca(key, "test", now=now)
    cloud_rotation(cloud.node, given).prepare(TLS_CA)
    assert cloud.node.trust().content.tls_ca_certificates[1] == given.public_bytes(Encoding.DER)


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
    assert {version.trust.sequence for version in seen} == {cloud.node.trust().sequence}
    assert len({version.trust.digest for version in seen}) == 1


def test_process_whose_clock_is_behind_does_not_undo_an_activation(cloud):
    with beside(cloud, Clock(cloud.clock.now - 2000)) as other:
        cloud.rotation.prepare(TLS_CA, generate=True)
        cloud.rotation.activate(TLS_CA, at_once=True)
        cloud.clock.advance(SOON)
        newest = cloud.node.publish().trust
        assert other.node.publish().trust == newest == cloud.node.publish().trust
