"""Visits while nothing is wrong: what must hold before anything else is tried."""

import json
from pathlib import Path

from lab.scenario import Findings, scenario
from lab.wiretap import Wiretap
from lab.world import RECORD, World, begin_visit, names_in


@scenario(
    "visit",
    "A patient with a record at A visits a doctor at B",
    "found, fetched, diagnosed, kept at B, published; C took no part; neither the line nor the relay sees who the patient is",
)
def visit(world: World, found: Findings) -> None:
    """Everything of a visit, and who learnt of it."""
    aside = world.servers["c"].run("log")
    with Wiretap() as tap:
        began = begin_visit(world, "visit")
        said = began.complete()
        world.await_publication("b")
    found.that("the search found A's record", "1 record found" in said, said)
    saved = [path.read_bytes() for path in began.saved.glob("a-*.json")]
    found.that("A's record came byte for byte", saved == [RECORD.read_bytes()], began.records_saved)
    found.that("B signed for the encounter", ("b", *began.kept) in world.acknowledged, said)
    found.that("the patient signed for the diagnosis", "The patient signed for the diagnosis" in said, said)
    found.that("C's log has nothing new", world.servers["c"].run("log") == aside)
    found.that("the wiretap heard the visit", len(tap.heard) > len(RECORD.read_bytes()), len(tap.heard))
    found.that("no name passed between the sites in clear", not names_in(bytes(tap.heard)))
    onlooker = json.dumps([_onlooker(path) for path in (began.trace, began.trace.with_name("patient.trace"))]).encode()
    found.that("inside TLS the relay saw frames, and no name in them", onlooker and not names_in(onlooker))
    on_disk = [
        path for path in world.servers["b"].directory.rglob("*") if path.is_file() and names_in(path.read_bytes())
    ]
    found.that("B's disk and its operational log hold no name in clear", not on_disk, on_disk)


@scenario(
    "consent-bounds",
    "The patient's consent covers hospital C alone; the doctor is at C",
    "nothing of A or B is found; C keeps the encounter",
)
def consent_bounds(world: World, found: Findings) -> None:
    """A grant that names its hospitals."""
    said = begin_visit(world, "consent", doctor="okafor", consent=("--read", "here", "--yes")).complete()
    found.that("no record elsewhere is found", "No record of this patient is known yet" in said, said)
    found.that("C keeps the encounter", "H:c keeps this encounter" in said, said)


def _onlooker(trace: Path) -> list[object]:
    return [json.loads(line)["onlooker_sees"] for line in trace.read_text().splitlines()]


@scenario(
    "side-by-side",
    "Two patients visit two doctors at two hospitals at the same time",
    "each doctor sees its own patient; the one without records has none",
)
def side_by_side(world: World, found: Findings) -> None:
    """P:ada is nobody's patient yet."""
    here, there = begin_visit(world, "side-b"), begin_visit(world, "side-c", doctor="okafor", patient="ada")
    here.until_read()
    said = there.complete()
    found.that(
        "C's doctor sees P:ada, who has no record", "P:ada is here" in said and "No record of this" in said, said
    )
    said = here.complete()
    found.that("B's doctor sees P:johnnie and its record", "P:johnnie is here" in said and "From H:a" in said, said)
