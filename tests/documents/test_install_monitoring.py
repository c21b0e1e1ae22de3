"""ci/install-monitoring: as root, with sudo, without either, and on a machine without apt. Programs around it are stand-ins."""

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "ci" / "install-monitoring"
PLAIN = ("bash", "env", "dirname", "mktemp", "rm", "mkdir", "mv", "tar", "chmod")
APT = """echo "apt-get $*" >>"$LOG"
case "$*" in *download*) echo package >prometheus_2_amd64.deb ;; esac
"""
DPKG = """mkdir -p "$STAGE/usr/bin" && echo promtool >"$STAGE/usr/bin/promtool" && chmod +x "$STAGE/usr/bin/promtool"
tar --create --directory "$STAGE" ./usr/bin/promtool
"""


@dataclass
class Machine:
    """A machine of that kind: what is in its PATH, and what was called."""

    root: Path

    def has(self, name: str, body: str) -> None:
        program = self.root / "bin" / name
        program.write_text(f"#!{shutil.which('bash')}\n{body}")
        program.chmod(stat.S_IRWXU)

    def install(self, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {name: str(self.root / name.lower()) for name in ("LOG", "STAGE")}
        return subprocess.run(
            [self.root / "ci" / SCRIPT.name],
            env={"PATH": str(self.root / "bin"), "TMPDIR": str(self.root)} | own | environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def called(self) -> list[str]:
        log = self.root / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def promtool(self) -> Path:
        return self.root / ".venv" / "monitoring" / "promtool"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("bin", "ci"):
        (tmp_path / name).mkdir()
    shutil.copy(SCRIPT, tmp_path / "ci")
    for name in PLAIN:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return Machine(tmp_path)


def with_apt(machine: Machine, uid: int) -> None:
    machine.has("id", f"echo {uid}\n")
    machine.has("apt-get", APT)
    machine.has("dpkg-deb", DPKG)


def test_root_fetches_without_sudo_and_leaves_nothing_else(machine: Machine) -> None:
    with_apt(machine, 0)
    before = set(machine.root.iterdir())
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert os.access(machine.promtool, os.X_OK)
    assert machine.called[0].startswith("apt-get update")
    assert {path.name for path in set(machine.root.iterdir()) - before} == {".venv", "log", "stage"}


def test_user_fetches_with_sudo(machine: Machine) -> None:
    with_apt(machine, 1000)
    machine.has("sudo", 'echo "sudo $*" >>"$LOG"\nexec "$@"\n')
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert machine.called[0] == "sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq"
    assert machine.promtool.exists()


def test_user_without_sudo_is_told_what_to_run(machine: Machine) -> None:
    with_apt(machine, 1000)
    done = machine.install()
    assert done.returncode == 1
    assert "Run once as root: env DEBIAN_FRONTEND=noninteractive apt-get update" in done.stderr
    assert machine.called == []


def test_machine_without_apt_says_loudly_what_is_not_run(machine: Machine) -> None:
    machine.has("id", "echo 0\n")
    done = machine.install()
    assert done.returncode == 0
    assert "\033[1mNOT RUN HERE: what promtool says" in done.stderr


def test_machine_without_apt_fails_where_promtool_is_required(machine: Machine) -> None:
    machine.has("id", "echo 0\n")
    done = machine.install(MEDUNION_REQUIRE_MONITORING="1")
    assert done.returncode == 1
    assert "promtool is required here" in done.stderr


@pytest.mark.parametrize("where", ["fetched", "on the machine"])
def test_nothing_is_fetched_where_promtool_is(machine: Machine, where: str) -> None:
    with_apt(machine, 0)
    if where == "fetched":
        machine.promtool.parent.mkdir(parents=True)
        machine.has("promtool", "")
        (machine.root / "bin" / "promtool").rename(machine.promtool)
    else:
        machine.has("promtool", "")
    assert machine.install().returncode == 0
    assert machine.called == []
