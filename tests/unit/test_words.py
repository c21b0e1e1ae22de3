"""Every refusal that a person can meet says what happened, why where that may be told, and what to do."""

import ast
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from federation import errors
from federation.cli.explain import VOCABULARIES, errors_in
from federation.cli.main import main
from federation.errors import FederationError, GrantRevoked, NoSuchRecord, StaleRevocationList, Unavailable
from federation.store.errors import StoreUnavailable
from federation.wire.status import told_reason
from federation.words import happened, plain, words_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("federation", "hsm", "keystore")
PLACES = [(module, reason) for module in VOCABULARIES for reason in errors_in(module)]
KNOWN = {
    error.reason for error in vars(errors).values() if isinstance(error, type) and issubclass(error, FederationError)
}


def made(kind: type[Exception]) -> Exception:
    """An error of this class, whatever it takes to make one."""
    error = kind.__new__(kind)
    Exception.__init__(error, "what was found")
    return error


@pytest.mark.parametrize(("module", "reason"), PLACES)
def test_reason_has_what_happened_and_what_to_do(module: str, reason: str) -> None:
    kind = errors_in(module)[reason]
    means, to_do = words_of(kind)
    for words in (means, to_do):
        assert re.fullmatch(r"[A-Z`].*[.?]", words, re.DOTALL), words
        assert words.isascii()
    said = plain(made(kind))
    assert f"[{reason}]" in said
    assert to_do in said
    assert said.index(to_do) < said.index(f"[{reason}]")
    assert to_do not in happened(made(kind))


@pytest.mark.parametrize(("module", "reason"), PLACES)
def test_reason_is_explained_with_both(module: str, reason: str) -> None:
    result = CliRunner().invoke(main, ["explain", reason], catch_exceptions=False)
    said = " ".join(result.output.split())
    assert result.exit_code == 0, said
    assert said.startswith(reason)
    assert "Means" in said
    assert "What to do" in said


def reasons_in_the_sources() -> set[str]:
    """Every `reason = "..."` of a class of ours."""
    found = set()
    for source in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ClassDef):
                found |= {
                    one.value.value
                    for one in node.body
                    if isinstance(one, ast.Assign)
                    and any(isinstance(it, ast.Name) and it.id == "reason" for it in one.targets)
                    and isinstance(one.value, ast.Constant)
                }
    return found


def test_no_reason_is_left_out() -> None:
    assert reasons_in_the_sources() - {reason for _, reason in PLACES} == set()


@pytest.mark.parametrize(("module", "reason"), PLACES)
def test_server_tells_no_reason_that_a_client_does_not_know(module: str, reason: str) -> None:
    assert told_reason(made(errors_in(module)[reason])) in KNOWN


def test_store_that_does_not_answer_is_told_as_unavailable() -> None:
    assert told_reason(StoreUnavailable("the database is locked")) == "UNAVAILABLE"


def test_in_the_middle_of_a_visit_something_else_is_to_do_than_on_arrival() -> None:
    error = GrantRevoked("x")
    assert "Ask the patient; nothing else makes it good again." in plain(error)
    assert "What came before stays" in plain(error, in_visit=True)
    assert plain(NoSuchRecord("x")) == plain(NoSuchRecord("x"), in_visit=True)


def test_peer_that_says_itself_that_something_is_away_is_not_one_that_does_not_answer() -> None:
    silent, answered = Unavailable("x"), Unavailable("x")
    silent.address, answered.request_id = "a:1", "0123456789abcdef"
    assert "The other side does not answer. It was dialled at a:1." in plain(silent)
    assert "Look whether this computer is connected" in plain(silent)
    assert "The other side answers, and can't do this now" in plain(answered)
    assert "connected" not in plain(answered)
    assert "Go on with what came" in plain(answered, in_visit=True)


def test_words_for_a_visit_are_of_their_own_reason_alone() -> None:
    """What is to do where a peer does not answer is not what is to do where a list is old."""
    assert issubclass(StaleRevocationList, Unavailable)
    assert StaleRevocationList.advice(in_visit=True) == StaleRevocationList.advice()
