"""The contract of the blind index, the revocation book and the authorities."""

from datetime import timedelta

import pytest

from federation.store.directory import Authorities
from federation.store.errors import AlreadyAdmitted, AlreadyStored, NotStored, StoreLimit, StoreUnavailable
from federation.store.index import Index
from federation.store.log import Log
from federation.store.party import ReplayMemory
from federation.store.registrations import Registrations
from federation.store.revocations import ENDED_KEPT, KeptShards, RevocationBook
from federation.store.rows import (
    Act,
    Admission,
    KeptShard,
    RevocationChange,
    RevocationChanges,
    RowBound,
    RowOwner,
    RowPlace,
    SealedRow,
    StoredAuthority,
    Unwanted,
    Wanted,
)
from tests.contract.store_support import NOW, register, registration, sealed_entry, statement, ticket
from tests.revoked import entries

NORTH = "D:north.*", "D:chen"


def row(row_key=b"1", row_id=b"a", sealed=b"sealed", *, bucket=7, owner=b"north", level=b"normal", generation=1):
    return SealedRow(bucket, row_key, row_id, owner, level, sealed, generation)


def under(*row_keys, bucket=7, levels=(b"normal",), owners=None, but=()):
    return [Wanted(bucket, row_keys, levels, owners, but)]


def page(index, wanted, *, after=None, limit=100, rows_a_turn=1):
    return index.page(wanted, rows_a_turn=rows_a_turn, after=after, limit=limit)


def found(index, wanted, **options):
    return [row for _, row in page(index, wanted, **options)]


def test_index_gives_the_rows_of_the_keys_in_their_bucket_and_no_other(database):
    index = Index(database)
    rows = [row(key, row_id) for key in (b"1", b"2", b"3") for row_id in (b"a", b"b")]
    for one in (*reversed(rows), row(b"1", b"c", bucket=8)):
        index.upsert(one)
    assert found(index, under(b"3", b"1", b"absent")) == [*rows[:2], *rows[4:]]
    assert found(index, under(b"1", bucket=8)) == [row(b"1", b"c", bucket=8)]
    assert len(found(index, [*under(b"3"), *under(b"1", bucket=8)])) == 3
    assert found(index, []) == found(index, under()) == []


def test_index_gives_the_rows_of_the_owners_that_are_asked_for(database):
    index = Index(database)
    rows = [row(row_id=owner, owner=owner) for owner in (b"east", b"north", b"south")]
    for one in rows:
        index.upsert(one)
    assert found(index, under(b"1", owners=[b"north", b"east", b"absent"])) == rows[:2]
    assert found(index, under(b"1", owners=[])) == []


def test_index_gives_the_rows_of_the_levels_that_are_asked_for(database):
    index = Index(database)
    rows = [
        row(row_id=b"%d" % number, level=level) for number, level in enumerate((b"normal", b"restricted", b"secret"))
    ]
    for one in rows:
        index.upsert(one)
    assert found(index, under(b"1")) == rows[:1]
    assert found(index, under(b"1", levels=[b"restricted", b"normal"])) == rows[:2]
    assert found(index, under(b"1", levels=[])) == []
    index.upsert(row(row_id=b"0", sealed=b"anew", level=b"secret"))
    assert found(index, under(b"1")) == []


@pytest.mark.parametrize(
    ("unwanted", "left"),
    [
        (Unwanted(hospital_key=b"north"), {b"c", b"d"}),
        (Unwanted(row_key=b"1"), {b"b", b"d"}),
        (Unwanted(hospital_key=b"north", row_key=b"1"), {b"b", b"c", b"d"}),
        (Unwanted(row_ids=[b"a", b"d"]), {b"b", b"c"}),
        (Unwanted(hospital_key=b"south", row_ids=[b"a", b"d"]), {b"a", b"b", b"c"}),
        (Unwanted(row_ids=[]), {b"a", b"b", b"c", b"d"}),
        (Unwanted(), set()),
    ],
    ids=["hospital", "class", "both", "records", "record", "no record", "all"],
)
def test_index_passes_over_the_rows_that_are_unwanted(database, unwanted, left):
    index = Index(database)
    for name, key, owner in (
        (b"a", b"1", b"north"),
        (b"b", b"2", b"north"),
        (b"c", b"1", b"south"),
        (b"d", b"2", b"south"),
    ):
        index.upsert(row(key, name, owner=owner))
    assert {it.row_id for it in found(index, under(b"1", b"2", but=[unwanted]))} == left


