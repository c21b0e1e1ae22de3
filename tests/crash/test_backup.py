"""The drill: backed up while it serves, then database, records and tokens are gone; from shares and backups it goes on.

Nothing that was acknowledged before the backup is missing, nothing is there twice, what was revoked since stays revoked, and the
next visit finds the records again.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.stage import ticket_in
from federation.backup.witness import Witness
from federation.party.node_directory import NodeDirectory
from federation.protocol.anchors import statement_entry
from federation.protocol.revocations import Shard
from federation.settings import CloudSettings, HospitalSettings, ProtocolSettings
from tests.crash.journal import lines
from tests.crash.nursery import Nursery
from tests.crash.postgres import Postgres
from tests.crash.stage import HOSPITAL, Federation
from tests.crash.verdict import Facts, faults
from tests.waiting import until

BRIEF = ProtocolSettings(freshness_seconds=4, skew_seconds=1)
"""The wait of a restoration is as long as a message stays fresh."""
CLOSING_SECONDS = 90


class Drill:
    """A federation whose servers' keys are recoverable."""

    def __init__(self, nursery: Nursery, root: Path, database: Postgres | None) -> None:
        self._postgres = database
        self._databases = 0
        self.federation = Federation(nursery, root, {}, recoverable=True, patients=("p0", "p1"))
        if database is not None:
            self.federation.databases = {name: self.new_database() for name in ("cloud", "a")}
        self.federation.found()
        self.cloud, self.hospital = self.federation.cloud, self.federation.hospital
        self.backups = {"cloud": root / "backups" / "cloud", "a": root / "backups" / "a"}
        (root / "backups").mkdir()

    def new_database(self) -> str:
        assert self._postgres is not None
        self._databases += 1
        return self._postgres.new_database(f"node_{self._databases}")

    @property
    def acknowledged(self) -> list[dict[str, Any]]:
        return [it for it in lines(self.federation.place.journal) if it["kind"] != "answered"]

    def hurry(self) -> None:
        """Give both servers a brief freshness window."""
        for server, kind in ((self.cloud, CloudSettings), (self.hospital, HospitalSettings)):
            node = NodeDirectory(server.directory)
            node.write_settings(replace(node.settings(kind), protocol=BRIEF))
            server.kill()
            server.await_serving()

    def register_patients(self) -> None:
        for label in self.federation.patients:
            words = ("--directory", self.hospital.directory, "--no-qr", f"P:{label}")
            self.federation.hand_over(label, ticket_in(self.federation.run("hospital", "ticket", *words)))

    def await_kinds(self, kinds: tuple[str, ...], count: int, since: int = 0) -> None:
        """Let the practice work until there are so many more lines of each kind."""
        until(
            lambda: min(_count(self.acknowledged[since:], kind) for kind in kinds) >= count,
            lambda: self.federation.practice.said()[-3000:],
        )

    def await_release(self, handles: set[object], since: int) -> None:
        """Let the practice work until a visit has read one of these records."""
        until(
            lambda: any(it["kind"] == "released" and it["handle"] in handles for it in self.acknowledged[since:]),
            "the visits find the records",
        )

    def back_up(self) -> None:
        """The cloud first: whatever its index names then is with the hospital, whose backup comes after it."""
        for server, name in ((self.cloud, "cloud"), (self.hospital, "a")):
            said = self.federation.run("backup", "--directory", server.directory, "--output", self.backups[name])
            assert re.search(r"^    [0-9a-f]{64}$", said, re.MULTILINE), said

    def is_heard(self, revoked: dict[str, Any], witness: Path) -> bool:
        """Write down what the hospital has heard of the cloud; say whether a revoked grant is in it."""
        witness.unlink(missing_ok=True)
        self.federation.run("witness", "--directory", self.hospital.directory, "--output", witness)
        shards = Witness.of(witness.read_bytes()).shards.shards
        listed = {change.entry for shard in shards for change in Shard.read(shard).changes}
        return statement_entry("grant", revoked["patient_id"], bytes.fromhex(revoked["grant_id"])) in listed

    def destroy(self) -> None:
        """Processes, directories, tokens and databases."""
        for server in (self.cloud, self.hospital):
            server.kill()
            shutil.rmtree(server.directory)
        self.federation.practice.kill()

    def restore(self, name: str, *words: object) -> str:
        server = {"cloud": self.cloud, "a": self.hospital}[name]
        database = ("--database", self.new_database()) if self._postgres is not None else ()
        options = ("--directory", server.directory, "--pin-file", server.directory / "pin", *database, *words)
        child = self.federation.command("restore", self.backups[name], *options)
        assert child.wait(60)
        return child.said()

    def new_token(self, name: str) -> None:
        server, kind = {"cloud": (self.cloud, "cloud"), "a": (self.hospital, "hospital")}[name]
        self.federation.make_token(server.directory, name)
        self.federation.shares("restore", kind, server.directory)

    def register_hospital_again(self) -> None:
        """Its S_X and its identity died with the token."""
        self.federation.run("public-cloud", "revoke", "--directory", self.cloud.directory, HOSPITAL)
        ticket = ticket_in(self.federation.run("public-cloud", "invite", "--directory", self.cloud.directory, HOSPITAL))
        licence, ticket_file = self.federation.root / "a.licence", self.federation.root / "a.ticket"
        ticket_file.write_text(ticket)
        words = ("--directory", self.hospital.directory, "--ticket-file", ticket_file, "--licence", licence)
        self.federation.run("hospital", "register", *words)

    def close_practice(self) -> None:
        """Let the doctor finish: the disaster may have come between a deposit and its receipt."""
        practice = self.federation.practice
        assert practice is not None
        self.federation.place.path.joinpath("closing").touch()
        assert practice.wait(CLOSING_SECONDS), practice.said()[-3000:]

    def facts(self) -> Facts:
        told = self.federation.tell
        told("publish", self.hospital.directory)
        people = ",".join(self.federation.doctors), ",".join(self.federation.patients)
        return Facts(
            told("hospital", self.hospital.directory),
            told("cloud", self.cloud.directory),
            told("practice", self.federation.place.path, *people),
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def drill(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drill]:
    database = Postgres(tmp_path / "postgresql") if request.param == "postgresql" else None
    try:
        with Nursery() as nursery:
            yield Drill(nursery, tmp_path, database)
    finally:
        if database is not None:
            database.stop()


@pytest.mark.timeout(500)
def test_a_destroyed_federation_goes_on_from_shares_and_backups(drill: Drill) -> None:
    federation = drill.federation
    drill.hurry()
    federation.start_practice()
    drill.register_patients()
    drill.await_kinds(("deposited", "released", "diagnosed"), 2)
    before = len(drill.acknowledged)
    drill.back_up()
    at_backup = drill.acknowledged[:before]
    drill.await_kinds(("revoked",), 1, since=before)
    revoked = [it for it in drill.acknowledged if it["kind"] == "revoked"][: 1 + _count(at_backup, "revoked")]
    witness = federation.root / "heard"
    until(lambda: drill.is_heard(revoked[-1], witness), "the hospital hears of the revocation")
    drill.destroy()

    assert "[BACKUP_REJECTED]" in _with_another_token(drill)
    drill.new_token("cloud")
    said = drill.restore("cloud", "--witness", witness)
    assert "C:union is restored" in said, said
    drill.new_token("a")
    said = drill.restore("a")
    assert "its identity key is another one" in said.lower(), said

    drill.cloud.await_serving()
    drill.register_hospital_again()
    drill.hospital.await_serving()
    federation.run("hospital", "publish-again", "--directory", drill.hospital.directory)

    since = len(drill.acknowledged)
    federation.start_practice()
    drill.await_kinds(("deposited", "released"), 1, since=since)
    old = {it["handle"] for it in at_backup if it["kind"] == "deposited"}
    drill.await_release(old, since)
    drill.close_practice()
    kept = [it for it in at_backup if it["kind"] != "revoked"]
    assert not faults([*kept, *revoked, *drill.acknowledged[since:]], drill.facts())


def _count(noted: list[dict[str, Any]], kind: str) -> int:
    return sum(it["kind"] == kind for it in noted)


def _with_another_token(drill: Drill) -> str:
    """Restore onto a token that has other keys of the same names; give what was said, and leave nothing."""
    drill.federation.make_token(drill.cloud.directory, "cloud")
    drill.federation.shares("make", "cloud", drill.cloud.directory, papers="others")
    said = drill.restore("cloud")
    assert not (drill.cloud.directory / "store.sqlite").exists()
    shutil.rmtree(drill.cloud.directory)
    return said
