"""A federation that is served: cloud and hospital are processes of their own, started by the command line; whoever calls is here.

The callers' keys are in SoftHSM tokens of this process. Where there is a C compiler, the servers' tokens are behind the shim
that counts their PKCS#11 calls (`benchmarks.shim`).
"""

import shutil
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

import grpc
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.rows import Bench
from demo import stage as demo
from federation.clock import system_clock, system_entropy
from federation.party.channels import ChannelPool
from federation.party.cloud_client import CloudClient, IssuedTicket
from federation.party.member import Member
from federation.party.node_directory import read_trust
from federation.party.registration import parse_ticket
from federation.person.duties import Duties
from federation.person.hospital_session import address_hospital
from federation.person.trace import Trace
from federation.protocol.bundle import TrustedBundle
from federation.protocol.verifier import Peer
from federation.v1.access_pb2 import ShownDuty
from hsm import Pin, TokenUri, pin_from_value
from hsm.softhsm import SoftHsm
from tests import simulator
from tests.e2e.cloud_lab import CloudLab
from tests.e2e.processes_stage import Stage, set_metrics, set_server, told
from tests.hospital_lab import Client

PIN = "benchmark-pin"
HOSPITAL, DOCTOR, PATIENT = "alpha", "chen", "wang"
LONG = ("radiology", "surgery")
CLASSES = ("cardiology", "neurology", *LONG)
UNBOUNDED = {
    "openers_per_second": 100_000,
    "openers_burst": 100_000,
    "connection_age_minutes": 600,
    "idle_minutes": 600,
}
"""Settings of a server that turns nobody away: what is measured is what it can, not what it lets one caller have."""
MOST_ROWS = 4_096
"""Records of one patient that one hospital may have in the index: as many as can be set."""
_numbers = count(1)

Maker = Callable[..., TokenUri]


def softhsm_maker(bench: Bench) -> Maker:
    """Return a maker of fresh SoftHSM tokens, one directory a run: a process stays with the one it began with."""
    softhsm = bench.shared(_softhsm)
    return lambda prefix="t": softhsm.create_token(f"{prefix}-{next(_numbers)}", pin=Pin(PIN), so_pin=Pin(PIN))


@contextmanager
def _softhsm(bench: Bench) -> Iterator[SoftHsm]:
    softhsm = SoftHsm(bench.new_directory("softhsm"))
    softhsm.activate()
    yield softhsm


class SystemClock(simulator.Clock):
    """The simulated federation's clock, which here is the computer's."""

    @property
    def now(self) -> int:
        """Return the time, Unix milliseconds."""
        return int(system_clock())

    @now.setter
    def now(self, _: int) -> None:
        pass


class ServedStage(Stage):
    """Servers that turn nobody away, each with its token behind a shim of its own."""

    def __init__(self, root: Path, database: str = "sqlite", processes: int = 1) -> None:
        """Begin without any."""
        super().__init__(root, database, processes)
        self.shims: dict[str, Path] = {}

    def found(self, *options: object) -> None:
        """Make and start the cloud."""
        with self._shimmed("cloud"):
            super().found(*options)

    def add_hospital(self, label: str, *options: object) -> None:
        """Make and start a hospital."""
        with self._shimmed(label):
            super().add_hospital(label, *options)

    def serve(self, kind: str, directory: Path) -> None:
        """Start a server."""
        processes = self.processes if kind == "public-cloud" else 1
        set_server(directory, processes=processes, **UNBOUNDED)
        if kind == "public-cloud":
            _set_first(directory / "medunion.toml", "most_rows_per_patient", MOST_ROWS)
        if processes == 1:
            self.metrics[directory.name] = int(demo.free_address().rpartition(":")[2])
            set_metrics(directory, self.metrics[directory.name])
        demo.Federation.serve(self, kind, directory)

    def pids(self, name: str) -> list[int]:
        """Return the processes that serve in a directory."""
        ready = told(self.root / name)
        return list(ready.get("workers", [ready["pid"]]))

    def token_operations(self, name: str) -> Counter[str]:
        """Return what a server's token did so far, by mechanism: its own meter, over the metrics' port."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics[name]}/metrics", timeout=60) as page:
            families = text_string_to_metric_families(page.read().decode())
            return Counter(
                {
                    sample.labels["mechanism"]: int(sample.value)
                    for family in families
                    if family.name == "medunion_token_operation_seconds"
                    for sample in family.samples
                    if sample.name.endswith("_count")
                }
            )

    def _shimmed(self, name: str) -> AbstractContextManager[object]:
        try:
            from benchmarks import shim  # noqa: PLC0415 - without it, calls are not counted and the rest goes on

            if shutil.which("cc") is None:
                return nullcontext()
            directory = self.root / f"{name}-shim"
            directory.mkdir()
            self.shims[name] = shim.built(directory, 0)
        except ImportError:
            return nullcontext()
        return shim.standing_in(self.shims[name])


def _set_first(file: Path, name: str, value: int) -> None:
    """Write a setting that is in no section."""
    kept = [line for line in file.read_text().splitlines() if line.partition(" ")[0] != name]
    file.write_text("\n".join([f"{name} = {value}", *kept]) + "\n")


@dataclass
class _Node:
    """What `CloudLab` asks of a cloud's node, of one that is served elsewhere."""

    stage: ServedStage

    def trust(self) -> TrustedBundle:
        """Return the trust file."""
        return read_trust(self.stage.trust)

    def invite(self, identity: str) -> tuple[IssuedTicket]:
        """Invite a hospital."""
        said = demo.run("public-cloud", "invite", "--directory", self.stage.root / "cloud", identity)
        return (parse_ticket(demo.ticket_in(said)),)  # type: ignore[return-value]


