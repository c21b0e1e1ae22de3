"""What a command reads before it does anything: what is slow to import, and what of it each command goes without."""

import subprocess
import sys

import pytest

HEAVY = {
    "alembic": "migrations",
    "asyncio": "servers' event loop",
    "Crypto": "arithmetic on the curve",
    "cryptography.x509": "certificates",
    "google.protobuf": "messages",
    "grpc": "calls",
    "grpc_channelz": "the admin server",
    "http.client": "authorities' lists, by HTTP",
    "jsonschema_rs": "FHIR's schema",
    "opentelemetry": "spans",
    "PIL": "pictures",
    "pkcs11": "tokens",
    "prometheus_client": "metrics",
    "pydicom": "DICOM",
    "reedsolo": "biometric readings",
    "rich": "bars of progress",
    "segno": "QR codes",
    "shamir_mnemonic": "ceremonies and backups of keys",
    "sqlalchemy": "databases",
    "sqlalchemy.dialects.postgresql": "databases of many machines",
    "starlette": "pages",
}
"""Module -> what it is for."""

_MESSAGES = {"Crypto", "cryptography.x509", "google.protobuf", "pkcs11"}
_NODE = _MESSAGES | {"asyncio", "grpc", "http.client", "sqlalchemy"}
_PERSON = _NODE | {"jsonschema_rs", "reedsolo"}
READ = {
    "health": {"asyncio", "google.protobuf", "grpc"},
    "token list": _MESSAGES,
    "token keys": _MESSAGES,
    "trust show": _MESSAGES | {"asyncio", "shamir_mnemonic", "sqlalchemy"},
    "hospital log": _NODE | {"jsonschema_rs", "shamir_mnemonic"},
    "hospital records": _NODE | {"jsonschema_rs", "shamir_mnemonic"},
    "doctor duty": _PERSON,
    "patient grants": _PERSON,
    "patient records": _PERSON,
}
"""Command -> what of these it reads, and nothing else."""

_READ = """
import sys
import click
from federation.cli.main import main
command = main
for word in sys.argv[2:]:
    command = command.get_command(click.Context(command), word)
print(*(it for it in sys.argv[1].split() if it in sys.modules))
"""


@pytest.mark.parametrize("command", READ)
def test_command_reads_no_more_of_what_is_slow_than_it_needs(command: str) -> None:
    read = [sys.executable, "-c", _READ, " ".join(HEAVY), *command.split()]
    done = subprocess.run(read, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == READ[command]


def test_help_reads_nothing_of_it() -> None:
    told = """
import sys
from federation.cli.main import main
try:
    main(["hospital", "log", "--help"])
except SystemExit:
    print("READ", *(it for it in sys.argv[1].split() if it in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", told, " ".join(HEAVY)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "READ"
