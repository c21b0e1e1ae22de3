"""The units of deploy/systemd are right to systemd, hardened, and start what there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from federation.cli.main import main

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
MOST_EXPOSED = 15
"""In tenths, of 100: systemd-analyze security calls what is below 20 OK."""

SERVICES = ("medunion-hospital@a.service", "medunion-public-cloud@union.service")
JOBS = ("medunion-job-backup@a", "medunion-job-crl@board", "medunion-job-duty@a")
"""What a timer does."""

UNITS_OF_ALL = (*SERVICES, *(f"{job}.service" for job in JOBS))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the root of a host on which the units are installed, beside what Debian's have them refer to."""
    root = tmp_path_factory.mktemp("host")
    system = root / "etc" / "systemd" / "system"
    shutil.copytree(UNITS, system)
    for name in ("opt/medunion/bin/medunion", "bin/sh"):
        command = root / name
        command.parent.mkdir(parents=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    for name in ("sysinit", "basic", "shutdown", "network-online", "time-sync", "multi-user", "timers", "time-set"):
        (system / f"{name}.target").write_text("[Unit]\n")
    return root


def analyze(host: Path, *words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", f"--root={host}", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("service", [*UNITS_OF_ALL, *(f"{job}.timer" for job in JOBS)])
def test_unit_is_right_to_systemd(host: Path, service: str) -> None:
    assert analyze(host, "verify", "--man=no", "--recursive-errors=one", service) == ""


def test_setting_misspelt_is_found(host: Path) -> None:
    into = host / "etc/systemd/system/medunion-hospital@a.service.d"
    into.mkdir()
    try:
        (into / "50-misspelt.conf").write_text("[Service]\nProtectSistem=strict\n")
        with pytest.raises(AssertionError, match="ProtectSistem"):
            analyze(host, "verify", "--man=no", "--recursive-errors=one", SERVICES[0])
    finally:
        shutil.rmtree(into)


@pytest.mark.parametrize("service", UNITS_OF_ALL)
def test_unit_is_hardened(host: Path, service: str) -> None:
    said = analyze(host, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", service)
    assert "Overall exposure level" in said


def test_unit_less_hardened_is_found(host: Path) -> None:
    weakened = host / "etc/systemd/system/medunion-hospital@a.service.d"
    weakened.mkdir()
    try:
        (weakened / "50-weak.conf").write_text("[Service]\nProtectSystem=no\nSystemCallFilter=\nPrivateUsers=no\n")
        with pytest.raises(AssertionError):
            analyze(host, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", SERVICES[0])
    finally:
        shutil.rmtree(weakened)


@pytest.mark.parametrize("example", sorted(path.name for path in (UNITS / "examples").glob("*.conf")))
def test_example_is_right_to_systemd(host: Path, example: str) -> None:
    into = host / "etc/systemd/system/medunion-hospital@a.service.d"
    into.mkdir()
    try:
        shutil.copy(UNITS / "examples" / example, into)
        assert analyze(host, "verify", "--man=no", "--recursive-errors=one", SERVICES[0]) == ""
    finally:
        shutil.rmtree(into)


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_unit_starts_a_command_that_there_is(unit: Path) -> None:
    start = re.search(r"^ExecStart=/opt/medunion/bin/medunion (.+) --directory \S+$", unit.read_text(), re.MULTILINE)
    assert start is not None
    said = CliRunner().invoke(main, [*start[1].split(), "--help"])
    assert said.exit_code == 0
    assert "--directory" in said.output


def test_every_job_has_a_timer_that_comes_and_ends_by_itself() -> None:
    """What is for a node that serves would have systemd wait for a word that no job says, and kill it as one that hangs."""
    jobs = {path.name.removesuffix("@.service") for path in UNITS.glob("medunion-job-*.service")}
    assert jobs == {path.name.removesuffix("@.timer") for path in UNITS.glob("*.timer")}
    assert {job.partition("@")[0] for job in JOBS} == jobs
    setting = dict(
        line.split("=", 1)
        for line in (UNITS / "medunion-job-.service.d" / "20-job.conf").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert (setting["Type"], setting["Restart"], setting["WatchdogSec"]) == ("oneshot", "no", "0")
    for timer in UNITS.glob("*.timer"):
        (when,) = re.findall(r"^OnCalendar=(.+)$", timer.read_text(), re.MULTILINE)
        done = subprocess.run(
            ["systemd-analyze", "calendar", when], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Next elapse" in done.stdout
        assert "WantedBy=timers.target" in timer.read_text()


def test_user_and_directories_are_right_to_systemd(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for words in (
        ["systemd-sysusers", f"--root={tmp_path}", UNITS / "medunion.sysusers"],
        ["systemd-tmpfiles", f"--root={tmp_path}", "--create", UNITS / "medunion.tmpfiles"],
    ):
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "var/lib/medunion").is_dir()
    assert "medunion" in (tmp_path / "etc/passwd").read_text()
