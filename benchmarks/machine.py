"""What a run ran on: machine, versions, commit, load; and a yardstick, by which times of two machines are compared."""

import hashlib
import importlib.metadata
import os
import platform
import sqlite3
import ssl
import statistics
import subprocess
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.meters import cpu_ms

ROOT = Path(__file__).parents[1]
PACKAGES = ("cryptography", "grpcio", "protobuf", "python-pkcs11", "SQLAlchemy", "psycopg")
BUSY_PERCENT = 10.0
"""Of the cores, by others, from which a run says that it was not alone."""


def described() -> dict[str, str]:
    """Return what stands on the page."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
        "commit": _commit(),
    } | {name: importlib.metadata.version(name) for name in PACKAGES}


def yardstick_ms() -> float:
    """Return the CPU milliseconds of a fixed piece of work: Python, SHA-256 and ECDSA, about a third each."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, block = key.public_key(), bytes(1 << 20)
    signature = key.sign(b"yardstick", ec.ECDSA(SHA256()))

    def work() -> None:
        sum(number * number % 7 for number in range(60_000))
        for _ in range(4):
            hashlib.sha256(block).digest()
        for _ in range(40):
            public.verify(signature, b"yardstick", ec.ECDSA(SHA256()))

    return statistics.median(cpu_ms(work, 15))


class Neighbours:
    """How much of the machine others used in a span of time: all busy time, less what this run and its children took."""

    def __init__(self) -> None:
        """Begin to watch."""
        self._began = time.monotonic()
        self._busy, self._own = _busy_seconds(), 0.0

    def percent(self, own_seconds: float) -> float:
        """Return the per cent of all cores that others used, given what the run itself did."""
        span = (time.monotonic() - self._began) * len(os.sched_getaffinity(0))
        return max(0.0, 100 * (_busy_seconds() - self._busy - own_seconds) / span)


def own_seconds() -> float:
    """Return the CPU of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float:
    """Return the CPU seconds that all processors worked since the machine started (proc(5), stat)."""
    user, nice, system, _idle, _wait, interrupts, soft, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = " and changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed
