"""A database as it is: what is looked at changes nothing, and every rule that a migration makes is missed when it is gone."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from federation.store import inspection
from federation.store.database import Database, open_database
from federation.store.errors import StoreUnavailable
from federation.store.inspection import Schema, missing_rules, open_as_it_is, schema_of
from federation.store.registrations import Registrations
from federation.store.upgrade import COMPATIBLE_FROM
from tests.contract.store_support import NOW, register, registration

TRIGGERS = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": (
        "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal"
    ),
}


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Give a migrated database, opened as it is."""
    open_database(url).close()
    with open_as_it_is(url, None) as opened:
        yield opened


def execute(database: Database, *statements: str) -> None:
    database.write(lambda connection: [connection.exec_driver_sql(statement) for statement in statements])


def test_database_that_is_migrated_is_current_and_lacks_no_rule(database: Database) -> None:
    assert schema_of(database) is Schema.CURRENT
    assert missing_rules(database) == []


def test_registrations_are_counted_by_role_some_at_a_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "COUNTED_AT_ONCE", 2)
    store, survey = Registrations(database), inspection.Survey(database)
    assert survey.registrations(now=NOW) == {}
    for number, identity in enumerate(("P:ann", "D:ben", "P:Eve", "P:lin", "H:north", "P:over")):
        role = {"P": "patient", "D": "doctor", "H": "hospital"}[identity[0]]
        ends = NOW - 1 if identity == "P:over" else NOW
        one = registration(identity, serial=bytes([number]) * 16, not_before=NOW - 2, not_after=ends)
        register(store, replace(one, role=role), now=NOW - 2)
    assert survey.registrations(now=NOW) == {"patient": 3, "doctor": 1, "hospital": 1}


def test_every_rule_of_the_migrations_is_missed_when_it_is_gone(database: Database) -> None:
    dialect = database.engine.dialect.name
    query = sa.text(TRIGGERS[dialect])
    made = database.read(lambda connection: dict(map(tuple, connection.execute(query))))
    on_table = "" if dialect == "sqlite" else " ON {table}"
    for name, table in made.items():
        execute(database, f"DROP TRIGGER {name}" + on_table.format(table=table))
    assert set(missing_rules(database)) == made.keys()


def test_empty_database_stays_empty(url: str, tmp_path: Path) -> None:
    if url.startswith("sqlite"):
        with pytest.raises(StoreUnavailable, match="no database file"):
            open_as_it_is(url, None)
        (tmp_path / "party.sqlite").touch()
    with open_as_it_is(url, None) as opened:
        assert schema_of(opened) is Schema.EMPTY
        assert schema_of(opened) is Schema.EMPTY


def test_older_schema_is_behind(database: Database) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '0001'")
    assert schema_of(database) is Schema.BEHIND


def test_newer_schema_is_ahead_where_this_code_may_use_it(database: Database) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '9999'")
    assert schema_of(database) is Schema.AHEAD
    newer = {"name": COMPATIBLE_FROM, "value": b"9999"}
    statement = sa.text("UPDATE settings SET value = :value WHERE name = :name")
    database.write(lambda connection: connection.execute(statement, newer))
    with pytest.raises(StoreUnavailable, match=re.escape("can't work beside it")):
        schema_of(database)
