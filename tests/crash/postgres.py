"""A PostgreSQL that is killed and started again: its files stay, and it syncs them, as in life."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from tests.contract.postgresql_server import _as_owner, find

STARTS_WITHIN_SECONDS = 30


class Postgres:
    """A server with a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        # Of PostgreSQL's own user, and with a short path for its socket.
        self.directory = Path(tempfile.mkdtemp(prefix="pg"))
        self._log = directory.with_suffix(".log")
        self._as_owner = _as_owner(self.directory)
        data = str(self.directory / "data")
        initdb = [find("initdb"), "-D", data, "-U", "medunion", "-E", "UTF8", "--no-sync", "-A", "trust"]
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        subprocess.run([*self._as_owner, *initdb], check=True, capture_output=True, env=environment)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections: after a kill, when its recovery is over."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "max_connections": "60",
            "shared_buffers": "32MB",
            "fsync": "on",
            "synchronous_commit": "on",
        }
        words = [f"-c{name}={value}" for name, value in settings.items()]
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        with self._log.open("ab") as log:
            while True:
                data = str(self.directory / "data")
                self.process = subprocess.Popen(
                    [*self._as_owner, find("postgres"), "-D", data, *words], stdout=log, stderr=log
                )
                if self._took_up(deadline):
                    return
                assert time.monotonic() < deadline, self._log.read_text()[-3000:]
                time.sleep(0.1)

    def kill(self) -> None:
        """Kill the postmaster; its children see it and end by themselves."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)

    def new_database(self, name: str) -> str:
        """Make a database, and give its URL."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql://medunion@/{database}?host={self.directory}"

    def _took_up(self, deadline: float) -> bool:
        """Wait for the first connection; False if it ended, as while children of a killed one are still there."""
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        return False
