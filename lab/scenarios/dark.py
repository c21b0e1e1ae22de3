"""The public cloud is dark for three days: clocks are moved, not waited for.

Played last: what is signed there is from the future once the clocks are right again.
"""

import json
import re
from pathlib import Path

from demo.stage import CLASS
from lab.hosts import Server, wait_until
from lab.scenario import Findings, scenario
from lab.world import DOCTORS, HOSPITALS, Person, World, begin_visit

HOURS = 71
_REASON = "unconscious"
_MONTH = "--read", "everywhere", "--days", "30", "--yes"
_NUMBER = re.compile(r"^(\d+)  ", re.MULTILINE)
_ENTRIES = re.compile(r"the revocation list has (\d+) entries")


@scenario(
    "hub-dark",
    f"The public cloud stops, and comes back {HOURS} hours later",
    "a known patient, a deposit and an emergency go on; what was taken back before opens nothing; afterwards nothing is lost,"
    " what a patient took back meanwhile is told, and so is the emergency",
)
def hub_dark(world: World, found: Findings) -> None:
    """Hospitals and clients have a grace of three days here."""
    _prepare(world)
    johnnie = world.patients["johnnie"]
    begin_visit(world, "before-dark", consent=_MONTH).complete()
    stands = _newest_grant(johnnie)
    begin_visit(world, "taken-back-before-dark", consent=_MONTH).complete()
    fallen = _newest_grant(johnnie)
    johnnie.run("records list")
    world.await_publication()
    before = _entries(world)
    johnnie.run("revoke", fallen)
    wait_until(lambda: all(_entries(world)[it] > before[it] for it in HOSPITALS), "every hospital has the list of now")
    _fall(world)
    _visit(world, found, stands, fallen)
    said = johnnie.run("revoke", stands)
    found.that("what is taken back waits, and the patient is told so", "waits" in said, said)
    _emergency(world, found)
    _return(world, found)


def _prepare(world: World) -> None:
    for label in HOSPITALS:
        _set(world.servers[label].directory, "grace_hours", "72")
        _set(world.servers[label].directory, "reasons", json.dumps([_REASON]))
        world.servers[label].restart()
    for person in (*world.doctors.values(), *world.patients.values()):
        _set(person.directory, "grace_hours", "72")


def _set(directory: Path, name: str, value: str) -> None:
    """Set what `init` wrote as it is by default."""
    settings = directory / "medunion.toml"
    text, times = re.subn(rf"^#?{name} = .*$", f"{name} = {value}", settings.read_text(), flags=re.MULTILINE)
    assert times == 1, name  # noqa: S101 - the setting is there
    settings.write_text(text)


def _fall(world: World) -> None:
    """Stop the cloud, move everybody's clock, and carry what an authority publishes to the hospitals."""
    world.cloud.kill()
    for host in world.hosts.values():
        host.skew_seconds = HOURS * 3600
    crl = world.root / "later.crl"
    world.hosts["medunion-board"].run("authority", "crl", "--directory", world.root / "board", "--output", crl)
    for label in HOSPITALS:
        server = world.servers[label]
        server.kill()
        server.run("crl", crl)  # a server that runs has it within minutes, one that starts at once
        server.restart(HOURS * 3600)
    for label, hospital in DOCTORS.items():
        world.servers[hospital].run("duty add", world.doctors[label].identity, "--department", CLASS)


def _visit(world: World, found: Findings, stands: str, fallen: str) -> None:
    visit = begin_visit(world, "dark", consent=("--under", stands, "--yes"))
    said = visit.until_read()
    found.that("the doctor is told from when the patient's knowledge is", "SOME MAY BE MISSING" in said, said)
    found.that("A's record comes", "a" in {place for place, _ in visit.records_saved}, said)
    visit.conclude()
    found.that("both sides end well, and B keeps the encounter", visit.finish() == (0, 0) and visit.kept, visit.said())
    refused = begin_visit(world, "dark-fallen", consent=("--under", fallen, "--yes"))
    code = refused.patient.wait()
    refused.abandon()
    words = refused.patient.said()
    found.that("what was taken back before opens nothing", code == 1 and "[GRANT_REVOKED]" in words, words)


def _emergency(world: World, found: Findings) -> None:
    saved = world.root / "visits" / "dark-emergency"
    said = world.doctors["chen"].run(
        "emergency read",
        *("--hospital", "H:b", "--address", world.address("b"), "--patient", "P:johnnie"),
        *("--reason", _REASON, "--note", "Found on the street.", "--ask", "H:a", world.address("a")),
        *("--save", saved, "--yes"),
        expect=None,
    )
    found.that("the emergency is read at A", "From H:a" in said, said)
    log = world.servers["a"].run("log")
    ages = [int(age) for age in re.findall(r'"list_age_seconds": (\d+)', log)]
    found.that("A's log says how old the list was", ages and max(ages) >= HOURS * 3600, ages)


def _return(world: World, found: Findings) -> None:
    """Nothing is lost, nothing is honoured late, everything is told."""
    johnnie = world.patients["johnnie"]
    found.that("B's outbox waits", "0 waiting" not in world.servers["b"].run("outbox"))
    world.cloud.run("crl", world.root / "later.crl")
    world.cloud.restart(HOURS * 3600)
    world.await_publication()
    told = johnnie.run("accesses")
    found.that("the patient is told of the emergency", "IN AN EMERGENCY" in told, told)
    grants = johnnie.run("grants")
    found.that("what waited is taken back", grants.count("TAKEN BACK") >= 2, grants)
    reviews = world.servers["a"].run("emergencies list", "--open")
    found.that("A's officer has it to review", "P:johnnie" in reviews, reviews)
    visit = begin_visit(world, "after-dark")
    visit.until_read()
    signed_for = {(hospital, handle[:8]) for hospital, handle in world.acknowledged}
    kept = {place for place in visit.records_saved if place[0] != "a"}
    found.that("every encounter is found", kept == signed_for, f"found {sorted(kept)}, signed for {sorted(signed_for)}")
    visit.conclude()
    found.that("the visit after it is whole", visit.finish() == (0, 0), visit.said())


def _newest_grant(patient: Person) -> str:
    numbers: list[str] = _NUMBER.findall(patient.run("grants"))
    return numbers[-1]


def _entries(world: World) -> dict[str, int]:
    return {label: _entries_at(world.servers[label]) for label in HOSPITALS}


def _entries_at(server: Server) -> int:
    (count,) = _ENTRIES.findall(server.host.run("check", "--directory", server.directory, expect=None))
    return int(count)
