"""What a party has of the revocation list: a person's shards, asked for; a hospital's whole set, followed."""

from collections.abc import Sequence
from threading import Event

import pytest

from federation.errors import RevocationHeadOlder, RevocationShardInvalid, RevocationShardMissing, Unavailable
from federation.party.lists import AskingLists, AskShards, FollowedLists
from federation.party.trust import TrustKeeper
from federation.protocol.anchors import serial_entry
from federation.store.party import Settings
from federation.store.revocations import KeptShards
from federation.v1.directory_pb2 import RevocationDelta, WatchDirectoryResponse
from federation.v1.statement_pb2 import RevocationExcerpt
from keystore.transcript import digest
from tests.mallory import refused
from tests.simulator import Federation
from tests.sqlite_stores import new_database

SERIAL = bytes(16)
ENTRY = serial_entry(SERIAL)


def asking(federation: Federation, settings: Settings | None = None) -> AskingLists:
    settings = settings or Settings(new_database())
    return AskingLists(settings, TrustKeeper(settings, federation.cloud.bundle))


def followed(federation: Federation) -> FollowedLists:
    database = new_database()
    settings = Settings(database)
    return FollowedLists(settings, TrustKeeper(settings, federation.cloud.bundle), KeptShards(database))


def away(_: Sequence[int], __: Sequence[bytes]) -> RevocationExcerpt:
    raise Unavailable("no answer")


def counted(ask: AskShards, asked: list[Sequence[int]]) -> AskShards:
    def run(prefixes: Sequence[int], held_crls: Sequence[bytes]) -> RevocationExcerpt:
        asked.append(prefixes)
        return ask(prefixes, held_crls)

    return run


def test_a_shard_is_asked_for_once_and_again_under_another_root(own_federation: Federation) -> None:
    cloud, lists = own_federation.cloud, asking(own_federation)
    asked: list[Sequence[int]] = []
    assert (lists.held_crls, lists.current().counted) == ([], frozenset())
    lists.update(cloud.directory(), None, counted(cloud.shards, asked))
    assert (lists.find(ENTRY), lists.find(ENTRY)) == (None, None)
    lists.update(cloud.directory())  # the same set
    assert lists.find(ENTRY) is None
    assert len(asked) == 1
    cloud.revoked_serials.append(SERIAL)
    lists.update(cloud.directory())
    assert lists.find(ENTRY) == 0
    assert len(asked) == 2


def test_a_shard_that_nobody_gives_is_refused_revocation_shard_missing(own_federation: Federation) -> None:
    lists = asking(own_federation)
    lists.update(own_federation.cloud.directory(), None, away)
    with refused(RevocationShardMissing):
        lists.find(ENTRY)
    with refused(RevocationShardMissing):
        lists.current().require_serial_good(SERIAL)


def test_hospitals_that_are_dealt_with_are_asked_where_the_cloud_does_not_answer(own_federation: Federation) -> None:
    lists = asking(own_federation)
    lists.update(own_federation.cloud.directory(), None, away)
    lists.ask_beside("H:alpha", own_federation.cloud.shards)
    lists.ask_beside("H:beta", away)
    assert lists.find(ENTRY) is None


def test_hospital_that_is_behind_is_passed_over(own_federation: Federation) -> None:
    """H:beta's list came first, and is newer; H:alpha was dealt with since."""
    cloud, lists = own_federation.cloud, asking(own_federation)
    behind = cloud.excerpt(ENTRY)
    cloud.revoked_serials.append(SERIAL)
    lists.update(cloud.directory(), None, away)
    lists.ask_beside("H:beta", cloud.shards)
    lists.ask_beside("H:alpha", lambda *_: behind)
    assert lists.find(ENTRY) == 0


