"""Databases to run the store's contract on, and things to put into them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from demo import stage
from federation.protocol.merkle import leaf_hash
from federation.store import postgresql, sqlite
from federation.store.database import Database, open_database
from federation.store.log import new_entry_id
from federation.store.portable import PAGE_ROWS
from federation.store.records import Records
from federation.store.registrations import Registrations
from federation.store.rows import (
    NOTHING,
    About,
    Beside,
    Claim,
    OutboxEntry,
    Registration,
    SealedEntry,
    StoredEpoch,
    StoredGuardianship,
    StoredRecord,
    StoredRoom,
    StoredShift,
    StoredStatement,
    Ticket,
)
from federation.store.transactions import Engines
from tests.contract import postgresql_server

REQUIRED = os.environ.get("MEDUNION_REQUIRE_DATABASES") == "1"
IMPLEMENTATIONS = ("sqlite", *["postgresql"] * (REQUIRED or postgresql_server.is_installed()))
"""Each is a parameter of the whole suite. Where PostgreSQL isn't installed, ci/install-databases said so; in CI, that fails."""

NOW = 1_700_000_000_000
MINUTE = 60_000
WORKER = "tests.contract.store_worker"


def claim(patient: str, who: str = "D:chen", **changed: object) -> Claim:
    """A patient on a budget of two a day, under one index key."""
    fields = {
        "kind": "accesses",
        "budget": "accesses/doctor/day",
        "who_keys": (who.encode(),),
        "patient_keys": (patient.encode(),),
        "begins_at": NOW,
        "ends_at": NOW + 1440 * MINUTE,
        "most": 2,
    }
    return Claim(**fields | changed)


def sealed_entry(
    at: int = NOW, sealed: bytes = b"entry", about: About | None = None, beside: Beside = NOTHING
) -> SealedEntry:
    """An entry of a log to be, whose leaf commits to what is sealed."""
    return SealedEntry(at, sealed, new_entry_id(), leaf_hash(sealed), about, beside)


def url_of(implementation: str, directory: Path, *, template: str = "template0") -> str:
    """A URL of a database of the test's own, empty as yet."""
    if implementation == "sqlite":
        return f"sqlite:///{directory}/party.sqlite"
    server = postgresql_server.server()
    return server.url(server.new_database(template))


def engines_of(url: str) -> Engines:
    """What `open_database` would open, not migrated."""
    place = sa.make_url(url)
    return sqlite.make_engines(place) if place.drivername == "sqlite" else postgresql.make_engines(place, None, 2)


def opened(implementation: str, directory: Path) -> Iterator[Database]:
    """What a module's `database` fixture yields from."""
    template = _migrated() if implementation == "postgresql" else "template0"
    with open_database(url_of(implementation, directory, template=template)) as database:
        yield database


@cache
def _migrated() -> str:
    """Copying this takes a part of the time that making the tables takes."""
    server = postgresql_server.server()
    name = server.new_database()
    open_database(server.url(name)).close()
    return name


def drop_guards(connection: sa.Connection) -> None:
    """Take away what keeps the log append-only, as one who owns the database can."""
    tables = ("log", "log_nodes")
    statements = {
        "sqlite": [f"DROP TRIGGER {table}_no_{act}" for table in tables for act in ("update", "delete")],
        "postgresql": [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables],
    }
    for statement in statements[connection.dialect.name]:
        connection.exec_driver_sql(statement)


class Worker:
    """A job of `store_worker`, in a process that is forked from one without any store."""

    def __init__(self, stack: ExitStack, job: str, url: str, argument: str) -> None:
        given, self._to = os.pipe()
        self._from, told = os.pipe()
        self.says = stack.enter_context(os.fdopen(self._from, encoding="utf-8"))
        stack.callback(os.close, self._to)
        assert stage.FORKS is not None
        self._process = stage.FORKS.start([job, url, argument], dict(os.environ), (given, told, 2), WORKER)
        stack.callback(self._process.kill)
        os.close(given)
        os.close(told)

    def begin(self) -> None:
        os.write(self._to, b"go\n")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def ended(self) -> str:
        """Give what else it printed, and require that it ended well."""
        printed = self.says.read()
        assert self._process.wait(120) == 0
        return printed


