"""The benchmark runs, compares and reports; what it measures is nobody's to assert."""

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks
from benchmarks.comparison import changes, table
from benchmarks.page import page, reached
from benchmarks.report import report
from benchmarks.results import KEPT, Measured, Result, bar, is_over, newest, number
from benchmarks.rows import Bench, Mode, Row, Section, Spread
from benchmarks.sections import MODULES, section, sections
from benchmarks.sizing import Nation, needs

ROOT = Path(__file__).parents[2]
CHEAP = ("primitives", "messages")
MACHINE = {"commit": "abc", "processor": "any", "cores": "2", "memory": "8 GiB", "Python": "3"}


def made(*rows: Row, yardstick: float = 10.0) -> Result:
    return Result(
        "quick",
        "2026-12-01T00:00:00",
        1.0,
        0.1,
        0.1,
        0.0,
        [yardstick],
        MACHINE,
        [Measured("s", "S", "", 1.0, list(rows))],
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run")
    named = [word for name in CHEAP for word in ("--only", name)]
    subprocess.run([sys.executable, "-m", "benchmarks", "--quick", *named, "--output", output], cwd=ROOT, check=True)
    return output


def test_run_measures_every_row_of_two_sections(run: Path) -> None:
    result = Result.read(run / "result.json")
    assert tuple(each.name for each in result.sections) == CHEAP
    assert not [(key, row.failure) for key, row in result.rows() if row.failure]
    assert all(row.values for _, row in result.rows())


def test_page_of_a_run_asks_for_nothing_else(run: Path) -> None:
    html = (run / "index.html").read_text()
    assert "<svg" in html
    assert "<table" in html
    assert "http" not in html.replace("https://www.w3.org", "")


def test_a_run_compared_with_itself_changed_nowhere(run: Path) -> None:
    words = [sys.executable, "-m", "benchmarks", "compare", run / "result.json", run / "result.json"]
    said = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "beyond their spread 0 better, 0 worse" in said


def test_performance_page_is_written_from_the_committed_result() -> None:
    file = max(KEPT.glob("*.json"))
    assert (ROOT / "docs" / "performance.md").read_text() == report(Result.read(file), file.name)


def test_committed_result_sizes_a_nation() -> None:
    kept = newest()
    assert kept is not None
    assert all(need.cores > 0 for need in needs(kept, Nation()).values())


def test_result_written_is_read_as_it_was(tmp_path: Path) -> None:
    before = made(Row("r", "ms CPU", [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 2.0, parts={"token": 0.5}, note="n"))
    before.write(tmp_path / "r.json")
    assert Result.read(tmp_path / "r.json") == before


def test_section_that_raises_is_a_row_behind_those_before_it(tmp_path: Path) -> None:
    def rows(_: Bench) -> Iterator[Row]:
        yield Row("first", "ms", [1.0])
        raise OSError("no disk")

    with Bench(Mode.QUICK, tmp_path) as bench:
        first, broke = Section("s", "S", "", rows).run(bench)
    assert first.values == [1.0]
    assert broke.failure == "OSError: no disk"


def test_module_that_is_not_there_is_a_section_with_that_as_its_row(tmp_path: Path) -> None:
    with Bench(Mode.QUICK, tmp_path) as bench:
        (row,) = section("benchmarks.sections.nowhere").run(bench)
    assert "nowhere" in row.failure


def test_sections_are_named_once_and_every_module_of_the_folder_is_run() -> None:
    names = [each.name for each in sections()]
    assert len(names) == len(set(names))
    modules = {path.stem for path in (ROOT / "benchmarks" / "sections").glob("*.py")} - {"__init__"}
    assert modules <= {module.rpartition(".")[2] for module in MODULES}


@pytest.mark.parametrize("module", [it.name for it in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")])
def test_every_module_of_the_benchmarks_loads(module: str) -> None:
    """A command that pages name, and no section does, breaks unseen otherwise."""
    if not module.endswith(".__main__"):
        importlib.import_module(module)


def test_ratio_is_pair_by_pair_where_both_were_measured_in_turns() -> None:
    assert Row("r", "ms", [2.0, 6.0, 20.0], [1.0, 2.0, 4.0]).ratio == Spread(3, 2.5, 3.0, 4.0)
    assert Row("r", "ms", [2.0, 6.0, 20.0], [1.0, 2.0]).ratio == Spread.of([2 / 1.5, 6 / 1.5, 20 / 1.5])
    assert Row("r", "ms", [2.0]).ratio is None


def test_target_is_of_the_ratio_and_the_other_way_round_where_more_is_better() -> None:
    assert reached(Row("r", "ms", [3.0], [2.0], 1.5))
    assert not reached(Row("r", "ms", [3.1], [2.0], 1.5))
    assert reached(Row("r", "a second", [3.0], target=2.0, more_is_better=True))
    assert reached(Row("r", "ms", [3.0])) is None


def test_a_tenth_more_is_over_the_bar_by_the_yardstick() -> None:
    before = made(Row("r", "ms CPU", [10.0, 10.0, 10.0]))
    for yardstick, value, over in ((10.0, 10.9, False), (10.0, 11.2, True), (20.0, 21.8, False), (20.0, 22.3, True)):
        row = Row("r", "ms CPU", [value] * 3)
        now = made(row, yardstick=yardstick)
        assert is_over(row, bar("s: r", row, before, now)) is over


def test_count_is_not_compared_by_the_yardstick() -> None:
    row = Row("r", "calls", [12.0])
    assert is_over(row, bar("s: r", row, made(Row("r", "calls", [10.0])), made(row, yardstick=30.0)))


def test_change_within_the_spread_is_not_marked() -> None:
    before, after = made(Row("r", "ms", [8.0, 10.0, 12.0])), made(Row("r", "ms", [9.0, 11.0, 13.0]))
    (change,) = changes(before, after)
    assert (change.ratio, change.word) == (pytest.approx(1.1), "")


def test_change_beyond_the_spread_is_marked_by_its_direction() -> None:
    few, many = [9.0, 10.0, 11.0], [19.0, 20.0, 21.0]
    assert [each.word for each in changes(made(Row("r", "ms", few)), made(Row("r", "ms", many)))] == ["WORSE"]
    assert [each.word for each in changes(made(Row("r", "ms", many)), made(Row("r", "ms", few)))] == ["better"]
    more = Row("r", "a second", many, more_is_better=True)
    assert [each.word for each in changes(made(replace(more, values=few)), made(more))] == ["better"]


def test_row_on_a_counted_floor_is_compared_by_its_value() -> None:
    before = made(Row("r", "ms", [10.0] * 3, [5.0], parts={"software": 5.0}))
    after = made(Row("r", "ms", [8.0] * 3, [4.0], parts={"software": 4.0}))
    assert [each.word for each in changes(before, after)] == ["better"]


def test_row_beside_another_is_compared_by_its_ratio() -> None:
    before, after = made(Row("r", "ms", [10.0] * 3, [5.0] * 3)), made(Row("r", "ms", [8.0] * 3, [4.0] * 3))
    assert [(each.ratio, each.word) for each in changes(before, after)] == [(1.0, "")]


def test_row_of_one_result_alone_is_told_and_not_compared() -> None:
    said = table(made(Row("r", "ms", [1.0])), made(Row("other", "ms", [1.0])))
    assert "0 rows in both" in said
    assert "in one alone 2" in said


def test_what_a_row_says_is_escaped() -> None:
    html = page(made(Row("<script>", "ms", failure="<b>")), None)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_numbers_have_three_digits_that_count() -> None:
    shown = {
        0: "0",
        100: "100",
        1234.5: "1,234",
        12.34: "12.3",
        1.234: "1.23",
        0.1234: "0.12",
        0.01234: "0.012",
        5.0: "5",
    }
    assert {value: number(value) for value in shown} == shown


def test_list_names_every_section() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks", "list"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert len(said.stdout.splitlines()) == len(MODULES)


def test_committed_results_are_json_of_a_run() -> None:
    for file in KEPT.glob("*.json"):
        assert json.loads(file.read_text())["sections"]
