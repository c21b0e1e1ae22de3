"""The contract of the blind index, the revocation book and the authorities."""

import pytest

from federation.store.directory import Authorities, RevocationBook
from federation.store.errors import AlreadyAdmitted, AlreadyStored, NotStored, StoreLimit, StoreUnavailable
from federation.store.index import Index
from federation.store.party import Log, ReplayMemory
from federation.store.registrations import Registrations
from federation.store.rows import (
    Act,
    Admission,
    Revocations,
    RowBound,
    RowOwner,
    RowPage,
    SealedEntry,
    SealedRow,
    StoredAuthority,
    Unwanted,
    Wanted,
)
from tests.contract.store_support import NOW, register, registration, statement, ticket

NORTH = "D:north.*", "D:chen"


def row(row_key=b"1", row_id=b"a", sealed=b"sealed", *, bucket=7, owner=b"north", level=b"normal", generation=1):
    return SealedRow(bucket, row_key, row_id, owner, level, sealed, generation)


def under(*row_keys, bucket=7, levels=(b"normal",), owners=None, but=()):
    return [Wanted(bucket, row_keys, levels, owners, but)]


def page(index, wanted, *, offset=0, limit=100):
    return index.page(wanted, offset=offset, limit=limit)


def test_index_gives_the_rows_of_the_keys_in_their_bucket_and_no_other(database):
    index = Index(database)
    rows = [row(key, row_id) for key in (b"1", b"2", b"3") for row_id in (b"a", b"b")]
    for one in (*reversed(rows), row(b"1", b"c", bucket=8)):
        index.upsert(one)
    assert page(index, under(b"3", b"1", b"absent")) == RowPage([*rows[:2], *rows[4:]], 4)
    assert page(index, under(b"1", bucket=8)) == RowPage([row(b"1", b"c", bucket=8)], 1)
    assert page(index, [*under(b"3"), *under(b"1", bucket=8)]).total == 3
    assert page(index, []) == page(index, under()) == RowPage([], 0)


def test_index_gives_the_rows_of_the_owners_that_are_asked_for(database):
    index = Index(database)
    rows = [row(row_id=owner, owner=owner) for owner in (b"east", b"north", b"south")]
    for one in rows:
        index.upsert(one)
    assert page(index, under(b"1", owners=[b"north", b"east", b"absent"])) == RowPage(rows[:2], 2)
    assert page(index, under(b"1", owners=[])) == RowPage([], 0)


def test_index_gives_the_rows_of_the_levels_that_are_asked_for(database):
    index = Index(database)
    rows = [
        row(row_id=b"%d" % number, level=level) for number, level in enumerate((b"normal", b"restricted", b"secret"))
    ]
    for one in rows:
        index.upsert(one)
    assert page(index, under(b"1")) == RowPage(rows[:1], 1)
    assert page(index, under(b"1", levels=[b"restricted", b"normal"])) == RowPage(rows[:2], 2)
    assert page(index, under(b"1", levels=[])) == RowPage([], 0)
    index.upsert(row(row_id=b"0", sealed=b"anew", level=b"secret"))
    assert page(index, under(b"1")) == RowPage([], 0)


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
def test_index_passes_over_the_rows_that_are_unwanted_and_does_not_count_them(database, unwanted, left):
    index = Index(database)
    for name, key, owner in (
        (b"a", b"1", b"north"),
        (b"b", b"2", b"north"),
        (b"c", b"1", b"south"),
        (b"d", b"2", b"south"),
    ):
        index.upsert(row(key, name, owner=owner))
    found = page(index, under(b"1", b"2", but=[unwanted]))
    assert ({it.row_id for it in found.rows}, found.total) == (left, len(left))


def test_index_gives_each_owner_its_turn_whoever_has_how_many(database):
    index = Index(database)
    of_many = [row(b"%d" % (number % 2), b"%02d" % number, owner=b"a-rogue") for number in range(40)]
    of_few = [row(b"1", b"z%d" % number, owner=b"honest") for number in range(3)]
    for one in (*of_many, *of_few):
        index.upsert(one)
    first = page(index, under(b"0", b"1"), limit=8)
    assert [it for it in first.rows if it.hospital_key == b"honest"] == of_few
    assert first.total == 43


def test_index_gives_each_row_on_one_page_alone(database):
    index = Index(database)
    rows = [row(b"1", b"%02d" % number, owner=b"%d" % (number % 3)) for number in range(20)]
    for one in rows:
        index.upsert(one)
    pages = [page(index, under(b"1"), offset=offset, limit=8) for offset in (0, 8, 16, 24, 2**32 * 8)]
    assert {it.total for it in pages} == {20}
    assert [len(it.rows) for it in pages] == [8, 8, 4, 0, 0]
    assert sorted((it for one in pages for it in one.rows), key=str) == sorted(rows, key=str)


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
        index.upsert(one, bound=bound, act=Act(SealedEntry(NOW, b"entry")))
    with pytest.raises(StoreLimit):
        index.upsert(row(b"3"), bound=bound, act=Act(SealedEntry(NOW, b"entry")))
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


def test_revocation_raises_the_version_and_is_listed_by_kind(database):
    book = RevocationBook(database)
    assert book.current(now=NOW) == Revocations(0, [], [], [], [])
    assert book.revoke("serial", b"s", expires_at=NOW, at=NOW) == 1
    assert book.revoke("statement", b"h", expires_at=NOW, at=NOW) == 2
    assert book.revoke("statement", b"g", expires_at=NOW, at=NOW) == 3
    assert book.revoke("key", b"k", expires_at=NOW, at=NOW) == 4
    assert book.sweep(b"p", NOW - 1, expires_at=NOW, at=NOW) == 5
    assert book.current(now=NOW) == Revocations(5, [b"s"], [b"g", b"h"], [b"k"], [(b"p", NOW - 1)])