def test_hospitals_dealt_with_last_are_asked_and_no_others(own_federation: Federation) -> None:
    lists, asked = asking(own_federation), list[str]()
    lists.update(own_federation.cloud.directory(), None, away)

    def noted(identity: str) -> AskShards:
        def ask(*_: object) -> RevocationExcerpt:
            asked.append(identity)
            raise Unavailable("away")

        return ask

    for identity in ("H:1", "H:2", "H:3", "H:4", "H:5", "H:3"):
        lists.ask_beside(identity, noted(identity))
    with refused(RevocationShardMissing):
        lists.find(ENTRY)
    assert asked == ["H:3", "H:5", "H:4", "H:2"]


def test_hospitals_list_is_taken_where_it_is_newer(own_federation: Federation) -> None:
    """So a person who was last online before its own registration was on a list acts, and one whose list is over."""
    cloud, lists = own_federation.cloud, asking(own_federation)
    lists.update(cloud.directory(), None, away)
    before = lists.current()
    cloud.revoked_serials.append(SERIAL)
    cloud.directory()
    lists.hear_beside([ENTRY])
    assert lists.current() is before
    lists.ask_beside("H:alpha", cloud.shards)
    lists.ask_beside("H:beta", away)
    lists.hear_beside([ENTRY])
    assert lists.current().sequence > before.sequence
    lists.ask_beside("H:alpha", away)
    assert lists.find(ENTRY) == 0


def test_hospitals_that_are_silent_keep_nobody_from_a_newer_list(own_federation: Federation) -> None:
    """Those that were dealt with last are silent, as long as this test likes: a fourth is heard all the same."""
    cloud, lists, over = own_federation.cloud, asking(own_federation), Event()
    lists.update(cloud.directory(), None, away)
    before = lists.current().sequence

    def silent(*_: object) -> RevocationExcerpt:
        over.wait()
        raise Unavailable("it never answered")

    cloud.revoked_serials.append(SERIAL)
    cloud.directory()
    lists.ask_beside("H:alpha", cloud.shards)
    for identity in ("H:1", "H:2", "H:3"):
        lists.ask_beside(identity, silent)
    try:
        lists.hear_beside([ENTRY])
        assert lists.current().sequence > before
        lists.ask_beside("H:4", silent)  # which puts H:alpha off: nobody answers now
        lists.hear_beside([ENTRY], seconds=0)
    finally:
        over.set()


def test_hospital_that_answers_first_and_has_nothing_newer_ends_no_asking(own_federation: Federation) -> None:
    cloud, lists, answered = own_federation.cloud, asking(own_federation), Event()
    lists.update(cloud.directory(), None, away)
    behind, before = cloud.excerpt(ENTRY), lists.current().sequence
    cloud.revoked_serials.append(SERIAL)
    newer = cloud.excerpt(ENTRY)

    def first(*_: object) -> RevocationExcerpt:
        answered.set()
        return behind

    def second(*_: object) -> RevocationExcerpt:
        answered.wait()
        return newer

    lists.ask_beside("H:alpha", second)
    lists.ask_beside("H:beta", first)
    lists.hear_beside([ENTRY])
    assert lists.current().sequence > before


def test_what_is_wrong_with_a_peers_shards_does_not_count(own_federation: Federation) -> None:
    lists = asking(own_federation)
    lists.update(own_federation.cloud.directory(), None, own_federation.cloud.shards)
    before = lists.current()
    bent = own_federation.cloud.excerpt(ENTRY)
    bent.shards[0].path[0] = bytes(32)
    lists.hear(bent)
    assert lists.current() is before
    lists.hear(own_federation.cloud.excerpt(ENTRY))
    lists.ask_of(away)
    assert lists.find(ENTRY) is None


def test_shards_that_were_had_are_there_for_another_process(own_federation: Federation) -> None:
    settings = Settings(new_database())
    lists = asking(own_federation, settings)
    lists.update(own_federation.cloud.directory(), None, own_federation.cloud.shards)
    lists.want([ENTRY])
    assert asking(own_federation, settings).find(ENTRY) is None


def test_shards_of_an_older_head_are_refused_revocation_head_older(own_federation: Federation) -> None:
    """Mallory keeps an answer of before the revocation, and gives it to who has the newer head."""
    cloud, lists = own_federation.cloud, asking(own_federation)
    before = cloud.excerpt(ENTRY)
    cloud.revoked_serials.append(SERIAL)
    lists.update(cloud.directory(), None, lambda *_: before)
    with refused(RevocationHeadOlder):
        lists.take(before)
    with refused(RevocationShardMissing):
        lists.find(ENTRY)


