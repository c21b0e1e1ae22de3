"""The trust bundle: pinned, followed, leased; and which of its keys speaks for which moment (docs/adr/0018-rotation.md)."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import (
    BundleBackdated,
    BundleForeign,
    BundleInvalid,
    BundleOutOfSequence,
    BundleRewritesHistory,
    BundleSignerUnknown,
    BundleStale,
    BundleUnpinned,
    CloudKeyRevoked,
    CloudKeyUnknown,
    IssuerRevoked,
    IssuerUnknown,
    MalformedMessage,
    MissingField,
    SignatureInvalid,
)
from federation.protocol.bundle import (
    BundleLease,
    TrustedBundle,
    follow,
    follow_all,
    issue,
    issue_next,
    pin,
    sequence_of,
)
from federation.protocol.periods import KeyHistory, periods_of
from federation.protocol.statements import sign_statement
from federation.v1.directory_pb2 import KeyPeriod, TrustBundle
from federation.v1.membership_pb2 import RenewalReceipt
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationList, SignedStatement
from keystore.generations import Generation, Generations, State
from keystore.transcript import digest, transcript
from tests.mallory import refused

NOW = 1_790_000_000_000
ROTATED = NOW + 10_000
S_1, S_2, C_1, C_2, C_3 = (Ed25519PrivateKey.generate() for _ in range(5))
Change = Callable[[TrustBundle], object]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def period(key: Ed25519PrivateKey, *times: int | None) -> KeyPeriod:
    """Give a period: begin, end, taint, revocation, as far as they are named."""
    names = "not_before", "not_after", "tainted_at", "revoked_at"
    return KeyPeriod(verifying_key=public(key), **dict(zip(names, times, strict=False)))


def content(**changes: object) -> TrustBundle:
    bundle = TrustBundle(
        realm="test",
        cloud_id="C:union",
        cloud_address="localhost:1",
        cloud_peer_address="localhost:2",
        issuers=[period(S_1, 0)],
        cloud_keys=[period(C_1, 0)],
        tls_ca_certificates=[b"unused"],
        department_classes=["cardiology"],
        sequence=1,
        issued_at=NOW,
        offline_grace_seconds=3600,
    )
    for name, value in changes.items():
        if isinstance(value, list):
            bundle.ClearField(name)
            getattr(bundle, name).extend(value)
        else:
            setattr(bundle, name, value)
    return bundle


def changed(bundle: TrustedBundle, key: Ed25519PrivateKey, **changes: object) -> SignedStatement:
    """Sign what may be the next bundle: number and time as they should be unless they are changed too."""
    following = TrustBundle()
    following.CopyFrom(bundle.content)
    following.sequence += 1
    for name, value in changes.items():
        if isinstance(value, list):
            following.ClearField(name)
            getattr(following, name).extend(value)
        else:
            setattr(following, name, value)
    return sign_statement("tb", following, key)


@pytest.fixture
def founding() -> TrustedBundle:
    return issue(content(), C_1)


@pytest.fixture
def prepared(founding) -> TrustedBundle:
    """Both successors are known, and do nothing yet."""
    return follow(founding, changed(founding, C_1, issuers=[period(S_1, 0), period(S_2)], cloud_keys=BOTH_PREPARED))


@pytest.fixture
def rotated(prepared) -> TrustedBundle:
    """Both successors are active."""
    issuers = [period(S_1, 0, ROTATED), period(S_2, ROTATED)]
    return follow(prepared, changed(prepared, C_2, issuers=issuers, cloud_keys=BOTH, issued_at=ROTATED))


BOTH_PREPARED = [period(C_1, 0), period(C_2)]
BOTH = [period(C_1, 0, ROTATED), period(C_2, ROTATED)]


def test_the_digest_of_the_first_bundle_is_of_what_is_signed(founding):
    assert founding.digest == digest(transcript("tb", founding.signed.statement))
    assert pin(founding.signed, founding.digest).content == founding.content


def test_a_bundle_with_another_digest_than_was_handed_over_is_not_pinned(founding):
    with refused(BundleUnpinned):
        pin(founding.signed, bytes(32))


def test_a_bundle_that_none_of_its_own_keys_signed_is_not_pinned():
    with refused(BundleSignerUnknown):
        pin(sign_statement("tb", content(), C_2))


def test_a_bundle_of_another_label_is_not_pinned():
    with refused(BundleSignerUnknown):
        pin(sign_statement("rl", content(), C_1))


def test_a_bundle_signed_by_its_retired_key_is_not_pinned():
    late = content(cloud_keys=BOTH, issued_at=ROTATED + 1)
    with refused(BundleSignerUnknown):
        pin(sign_statement("tb", late, C_1))
    pin(sign_statement("tb", content(cloud_keys=BOTH, issued_at=ROTATED), C_1))


@pytest.mark.parametrize("name", ["realm", "cloud_id", "sequence", "issued_at", "offline_grace_seconds"])
def test_a_bundle_without_one_of_its_fields_is_malformed(founding, name):
    broken = TrustBundle.FromString(founding.signed.statement)
    broken.ClearField(name)
    signed = broken.SerializeToString(deterministic=True)
    with refused(MissingField):
        pin(SignedStatement(statement=signed, signature=C_1.sign(transcript("tb", signed))))


@pytest.mark.parametrize(
    "changes",
    [
        {"issuers": []},
        {"cloud_keys": []},
        {"tls_ca_certificates": []},
        {"sequence": 0},
        {"issuers": [period(S_1, 0), period(S_1)]},
        {"issuers": [period(S_1, 0), period(S_2, ROTATED)]},
        {"issuers": [period(S_1, 0, ROTATED), period(S_2, ROTATED - 1)]},
        {"issuers": [period(S_2, ROTATED), period(S_1, 0, ROTATED)]},
        {"issuers": [period(S_2), period(S_1, 0)]},
        {"issuers": [period(S_1, 5, 4)]},
        {"issuers": [KeyPeriod(verifying_key=public(S_1), not_after=5)]},
        {"issuers": [KeyPeriod(verifying_key=public(S_1), not_before=0, tainted_at=5)]},
        {"issuers": [KeyPeriod(verifying_key=public(S_1), not_before=0, revoked_at=5)]},
    ],
    ids=[
        "no issuer",
        "no cloud key",
        "no TLS CA",
        "no number",
        "one key twice",
        "two active keys",
        "two keys for one time",
        "the wrong order",
        "a prepared key in front",
        "an end before the begin",
        "an end without a begin",
        "an active key that is tainted",
        "an active key that is revoked",
    ],
)
def test_a_bundle_whose_keys_or_times_contradict_each_other_is_invalid(changes):
    with refused(BundleInvalid):
        pin(sign_statement("tb", content(**changes), C_1))


def test_the_next_bundle_is_followed(founding):
    following = issue_next(founding, content(department_classes=["neurology"]), C_1, now=NOW + 1)
    assert (following.sequence, following.content.issued_at) == (2, NOW + 1)
    assert following.anchors.department_classes == {"neurology"}
    assert sequence_of(following.signed) == 2


def test_who_was_away_follows_one_after_the_other(founding, prepared, rotated):
    assert follow_all(founding, [prepared.signed, rotated.signed]) == rotated
    assert follow_all(founding, []) is founding


def test_a_bundle_is_made_never_before_its_predecessor_though_a_clock_went_back(founding):
    assert issue_next(founding, content(), C_1, now=NOW - 1).content.issued_at == NOW


def test_the_active_key_and_a_prepared_one_may_sign_the_next_bundle(prepared):
    for key in (C_1, C_2):
        assert follow(prepared, changed(prepared, key)).sequence == 3


def test_a_stranger_or_a_retired_key_may_not_sign_the_next_bundle(founding, rotated):
    for current, key in ((founding, C_2), (rotated, C_1), (rotated, C_3)):
        with refused(BundleSignerUnknown):
            follow(current, changed(current, key))


def test_a_key_that_the_next_bundle_itself_brings_may_not_sign_it(founding):
    with refused(BundleSignerUnknown):
        follow(founding, changed(founding, C_2, cloud_keys=BOTH_PREPARED))


def test_a_bundle_signed_by_a_key_that_it_ended_before_is_refused(prepared):
    cloud_keys = [period(C_1, 0, NOW + 1), period(C_2, NOW + 1)]
    with refused(BundleSignerUnknown):
        follow(prepared, changed(prepared, C_1, cloud_keys=cloud_keys, issued_at=NOW + 2))


@pytest.mark.parametrize("sequence", [0, 1, 3, 2**40])
def test_a_bundle_that_is_not_exactly_the_next_is_out_of_sequence(founding, sequence):
    expected = BundleInvalid if sequence == 0 else BundleOutOfSequence
    with refused(expected):
        follow(founding, changed(founding, C_1, sequence=sequence))


def test_a_bundle_cannot_be_taken_back(founding, prepared):
    with refused(BundleOutOfSequence):
        follow(prepared, founding.signed)


@pytest.mark.parametrize("changes", [{"realm": "another"}, {"cloud_id": "C:another"}])
def test_a_bundle_of_another_federation_is_foreign(founding, changes):
    with refused(BundleForeign):
        follow(founding, changed(founding, C_1, **changes))


def test_a_bundle_made_before_its_predecessor_is_backdated(founding):
    with refused(BundleBackdated):
        follow(founding, changed(founding, C_1, issued_at=NOW - 1))


@pytest.mark.parametrize(
    "issuers",
    [
        [period(S_2, ROTATED)],
        [period(S_1, 1, ROTATED), period(S_2, ROTATED)],
        [period(S_1, 0, ROTATED + 1), period(S_2, ROTATED + 1)],
        [period(S_1, 0, ROTATED), period(S_2, ROTATED + 1)],
        [period(S_1, 0, ROTATED)],
    ],
    ids=["a key left out", "another begin", "another end", "the active key's begin", "the active key left out"],
)
def test_a_bundle_that_rewrites_what_keys_signed_is_refused(rotated, issuers):
    with refused(BundleRewritesHistory):
        follow(rotated, changed(rotated, C_2, issuers=issuers))


def test_a_taint_and_a_revocation_cannot_be_taken_back(rotated):
    fallen = [period(S_1, 0, ROTATED, ROTATED + 1, ROTATED + 2), period(S_2, ROTATED)]
    current = follow(rotated, changed(rotated, C_2, issuers=fallen))
    for issuers in (BOTH_ISSUERS, [period(S_1, 0, ROTATED, ROTATED + 1), period(S_2, ROTATED)]):
        with refused(BundleRewritesHistory):
            follow(current, changed(current, C_2, issuers=issuers))


BOTH_ISSUERS = [period(S_1, 0, ROTATED), period(S_2, ROTATED)]


def test_a_prepared_key_may_be_dropped(prepared):
    dropped = follow(prepared, changed(prepared, C_1, issuers=[period(S_1, 0)], cloud_keys=[period(C_1, 0)]))
    assert len(dropped.content.issuers) == 1


def test_an_activation_may_be_scheduled_and_moved_as_long_as_it_lies_ahead(prepared):
    for moment in (ROTATED, ROTATED + 5):
        issuers = [period(S_1, 0, moment), period(S_2, moment)]
        prepared = follow(prepared, changed(prepared, C_1, issuers=issuers))
    assert prepared.anchors.issuer_at(ROTATED + 4) == public(S_1)


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
    assert anchors.for_evidence.cloud_key_at(5).public_bytes_raw() == public(C_1)


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


def epoch(key: Ed25519PrivateKey, not_before: int) -> EncryptionKeyStatement:
    return EncryptionKeyStatement(verifying_key_digest=digest(public(key)), not_before=not_before)


def test_the_clouds_encryption_key_is_of_the_cloud_key_that_it_names(rotated):
    anchors = rotated.anchors
    for key, begin in ((C_1, ROTATED - 1), (C_2, ROTATED - 60_000), (C_2, ROTATED + 1)):
        assert anchors.cloud_key_of(epoch(key, begin), now=ROTATED).public_bytes_raw() == public(key)
    for key, begin, now in ((C_3, ROTATED, ROTATED), (C_1, ROTATED, ROTATED), (C_2, ROTATED, ROTATED - 1)):
        with refused(CloudKeyUnknown):
            anchors.cloud_key_of(epoch(key, begin), now=now)


def listing(bundle_sequence: int, this_update: int) -> RevocationList:
    return RevocationList(bundle_sequence=bundle_sequence, this_update=this_update)


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


def test_a_bundle_with_an_authority_that_is_none_is_malformed():
    broken = content()
    broken.medical_authorities.add(authority_id="M:chamber", certificate=b"junk")
    with refused(MalformedMessage):
        pin(sign_statement("tb", broken, C_1))
