"""Budgets of a server: of how many patients a doctor, all who are on duty at a hospital, or its desk, get something in a day or
a month.

who   = HMAC(W of ID_D, T("budget-doctor")) or HMAC(W of ID_HPC, T("budget-hospital"))
whom  = HMAC(W of ID_P, T("budget-patient")), W = HMAC(index key, T("identity", ID))

Days and months are those of this server's clock, in UTC. An access counts in the one in which it is decided on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from federation.errors import MalformedMessage
from federation.protocol.consent import peek_duty
from federation.protocol.shown import Shown, held_duty
from federation.protocol.time import Instant, milliseconds
from federation.settings import BudgetSettings, CloudBudgetSettings
from federation.store.budgets import Budgets
from federation.store.rows import Claim
from federation.wire import operations
from keystore.identities import HospitalId, PatientId
from keystore.keyring import Indexing

KEPT = timedelta(days=1)
"""How long a day or month that is over is kept: a clock that is set back meets what was counted."""

DOCTOR, HOSPITAL = "doctor", "hospital"
TICKETS = "tickets"
_GROUNDS = {"consent": "accesses", "emergency": "emergencies"}
"""Of what kind an access by each ground is; one's own is of none."""


@dataclass(frozen=True)
class Period:
    """A day or a month, its end not included."""

    begins_at: Instant
    ends_at: Instant


@dataclass(frozen=True)
class _Budget:
    kind: str
    whose: str
    period: str
    most: int


class ServerBudgets:
    """The budgets of one server, shared by its processes through the store."""

    def __init__(self, settings: BudgetSettings, store: Budgets, index: Indexing) -> None:
        """Count in this store, by HMACs under this key of the token."""
        self._budgets = tuple(_budgets(settings))
        self._store = store
        self._index = index

    def claims(self, doctor_id: str, shown: Shown, *, now: Instant) -> tuple[Claim, ...]:
        """Return what an access costs that is given now: the patient, on each budget that there is for it."""
        kind = _GROUNDS.get(shown.ground)
        budgets = [it for it in self._budgets if it.kind == kind]
        if not budgets:
            return ()
        whose = {DOCTOR: doctor_id, HOSPITAL: _hospital_of(shown)}
        who_keys = {
            it: self._keys(f"budget-{it}", identity, doctor_id)
            for it, identity in whose.items()
            if identity is not None and any(budget.whose == it for budget in budgets)
        }
        patient_keys = self._keys("budget-patient", shown.patient_id, doctor_id)
        return tuple(
            _claim(budget, who_keys[budget.whose], patient_keys, now) for budget in budgets if budget.whose in who_keys
        )

    def ticket_claims(self, hospital_id: HospitalId, patient_id: PatientId, *, now: Instant) -> tuple[Claim, ...]:
        """Return what a ticket for a patient costs the desk of a hospital."""
        return tuple(
            _claim(
                budget,
                self._keys("budget-hospital", hospital_id, hospital_id),
                self._keys("budget-patient", patient_id, hospital_id),
                now,
            )
            for budget in self._budgets
            if budget.kind == TICKETS
        )

    def exhausted(self, doctor_id: str, shown: Shown, *, now: Instant) -> frozenset[str]:
        """Return what is used up for this doctor, at its hospital and for this patient: "accesses", "emergencies"."""
        spent = self._store.spent(self.claims(doctor_id, shown, now=now))
        for kind in sorted(spent):
            operations.warning("budget-exhausted", budget=kind)
        return spent

    def sweep(self, now: Instant) -> None:
        """Forget what was counted of days and months that are over, some at a time."""
        self._store.forget(now=now - milliseconds(KEPT))

    def _keys(self, label: str, identity: str, asker: str) -> tuple[bytes, ...]:
        return tuple(name for _, name in self._index.names(label, identity, asker=asker))


def day_of(now: Instant) -> Period:
    """Return the day of a moment, in UTC."""
    midnight = _moment(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return _period(midnight, midnight + timedelta(days=1))


def month_of(now: Instant) -> Period:
    """Return the month of a moment, in UTC."""
    first = _moment(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return _period(first, (first + timedelta(days=31)).replace(day=1))


_PERIODS: dict[str, Callable[[Instant], Period]] = {"day": day_of, "month": month_of}


def _budgets(settings: BudgetSettings) -> Iterator[_Budget]:
    tickets = settings.tickets_per_hospital_a_day if isinstance(settings, CloudBudgetSettings) else None
    # In one order, so that no two transactions wait for each other.
    rows: Sequence[tuple[str, str, str, int | None]] = (
        ("accesses", DOCTOR, "day", settings.patients_per_doctor_a_day),
        ("accesses", DOCTOR, "month", settings.patients_per_doctor_a_month),
        ("accesses", HOSPITAL, "day", settings.patients_per_hospital_a_day),
        ("accesses", HOSPITAL, "month", settings.patients_per_hospital_a_month),
        ("emergencies", DOCTOR, "day", settings.emergencies_per_doctor_a_day),
        (TICKETS, HOSPITAL, "day", tickets),
    )
    for kind, whose, period, most in rows:
        if most is not None:
            yield _Budget(kind, whose, period, most)


def _claim(budget: _Budget, who_keys: tuple[bytes, ...], patient_keys: tuple[bytes, ...], now: Instant) -> Claim:
    period = _PERIODS[budget.period](now)
    return Claim(
        budget.kind,
        f"{budget.kind}/{budget.whose}/{budget.period}",
        who_keys,
        patient_keys,
        period.begins_at,
        period.ends_at,
        budget.most,
    )


def _hospital_of(shown: Shown) -> str | None:
    """Return whose duty is shown, if one is: what is wrong with it is found by the decision."""
    duty = None if shown.access is None else held_duty(shown.access)
    try:
        return None if duty is None else peek_duty(duty).hospital_id
    except MalformedMessage:
        return None


def _moment(now: Instant) -> datetime:
    return datetime.fromtimestamp(now / 1000, UTC)


def _period(begin: datetime, end: datetime) -> Period:
    return Period(round(begin.timestamp() * 1000), round(end.timestamp() * 1000))
