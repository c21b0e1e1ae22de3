"""Performs docs/deployment.md, block by block, on a Debian with systemd; `ci/systemd-proof` makes it and names its root."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ci.containerfile import lent

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "deployment.md"
DATA = {"synthea-johnnie679.json": "johnnie.json", "waveform_ecg.dcm": "ecg.dcm"}
BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TICKET = re.compile(r"^    (\S{20,})$", re.MULTILINE)
WHERE = "/srv/medunion"
SECONDS = 600.0
WATCHDOG = 10
MADE_BY_HAND = 1
AUTHORITY_THAT_PUBLISHES = """
install -d -o medunion -g medunion -m 0700 /var/lib/medunion/lists
as_node="setpriv --reuid=medunion --regid=medunion --clear-groups medunion"
where="--directory /var/lib/medunion/lists --pin-file /var/lib/medunion/lists/pin"
$as_node token init-softhsm $where --label lists
$as_node authority init $where --identity M:lists --output /srv/medunion/lists.der
systemd-creds encrypt --name=pin /var/lib/medunion/lists/pin /etc/credstore.encrypted/medunion-lists.pin
shred --remove /var/lib/medunion/lists/pin
sed --in-place 's/^pin_file = .*/pin_credential = "pin"/' /var/lib/medunion/lists/medunion.toml
"""
NODES = "medunion-public-cloud@union", "medunion-hospital@a", "medunion-hospital@b"
AS_THEY_SHOULD = {"ActiveState": "active", "NRestarts": "0", "User": "medunion"}


class Fault(Exception):
    """Something is not as the page says."""


class Machine:
    """A Debian of its own, whose first process is systemd. Commands are typed there as root, in /srv/medunion."""

    def __init__(self, leader: int, variables: dict[str, str]) -> None:
        """Know its first process, as this machine counts."""
        self._leader = leader
        environment = [f"{name}={value}" for name, value in variables.items()]
        self._enter = [
            "nsenter",
            f"--target={leader}",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--cgroup",
            "--root",
        ]
        self._enter += [f"--wdns={WHERE}", "env", "--ignore-environment", *environment]

    def start(self, script: str, stdin: str = "") -> "subprocess.Popen[str]":
        """Type a script."""
        words = [*self._enter, "bash", "-euo", "pipefail", "-c", script]
        typed = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert typed.stdin is not None  # noqa: S101 - it is a pipe
        typed.stdin.write(stdin)
        typed.stdin.close()
        typed.stdin = None
        return typed

    def run(self, script: str, stdin: str = "") -> str:
        """Type a script, and give what it says at its end. Raises Fault."""
        return ended(self.start(script, stdin), script)


def ended(typed: "subprocess.Popen[str]", script: str) -> str:
    """Wait for the end of a script, and give what it said. Raises Fault."""
    said, _ = typed.communicate(timeout=SECONDS)
    if typed.returncode:
        raise Fault(f"exit code {typed.returncode}:\n{script}\n{said[-6000:]}")
    return said


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot a Debian and give it, and end it with all that runs there."""
    words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--resolv-conf=copy-host"]
    words += ["--console=pipe", "--kill-signal=SIGRTMIN+3", "-D", str(root), "--boot", "systemd.unit=multi-user.target"]
    with lent(root) as given, (root.parent / "boot.log").open("wb") as log:
        # Killed, this process would leave a machine behind.
        nspawn = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            leader = until(lambda: first_process(nspawn.pid), "systemd begins")
            machine = Machine(
                leader, given | {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": WHERE}
            )
            until(lambda: is_up(machine), "systemd is up")
            yield machine
        finally:
            nspawn.terminate()
            try:
                nspawn.wait(SECONDS)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.wait()


def first_process(nspawn: int) -> int:
    """Return the machine's first process, or 0 while it is not there yet: nspawn has helpers first."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        with suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
    return 0


def is_up(machine: Machine) -> bool:
    """Return whether systemd has started what it starts."""
    try:
        return machine.run("systemctl is-system-running || true").strip() in ("running", "degraded")
    except Fault:
        return False


def until(condition: Callable[[], int], what: str) -> int:
    """Wait for something to become true, and give it. Raises Fault."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Fault(f"not within {SECONDS:g} s: {what}")
        time.sleep(0.2)
    return found


def perform(machine: Machine, root: Path) -> None:
    """Perform the page."""
    ticket, consultation = "", None
    for manner, script in BLOCK.findall(PAGE.read_text()):
        begun, said = time.monotonic(), ""
        if manner == "doctor":
            consultation = machine.start(script)
            until((root / "srv/medunion/code").exists, "the doctor's code is there")
        elif manner == "after" and consultation is not None:
            said = ended(consultation, "the doctor's part of the visit") + machine.run(script)
        else:
            said = machine.run(script, f"{ticket}\n" if manner == "ticket" else "")
        ticket = found[-1] if (found := TICKET.findall(said)) else ticket
        print(f"ok  {time.monotonic() - begun:5.1f} s  {script.strip().splitlines()[0]}", flush=True)


def look_closer(machine: Machine) -> None:
    """Try what the page promises of the units: alive for longer than the watchdog waits, hardened, and no PIN in any file."""
    for node in NODES:
        properties = "-p ActiveState -p NRestarts -p StatusText -p User"
        found = dict(line.split("=", 1) for line in machine.run(f"systemctl show {node} {properties}").splitlines())
        if "serves at" not in found.pop("StatusText") or found != AS_THEY_SHOULD:
            raise Fault(f"{node}: {found}")
    print("ok  every node runs as medunion, says that it serves, and was never restarted by systemd")
    pid = machine.run("systemctl show medunion-hospital@b -p MainPID --value").strip()
    status = machine.run(f"cat /proc/{pid}/status")
    for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        if line not in status:
            raise Fault(f"not found in its status: {line}\n{status}")
    print("ok  a node has no capability, gets no privilege, and its system calls are filtered")
    seen = machine.run(f"nsenter --target {pid} --mount ls /var/lib/medunion").split()
    if seen != ["b"]:
        raise Fault(f"hospital b sees {seen}")
    print("ok  a node sees no other node's directory")
    do_jobs(machine)
    hand_over_and_hang(machine)


def do_jobs(machine: Machine) -> None:
    """Let each unit that a timer starts do its work once: the backup, the roster, and the list of an authority that publishes."""
    waiting = machine.run("systemctl list-timers --all --no-legend 'medunion-*'")
    for job in ("backup@a", "duty@a", "crl@board"):
        require(f"medunion-job-{job}.timer" in waiting, waiting)
    machine.run("systemctl start medunion-job-backup@a")
    said = machine.run("journalctl --unit medunion-job-backup@a --output cat --no-pager")
    made = machine.run("ls /var/backups/medunion").split()
    require(len(made) == MADE_BY_HAND + 1 and re.search(r"\b[0-9a-f]{64}\b", said), f"{made}\n{said}")
    now = datetime.now(UTC).replace(microsecond=0)
    shift = f"D:okafor,neurology,{now.isoformat()},{(now + timedelta(hours=12)).isoformat()}"
    machine.run("cat >a.roster.csv", f"doctor,departments,from,until\n{shift}\n")
    machine.run("systemctl start medunion-job-duty@a")
    said = machine.run("medunion-node a hospital duty list")
    require("D:okafor" in said, said)
    machine.run(AUTHORITY_THAT_PUBLISHES)
    machine.run("systemctl start medunion-job-crl@lists")
    (published,) = machine.run("ls lists").split()
    where = f"--crl-url file://{WHERE}/lists/{published}"
    machine.run(f"medunion-node union public-cloud authority add {WHERE}/lists.der 'D:*' {where}")
    machine.run("systemctl restart medunion-public-cloud@union")
    log = "medunion-node union public-cloud log"
    until(lambda: "M:lists number 1 fetched" in machine.run(log), "the cloud fetches the list")
    failed = machine.run("systemctl list-units --failed --no-legend 'medunion-*'")
    require(not failed, failed)
    print("ok  what timers start does its work: a backup, a roster, a list, which the cloud fetches")


def require(holds: object, seen: str) -> None:
    """Raise Fault with what was seen, unless it holds."""
    if not holds:
        raise Fault(seen)


def hand_over_and_hang(machine: Machine) -> None:
    """Have a node hand over under a short watchdog, and then hang."""
    drop_in = "/etc/systemd/system/medunion-hospital@a.service.d"
    machine.run(
        f"mkdir {drop_in}; printf '[Service]\\nWatchdogSec={WATCHDOG}s\\n' >{drop_in}/50.conf; systemctl daemon-reload"
    )
    machine.run("systemctl restart medunion-hospital@a")
    before = shown(machine, "MainPID")
    machine.run("systemctl reload medunion-hospital@a")
    until(lambda: shown(machine, "MainPID") != before, "the successor is the service")
    until(lambda: not machine.run(f"ls /proc | grep -x {before} || true").strip(), "its predecessor has gone")
    time.sleep(2 * WATCHDOG)
    if (shown(machine, "NRestarts"), shown(machine, "ActiveState")) != ("0", "active"):
        raise Fault("the successor was taken for dead")
    print("ok  a node hands over at systemctl reload, and its successor is alive to systemd")
    machine.run(f"kill -STOP {shown(machine, 'MainPID')}")
    until(lambda: shown(machine, "NRestarts") == "1", "systemd restarts a node that hangs")
    until(lambda: shown(machine, "ActiveState") == "active", "it serves again")
    machine.run("medunion-node a health --strict")
    print("ok  a node that hangs is restarted by systemd, and serves")


def shown(machine: Machine, name: str) -> str:
    """Return a property of hospital A's unit."""
    return machine.run(f"systemctl show medunion-hospital@a -p {name} --value").strip()


def main() -> int:
    """Boot, perform, look, end."""
    root = Path(sys.argv[1])
    for name, as_named in DATA.items():
        shutil.copy(REPOSITORY / "tests" / "data" / name, root / "srv" / "medunion" / as_named)
    with booted(root) as machine:
        try:
            perform(machine, root)
            look_closer(machine)
        except Fault as fault:
            print(f"NOT {fault}", flush=True)
            print(machine.run("journalctl --no-pager --lines=60 || true"))
            return 1
    print("docs/deployment.md is right.")
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
