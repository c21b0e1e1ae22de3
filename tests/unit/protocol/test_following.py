"""A party follows the trust bundle: over those that it missed, never back, and not beyond its grace."""

from datetime import timedelta

import pytest

from federation.errors import BundleOutOfSequence, BundleSignerUnknown, BundleStale
from federation.party.trust import TrustKeeper
from federation.protocol.bundle import TrustedBundle
from federation.protocol.statements import sign_statement
from federation.store.party import Settings
from federation.v1.statement_pb2 import RevocationHead, SignedStatement
from keystore.party import IDENTITY, ISSUING
from tests.mallory import refused
from tests.simulator import Federation
from tests.sqlite_stores import new_settings


@pytest.fixture
def rotated(own_federation: Federation) -> Federation:
    own_federation.cloud.rotate(ISSUING)
    own_federation.cloud.rotate(IDENTITY)
    return own_federation


def keeper(federation: Federation, settings: Settings | None = None) -> TrustKeeper:
    return TrustKeeper(settings or new_settings(), federation.cloud.bundles[0])


def test_who_was_away_takes_the_bundles_between_in_pages(rotated: Federation) -> None:
    cloud, asked = rotated.cloud, []

    def between(sequence: int) -> list[SignedStatement]:
        asked.append(sequence)
        return cloud.bundles_after(sequence)[:1]

    kept = keeper(rotated)
    assert kept.take(cloud.bundle.signed, between).sequence == cloud.bundle.sequence
    assert asked == [1, 2, 3]


def test_a_bundle_that_was_taken_outlives_the_process(rotated: Federation) -> None:
    settings, cloud = new_settings(), rotated.cloud
    keeper(rotated, settings).take(cloud.bundle.signed, cloud.bundles_after)
    assert keeper(rotated, settings).newest().signed == cloud.bundle.signed


def test_another_process_is_followed_within_a_second(rotated: Federation) -> None:
    settings, cloud, clock = new_settings(), rotated.cloud, [0.0]
    other = TrustKeeper(settings, cloud.bundles[0], seconds=lambda: clock[0])
    assert other.newest().sequence == 1
    keeper(rotated, settings).take(cloud.bundle.signed, cloud.bundles_after)
    assert other.newest().sequence == 1
    clock[0] = 1.0
    assert other.newest().sequence == cloud.bundle.sequence


def test_an_older_bundle_changes_nothing(rotated: Federation) -> None:
    cloud, kept = rotated.cloud, keeper(rotated)
    kept.take(cloud.bundle.signed, cloud.bundles_after)
    assert kept.take(cloud.bundles[1].signed).sequence == cloud.bundle.sequence


@pytest.mark.parametrize("between", [None, lambda _: []])
def test_a_bundle_that_does_not_follow_is_out_of_sequence(rotated: Federation, between) -> None:
    kept = keeper(rotated)
    with refused(BundleOutOfSequence):
        kept.take(rotated.cloud.bundle.signed, between)
    assert kept.newest().sequence == 1


def test_a_forged_bundle_between_is_refused_and_nothing_after_it_taken(rotated: Federation) -> None:
    cloud, stranger = rotated.cloud, rotated.doctor.keys.signing_key
    forged: TrustedBundle = cloud.bundles[2]
    kept = keeper(rotated)

    def between(sequence: int) -> list[SignedStatement]:
        return [cloud.bundles[1].signed, sign_statement("tb", forged.content, stranger)] if sequence == 1 else []

    with refused(BundleSignerUnknown):
        kept.take(cloud.bundle.signed, between)
    assert kept.newest().sequence == 1


def test_a_bundle_of_no_word_from_the_cloud_is_stale_when_its_grace_is_over(own_federation: Federation) -> None:
    kept, now = keeper(own_federation), own_federation.clock.now
    week = timedelta(days=7) // timedelta(milliseconds=1)
    kept.require_usable(None, now=now + week - 1)
    with refused(BundleStale):
        kept.require_usable(None, now=now + week)
    heard = RevocationHead(this_update=now + week, bundle_sequence=1)
    kept.require_usable(heard, now=now + week)
