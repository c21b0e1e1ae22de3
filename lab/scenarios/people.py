"""What people do in the middle of a visit: a patient says no, a federation shuts a doctor out."""

from lab.hosts import Server
from lab.scenario import Findings, scenario
from lab.world import World, begin_visit


@scenario(
    "consent-denied",
    "The patient reads what it would sign, and says no; then yes, to less, by the same code",
    "nothing is signed or sent, and B's log has nothing; the doctor waits on; the second time the visit is as agreed",
)
def consent_denied(world: World, found: Findings) -> None:
    """Asked before the room is entered."""
    hospital = world.servers["b"]
    before = _of_patient(hospital)
    visit = begin_visit(world, "denied", consent=("--read", "everywhere"))
    visit.patient.wait_for_words("Go in, and sign this?")
    visit.patient.type("n")
    code, said = visit.patient.wait(), visit.patient.said()
    found.that(
        "the patient is told that nothing went out", code == 1 and "nothing is signed, nothing is sent" in said, said
    )
    found.that(
        "the doctor waits on", visit.doctor.said().rstrip().endswith("Waiting for the patient ..."), visit.doctor.said()
    )
    found.that("B's log has nothing of it", _of_patient(hospital) == before)
    visit.come_again(("--no-keep", "--yes"))
    visit.until_read()
    visit.conclude()
    codes, said = visit.finish(), visit.doctor.said()
    found.that("both sides end well", codes == (0, 0), visit.said())
    found.that("nothing was looked for, nothing is kept", "none is looked for" in said and not visit.kept, said)


@scenario(
    "doctor-revoked",
    "The doctor is revoked while it writes the conclusion, and registers again",
    "nothing more is taken from it, and the patient is told who fell; afterwards it works as before",
)
def doctor_revoked(world: World, found: Findings) -> None:
    """The hospital that the room is at has the new list within seconds."""
    doctor = world.doctors["chen"]
    visit = begin_visit(world, "doctor-revoked")
    visit.until_read()
    world.cloud.run("revoke", doctor.identity)
    code, said = visit.patient.wait(), visit.patient.said()
    found.that("the patient is told that it is the doctor", code == 1 and "D:chen WAS SHUT OUT" in said, said)
    found.that("and which consent stands", "Your consent no." in said and "taken back by" in said, said)
    visit.conclude()
    code, said = visit.doctor.wait(), visit.doctor.said()
    found.that(
        "the doctor is told, and that nothing went out",
        code == 1 and "NOT SENT" in said and "[CREDENTIAL_REVOKED]" in said,
        said,
    )
    found.that("B keeps nothing", not visit.kept, said)
    checked = doctor.host.run("check", "--directory", doctor.directory, expect=1)
    found.that("its `check` says so", "WRONG  registration  the credential is revoked" in checked, checked)
    doctor.run("register", "--certificate", world.root / "chen.der")
    said = begin_visit(world, "registered-again").complete()
    found.that("registered again, the next visit is whole", "The patient signed for the diagnosis" in said, said)


def _of_patient(server: Server) -> str:
    return server.run("log", "--patient", "P:johnnie")
