"""The floors of the house (docs/architecture.md): held, and each contract tried by breaking it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("federation", "keystore", "hsm")
LINTER = Path(sys.executable).with_name("lint-imports")

VIOLATIONS = [
    ("federation/processes/__init__.py", "import federation.cli", "Floors"),
    ("federation/check/__init__.py", "import federation.cli", "Floors"),
    ("federation/backup/__init__.py", "import federation.cli", "Floors"),
    ("federation/rotation/__init__.py", "import federation.cli", "Floors"),
    ("federation/monitor/__init__.py", "import federation.cli", "Floors"),
    ("federation/cloud/__init__.py", "import federation.processes", "Floors"),
    ("federation/cloud/__init__.py", "import federation.hospital", "Floors"),
    ("federation/hospital/__init__.py", "import federation.person", "Floors"),
    ("federation/person/__init__.py", "import federation.cloud", "Floors"),
    ("federation/authority/__init__.py", "import federation.hospital", "Floors"),
    ("federation/person/__init__.py", "import federation.monitor", "Floors"),
    ("federation/person/__init__.py", "import federation.pages", "Floors"),
    ("federation/pages/__init__.py", "import federation.cli", "Floors"),
    ("federation/words.py", "import federation.person", "Floors"),
    ("federation/wire/limits.py", "import federation.cloud", "Floors"),
    ("federation/party/member.py", "import federation.hospital", "Floors"),
    ("federation/protocol/time.py", "import federation.wire.status", "Floors"),
    ("federation/protocol/time.py", "import federation.store.rows", "Floors"),
    ("federation/protocol/time.py", "import federation.settings", "Floors"),
    ("keystore/transcript.py", "import federation.protocol.time", "Floors"),
    ("hsm/uri.py", "import keystore.transcript", "Floors"),
    ("federation/errors.py", "import federation.protocol.time", "Leaves"),
    ("federation/errors.py", "import keystore.errors", "Leaves"),
    ("federation/v1/rules_pb2.py", "import federation.protocol.time", "Leaves"),
    ("federation/store/sqlite.py", "import pkcs11", "Only hsm knows PKCS#11"),
    ("keystore/party.py", "import pkcs11", "Only hsm knows PKCS#11"),
    ("keystore/curve.py", "import grpc", "Keys know nothing of the federation"),
    ("keystore/curve.py", "import google.protobuf.message", "Keys know nothing of the federation"),
    ("hsm/uri.py", "import grpc", "Keys know nothing of the federation"),
    ("hsm/uri.py", "import federation.errors", "Keys know nothing of the federation"),
    ("federation/protocol/time.py", "import grpc", "The protocol does no I/O"),
    ("federation/protocol/time.py", "import federation.v1.search_pb2_grpc", "The protocol does no I/O"),
    ("federation/protocol/time.py", "import sqlalchemy", "The protocol does no I/O"),
    ("federation/protocol/time.py", "import socket", "The protocol does no I/O"),
    ("federation/protocol/time.py", "from pathlib import Path", "The protocol does no I/O"),
    ("federation/protocol/time.py", "from time import time", "The protocol does no I/O"),
    ("federation/protocol/time.py", "from secrets import token_bytes", "The protocol does no I/O"),
    ("federation/protocol/time.py", "import hsm", "The protocol does no I/O"),
    ("federation/store/sqlite.py", "import federation.protocol.time", "What is kept and what is clinical stand alone"),
    ("federation/clinical/text.py", "import keystore.transcript", "What is kept and what is clinical stand alone"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the sources and of the contracts, to break."""
    copied = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copied / package, ignore=_all_but_sources)
    shutil.copy(ROOT / "pyproject.toml", copied)
    return copied


def _all_but_sources(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if not (name.endswith(".py") or (Path(directory) / name).is_dir())]


def _lint(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def _contracts() -> list[dict[str, Any]]:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contracts: list[dict[str, Any]] = tables["contracts"]
    return contracts


def test_every_contract_is_kept() -> None:
    linted = _lint(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(("file", "line", "contract"), VIOLATIONS, ids=lambda value: str(value).replace(" ", "-"))
def test_violation_of_a_contract_is_found(copy: Path, file: str, line: str, contract: str) -> None:
    path = copy / file
    source = path.read_text()
    try:
        path.write_text(f"{source}\n{line}\n")
        linted = _lint(copy)
    finally:
        path.write_text(source)
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert f"{contract} BROKEN" in linted.stdout


def test_every_contract_is_tried() -> None:
    assert {contract for _, _, contract in VIOLATIONS} == {contract["name"] for contract in _contracts()}


def test_every_part_of_the_federation_has_its_floor() -> None:
    """A new package or module has no floor until somebody decides on one."""
    floors = next(contract["layers"] for contract in _contracts() if contract["type"] == "layers")
    leaves = next(contract["source_modules"] for contract in _contracts() if contract["name"] == "Leaves")
    placed = {part.strip() for floor in floors for part in floor.replace("|", ":").split(":")} | set(leaves)
    paths = [path for path in (ROOT / "federation").iterdir() if path.name not in {"__init__.py", "__pycache__"}]
    there = {f"federation.{path.stem}" for path in paths if path.suffix == ".py" or any(path.glob("*.py"))}
    assert there | {"keystore", "hsm"} == placed


def test_every_grpc_stub_is_kept_from_the_protocol() -> None:
    forbidden = next(c["forbidden_modules"] for c in _contracts() if c["name"] == "The protocol does no I/O")
    stubs = {f"federation.v1.{path.stem}" for path in (ROOT / "federation" / "v1").glob("*_pb2_grpc.py")}
    assert stubs == {name for name in forbidden if name.endswith("_pb2_grpc")}
