"""The run: a federation at work, processes killed at random, and the verdict."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from demo.stage import ticket_in
from tests.crash.again import Eavesdropper
from tests.crash.journal import lines
from tests.crash.nursery import Child, Nursery
from tests.crash.postgres import Postgres
from tests.crash.stage import HOSPITAL, Federation, Server
from tests.crash.verdict import Facts, faults
from tests.waiting import until

MEAN_PAUSE_SECONDS = 0.4
"""Between a restart and the next kill: about a visit's length, so that every moment of one is hit; longer where starts are."""
DOWN_ONE_IN = 4
"""A server stays down for a while so often: its callers see it gone, and not only cut off."""
EARLY_ONE_IN = 5
"""A server is killed again while it starts, so often."""
KILLS_A_DOCTOR = 200
"""A doctor may have 64 rooms open, and opens one at each start."""
KILLS_A_PATIENT = 12
CLOSING_SECONDS = 90
WALKS = (
    ("hospital", "rotate", "reseal", "records"),
    ("hospital", "rotate", "reseal", "sealing"),
    ("hospital", "outbox", "--publish"),
)

WORK = {"registered", "searched", "deposited"}
"""What a visit's work is, as the journal has it."""

Tell = Callable[[str], None]


@dataclass
class Outcome:
    """What a run came to."""

    kills: Counter[str]
    acknowledged: Counter[str]
    repeated: Counter[str]
    faults: list[str]
    tokens_mended: int

    def in_words(self) -> str:
        listed = (
            f"{name} {count}" for part in (self.kills, self.acknowledged, self.repeated) for name, count in part.items()
        )
        return ", ".join([*listed, f"SoftHSM's files mended {self.tokens_mended}"])


