"""The contract of the blind index, the revocation book and the authorities."""

import pytest

from federation.store.authorities import SqlAuthorities
from federation.store.errors import AlreadyStored, NotStored
from federation.store.index import KEYS_A_QUERY, SqlIndex
from federation.store.interfaces import Revocations, SealedRow, StoredAuthority
from federation.store.revocations import SqlRevocationBook
from tests.contract.store_support import IMPLEMENTATIONS, NOW, opened

NORTH = "D:north.*", "D:chen"


@pytest.fixture(params=IMPLEMENTATIONS)
def database(request, tmp_path):
    yield from opened(request.param, tmp_path)


def test_index_gives_all_rows_of_the_keys_in_a_stable_order(database):
    index = SqlIndex(database)
    rows = [SealedRow(key, row_id, b"sealed") for key in (b"1", b"2", b"3") for row_id in (b"a", b"b")]
    for row in reversed(rows):
        index.upsert(row)
    assert index.rows([b"3", b"1", b"1", b"absent"]) == [*rows[:2], *rows[4:]]
    assert index.rows([]) == []


def test_index_takes_more_keys_than_one_query_does(database):
    index = SqlIndex(database)
    index.upsert(SealedRow(b"zz", b"a", b"sealed"))
    keys = [b"%d" % number for number in range(KEYS_A_QUERY * 2)]
    assert index.rows([*keys, b"zz"]) == [SealedRow(b"zz", b"a", b"sealed")]


def test_index_row_upserted_again_gives_way(database):
    index = SqlIndex(database)
    index.upsert(SealedRow(b"1", b"a", b"old"))
    index.upsert(SealedRow(b"1", b"a", b"new"))
    assert index.rows([b"1"]) == [SealedRow(b"1", b"a", b"new")]


def test_index_row_withdrawn_is_gone_and_others_stay(database):
    index = SqlIndex(database)
    index.upsert(SealedRow(b"1", b"a", b"sealed"))
    index.upsert(SealedRow(b"1", b"b", b"sealed"))
    index.withdraw((b"1", b"a"))
    index.withdraw((b"1", b"a"))
    assert index.rows([b"1"]) == [SealedRow(b"1", b"b", b"sealed")]


def test_revocation_raises_the_version_and_is_listed_by_kind(database):
    book = SqlRevocationBook(database)
    assert book.current(now=NOW) == Revocations(0, [], [], [])
    assert book.revoke("serial", b"s", expires_at=NOW, at=NOW) == 1
    assert book.revoke("grant", b"h", expires_at=NOW, at=NOW) == 2
    assert book.revoke("grant", b"g", expires_at=NOW, at=NOW) == 3
    assert book.revoke("key", b"k", expires_at=NOW, at=NOW) == 4
    assert book.current(now=NOW) == Revocations(4, [b"s"], [b"g", b"h"], [b"k"])


def test_revocation_already_there_is_no_change(database):
    book = SqlRevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    assert book.revoke("serial", b"s", expires_at=NOW, at=NOW) == 1
    assert book.revoke("grant", b"s", expires_at=NOW, at=NOW) == 2


def test_revocation_leaves_when_its_time_is_over_and_that_is_a_change(database):
    book = SqlRevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    book.revoke("serial", b"t", expires_at=NOW + 1, at=NOW)
    assert book.current(now=NOW + 1) == Revocations(3, [b"t"], [], [])
    assert book.current(now=NOW + 1).version == 3


def test_revocation_stays_for_the_longer_of_two_times(database):
    book = SqlRevocationBook(database)
    book.revoke("serial", b"s", expires_at=NOW, at=NOW)
    book.revoke("serial", b"s", expires_at=NOW + 9, at=NOW)
    book.revoke("serial", b"s", expires_at=NOW + 1, at=NOW)
    assert book.current(now=NOW + 9) == Revocations(1, [b"s"], [], [])


def test_revocation_of_an_unknown_kind_is_refused(database):
    book = SqlRevocationBook(database)
    with pytest.raises(ValueError, match="kind"):
        book.revoke("certificate", b"s", expires_at=NOW, at=NOW)
    assert book.current(now=NOW).version == 0


def test_authority_keeps_its_newest_crl(database):
    authorities = SqlAuthorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    assert authorities.all() == [StoredAuthority("M:north", b"certificate", NORTH, None, 0)]
    authorities.put_crl("M:north", b"certificate", b"crl 0", 0)
    authorities.put_crl("M:north", b"certificate", b"crl 9", 9)
    authorities.put_crl("M:north", b"certificate", b"crl 10", 10)
    authorities.put("M:north", b"certificate", NORTH)
    assert authorities.all() == [StoredAuthority("M:north", b"certificate", NORTH, b"crl 10", 10)]


def test_authority_put_again_has_another_scope_and_keeps_its_crl(database):
    authorities = SqlAuthorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    authorities.put_crl("M:north", b"certificate", b"crl", 1)
    for scope in (("D:*",), ()):
        authorities.put("M:north", b"certificate", scope)
        assert authorities.all() == [StoredAuthority("M:north", b"certificate", scope, b"crl", 1)]


def test_authority_crl_number_of_20_octets_is_kept(database):
    authorities = SqlAuthorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    authorities.put_crl("M:north", b"certificate", b"crl", 2**159)
    assert authorities.all()[0].crl_number == 2**159


@pytest.mark.parametrize("number", [4, 5])
def test_authority_crl_not_above_the_kept_one_is_refused(database, number):
    authorities = SqlAuthorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    authorities.put_crl("M:north", b"certificate", b"kept", 5)
    with pytest.raises(AlreadyStored):
        authorities.put_crl("M:north", b"certificate", b"older", number)
    assert authorities.all()[0].crl == b"kept"


def test_authority_stands_twice_and_each_certificate_has_its_own_crl(database):
    authorities = SqlAuthorities(database)
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
    authorities = SqlAuthorities(database)
    authorities.put("M:north", b"certificate", NORTH)
    with pytest.raises(NotStored):
        authorities.put_crl(authority_id, certificate, b"crl", 1)
    assert authorities.all()[0].crl is None
