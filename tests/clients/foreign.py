"""A reference client of another language, driven by the one command line that clients/README.md states."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from demo.stage import Federation, Refused, environment, run, ticket_in, write_pin

CLIENTS = Path(__file__).parents[2] / "clients"
TOOLCHAINS = {"go": ("go",), "typescript": ("node", "npm"), "java": ("java", "mvn")}
REQUIRED = os.environ.get("MEDUNION_REQUIRE_CLIENTS") == "1"
SECONDS = 90
BUILD_SECONDS = 600


@cache
def missing(language: str) -> str:
    """Name the programs of the language's toolchain that are not here, or nothing."""
    return ", ".join(name for name in TOOLCHAINS[language] if shutil.which(name) is None)


@dataclass(frozen=True)
class Party:
    """A patient or doctor whose client is of that language, at home in a directory of its own."""

    language: str
    role: str
    identity: str
    home: Path
    pin_file: Path
    settings: tuple[tuple[str, str], ...] = ()
    """What its environment has besides."""

    def start(self, *words: object, log: Path) -> "Command":
        """Start one of its commands."""
        program = [
            CLIENTS / self.language / "run",
            self.role,
            words[0],
            "--directory",
            self.home,
            "--pin-file",
            self.pin_file,
        ]
        return Command([*map(str, program), *map(str, words[1:])], log, dict(self.settings))

    def run(self, *words: object, expect: int = 0) -> dict[str, Any]:
        """Run one of its commands to the end, and give what it said. Raises Refused for another exit code."""
        return self.start(*words, log=self.home.with_suffix(f".{words[0]}.log")).wait(expect)


class Command:
    """A command of a foreign client that goes on in the background."""

    def __init__(self, words: list[str], log: Path, settings: dict[str, str]) -> None:
        """Start it; what is for people goes to the log."""
        self.words, self.log = words, log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *words],
                env=environment() | settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def wait(self, expect: int = 0) -> dict[str, Any]:
        """Wait for its end and give the object that it said last. Raises Refused for another exit code."""
        said, _ = self.process.communicate(timeout=SECONDS)
        if self.process.returncode != expect:
            raise Refused(f"{self.words}: exit code {self.process.returncode}\n{said}\n{self.log.read_text()}")
        told: dict[str, Any] = json.loads(said.splitlines()[-1])
        return told

    def stop(self) -> None:
        """End it; what it would have said is of no interest."""
        self.process.terminate()
        self.process.communicate(timeout=SECONDS)

    def wait_for(self, path: Path) -> str:
        """Wait for a file that it writes, and give its content. Raises Refused if it ends without."""
        deadline = time.monotonic() + SECONDS
        while not (path.exists() and path.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Refused(f"{path.name} did not come\n{self.log.read_text()}")
            time.sleep(0.05)
        return path.read_text().strip()


def build(language: str) -> None:
    """Build the client, so that no deadline of a command has to wait for a compiler. Raises Refused."""
    done = subprocess.run(
        [CLIENTS / language / "run", "--help"], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode != 0:
        raise Refused(f"clients/{language}/run --help: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def party(federation: Federation, language: str, role: str, label: str) -> Party:
    """Give a party that has nothing yet but a PIN."""
    identity = f"{role[0].upper()}:{label}"
    return Party(language, role, identity, federation.root / label, write_pin(federation.root / f"{label}.pin"))


def enrol_patient(federation: Federation, patient: Party, hospital: str, *words: object) -> Party:
    """Enrol a patient at a hospital's desk, and register it."""
    said = run("hospital", "ticket", "--directory", federation.root / hospital, "--no-qr", patient.identity)
    register_patient(federation, patient, ticket_in(said), *words)
    return patient


def register_patient(
    federation: Federation, party: Party, ticket: str, *words: object, expect: int = 0
) -> dict[str, Any]:
    """Register a patient with a ticket."""
    names = "--trust", federation.trust, "--identity", party.identity, "--simulated-sensor", sensor(party)
    written = party.home.with_suffix(".ticket")
    written.write_text(f"{ticket}\n")
    return party.run("register", *names, "--ticket-file", written, *words, expect=expect)


@contextmanager
def silent_cloud(federation: Federation) -> Iterator[str]:
    """Have nobody listen at the public cloud's address, which this gives, until the end."""
    directory = federation.root / "cloud"
    served = next(running for running in federation.running if running.log == directory / "serve.log")
    served.stop()
    federation.running.remove(served)
    try:
        yield json.loads(federation.trust.read_text())["bundle"]["cloud_address"]
    finally:
        (directory / "ready").unlink(missing_ok=True)
        federation.serve("public-cloud", directory)


def sensor(party: Party) -> Path:
    """Give the file that stands for the person's fuzzy key."""
    path = party.home.with_suffix(".sensor")
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(os.urandom(32))
    return path


def certify_doctor(federation: Federation, doctor: Party, *words: object) -> Party:
    """Make a doctor's keys, have the authority certify them, and register it."""
    request = doctor.run("init", "--trust", federation.trust, "--identity", doctor.identity, *words)["request"]
    certificate = doctor.home.with_suffix(".der")
    run(
        *("authority", "issue", "--directory", federation.root / "authority", "--doctor", doctor.identity),
        *("--request", request, "--output", certificate),
    )
    registered = doctor.run("register", "--certificate", certificate)
    assert registered["identity"] == doctor.identity
    return doctor
