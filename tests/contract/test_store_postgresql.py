"""The shared database where it differs from the embedded one: its address, its conflicts, its connections."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa

from federation.store import postgresql
from federation.store.database import Database, open_database
from federation.store.errors import StoreUnavailable
from federation.store.log import Log
from federation.store.party import ReplayMemory, Settings
from federation.store.portable import FORGOTTEN_ROWS, forget
from federation.store.records import Records
from federation.store.registrations import ExpiredRows, Registrations
from federation.store.rooms import Rooms
from federation.store.schema import answers, replay, settings, tickets
from federation.store.upgrade import upgrade
from tests.contract import postgresql_server
from tests.contract.store_support import (
    IMPLEMENTATIONS,
    NOW,
    engines_of,
    opened,
    outbox_entry,
    record,
    register,
    registration,
    room,
    sealed_entry,
)

DIES = """
CREATE SEQUENCE deaths;
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('deaths') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER dies AFTER INSERT OR UPDATE ON settings
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die();
"""
"""Kills the connection of the first transaction that writes a setting, while it commits."""


WITHOUT_STATEMENT_TRIGGERS = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF current_query() LIKE '%FOR EACH STATEMENT%' THEN
    RAISE EXCEPTION 'statement-level triggers are not supported' USING ERRCODE = '0A000';
  END IF;
END $$;
CREATE EVENT TRIGGER refuses ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION refuse();
"""
"""What CockroachDB says, said by PostgreSQL."""


@pytest.fixture(params=[name for name in IMPLEMENTATIONS if name == "postgresql"])
def database(request, tmp_path):
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=[name for name in IMPLEMENTATIONS if name == "postgresql"])
def server(request):
    return postgresql_server.server()


def put(connection, value):
    connection.execute(sa.insert(settings).values(name="n", value=value))


def kill_connections(server, database):
    name = database.engine.url.database
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


UNSAFE = {
    "password": ("postgresql://user:hunter2@localhost/db", "password_file"),
    "options": ("postgresql://user@localhost/db?options=-csynchronous_commit%3Doff", "these options alone"),
    "passfile": ("postgresql://user@localhost/db?passfile=/tmp/x", "these options alone"),
    "another_machine": ("postgresql://user@db.example/db", "sslmode=verify-full"),
    "another_machine_among_several": ("postgresql://user@/db?host=localhost:5432&host=db.example:5432", "sslmode"),
    "unauthenticated_tls": ("postgresql://user@db.example/db?sslmode=require", "sslmode=verify-full"),
    "another_driver": ("postgresql+asyncpg://user@localhost/db", "postgresql://user@host/name"),
}


@pytest.mark.parametrize(("url", "words"), UNSAFE.values(), ids=UNSAFE)
def test_database_address_that_is_not_safe_is_refused_in_words(url, words):
    with pytest.raises(StoreUnavailable, match=words) as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)


def test_database_address_with_authenticated_tls_is_used():
    with pytest.raises(StoreUnavailable, match="refuses"):
        open_database("postgresql://user@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nowhere")


def test_database_password_is_read_from_its_file(server, tmp_path):
    file = tmp_path / "password"
    file.write_text(postgresql_server.PASSWORD + "\n")
    name = server.new_database()
    server.execute(f"ALTER DATABASE {name} OWNER TO locked")
    with open_database(server.url(name, "locked"), password_file=file) as database:
        Settings(database).put("n", b"1")
        assert postgresql_server.PASSWORD not in repr(database.engine) + str(database.engine.url)


@pytest.mark.parametrize("content", [None, b"wrong", b"\xff"], ids=["absent", "wrong", "not_text"])
def test_database_password_that_does_not_serve_is_refused_and_not_told(server, tmp_path, content):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreUnavailable) as caught:
        open_database(server.url(role="locked"), password_file=file)
    assert "wrong" not in str(caught.value)


