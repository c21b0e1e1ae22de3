"""Which of a trust bundle's keys speaks for which moment, and how long the bundle holds (docs/adr/0018-rotation.md)."""

from federation.errors import (
    BundleStale,
    CloudKeyRevoked,
    CloudKeyUnknown,
    IssuerRevoked,
    IssuerUnknown,
    SignatureInvalid,
)
from federation.protocol.anchors import KeyHistory, periods_of
from federation.protocol.bundle import BundleLease, issue
from federation.protocol.statements import sign_statement
from federation.v1.directory_pb2 import KeyPeriod
from federation.v1.membership_pb2 import RenewalReceipt
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationHead
from keystore.generations import Generation, Generations, State
from keystore.signatures import SigningKey
from keystore.transcript import digest
from tests.mallory import refused
from tests.unit.protocol.bundle.bundles import C_1, C_2, C_3, NOW, ROTATED, S_1, S_2, content, period, public


def test_the_issuer_of_a_credential_is_the_one_of_its_begin(prepared, rotated):
    for moment, key in ((0, S_1), (ROTATED - 1, S_1), (ROTATED, S_2), (ROTATED + 10**12, S_2)):
        assert rotated.anchors.issuer_at(moment) == public(key)
    assert prepared.anchors.issuer_at(ROTATED) == public(S_1)


def test_a_credential_from_a_time_of_no_issuer_is_of_an_unknown_one():
    anchors = issue(content(issuers=[period(S_1, 5, 6), period(S_2, 8)]), C_1).anchors
    for moment in (4, 6, 7):
        with refused(IssuerUnknown):
            anchors.issuer_at(moment)


def test_a_tainted_key_still_verifies_and_a_revoked_one_verifies_evidence_alone():
    tainted = [period(S_1, 0, ROTATED, ROTATED + 1), period(S_2, ROTATED)]
    assert issue(content(issuers=tainted), C_1).anchors.issuer_at(5) == public(S_1)
    revoked = KeyPeriod(verifying_key=public(S_1), not_before=0, not_after=ROTATED, revoked_at=ROTATED)
    cloud = KeyPeriod(verifying_key=public(C_1), not_before=0, not_after=NOW - 1, revoked_at=NOW)
    bundle = content(issuers=[revoked, period(S_2, ROTATED)], cloud_keys=[cloud, period(C_2, NOW - 1)])
    anchors = issue(bundle, C_2).anchors
    with refused(IssuerRevoked):
        anchors.issuer_at(5)
    with refused(CloudKeyRevoked):
        anchors.cloud_key_at(5)
    assert anchors.for_evidence.issuer_at(5) == public(S_1)
    assert anchors.for_evidence.cloud_key_at(5).data == public(C_1)


def test_a_statement_by_the_cloud_is_verified_by_the_key_of_its_own_time(rotated):
    for done_at, key in ((ROTATED - 1, C_1), (ROTATED, C_2)):
        receipt = sign_statement("ekack", RenewalReceipt(key_id=bytes(16), done_at=done_at), key)
        assert rotated.anchors.open("ekack", RenewalReceipt, receipt).done_at == done_at


def test_a_retired_cloud_key_signs_nothing_new(rotated):
    receipt = sign_statement("ekack", RenewalReceipt(key_id=bytes(16), done_at=ROTATED), C_1)
    with refused(SignatureInvalid):
        rotated.anchors.open("ekack", RenewalReceipt, receipt)


def test_a_statement_from_a_time_of_no_cloud_key_is_of_an_unknown_one():
    anchors = issue(content(cloud_keys=[period(C_1, NOW)]), C_1).anchors
    receipt = sign_statement("ekack", RenewalReceipt(key_id=bytes(16), done_at=NOW - 1), C_1)
    with refused(CloudKeyUnknown):
        anchors.open("ekack", RenewalReceipt, receipt)


def epoch(key: SigningKey, not_before: int) -> EncryptionKeyStatement:
    return EncryptionKeyStatement(verifying_key_digest=digest(public(key)), not_before=not_before)


def test_the_clouds_encryption_key_is_of_the_cloud_key_that_it_names(rotated):
    anchors = rotated.anchors
    for key, begin in ((C_1, ROTATED - 1), (C_2, ROTATED - 60_000), (C_2, ROTATED + 1)):
        assert anchors.cloud_key_of(epoch(key, begin), now=ROTATED).data == public(key)
    for key, begin, now in ((C_3, ROTATED, ROTATED), (C_1, ROTATED, ROTATED), (C_2, ROTATED, ROTATED - 1)):
        with refused(CloudKeyUnknown):
            anchors.cloud_key_of(epoch(key, begin), now=now)


def listing(bundle_sequence: int, this_update: int) -> RevocationHead:
    return RevocationHead(bundle_sequence=bundle_sequence, this_update=this_update)


def test_a_bundle_is_usable_until_its_grace_is_over(founding):
    lease = BundleLease.of(founding)
    assert lease.require_usable(now=NOW + 3_599_999) is founding.anchors
    with refused(BundleStale):
        lease.require_usable(now=NOW + 3_600_000)


def test_a_list_that_names_the_bundle_extends_its_use_from_the_lists_own_time(founding):
    lease = BundleLease.of(founding).heard(listing(1, NOW + 1000))
    assert lease.ends_at == NOW + 3_601_000
    assert lease.heard(listing(1, NOW + 500)) == lease, "an old list, played again, confirms nothing"


def test_a_list_that_names_a_newer_bundle_confirms_nothing(founding):
    lease = BundleLease.of(founding)
    newer = listing(2, NOW + 1000)
    assert lease.is_behind(newer)
    assert lease.heard(newer) == lease


def test_a_bundle_newer_than_the_list_is_confirmed_by_it(prepared):
    """Another node's list may be a minute old: the bundle at hand is the newest all the same."""
    assert not BundleLease.of(prepared).is_behind(listing(1, NOW))


def test_generations_make_the_periods_of_a_bundle():
    generations = Generations().prepare("issuing", 5, public(S_2)).activate("issuing", 10, 6).taint("issuing", 1, 11)
    generations = generations.prepare("issuing", 12, public(C_1)).revoke("issuing", 3, 13)
    generations = generations.prepare("issuing", 14, public(C_2))
    periods = periods_of(generations, "issuing", public(S_1))
    assert periods == [period(S_1, 0, 10, 11), period(S_2, 10), period(C_2)]
    history = KeyHistory.read(periods)
    states = [history.state(public(key), now=20) for key in (S_1, S_2, C_2, C_1)]
    assert states == [State.TAINTED, State.ACTIVE, State.PREPARED, None]
    assert history.state(public(S_2), now=9) is State.PREPARED
    revoked = KeyHistory.read(periods_of(generations.revoke("issuing", 1, 15), "issuing", public(S_1)))
    assert revoked.state(public(S_1), now=20) is State.REVOKED
    retired = Generations({"issuing": (Generation(1, active_from=0), Generation(2, active_from=5, public=public(S_2)))})
    assert KeyHistory.read(periods_of(retired, "issuing", public(S_1))).state(public(S_1), now=5) is State.RETIRED
