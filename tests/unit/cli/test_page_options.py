"""The commands that serve pages where what they need is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_STARLETTE = 'import sys; sys.modules["starlette"] = None; from federation.cli.main import main; main()'
COMMANDS = {
    "doctor desk": ["doctor", "desk", "--hospital", "H:b", "--address", "127.0.0.1:1"],
    "patient app": ["patient", "app"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_without_the_extra_it_is_named(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_STARLETTE, *words, "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "pages need the extra `pages`: starlette" in done.stderr
