"""The first of the README's commands, without the installing."""

import subprocess
import sys
from pathlib import Path

import pytest

from demo.screens import chromium
from demo.stage import environment

ROOT = Path(__file__).parents[2]


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
