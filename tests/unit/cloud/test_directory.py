"""The revocation list: signed once, anew at a change and in time, its sequence growing for all processes of a cloud."""

from datetime import timedelta

import pytest

from federation.clock import system_clock
from federation.cloud.directory import DirectoryPublisher, Held
from federation.cloud.trust import TrustOffice
from federation.errors import Unavailable
from federation.protocol.anchors import sweep_entry
from federation.protocol.revocations import Shard, SomeShards, WholeSet, follow_delta, prefix_of
from federation.store.database import Database
from federation.store.directory import Authorities, TrustChain
from federation.store.party import Settings
from keystore.transcript import digest

MINUTE = timedelta(minutes=1) // timedelta(milliseconds=1)


class CountedSettings(Settings):
    """The settings of a store, and the names of those whose values were read."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.read: list[str] = []

    def get(self, name: str) -> bytes | None:
        self.read.append(name)
        return super().get(name)

    def newer(self, name: str, than: int) -> tuple[int, bytes] | None:
        found = super().newer(name, than)
        if found is not None:
            self.read.append(name)
        return found


def _other_process(publisher: DirectoryPublisher) -> DirectoryPublisher:
    """Return a publisher over the same store, as another process would have it."""
    before, after = ("trust", "keys", "settings"), ("authorities", "epochs", "freshness", "life")
    parts = {part: getattr(publisher, f"_{part}") for part in (*before, *after)}
    return DirectoryPublisher(book=publisher._set._book, **parts)


def test_nothing_is_handed_out_before_the_first_list(node) -> None:
    with pytest.raises(Unavailable):
        _ = node.cloud.publisher.current


def test_list_stays_the_same_until_something_changes(node) -> None:
    now, publisher = system_clock(), node.cloud.publisher
    first = publisher.refresh(now)
    assert publisher.refresh(now + 9 * MINUTE) is first


def test_list_is_signed_anew_every_ten_minutes(node) -> None:
    now, publisher = system_clock(), node.cloud.publisher
    first = publisher.refresh(now)
    second = publisher.refresh(now + 10 * MINUTE)
    assert second.sequence == first.sequence + 1
    listed = second.head
    assert listed.next_update - listed.this_update == 60 * MINUTE


def test_revocation_by_another_process_is_on_the_next_list(node) -> None:
    now, publisher = system_clock(), node.cloud.publisher
    first = publisher.refresh(now)
    node.cloud.stores.revocations.revoke("serial", bytes(32), expires_at=now + 60 * MINUTE, at=now)
    second = publisher.refresh(now + 1)
    assert second.sequence == first.sequence + 1
    assert (second.revocations.find(bytes(32)), second.head.entries) == (0, 1)


def test_sweep_by_another_process_is_on_the_next_list_and_a_later_one_on_the_one_after(node) -> None:
    now, publisher = system_clock(), node.cloud.publisher
    first = publisher.refresh(now)
    for number, before in enumerate((now - 1, now), start=1):
        digest = sweep_entry("P:ann")
        node.cloud.stores.revocations.sweep(digest, before, expires_at=now + 60 * MINUTE, at=now)
        listed = publisher.refresh(now + number)
        assert listed.sequence == first.sequence + number
        assert listed.verifier.lists.swept_before("P:ann") == before
        assert publisher.refresh(now + number) is listed


def test_processes_share_one_sequence_and_one_list(node) -> None:
    now, here = system_clock(), node.cloud.publisher
    there = _other_process(here)
    assert there.refresh(now).directory == here.refresh(now + 1).directory
    node.cloud.stores.revocations.take_back({bytes(32): now + 60 * MINUTE}, at=now, most=1)
    assert here.refresh(now + 2).directory == there.refresh(now + 3).directory
    assert here.current.sequence == 2


def test_directory_is_read_once_a_version_however_often_it_is_refreshed(node) -> None:
    now, here = system_clock(), node.cloud.publisher
    there = _other_process(here)
    there._settings = settings = CountedSettings(node.database)
    here.refresh(now)
    for later in range(1, 4):
        there.refresh(now + later)
    assert settings.read.count("directory") == 1
    node.cloud.stores.revocations.revoke("serial", bytes(32), expires_at=now + 60 * MINUTE, at=now)
    here.refresh(now + 4)
    for later in range(5, 8):
        there.refresh(now + later)
    assert settings.read.count("directory") == 2
    assert there.current.directory == here.current.directory


def test_clock_that_goes_back_makes_a_new_list_under_a_higher_sequence(node) -> None:
    now, publisher = system_clock(), node.cloud.publisher
    first = publisher.refresh(now)
    assert publisher.refresh(now - MINUTE).sequence == first.sequence + 1


def test_new_epoch_makes_a_new_list_so_that_members_take_it(node) -> None:
    now, publisher = system_clock(), node.cloud.publisher
    first = publisher.refresh(now)
    node.cloud.epochs.rotate(now + 1)
    second = publisher.refresh(now + 2)
    assert second.sequence == first.sequence + 1
    assert second.directory.cloud_encryption_key_statement != first.directory.cloud_encryption_key_statement


def test_no_bundle_is_handed_out_before_the_founder_signed_the_first(node, database: Database) -> None:
    office = TrustOffice(TrustChain(database), node.cloud.keys, node.book, Authorities(database))
    with pytest.raises(Unavailable):
        office.newest()


def held(version, revision: int | None = None) -> Held:
    return Held(
        frozenset(map(digest, version.directory.certificate_revocation_lists)),
        version.head.revision if revision is None else revision,
    )


def revoked(node, *serials: bytes) -> None:
    now = system_clock()
    for serial in serials:
        node.cloud.stores.revocations.revoke("serial", serial, expires_at=now + 60 * MINUTE, at=now)


def test_follower_is_told_what_was_touched_since_and_nothing_that_it_has(node) -> None:
    publisher = node.cloud.publisher
    first = publisher.refresh(system_clock())
    _, then = first.changes(held(first, 0))
    revoked(node, b"\x01" * 32, b"\x02" * 32)
    second = publisher.refresh(system_clock())
    told, then = second.changes(then)
    assert list(told.delta.added) == [b"\x01" * 32, b"\x02" * 32]
    assert not told.HasField("trust_bundle")
    assert not told.HasField("cloud_encryption_key_statement")
    assert not told.certificate_revocation_lists
    assert not second.changes(then)[0].HasField("delta")
    following, _ = follow_delta(first.revocations, first.head.revision, told.delta, second.head)
    assert following.root == second.revocations.root


def test_process_that_is_started_anew_tells_followers_the_same(node) -> None:
    here = node.cloud.publisher
    first = here.refresh(system_clock())
    revoked(node, b"\x01" * 32, b"\x02" * 32)
    version = here.refresh(system_clock())
    there = _other_process(here).refresh(system_clock())
    assert there.changes(held(first))[0].delta == version.changes(held(first))[0].delta


def test_follower_that_is_too_far_behind_is_told_no_changes(node) -> None:
    """It fetches all shards; so does one that had more than a cloud that was put back."""
    now, publisher, book = system_clock(), node.cloud.publisher, node.cloud.stores.revocations
    book.revoke("serial", bytes(32), expires_at=now - 1, at=now)
    publisher.refresh(now)
    later = now + 24 * 60 * MINUTE + 2
    revoked(node, b"\x01" * 32)
    publisher.refresh(later)
    version = _other_process(publisher).refresh(later)
    assert not version.changes(held(version, 0))[0].HasField("delta")
    whole = WholeSet.of({it.prefix: Shard.read(it) for part in version.all_shards([]) for it in part.shards})
    assert whole.require_of(version.head).root == version.revocations.root


def test_shards_are_proven_by_the_head_of_the_same_answer(node) -> None:
    revoked(node, b"\x01" * 32)
    version = node.cloud.publisher.refresh(system_clock())
    some = SomeShards.read(version.excerpt([prefix_of(b"\x01" * 32), 9]), version.head)
    assert (some.find(b"\x01" * 32), some.find(bytes([0, 9 << 4]) + bytes(30))) == (0, None)
