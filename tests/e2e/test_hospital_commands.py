"""`medunion hospital`, as a user types it: real processes, a real public cloud, tokens of their own."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.forks import Forked
from demo.stage import started, typed
from tests.hospital_lab import DATA, JOHNNIE, LUNA
from tests.waiting import until

PATIENCE_SECONDS = 30.0


class Commands:
    """Runs `medunion` in processes that know nothing of this one's tokens."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._environment = {name: value for name, value in os.environ.items() if name != "SOFTHSM2_CONF"}

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def run(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        done = typed(arguments, self._environment, stdin)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def serving(self, name: str, *arguments: str) -> Iterator[dict[str, object]]:
        """Serve until the block ends, by SIGTERM; yield what the ready file says."""
        ready = self.directory / f"{name}.ready"
        ready.unlink(missing_ok=True)
        with (self.directory / f"{name}.log").open("ab") as log:
            server = started((*arguments, "--ready-file", ready), self._environment, log)
            try:
                yield json.loads(_content(ready, server))
                server.send_signal(signal.SIGTERM)
                assert server.wait(PATIENCE_SECONDS) == 0
            finally:
                server.kill()
                server.wait()


def _content(ready: Path, server: "subprocess.Popen[bytes] | Forked") -> str:
    until(lambda: ready.exists() or server.poll() is not None, "the server is ready")
    assert ready.exists(), "the server ended before it was ready"
    return ready.read_text()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def found_node(commands: Commands) -> None:
    """Make a cloud and a hospital, not registered yet."""
    for node in ("cloud", "hospital"):
        arguments = "--directory", commands.path(node), "--label", node, "--pin-file", commands.path(f"{node}.pin")
        commands.run("token", "init-softhsm", *arguments)
    public, peer = f"localhost:{_free_port()}", f"localhost:{_free_port()}"
    cloud = "--directory", commands.path("cloud"), "--pin-file", commands.path("cloud.pin")
    names = "--identity", "C:union", "--realm", "test", "--address", public, "--peer-address", peer
    commands.run("public-cloud", "init", *cloud, *names, "--make-keys")
    hospital = "--directory", commands.path("hospital"), "--pin-file", commands.path("hospital.pin")
    names = "--identity", "H:alpha", "--trust", commands.path("cloud/trust.json"), "--listen", "localhost:0"
    commands.run("hospital", "init", *hospital, *names, "--department", "cardiology", "--make-keys")


def test_a_hospital_is_made_registered_filled_and_run(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    found_node(commands)
    at = "--directory", commands.path("hospital")
    (tmp_path / "licence").write_bytes(b"licence of H:alpha")
    filed = "--patient", "P:wang", "--department", "cardiology"
    assert "REGISTERED" in commands.run("hospital", "ticket", *at, "P:wang", code=1)
    with commands.serving("cloud", "public-cloud", "serve", "--directory", commands.path("cloud")):
        invited = commands.run("public-cloud", "invite", "--directory", commands.path("cloud"), "H:alpha")
        ticket = next(line.strip() for line in invited.splitlines() if line.startswith("    "))
        registered = "hospital", "register", *at, "--licence", str(tmp_path / "licence")
        assert "TICKET_INVALID" in commands.run(*registered, stdin="no ticket\n", code=1)
        assert "REJECTED" in commands.run(*registered, stdin="AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA3U\n", code=1)
        assert "H:alpha is registered" in commands.run(*registered, stdin=f"{ticket}\n")
        # Records come in while the hospital runs, and while it does not.
        commands.run("hospital", "import", *at, *filed, str(JOHNNIE))
        assert "1 waiting" in commands.run("hospital", "outbox", *at)
        with commands.serving("hospital", "hospital", "serve", *at) as ready:
            assert str(ready["address"]).startswith("localhost:")
            refused = commands.run("hospital", "import", *at, *filed, str(LUNA), str(JOHNNIE), code=1)
            assert "Condition.category" in refused
            assert "Observation.valueTime" in refused
            assert "1 of 2 records imported, 1 refused" in refused
            assert "good once" in commands.run("hospital", "ticket", *at, "P:wang")
            until(lambda: "0 waiting" in commands.run("hospital", "outbox", *at))
    assert "H:alpha/cardiology: 2" in commands.run("hospital", "records", "count", *at)
    logged = commands.run("hospital", "log", *at, "--verify")
    assert [word for word in ("IMPORT", "PUBLISHED", "TICKET") if word not in logged] == []
    assert "P:wang" not in (tmp_path / "hospital.log").read_text()
    assert "UNAVAILABLE" in commands.run("hospital", "ticket", *at, "P:wang", code=1)


def test_a_manifest_names_records_of_many_patients(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    found_node(commands)
    manifest = tmp_path / "records.csv"
    lines = [
        "patient,department,file,attachment",
        f"P:wang,H:alpha/cardiology,{JOHNNIE},{DATA / 'waveform_ecg.dcm'}",
        f"P:lin,H:alpha/cardiology,{JOHNNIE}",
        f"P:lin,H:alpha/dermatology,{JOHNNIE}",
        f"lin,H:alpha/cardiology,{JOHNNIE}",
        "P:lin,H:alpha/cardiology,gone.json",
    ]
    manifest.write_text("\n".join(lines))
    at = "--directory", commands.path("hospital")
    told = commands.run("hospital", "import", *at, "--manifest", str(manifest), code=1)
    assert [reason for reason in ("DEPARTMENT_FOREIGN", "FIELD_INVALID", "No such file") if reason not in told] == []
    assert "2 of 5 records imported, 3 refused" in told
    assert "H:alpha/cardiology: 2" in commands.run("hospital", "records", "count", *at)


@pytest.mark.parametrize("arguments", [("import",), ("import", "x.json"), ("register",), ("init",)])
def test_wrong_usage_is_said_with_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "Usage" in Commands(tmp_path).run("hospital", *arguments, "--directory", str(tmp_path), code=2)
