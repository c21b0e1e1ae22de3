"""What the schema may be, so that releases stand side by side and a database of many machines can take over (docs/scaling.md)."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from federation.store.database import open_database
from federation.store.errors import StoreUnavailable
from federation.store.index import Index
from federation.store.log import Log
from federation.store.party import ReplayMemory, Settings
from federation.store.records import Records
from federation.store.registrations import Registrations
from federation.store.rows import SealedRow
from federation.store.schema import metadata
from federation.store.upgrade import COMPATIBLE_FROM, compatible_from, upgrade
from tests.contract.store_support import (
    IMPLEMENTATIONS,
    NOW,
    engines_of,
    outbox_entry,
    record,
    register,
    registration,
    sealed_entry,
    url_of,
)

_CONFIG = Config()
_CONFIG.set_main_option("script_location", "federation.store:migrations")
_CONFIG.set_main_option("path_separator", "os")
STEPS = [*ScriptDirectory.from_config(_CONFIG).walk_revisions()][::-1]
NEWER = "9999"

SMALL_OR_ORDERED = {
    "log": "its order is what it is for",
    "log_entries": "as the log",
    "log_nodes": "the log's tree: one row for 256 entries",
    "log_waiting": "what waits a moment for its number, by its time",
    "log_state": "one row",
    "log_heads": "some a day",
    "log_cosignatures": "some a day",
    "log_time_stamps": "some a day",
    "settings": "a handful of names",
    "revocation_version": "one row",
    "revocation_shards": "4,096 at most",
    "authority_certificates": "one row for each authority",
    "trust_bundles": "one row for each bundle",
    "registrations": "an identity is what everybody asks by",
    "superseded": "an identity, and few",
    "reservations": "an identity, and few",
    "index_rows": "a bucket: 16 bits of an HMAC",
    "condemned_blobs": "names are random, and in text",
    "record_blobs": "names are random, and in text",
    "witnessed": "a hospital each",
    "followed_logs": "a hospital each",
}
"""Tables whose key does not begin with a digest, an HMAC or a random id, and why they need not."""


def shape(connection):
    """What an older release's statements rest on: columns with type and whether they must be given, and what is unique."""
    inspector = sa.inspect(connection)
    found = {}
    for table in inspector.get_table_names():
        unique = {("primary", *inspector.get_pk_constraint(table)["constrained_columns"])}
        unique |= {("unique", *it["column_names"]) for it in inspector.get_indexes(table) if it["unique"]}
        unique |= {("unique", *it["column_names"]) for it in inspector.get_unique_constraints(table)}
        foreign = {("foreign", *it["constrained_columns"]) for it in inspector.get_foreign_keys(table)}
        columns = {
            it["name"]: (str(it["type"]), not it["nullable"] and it["default"] is None)
            for it in inspector.get_columns(table)
        }
        found[table] = columns, unique | foreign
    return found


def only_adds(before, after):
    """Whether all that was there is there still, and nothing more is asked of a row."""
    for table, (columns, rules) in before.items():
        now, rules_now = after.get(table, ({}, set()))
        added = set(now) - set(columns)
        if rules_now != rules or any(now.get(name) != column for name, column in columns.items()):
            return False
        if any(required for _, required in (now[name] for name in added)):
            return False
    return True


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_migration_that_does_more_than_add_says_that_older_code_cannot_work_beside_it(implementation, tmp_path):
    engine = engines_of(url_of(implementation, tmp_path)).serializable
    before, oldest = {}, ""
    for step in STEPS:
        with engine.begin() as connection:
            upgrade(connection, revision=step.revision)
            after = shape(connection)
        assert oldest <= compatible_from(step) <= step.revision
        # One release's code may have stopped using what the next one's first step takes away (docs/adr/0006).
        assert only_adds(before, after) or compatible_from(step) in {step.revision, step.down_revision}, step.revision
        before, oldest = after, compatible_from(step)
    engine.dispose()