def test_index_gives_each_owner_its_turn_whoever_has_how_many(database):
    index = Index(database)
    of_many = [row(b"%d" % (number % 2), b"%02d" % number, owner=b"a-rogue") for number in range(40)]
    of_few = [row(b"1", b"z%d" % number, owner=b"honest") for number in range(3)]
    for one in (*of_many, *of_few):
        index.upsert(one)
    first = found(index, under(b"0", b"1"), limit=8)
    assert [it for it in first if it.hospital_key == b"honest"] == of_few
    by_twos = found(index, under(b"0", b"1"), limit=8, rows_a_turn=2)
    assert [it.hospital_key[:1] for it in by_twos] == [b"a", b"a", b"h", b"h", b"a", b"a", b"h", b"a"]


def test_index_gives_each_row_on_one_page_alone_wherever_the_pages_end(database):
    index = Index(database)
    rows = [row(b"%d" % (number % 2), b"%02d" % number, owner=b"%d" % (number % 3)) for number in range(20)]
    for one in rows:
        index.upsert(one)
    whole = page(index, under(b"0", b"1"), rows_a_turn=3)
    assert sorted((it for _, it in whole), key=str) == sorted(rows, key=str)
    assert [place for place, _ in whole] == sorted(place for place, _ in whole)
    for number, (place, _) in enumerate(whole, start=1):
        rest = page(index, under(b"0", b"1"), rows_a_turn=3, after=place)
        assert rest == whole[number:]
        assert page(index, under(b"0", b"1"), rows_a_turn=3, after=place, limit=2) == rest[:2]


def test_index_goes_on_behind_a_place_whose_row_is_gone(database):
    index = Index(database)
    for number in range(6):
        index.upsert(row(row_id=b"%d" % number))
    places = [place for place, _ in page(index, under(b"1"), rows_a_turn=9)]
    index.withdraw(row(row_id=b"2").name)
    assert [it.row_id for it in found(index, under(b"1"), rows_a_turn=9, after=places[2])] == [b"3", b"4", b"5"]
    assert found(index, under(b"1"), after=RowPlace(2**63 - 1, b"", b"", b"")) == []


def test_index_gives_the_rows_of_earlier_generations(database):
    index = Index(database)
    old, new = row(row_id=b"o"), row(row_id=b"n", generation=2)
    for one in (old, new, row(b"2", b"other")):
        index.upsert(one)
    assert index.older(under(b"1"), than=2, limit=9) == [old]
    assert index.older(under(b"1"), than=2, limit=0) == []
    assert index.older(under(b"1"), than=1, limit=9) == []


def test_index_row_upserted_again_gives_way(database):
    index = Index(database)
    index.upsert(row(sealed=b"old"))
    index.upsert(row(sealed=b"new"))
    assert list(index.walk()) == [row(sealed=b"new")]


def test_index_row_beyond_the_bound_of_its_owner_is_refused_and_leaves_nothing(database):
    index, log = Index(database), Log(database)
    bound = RowBound([row().owner], 2)
    for one in (row(b"1"), row(b"2")):
        index.upsert(one, bound=bound, act=Act(sealed_entry(NOW, b"entry")))
    with pytest.raises(StoreLimit):
        index.upsert(row(b"3"), bound=bound, act=Act(sealed_entry(NOW, b"entry")))
    assert (index.count(1), log.verify()) == (2, 2)
    index.upsert(row(b"2", sealed=b"again"), bound=bound)
    index.upsert(row(b"3", owner=b"south"), bound=RowBound([row(owner=b"south").owner], 2))
    index.withdraw(row(b"1").name)
    index.upsert(row(b"3"), bound=bound)


