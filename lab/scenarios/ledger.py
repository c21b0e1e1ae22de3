"""After everything else: what was acknowledged is there, once."""

from lab.scenario import Findings, scenario, verify_log
from lab.world import World, begin_visit, names_in


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
    found.that(
        "no operational log names anybody",
        not [name for name, server in world.servers.items() if names_in(server.said().encode())],
    )
    for label in world.servers:
        verify_log(world, found, label)
