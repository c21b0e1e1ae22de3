"""`python -m lab`: brings the lab up, plays the scenarios, and leaves nothing behind. Exit code 77 without the privilege."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safefiles
from demo.stage import end_in_order
from federation.monitor.addresses import LONGEST_SOCKET_BYTES, fits
from lab.privilege import LACKING, WAYS, PrivilegeLacking, Way, choose
from lab.scenarios import SCENARIOS

PREFIX = "medunion-lab-"
LOCK = "lock"
_LONGEST_SOCKET = "c-database/.s.PGSQL.5432"
_STOP_SECONDS = 10
_ENTER = """#!/bin/sh
# enter HOST [COMMAND...]: a shell, or a command, at a host of the lab.
host=$1; shift
[ $# -gt 0 ] || set -- "${SHELL:-/bin/sh}"
for process in /proc/[0-9]*; do
  if { tr '\\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -q -- '^[^ ]*python[^ ]* -m lab.inside @ROOT@ '; then
    exec nsenter --target "${process#/proc/}" @USER@ --mount --wd="$PWD" -- nsenter --net="/run/netns/$host" -- "$@"
  fi
done
echo "the lab at @ROOT@ is not up" >&2
exit 1
"""


def main() -> int:
    """Run the lab."""
    options = _options()
    if options.list:
        for known in SCENARIOS.values():
            print(f"{known.name:<22} {known.title}\n{'':<22} expected: {known.expects}")
        return 0
    end_in_order()
    try:
        way = choose([options.privilege] if options.privilege else tuple(WAYS))
    except PrivilegeLacking as fault:
        print(fault, file=sys.stderr)
        return LACKING
    if options.check:
        print(f"The lab can run here, by way of {way.name}.")
        return 0
    remove_leftovers(way)
    with _root(way, options.directory) as (root, lock):
        if not fits(root / _LONGEST_SOCKET):
            room = LONGEST_SOCKET_BYTES - len(f"/{_LONGEST_SOCKET}")
            print(f"{root} is too long for the sockets in it: {room} bytes at most. Give --directory.", file=sys.stderr)
            return 1
        print(f"The lab runs by way of {way.name}, in {root}.", flush=True)
        _write_enter(root, way)
        return _run(way, root, lock, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/lab", description="A federation on many hosts, and what befalls it.")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help="only this one; repeat")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--check", action="store_true", help="only say whether the lab can run here")
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end, until Ctrl-C")
    parser.add_argument("--directory", type=Path, help="keep everybody's directories there (with their PINs)")
    parser.add_argument("--privilege", choices=WAYS, help="how to get network namespaces; by default whatever works")
    return parser.parse_args()


def remove_leftovers(way: Way) -> None:
    """Remove the directories of earlier runs that crashed: nobody holds their locks any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        try:
            with safefiles.LockFile(left, make=False) as lock:
                if lock.try_acquire():
                    _remove(way, left.parent)
        except OSError:
            continue  # it is in use, or somebody else's


@contextmanager
def _root(way: Way, directory: Path | None) -> Iterator[tuple[Path, int]]:
    """Yield the directory of this run, locked: a temporary one unless one is named."""
    root = Path(tempfile.mkdtemp(prefix=PREFIX)) if directory is None else directory.resolve()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with safefiles.LockFile(root / LOCK) as lock:
        try:
            lock.acquire()
            yield root, lock.fileno()
        finally:
            if directory is None:
                _remove(way, root)


def _remove(way: Way, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():  # some of it is root's, where the way was sudo
        subprocess.run([*way.removes, "-rf", "--", str(root)], check=False, stderr=subprocess.DEVNULL)


def _write_enter(root: Path, way: Way) -> None:
    user = "--user --preserve-credentials" if "--user" in way.prefix else ""
    enter = root / "enter"
    enter.write_text(_ENTER.replace("@ROOT@", str(root)).replace("@USER@", user))
    enter.chmod(0o700)


def _run(way: Way, root: Path, lock: int, options: argparse.Namespace) -> int:
    """Run the inner process; it ends when the pipe to it does, and with it everything that it started."""
    words = [str(root), "keep" if options.keep else "leave", *(options.scenario or SCENARIOS)]
    inner = subprocess.Popen(
        [*way.prefix, sys.executable, "-m", "lab.inside", *words],
        stdin=subprocess.PIPE,
        pass_fds=(lock,),
        start_new_session=True,
    )
    try:
        return inner.wait()
    except KeyboardInterrupt:
        print("\nStopping.", file=sys.stderr)
        return 130
    finally:
        assert inner.stdin is not None  # noqa: S101 - it is a pipe
        inner.stdin.close()
        try:
            inner.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            inner.kill()
            inner.wait()


if __name__ == "__main__":
    sys.exit(main())
