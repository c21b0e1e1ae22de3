"""Budgets: of how many patients somebody may be given something in a day or a month, counted for all processes of a server.

A row counts, and a row beside it stands for each patient, so that one costs once. They are written in the transaction of the
log's entry: nothing is counted that was not given, and nothing given that was not counted. Who and whom are HMACs alone; those
under older index keys count as long as these are there.
"""

from collections.abc import Sequence
from functools import cache

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import BudgetSpent
from federation.store.portable import forget, insert_if_absent
from federation.store.prepared import Prepared, each, one_of
from federation.store.rows import Claim
from federation.store.schema import budget_patients, budgets


def spend(connection: sa.Connection, claims: Sequence[Claim]) -> None:
    """Count a patient on these budgets within a transaction. Raises BudgetSpent for the first that has no room."""
    for claim in claims:
        if not _is_counted(connection, claim):
            _count(connection, claim)


class Budgets:
    """What is used up of the budgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spent(self, claims: Sequence[Claim]) -> frozenset[str]:
        """Return of what kind the claims are for which there is no room."""
        if not claims:
            return frozenset()

        def step(connection: sa.Connection) -> frozenset[str]:
            full = (it for it in claims if _total(connection, it, it.who_keys) >= it.most)
            return frozenset(it.kind for it in full if not _is_counted(connection, it))

        return self._database.read(step)

    def forget(self, *, now: int) -> int:
        """Remove what was counted of days and months that are over, some at a time; say how many rows."""

        def step(connection: sa.Connection) -> int:
            return sum(forget(connection, table, table.c.ends_at <= now) for table in (budgets, budget_patients))

        return self._database.write_by_key(step)


def _count(connection: sa.Connection, claim: Claim) -> None:
    key: dict[str, object] = {"budget": claim.budget, "who_key": claim.who_keys[0], "begins_at": claim.begins_at}
    # Another transaction's row of this patient is waited for: either it counted, or it is undone.
    if not insert_if_absent(
        connection, budget_patients, **key, patient_key=claim.patient_keys[0], ends_at=claim.ends_at
    ):
        return
    insert_if_absent(connection, budgets, **key, spent=0, ends_at=claim.ends_at)
    left = claim.most - _total(connection, claim, claim.who_keys[1:])
    here = {f"this_{name}": value for name, value in key.items()}
    if _ONE_MORE.changed(connection, **here, left=left) == 0:
        raise BudgetSpent(f"the budget {claim.budget} is used up", claim.kind)


def _is_counted(connection: sa.Connection, claim: Claim) -> bool:
    counted = _counted_patient(len(claim.who_keys), len(claim.patient_keys))
    return counted.first(connection, **_of(claim, claim.who_keys), **each("patient", claim.patient_keys)) is not None


def _total(connection: sa.Connection, claim: Claim, who_keys: Sequence[bytes]) -> int:
    return int(_spent(len(who_keys)).value(connection, **_of(claim, who_keys)) or 0) if who_keys else 0


def _of(claim: Claim, who_keys: Sequence[bytes]) -> dict[str, object]:
    return {"this_budget": claim.budget, "this_begins_at": claim.begins_at, **each("who", who_keys)}


_ONE_MORE = Prepared(
    sa.update(budgets)
    .where(*(budgets.c[name] == sa.bindparam(f"this_{name}") for name in ("budget", "who_key", "begins_at")))
    .where(budgets.c.spent < sa.bindparam("left"))
    .values(spent=budgets.c.spent + 1)
)


@cache
def _counted_patient(who_keys: int, patient_keys: int) -> Prepared:
    patients = budget_patients.c
    here = (*_in(budget_patients, who_keys), one_of(patients.patient_key, "patient", patient_keys))
    return Prepared(sa.select(patients.budget).where(*here).limit(1))


@cache
def _spent(who_keys: int) -> Prepared:
    return Prepared(sa.select(sa.func.sum(budgets.c.spent)).where(*_in(budgets, who_keys)))


def _in(table: sa.Table, who_keys: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.budget == sa.bindparam("this_budget"),
        one_of(table.c.who_key, "who", who_keys),
        table.c.begins_at == sa.bindparam("this_begins_at"),
    )
