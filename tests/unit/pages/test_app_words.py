"""What the app says: a next step for every refusal, a sentence for every consent, moments as people say them."""

import inspect
import itertools
from datetime import datetime

import pytest

from federation import errors
from federation.clinical import errors as clinical
from federation.errors import FederationError
from federation.pages.app import photo, words
from federation.person import errors as person
from federation.person.consent_words import consent_sentence
from federation.protocol.consent import Terms
from federation.store import errors as store
from federation.v1 import statement_pb2 as pb
from federation.words import near_time

RIGHTS = pb.RIGHT_INDEX, pb.RIGHT_READ, pb.RIGHT_WRITE


def reasons_of(*modules: object) -> set[str]:
    classes = [cls for module in modules for _, cls in inspect.getmembers(module, inspect.isclass)]
    return {cls.reason for cls in classes if hasattr(cls, "reason")}


def test_each_next_step_is_for_a_reason_that_there_is() -> None:
    assert set(words._NEXT) <= reasons_of(errors, person, clinical, photo, store)


def test_no_refusal_is_told_without_a_next_step() -> None:
    every = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, FederationError)]
    for error in every:
        notice = words.told(error("x"))
        assert notice.kind == "bad"
        assert f"[{error.reason}]" in notice.words
        assert notice.next_step.endswith(".")


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ((), "D:chen may do nothing, until tomorrow 11:02."),
        (RIGHTS[2:], "D:chen may keep the record of a visit at H:b, in cardiology, until tomorrow 11:02."),
        (RIGHTS[:2], "D:chen may find and read your records at H:b, of cardiology, until tomorrow 11:02."),
        (
            RIGHTS,
            (
                "D:chen may find and read your records at H:b, of cardiology, and keep the record of a visit there, "
                "until tomorrow 11:02."
            ),
        ),
        (
            RIGHTS[:1],
            "D:chen may see at which hospitals your records of cardiology are, and read none, until tomorrow 11:02.",
        ),
    ],
)
def test_one_sentence_says_what_a_consent_amounts_to(rights: tuple[int, ...], said: str) -> None:
    terms = Terms(("H:b",), ("cardiology",), rights)
    assert consent_sentence("D:chen", terms, "your", "tomorrow 11:02") == said


def test_sentence_says_each_right_that_is_given_and_no_other() -> None:
    telling = {pb.RIGHT_READ: "read your records", pb.RIGHT_WRITE: "keep the record"}
    for count in range(4):
        for rights in itertools.combinations(RIGHTS, count):
            said = consent_sentence("D:chen", Terms(("*",), ("*",), rights), "your", "today 11:02")
            assert {right for right, words in telling.items() if words in said} == set(rights) & set(telling)


def test_moment_is_said_by_the_day_where_it_is_near() -> None:
    def at(*when: int) -> int:
        return round(datetime(*when).astimezone().timestamp() * 1000)

    now = at(2026, 3, 2, 23, 59)
    assert near_time(at(2026, 3, 2, 0, 0), now=now) == "today 00:00"
    assert near_time(at(2026, 3, 3, 0, 0), now=now) == "tomorrow 00:00"
    assert near_time(at(2026, 3, 1, 12, 30), now=now) == "yesterday 12:30"
    assert near_time(at(2026, 3, 4, 0, 0), now=now) == "2026-03-04 00:00"
    assert "no calendar" in near_time(10**20, now=now)
