"""Links that fail: cut, so that both sides are told; parted, so that nobody is; and bad ones that lose packets."""

import time
from datetime import timedelta

from lab.hosts import Server, wait_until
from lab.line import Conditions
from lab.scenario import Findings, scenario
from lab.world import RECORD, World, begin_visit

BAD_LINE = Conditions(delay=timedelta(milliseconds=40), loss=0.02)
SLOW_BYTES_A_SECOND = 16_000
SLOW_LINE = Conditions(delay=timedelta(milliseconds=40), bytes_a_second=SLOW_BYTES_A_SECOND)
SLOW_SECONDS = 240.0


@scenario(
    "cloud-away",
    "The public cloud is cut off during a visit, and B is killed before it is back",
    "the doctor is told that nothing could be looked for; diagnosis and deposit go on; published once when the cloud is back",
)
def cloud_away(world: World, found: Findings) -> None:
    """What was current before the cut holds for up to an hour; the outbox outlives its process."""
    world.await_publication()
    hospital, before = world.servers["b"], _publications(world)
    world.network.cut("cloud")
    visit = begin_visit(world, "cloud-away")
    said = visit.until_read()
    found.that("the doctor is told", "could not be asked" in said and "[UNAVAILABLE]" in said, said)
    visit.conclude()
    found.that("both sides end well", visit.finish() == (0, 0), visit.doctor.said())
    found.that("B signed for the encounter", visit.kept, visit.doctor.said())
    wait_until(lambda: "publication-postponed" in hospital.said(), "B's outbox puts the publication off")
    found.that("B's outbox waits", "1 waiting" in hospital.run("outbox"))
    hospital.kill()
    world.heal()
    world.await_publication("b")
    found.that(
        "it is published once", _publications(world) == before + 1, f"{before} before, {_publications(world)} now"
    )


@scenario(
    "hospital-away",
    "Hospital A is cut off when its record is fetched",
    "the doctor is told which hospital is missing; B's own records come; the visit goes on",
)
def hospital_away(world: World, found: Findings) -> None:
    """One peer that is down does not stop the rest."""
    world.network.cut("a")
    _without_a(world, found, "hospital-away")


@scenario(
    "hospital-silent",
    "What A and B send to each other is swallowed without a word",
    "as when it is cut off, after the time that a connection may take",
)
def hospital_silent(world: World, found: Findings) -> None:
    """A router that drops packets tells nobody."""
    world.network.part("a", "b")
    _without_a(world, found, "hospital-silent")


@scenario(
    "lines-silent",
    "Home and B hear nothing of each other while B is killed and comes back; meanwhile what A sends to C is swallowed, one way",
    "the device finds out that its connection has no other end, and has the diagnosis; at C the doctor is told what is missing",
)
def lines_silent(world: World, found: Findings) -> None:
    """Half-open connections: only the keepalive finds the first, and only the dial's deadline the second."""
    visit = begin_visit(world, "lines-silent")
    visit.until_read()
    world.network.part("home", "b")
    world.servers["b"].restart()
    world.network.heal()
    visit.conclude()
    _unheard(world, found)
    # A ping goes out after 30 s, and is awaited for 40.
    visit.patient.wait_for_words("Signed by D:chen", seconds=120)
    found.that("the doctor ends well", visit.finish()[0] == 0, visit.said())


def _unheard(world: World, found: Findings) -> None:
    patient = ("--patient", world.patients["ada"].identity, "--department", "cardiology", RECORD)
    world.servers["a"].run("import", *patient)
    world.await_publication("a")
    world.network.silence("a", "c")
    visit = begin_visit(world, "unheard", doctor="okafor", patient="ada")
    said = visit.until_read()
    found.that("C's doctor is told that A's record is missing", "H:a" in said and "[UNAVAILABLE]" in said, said)
    visit.conclude()
    found.that("C's visit ends well", visit.finish() == (0, 0), visit.doctor.said())
    world.network.heal()


@scenario(
    "patient-cut-off",
    "The patient's line is cut before the diagnosis is signed, and heals",
    "the diagnosis waits at the relay, the device fetches it by itself, the doctor gets the receipt",
)
def patient_cut_off(world: World, found: Findings) -> None:
    """Both programs go on meanwhile: nobody types anything again."""
    visit = begin_visit(world, "patient-cut-off")
    visit.until_read()
    world.network.cut("home")
    visit.conclude()
    visit.doctor.wait_for_words("Waiting for the patient's receipt")
    found.that("the patient has nothing yet", "Signed by" not in visit.patient.said())
    world.network.heal()
    found.that("both sides end well", visit.finish() == (0, 0), visit.said())
    found.that("the diagnosis came", "Signed by D:chen" in visit.patient.said(), visit.patient.said())
    found.that("so did its receipt", "The patient signed for the diagnosis" in visit.doctor.said(), visit.doctor.said())


