"""A throw-away PostgreSQL for the store's contract, one for each test process: made when first asked for, gone with it.

It listens on a socket in a directory of its own and trusts whoever reaches it, but for the role `locked`, which has a password.
The role `serving` owns nothing.
"""

import atexit
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa

PASSWORD = "hunter2 of PostgreSQL"
ELSEWHERE = os.environ.get("MEDUNION_CONTRACT_DATABASE")
"""postgresql://role@host/database, to try the contract on; no secret may be in it."""
STARTED_WITHIN_SECONDS = 30
_HBA = "local all locked scram-sha-256\nlocal all all trust\n"
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # no test pulls the plug
    "max_connections": "100",
    "shared_buffers": "32MB",
}
_numbers = itertools.count(1)


def find(program: str) -> str | None:
    """Give a server program of the newest PostgreSQL here: Debian keeps them out of the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[4]))
    return str(installed[-1]) if installed else shutil.which(program)


def is_installed() -> bool:
    """Say whether there is a server to run."""
    return bool(ELSEWHERE) or find("initdb") is not None


class Server:
    """A running server. `settings` go before the ones that a test wants."""

    def __init__(self, **settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pg"))
        self._as_owner = _as_owner(self.directory)
        self._initialise()
        data = str(self.directory / "data")
        chosen = _SETTINGS | settings | {"unix_socket_directories": str(self.directory)}
        options = [f"-c{name}={value}" for name, value in chosen.items()]
        with (self.directory / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self._as_owner, find("postgres"), "-D", data, *options], stdout=log, stderr=log
            )
        atexit.register(self.stop)
        self._await_start()
        self.execute(f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")
        self.execute("CREATE ROLE serving LOGIN")

    def url(self, database: str = "postgres", role: str = "medunion") -> str:
        """Give a database's URL."""
        return f"postgresql://{role}@/{database}?host={self.directory}"

    def new_database(self, template: str = "template0") -> str:
        """Make a database, empty or like another one, and give its name."""
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def execute(self, statement: str) -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """Stop, and leave nothing."""
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _initialise(self) -> None:
        command = [
            find("initdb"),
            "-D",
            str(self.directory / "data"),
            "-U",
            "medunion",
            "-E",
            "UTF8",
            "--no-sync",
            "-A",
            "trust",
        ]
        subprocess.run(
            [*self._as_owner, *command], check=True, capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8"}
        )
        (self.directory / "data" / "pg_hba.conf").write_text(_HBA)

    def _await_start(self) -> None:
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.directory / "server.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return


class Elsewhere:
    """A server that somebody else runs and that speaks PostgreSQL's language: what the contract says of it, they find out."""

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        for statement in (f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'", "CREATE ROLE serving LOGIN"):
            with suppress(psycopg.errors.DuplicateObject):
                self.execute(statement)

    def url(self, database: str | None = None, role: str | None = None) -> str:
        """Give a database's URL."""
        place = self._url.set(database=database or self._url.database, username=role or self._url.username)
        return place.render_as_string(hide_password=False)

    def new_database(self, template: str = "") -> str:
        """Make an empty database and give its name; not every server can copy one. It is dropped at the end."""
        name = f"medunion_test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        atexit.register(self._drop, name)
        return name

    def execute(self, statement: str) -> None:
        """Run a statement as the role of the URL, which has to be allowed to make roles and databases."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _drop(self, name: str) -> None:
        with suppress(psycopg.Error):
            self.execute(f"DROP DATABASE {name}")


@cache
def server() -> Server | Elsewhere:
    """Give this process's server, or the one that the environment names."""
    return Elsewhere(ELSEWHERE) if ELSEWHERE else Server()


def _as_owner(directory: Path) -> list[str]:
    """PostgreSQL refuses root: Debian's own user runs it then. It dies with whoever started it."""
    dies_along = ["setpriv", "--pdeathsig=INT"]
    if os.geteuid() != 0:
        return dies_along
    owner = pwd.getpwnam("postgres")
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    return [*dies_along, f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