@dataclass
class _Authority:
    """What `CloudLab` asks of a medical authority."""

    stage: ServedStage

    def issue(self, request: bytes, identity: str) -> x509.Certificate:
        """Issue Cert_D."""
        asked, made = (self.stage.root / f"{identity[2:]}.{ending}" for ending in ("request", "der"))
        asked.write_bytes(request)
        words = "--doctor", identity, "--request", asked, "--output", made
        demo.run("authority", "issue", "--directory", self.stage.root / "authority", *words)
        return x509.load_der_x509_certificate(made.read_bytes())


class Callers(simulator.Federation):
    """The simulator's doctor and patient, registered with the cloud that is served, on the computer's clock."""

    def __init__(self, lab: CloudLab, doctor: Member, patient: Member, hospital: Peer, duties: Duties, at: str) -> None:
        """Take those who are there."""
        self.clock, self.entropy, self.rosters = SystemClock(), system_entropy, {}
        self.lab, self.doctor, self.patient = lab, doctor, patient
        self.hospital_a = hospital  # type: ignore[assignment] # who is addressed, and no member
        self._duties, self._at = duties, at

    def address(self, hospital: Member) -> Peer:
        """Return the hospital's keys."""
        assert isinstance(hospital, Peer)
        return hospital

    def duty(self, doctor: Member | None = None, hospital: Member | None = None) -> ShownDuty:  # noqa: ARG002
        """Return the duty of now, asked of the hospital when there is none at hand."""
        return self._duties.at_hand(f"H:{HOSPITAL}", self._at)  # type: ignore[arg-type]


@dataclass
class World:
    """All of it. `lab` makes further parties and asks the cloud; `callers` and `client` ask the hospital."""

    stage: ServedStage
    lab: CloudLab
    guest: tuple[Member, CloudClient]
    doctor: Member
    patient: Member
    connections: ChannelPool

    @property
    def address(self) -> str:
        """Return where the hospital listens."""
        return self.stage.addresses[HOSPITAL]

    @property
    def channel(self) -> grpc.Channel:
        """Return the connection to the hospital."""
        return self.connections.get(self.address, f"H:{HOSPITAL}")

    @cached_property
    def callers(self) -> Callers:
        """Return doctor and patient as the simulator's."""
        hospital = address_hospital(self.channel, f"H:{HOSPITAL}", self.doctor, now=system_clock())  # type: ignore[arg-type]
        trace = Trace(None, system_clock)
        duties = Duties(self.doctor, self.connections.get, trace, system_clock, system_entropy)
        return Callers(self.lab, self.doctor, self.patient, hospital, duties, self.address)

    @cached_property
    def client(self) -> Client:
        """Return the doctor's client at the hospital."""
        return Client(self.callers, self.channel)

    def import_record(self, department: str, bundle: Path, *attached: Path) -> None:
        """Have the hospital take a record of the patient's over."""
        words = "--patient", f"P:{PATIENT}", "--department", department, bundle
        more = [word for path in attached for word in ("--attach", path)]
        demo.run("hospital", "import", "--directory", self.stage.root / HOSPITAL, *words, *more)
        self.stage.await_publication(HOSPITAL)


def member_seen(lab: CloudLab, member: Member) -> Member:
    """Give a member the newest lists."""
    lab.client().refresh(member)
    return member


@contextmanager
def world(bench: Bench) -> Iterator[World]:
    """Found and serve for the block: one cloud and one hospital, on SQLite."""
    make, root = softhsm_maker(bench), bench.new_directory("world")
    with demo.forked(), ExitStack() as stack:
        stage = ServedStage(root)
        stack.callback(stage.stop)
        stage.found()
        stage.add_hospital(HOSPITAL)
        here = root / "here"
        here.mkdir()
        lab = CloudLab(_Node(stage), _Authority(stage), here, make, pin_from_value(PIN))  # type: ignore[arg-type]
        stack.enter_context(lab.closing)
        guest = lab.hospital("H:guest")
        doctor, patient = lab.doctor(f"D:{DOCTOR}"), lab.patient(f"P:{PATIENT}", guest)
        stage.put_on_duty(root / DOCTOR, HOSPITAL, *CLASSES)
        connections = ChannelPool(lab.node.trust)
        stack.callback(connections.close)
        for member in (guest[0], doctor, patient):
            member_seen(lab, member)
        yield World(stage, lab, guest, doctor, patient, connections)


def rows_published(lab: CloudLab, hospital: tuple[Member, CloudClient], patient_id: str, rows: int) -> None:
    """Publish so many records of a patient's."""
    for _ in range(rows):
        lab.publish(hospital, patient_id, "cardiology")
