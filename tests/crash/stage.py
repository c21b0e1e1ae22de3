"""A federation of real commands, each a process of its own, that can be killed at any moment and started again."""

import json
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from demo.stage import free_address, ticket_in, write_pin
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, HospitalSettings
from tests.crash.nursery import Child, Nursery
from tests.crash.people import Place

SECONDS = 60
HOSPITAL = "H:a"


@dataclass
class TokenFiles:
    """SoftHSM empties a token's main file and writes it anew at each login: a kill in between loses the token, as no HSM would.

    A node puts it back (`hsm.softhsm`); the practice's many tokens in one process are put back here. How often says `lost`.
    """

    lost: int = 0
    _kept: dict[Path, bytes] = field(default_factory=dict)

    def keep(self, root: Path) -> None:
        """Copy the main file of every token below."""
        self._kept = {path: path.read_bytes() for path in root.rglob("token.object")}

    def mend(self) -> None:
        """Put back what a kill emptied."""
        for path, content in self._kept.items():
            if path.exists() and path.stat().st_size != len(content):
                path.write_bytes(content)
                self.lost += 1


@dataclass
class Server:
    """The public cloud's or the hospital's serving process."""

    nursery: Nursery
    kind: str
    directory: Path
    tokens: TokenFiles
    child: Child | None = None

    @property
    def ready(self) -> Path:
        return self.directory / "ready"

    def start(self) -> None:
        """Start it; `is_serving` says when it takes calls."""
        self.ready.unlink(missing_ok=True)
        self.tokens.mend()
        words = (self.kind, "serve", "--directory", self.directory, "--ready-file", self.ready)
        self.child = self.nursery.medunion(self.kind, self.directory / "serve.log", *words)

    def is_serving(self) -> bool:
        return self.child is not None and self.child.is_alive() and self.ready.exists()

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()

    def kill_worker(self, chance: Random) -> bool:
        """Kill one of its processes, if there is a supervisor to start it again; say whether one was killed."""
        workers = [] if self.child is None else self.child.children()
        return bool(workers) and self.child is not None and self.child.kill_child(chance.choice(workers))

    def await_serving(self, seconds: float = SECONDS) -> None:
        """Wait until it takes calls; one that ends instead, as while its database is away, is started again."""
        deadline = time.monotonic() + seconds
        while not self.is_serving():
            assert time.monotonic() < deadline, f"{self.kind} does not serve:\n{self._last_words()}"
            if self.child is None or not self.child.is_alive():
                self.start()
            time.sleep(0.02)

    def _last_words(self) -> str:
        return self.child.said()[-3000:] if self.child is not None else ""


