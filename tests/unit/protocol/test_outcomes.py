"""The one table of outcomes holds every value of both enums, once, and their words are the transcripts'."""

import pytest

from federation.errors import DutyRevoked, RoleForbidden
from federation.protocol import outcomes
from federation.protocol.outcomes import OUTCOMES
from federation.v1.record_pb2 import SessionOutcome
from federation.v1.search_pb2 import SearchOutcome

SEARCH = [value for value in SearchOutcome.values() if value]
SESSION = [value for value in SessionOutcome.values() if value]


def test_the_table_holds_every_outcome_of_a_search_once():
    assert sorted(row.search for row in OUTCOMES if row.search is not None) == sorted(SEARCH)


def test_the_table_holds_every_outcome_of_a_session_once():
    assert sorted(row.session for row in OUTCOMES if row.session is not None) == sorted(SESSION)


def test_a_name_and_an_error_have_one_row():
    names, errors = [row.name for row in OUTCOMES], [row.error for row in OUTCOMES if row.error is not None]
    assert len(set(names)) == len(names)
    assert len(set(errors)) == len(errors)


@pytest.mark.parametrize("value", SEARCH)
def test_the_word_of_a_search_outcome_is_its_name_in_the_proto(value):
    assert SearchOutcome.Name(value) == "SEARCH_OUTCOME_" + outcomes.of_search(value).name.upper().replace("-", "_")


@pytest.mark.parametrize("value", SESSION)
def test_the_word_of_a_session_outcome_is_its_name_in_the_proto(value):
    assert SessionOutcome.Name(value) == "SESSION_OUTCOME_" + outcomes.of_session(value).name.upper().replace("-", "_")


@pytest.mark.parametrize("row", [row for row in OUTCOMES if row.error is not None], ids=lambda row: row.name)
def test_an_error_is_told_by_its_row(row):
    error = row.error("x")
    assert outcomes.session_outcome(error) == row.session
    if row.search is not None:
        assert outcomes.search_outcome(error) == row.search


@pytest.mark.parametrize("row", [row for row in OUTCOMES if row.error is not None], ids=lambda row: row.name)
def test_what_a_class_is_told_as_is_what_an_error_of_it_is_told_as(row):
    in_search, in_session = outcomes.told_in_search(row.error), outcomes.told_in_session(row.error)
    assert (in_search and in_search.search) == row.search
    assert (in_session and in_session.session) == row.session


def test_error_without_a_row_is_told_as_another_or_as_an_invalid_grant():
    assert outcomes.told_in_search(DutyRevoked).name == outcomes.told_in_session(DutyRevoked).name == "duty-over"
    assert outcomes.told_in_search(RoleForbidden).name == "grant-invalid"
    assert outcomes.told_in_session(RoleForbidden) is None