def test_migration_of_a_table_in_use_lets_others_pass_and_comes_again(server, monkeypatch):
    monkeypatch.setattr(postgresql, "MIGRATION_LOCK_SECONDS", 0.2)
    name = server.new_database()
    engine = engines_of(server.url(name)).serializable
    with engine.begin() as connection:
        upgrade(connection, revision="0004")
    engine.dispose()
    with psycopg.connect(server.url(name)) as reader, ThreadPoolExecutor(1) as threads:
        reader.execute("SELECT count(*) FROM records")
        migrating = threads.submit(open_database, server.url(name))
        longest = 0.0
        for _ in range(20):
            began = time.monotonic()
            with psycopg.connect(server.url(name)) as another:
                another.execute("SELECT count(*) FROM records")
            longest = max(longest, time.monotonic() - began)
        assert not migrating.done()
        reader.rollback()
        with migrating.result(20) as database:
            assert list(Records(database).all()) == []
    assert longest < 5


def test_database_without_triggers_of_statements_is_made_without_the_one_on_truncate(server):
    name = server.new_database()
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        connection.execute(WITHOUT_STATEMENT_TRIGGERS)
    with open_database(server.url(name)) as database:
        Log(database).append(sealed_entry(at=NOW, sealed=b"1"))
        Log(database).sequence()
        with pytest.raises(StoreUnavailable, match="log is append-only"):
            database.write(lambda connection: connection.exec_driver_sql("DELETE FROM log"))
        database.write(lambda connection: connection.exec_driver_sql("TRUNCATE log"))


def test_server_whose_role_owns_nothing_serves_and_cannot_change_the_logs(server):
    name = server.new_database()
    with open_database(server.url(name)) as owners:
        Log(owners).append(sealed_entry(at=NOW, sealed=b"1"))
        for statement in (
            "ALTER TABLE log DISABLE TRIGGER USER",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO serving",
            "REVOKE UPDATE, DELETE ON log, log_nodes, issuances, issued_points FROM serving",
        ):
            owners.write(lambda connection, statement=statement: connection.exec_driver_sql(statement))
    with open_database(server.url(name, "serving")) as database:
        register(Registrations(database), registration())
        Records(database).add(record(), blobs=(), outbox=outbox_entry(), answer=(b"digest", b"answer"))
        Rooms(database).open(room(), now=NOW, most_per_doctor=1)
        Rooms(database).put_frame(room().room_id, 1, 0, b"frame", now=NOW, most_bytes=1000)
        assert ReplayMemory(database).admit(b"1", now=NOW, until=NOW)
        Log(database).append(sealed_entry(at=NOW, sealed=b"2"))
        for forbidden in (
            "DELETE FROM log",
            "TRUNCATE log",
            "UPDATE issuances SET at = 0",
            "DROP TRIGGER log_no_change ON log",
        ):
            with pytest.raises(StoreUnavailable, match=r"permission denied|must be owner"):
                database.write(lambda connection, forbidden=forbidden: connection.exec_driver_sql(forbidden))
        assert Log(database).verify() == 2


def test_database_that_is_not_there_is_unavailable_soon(server):
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not exist"):
        open_database(server.url("nowhere"))
    assert time.monotonic() - begun < 30  # it is not asked again and again


def test_writers_that_look_and_then_write_lose_nothing_to_each_other(database):
    Settings(database).put("n", b"0")

    def count(connection):
        value = int(connection.scalar(sa.select(settings.c.value).where(settings.c.name == "n")))
        counted = sa.update(settings).where(settings.c.name == "n").values(value=str(value + 1).encode())
        connection.execute(counted)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: database.write(count), range(60)))
    assert Settings(database).get("n") == b"60"


def test_writers_that_wait_for_each_other_go_on(database):
    for name in ("a", "b"):
        Settings(database).put(name, b"")
    both_hold_one = threading.Barrier(2)
    tried = []

    def in_order(first, second):
        def step(connection):
            for place, name in enumerate((first, second)):
                connection.execute(sa.update(settings).where(settings.c.name == name).values(value=first.encode()))
                if place == 0 and len(tried) < 2:
                    tried.append(first)
                    both_hold_one.wait(10)

        database.write_by_key(step)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(in_order, "ab", "ba"))
    assert Settings(database).get("a") == Settings(database).get("b")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_hot_paths_come_to_the_same_where_the_database_gives_a_stricter_isolation(server, isolation):
    """As YugabyteDB without READ COMMITTED does, and CockroachDB (docs/scaling.md)."""
    name = server.new_database()
    open_database(server.url(name)).close()
    engines = postgresql.make_engines(sa.make_url(server.url(name)), None, 8)
    stricter = engines.by_key.execution_options(isolation_level=isolation)
    with Database(replace(engines, by_key=stricter)) as database, ThreadPoolExecutor(4) as threads:
        log, replay, rooms = Log(database), ReplayMemory(database), Rooms(database)
        list(threads.map(lambda _: log.append(sealed_entry(at=NOW, sealed=b"1")), range(40)))
        assert log.verify() == 40
        assert sum(threads.map(lambda _: replay.admit(b"k", now=NOW, until=NOW), range(20))) == 1
        rooms.open(room(), now=NOW, most_per_doctor=1)
        for number in range(5):
            put = partial(rooms.put_frame, room().room_id, 1, number, b"frame", now=NOW, most_bytes=1000)
            list(threads.map(lambda _, put=put: put(), range(4)))
        assert len(rooms.frames(room().room_id, 1, from_number=0, limit=9)) == 5


