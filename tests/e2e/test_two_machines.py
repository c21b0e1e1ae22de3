"""Two machines serve one public cloud: a node directory and ports of its own each, one PostgreSQL and one token for both."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.stage import Running, free_address, run
from federation.party.channels import call
from federation.v1.directory_pb2 import GetDirectoryRequest, GetDirectoryResponse
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from tests.conftest import USER_PIN
from tests.e2e.processes_stage import Guest, Stage, is_gone, set_metrics, set_server, told
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

OWN = ("admin.sock*", "*.lock", "ready", "serve.log")
"""What a machine has for itself."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("machines"), "postgresql", processes=2)
    try:
        made.found(*made.options())
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def second(stage: Stage) -> str:
    """Start the second machine, and return its address."""
    directory = stage.root / "second"
    shutil.copytree(stage.root / "cloud", directory, ignore=shutil.ignore_patterns(*OWN, "tokens"))
    address, peers = free_address(), free_address()
    set_settings(directory / "medunion.toml", public_listen=address, peer_listen=peers)
    set_server(directory, processes=2)
    set_metrics(directory, int(free_address().rpartition(":")[2]))
    ready = directory / "ready"
    server = Running(directory / "serve.log", "public-cloud", "serve", "--directory", directory, "--ready-file", ready)
    stage.running.append(server)
    server.wait_for(ready)
    return address


@pytest.fixture(scope="module")
def guest(stage: Stage, make_token_uri: Callable[..., object]) -> Iterator[Guest]:
    made = Guest(stage, make_token_uri, USER_PIN)
    yield made
    made.close()


def set_settings(file: Path, **values: str) -> None:
    lines = [line for line in file.read_text().splitlines() if line.partition(" ")[0] not in values]
    file.write_text("\n".join([*(f'{name} = "{value}"' for name, value in values.items()), *lines, ""]))


def directory_at(guest: Guest, address: str | None = None) -> GetDirectoryResponse:
    return call(DirectoryServiceStub(guest.channel(address)).GetDirectory, GetDirectoryRequest())


def test_message_taken_by_one_machine_is_refused_by_the_other(guest: Guest, second: str) -> None:
    here, there = guest.renewal(), guest.renewal()
    assert guest.is_taken(here)
    assert not guest.is_taken(here, second)
    assert guest.is_taken(there, second)
    assert not guest.is_taken(there)


def test_both_machines_hand_out_one_list_and_follow_what_either_operator_does(
    guest: Guest, stage: Stage, second: str
) -> None:
    until(lambda: directory_at(guest) == directory_at(guest, second), seconds=10)
    before = directory_at(guest)
    certificate = stage.root / "other.der"
    shutil.copy(stage.root / "authority.der", certificate)
    run("public-cloud", "authority", "remove", "--directory", stage.root / "second", certificate)
    until(lambda: directory_at(guest) == directory_at(guest, second) != before, seconds=10)
    files = [stage.root / name / "trust.json" for name in ("cloud", "second")]
    until(lambda: all("medical_authorities" not in file.read_text() for file in files), seconds=10)
    assert files[0].read_text() == files[1].read_text()


def test_one_machine_goes_on_when_the_other_is_gone(guest: Guest, stage: Stage, second: str) -> None:
    request = guest.renewal()
    first = told(stage.root / "cloud")
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: all(map(is_gone, (first["pid"], *first["workers"]))))
    assert guest.is_taken(request, second)
    assert not guest.is_taken(request, second)
    (stage.root / "cloud" / "ready").unlink()
    stage.serve("public-cloud", stage.root / "cloud")
