"""The first of the README's commands, without the installing; and that it leaves nothing behind, however it ends."""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from demo.screens import chromium
from demo.stage import environment
from tests.waiting import until

ROOT = Path(__file__).parents[2]
SERVERS = "cloud", "a", "b"


@pytest.mark.timeout(480)
def test_the_demo_ends_with_a_clear_verdict_and_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--page", str(page)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The visit held, end to end" in done.stdout
    assert "FAILED" not in done.stdout
    drawn = page.read_text()
    assert "12-lead ECG" in drawn
    assert "Messages of the visit" in drawn
    assert ("data:image/png;base64," in drawn) == (chromium() is not None)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda it: it.name
)
def test_demo_that_is_ended_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with (tmp_path / "said").open("wb") as said:
        demo = subprocess.Popen(
            # What runs under nohup ignores a terminal's end, and so would its children.
            ["env", "--default-signal=HUP", "setpriv", "--pdeathsig=KILL", sys.executable, "-m", "demo"],
            cwd=ROOT,
            env=environment() | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    told = (tmp_path / "said").read_text
    until(lambda: demo.poll() is not None or len(serving(tmp_path)) == len(SERVERS), told)
    assert serving(tmp_path) < processes_of(tmp_path), told()
    demo.send_signal(number)
    code = demo.wait(60)
    until(lambda: not processes_of(tmp_path), lambda: f"the end of {processes_of(tmp_path)}")
    if number is not signal.SIGKILL:
        assert code == 130, told()
        assert "Stopped." in told()
        assert [path.name for path in tmp_path.iterdir()] == ["said"]


def serving(directory: Path) -> set[int]:
    """Return the processes of a demo's servers that take calls."""
    files = (path for name in SERVERS for path in directory.glob(f"medunion-demo-*/{name}/ready"))
    return {json.loads(path.read_text())["pid"] for path in files}


def processes_of(directory: Path) -> set[int]:
    """Return all processes of a demo that has its temporary files there: everyone that it starts was told so."""
    mark, found = f"TMPDIR={directory}\0".encode(), set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if mark in (process / "environ").read_bytes():
                found.add(int(process.name))
    return found