def test_connections_lost_between_calls_are_made_anew(database, server):
    memory = ReplayMemory(database)
    assert memory.admit(b"1", now=NOW, until=NOW)
    kill_connections(server, database)
    assert memory.admit(b"2", now=NOW, until=NOW)
    kill_connections(server, database)
    assert Settings(database).get("n") is None


def test_connection_lost_before_the_commit_runs_the_step_again(database, server):
    runs = []

    def step(connection):
        runs.append(1)
        if len(runs) == 1:
            kill_connections(server, database)
        put(connection, b"%d" % len(runs))

    database.write(step)
    assert Settings(database).get("n") == b"2"


def test_connection_lost_in_the_commit_is_told_and_the_step_not_run_again(database):
    database.write(lambda connection: connection.exec_driver_sql(DIES))
    runs = []

    def step(connection):
        runs.append(1)
        put(connection, b"1")

    with pytest.raises(StoreUnavailable, match="may be there or not"):
        database.write(step)
    assert len(runs) == 1


def test_commit_that_the_database_answers_with_rollback_is_told(database):
    """So it answers where a step has passed over what a statement raised: what came before is undone with it."""

    def step(connection):
        put(connection, b"1")
        with suppress(sa.exc.DBAPIError):
            connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(StoreUnavailable, match="undone what it was to commit"):
        database.write(step)
    assert Settings(database).get("n") is None


def test_connection_lost_in_the_commit_of_a_repeatable_step_runs_it_again(database):
    database.write(lambda connection: connection.exec_driver_sql(DIES))
    Settings(database).put("n", b"1")
    assert Settings(database).get("n") == b"1"


@pytest.fixture(params=[name for name in IMPLEMENTATIONS if name == "postgresql" and not postgresql_server.ELSEWHERE])
def standby_is_gone():
    """Give a server of the test's own whose only synchronous standby is not there, once it is told to."""
    made = postgresql_server.Server()

    def waits_for(standby: str) -> None:
        made.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'")
        made.execute("SELECT pg_reload_conf()")
        with psycopg.connect(made.url(), autocommit=True) as connection:
            while connection.execute("SHOW synchronous_standby_names").fetchone() != (standby,):
                connection.execute("SELECT pg_sleep(0.01)")

    yield made, waits_for
    made.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
    made.execute("SELECT pg_reload_conf()")
    made.stop()


def test_commit_that_waits_for_a_standby_that_is_gone_has_an_end_and_is_not_undone(standby_is_gone, monkeypatch):
    server, waits_for = standby_is_gone
    monkeypatch.setattr(postgresql, "COMMIT_SECONDS", 0.5)
    monkeypatch.setattr(postgresql, "POOL_SECONDS", 1)
    with open_database(server.url(server.new_database()), connections=2) as database:
        kept = Settings(database)
        waits_for("gone")
        for name in ("first", "second"):
            with pytest.raises(StoreUnavailable, match="may be there or not"):
                kept.put(name, b"1")
        # No more hang than there are connections; what comes next is told that there is none.
        with pytest.raises(StoreUnavailable, match="not available"):
            kept.get("first")
        with psycopg.connect(server.url(), autocommit=True) as beside:
            hanging = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            assert beside.execute(hanging).fetchone() == (2,)
        waits_for("")
        deadline = time.monotonic() + 30
        while True:
            try:
                assert [kept.get(name) for name in ("first", "second")] == [b"1", b"1"]
            except StoreUnavailable:
                assert time.monotonic() < deadline
            else:
                break
        kept.put("third", b"1")


