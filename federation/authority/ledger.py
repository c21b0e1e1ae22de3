"""A medical authority's ledger: what it has issued and revoked, and the number of its newest list, in one file."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from federation.party.node_directory import write_private


@dataclass(frozen=True)
class IssuedCertificate:
    """One certificate. Times are milliseconds since the Unix epoch; `serial` is hexadecimal."""

    serial: str
    doctor_id: str
    not_after: int
    revoked_at: int | None = None


@dataclass(frozen=True)
class Ledger:
    """What an authority has issued, and the number of its newest CRL."""

    crl_number: int = 0
    certificates: tuple[IssuedCertificate, ...] = field(default=())


class LedgerFile:
    """Where a ledger is kept."""

    def __init__(self, directory: Path) -> None:
        """Work with the ledger of an authority's directory."""
        self._path = directory / "issued.json"

    @contextmanager
    def held(self) -> Iterator[Ledger]:
        """Read the ledger, and keep other processes from it until the block ends."""
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            yield Ledger(kept["crl_number"], tuple(IssuedCertificate(**entry) for entry in kept["certificates"]))
        finally:
            os.close(descriptor)

    def write(self, ledger: Ledger) -> None:
        """Put it in place, whole."""
        write_private(self._path, json.dumps(asdict(ledger), indent=1).encode())
