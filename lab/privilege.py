"""How this machine lets us make network namespaces: a user namespace first, for it needs no root; then root; then sudo."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

LACKING = 77
"""The exit code where the machine does not let the lab run, as automake's tests have it."""

PROBE_SECONDS = 20
TUN = Path("/dev/net/tun")
_PROGRAMS = ("ip", "mount", "nsenter", "unshare")
_SEPARATE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
_PROBE = """
mount -t tmpfs none /run
ip netns add medunion-probe
ip link add name probe0 type veth peer name probe1 netns medunion-probe
ip link add name probe2 type bridge
ip rule add from 10.77.1.0/24 to 10.77.2.0/24 blackhole
ip tuntap add dev probe3 mode tap
"""


class PrivilegeLacking(Exception):
    """The machine does not let us; the sentence says why."""


@dataclass(frozen=True)
class Way:
    """A command that runs another as root of namespaces of its own, all of which end with it."""

    name: str
    prefix: tuple[str, ...]
    removes: tuple[str, ...] = ("rm",)
    """How what it left is removed."""


WAYS = {
    way.name: way
    for way in (
        Way("user-namespace", (*_SEPARATE, "--user", "--map-root-user")),
        Way("root", _SEPARATE),
        Way("sudo", ("sudo", "-n", *_SEPARATE), ("sudo", "-n", "rm")),
    )
}


def choose(names: Sequence[str] = tuple(WAYS)) -> Way:
    """Return the first way that works here. Raises PrivilegeLacking."""
    _require_tools()
    faults = []
    for way in (WAYS[name] for name in names):
        if way.name == "root" and os.geteuid() != 0:
            faults.append("root: you are not root")
            continue
        fault = _fault(way)
        if fault is None:
            return way
        faults.append(f"{way.name}: {fault}")
    raise PrivilegeLacking(
        f"The lab needs network namespaces, and this machine gives none ({'; '.join(faults)}). "
        "Run it as root, with sudo, or where unprivileged user namespaces are allowed."
    )


def faketime_library() -> Path | None:
    """Return libfaketime's path, if it is installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def database_program(name: str) -> str | None:
    """Return where a program of the newest PostgreSQL here is: Debian keeps them out of the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(installed[-1]) if installed else which(name)


def _require_tools() -> None:
    missing = [name for name in _PROGRAMS if which(name) is None]
    if faketime_library() is None:
        missing.append("libfaketime")
    if database_program("initdb") is None:
        missing.append("PostgreSQL")
    if not os.access(TUN, os.R_OK | os.W_OK):
        missing.append(str(TUN))
    if missing:
        raise PrivilegeLacking(f"The lab needs {', '.join(missing)}; `ci/install-lab` installs what can be installed.")


def _fault(way: Way) -> str | None:
    """Return why a way does not work, in the words of the program that said so; None if it does."""
    try:
        done = subprocess.run(
            [*way.prefix, "sh", "-ec", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
