"""Opening, migrating, refusing: what holds of the database itself."""

import sqlite3
import stat

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from federation.store import sqlite
from federation.store.database import open_database
from federation.store.directory import Authorities
from federation.store.errors import StoreUnavailable
from federation.store.index import Index
from federation.store.log import Log
from federation.store.party import ReplayMemory, Settings
from federation.store.records import Records
from federation.store.registrations import Registrations, values_of
from federation.store.revocations import RevocationBook
from federation.store.rows import StoredAuthority
from federation.store.schema import metadata, settings
from federation.store.upgrade import upgrade
from tests.contract.store_support import IMPLEMENTATIONS, NOW, engines_of, record, registration, sealed_entry, url_of


def configured(database, pragma):
    """The database with a pragma on each new connection."""
    sa.event.listen(database.engine, "connect", lambda connection, _entry: connection.execute(f"PRAGMA {pragma}"))
    database.engine.dispose()
    return database


def test_database_migrated_has_the_tables_of_the_code(database):
    differences = database.read(lambda connection: compare_metadata(MigrationContext.configure(connection), metadata))
    assert differences == []


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_database_of_the_first_migration_upgrades_and_keeps_its_rows(implementation, tmp_path):
    url = url_of(implementation, tmp_path)
    engine = engines_of(url).serializable
    with engine.begin() as connection:
        upgrade(connection, revision="0001")
        assert "rooms" not in sa.inspect(connection).get_table_names()
        connection.execute(sa.insert(settings).values(name="ks", value=b"\x01"))
    engine.dispose()
    with open_database(url) as database:
        assert Settings(database).get("ks") == b"\x01"
        assert set(sa.inspect(database.engine).get_table_names()) == {*metadata.tables, "alembic_version"}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_database_before_rotation_upgrades_with_its_first_generations_and_its_authorities(implementation, tmp_path):
    url = url_of(implementation, tmp_path)
    one, kept = registration(not_before=NOW), record()
    engine = engines_of(url).serializable
    with engine.begin() as connection:
        upgrade(connection, revision="0003")
        for table, row in before_rotation(one, kept):
            connection.execute(sa.table(table, *map(sa.column, row)).insert().values(row))
    engine.dispose()
    with open_database(url) as database:
        assert Registrations(database).live("P:ann") == one
        assert list(Index(database).walk()) == []  # their hospitals publish them again, with what is kept from whom
        assert RevocationBook(database).since(-1).changes == []
        assert list(Records(database).all()) == [kept]
        assert Authorities(database).all() == [StoredAuthority("M:north", b"certificate", (), b"crl", 7)]
        Authorities(database).put_crl("M:north", b"certificate", b"newer", 8)


_ADDED_TO_RECORDS = {"generation", "keep_until", "sensitivity"}


def before_rotation(one, kept):
    """Rows as revision 0003 has them."""
    issued = {"serial": one.serial, "role": one.role, "identity": one.identity, "credential": one.credential}
    record_row = {name: value for name, value in vars(kept).items() if name not in _ADDED_TO_RECORDS}
    return [
        ("issuances", issued | {"at": one.not_before}),
        ("issued_points", {"serial": one.serial, "registration_point": one.registration_point, "at": NOW}),
        ("registrations", {name: value for name, value in values_of(one).items() if name != "not_before"}),
        (
            "index_rows",
            {"bucket": 1, "row_key": b"key", "row_id": b"id", "hospital_key": b"owner", "sealed": b"sealed"},
        ),
        ("revocations", {"digest": b"gid", "kind": "grant", "expires_at": NOW, "at": NOW}),
        ("records", record_row),
        ("authorities", {"authority_id": "M:north", "certificate": b"certificate", "crl": b"crl", "crl_number": "7"}),
    ]


def test_database_reopened_has_what_was_kept(tmp_path):
    for expected in (None, b"1"):
        with open_database(url_of("sqlite", tmp_path)) as database:
            assert Settings(database).get("name") == expected
            Settings(database).put("name", b"1")


