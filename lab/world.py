"""Who is in the lab: a public cloud, a medical authority, three hospitals, doctors and patients, each at its own host."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from demo.stage import CLASS, CONSENT, Refused, ticket_in, write_pin
from lab.database import Postgres
from lab.hosts import SECONDS, Host, Process, Server, wait_until
from lab.network import Network, separate_memory

DATA = Path(__file__).parents[1] / "tests" / "data"
RECORD = DATA / "synthea-johnnie679.json"
ECG = DATA / "waveform_ecg.dcm"
FAMILY_NAME = b"Johnnie679"
CONCLUSION = "Sinus rhythm, no ischaemia."

CLOUD, AUTHORITY = "C:union", "M:board"
HOSPITALS = ("a", "b", "c")
DOCTORS = {"chen": "b", "okafor": "c"}
PATIENTS = ("johnnie", "ada")
_WITH_DATABASES = ("c",)
SITES = ("cloud", *HOSPITALS, "home")

_SERVER, _PERSON = 10, 20
_PUBLIC_PORT, _PEER_PORT, _HOSPITAL_PORT = 7001, 7002, 7101
_AT_ONCE = 4
_KEPT = re.compile(r"keeps (?:this|the) encounter as record ([0-9a-f]{32})")


@dataclass
class Person:
    """A doctor or a patient: a host, a directory, the client's commands."""

    kind: str
    label: str
    host: Host
    directory: Path

    @property
    def identity(self) -> str:
        """Return ID_D or ID_P."""
        return f"{self.kind[0].upper()}:{self.label}"

    def run(self, command: str, *words: object, expect: int | None = 0) -> str:
        """Type a command: `run("records list")`."""
        return self.host.run(self.kind, *command.split(), "--directory", self.directory, *words, expect=expect)


