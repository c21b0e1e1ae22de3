"""A PostgreSQL of one node, beside it on its machine: stopped as by a power cut, and started again. Its files stay."""

import os
import signal
import subprocess
from pathlib import Path

from demo.stage import Refused
from lab.hosts import wait_until
from lab.privilege import database_program

_SOMEBODY = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
"""PostgreSQL refuses to run as root, which everybody is in the lab: in a user namespace of its own it is not."""

_SETTINGS = {"listen_addresses": "", "max_connections": "60", "shared_buffers": "32MB", "fsync": "off"}


class Postgres:
    """A server with a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        """Make it there, and start it. Raises Refused."""
        directory.mkdir(parents=True)
        self._directory, self._data, self._log = directory, directory / "data", directory / "server.log"
        words = ("-D", self._data, "-U", "medunion", "-E", "UTF8", "--no-sync", "-A", "trust")
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        made = subprocess.run(self._command("initdb", *words), capture_output=True, env=environment, check=False)
        if made.returncode:
            raise Refused(f"initdb: exit code {made.returncode}\n{made.stderr.decode()}")
        self.start()

    @property
    def url(self) -> str:
        """Return where the node finds its database."""
        return f"postgresql://medunion@/postgres?host={self._directory}"

    def start(self) -> None:
        """Start it, and wait until it takes connections. Raises Refused."""
        settings = _SETTINGS | {"unix_socket_directories": str(self._directory)}
        words = [f"-c{name}={value}" for name, value in settings.items()]
        with self._log.open("ab") as log:
            command = self._command("postgres", "-D", self._data, *words)
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._takes_connections, f"PostgreSQL takes connections ({self._log})")

    def stop(self) -> None:
        """End it at once: whoever is connected is cut off, and it recovers when it is started again."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def _takes_connections(self) -> bool:
        if self._process.poll() is not None:
            raise Refused(f"PostgreSQL ended:\n{self._log.read_text(errors='replace')}")
        asked = self._command("pg_isready", "-q", "-h", self._directory)
        return subprocess.run(asked, check=False).returncode == 0

    @staticmethod
    def _command(name: str, *words: object) -> list[str]:
        return [*_SOMEBODY, str(database_program(name)), *map(str, words)]
