"""Plain words for every refusal."""

import inspect

import pytest

from federation import errors
from federation.cli import terminal
from federation.clients import errors as client_errors
from federation.errors import FederationError
from federation.protocol.anchors import Lists
from federation.v1.statement_pb2 import RevocationList
from hsm.errors import PinIncorrect
from keystore.fuzzy import BiometricMismatch


def errors_of(module: object) -> list[type[FederationError]]:
    return [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, FederationError)]


@pytest.mark.parametrize("error", [*errors_of(errors), *errors_of(client_errors)])
def test_sentence_exists_for_every_reason(error: type[FederationError]) -> None:
    said = terminal.SENTENCES[error.reason]
    assert said.endswith((".", "?"))
    assert said.isascii()


def test_reason_is_beside_the_words() -> None:
    assert terminal.plain(errors.GrantExpired("x")) == (
        "The patient's consent has ended; ask for a new one. [GRANT_EXPIRED]"
    )


def test_token_and_biometric_are_in_plain_words_too() -> None:
    assert "PIN is wrong" in terminal.plain(PinIncorrect("x"))
    assert "belongs to somebody else" in terminal.plain(BiometricMismatch("x"))


def test_list_that_is_newer_than_the_clock_asks_whether_the_clock_is_right() -> None:
    lists = Lists(revocations=RevocationList(this_update=10_000, next_update=20_000))
    with pytest.raises(errors.StaleRevocationList) as raised:
        lists.require_current(now=1_000, skew_ms=5_000)
    assert "is that clock right?) [REVOCATION_LIST_STALE]" in terminal.plain(raised.value)


def test_words_of_a_peer_cannot_repaint_the_terminal() -> None:
    assert "\x1b" not in terminal.plain(client_errors.NoAnswer("nobody\x1b[2J"))


def test_code_is_drawn_for_a_terminal() -> None:
    drawing = terminal.qr("medunion://localhost:1/b/" + "A" * 66)
    assert len(drawing.splitlines()) < 40
    assert max(map(len, drawing.splitlines())) < 60