@dataclass
class World:
    """The federation, and what its servers have acknowledged."""

    root: Path
    network: Network = field(default_factory=Network)
    hosts: dict[str, Host] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    doctors: dict[str, Person] = field(default_factory=dict)
    patients: dict[str, Person] = field(default_factory=dict)
    databases: dict[str, Postgres] = field(default_factory=dict)
    """Of the hospitals that have one: the others keep everything in their directories."""
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    """Every encounter of P:johnnie that a hospital signed for: its label and the record's handle."""

    @property
    def cloud(self) -> Server:
        """Return the public cloud."""
        return self.servers["cloud"]

    @property
    def trust(self) -> Path:
        """Return the trust bundle's file."""
        return self.root / "trust.json"

    def address(self, hospital: str) -> str:
        """Return where a hospital is dialled."""
        return f"{self.servers[hospital].host.address}:{_HOSPITAL_PORT}"

    def found(self) -> None:
        """Make everybody, and start the servers: what does not wait for each other at once."""
        self._place()
        self._init_authority()
        self._init_cloud()
        _all_at_once(
            self.cloud.start,
            *(self._init_hospital(label) for label in HOSPITALS),
            *(self._init_doctor(person) for person in self.doctors.values()),
            *(self._enrol(person) for person in self.patients.values()),
        )
        _all_at_once(
            *(self._register_hospital(label) for label in HOSPITALS),
            *(self._register_doctor(person) for person in self.doctors.values()),
        )
        for label, hospital in DOCTORS.items():
            self.servers[hospital].run("duty add", self.doctors[label].identity, "--department", CLASS)
        _all_at_once(*(self._register_patient(person) for person in self.patients.values()), self._import)

    def heal(self) -> None:
        """Bring every link, server and clock back."""
        self.network.heal()
        for host in self.hosts.values():
            if host not in [server.host for server in self.servers.values()]:
                host.skew_seconds = 0
        ill = [server for server in self.servers.values() if not server.is_well]
        for server in ill:
            if server.frozen:
                server.thaw()
        _all_at_once(*(server.restart for server in ill if not server.is_well))

    def await_publication(self, *hospitals: str) -> None:
        """Wait until the public cloud knows of all these hospitals' records. Raises Refused."""
        for hospital in hospitals or HOSPITALS:
            wait_until(lambda: "0 waiting" in self.servers[hospital].run("outbox"), f"{hospital}'s outbox is empty")  # noqa: B023 - called at once

    def new_patient(self, label: str) -> Person:
        """Return a patient whose device is new, at home."""
        person = self.patients[label] = self._person("patient", label, "home")
        self._enrol(person)()
        return person

    def ticket(self, hospital: str, patient: Person, expect: int = 0) -> str:
        """Ask a hospital's desk for a patient's ticket; give what it said."""
        return self.servers[hospital].run("ticket", "--no-qr", patient.identity, expect=expect)

    def keep(self, hospital: str, said: str) -> None:
        """Take note of what a hospital signed for, by what the doctor's client said."""
        self.acknowledged |= {(hospital, handle) for handle in _KEPT.findall(said)}

    def _place(self) -> None:
        separate_memory(self.root)
        self.network.make(SITES)
        for site in ("cloud", *HOSPITALS):
            host = self._host(f"medunion-{site}", site, _SERVER)
            kind = "public-cloud" if site == "cloud" else "hospital"
            self.servers[site] = Server(host, kind, self.root / site)
        self.hosts["medunion-board"] = Host("medunion-board")
        self.network.add_lone_host("medunion-board")
        for label, hospital in DOCTORS.items():
            self.doctors[label] = self._person("doctor", label, hospital)
        for label in PATIENTS:
            self.patients[label] = self._person("patient", label, "home")

    def _person(self, kind: str, label: str, site: str) -> Person:
        host = self._host(f"medunion-{label}", site, _PERSON + len(self.hosts))
        return Person(kind, label, host, self.root / label)

    def _host(self, namespace: str, site: str, number: int) -> Host:
        place = self.network.sites[site]
        self.network.add_host(namespace, place, number)
        host = self.hosts[namespace] = Host(namespace, place.address(number))
        return host

    def _init_cloud(self) -> None:
        cloud = self.cloud
        address, peers = (f"{cloud.host.address}:{port}" for port in (_PUBLIC_PORT, _PEER_PORT))
        cloud.init(
            *("--identity", CLOUD, "--realm", "lab", "--address", address, "--peer-address", peers),
            *("--authority", self.root / "board.der", "D:*", "--crl", self.root / "board.crl"),
        )
        cloud.run("trust", "--output", self.trust)

    def _init_authority(self) -> None:
        board, directory = self.hosts["medunion-board"], self.root / "board"
        directory.mkdir(parents=True)
        pin = write_pin(directory / "pin")
        where = "--directory", directory
        board.run("token", "init-softhsm", *where, "--label", directory.name, "--pin-file", pin)
        board.run(
            "authority", "init", *where, "--identity", AUTHORITY, "--output", self.root / "board.der", "--pin-file", pin
        )
        board.run("authority", "crl", *where, "--output", self.root / "board.crl")

    def _init_hospital(self, label: str) -> Callable[[], object]:
        server = self.servers[label]
        words = "--identity", f"H:{label}", "--trust", self.trust, "--listen", self.address(label)

        def act() -> None:
            if label in _WITH_DATABASES:
                self.databases[label] = Postgres(self.root / f"{label}-database")
            database = self.databases.get(label)
            server.init(*words, *(("--database", database.url) if database else ()))

        return act

    def _register_hospital(self, label: str) -> Callable[[], None]:
        server = self.servers[label]
        licence = self.root / f"{label}.licence"
        licence.write_text(f"licence of {label}")

        def act() -> None:
            ticket = ticket_in(self.cloud.run("invite", f"H:{label}"))
            server.run("register", "--ticket-file", self.ticket_file(label, ticket), "--licence", licence)
            server.start()

        return act

    def _init_doctor(self, person: Person) -> Callable[[], None]:
        certificate, pin = self.root / f"{person.label}.der", write_pin(self.root / f"{person.label}.pin")
        board = self.hosts["medunion-board"]

        def act() -> None:
            person.run("init", "--trust", self.trust, "--identity", person.identity, "--pin-file", pin)
            board.run(
                *("authority", "issue", "--directory", self.root / "board", "--doctor", person.identity),
                *("--request", person.directory / "certificate-request.der", "--output", certificate),
            )

        return act

    def _register_doctor(self, person: Person) -> Callable[[], object]:
        return lambda: person.run("register", "--certificate", self.root / f"{person.label}.der")

    def _enrol(self, person: Person) -> Callable[[], object]:
        sensor = self.root / f"{person.label}.person"
        return lambda: person.run(
            "init", "--trust", self.trust, "--identity", person.identity, "--simulated-sensor", sensor
        )

    def _register_patient(self, person: Person) -> Callable[[], object]:
        def act() -> None:
            ticket = ticket_in(self.ticket("a", person))
            person.run("register", "--ticket-file", self.ticket_file(person.label, ticket))

        return act

    def ticket_file(self, label: str, ticket: str) -> Path:
        """Write a ticket to a file for its holder."""
        path = self.root / f"{label}.ticket"
        path.write_text(ticket)
        return path

    def _import(self) -> None:
        patient = self.patients["johnnie"].identity
        self.servers["a"].run("import", "--patient", patient, "--department", "cardiology", RECORD)
        self.await_publication("a")


