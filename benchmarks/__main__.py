"""`python -m benchmarks`: measure, and write a page with its numbers beside it. Compare two runs; write docs/performance.md."""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import machine
from benchmarks.comparison import table
from benchmarks.page import page
from benchmarks.report import report
from benchmarks.results import Measured, Result, newest, shown
from benchmarks.rows import Bench, Mode, Row, Section
from benchmarks.sections import sections

OPEN_FILES = 8192


@click.group(invoke_without_command=True)
@click.option(
    "--quick", "mode", flag_value=Mode.QUICK, type=Mode, help="Under three minutes: fewer repeats, small tables."
)
@click.option(
    "--standard", "mode", flag_value=Mode.STANDARD, type=Mode, default=Mode.STANDARD, help="Under twelve; the default."
)
@click.option("--full", "mode", flag_value=Mode.FULL, type=Mode, help="With the largest tables and records: an hour.")
@click.option("--only", multiple=True, metavar="NAME", help="This section alone, and others so named.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/benchmarks"), help="Where to write.")
@click.pass_context
def main(context: click.Context, mode: Mode, only: Sequence[str], output: Path) -> None:
    """Measure what medunion costs. Progress goes to standard error; a page and its JSON to the output's directory."""
    if context.invoked_subcommand is not None:
        return
    chosen = _chosen(only)
    result = measured(chosen, mode)
    output.mkdir(parents=True, exist_ok=True)
    result.write(output / "result.json")
    (output / "index.html").write_text(page(result, newest()))
    click.echo(f"{output / 'index.html'}\n{output / 'result.json'}")


@main.command("list")
def list_sections() -> None:
    """Name the sections and what each is for."""
    for section in sections():
        click.echo(f"{section.name:14} {section.title}")


@main.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
def compare(before: Path, after: Path) -> None:
    """Print two results beside each other; those beyond their spread are marked."""
    click.echo(table(Result.read(before), Result.read(after)))


@main.command("report")
@click.argument("result", type=click.Path(exists=True, path_type=Path))
def write_report(result: Path) -> None:
    """Print docs/performance.md as this result has it."""
    click.echo(report(Result.read(result), result.name), nl=False)


@main.command("page")
@click.argument("result", type=click.Path(exists=True, path_type=Path))
def write_page(result: Path) -> None:
    """Print the page of a result."""
    click.echo(page(Result.read(result), newest()), nl=False)


def measured(chosen: Sequence[Section], mode: Mode) -> Result:
    """Run sections, one after the other."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    began, moment, described = time.monotonic(), datetime.now(UTC), machine.described()
    load, neighbours, own = os.getloadavg()[0], machine.Neighbours(), machine.own_seconds()
    yardsticks, found = [machine.yardstick_ms()], []
    with tempfile.TemporaryDirectory(prefix="medunion-benchmarks-") as directory, Bench(mode, Path(directory)) as bench:
        found = [_section(section, bench, began) for section in chosen]
    yardsticks.append(machine.yardstick_ms())
    return Result(
        mode=mode.name.lower(),
        began=moment.isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
        load_before=load,
        load_after=os.getloadavg()[0],
        others_percent=neighbours.percent(machine.own_seconds() - own),
        yardstick_ms=yardsticks,
        machine=described,
        sections=found,
    )


def _section(section: Section, bench: Bench, began: float) -> Measured:
    _say(f"[{time.monotonic() - began:4.0f} s] {section.name}: {section.title}")
    start, rows = time.monotonic(), []
    for row in section.run(bench):
        rows.append(row)
        _say(f"    {_line(row)}")
    return Measured(section.name, section.title, section.why, time.monotonic() - start, rows)


def _line(row: Row) -> str:
    if row.failure:
        return f"{row.name}: {row.failure}"
    ratio = f", x floor {shown(row.ratio)}" if row.ratio else ""
    target = "" if row.target is None else f" [to reach: {row.target:g}]"
    return f"{row.name}: {shown(row.spread)} {row.unit}{ratio}{target}"


def _chosen(only: Sequence[str]) -> list[Section]:
    found = sections()
    unknown = set(only) - {section.name for section in found}
    if unknown:
        raise click.UsageError(f"no section is called {', '.join(sorted(unknown))}; see `python -m benchmarks list`")
    return [section for section in found if not only or section.name in only]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
