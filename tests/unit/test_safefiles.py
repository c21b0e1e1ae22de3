"""Private files: known content and modes, links refused, everything synced, and old or new after a crash."""

import errno
import fcntl
import multiprocessing
import os
import stat
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import safefiles


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is synced: "file" or "directory", in order."""
    kinds: list[str] = []
    real = os.fsync

    def noting(descriptor: int) -> None:
        kinds.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    monkeypatch.setattr(safefiles.os, "fsync", noting)
    return kinds


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Give a link to a file of somebody else's, which says "theirs"."""
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "theirs").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    return tmp_path / "link"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_created_file_is_private_and_synced_with_its_name(place: Path, synced: list[str]) -> None:
    safefiles.create(place, b"content")
    assert (place.read_bytes(), mode_of(place), synced) == (b"content", 0o600, ["file", "directory"])


def test_public_file_has_the_mode_that_was_asked_for(place: Path) -> None:
    before = os.umask(0o022)
    try:
        safefiles.create(place, b"certificate", 0o644)
    finally:
        os.umask(before)
    assert mode_of(place) == 0o644


def test_file_that_exists_is_not_created_again(place: Path) -> None:
    safefiles.create(place, b"first")
    with pytest.raises(FileExistsError):
        safefiles.create(place, b"second")
    assert place.read_bytes() == b"first"


@pytest.mark.parametrize("dangling", [False, True])
def test_link_is_refused_where_a_file_is_created(link: Path, *, dangling: bool) -> None:
    if dangling:
        link.resolve().unlink()
    with pytest.raises(FileExistsError):
        safefiles.create(link, b"ours")
    assert link.is_symlink()
    assert dangling or link.read_bytes() == b"theirs"


