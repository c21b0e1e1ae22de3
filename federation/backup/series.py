"""A series of backups in one directory, each named by its node and its time: the next one's place, and which ones age out.

A backup that is to go is renamed first: what was cut off while it was being removed is no backup, and goes the next time.
"""

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from federation.protocol.time import Instant

_GONE = ".gone"


@dataclass(frozen=True)
class Series:
    """The backups of one node in a directory."""

    place: Path
    identity: str

    @property
    def _name(self) -> str:
        return self.identity.replace(":", "-")

    def next(self, now: Instant) -> Path:
        """Return the directory of a backup that is made now: `H-alpha-20270301T020000Z`."""
        return self.place / f"{self._name}-{datetime.fromtimestamp(now / 1000, UTC):%Y%m%dT%H%M%SZ}"

    def all(self) -> list[Path]:
        """Return the backups that are there, the oldest first."""
        form = re.compile(rf"{re.escape(self._name)}-\d{{8}}T\d{{6}}Z")
        return sorted(it for it in self.place.iterdir() if form.fullmatch(it.name) and it.is_dir())

    def keep(self, newest: int) -> list[Path]:
        """Remove all but so many, and return which those were. Raises OSError."""
        for left in self.place.glob(f".{self._name}-*{_GONE}"):
            shutil.rmtree(left)
        over = self.all()[:-newest]
        for backup in over:
            gone = backup.with_name(f".{backup.name}{_GONE}")
            backup.rename(gone)
            shutil.rmtree(gone)
        return over
