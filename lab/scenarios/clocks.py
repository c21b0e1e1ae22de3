"""Clocks that are wrong: within sigma (5 s by default) nobody minds; beyond, what they send is refused."""

from lab.scenario import Findings, scenario
from lab.world import World, begin_visit

WITHIN, BEYOND = 4, 90


@scenario(
    "clock-within",
    "The patient's clock is 4 s ahead of everybody's",
    "within sigma: nobody minds",
)
def clock_within(world: World, found: Findings) -> None:
    """Clocks of phones differ so much."""
    world.patients["johnnie"].host.skew_seconds = WITHIN
    said = begin_visit(world, "clock-within").complete()
    found.that("the visit is whole", "The patient signed for the diagnosis" in said, said)


@scenario(
    "clock-beyond",
    "The patient's clock is 90 s ahead, then 90 s behind",
    "refused both times: the doctor's terminal or the patient's says why, whichever notices first",
)
def clock_beyond(world: World, found: Findings) -> None:
    """A false clock would let old messages pass for new ones."""
    for skew, reason in ((BEYOND, "FUTURE_DATED"), (-BEYOND, "STALE")):
        world.patients["johnnie"].host.skew_seconds = skew
        visit = begin_visit(world, f"clock{skew:+}")
        code = visit.patient.wait()
        # The patient's terminal may be told, and end, before the doctor's has said why.
        visit.await_words(reason)
        visit.abandon()
        said = visit.said()
        found.that(f"at {skew:+} s the patient is refused", code == 1, said)
        found.that(f"at {skew:+} s the reason is {reason}", reason in said, said)


@scenario(
    "hospital-clock-stepped",
    "A's clock is set 90 s back while it serves, and set right again",
    "A refuses for as long and says why; then its record comes, without a restart",
)
def hospital_clock_stepped(world: World, found: Findings) -> None:
    """As a bad time server does it, and a good one after it.

    Either the doctor's message or the newest revocation list is from A's future: it depends on when the list was made.
    """
    hospital = world.servers["a"]
    hospital.restart(clock=world.root / "a.clock")
    process = hospital.process
    hospital.host.step(-BEYOND)
    said = begin_visit(world, "clock-stepped-back").complete()
    told = "[FUTURE_DATED]" in said or "[REVOCATION_LIST_STALE]" in said
    found.that("the doctor is told why", "RECORDS AT H:a ARE MISSING" in said and told, said)
    hospital.host.step(0)
    visit = begin_visit(world, "clock-stepped-right")
    said = visit.complete()
    found.that("A's record comes", "a" in {place for place, _ in visit.records_saved}, said)
    found.that("A serves on", hospital.process is process and process is not None and process.lives)
