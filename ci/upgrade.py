"""The last release's code beside this one's: `python -m ci.upgrade NAME SOURCE PYTHON DIRECTORY`, for ci/upgrade.

A federation of the last release is upgraded one node at a time, as docs/upgrading.md says, and every visit in between succeeds.
"""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

from demo import stage
from demo.stage import CONSENT, Refused, end_in_order, forked

ROOT = Path(__file__).parents[1]
ECG = ROOT / "tests" / "data" / "waveform_ecg.dcm"
RECORD = ROOT / "tests" / "data" / "synthea-johnnie679.json"
WORDS = "import sys; from federation.cli.main import main; main()"


def stage_of(source: Path, python: str) -> ModuleType:
    """Return the stage of another release: it types that release's commands, as that release has them."""
    specification = importlib.util.spec_from_file_location("old_stage", source / "demo" / "stage.py")
    if specification is None or specification.loader is None:
        raise Refused(f"{source} has no stage")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    # -P: what it imports is its own, not what is in this directory. It ends with this process, as what is forked does.
    module.MEDUNION = ["setpriv", "--pdeathsig=KILL", python, "-P", "-c", WORDS]  # type: ignore[attr-defined]
    return module


class Upgrade:
    """A federation on its way from the old release to the new one."""

    def __init__(self, old: ModuleType, root: Path) -> None:
        """Know both releases' stages, and where everybody's directories go."""
        self.root, self.visits = root, 0
        self.stages: dict[str, ModuleType] = {"old": old, "new": stage}
        self.federations = {release: module.Federation(root) for release, module in self.stages.items()}
        # One federation: whoever types knows who serves where.
        self.federations["new"].addresses = self.federations["old"].addresses
        self.federations["new"].running = self.running = self.federations["old"].running
        self.doctors: dict[str, Path] = {}
        self.patients: dict[str, Path] = {}

    def run(self, release: str, *words: object) -> None:
        """Type a command of a release. Raises Refused."""
        self.stages[release].run(*words)

    def found(self) -> None:
        """Let the old release found everything, with a doctor and a patient of its own, and a record at hospital a."""
        federation = self.federations["old"]
        federation.found()
        federation.add_hospital("a")
        federation.add_hospital("b")
        self.enrol("old", "old")
        patient, department = ("--patient", "P:pat-old"), ("--department", "cardiology")
        self.run("old", "hospital", "import", "--directory", self.root / "a", *patient, *department, RECORD)
        federation.await_publication("a")

    def enrol(self, release: str, label: str) -> None:
        """Make a doctor and a patient with the commands of a release."""
        self.doctors[label] = self.federations[release].add_doctor(f"doc-{label}")
        self.patients[label] = self.federations[release].add_patient(f"pat-{label}", "a")

    def upgrade(self, kind: str, label: str) -> None:
        """End a node's old server, and start the new one in its directory."""
        directory = self.root / label
        next(it for it in reversed(self.running) if it.log == directory / "serve.log").stop()
        (directory / "ready").unlink()
        self.federations["new"].serve(kind, directory)

    def visit(self, what: str, doctor: str, patient: str, *, expects: str) -> None:
        """Play a visit at hospital b by clients of the releases that are named. Raises Refused."""
        begun = time.monotonic()
        self.visits += 1
        words = "--department", "cardiology", "--conclusion", "Sinus rhythm."
        name = f"visit-{self.visits}"
        consultation, code = self.federations[doctor].consult(self.doctors[doctor], "b", name, *words)
        self.run(patient, "patient", "visit", "--directory", self.patients[patient], code, "--ecg", ECG, *CONSENT)
        story = consultation.wait()
        for said in (expects, "H:b keeps this encounter", "The patient signed for the diagnosis"):
            if said not in story:
                raise Refused(f"{what}: not said: {said}\n{story}")
        self.federations["new"].await_publication("b")
        print(f"ok  {what} ({time.monotonic() - begun:.0f} s)", flush=True)


def play(it: Upgrade) -> None:
    """Upgrade the cloud, then each hospital, then clients; every mix in between plays a visit."""
    it.found()
    print("ok  a federation of the old release", flush=True)
    it.upgrade("public-cloud", "cloud")
    it.visit("the cloud is new; hospitals and clients are old", "old", "old", expects="1 record found")
    # A command of the new release migrates what the old server goes on serving from.
    for label in ("a", "b"):
        it.run("new", "hospital", "log", "--directory", it.root / label, "--verify")
    it.visit("old hospitals serve beside a schema that the new release made", "old", "old", expects="2 records found")
    it.run("old", "hospital", "log", "--directory", it.root / "a", "--verify")
    print("ok  commands of the old release work on that schema", flush=True)
    it.upgrade("hospital", "b")
    it.visit("hospital b is new; a is old", "old", "old", expects="3 records found")
    it.upgrade("hospital", "a")
    it.visit("every server is new; clients are old", "old", "old", expects="4 records found")
    it.enrol("new", "new")
    it.visit("the doctor is new, the patient old", "new", "old", expects="5 records found")
    it.visit("the doctor is old, the patient new", "old", "new", expects="No record of this patient is known yet")
    it.enrol("old", "late")
    print("ok  clients of the old release register with the new one", flush=True)


def main() -> int:
    """Play it, and end every server."""
    name, source, python, root = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    end_in_order()
    upgrade = Upgrade(stage_of(source, python), root)
    with forked():
        try:
            play(upgrade)
        finally:
            upgrade.federations["new"].stop()
    print(f"{upgrade.visits} visits through an upgrade from {name}, none failed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