def test_file_that_could_not_be_written_whole_is_not_left_behind(place: Path) -> None:
    def half() -> None:
        with safefiles.creating(place) as file:
            file.write(b"the first half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        half()
    assert not place.exists()


def test_replaced_file_is_private_synced_and_alone(place: Path, synced: list[str]) -> None:
    place.write_bytes(b"old")
    place.chmod(0o644)
    safefiles.replace(place, b"new")
    assert (place.read_bytes(), mode_of(place), synced) == (b"new", 0o600, ["file", "directory"])
    assert list(place.parent.iterdir()) == [place]


def test_link_gives_way_to_what_replaces_it_and_what_it_led_to_stays(link: Path) -> None:
    theirs = link.resolve()
    safefiles.replace(link, b"ours")
    assert (link.read_bytes(), link.is_symlink(), theirs.read_bytes()) == (b"ours", False, b"theirs")


def _die_at(call: str, number: int, place: str) -> None:
    """Replace a file in a process that ends, as by a kill, when a function of `os` or a rename is called so often."""
    calls = 0
    owner = Path if call == "rename" else os
    real = getattr(owner, call)

    def dying(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            os._exit(9)
        return real(*args)

    setattr(owner, call, dying)
    safefiles.replace(Path(place), b"new")


@pytest.mark.parametrize(
    ("call", "number", "left"),
    [("open", 1, b"old"), ("fsync", 1, b"old"), ("rename", 1, b"old"), ("open", 2, b"new"), ("fsync", 2, b"new")],
)
def test_crash_leaves_the_old_content_or_the_new(place: Path, call: str, number: int, left: bytes) -> None:
    safefiles.create(place, b"old")
    process = multiprocessing.get_context("spawn").Process(target=_die_at, args=(call, number, str(place)))
    process.start()
    process.join()
    assert (process.exitcode, place.read_bytes()) == (9, left)
    safefiles.replace(place, b"newest")
    assert place.read_bytes() == b"newest"


def test_replacing_that_fails_leaves_the_old_content_and_nothing_beside(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    safefiles.create(place, b"old")
    monkeypatch.setattr(safefiles.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        safefiles.replace(place, b"new")
    assert place.read_bytes() == b"old"
    assert list(place.parent.iterdir()) == [place]


def test_what_a_dead_writer_left_is_no_hindrance_and_is_not_followed(link: Path, place: Path) -> None:
    link.rename(place.with_name(f".{place.name}.{os.getpid()}.{threading.get_ident()}"))
    safefiles.replace(place, b"new")
    assert place.read_bytes() == b"new"
    assert place.with_name("theirs").read_bytes() == b"theirs"


def test_addition_is_synced(place: Path, synced: list[str]) -> None:
    safefiles.create(place, b"one\n")
    synced.clear()
    safefiles.append(place, b"two\n")
    assert (place.read_bytes(), synced) == (b"one\ntwo\n", ["file"])


def test_nothing_is_added_to_a_file_that_is_not_there_or_through_a_link(link: Path, place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        safefiles.append(place, b"line\n")
    for change in (lambda: safefiles.append(link, b"line\n"), lambda: safefiles.cut(link, 0)):
        with pytest.raises(OSError, match="symbolic links"):
            change()
    assert link.read_bytes() == b"theirs"


def test_file_is_cut_and_synced(place: Path, synced: list[str]) -> None:
    safefiles.create(place, b"whole\nhal")
    synced.clear()
    safefiles.cut(place, 6)
    assert (place.read_bytes(), synced) == (b"whole\n", ["file"])


def test_private_file_is_read(place: Path) -> None:
    safefiles.create(place, b"secret")
    with safefiles.open_private(place) as file:
        assert file.read() == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_file_open_to_others_is_not_private(place: Path, mode: int) -> None:
    safefiles.create(place, b"secret")
    place.chmod(mode)
    with pytest.raises(safefiles.NotPrivate):
        safefiles.open_private(place)
    if mode == 0o640:
        safefiles.open_private(place, others=stat.S_IRGRP).close()


def test_directory_pipe_and_link_are_not_private(tmp_path: Path, link: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(safefiles.NotPrivate):
            safefiles.open_private(tmp_path / name)
    with pytest.raises(OSError, match="symbolic links"):
        safefiles.open_private(link)
    with safefiles.open_private(link, follow=True) as file:
        assert file.read() == b"theirs"


def test_file_of_another_user_is_not_private_and_of_root_where_that_is_allowed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safefiles.create(place, b"secret")
    owner = place.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(safefiles.NotPrivate):
        safefiles.open_private(place)
    if owner == 0:
        safefiles.open_private(place, of_root=True).close()
    else:
        with pytest.raises(safefiles.NotPrivate):
            safefiles.open_private(place, of_root=True)


def test_directory_is_private_and_every_new_name_is_synced(tmp_path: Path, synced: list[str]) -> None:
    safefiles.make_directory(tmp_path / "one" / "two")
    assert mode_of(tmp_path / "one" / "two") == 0o700
    assert synced == ["directory", "directory"]
    safefiles.make_directory(tmp_path / "one" / "two")
    assert len(synced) == 2


def _lock(said: Connection, path: str) -> None:
    said.send("waiting")
    with safefiles.lock(Path(path)):
        said.send("in")


def test_another_process_waits_for_the_lock(place: Path) -> None:
    here, there = multiprocessing.Pipe()
    with safefiles.lock(place):
        other = multiprocessing.get_context("spawn").Process(target=_lock, args=(there, str(place)))
        other.start()
        assert here.recv() == "waiting"
        assert not here.poll(0.5)
    assert here.poll(10)
    assert here.recv() == "in"
    other.join(10)
    assert mode_of(place) == 0o600


def test_lock_file_says_who_has_it_and_is_free_when_that_one_lets_go(place: Path) -> None:
    with safefiles.LockFile(place) as first, safefiles.LockFile(place) as second:
        assert first.try_acquire()
        first.write(b"the first, at length")
        first.write(b"the first")
        assert not second.try_acquire()
        assert second.read() == b"the first"
        first.release()
        assert second.try_acquire()
    first.close()
    assert place.read_bytes() == b"the first"


def test_lock_is_not_taken_through_a_link_unless_the_file_is_only_read(link: Path, place: Path) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        safefiles.LockFile(link)
    with safefiles.LockFile(link, make=False) as file:
        assert file.try_acquire()
    with pytest.raises(FileNotFoundError):
        safefiles.LockFile(place, make=False)


def test_file_system_without_locks_is_told_from_a_lock_that_is_taken(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with safefiles.LockFile(place) as file, pytest.raises(OSError, match="No locks"):
        file.try_acquire()
