"""The last release's code beside this one's: `python -m ci.upgrade NAME PYTHON DIRECTORY`, for ci/upgrade.

A federation of the last release is upgraded one node at a time, as docs/upgrading.md says, and every visit in between succeeds.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo import stage
from demo.stage import Federation, Refused, Running, run

ROOT = Path(__file__).parents[1]
ECG = ROOT / "tests" / "data" / "waveform_ecg.dcm"
RECORD = ROOT / "tests" / "data" / "synthea-johnnie679.json"
WORDS = "import sys; from federation.cli.main import main; main()"
NEW = list(stage.MEDUNION)


@contextmanager
def typing(medunion: list[str]) -> Iterator[None]:
    """Type commands of another release for the block."""
    before, stage.MEDUNION[:] = list(stage.MEDUNION), medunion
    try:
        yield
    finally:
        stage.MEDUNION[:] = before


class Upgrade:
    """A federation on its way from the old release to the new one."""

    def __init__(self, name: str, old: list[str], root: Path) -> None:
        """Know both releases' commands, and where everybody's directories go."""
        self.name, self.old, self.visits = name, old, 0
        self.federation = Federation(root)
        self.doctors: dict[str, Path] = {}
        self.patients: dict[str, Path] = {}

    def found(self) -> None:
        """Let the old release found everything, with a doctor and a patient of its own, and a record at hospital a."""
        with typing(self.old):
            self.federation.found()
            self.federation.add_hospital("a")
            self.federation.add_hospital("b")
            self.enrol("old")
            root = self.federation.root
            run(
                *("hospital", "import", "--directory", root / "a", "--patient", "P:pat-old"),
                *("--department", "H:a/cardiology", RECORD),
            )

    def enrol(self, release: str) -> None:
        """Make a doctor and a patient with the commands that are being typed."""
        self.doctors[release] = self.federation.add_doctor(f"doc-{release}")
        self.patients[release] = self.federation.add_patient(f"pat-{release}", "a")

    def server(self, directory: Path) -> Running:
        """Give the server of a node."""
        return next(it for it in reversed(self.federation.running) if it.log == directory / "serve.log")

    def upgrade(self, kind: str, label: str) -> None:
        """End a node's old server, and start the new one in its directory."""
        directory = self.federation.root / label
        self.server(directory).stop()
        (directory / "ready").unlink()
        with typing(NEW):
            self.federation.serve(kind, directory)

    def visit(self, what: str, doctor: str, patient: str, *, expects: str) -> None:
        """Play a visit at hospital b by clients of the releases that are named. Raises Refused."""
        begun = time.monotonic()
        self.visits += 1
        commands = {"old": self.old, "new": NEW}
        with typing(commands[doctor]):
            words = "--department", "cardiology", "--conclusion", "Sinus rhythm."
            consultation, code = self.federation.consult(self.doctors[doctor], "b", f"visit-{self.visits}", *words)
        with typing(commands[patient]):
            run("patient", "visit", "--directory", self.patients[patient], code, "--ecg", ECG)
        story = consultation.wait()
        for said in (expects, "H:b keeps this encounter", "The patient signed for the diagnosis"):
            if said not in story:
                raise Refused(f"{what}: not said: {said}\n{story}")
        with typing(NEW):
            self.federation.await_publication("b")
        print(f"ok  {what} ({time.monotonic() - begun:.0f} s)", flush=True)


def play(it: Upgrade) -> None:
    """Upgrade the cloud, then each hospital, then clients; every mix in between plays a visit."""
    root = it.federation.root
    it.found()
    print(f"ok  a federation of {it.name}", flush=True)
    it.upgrade("public-cloud", "cloud")
    it.visit("the cloud is new; hospitals and clients are old", "old", "old", expects="1 record found")
    # A command of the new release migrates what the old server goes on serving from.
    with typing(NEW):
        run("hospital", "log", "--directory", root / "b", "--verify")
        run("hospital", "log", "--directory", root / "a", "--verify")
    it.visit("old hospitals serve beside a schema that the new release made", "old", "old", expects="2 records found")
    with typing(it.old):
        run("hospital", "log", "--directory", root / "a", "--verify")
    print("ok  commands of the old release work on that schema", flush=True)
    it.upgrade("hospital", "b")
    it.visit("hospital b is new; a is old", "old", "old", expects="3 records found")
    it.upgrade("hospital", "a")
    it.visit("every server is new; clients are old", "old", "old", expects="4 records found")
    with typing(NEW):
        it.enrol("new")
    it.visit("the doctor is new, the patient old", "new", "old", expects="5 records found")
    it.visit("the doctor is old, the patient new", "old", "new", expects="No record of this patient is known yet")
    with typing(it.old):
        it.doctors["late"], it.patients["late"] = (
            it.federation.add_doctor("doc-late"),
            it.federation.add_patient("pat-late", "a"),
        )
    print("ok  clients and desks of the old release register with the new one", flush=True)
    it.visit("upgraded clients go on where they were", "old", "old", expects="6 records found")


def main() -> int:
    """Play it, and end every server."""
    name, python, root = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    # -P: what the old release imports is its own, not what is in this directory.
    upgrade = Upgrade(name, [python, "-P", "-c", WORDS], root)
    try:
        play(upgrade)
    finally:
        upgrade.federation.stop()
    print(f"{upgrade.visits} visits through an upgrade from {name}, none failed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
