"""A node as systemd runs it: credentials from their directory, told when it is ready and when it ends; and as it says itself."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.stage import MEDUNION, environment, free_address, make_token, run

NOTICES = 20.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a public cloud whose PIN is nowhere in its directory or its settings but as a credential's name."""
    directory = tmp_path_factory.mktemp("node") / "cloud"
    pin = make_token(directory, "cloud")
    names = "--identity", "C:union", "--realm", "test", "--address", free_address(), "--peer-address", free_address()
    run("public-cloud", "init", "--directory", directory, *names, "--pin-file", pin, "--make-keys")
    settings = directory / "medunion.toml"
    settings.write_text(settings.read_text().replace(f'pin_file = "{pin}"', 'pin_credential = "pin"'))
    handed_over = directory.with_name("credentials")
    handed_over.mkdir()
    pin.rename(handed_over / "pin")
    # As systemd leaves it: its owner may read it, and an ACL for the service's user shows as the group's bits.
    (handed_over / "pin").chmod(0o440)
    return directory


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Yield the socket at which systemd would be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(NOTICES)
        yield listening


Serving = Callable[..., "subprocess.Popen[bytes]"]


@contextmanager
def served(cloud: Path, manager: socket.socket) -> Iterator["subprocess.Popen[bytes]"]:
    """Serve as a unit of systemd's would."""
    told = {
        "CREDENTIALS_DIRECTORY": str(cloud.with_name("credentials")),
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "2000000",
    }
    words = [*MEDUNION, "public-cloud", "serve", "--directory", str(cloud)]
    with (cloud / "serve.log").open("ab") as log:
        server = subprocess.Popen(words, env=environment() | told, stdout=log, stderr=log)
        try:
            yield server
        finally:
            server.kill()
            server.wait()


def notices(manager: socket.socket, until: str) -> list[str]:
    """Return what systemd is told up to a line."""
    said: list[str] = []
    while until not in said:
        said += manager.recv(4096).decode().split("\n")
    return said


def test_systemd_is_told_ready_alive_and_stopping_and_the_pin_comes_as_a_credential(
    cloud: Path, manager: socket.socket
) -> None:
    with served(cloud, manager) as server:
        said = notices(manager, until="READY=1")
        status = next((line for line in said + notices(manager, until="WATCHDOG=1") if line.startswith("STATUS=")), "")
        assert "C:union" in status
        assert "WATCHDOG=1" in notices(manager, until="WATCHDOG=1")
        server.send_signal(signal.SIGTERM)
        assert "STOPPING=1" in notices(manager, until="STOPPING=1")
        assert server.wait(20) == 0


def test_service_manager_of_the_parent_is_not_told_by_a_command_beside_it(cloud: Path, manager: socket.socket) -> None:
    credentials = cloud.with_name("credentials") / "pin"
    beside = cloud.with_name("beside.pin")
    beside.write_bytes(credentials.read_bytes())
    beside.chmod(0o600)
    words = [*MEDUNION, "public-cloud", "log", "--directory", str(cloud), "--pin-file", str(beside)]
    told = {"NOTIFY_SOCKET": manager.getsockname()}
    done = subprocess.run(words, env=environment() | told, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    manager.settimeout(0.2)
    with pytest.raises(TimeoutError):
        manager.recv(4096)


def test_health_of_a_node_that_serves_and_of_one_that_does_not(cloud: Path, manager: socket.socket) -> None:
    with served(cloud, manager):
        notices(manager, until="READY=1")
        said = run("health", "--directory", cloud)
        assert "process 0, server: SERVING" in said
        assert "process 0, token: SERVING" in said
    said = run("health", "--directory", cloud, expect=1)
    assert "does it serve?" in said


def test_health_of_every_process_of_a_node(cloud: Path, manager: socket.socket) -> None:
    settings = cloud / "medunion.toml"
    before = settings.read_text()
    settings.write_text(
        re.sub(r"^(\[server\]\n(?:#.*\n)*)(?:processes = 1\n)?", r"\1processes = 2\n", before, flags=re.MULTILINE)
    )
    try:
        with served(cloud, manager):
            assert "STATUS=C:union serves at" in " ".join(
                notices(manager, until="READY=1") + notices(manager, "WATCHDOG=1")
            )
            said = run("health", "--directory", cloud)
            assert "process 0, server: SERVING" in said
            assert "process 1, server: SERVING" in said
    finally:
        settings.write_text(before)


def test_health_where_no_node_is_is_refused_in_plain_words(tmp_path: Path) -> None:
    assert "can't be read" in run("health", "--directory", tmp_path / "nowhere", expect=1)


def test_credential_missing_is_refused_in_plain_words(cloud: Path, tmp_path: Path) -> None:
    told = os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    words = [*MEDUNION, "public-cloud", "serve", "--directory", str(cloud)]
    done = subprocess.run(words, env=told, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pin_credential" in done.stderr
    assert "Traceback" not in done.stderr