@dataclass
class Federation:
    """One public cloud, a medical authority, a hospital, a practice; `databases` names where the servers keep their rows."""

    nursery: Nursery
    root: Path
    databases: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    """Of each server: with more than one, a supervisor keeps them going."""
    recoverable: bool = False
    """Whether the servers' keys come from a seed whose shares are kept."""
    doctors: tuple[str, ...] = ("d0",)
    patients: tuple[str, ...] = ("p0", "p1", "p2", "p3")

    def __post_init__(self) -> None:
        self.tokens = TokenFiles()
        self.cloud = Server(self.nursery, "public-cloud", self.root / "cloud", self.tokens)
        self.hospital = Server(self.nursery, "hospital", self.root / "a", self.tokens)
        self.place = Place(self.root / "practice")
        self.practice: Child | None = None
        self.address = free_address()
        self._commands = 0
        self._practices = 0

    def command(self, *words: object, log: Path | None = None) -> Child:
        """Start a command."""
        self._commands += 1
        self.tokens.mend()
        return self.nursery.medunion(
            " ".join(map(str, words[:2])), log or self.root / f"command-{self._commands}", *words
        )

    def run(self, *words: object) -> str:
        """Type a command, wait for its end, and give what it said."""
        child = self.command(*words)
        assert child.wait(SECONDS), f"{child.name} does not end"
        said = child.said()
        assert not re.search(r"^(Error:|Usage:)|Traceback", said, re.MULTILINE), f"medunion {words}:\n{said}"
        child.log.unlink()
        return said

    def found(self) -> None:
        """Make everybody, and start the servers."""
        self.place.path.mkdir(parents=True)
        self._found_cloud()
        self._found_hospital()
        self._found_practice()
        self.cloud.await_serving()
        ticket = ticket_in(self.run("public-cloud", "invite", "--directory", self.cloud.directory, HOSPITAL))
        licence, ticket_file = self.root / "a.licence", self.root / "a.ticket"
        licence.write_text("licence of a")
        ticket_file.write_text(ticket)
        words = "--directory", self.hospital.directory, "--ticket-file", ticket_file, "--licence", licence
        self.run("hospital", "register", *words)
        for label in self.doctors:
            self.run("hospital", "duty", "add", "--directory", self.hospital.directory, f"D:{label}")
        self.hospital.await_serving()
        self.tokens.keep(self.place.path)

    def start_practice(self) -> None:
        """Let the next doctor open the practice."""
        doctor = self.doctors[self._practices % len(self.doctors)]
        self._practices += 1
        self.tokens.mend()
        words = (self.place.path, doctor, ",".join(self.patients), HOSPITAL, self.address, f"{self._practices}")
        self.practice = self.nursery.child("practice", self.root / "practice.log", "tests.crash.practice", *words)

    def tell(self, kind: str, directory: Path, *words: object) -> dict[str, Any]:
        """Ask what a party has (`tests.crash.facts`)."""
        answer, log = self.root / f"{kind}.facts", self.root / "facts.log"
        answer.unlink(missing_ok=True)
        self.tokens.mend()
        child = self.nursery.child(kind, log, "tests.crash.facts", kind, directory, answer, *words)
        assert child.wait(2 * SECONDS), f"{kind} does not tell"
        assert answer.exists(), child.said()[-3000:]
        told: dict[str, Any] = json.loads(answer.read_text())
        return told

    def hand_over(self, label: str, ticket: str) -> None:
        """Give a patient a ticket: whole, or not."""
        partial = self.place.path / f".{label}"
        partial.write_text(ticket)
        partial.rename(self.place.ticket(label))

    def _found_cloud(self) -> None:
        directory, board = self.cloud.directory, self.root / "board"
        pin = self.make_token(directory, "cloud")
        address, peers = free_address(), free_address()
        names = ("--identity", "C:union", "--realm", "crash", "--address", address, "--peer-address", peers)
        options = (*self._keys("cloud", directory), *self._database("cloud"))
        self.run("public-cloud", "init", "--directory", directory, *names, "--pin-file", pin, *options)
        pin = self.make_token(board, "board")
        certificate, crl = self.root / "board.der", self.root / "board.crl"
        self.run(
            "authority",
            "init",
            "--directory",
            board,
            "--identity",
            "M:board",
            "--output",
            certificate,
            "--pin-file",
            pin,
        )
        self.run("authority", "crl", "--directory", board, "--output", crl)
        self.run("public-cloud", "authority", "add", "--directory", directory, certificate, "D:*")
        self.run("public-cloud", "crl", "--directory", directory, crl)
        self.run("public-cloud", "trust", "--directory", directory, "--output", self.place.trust)
        self._spread(directory, CloudSettings)
        self.cloud.start()

    def _found_hospital(self) -> None:
        pin = self.make_token(self.hospital.directory, "a")
        words = ("--identity", HOSPITAL, "--trust", self.place.trust, "--listen", self.address, "--pin-file", pin)
        options = (*self._keys("hospital", self.hospital.directory), *self._database("a"))
        self.run("hospital", "init", "--directory", self.hospital.directory, *words, *options)
        self._spread(self.hospital.directory, HospitalSettings)

    def _found_practice(self) -> None:
        path = self.place.path
        words = (path, ",".join(self.doctors), ",".join(self.patients))
        child = self.nursery.child("prepare", self.root / "prepare.log", "tests.crash.people", *words)
        assert child.wait(SECONDS), "the practice is not prepared"
        for label in self.doctors:
            request, certificate = path / label / "certificate-request.der", path / f"{label}.der"
            words = ("--doctor", f"D:{label}", "--request", request, "--output", certificate)
            self.run("authority", "issue", "--directory", self.root / "board", *words)

    def make_token(self, directory: Path, label: str) -> Path:
        """Make a token in a node's directory; give its PIN's file."""
        directory.mkdir(parents=True)
        pin = write_pin(directory / "pin")
        self.run("token", "init-softhsm", "--directory", directory, "--label", label, "--pin-file", pin)
        return pin

    def shares(self, step: str, kind: str, directory: Path, papers: str = "") -> None:
        """Make a server's keys and shares of their seed, or bring them back (`tests.crash.shares`)."""
        words = (step, kind, directory, self.root / f"{papers or kind}.shares")
        child = self.nursery.child("shares", self.root / "shares.log", "tests.crash.shares", *words)
        assert child.wait(SECONDS), "the shares are not done"
        assert "done" in child.said().splitlines()[-1:], child.said()

    def _keys(self, kind: str, directory: Path) -> tuple[str, ...]:
        if not self.recoverable:
            return ("--make-keys",)
        self.shares("make", kind, directory)
        return ("--keys-in-token",)

    def _spread(self, directory: Path, kind: type[CloudSettings] | type[HospitalSettings]) -> None:
        if self.processes > 1:
            node = NodeDirectory(directory)
            settings = node.settings(kind)
            node.write_settings(replace(settings, server=replace(settings.server, processes=self.processes)))

    def _database(self, name: str) -> tuple[str, ...]:
        return ("--database", self.databases[name]) if name in self.databases else ()