def test_index_row_takes_the_place_of_its_own_under_an_older_generation_at_the_bound(database):
    index = Index(database)
    old, new = row(owner=b"once"), row(b"2", owner=b"now", generation=2)
    bound = RowBound([new.owner, old.owner], 1)
    index.upsert(old, bound=bound)
    with pytest.raises(StoreLimit):
        index.upsert(new, bound=bound)
    index.upsert(new, replaces=[old.name], bound=bound)
    assert list(index.walk()) == [new]


def test_index_row_withdrawn_is_gone_and_others_stay(database):
    index = Index(database)
    index.upsert(row(row_id=b"a"))
    index.upsert(row(row_id=b"b"))
    index.withdraw(row(row_id=b"a").name)
    index.withdraw(row(row_id=b"a").name)
    assert list(index.walk()) == [row(row_id=b"b")]


def test_index_is_purged_of_an_owners_rows_and_of_no_others(database):
    index = Index(database)
    others = [row(b"1", b"x", owner=b"south"), row(b"1", b"y", bucket=8)]
    for one in (row(b"1"), row(b"2"), *others):
        index.upsert(one)
    owners = [row().owner, RowOwner(7, b"absent")]
    assert index.count_of(owners) == 2
    assert (index.purge(owners), index.purge(owners)) == (2, 0)
    assert list(index.walk()) == others
    assert index.count_of([]) == 0


def test_revocation_raises_the_revision_and_is_listed(database):
    book = RevocationBook(database)
    assert (entries(book), book.entries()) == ({}, 0)
    assert book.revoke("serial", b"s", expires_at=NOW, at=NOW) == 1
    assert book.revoke("statement", b"h", expires_at=NOW, at=NOW) == 2
    assert book.revoke("key", b"k", expires_at=NOW, at=NOW) == 3
    assert book.sweep(b"p", NOW - 1, expires_at=NOW, at=NOW) == 4
    assert (entries(book), book.entries()) == ({b"s": 0, b"h": 0, b"k": 0, b"p": NOW - 1}, 4)
    assert book.listed([b"s", b"x", b"p"]) == {b"s", b"p"}