def test_shards_of_another_head_of_the_same_number_are_refused_revocation_head_older(
    own_federation: Federation,
) -> None:
    cloud, lists = own_federation.cloud, asking(own_federation)
    lists.update(cloud.directory(), None, cloud.shards)
    assert lists.find(ENTRY) is None
    cloud.revoked_serials.append(SERIAL)
    cloud.sequence -= 1
    with refused(RevocationHeadOlder):
        lists.take(cloud.excerpt(ENTRY))
    assert lists.find(ENTRY) is None


def test_shards_of_a_newer_head_bring_the_head_along(own_federation: Federation) -> None:
    cloud, lists = own_federation.cloud, asking(own_federation)
    lists.update(cloud.directory(), None, cloud.shards)
    before = lists.current()
    cloud.revoked_serials.append(SERIAL)
    lists.take(cloud.excerpt(ENTRY))
    assert lists.find(ENTRY) == 0
    assert lists.current().sequence > before.sequence
    assert lists.current().crls == before.crls


def test_shards_of_a_newer_head_bring_the_crls_that_it_names(own_federation: Federation) -> None:
    """An authority's new CRL comes with the answer by which its pin is heard of, and one that is at hand does not."""
    settings = Settings(new_database())
    cloud, lists = own_federation.cloud, asking(own_federation, settings)
    lists.update(cloud.directory(), None, cloud.shards)
    (before,) = lists.current().counted
    cloud.authority.revoke(own_federation.doctor.certificate)
    cloud.directory()
    assert lists.find(ENTRY) is None
    (after,) = lists.current().counted
    assert after != before
    assert not cloud.shards([0], lists.held_crls).certificate_revocation_lists
    assert asking(own_federation, settings).current().counted == {after}


def test_a_head_without_its_crls_is_completed_by_the_next_answer(own_federation: Federation) -> None:
    """A room has one authority's CRL alone."""
    cloud, lists = own_federation.cloud, asking(own_federation)
    lists.update(cloud.directory(), None, cloud.shards)
    cloud.authority.revoke(own_federation.doctor.certificate)
    directory = cloud.directory()
    lists.take(RevocationExcerpt(head=directory.revocation_head))
    assert not lists.current().counted
    assert lists.held_crls == []
    assert lists.find(ENTRY) is None
    assert lists.current().counted == set(directory.certificate_revocation_lists)
    lists.take(RevocationExcerpt(head=directory.revocation_head))
    assert lists.current().counted, "what comes without takes none away"


def test_directory_whose_head_came_with_shards_is_taken_all_the_same(own_federation: Federation) -> None:
    """Its EK_C may be another: nothing would be sealed to it until the next head."""
    cloud, lists = own_federation.cloud, asking(own_federation)
    lists.update(cloud.directory(), None, cloud.shards)
    cloud.epochs.rotate(own_federation.clock.now)
    newest = cloud.directory()
    assert lists.find(ENTRY) is None
    assert lists.current().signed == newest.revocation_head
    lists.update(newest)
    assert lists.directory == newest


def test_crls_that_do_not_count_are_neither_named_nor_displace_others(own_federation: Federation) -> None:
    cloud, lists = own_federation.cloud, asking(own_federation)
    old = cloud.authority.crl()
    cloud.authority.revoke(own_federation.doctor.certificate)
    directory = cloud.directory()
    lists.update(directory, None, cloud.shards)
    held = lists.held_crls
    assert held == [digest(directory.certificate_revocation_lists[0])]
    lists.take(RevocationExcerpt(head=cloud.revocation_head(), certificate_revocation_lists=[old]))
    assert lists.held_crls == held
    assert lists.current().counted == set(directory.certificate_revocation_lists)