@dataclass
class Visit:
    """A visit under way: the doctor's client holds at its conclusion until `conclude`."""

    world: World
    hospital: str
    doctor: Process
    patient: Process
    trace: Path
    saved: Path
    come: Callable[[tuple[str, ...]], Process]
    """What lets the patient in by the doctor's code, with this consent."""

    def come_again(self, consent: tuple[str, ...]) -> None:
        """Let the patient come once more by the same code, and consent to this."""
        self.patient = self.come(consent)

    def until_read(self, seconds: float = SECONDS) -> str:
        """Wait until the doctor has read what there is, and give what its client said."""
        self.doctor.wait_for_words("Your conclusion", seconds)
        return self.doctor.said()

    def conclude(self) -> None:
        """Let the doctor type its conclusion."""
        self.doctor.type(CONCLUSION)

    def finish(self, seconds: float = SECONDS) -> tuple[int, int]:
        """Wait for both ends, note what was acknowledged, and give both exit codes."""
        codes = self.doctor.wait(seconds), self.patient.wait(seconds)
        if "P:johnnie is here" in self.doctor.said():
            self.world.keep(self.hospital, self.doctor.said())
        return codes

    def complete(self, seconds: float = SECONDS) -> str:
        """Go through all of it and give what the doctor's client said. Raises Refused if either side fails."""
        self.until_read(seconds)
        self.conclude()
        if self.finish(seconds) != (0, 0):
            raise Refused(f"the visit failed\n{self.doctor.said()}\n{self.patient.said()}")
        return self.doctor.said()

    @property
    def kept(self) -> list[str]:
        """Return the handle of the record under which the hospital signed for the encounter, if it did."""
        return _KEPT.findall(self.doctor.said())

    def said(self) -> str:
        """Return what both terminals have said so far."""
        return self.doctor.said() + self.patient.said()

    def await_words(self, words: str) -> None:
        """Wait until one of the terminals has said something, or the doctor's has ended. Raises Refused."""
        try:
            wait_until(lambda: words in self.said() or not self.doctor.lives, repr(words))
        except Refused as fault:
            raise Refused(f"{fault}; they said\n{self.said()}") from None

    def abandon(self) -> None:
        """End both sides at once, if they have not ended."""
        for process in (self.doctor, self.patient):
            with suppress(ProcessLookupError):
                process.kill()

    @property
    def records_saved(self) -> set[tuple[str, str]]:
        """Return which records the doctor's client saved: hospital and the beginning of the handle."""
        names = (path.name.split("-") for path in self.saved.glob("*-v*"))
        return {(name[0], name[1]) for name in names}


def begin_visit(
    world: World, name: str, *, doctor: str = "chen", patient: str = "johnnie", consent: tuple[str, ...] = CONSENT
) -> Visit:
    """Let a patient visit a doctor, who opens a room at its hospital, with this consent. Both go on."""
    who, hospital = world.doctors[doctor], DOCTORS[doctor]
    place = world.root / "visits" / name
    place.mkdir(parents=True)
    code_file, trace, saved = place / "code", place / "doctor.trace", place / "saved"
    consulting = who.host.start(
        place / "doctor.log",
        *("doctor", "consult", "--directory", who.directory, "--hospital", f"H:{hospital}", "--address"),
        *(world.address(hospital), "--department", CLASS, "--code-file", code_file, "--trace", trace),
        *("--save", saved, "--receipt-timeout", 20, "--patience", 2),
    )
    wait_until(lambda: code_file.exists() or not consulting.lives, "the room's code")
    if not code_file.exists():
        raise Refused(consulting.said())
    device = world.patients[patient]

    def come(consent: tuple[str, ...]) -> Process:
        return device.host.start(
            place / "patient.log",
            *("patient", "visit", "--directory", device.directory, code_file.read_text().strip(), "--ecg", ECG),
            *("--trace", place / "patient.trace", *consent),
            at_terminal="--yes" not in consent,
        )

    return Visit(world, hospital, consulting, come(consent), trace, saved, come)


def names_in(content: bytes) -> bool:
    """Return whether a text names the patient: by its identity or its family name."""
    return b"P:johnnie" in content or FAMILY_NAME in content


def _all_at_once(*steps: Callable[[], object]) -> None:
    """Take steps side by side. Raises what the first one that failed raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for taken in [pool.submit(step) for step in steps]:
            taken.result()
