"""The sections of a run, in the order of the page."""

import importlib

from benchmarks.rows import Bench, Row, Section

MODULES = (
    "benchmarks.sections.primitives",
    "benchmarks.sections.messages",
    "benchmarks.sections.calls",
    "benchmarks.sections.visit",
    "benchmarks.sections.streams",
    "benchmarks.sections.network_hsm",
    "benchmarks.sections.batches",
    "benchmarks.sections.answers",
    "benchmarks.sections.callers",
    "benchmarks.sections.log",
    "benchmarks.sections.storage",
    "benchmarks.sections.growth",
    "benchmarks.sections.revocations",
    "benchmarks.sections.processes",
    "benchmarks.sections.memory",
    "benchmarks.sections.startup",
    "benchmarks.sections.chart",
    "benchmarks.paper",
    "benchmarks.peers",
)


def section(module: str) -> Section:
    """Return a module's section; one that can't be imported is a section with that as its only row."""
    name = module.rpartition(".")[2]
    try:
        found = importlib.import_module(module).SECTION
    except Exception as error:  # noqa: BLE001 - the others are run all the same
        return Section(name, name.replace("_", " ").capitalize(), "", _absent(f"{type(error).__name__}: {error}"))
    assert isinstance(found, Section)
    return found


def sections() -> list[Section]:
    """Return all of them."""
    return [section(module) for module in MODULES]


def _absent(why: str):
    def rows(_: Bench) -> list[Row]:
        return [Row("not measured", "", failure=why)]

    return rows
