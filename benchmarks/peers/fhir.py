"""Medplum's FHIR router, a process of Node.js: it answers with one Bundle over HTTPS, from memory, and asks nobody who calls."""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bare.server import identity

HERE: Final = Path(__file__).with_name("fhir_server")


class FhirServerAbsent(Exception):
    """There is no Node.js, or what the server is made of is not installed."""


@dataclass(frozen=True)
class FhirServer:
    """The server's process, and a call that returns how many bytes the resource has."""

    process: int
    read: Callable[[], int]


@contextmanager
def fhir_server(resource: Path, directory: Path) -> Iterator[FhirServer]:
    """Serve a resource for the block. Raises FhirServerAbsent."""
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules").is_dir():
        raise FhirServerAbsent("Medplum's router is not installed here (ci/install-benchmarks)")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    for file, content in zip((key, certificate), identity(), strict=True):
        file.write_bytes(content)
    command = [node, "server.mjs", str(key), str(certificate), str(resource)]
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline() or "null")
        if ready is None:
            raise FhirServerAbsent(f"Medplum's router ended with {server.wait()}")
        trusted = ssl.create_default_context(cadata=certificate.read_text())
        connection = http.client.HTTPSConnection("localhost", ready["port"], context=trusted, timeout=60)

        def read() -> int:
            connection.request("GET", ready["path"])
            response = connection.getresponse()
            body = response.read()
            if response.status != http.HTTPStatus.OK:
                raise FhirServerAbsent(f"Medplum's router answered {response.status}")
            return len(body)

        try:
            yield FhirServer(server.pid, read)
        finally:
            connection.close()
            server.communicate("")