def run_together(job: str, url: str, arguments: Sequence[str]) -> list[str]:
    """Run a job of `store_worker` in one process for each argument, started at one signal; what each printed."""
    with ExitStack() as stack:
        workers = [Worker(stack, job, url, argument) for argument in arguments]
        for worker in workers:
            assert worker.says.readline() == "ready\n"
        for worker in workers:
            worker.begin()
        return [worker.ended() for worker in workers]


def statement(text: str = "") -> StoredStatement:
    return StoredStatement(b"statement " + text.encode(), b"signature " + text.encode())


def epoch(number: int, *, not_after: int) -> StoredEpoch:
    return StoredEpoch(bytes([number]) * 16, f"epoch-{number}", b"sealed seed", statement(str(number)), not_after)


def registration(
    identity: str = "P:ann", *, serial: bytes = b"s" * 16, not_before: int = NOW, not_after: int = NOW + MINUTE
) -> Registration:
    return Registration(
        role="patient",
        identity=identity,
        serial=serial,
        credential=b"M_X " + serial,
        registration_point=serial * 2,
        verifying_key=b"V" * 32,
        key_statement=statement("ks"),
        encryption_key_statement=statement("ek"),
        sealed_shared_key=b"sealed",
        not_before=not_before,
        not_after=not_after,
        address=None,
    )


def register(
    store: Registrations,
    wanted: Registration,
    *,
    supersedes: bytes | None = None,
    now: int = NOW,
    until: int = NOW - 1,
) -> None:
    """Reserve a registration's serial and make it live."""
    store.reserve_serial(
        wanted.serial,
        role=wanted.role,
        identity=wanted.identity,
        credential=wanted.credential,
        at=now,
        until=until,
        supersedes=supersedes,
    )
    store.complete(
        wanted,
        request_digest=wanted.serial,
        answer=b"answer",
        answer_until=now,
        ticket_digest=None,
        supersedes=supersedes,
        now=now,
    )


def ticket(identity: str = "P:ann", *, digest: bytes = b"t" * 32, expires_at: int = NOW + MINUTE) -> Ticket:
    return Ticket(digest, "patient", identity, expires_at, "H:north")


def record(
    handle: bytes = b"h" * 16,
    version: int = 1,
    *,
    patient: bytes = b"p" * 32,
    department_class: str = "cardiology",
    stored_at: int = NOW,
    sensitivity: str = "normal",
) -> StoredRecord:
    return StoredRecord(
        handle,
        version,
        patient,
        f"H:north/{department_class}",
        department_class,
        stored_at,
        b"wrapped key",
        b"sealed parts",
        sensitivity,
    )


def on_file(records: Records, *patient_keys: bytes) -> Sequence[StoredRecord]:
    """Return all of a patient's records in the classes of tests."""
    classes, words = ["cardiology", "dermatology", "oncology"], ["normal", "restricted", "secret"]
    return records.of_classes(patient_keys or [record().patient_key], classes, words, most=PAGE_ROWS)


def outbox_entry(number: int = 1, *, not_before: int = NOW) -> OutboxEntry:
    return OutboxEntry(bytes([number]) * 16, b"sealed publication", 0, not_before)


def room(number: int = 1, *, doctor_id: str = "D:bob", expires_at: int = NOW + MINUTE) -> StoredRoom:
    return StoredRoom(bytes([number]) * 16, doctor_id, statement("ks"), b"Cert_D", statement("ek"), expires_at)


def shift(
    number: int = 1,
    *,
    doctor_id: str = "D:bob",
    classes: tuple[str, ...] = ("cardiology",),
    not_before: int = NOW,
    not_after: int = NOW + MINUTE,
) -> StoredShift:
    return StoredShift(bytes([number]) * 16, doctor_id, classes, not_before, not_after)


def guardianship(number: int = 1, *, not_after: int = NOW + MINUTE) -> StoredGuardianship:
    return StoredGuardianship(bytes([number]) * 16, b"sealed", not_after)
