"""Budgets: of how many patients somebody may be given something in a day or a month, counted for all processes of a server.

A row counts, and a row beside it stands for each patient, so that one costs once. They are written in the transaction of the
log's entry: nothing is counted that was not given, and nothing given that was not counted. Who and whom are HMACs alone; those
under older index keys count as long as these are there.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import BudgetSpent
from federation.store.portable import forget, insert_if_absent
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
    key = {"budget": claim.budget, "who_key": claim.who_keys[0], "begins_at": claim.begins_at}
    # Another transaction's row of this patient is waited for: either it counted, or it is undone.
    if not insert_if_absent(
        connection, budget_patients, **key, patient_key=claim.patient_keys[0], ends_at=claim.ends_at
    ):
        return
    insert_if_absent(connection, budgets, **key, spent=0, ends_at=claim.ends_at)
    left = claim.most - _total(connection, claim, claim.who_keys[1:])
    here = [budgets.c[name] == value for name, value in key.items()]
    counted = sa.update(budgets).where(*here, budgets.c.spent < left).values(spent=budgets.c.spent + 1)
    if connection.execute(counted).rowcount == 0:
        raise BudgetSpent(f"the budget {claim.budget} is used up", claim.kind)


def _is_counted(connection: sa.Connection, claim: Claim) -> bool:
    patients = budget_patients.c
    here = (*_of(budget_patients, claim, claim.who_keys), patients.patient_key.in_(claim.patient_keys))
    return connection.execute(sa.select(patients.budget).where(*here).limit(1)).first() is not None


def _total(connection: sa.Connection, claim: Claim, who_keys: Sequence[bytes]) -> int:
    total = sa.select(sa.func.sum(budgets.c.spent)).where(*_of(budgets, claim, who_keys))
    return int(connection.scalar(total) or 0) if who_keys else 0


def _of(table: sa.Table, claim: Claim, who_keys: Sequence[bytes]) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.budget == claim.budget,
        table.c.who_key.in_(who_keys),
        table.c.begins_at == claim.begins_at,
    )