def test_migrations_are_one_line_of_numbers():
    assert [step.revision for step in STEPS] == [f"{number:04}" for number in range(1, len(STEPS) + 1)]
    assert [Path(step.path).name[:6] for step in STEPS] == [f"r{step.revision}_" for step in STEPS]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_current_database_is_opened_without_reading_alembic(implementation, tmp_path):
    url = url_of(implementation, tmp_path)
    open_database(url).close()
    program = """
import sys
from federation.cli import main
from federation.store.database import open_database
open_database(sys.argv[1]).close()
sys.exit("alembic" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program, url], check=True, timeout=60)


def changed_by_a_newer_release(database, word):
    """Do as a newer release's migration would: add, and leave word."""
    for statement in (
        "CREATE TABLE of_tomorrow (key BIGINT PRIMARY KEY, value TEXT NOT NULL)",
        "ALTER TABLE records ADD COLUMN of_tomorrow BIGINT",
        "ALTER TABLE index_rows ADD COLUMN of_tomorrow TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE registrations ADD COLUMN of_tomorrow TEXT",
        f"UPDATE alembic_version SET version_num = '{NEWER}'",
    ):
        database.write(lambda connection, statement=statement: connection.exec_driver_sql(statement))
    if word is not None:
        Settings(database).put(COMPATIBLE_FROM, word.encode())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_database_that_a_newer_release_only_added_to_is_served_on_and_left_as_it_is(implementation, tmp_path):
    url = url_of(implementation, tmp_path)
    with open_database(url) as running:
        changed_by_a_newer_release(running, STEPS[-1].revision)
        with open_database(url) as restarted:
            for number, database in enumerate((running, restarted), start=1):
                key = bytes([number]) * 16
                register(Registrations(database), registration(f"P:{number}", serial=key))
                Records(database).add(record(key), blobs=(), outbox=outbox_entry(number), answer=(key, b"answer"))
                Index(database).upsert(SealedRow(1, key, key, key, key, b"sealed", generation=1))
                Log(database).append(sealed_entry(at=NOW, sealed=b"1"))
                assert ReplayMemory(database).admit(key, now=NOW, until=NOW)
            assert len(list(Records(running).all())) == 2
            assert len(list(Index(running).walk())) == 2
            assert len(list(Registrations(restarted).walk())) == 2
            assert Log(restarted).verify() == 2
            query = sa.text("SELECT version_num FROM alembic_version")
            assert restarted.read(lambda connection: connection.scalar(query)) == NEWER


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("word", [NEWER, None], ids=["that_says_so", "that_says_nothing"])
def test_database_newer_than_the_code_can_work_beside_is_refused_and_left_alone(implementation, word, tmp_path):
    url = url_of(implementation, tmp_path)
    with open_database(url) as database:
        changed_by_a_newer_release(database, word)
        if word is None:
            database.write(lambda connection: connection.exec_driver_sql("DELETE FROM settings"))
    with pytest.raises(StoreUnavailable, match=f"newer release.*schema {STEPS[-1].revision}.*upgrade this one"):
        open_database(url)


def test_schema_takes_no_number_from_the_database(database):
    inspector = sa.inspect(database.engine)
    assert inspector.get_sequence_names() == [] if database.engine.dialect.name == "postgresql" else True
    for table in metadata.tables:
        for column in inspector.get_columns(table):
            assert not column.get("identity")
            assert not column.get("computed")
            assert "nextval" not in str(column["default"])
            assert column.get("autoincrement") in {None, False, "auto"}


def test_schema_tables_that_grow_have_keys_that_spread():
    for table in metadata.tables.values():
        first = next(iter(table.primary_key.columns))
        spreads = isinstance(first.type, sa.LargeBinary)
        assert spreads != (table.name in SMALL_OR_ORDERED), table.name


def test_schema_foreign_keys_stay_within_one_first_key():
    """Citus takes a foreign key between distributed tables only along the key that both are distributed by."""
    for table in metadata.tables.values():
        for constraint in table.foreign_key_constraints:
            columns = [element.parent for element in constraint.elements]
            assert columns[0] is next(iter(table.primary_key.columns)), table.name
            assert constraint.elements[0].column is next(iter(constraint.referred_table.primary_key.columns))


def test_schema_has_no_unique_rule_but_its_primary_keys():
    """A second unique rule would have to be looked up on every machine."""
    for table in metadata.tables.values():
        assert not any(index.unique for index in table.indexes), table.name
        assert not any(isinstance(it, sa.UniqueConstraint) for it in table.constraints), table.name
