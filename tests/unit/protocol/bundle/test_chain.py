"""The trust bundle: pinned, and followed one after the other (docs/adr/0018-rotation.md)."""

import pytest

from federation.errors import (
    BundleBackdated,
    BundleForeign,
    BundleInvalid,
    BundleOutOfSequence,
    BundleRewritesHistory,
    BundleSignerUnknown,
    BundleUnpinned,
    MalformedMessage,
    MissingField,
)
from federation.protocol.bundle import follow, follow_all, issue_next, pin, sequence_of
from federation.protocol.statements import sign_statement
from federation.v1.directory_pb2 import KeyPeriod, TrustBundle
from federation.v1.statement_pb2 import SignedStatement
from keystore.transcript import digest, transcript
from tests.mallory import refused
from tests.unit.protocol.bundle.bundles import (
    BOTH,
    BOTH_PREPARED,
    C_1,
    C_2,
    C_3,
    NOW,
    ROTATED,
    S_1,
    S_2,
    changed,
    content,
    period,
    public,
)


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
        [period(S_1, 0, ROTATED - 1), period(S_2, ROTATED)],
        [period(S_1, 0, ROTATED), period(S_2, ROTATED + 1)],
        [period(S_1, 0, ROTATED)],
    ],
    ids=[
        "a key left out",
        "another begin",
        "another end",
        "an earlier end",
        "the active key's begin",
        "the active key left out",
    ],
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


def test_a_bundle_with_an_authority_that_is_none_is_malformed():
    broken = content()
    broken.medical_authorities.add(authority_id="M:chamber", certificate=b"junk")
    with refused(MalformedMessage):
        pin(sign_statement("tb", broken, C_1))