def test_revocation_already_there_is_no_change(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    assert book.revoke("serial", b"s", expires_at=NOW, at=NOW) == 1
    assert book.revoke("statement", b"s", expires_at=NOW, at=NOW) == 1
    assert book.entries() == 1


def test_revocation_of_several_statements_is_one_change(database):
    book = RevocationBook(database)
    assert book.take_back({b"h": NOW, b"g": NOW + 1}, at=NOW, most=2) == 1
    assert book.take_back({b"g": NOW}, at=NOW, most=2) == 1
    assert set(entries(book, now=NOW)) == {b"g", b"h"}
    assert set(entries(book, now=NOW + 1)) == {b"g"}


def test_revocation_of_more_than_there_is_room_for_is_refused_and_leaves_nothing(database):
    book, log = RevocationBook(database), Log(database)
    act = Act(sealed_entry(NOW, b"entry"), Admission(b"key", NOW, NOW))
    book.take_back({b"a": NOW, b"over": NOW - 1}, at=NOW - 1, most=2)
    book.expire(now=NOW)
    with pytest.raises(StoreLimit):
        book.take_back({b"b": NOW, b"c": NOW}, at=NOW, most=2, act=act)
    assert (set(entries(book, now=NOW)), book.entries(), log.verify()) == ({b"a"}, 1, 0)
    book.take_back({b"b": NOW}, at=NOW, most=2, act=act)
    with pytest.raises(StoreLimit):
        book.revoke("serial", b"c", expires_at=NOW, at=NOW, most=2)
    book.take_back({b"a": NOW, b"b": NOW}, at=NOW, most=2)
    assert set(entries(book, now=NOW)) == {b"a", b"b"}


def test_sweep_gives_way_to_a_later_one_of_the_same_patient_alone(database):
    book = RevocationBook(database)
    assert book.sweep(b"p", 5, expires_at=NOW, at=NOW, most=2) == 1
    assert book.sweep(b"p", 5, expires_at=NOW + 9, at=NOW, most=2) == 1
    assert book.sweep(b"p", 4, expires_at=NOW + 9, at=NOW, most=2) == 1
    assert book.sweep(b"q", 3, expires_at=NOW + 2, at=NOW, most=2) == 2
    assert book.sweep(b"p", 6, expires_at=NOW + 1, at=NOW, most=2) == 3
    assert entries(book, now=NOW) == {b"p": 6, b"q": 3}
    with pytest.raises(StoreLimit):
        book.sweep(b"r", 7, expires_at=NOW, at=NOW, most=2)
    assert entries(book, now=NOW) == {b"p": 6, b"q": 3}
    assert entries(book, now=NOW + 2) == {b"q": 3}
    assert book.sweep(b"r", 7, expires_at=NOW + 2, at=NOW + 2, most=2) == 5
    assert book.sweep(b"p", 1, expires_at=NOW + 9, at=NOW + 2, most=3) == 6  # the one before is over


def test_revocation_leaves_when_its_time_is_over_and_that_is_a_change(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    book.revoke("serial", b"t", expires_at=NOW + 1, at=NOW)
    assert (entries(book, now=NOW + 1), book.entries()) == ({b"t": 0}, 1)
    assert book.since(2) == RevocationChanges(3, 0, [RevocationChange(b"s", 0, True, 3)], is_whole=False)
    assert book.revoke("serial", b"s", expires_at=NOW + 2, at=NOW + 1) == 4
    assert (entries(book, now=NOW + 1), book.entries()) == ({b"t": 0, b"s": 0}, 2)


def test_revocation_stays_for_the_longer_of_two_times(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    book.revoke("serial", b"s", expires_at=NOW + 9, at=NOW)
    book.revoke("statement", b"s", expires_at=NOW + 1, at=NOW)
    assert entries(book, now=NOW + 9) == {b"s": 0}


def test_what_was_touched_since_a_revision_is_read_alone_and_the_newest_of_each(database):
    book = RevocationBook(database)
    book.take_back({b"a": NOW, b"b": NOW}, at=NOW, most=9)
    book.sweep(b"p", 5, expires_at=NOW, at=NOW)
    book.sweep(b"p", 6, expires_at=NOW, at=NOW)
    assert book.since(1) == RevocationChanges(3, 0, [RevocationChange(b"p", 6, False, 3)], is_whole=False)
    assert book.since(3) == RevocationChanges(3, 0, [], is_whole=False)
    assert len(book.since(4).changes) == 3, "of a book that was put back, whoever had more reads all"


def test_who_was_away_for_longer_than_ends_are_kept_reads_the_book_whole(database):
    book, later = RevocationBook(database), NOW + 1 + ENDED_KEPT // timedelta(milliseconds=1)
    book.revoke("serial", b"s", expires_at=NOW - 1, at=NOW)
    book.revoke("serial", b"t", expires_at=later + 9, at=NOW)
    book.expire(now=NOW)
    assert not book.since(2).is_whole
    book.expire(now=later)
    assert book.since(2) == RevocationChanges(3, 3, [RevocationChange(b"t", 0, False, 2)], is_whole=True)
    assert not book.since(3).is_whole


def test_what_others_heard_is_added_at_once_and_leaves_what_is_there(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    assert book.hear([b"s", b"t"], expires_at=NOW + 9, at=NOW) == 2
    assert (entries(book, now=NOW + 9), book.entries()) == ({b"s": 0, b"t": 0}, 2)


def test_shards_go_with_their_directory_and_no_older_one_takes_their_place(database):
    shards = KeptShards(database)
    assert shards.newer("directory", -1) is None
    assert shards.advance("directory", 2, b"second", [KeptShard(7, b"e", b""), KeptShard(8, b"f", b"")])
    assert not shards.advance("directory", 2, b"other", [KeptShard(7, b"", b"")])
    assert shards.advance("directory", 3, b"third", [KeptShard(7, b"ee", b"s")])
    assert shards.newer("directory", 2) == (3, b"third", [KeptShard(7, b"ee", b"s")])
    sequence, directory, found = shards.newer("directory", -1)
    assert (sequence, directory, sorted(found)) == (3, b"third", [KeptShard(7, b"ee", b"s"), KeptShard(8, b"f", b"")])
    assert shards.advance("directory", 3, b"whole", [KeptShard(9, b"g", b"")], again=True, all_=True)
    assert shards.newer("directory", -1) == (3, b"whole", [KeptShard(9, b"g", b"")])
    assert not shards.advance("directory", 2, b"older", [], again=True, all_=True)


@pytest.mark.parametrize("kind", ["certificate", "sweep"])
def test_revocation_of_another_kind_is_refused(database, kind):
    book = RevocationBook(database)
    with pytest.raises(ValueError, match="kind"):
        book.revoke(kind, b"s", expires_at=NOW, at=NOW)
    assert book.since(-1).revision == 0


def test_authority_keeps_its_newest_crl(database):
    authorities = Authorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    assert authorities.all() == [StoredAuthority("M:north", b"certificate", NORTH, None, 0)]
    authorities.put_crl("M:north", b"certificate", b"crl 0", 0)
    authorities.put_crl("M:north", b"certificate", b"crl 9", 9)
    authorities.put_crl("M:north", b"certificate", b"crl 10", 10)
    authorities.put("M:north", b"certificate", NORTH)
    assert authorities.all() == [StoredAuthority("M:north", b"certificate", NORTH, b"crl 10", 10)]


def test_authority_put_again_has_another_scope_and_keeps_its_crl(database):
    authorities = Authorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    authorities.put_crl("M:north", b"certificate", b"crl", 1)
    for scope in (("D:*",), ()):
        authorities.put("M:north", b"certificate", scope)
        assert authorities.all() == [StoredAuthority("M:north", b"certificate", scope, b"crl", 1)]


def test_authority_put_again_keeps_its_url_unless_another_is_given(database):
    authorities = Authorities(database)
    for given, kept in ((None, None), ("https://a/crl", "https://a/crl"), (None, "https://a/crl"), ("", None)):
        authorities.put("M:north", b"certificate", NORTH, crl_url=given)
        assert authorities.all() == [StoredAuthority("M:north", b"certificate", NORTH, None, 0, kept)]


def test_authority_crl_number_of_20_octets_is_kept(database):
    authorities = Authorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    authorities.put_crl("M:north", b"certificate", b"crl", 2**159)
    assert authorities.all()[0].crl_number == 2**159


@pytest.mark.parametrize("number", [4, 5])
def test_authority_crl_not_above_the_kept_one_is_refused(database, number):
    authorities = Authorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    authorities.put_crl("M:north", b"certificate", b"kept", 5)
    with pytest.raises(AlreadyStored):
        authorities.put_crl("M:north", b"certificate", b"older", number)
    assert authorities.all()[0].crl == b"kept"


def test_authority_stands_twice_and_each_certificate_has_its_own_crl(database):
    authorities = Authorities(database)
    authorities.put("M:north", b"old", NORTH)
    authorities.put("M:north", b"new", NORTH)
    authorities.put_crl("M:north", b"old", b"crl 5", 5)
    authorities.put_crl("M:north", b"new", b"crl 1", 1)
    old, new = (
        StoredAuthority("M:north", b"old", NORTH, b"crl 5", 5),
        StoredAuthority("M:north", b"new", NORTH, b"crl 1", 1),
    )
    assert sorted(authorities.all(), key=str) == sorted([old, new], key=str)
    authorities.drop("M:north", b"old")
    authorities.drop("M:north", b"old")
    assert authorities.all() == [new]


@pytest.mark.parametrize(("authority_id", "certificate"), [("M:north", b"other"), ("M:south", b"certificate")])
def test_authority_unknown_by_name_or_certificate_gets_no_crl(database, authority_id, certificate):
    authorities = Authorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    with pytest.raises(NotStored):
        authorities.put_crl(authority_id, certificate, b"crl", 1)
    assert authorities.all()[0].crl is None


def changes(database):
    """Every change of a public cloud that takes an act, by what it is, and whether it was made."""
    index, book, registrations = Index(database), RevocationBook(database), Registrations(database)
    authorities = Authorities(database)
    register(registrations, registration("P:eve", serial=b"e" * 16))
    reserve = {"role": "patient", "identity": "P:ann", "credential": registration().credential, "at": NOW, "until": NOW}
    registrations.reserve_serial(registration().serial, **reserve)
    authorities.put("M:north", b"certificate", ("D:*",))
    index.upsert(row(b"there"))
    return {
        "row": (lambda act: index.upsert(row(), act=act), lambda: row() in index.walk()),
        "withdrawal": (
            lambda act: index.withdraw(row(b"there").name, act=act),
            lambda: row(b"there") not in index.walk(),
        ),
        "revocation": (
            lambda act: book.revoke("serial", b"g", expires_at=NOW, at=NOW, act=act),
            lambda: entries(book) == {b"g": 0},
        ),
        "statements": (
            lambda act: book.take_back({b"g": NOW}, at=NOW, most=1, act=act),
            lambda: entries(book) == {b"g": 0},
        ),
        "sweep": (
            lambda act: book.sweep(b"p", 1, expires_at=NOW, at=NOW, most=1, act=act),
            lambda: entries(book) == {b"p": 1},
        ),
        "ticket": (
            lambda act: registrations.put_ticket(ticket(), act=act),
            lambda: registrations.find_ticket(ticket().digest, now=NOW) is not None,
        ),
        "registration": (
            lambda act: registrations.complete(
                registration(),
                request_digest=b"q",
                answer=b"answer",
                answer_until=NOW,
                ticket_digest=None,
                now=NOW,
                act=act,
            ),
            lambda: registrations.live("P:ann") is not None,
        ),
        "renewal": (
            lambda act: registrations.renew("P:eve", statement("new"), None, act=act),
            lambda: registrations.live("P:eve").encryption_key_statement == statement("new"),
        ),
        "reissue": (
            lambda act: registrations.authorize_reissue("P:eve", b"e" * 16, act=act),
            lambda: registrations.live("P:eve") is None,
        ),
        "authority": (
            lambda act: authorities.put("M:south", b"certificate", ("D:*",), act=act),
            lambda: "M:south" in {it.authority_id for it in authorities.all()},
        ),
        "crl": (
            lambda act: authorities.put_crl("M:north", b"certificate", b"crl", 1, act=act),
            lambda: b"crl" in {it.crl for it in authorities.all()},
        ),
        "authority dropped": (
            lambda act: authorities.drop("M:north", b"certificate", act=act),
            lambda: "M:north" not in {it.authority_id for it in authorities.all()},
        ),
    }


CHANGES = (
    "row",
    "withdrawal",
    "revocation",
    "statements",
    "sweep",
    "ticket",
    "registration",
    "renewal",
    "reissue",
    "authority",
    "crl",
    "authority dropped",
)


@pytest.mark.parametrize("kind", CHANGES)
def test_change_its_log_entry_and_its_messages_replay_key_are_there_together(database, kind):
    change, is_made = changes(database)[kind]
    change(Act(sealed_entry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert is_made()
    assert [(it.at, it.sealed) for it in Log(database).entries()] == [(NOW, b"entry")]
    assert not ReplayMemory(database).admit(b"key", now=NOW, until=NOW)


@pytest.mark.parametrize("kind", CHANGES)
def test_change_of_a_message_that_was_taken_before_is_refused_and_leaves_nothing(database, kind):
    change, is_made = changes(database)[kind]
    ReplayMemory(database).admit(b"key", now=NOW, until=NOW)
    with pytest.raises(AlreadyAdmitted):
        change(Act(sealed_entry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert not is_made()
    assert Log(database).verify() == 0


@pytest.mark.parametrize("kind", CHANGES)
def test_change_that_is_not_made_leaves_its_message_new_and_no_log_entry(database, kind):
    change, is_made = changes(database)[kind]
    refuses = {
        "sqlite": "CREATE TRIGGER full BEFORE INSERT ON log_waiting BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        "postgresql": "ALTER TABLE log_waiting ADD CONSTRAINT disk_is_full CHECK (false)",
    }[database.engine.dialect.name]
    database.write(lambda connection: connection.exec_driver_sql(refuses))
    with pytest.raises(StoreUnavailable):
        change(Act(sealed_entry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert not is_made()
    assert ReplayMemory(database).admit(b"key", now=NOW, until=NOW)
