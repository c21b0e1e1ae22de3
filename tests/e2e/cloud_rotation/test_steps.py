"""The steps of a rotation at the public cloud: their order, their times, and what a restart or a cut changes: nothing."""

from datetime import timedelta

import pytest

from federation.cloud import index_rows, rekey
from federation.errors import CloudKeyRevoked
from federation.party.chores import LEASE, ChoreRunner, Lease
from federation.protocol.time import milliseconds
from federation.rotation.cloud import FOLLOWED, LOG_ENTRIES, SOON, rotation_chores
from federation.rotation.steps import SETTLING
from keystore.errors import (
    GenerationActive,
    NothingToReseal,
    RetiredJustNow,
    RotationAlreadyPrepared,
    RotationNotPrepared,
)
from keystore.generations import State
from keystore.party import IDENTITY, INDEXING, ISSUING, SEALING, TLS_CA
from tests.e2e.cloud_rotation.stepping import PLACE, states, walk
from tests.e2e.unserved_cloud import Clock, opened
from tests.waiting import until

PURPOSES = (IDENTITY, ISSUING, TLS_CA, SEALING, INDEXING)


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


def test_revocation_that_was_cut_short_is_finished_by_a_cloud_that_serves(cloud):
    cloud.hospital("H:north")
    index_rows.put_row(cloud.node.cloud, "P:ann", PLACE)
    for purpose in (ISSUING, INDEXING):
        cloud.rotate(purpose)
        cloud.node.book.change(lambda book: book.revoke(purpose, 1, cloud.clock.now))  # noqa: B023 - called here
    chores = ChoreRunner()
    chores.start(rotation_chores(cloud.node, chores.pause, timedelta(milliseconds=10)))
    registrations, index = cloud.node.cloud.stores.registrations, cloud.node.cloud.stores.index
    until(lambda: registrations.live("H:north") is None and not list(index.walk()), "what fell is gone")
    chores.stop()
    chores.join()


def test_chores_go_on_after_a_fault_that_nobody_foresaw(cloud):
    asked = []

    class Unforeseen(Lease):
        def is_held(self) -> bool:
            asked.append(True)
            raise ZeroDivisionError

    chores = ChoreRunner(Unforeseen(cloud.node.stored_settings, LEASE, cloud.clock))
    chores.start(rotation_chores(cloud.node, chores.pause, timedelta(milliseconds=10)))
    until(lambda: len(asked) > 1, "they are tried again")
    chores.stop()
    chores.join()


def test_key_that_no_ceremony_made_is_not_prepared(cloud):
    with pytest.raises(Exception, match=r"issuer\.2"):
        cloud.rotation.prepare(ISSUING)
    assert states(cloud, ISSUING) == [State.ACTIVE]


def test_nothing_to_reseal_where_a_key_seals_nothing(cloud):
    with pytest.raises(NothingToReseal):
        walk(cloud, ISSUING)


def test_activation_signs_lists_and_the_encryption_key_anew(cloud):
    before = cloud.node.publish()
    cloud.rotate(IDENTITY)
    after, anchors = cloud.node.publish(), cloud.node.trust().anchors
    assert after.sequence > before.sequence
    assert after.directory.cloud_encryption_key_statement != before.directory.cloud_encryption_key_statement
    cloud.rotation.revoke(IDENTITY, 1)
    anchors = cloud.node.trust().anchors
    assert anchors.cloud_keys.at(after.verifier.lists.head.this_update) == anchors.cloud_keys.periods[1]
    verifier = cloud.node.publish().verifier
    verifier.cloud_encryption_key(after.directory.cloud_encryption_key_statement, now=cloud.clock.now)
    with pytest.raises(CloudKeyRevoked):
        verifier.cloud_encryption_key(before.directory.cloud_encryption_key_statement, now=cloud.clock.now)


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
        assert rekey.count_shared_keys(cloud.node.cloud, 1) == 0
        cloud.clock.advance(timedelta(minutes=1))
        cloud.hospital("H:north")