def test_revocation_already_there_is_no_change(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    assert book.revoke("serial", b"s", expires_at=NOW, at=NOW) == 1
    assert book.revoke("statement", b"s", expires_at=NOW, at=NOW) == 2


def test_revocation_of_several_statements_is_one_change(database):
    book = RevocationBook(database)
    assert book.take_back({b"h": NOW, b"g": NOW + 1}, at=NOW, most=2) == 1
    assert book.take_back({b"g": NOW}, at=NOW, most=2) == 1
    assert book.current(now=NOW).statements == [b"g", b"h"]
    assert book.current(now=NOW + 1).statements == [b"g"]


def test_revocation_of_more_statements_than_there_is_room_for_is_refused_and_leaves_nothing(database):
    book, log = RevocationBook(database), Log(database)
    act = Act(SealedEntry(NOW, b"entry"), Admission(b"key", NOW, NOW))
    book.take_back({b"a": NOW, b"over": NOW - 1}, at=NOW - 1, most=2)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    with pytest.raises(StoreLimit):
        book.take_back({b"b": NOW, b"c": NOW}, at=NOW, most=2, act=act)
    assert (book.current(now=NOW).statements, log.verify()) == ([b"a"], 0)
    book.take_back({b"b": NOW}, at=NOW, most=2, act=act)
    with pytest.raises(StoreLimit):
        book.take_back({b"c": NOW}, at=NOW, most=2)
    book.take_back({b"a": NOW, b"b": NOW}, at=NOW, most=2)
    assert book.current(now=NOW).statements == [b"a", b"b"]


def test_sweep_gives_way_to_a_later_one_of_the_same_patient_alone(database):
    book = RevocationBook(database)
    assert book.sweep(b"p", 5, expires_at=NOW, at=NOW, most=2) == 1
    assert book.sweep(b"p", 5, expires_at=NOW + 9, at=NOW, most=2) == 1
    assert book.sweep(b"p", 4, expires_at=NOW + 9, at=NOW, most=2) == 1
    assert book.sweep(b"q", 3, expires_at=NOW + 2, at=NOW, most=2) == 2
    assert book.sweep(b"p", 6, expires_at=NOW + 1, at=NOW, most=2) == 3
    assert book.current(now=NOW).sweeps == [(b"p", 6), (b"q", 3)]
    with pytest.raises(StoreLimit):
        book.sweep(b"r", 7, expires_at=NOW, at=NOW, most=2)
    assert book.current(now=NOW).sweeps == [(b"p", 6), (b"q", 3)]
    assert book.current(now=NOW + 2).sweeps == [(b"q", 3)]
    assert book.sweep(b"r", 7, expires_at=NOW + 2, at=NOW + 2, most=2) == 5


def test_revocation_leaves_when_its_time_is_over_and_that_is_a_change(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    book.revoke("serial", b"t", expires_at=NOW + 1, at=NOW)
    assert book.current(now=NOW + 1) == Revocations(3, [b"t"], [], [], [])
    assert book.current(now=NOW + 1).version == 3


def test_revocation_stays_for_the_longer_of_two_times(database):
    book = RevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    book.revoke("serial", b"s", expires_at=NOW + 9, at=NOW)
    book.revoke("serial", b"s", expires_at=NOW + 1, at=NOW)
    assert book.current(now=NOW + 9) == Revocations(1, [b"s"], [], [], [])


@pytest.mark.parametrize("kind", ["certificate", "sweep"])
def test_revocation_of_another_kind_is_refused(database, kind):
    book = RevocationBook(database)
    with pytest.raises(ValueError, match="kind"):
        book.revoke(kind, b"s", expires_at=NOW, at=NOW)
    assert book.current(now=NOW).version == 0


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
            lambda: list(book.current(now=NOW).serials) == [b"g"],
        ),
        "statements": (
            lambda act: book.take_back({b"g": NOW}, at=NOW, most=1, act=act),
            lambda: list(book.current(now=NOW).statements) == [b"g"],
        ),
        "sweep": (
            lambda act: book.sweep(b"p", 1, expires_at=NOW, at=NOW, most=1, act=act),
            lambda: list(book.current(now=NOW).sweeps) == [(b"p", 1)],
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
    change(Act(SealedEntry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert is_made()
    assert [(it.at, it.sealed) for it in Log(database).entries()] == [(NOW, b"entry")]
    assert not ReplayMemory(database).admit(b"key", now=NOW, until=NOW)


@pytest.mark.parametrize("kind", CHANGES)
def test_change_of_a_message_that_was_taken_before_is_refused_and_leaves_nothing(database, kind):
    change, is_made = changes(database)[kind]
    ReplayMemory(database).admit(b"key", now=NOW, until=NOW)
    with pytest.raises(AlreadyAdmitted):
        change(Act(SealedEntry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert not is_made()
    assert Log(database).verify() == 0


@pytest.mark.parametrize("kind", CHANGES)
def test_change_that_is_not_made_leaves_its_message_new_and_no_log_entry(database, kind):
    change, is_made = changes(database)[kind]
    refuses = {
        "sqlite": "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        "postgresql": "ALTER TABLE log ADD CONSTRAINT disk_is_full CHECK (false)",
    }[database.engine.dialect.name]
    database.write(lambda connection: connection.exec_driver_sql(refuses))
    with pytest.raises(StoreUnavailable):
        change(Act(SealedEntry(NOW, b"entry"), Admission(b"key", NOW, NOW)))
    assert not is_made()
    assert ReplayMemory(database).admit(b"key", now=NOW, until=NOW)
