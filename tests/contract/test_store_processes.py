"""Several processes and threads on one store: who was first, chains without forks, and death in the middle."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.store.blobs import BlobStore
from federation.store.database import open_database
from federation.store.log import SqlLog
from federation.store.party import SqlReplayMemory
from federation.store.registrations import SqlRegistrations
from tests.contract.store_support import IMPLEMENTATIONS, NOW, ROOT, run_together, url_of


@pytest.fixture(params=IMPLEMENTATIONS)
def url(request, tmp_path):
    return url_of(request.param, tmp_path)


def test_replay_key_has_one_winner_of_eight_processes(url):
    open_database(url).close()
    assert sorted(run_together("admit", url, ["-"] * 8)) == ["False\n"] * 7 + ["True\n"]


def test_replay_key_has_one_winner_of_sixteen_threads(url):
    with open_database(url) as database, ThreadPoolExecutor(16) as threads:
        memory = SqlReplayMemory(database)
        for number in range(10):
            key = b"%d" % number
            admitted = threads.map(lambda _, key=key: memory.admit(key, now=NOW, until=NOW), range(16))
            assert sum(admitted) == 1


def test_challenge_has_one_winner_of_eight_processes(url):
    with open_database(url) as database:
        SqlRegistrations(database).put_challenge(b"c" * 16, now=NOW, expires_at=NOW)
    assert sorted(run_together("consume", url, ["-"] * 8)) == ["False\n"] * 7 + ["True\n"]


def test_log_of_four_processes_is_one_chain(url):
    open_database(url).close()
    run_together("append", url, ["50"] * 4)
    with open_database(url) as database:
        assert SqlLog(database).verify() == 200


def test_revocations_of_four_processes_have_a_version_each(url):
    open_database(url).close()
    printed = run_together("revoke", url, ["a", "b", "c", "d"])
    assert sorted(int(line) for lines in printed for line in lines.split()) == list(range(1, 101))


def test_database_opened_first_by_four_processes_at_once_is_migrated_once(url):
    assert run_together("migrate", url, ["-"] * 4) == ["0\n"] * 4


def test_log_entry_appended_survives_a_kill(url):
    open_database(url).close()
    command = [sys.executable, "-m", "tests.contract.store_worker", "append", url, "100000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as worker:
        assert worker.stdout.readline() == "ready\n"
        worker.stdin.write("go\n")
        worker.stdin.flush()
        with open_database(url) as database:
            seen = _entries_seen(database, at_least=20)
            worker.send_signal(signal.SIGKILL)
            worker.communicate(timeout=30)
            assert SqlLog(database).verify() >= seen


def _entries_seen(database, *, at_least):
    deadline = time.monotonic() + 60
    while (seen := SqlLog(database).verify()) < at_least:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return seen


def test_blob_writer_killed_in_the_middle_leaves_nothing_visible(tmp_path):
    command = [sys.executable, "-m", "tests.contract.store_worker", "write_blob", str(tmp_path), "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as worker:
        assert worker.stdout.readline() == "written\n"
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=30)
    store = BlobStore(tmp_path)
    assert list(store.names()) == []
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.suffix for path in left] == [".partial"]
    now = int(time.time() * 1000)
    assert store.remove_orphans(set(), older_than=now - 60_000) == 0
    assert store.remove_orphans(set(), older_than=now + 60_000) == 1