@dataclass
class Run:
    """One federation, tormented."""

    federation: Federation
    database: Postgres | None
    random: random.Random
    tell: Tell
    kills: Counter[str] = field(default_factory=Counter)
    _slowness: float = 0.0

    def __post_init__(self) -> None:
        federation = self.federation
        place = federation.place
        self.eavesdropper = Eavesdropper(place.journal, place.trust, HOSPITAL, federation.address, self.random)
        self._tickets = list(federation.patients)
        self._walk: Child | None = None

    def torment(self, kills: int, seconds: float) -> None:
        """Kill so many processes, or what can be killed in that time."""
        deadline = time.monotonic() + seconds
        victims = {self._kill_cloud: 6, self._kill_hospital: 7, self._kill_practice: 3, self._kill_walk: 2}
        if self.database is not None:
            victims[self._kill_database] = 2
        if self.federation.processes > 1:
            victims[self._kill_worker] = 20
        while self.kills.total() < kills and time.monotonic() < deadline:
            if (
                self._tickets
                and self.kills.total() >= kills * (1 - len(self._tickets) / len(self.federation.patients)) * 0.8
            ):
                self._hand_out_ticket()
            time.sleep(self.random.expovariate(1 / max(MEAN_PAUSE_SECONDS, self._slowness)))
            self.random.choices(list(victims), list(victims.values()))[0]()
            if self.kills.total() % 50 == 0:
                self.tell(f"{self.kills.total()} kills")

    def settle(self) -> Facts:
        """Let everybody finish, and ask what there is."""
        federation = self.federation
        self._await_servers()
        while self._tickets:
            self._hand_out_ticket()
        self._await_work()
        self._close_practice()
        a, cloud = federation.hospital.directory, federation.cloud.directory
        federation.tell("publish", a)
        people = ",".join(federation.doctors), ",".join(federation.patients)
        return Facts(
            federation.tell("hospital", a),
            federation.tell("cloud", cloud),
            federation.tell("practice", federation.place.path, *people),
        )

    def _await_work(self) -> None:
        """Let one whole visit be, if none got through between two kills: slow machines have none."""
        federation = self.federation
        if federation.practice is None or not federation.practice.is_alive():
            federation.start_practice()
        until(
            lambda: {it["kind"] for it in lines(federation.place.journal)} >= WORK,
            lambda: federation.practice.said()[-3000:] if federation.practice else "",
        )

    def _close_practice(self) -> None:
        """Let each doctor, one after the other, finish what waits."""
        federation = self.federation
        assert federation.practice is not None
        federation.practice.kill()
        closing, closed = (federation.place.path / name for name in ("closing", "closed"))
        closing.touch()
        for _ in federation.doctors:
            closed.unlink(missing_ok=True)
            federation.start_practice()
            assert federation.practice.wait(CLOSING_SECONDS), federation.practice.said()[-3000:]
            assert closed.exists(), federation.practice.said()[-3000:]

    def _kill_cloud(self) -> None:
        self._kill_server(self.federation.cloud)

    def _kill_hospital(self) -> None:
        self._kill_server(self.federation.hospital)

    def _kill_server(self, server: Server) -> None:
        server.kill()
        self.kills[server.kind] += 1
        if self.random.randrange(DOWN_ONE_IN) == 0:
            time.sleep(self.random.uniform(0.1, 0.6))
        began = time.monotonic()
        server.start()
        if self.random.randrange(EARLY_ONE_IN) == 0:
            time.sleep(self.random.uniform(0, 0.12))
            server.kill()
            self.kills[f"{server.kind}, starting"] += 1
            server.start()
        server.await_serving()
        self._slowness = time.monotonic() - began
        self.eavesdropper.try_again(server.kind)

    def _kill_worker(self) -> None:
        """Kill one of a server's processes: the others serve on, and its supervisor starts the next."""
        server = self.random.choice((self.federation.cloud, self.federation.hospital))
        if server.kill_worker(self.random):
            self.kills[f"{server.kind}, a worker"] += 1
            self.eavesdropper.try_again(server.kind)

    def _kill_practice(self) -> None:
        if self.federation.practice is not None:
            self.federation.practice.kill()
            self.kills["practice"] += 1
        self.federation.start_practice()

    def _kill_walk(self) -> None:
        """Begin an operator's command, and kill it somewhere in it."""
        words = self.random.choice(WALKS)
        walk = self.federation.command(
            *words, "--directory", self.federation.hospital.directory, log=self.federation.root / "walks.log"
        )
        time.sleep(self.random.uniform(0.02, 0.4))
        if walk.is_alive():
            self.kills["walk"] += 1
        walk.kill()

    def _kill_database(self) -> None:
        assert self.database is not None
        self.database.kill()
        self.kills["database"] += 1
        if self.random.randrange(DOWN_ONE_IN) == 0:
            time.sleep(self.random.uniform(0.1, 0.6))
        self.database.start()
        self._await_servers()
        for server in (self.federation.cloud, self.federation.hospital):
            self.eavesdropper.try_again(server.kind)

    def _await_servers(self) -> None:
        for server in (self.federation.cloud, self.federation.hospital):
            server.await_serving()

    def _hand_out_ticket(self) -> None:
        """The enrolment desk at work, its command not killed: a ticket that nobody saw is nobody's."""
        label = self._tickets[0]
        self._await_servers()
        said = self.federation.run(
            "hospital", "ticket", "--directory", self.federation.hospital.directory, "--no-qr", f"P:{label}"
        )
        self.federation.hand_over(label, ticket_in(said))
        del self._tickets[0]


def run(
    root: Path,
    kills: int,
    seed: int,
    *,
    postgresql: bool,
    tell: Tell,
    processes: int = 1,
    seconds: float = float("inf"),
) -> Outcome:
    """Torment a federation in this directory, for so many kills or seconds, and judge."""
    chance = random.Random(seed)
    doctors = tuple(f"d{number}" for number in range(1 + kills // KILLS_A_DOCTOR))
    patients = tuple(f"p{number}" for number in range(max(2, min(16, kills // KILLS_A_PATIENT))))
    database = Postgres(root / "postgresql") if postgresql else None
    try:
        urls = {} if database is None else {name: database.new_database(name) for name in ("cloud", "a")}
        with Nursery() as nursery:
            federation = Federation(nursery, root, urls, processes, doctors=doctors, patients=patients)
            federation.found()
            federation.start_practice()
            tell("founded")
            torment = Run(federation, database, chance, tell)
            torment.torment(kills, seconds)
            facts = torment.settle()
        noted = list(lines(federation.place.journal))
        found = [*torment.eavesdropper.faults, *faults(noted, facts)]
        return Outcome(
            torment.kills,
            Counter(it["kind"] for it in noted),
            torment.eavesdropper.refused,
            found,
            federation.tokens.lost,
        )
    finally:
        if database is not None:
            database.stop()