def test_shards_that_are_not_the_head_s_are_refused_revocation_shard_invalid(own_federation: Federation) -> None:
    cloud, lists = own_federation.cloud, asking(own_federation)
    cloud.revoked_serials.append(SERIAL)
    lists.update(cloud.directory(), None, cloud.shards)
    bent = cloud.excerpt(ENTRY)
    del bent.shards[0].entries[:]
    with refused(RevocationShardInvalid):
        lists.take(bent)
    assert lists.find(ENTRY) == 0


def test_a_hospital_takes_changes_and_all_shards_where_they_do_not_lead_on(own_federation: Federation) -> None:
    cloud, lists = own_federation.cloud, followed(own_federation)
    asked: list[int] = []

    def everything(held_crls: Sequence[bytes]) -> list[RevocationExcerpt]:
        asked.append(1)
        return cloud.all_shards(held_crls)

    def changes(delta: RevocationDelta | None) -> WatchDirectoryResponse:
        told = cloud.changes(cloud.directory())
        if delta is not None:
            told.delta.CopyFrom(delta)
        return told

    assert lists.follow(changes(None), None, everything).listed.find(ENTRY) is None
    assert len(asked) == 1
    cloud.revoked_serials.append(SERIAL)
    following = lists.follow(changes(RevocationDelta(from_revision=lists.revision, added=[ENTRY])), None, everything)
    assert (following.listed.find(ENTRY), len(asked)) == (0, 1)
    cloud.revoked_serials.clear()
    for bad in (RevocationDelta(from_revision=1 << 40, ended=[ENTRY]), RevocationDelta(from_revision=lists.revision)):
        assert lists.follow(changes(bad), None, everything).listed.find(ENTRY) is None
    assert len(asked) == 2, "after the first of them it has what the second brings"


def test_all_shards_of_a_newer_head_bring_the_crls_that_it_names(own_federation: Federation) -> None:
    """The stream would not send them again: to the cloud they are among what this follower was told of."""
    cloud, lists = own_federation.cloud, followed(own_federation)
    before = cloud.changes(cloud.directory())
    cloud.authority.revoke(own_federation.doctor.certificate)
    newest = cloud.directory()
    taken = lists.follow(before, None, cloud.all_shards)
    assert taken.counted == set(newest.certificate_revocation_lists)
    assert taken.signed == newest.revocation_head
    cloud.epochs.rotate(own_federation.clock.now)
    told = cloud.changes(newest)
    told.cloud_encryption_key_statement.CopyFrom(cloud.epochs.current(own_federation.clock.now))
    assert lists.follow(told, None, lambda _: pytest.fail("nothing is asked for")).sequence == taken.sequence
    assert lists.directory.cloud_encryption_key_statement == told.cloud_encryption_key_statement


def test_an_older_head_changes_nothing_at_a_hospital(own_federation: Federation) -> None:
    cloud, lists = own_federation.cloud, followed(own_federation)
    old = cloud.changes(cloud.directory())
    cloud.revoked_serials.append(SERIAL)
    lists.follow(cloud.changes(cloud.directory()), None, cloud.all_shards)
    sequence = lists.current().sequence
    assert lists.follow(old, None, lambda _: pytest.fail("nothing is asked for")).sequence == sequence
    assert lists.current().listed.find(ENTRY) == 0


def test_processes_of_a_hospital_share_the_set(own_federation: Federation) -> None:
    cloud, database = own_federation.cloud, new_database()
    settings, shards = Settings(database), KeptShards(database)
    here, there = (FollowedLists(settings, TrustKeeper(settings, cloud.bundle), shards) for _ in range(2))
    here.follow(cloud.changes(cloud.directory()), None, cloud.all_shards)
    assert there.current().listed.find(ENTRY) is None
    cloud.revoked_serials.append(SERIAL)
    told = cloud.changes(cloud.directory())
    told.delta.CopyFrom(RevocationDelta(from_revision=here.revision, added=[ENTRY]))
    here.follow(told, None, cloud.all_shards)
    assert there.current().listed.find(ENTRY) == 0
    assert there.current().sequence == here.current().sequence
