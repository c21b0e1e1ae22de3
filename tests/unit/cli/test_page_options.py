"""The commands that serve pages where what they need is not installed."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from federation.cli.main import main

WHERE = {
    "doctor desk": ["doctor", "desk", "--hospital", "H:b", "--address", "127.0.0.1:1"],
    "patient app": ["patient", "app"],
}


@pytest.mark.parametrize("words", WHERE.values(), ids=WHERE)
def test_without_the_extra_it_is_named(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("federation.pages")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    done = CliRunner().invoke(main, [*words, "--directory", str(tmp_path)])
    assert done.exit_code == 1
    assert "pages need the extra `pages`" in done.output
