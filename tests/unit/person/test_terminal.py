"""Plain words for every refusal."""

import errno
import inspect
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation import errors
from federation.cli import terminal
from federation.cli.qr import qr_code
from federation.clinical.text import printable
from federation.errors import FederationError
from federation.person import errors as client_errors
from federation.protocol.anchors import Lists
from federation.v1.statement_pb2 import RevocationHead
from federation.wire.channel import NetworkForbidden
from federation.words import local_time, plain
from hsm.errors import PinIncorrect
from keystore.fuzzy import BiometricMismatch


def errors_of(module: object) -> list[type[FederationError]]:
    return [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, FederationError)]


@pytest.mark.parametrize("error", [*errors_of(errors), *errors_of(client_errors), NetworkForbidden])
def test_sentence_exists_for_every_reason(error: type[FederationError]) -> None:
    assert ("in_words" in vars(error)) == ("reason" in vars(error)), "each reason has words of its own"
    assert error.in_words.endswith((".", "?"))
    assert error.in_words.isascii()


def test_reason_is_beside_the_words() -> None:
    assert plain(errors.GrantExpired("x")) == ("The patient's consent has ended. Ask for a new one. [GRANT_EXPIRED]")


def test_token_and_biometric_are_in_plain_words_too() -> None:
    assert "PIN is wrong" in plain(PinIncorrect("x"))
    assert "belongs to somebody else" in plain(BiometricMismatch("x"))


def test_list_that_is_newer_than_the_clock_asks_whether_the_clock_is_right() -> None:
    lists = Lists(head=RevocationHead(this_update=10_000, next_update=20_000))
    with pytest.raises(errors.StaleRevocationList) as raised:
        lists.require_current(now=1_000, skew_ms=5_000)
    assert "is that clock right?) Try again" in plain(raised.value)


def test_words_of_a_peer_cannot_repaint_the_terminal() -> None:
    assert "\x1b" not in plain(client_errors.NoAnswer("nobody\x1b[2J"))


def test_file_that_could_not_be_written_whole_is_not_left_behind(tmp_path: Path) -> None:
    def cut() -> Iterator[bytes]:
        yield b"the first half"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        terminal.write_new(tmp_path / "part", cut())
    assert not list(tmp_path.iterdir())
    terminal.write_new(tmp_path / "part", b"whole")
    with pytest.raises(FileExistsError):
        terminal.write_new(tmp_path / "part", b"another")
    assert (tmp_path / "part").read_bytes() == b"whole"


def test_nothing_that_is_said_repaints_a_terminal_or_turns_its_letters(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say("one\x1b[2J\u202etwo\u2028three\x85\n  four")
    assert capsys.readouterr().out == "one [2J two three \n  four\n"


@pytest.mark.parametrize(
    "hostile", ["\x1b]0;x\x07", "\u202e", "\u2066", "\u2028", "\u2029", "\x9b", "\r", "\x00", "\ufeff"]
)
def test_text_of_a_stranger_is_one_line_of_bounded_length_without_control(hostile: str) -> None:
    shown = printable(f"a{hostile}b\n" * 1000, 80)
    assert len(shown) == 80
    assert shown.isprintable()


def test_code_is_drawn_for_a_terminal() -> None:
    drawing = qr_code("medunion://localhost:1/b/" + "A" * 66)
    assert len(drawing.splitlines()) < 40
    assert max(map(len, drawing.splitlines())) < 60


@pytest.fixture
def far_east() -> Iterator[None]:
    """Be where the year 10000 begins first."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_east")
@pytest.mark.parametrize("instant", [253_402_300_799_999, 253_402_300_800_000, 2**63, 2**64 - 1])
def test_time_past_every_calendar_is_said_and_raises_nothing(instant: int) -> None:
    assert local_time(instant) == f"a time that no calendar has ({instant} ms)"


def test_what_cannot_be_shown_is_said_and_what_follows_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    for fault in (OverflowError("x"), FileExistsError(17, "File exists", "a\x1b"), errors.RecordCutShort("cut")):
        with terminal.going_on("a record from H:a"):
            raise fault
    said = capsys.readouterr().out
    assert said.count("A record from H:a CAN'T BE SHOWN OR SAVED.") == 3
    assert "(OverflowError)" in said
    assert "\x1b" not in said
