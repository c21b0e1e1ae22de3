"""Several processes and threads on one store: who was first, chains without forks, and death in the middle."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from federation.party.generations import StoredGenerations
from federation.store.database import open_database
from federation.store.errors import StoreLimit
from federation.store.log import Log
from federation.store.party import ReplayMemory, Settings
from federation.store.records import Records
from federation.store.registrations import Registrations
from federation.store.revocations import RevocationBook
from federation.store.rooms import FRAME_COST, Rooms
from tests.contract.store_support import (
    NOW,
    Worker,
    outbox_entry,
    record,
    register,
    registration,
    room,
    run_together,
)
from tests.waiting import until


def test_replay_key_has_one_winner_of_eight_processes(url):
    open_database(url).close()
    assert sorted(run_together("admit", url, ["-"] * 8)) == ["False\n"] * 7 + ["True\n"]


def test_replay_key_has_one_winner_of_sixteen_threads(url):
    with open_database(url) as database, ThreadPoolExecutor(16) as threads:
        memory = ReplayMemory(database)
        for number in range(10):
            key = b"%d" % number
            admitted = threads.map(lambda _, key=key: memory.admit(key, now=NOW, until=NOW), range(16))
            assert sum(admitted) == 1


def test_message_taken_with_its_entry_has_one_winner_of_four_processes_and_one_entry(url):
    open_database(url).close()
    assert sorted(run_together("take", url, ["-"] * 4)) == ["False\n"] * 3 + ["True\n"]
    with open_database(url) as database:
        assert Log(database).verify() == 1


def test_log_of_four_processes_is_one_chain(url):
    open_database(url).close()
    run_together("append", url, ["50"] * 4)
    with open_database(url) as database:
        assert Log(database).verify() == 200


def test_budget_of_four_processes_gives_what_it_has_and_no_more(url):
    open_database(url).close()
    printed = run_together("spend", url, "abcd")
    assert [line for lines in printed for line in lines.split()].count("given") == 25
    with open_database(url) as database:
        assert Log(database).verify() == 25


def test_revocations_of_four_processes_have_a_version_each(url):
    open_database(url).close()
    printed = run_together("revoke", url, ["a", "b", "c", "d"])
    assert sorted(int(line) for lines in printed for line in lines.split()) == list(range(1, 101))


def test_statements_of_four_processes_take_all_the_room_there_is_and_no_more(url):
    open_database(url).close()
    printed = run_together("take_back", url, "abcd")
    assert [line for lines in printed for line in lines.split()].count("taken") == 10
    with open_database(url) as database:
        assert RevocationBook(database).entries() == 20


def test_registration_of_one_serial_has_one_winner_of_six_processes(url):
    with open_database(url) as database:
        wanted = registration()
        Registrations(database).reserve_serial(
            wanted.serial, role=wanted.role, identity=wanted.identity, credential=wanted.credential, at=NOW, until=NOW
        )
    assert sorted(run_together("complete", url, "abcdef")) == ["live\n"] + ["refused\n"] * 5
    with open_database(url) as database:
        answers = [Registrations(database).answer_to(name.encode().ljust(32), now=NOW) for name in "abcdef"]
        assert sum(answer is not None for answer in answers) == 1


def test_renewal_has_one_winner_of_six_processes(url):
    with open_database(url) as database:
        register(Registrations(database), registration())
    assert sorted(run_together("renew", url, "abcdef")) == ["live\n"] + ["refused\n"] * 5
    with open_database(url) as database:
        assert len(Registrations(database).superseded("P:ann", now=NOW)) == 1
        assert len(list(Registrations(database).issued())) == 2  # the losers have used no serial up


def test_outbox_of_thirty_entries_is_taken_once_by_four_processes(url):
    with open_database(url) as database:
        for number in range(30):
            Records(database).add(record(bytes([number]) * 16), blobs=(), outbox=outbox_entry(number), answer=None)
    taken = [line for lines in run_together("publish", url, ["-"] * 4) for line in lines.split()]
    assert sorted(taken) == sorted(outbox_entry(number).entry_id.hex() for number in range(30))


def test_generations_changed_by_four_processes_lose_no_change(url):
    open_database(url).close()
    run_together("rotate", url, "abcd")
    with open_database(url) as database:
        purposes = StoredGenerations(Settings(database)).read().purposes
    assert set(purposes) == {f"{name}-{number}" for name in "abcd" for number in range(10)}


def test_room_filled_from_both_sides_at_once_counts_every_frame(url):
    with open_database(url) as database:
        Rooms(database).open(room(), now=NOW, most_per_doctor=1)
    run_together("put_frames", url, "12")
    with open_database(url) as database:
        rooms = Rooms(database)
        assert [len(rooms.frames(room().room_id, side, from_number=0, limit=99)) for side in (1, 2)] == [20, 20]
        most = 40 * (FRAME_COST + len(b"frame"))
        with pytest.raises(StoreLimit):
            rooms.put_frame(room().room_id, 1, 20, b"", now=NOW, most_bytes=most + FRAME_COST - 1)
        rooms.put_frame(room().room_id, 1, 20, b"", now=NOW, most_bytes=most + FRAME_COST)


def test_database_opened_first_by_four_processes_at_once_is_migrated_once(url):
    assert run_together("migrate", url, ["-"] * 4) == ["0\n"] * 4


def test_log_entry_appended_survives_a_kill(url):
    open_database(url).close()
    with ExitStack() as stack, open_database(url) as database:
        worker = Worker(stack, "append", url, "100000")
        assert worker.says.readline() == "ready\n"
        worker.begin()
        seen = _entries_seen(database, at_least=20)
        worker.kill()
        assert Log(database).verify() >= seen


def test_log_whose_tree_several_let_grow_until_they_are_killed_has_each_entry_once(url):
    open_database(url).close()
    with ExitStack() as stack, open_database(url) as database:
        workers = [Worker(stack, "grow", url, "-") for _ in range(3)]
        for worker in workers:
            assert worker.says.readline() == "ready\n"
        for worker in workers:
            worker.begin()
        told = []
        for worker in workers:
            told += [worker.says.readline() for _ in range(40)]
            worker.kill()
        assert Log(database).verify() >= len(told)
        found = [entry.entry_id.hex() for entry in Log(database).entries()]
        assert len(found) == len(set(found))
        assert {it.rstrip() for it in told} <= set(found)


def _entries_seen(database, *, at_least):
    until(lambda: Log(database).verify() >= at_least)
    return Log(database).verify()
