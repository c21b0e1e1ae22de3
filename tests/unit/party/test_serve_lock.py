"""One server at a time has the serve lock of a directory; the next one asks it to leave, and nobody else is asked."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federation.errors import Unavailable
from federation.party.serve_lock import FILE, ServeLock

LISTEN = ("127.0.0.1:4711",)
_HOLDER = """
import asyncio, signal, sys
from pathlib import Path
from federation.party.serve_lock import LEAVE, ServeLock
lock = ServeLock(Path(sys.argv[1]), take_over=False)
asyncio.run(lock.acquire(["127.0.0.1:4711"]))
print("there", flush=True)
signal.sigwait({LEAVE})
lock.release()
print("left", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Give a process that has the lock, and lets go of it when it is asked."""
    blocked = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
    words = [sys.executable, "-c", blocked + _HOLDER, str(tmp_path)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert process.stdout.readline() == "there\n"
    yield process
    process.kill()
    process.communicate()


def test_lock_that_another_process_holds_is_refused(tmp_path: Path, holder) -> None:
    with pytest.raises(Unavailable, match=f"process {holder.pid} serves from"):
        ServeLock(tmp_path, take_over=False)


def test_successor_has_the_post_when_the_one_before_has_let_go(tmp_path: Path, holder) -> None:
    lock = ServeLock(tmp_path, take_over=True)
    assert lock.predecessor.process == holder.pid
    assert lock.predecessor.listen == LISTEN
    asyncio.run(lock.acquire(["127.0.0.1:1"]))
    assert holder.stdout.readline() == "left\n"
    assert json.loads((tmp_path / FILE).read_text())["listen"] == ["127.0.0.1:1"]
    with pytest.raises(Unavailable):
        ServeLock(tmp_path, take_over=False)
    lock.close()


def test_lock_of_a_process_that_was_killed_is_free(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.wait()
    lock = ServeLock(tmp_path, take_over=True)
    assert lock.predecessor is None
    lock.close()


def test_predecessor_that_dies_meanwhile_is_not_waited_for(tmp_path: Path, holder) -> None:
    lock = ServeLock(tmp_path, take_over=True)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    asyncio.run(lock.acquire(LISTEN))
    lock.close()


def test_process_whose_number_stands_there_from_before_is_not_taken_for_the_server(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (tmp_path / FILE).write_text(json.dumps({"process": stranger.pid, "listen": []}))
        starting = ServeLock(tmp_path, take_over=False)
        with pytest.raises(Unavailable, match="starts or ends"):
            ServeLock(tmp_path, take_over=True)
        starting.close()
        assert stranger.poll() is None
        stranger.communicate(b"\n")
