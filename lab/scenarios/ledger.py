"""After everything else: what was acknowledged is there, once."""

from collections.abc import Iterator

from demo.disclosures import disclosures, log_lines
from lab.scenario import Findings, scenario, verify_log
from lab.world import FAMILY_NAME, World, begin_visit


@scenario(
    "ledger",
    "One more visit, after all that happened",
    "it finds every encounter that a hospital signed for, once; every audit log verifies",
)
def ledger(world: World, found: Findings) -> None:
    """The index is asked by a doctor, as always: nobody else may look."""
    world.await_publication()
    signed_for = {(hospital, handle[:8]) for hospital, handle in world.acknowledged}
    visit = begin_visit(world, "ledger")
    said = visit.until_read()
    kept = {place for place in visit.records_saved if place[0] != "a"}
    found.that("each is found", kept == signed_for, f"found {sorted(kept)}, signed for {sorted(signed_for)}")
    found.that("each is found once", f"{len(signed_for) + 1} record" in said, said)
    visit.conclude()
    found.that("the visit is whole", visit.finish() == (0, 0), visit.doctor.said())
    secrets = {FAMILY_NAME.decode(), *_pins(world)}
    disclosed = [fault for server in world.servers.values() for fault in disclosures(server.said(), secrets)]
    found.that("no operational log names anybody, or holds a key or a PIN", not disclosed, "\n".join(disclosed))
    silent = [name for name, server in world.servers.items() if not list(log_lines(server.said()))]
    found.that("every server has an operational log", not silent, silent)
    for label in world.servers:
        verify_log(world, found, label)


def _pins(world: World) -> Iterator[str]:
    for pattern in ("pin", "*.pin"):
        for path in world.root.rglob(pattern):
            yield path.read_text().strip()
