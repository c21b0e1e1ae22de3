"""Machines that stop: killed at once, as by a power cut, or frozen with their connections open."""

from demo.stage import ticket_in
from lab.hosts import wait_until
from lab.scenario import Findings, scenario
from lab.world import World, begin_visit


@scenario(
    "hospital-killed",
    "B is killed while the doctor writes the conclusion, and comes back",
    "relay and records go on where they were; diagnosis, deposit and receipt get through",
)
def hospital_killed(world: World, found: Findings) -> None:
    """The rooms and their frames are in B's store; the clients connect again by themselves."""
    visit = begin_visit(world, "hospital-killed")
    visit.until_read()
    world.servers["b"].kill()
    visit.conclude()
    world.servers["b"].restart()
    found.that("both sides end well", visit.finish() == (0, 0), visit.said())
    found.that("B signed for the encounter", visit.kept, visit.doctor.said())


@scenario(
    "killed-at-deposit",
    "B is killed as soon as the diagnosis is on its way, in the middle of the deposit",
    "the deposit is sent again, by the client or by `doctor deposit`; B keeps it once",
)
def killed_at_deposit(world: World, found: Findings) -> None:
    """Wherever the kill falls: before the deposit, in it, or between keeping and signing for it."""
    hospital, doctor = world.servers["b"], world.doctors["chen"]
    before = _records_at_b(world)
    visit = begin_visit(world, "killed-at-deposit")
    visit.until_read()
    visit.conclude()
    wait_until(lambda: '"D5"' in visit.trace.read_text(), "D5 is sent")
    hospital.kill()
    hospital.restart()
    visit.finish()
    again = doctor.run("deposit", expect=None)
    world.keep("b", again)
    found.that("no deposit waits", "No encounter waits" in doctor.run("deposit"), again)
    found.that("B has one record more", _records_at_b(world) == before + 1, visit.doctor.said() + again)


@scenario(
    "hospital-frozen",
    "A is frozen while its record is asked for, and goes on",
    "the record comes late, and whole",
)
def hospital_frozen(world: World, found: Findings) -> None:
    """A connection that is open and silent is given time."""
    hospital = world.servers["a"]
    hospital.freeze()
    visit = begin_visit(world, "hospital-frozen")
    wait_until(lambda: '"D3"' in visit.trace.read_text(), "D3 is sent")
    hospital.thaw()
    said = visit.complete()
    found.that("A's record came", "a" in {hospital for hospital, _ in visit.records_saved}, said)


@scenario(
    "cloud-killed",
    "The public cloud is killed right after it registered a patient",
    "the desk is told that it does not answer; afterwards the registration holds, and its ticket is used up",
)
def cloud_killed(world: World, found: Findings) -> None:
    """What was acknowledged is durable."""
    nova, other = world.new_patient("nova"), world.new_patient("other")
    ticket = world.ticket_file("nova", ticket_in(world.ticket("a", nova)))
    nova.run("register", "--ticket-file", ticket)
    world.cloud.kill()
    said = world.ticket("a", other, expect=1)
    found.that("there is no ticket without the cloud", "[UNAVAILABLE]" in said, said)
    world.cloud.restart()
    said = other.run("register", "--ticket-file", ticket, expect=1)
    found.that("the ticket is good no more", "[REJECTED]" in said, said)
    found.that("the cloud's log says why", '"reason": "TICKET_INVALID"' in world.cloud.run("log"))
    said = begin_visit(world, "cloud-killed", patient="nova").complete()
    found.that("the patient is seen", "P:nova is here" in said, said)


@scenario(
    "clients-killed",
    "The doctor's and the patient's programs are killed in the middle of a visit",
    "both begin a new visit; what the patient gets is signed as ever",
)
def clients_killed(world: World, found: Findings) -> None:
    """A consultation's keys are in memory alone: it is over; the next one is another."""
    visit = begin_visit(world, "clients-killed")
    visit.until_read()
    visit.abandon()
    said = begin_visit(world, "clients-again").complete()
    found.that("the next visit is whole", "The patient signed for the diagnosis" in said, said)


def _records_at_b(world: World) -> int:
    said = world.servers["b"].run("records count")
    return sum(int(line.rpartition(": ")[2]) for line in said.splitlines())
