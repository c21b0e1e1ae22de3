"""A SoftHSM token that a killed login emptied opens again, with all its keys."""

from pathlib import Path

import pytest

from demo.stage import Refused, make_token, run
from hsm.softhsm import keep, mend


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A medical authority, whose token was opened before."""
    directory = tmp_path / "board"
    pin = make_token(directory, "board")
    names = ("--identity", "M:board", "--output", tmp_path / "board.der", "--pin-file", pin)
    run("authority", "init", "--directory", directory, *names)
    run("authority", "crl", "--directory", directory, "--output", tmp_path / "first.crl")
    return directory


def token_file(directory: Path) -> Path:
    (file,) = (directory / "tokens").rglob("token.object")
    return file


def test_a_token_that_a_killed_login_emptied_opens_again(board: Path, tmp_path: Path) -> None:
    token_file(board).write_bytes(b"")
    run("authority", "crl", "--directory", board, "--output", tmp_path / "second.crl")
    assert token_file(board).stat().st_size > 0
    assert token_file(board).stat().st_mode & 0o777 == 0o600


def test_without_the_copy_the_token_would_be_lost(board: Path, tmp_path: Path) -> None:
    token_file(board).write_bytes(b"")
    (copy,) = (board / "tokens" / "kept").iterdir()
    copy.unlink()
    with pytest.raises(Refused, match="TOKEN_NOT_FOUND"):
        run("authority", "crl", "--directory", board, "--output", tmp_path / "second.crl")


def test_a_changed_file_is_copied_and_an_empty_one_is_not(tmp_path: Path) -> None:
    configuration, file = tmp_path / "softhsm2.conf", tmp_path / "tokens" / "a" / "token.object"
    file.parent.mkdir(parents=True)
    for content in (b"first PIN", b"second PIN"):
        file.write_bytes(content)
        keep(configuration)
    file.write_bytes(b"")
    keep(configuration)
    assert mend(configuration) == 1
    assert file.read_bytes() == b"second PIN"
    assert mend(configuration) == 0


def test_tokens_that_lie_elsewhere_are_left_alone(tmp_path: Path) -> None:
    configuration = tmp_path / "softhsm2.conf"
    keep(configuration)
    assert mend(configuration) == 0
    assert list(tmp_path.iterdir()) == []
