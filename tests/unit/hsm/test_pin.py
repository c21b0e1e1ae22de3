"""PINs: where they may come from, where they must not show."""

import os
import pickle
from pathlib import Path

import pytest

from hsm import Pin, pin_from_fd, pin_from_file, pin_from_prompt, pin_from_value
from hsm.errors import PinUnavailable
from hsm.pin import can_ask_again

SECRET = "a-secret-4711"


def pipe_with(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pin"
    path.touch(mode=0o600)
    path.write_text(SECRET + "\n")
    return path


def test_pin_shows_its_length_alone() -> None:
    pin = Pin(SECRET)
    assert repr(pin) == str(pin) == f"{pin}" == "<Pin of 13 characters>"
    assert pin.reveal() == SECRET


def test_pin_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Pin(SECRET))


@pytest.mark.parametrize("value", ["", "x" * 256, "ü" * 128])
def test_pin_of_an_impossible_length_is_refused(value: str) -> None:
    with pytest.raises(PinUnavailable):
        Pin(value)


def test_pin_comes_from_memory_and_again() -> None:
    provider = pin_from_value(SECRET)
    assert provider().reveal() == provider().reveal() == SECRET
    assert SECRET not in repr(provider)


def test_pin_comes_from_a_private_file_without_its_line_end(file: Path) -> None:
    assert pin_from_file(file)().reveal() == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_pin_file_that_others_may_read_or_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(PinUnavailable, match="0600"):
        pin_from_file(file)()


def test_pin_file_of_a_foreign_owner_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = file.stat().st_uid
    if owner == 0:
        os.chown(file, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(PinUnavailable, match="yours"):
        pin_from_file(file)()


def test_missing_pin_file_directory_or_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", mode=0o600)
    for path in (tmp_path / "absent", tmp_path, tmp_path / "pipe"):
        with pytest.raises(PinUnavailable):
            pin_from_file(path)()


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 300, b"\xff\xfe"])
def test_pin_file_without_a_pin_is_refused_and_its_content_not_shown(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(PinUnavailable) as caught:
        pin_from_file(file)()
    assert caught.value.__cause__ is None


def test_pin_comes_from_a_descriptor_once(file: Path) -> None:
    provider = pin_from_fd(pipe_with(SECRET.encode()))
    assert provider().reveal() == SECRET
    with pytest.raises(PinUnavailable):
        provider()


def test_closed_descriptor_is_refused() -> None:
    descriptor = pipe_with(b"")
    os.close(descriptor)
    with pytest.raises(PinUnavailable):
        pin_from_fd(descriptor)()


def test_pin_comes_from_the_terminal_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("hsm.pin.getpass", lambda prompt: (asked.append(prompt), SECRET)[1])
    assert pin_from_prompt("my token")().reveal() == SECRET
    assert asked == ["PIN of my token: "]


def test_only_a_descriptor_cannot_be_asked_again(file: Path) -> None:
    assert can_ask_again(pin_from_value(SECRET))
    assert can_ask_again(pin_from_file(file))
    descriptor = pipe_with(b"")
    assert not can_ask_again(pin_from_fd(descriptor))
    os.close(descriptor)


def test_prompt_that_nobody_answers_gives_no_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("hsm.pin.getpass", left)
    with pytest.raises(PinUnavailable):
        pin_from_prompt("my token")()
