"""What the benchmark measures with: clocks of other processes, rows that are made up, plots."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.drawing import Mark, bars, curve, points, stacked
from benchmarks.filling import columns, fill, opened, sample, size_bytes, tables
from benchmarks.meters import cpu_seconds, cpu_us, in_turns, resident_mib, served_ms
from benchmarks.results import Result
from benchmarks.rows import Bench, Mode


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    with opened(path) as database:
        database.execute(
            "CREATE TABLE keyed (bucket INTEGER, row_key BLOB, level BLOB, PRIMARY KEY (bucket, row_key)) WITHOUT ROWID"
        )
        database.execute("CREATE TABLE numbered (sequence INTEGER PRIMARY KEY, name TEXT, sealed BLOB)")
        database.execute("INSERT INTO keyed VALUES (1, x'00112233445566778899aabbccddeeff', x'07')")
        database.executemany("INSERT INTO numbered VALUES (?, 'kept', x'0011')", [(1,), (9,)])
    return path


def test_clock_of_another_process_is_what_it_says_itself() -> None:
    program = "import time; sum(range(3_000_000)); print(time.process_time(), flush=True); input()"
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = float(process.stdout.readline())
        assert said <= cpu_seconds([process.pid])
        process.communicate("\n")


def test_clock_of_this_process_is_its_own() -> None:
    before = time.process_time()
    assert before <= cpu_seconds([os.getpid()]) <= time.process_time()


def test_each_round_is_a_value() -> None:
    calls: list[int] = []
    assert len(cpu_us(lambda: calls.append(1), 4, 3)) == 4
    assert len(calls) == 1 + 4 * 3
    assert [len(taken) for taken in in_turns(5, 2, lambda: None, lambda: None)] == [5, 5]
    assert len(served_ms([os.getpid()], lambda: None, 2)) == 2


def test_memory_of_a_process_is_some() -> None:
    assert resident_mib(os.getpid()) > 1


def test_rows_are_made_like_one_with_keys_of_their_own(file: Path) -> None:
    with opened(file) as database:
        for _ in range(2):  # what is added later is not the same again
            fill(database, "keyed", 250, sample(database, "keyed"))
        assert tables(database)["keyed"] == 501
        found = database.execute("SELECT DISTINCT length(row_key), level FROM keyed").fetchall()
        assert found == [(16, b"\x07")]
        assert columns(database, "keyed") == {"bucket": True, "row_key": True, "level": False}


def test_numbered_rows_go_on_behind_the_last(file: Path) -> None:
    with opened(file) as database:
        before = size_bytes(database)
        fill(database, "numbered", 5_000, sample(database, "numbered"), {"name": lambda number: f"n{number % 2}"})
        assert database.execute(
            "SELECT min(sequence), max(sequence) FROM numbered WHERE name <> 'kept'"
        ).fetchone() == (10, 5_009)
        assert size_bytes(database) > before


def test_rows_that_the_database_refuses_leave_it_open_to_others(file: Path) -> None:
    with opened(file) as database:
        database.execute("CREATE TRIGGER no BEFORE INSERT ON numbered BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(sqlite3.IntegrityError, match="no"):
            fill(database, "numbered", 3, sample(database, "numbered"))
        assert not database.in_transaction


def test_table_without_rows_has_none_to_go_by(file: Path) -> None:
    with opened(file) as database:
        database.execute("DELETE FROM numbered")
        with pytest.raises(LookupError):
            sample(database, "numbered")


def test_shared_things_are_opened_once_and_closed_at_the_end(tmp_path: Path) -> None:
    events: list[str] = []

    @contextmanager
    def thing(_: Bench):
        events.append("opened")
        yield events
        events.append("closed")

    with Bench(Mode.QUICK, tmp_path) as bench:
        assert bench.shared(thing) is bench.shared(thing)
        assert events == ["opened"]
    assert events == ["opened", "closed"]


def test_mode_picks_its_own() -> None:
    assert [Bench(mode, Path()).pick(1, 2, 3) for mode in Mode] == [1, 2, 3]
    assert Bench(Mode.FULL, Path()).pick(1, 2) == 2


@pytest.mark.parametrize("draw", [points, bars, lambda marks: stacked(marks, "rest")])
def test_plot_of_nothing_and_of_much_is_drawn(draw) -> None:
    marks = [
        Mark("none", 0.0, 0.0, 0.0, "0"),
        Mark("less than none", -2.0, -1.0, 0.5, "-1"),
        Mark("much", 1e5, 1e6, 1e7, "1e6", {"token": 5.0}, target=3.0),
    ]
    assert draw(marks).count('class="label"') == 3
    assert "nan" not in draw(marks)


def test_curve_of_one_size_is_drawn() -> None:
    assert "polyline" in curve("c", [(8, 1.0, 2.0, 3.0)])
    assert "1 M" in curve("c", [(10, 1.0, 2.0, 3.0), (1_000_000, 1.0, 2.0, 3.0)])


def test_numbers_of_a_result_stand_on_one_line(tmp_path: Path) -> None:
    Result("quick", "", 1.0, 0.1, 0.1, 0.0, [1.0, 2.0, -3e-05], {}).write(tmp_path / "r.json")
    assert '"yardstick_ms": [1.0, 2.0, -3e-05]' in (tmp_path / "r.json").read_text()