def test_database_files_are_the_owners_alone(tmp_path):
    (tmp_path / "party.sqlite").touch(mode=0o644)
    with open_database(url_of("sqlite", tmp_path)) as database:
        Settings(database).put("name", b"1")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {f"party.sqlite{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")}


def test_database_connections_are_durable_and_check_foreign_keys(tmp_path):
    with open_database(url_of("sqlite", tmp_path)) as database, database.engine.connect() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys")
        assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names] == ["wal", 2, 1]


UNUSABLE = {
    "not_a_url": "party.sqlite",
    "in_memory": "sqlite://",
    "unknown_driver": "oracle+nothing://user:hunter2@host/db",
    "options": "sqlite:////tmp/party.sqlite?mode=ro&uri=true",
    "another_driver": "sqlite+aiosqlite:////tmp/party.sqlite",
    "port_not_a_number": "sqlite://user:hunter2@host:port/db",
    "directory_missing": "sqlite:////nowhere/at/all/party.sqlite",
}


@pytest.mark.parametrize("url", UNUSABLE.values(), ids=UNUSABLE)
def test_database_url_that_cannot_be_used_is_refused_in_words_without_its_password(url):
    with pytest.raises(StoreUnavailable) as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)


def test_database_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "party.sqlite").write_bytes(b"not a database, " * 100)
    with pytest.raises(StoreUnavailable):
        open_database(url_of("sqlite", tmp_path))


def test_database_locked_fails_closed(tmp_path):
    with open_database(url_of("sqlite", tmp_path)) as database:
        configured(database, "busy_timeout = 1")
        other = sqlite3.connect(tmp_path / "party.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            ReplayMemory(database).admit(b"k", now=NOW, until=NOW)
        other.close()
        assert ReplayMemory(database).admit(b"k", now=NOW, until=NOW)


def test_database_full_fails_closed_and_shows_nothing_of_what_it_was_given(tmp_path):
    with open_database(url_of("sqlite", tmp_path)) as database:
        configured(database, "max_page_count = 1")
        with pytest.raises(StoreUnavailable) as caught:
            Settings(database).put("name", b"sealed words" * 100_000)
        assert "sealed words" not in str(caught.value)
        assert Settings(database).get("name") is None


STRANGERS = {
    "update": "UPDATE log SET leaf = x'00'",
    "delete": "DELETE FROM log",
    "replace": "INSERT OR REPLACE INTO log (sequence, at, entry_id, leaf) VALUES (1, 0, x'00', x'00')",
    "gap": "INSERT INTO log (sequence, at, entry_id, leaf) VALUES (9, 0, x'00', x'00')",
}


@pytest.mark.parametrize("statement", STRANGERS.values(), ids=STRANGERS)
def test_log_change_by_a_stranger_to_this_code_is_refused_by_the_database(tmp_path, statement):
    with open_database(url_of("sqlite", tmp_path)) as database:
        Log(database).append(sealed_entry(at=NOW, sealed=b"1"))
        kept = list(Log(database).entries())
        stranger = sqlite3.connect(tmp_path / "party.sqlite", isolation_level=None)
        with pytest.raises(sqlite3.IntegrityError):
            stranger.execute(statement)
        stranger.close()
        assert list(Log(database).entries()) == kept


def test_database_step_that_raises_leaves_nothing(database):
    def step(connection):
        connection.execute(sa.insert(settings).values(name="half", value=b"1"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write(step)
    assert Settings(database).get("half") is None


def test_database_whose_writers_queue_too_long_fails_closed(tmp_path, monkeypatch):
    with open_database(url_of("sqlite", tmp_path)) as database:
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
        memory = ReplayMemory(database)
        with pytest.raises(StoreUnavailable):
            database.write(lambda _: memory.admit(b"k", now=NOW, until=NOW))
        assert memory.admit(b"k", now=NOW, until=NOW)
