"""What who asks is told of its question or session: one row an outcome, with its value in both enums, its word and its error."""

from dataclasses import dataclass

from federation.errors import (
    Authorization,
    BudgetExhausted,
    DeputyExpired,
    DeputyInvalid,
    DeputyPowers,
    DeputyRevoked,
    DutyExpired,
    DutyInvalid,
    DutyMissing,
    DutyRevoked,
    EmergencyExpired,
    EmergencyInvalid,
    EmergencyRefused,
    FederationError,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    NewerThanList,
    NoSuchRecord,
    NotOwnRecord,
)
from federation.v1 import record_pb2 as record
from federation.v1 import search_pb2 as search


@dataclass(frozen=True)
class Outcome:
    """One outcome. `error` is None where nothing is wrong; an enum's value is None where that answer never has it."""

    name: str
    error: type[FederationError] | None
    search: "search.SearchOutcome.ValueType | None"
    session: "record.SessionOutcome.ValueType | None"


OUTCOMES = (
    Outcome("found", None, search.SEARCH_OUTCOME_FOUND, None),
    Outcome("none", None, search.SEARCH_OUTCOME_NONE, None),
    Outcome("served", None, None, record.SESSION_OUTCOME_SERVED),
    Outcome("no-record", NoSuchRecord, None, record.SESSION_OUTCOME_NO_RECORD),
    Outcome("grant-missing", GrantMissing, search.SEARCH_OUTCOME_GRANT_MISSING, record.SESSION_OUTCOME_GRANT_MISSING),
    # In a session, a grant that is another's is no grant that the doctor could know of: REJECTED, as any other forgery.
    Outcome("grant-invalid", GrantInvalid, search.SEARCH_OUTCOME_GRANT_INVALID, None),
    Outcome("grant-expired", GrantExpired, search.SEARCH_OUTCOME_GRANT_EXPIRED, record.SESSION_OUTCOME_GRANT_EXPIRED),
    Outcome("grant-revoked", GrantRevoked, search.SEARCH_OUTCOME_GRANT_REVOKED, record.SESSION_OUTCOME_GRANT_REVOKED),
    Outcome("grant-scope", GrantScope, search.SEARCH_OUTCOME_GRANT_SCOPE, record.SESSION_OUTCOME_GRANT_SCOPE),
    Outcome(
        "emergency-refused",
        EmergencyRefused,
        search.SEARCH_OUTCOME_EMERGENCY_REFUSED,
        record.SESSION_OUTCOME_EMERGENCY_REFUSED,
    ),
    Outcome("duty-missing", DutyMissing, search.SEARCH_OUTCOME_DUTY_MISSING, record.SESSION_OUTCOME_DUTY_MISSING),
    Outcome("duty-over", DutyExpired, search.SEARCH_OUTCOME_DUTY_OVER, record.SESSION_OUTCOME_DUTY_OVER),
    Outcome("deputy-over", DeputyExpired, search.SEARCH_OUTCOME_DEPUTY_OVER, record.SESSION_OUTCOME_DEPUTY_OVER),
    Outcome("deputy-powers", DeputyPowers, search.SEARCH_OUTCOME_DEPUTY_POWERS, record.SESSION_OUTCOME_DEPUTY_POWERS),
    Outcome(
        "emergency-over", EmergencyExpired, search.SEARCH_OUTCOME_EMERGENCY_OVER, record.SESSION_OUTCOME_EMERGENCY_OVER
    ),
    Outcome(
        "budget-exhausted",
        BudgetExhausted,
        search.SEARCH_OUTCOME_BUDGET_EXHAUSTED,
        record.SESSION_OUTCOME_BUDGET_EXHAUSTED,
    ),
    # Of what a hospital gives while the public cloud is silent; the cloud itself has a list of now.
    Outcome("newer-than-list", NewerThanList, None, record.SESSION_OUTCOME_NEWER_THAN_LIST),
    Outcome("not-own", NotOwnRecord, search.SEARCH_OUTCOME_NOT_OWN, record.SESSION_OUTCOME_NOT_OWN),
)
_AS: dict[type[FederationError], type[FederationError]] = {
    DutyInvalid: DutyMissing,
    DutyRevoked: DutyExpired,
    DeputyRevoked: DeputyExpired,
    DeputyInvalid: GrantInvalid,
    EmergencyInvalid: EmergencyRefused,
}
"""Errors that are told as another: who asks needs to know what to do about it, and no more."""

_OF_ERROR = {row.error: row for row in OUTCOMES if row.error is not None}
_OF_SEARCH = {row.search: row for row in OUTCOMES if row.search is not None}
_OF_SESSION = {row.session: row for row in OUTCOMES if row.session is not None}


def of_search(outcome: "search.SearchOutcome.ValueType") -> Outcome:
    """Return the row of an answer's outcome."""
    return _OF_SEARCH[outcome]


def of_session(outcome: "record.SessionOutcome.ValueType") -> Outcome:
    """Return the row of a session's outcome."""
    return _OF_SESSION[outcome]


def search_outcome(error: Authorization) -> "search.SearchOutcome.ValueType":
    """Return what a proved asker is told of a refusal: what has no row of its own is an invalid grant."""
    row = _row(type(error))
    outcome = None if row is None else row.search
    return search.SEARCH_OUTCOME_GRANT_INVALID if outcome is None else outcome


def session_outcome(error: Authorization | NoSuchRecord) -> "record.SessionOutcome.ValueType | None":
    """Return what a confirmed asker is told of a refusal, or None where it is REJECTED like any other."""
    row = _row(type(error))
    return None if row is None else row.session


def told_in_search(error: type[FederationError]) -> Outcome | None:
    """Return the outcome that the public cloud tells of such a refusal; None of one that it never makes."""
    row = _row(error)
    if row is not None and row.search is None:
        return None
    return row or _OF_SEARCH[search.SEARCH_OUTCOME_GRANT_INVALID]


def told_in_session(error: type[FederationError]) -> Outcome | None:
    """Return the outcome that a hospital tells of such a refusal; None where it is REJECTED like any other."""
    row = _row(error)
    return None if row is None or row.session is None else row


def _row(error: type[FederationError]) -> Outcome | None:
    return _OF_ERROR.get(_AS.get(error, error))