@scenario(
    "bad-line",
    "The patient's line takes 40 ms each way and loses 2 packets in 100",
    "slower, and otherwise as ever: the ECG arrives whole",
)
def bad_line(world: World, found: Findings) -> None:
    """TCP's work; what is tried is that no deadline of ours is too short for it."""
    line = world.network.worsen("home", BAD_LINE)
    said = begin_visit(world, "bad-line").complete()
    found.that("the ECG arrived whole", "ECG, 12 leads, 10 s" in said, said)
    found.that("packets were lost on the way", line.lost > 0, f"{line.passed} passed, {line.lost} lost")


@scenario(
    "slow-line",
    "Hospital A's line takes 128 kbit/s when its record of 0.7 MB is fetched",
    "it comes whole, in one session, which A logs once",
)
def slow_line(world: World, found: Findings) -> None:
    """What goes on counts, not how long it takes: slices go by the reader's pace."""
    hospital = world.servers["a"]
    before = _transfers(hospital)
    world.network.worsen("a", SLOW_LINE)
    began, visit = time.monotonic(), begin_visit(world, "slow-line")
    said = visit.until_read(SLOW_SECONDS)
    seconds = time.monotonic() - began
    saved = [path.read_bytes() for path in visit.saved.glob("a-*.json")]
    found.that("A's record came byte for byte", saved == [RECORD.read_bytes()], said)
    sessions = _transfers(hospital)[len(before) :]
    found.that("in one session, logged once", len(sessions) == 1 and '"OK"' in sessions[0], "\n".join(sessions))
    found.that("no faster than the line", seconds > RECORD.stat().st_size / SLOW_BYTES_A_SECOND, f"{seconds:.0f} s")
    visit.conclude()
    found.that("both sides end well", visit.finish(SLOW_SECONDS) == (0, 0), visit.said())


@scenario(
    "slow-uplink",
    "The patient's line takes 128 kbit/s, and it brings an ECG",
    "the ECG arrives whole, the patient has its diagnosis, the doctor the receipt",
)
def slow_uplink(world: World, found: Findings) -> None:
    """The relay is called with one frame at a time: each has to pass within a call."""
    world.network.worsen("home", SLOW_LINE)
    visit = begin_visit(world, "slow-uplink")
    said = visit.until_read(SLOW_SECONDS)
    found.that("the ECG arrived whole", "ECG, 12 leads, 10 s" in said, said)
    visit.conclude()
    found.that("both sides end well", visit.finish(SLOW_SECONDS) == (0, 0), visit.said())
    found.that("the diagnosis came", "Signed by D:chen" in visit.patient.said(), visit.patient.said())
    found.that("so did its receipt", "The patient signed for the diagnosis" in visit.doctor.said(), visit.doctor.said())


@scenario(
    "consent-taken-back",
    "The patient takes its consent back during the visit",
    "B knows at once and refuses the deposit with GRANT_REVOKED; the patient has its diagnosis all the same",
)
def consent_taken_back(world: World, found: Findings) -> None:
    """A new list is pushed to every hospital (docs/protocol.md, 7)."""
    visit = begin_visit(world, "taken-back")
    visit.until_read()
    _take_back(world, found)
    visit.conclude()
    codes = visit.finish()
    said = visit.doctor.said()
    found.that("the deposit is refused", codes[0] == 1 and "[GRANT_REVOKED]" in said and not visit.kept, said)
    found.that("the patient has its diagnosis", codes[1] == 0 and "Signed by D:chen" in visit.patient.said(), codes)


@scenario(
    "consent-parted",
    "The same, while B does not hear from the public cloud",
    "B goes by its last list, as it may for an hour, and keeps the encounter",
)
def consent_parted(world: World, found: Findings) -> None:
    """What revocation without the cloud is worth, said plainly."""
    visit = begin_visit(world, "parted")
    visit.until_read()
    world.network.part("b", "cloud")
    _take_back(world, found)
    visit.conclude()
    found.that("B keeps the encounter", visit.finish() == (0, 0) and visit.kept, visit.doctor.said())
    world.heal()
    world.await_publication("b")


def _without_a(world: World, found: Findings, name: str) -> None:
    visit = begin_visit(world, name)
    said = visit.until_read()
    found.that("the doctor is told that A's record is missing", "H:a" in said and "[UNAVAILABLE]" in said, said)
    expected = {hospital for hospital, _ in world.acknowledged}
    found.that("everybody else's records came", {place for place, _ in visit.records_saved} == expected, said)
    visit.conclude()
    found.that("both sides end well", visit.finish() == (0, 0), visit.doctor.said())


def _take_back(world: World, found: Findings) -> None:
    patient = world.patients["johnnie"]
    patient.run("revoke", "--last")
    newest = [line for line in patient.run("grants").splitlines() if not line.startswith(" ")][-1]
    found.that("the consent is taken back", "TAKEN BACK" in newest, newest)


def _transfers(hospital: Server) -> list[str]:
    return [entry for entry in hospital.run("log").splitlines() if " bytes sent" in entry]


def _publications(world: World) -> int:
    return world.cloud.run("log").count('"kind": "PUBLICATION"')