LOCKS_NO_ROWS = """
ALTER TABLE {table} RENAME TO rows_of_{table};
CREATE VIEW {table} AS SELECT DISTINCT * FROM rows_of_{table};
CREATE FUNCTION take_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  DELETE FROM rows_of_{table} WHERE {key} = OLD.{key}; IF FOUND THEN RETURN OLD; END IF; RETURN NULL;
END $$;
CREATE TRIGGER takes_out INSTEAD OF DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION take_out();
"""
"""A table over which PostgreSQL itself refuses FOR UPDATE, with 0A000, as Citus does over shards."""


@pytest.mark.parametrize("kind", ["tickets", "kept answers", "replay keys"])
def test_rows_that_are_over_go_where_the_database_locks_none_of_them(database, kind):
    table, key = {
        "tickets": (tickets, "digest"),
        "kept answers": (answers, "request_digest"),
        "replay keys": (replay, "key"),
    }[kind]
    time_of = {"tickets": "expires_at", "kept answers": "until", "replay keys": "until"}[kind]
    text = {"role", "identity", "issued_by"}
    rows = [
        {column.name: "x" if column.name in text else b"x" for column in table.c}
        | {key: b"%04d" % number, time_of: NOW + number % 2}
        for number in range(2 * FORGOTTEN_ROWS + 6)
    ]
    database.write(lambda connection: connection.execute(sa.insert(table), rows))
    database.write(lambda connection: connection.exec_driver_sql(LOCKS_NO_ROWS.format(table=table.name, key=key)))
    locking = sa.select(table.c[key]).with_for_update(skip_locked=True)
    with pytest.raises(StoreUnavailable, match="FOR UPDATE is not allowed"):
        database.write(lambda connection: connection.execute(locking).all())
    removed = ExpiredRows(database).remove(now=NOW + 1, ended_before=NOW)
    assert removed[kind] == FORGOTTEN_ROWS + 3
    assert ExpiredRows(database).count(now=NOW + 2, ended_before=NOW)[kind] == FORGOTTEN_ROWS + 3


def test_change_beside_rows_that_are_over_is_made_where_the_database_locks_none_of_them(database):
    """What is refused undoes itself alone: what comes before it and after it in the transaction stays."""
    database.write(lambda connection: connection.execute(sa.insert(replay), {"key": b"k", "until": NOW}))
    refusing = LOCKS_NO_ROWS.format(table="replay", key="key")
    database.write(lambda connection: connection.exec_driver_sql(refusing))

    def step(connection):
        put(connection, b"before")
        gone = forget(connection, replay, replay.c.until < NOW + 1)
        connection.execute(sa.insert(settings).values(name="after", value=b"after"))
        return gone

    assert database.write_by_key(step) == 1
    assert [Settings(database).get(name) for name in ("n", "after")] == [b"before", b"after"]


def test_connections_of_a_process_are_bounded_and_waiting_for_one_too(server, monkeypatch):
    monkeypatch.setattr(postgresql, "POOL_SECONDS", 0.1)
    with open_database(server.url(server.new_database()), connections=1) as database, ThreadPoolExecutor(1) as threads:
        held, leave = threading.Event(), threading.Event()
        holder = threads.submit(database.read, lambda _: held.set() or leave.wait(20))
        held.wait(10)
        with pytest.raises(StoreUnavailable):
            Settings(database).get("n")
        leave.set()
        holder.result()
        assert Settings(database).get("n") is None


def test_statement_that_takes_too_long_is_ended(server, monkeypatch):
    url = server.url(server.new_database())
    open_database(url).close()  # the migration may take its time
    monkeypatch.setattr(postgresql, "STATEMENT_SECONDS", 0.2)
    with (
        open_database(url) as database,
        pytest.raises(StoreUnavailable, match="statement timeout"),
    ):
        database.read(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(20)"))


def test_reading_step_that_writes_is_refused(database):
    with pytest.raises(StoreUnavailable, match="read-only"):
        database.read(lambda connection: put(connection, b"1"))
    assert Settings(database).get("n") is None


def test_refusal_of_the_database_shows_nothing_of_what_it_was_given(database):
    Settings(database).put("n", b"sealed words")
    with pytest.raises(StoreUnavailable) as caught:
        database.write(lambda connection: put(connection, b"sealed words"))
    assert "sealed" not in str(caught.value)
