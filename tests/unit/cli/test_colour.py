"""Colour and bars of progress: for a terminal that can show them, and for nobody who says no."""

import ast
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

CLI = Path(__file__).parents[3] / "federation" / "cli"
SHOW = """
from federation.cli.transfers import transfers
with transfers() as show:
    show("Records", 3, 4)
"""
PARTS = "console", "progress"
COLOURED, MOVED = "\x1b[38;", "\x1b["


def shown(environment: dict[str, str], *, on_terminal: bool) -> str:
    """Show a bar to a pty or to a pipe; return what came."""
    names = "NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "TTY_COMPATIBLE"
    bare = {name: value for name, value in os.environ.items() if name not in names} | environment
    if not on_terminal:
        return subprocess.run([sys.executable, "-c", SHOW], env=bare, capture_output=True, text=True, check=True).stderr
    master, slave = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", SHOW], env=bare, stderr=slave) as child:
        os.close(slave)
        said = b""
        try:
            while piece := os.read(master, 4096):
                said += piece
        except OSError:  # Linux says so that no slave is open any more
            pass
        os.close(master)
    assert child.returncode == 0
    return said.decode()


def test_terminal_has_a_bar_in_colour() -> None:
    said = shown({"TERM": "xterm-256color"}, on_terminal=True)
    assert "Records" in said
    assert COLOURED in said


def test_no_color_has_a_bar_without() -> None:
    said = shown({"TERM": "xterm-256color", "NO_COLOR": "1"}, on_terminal=True)
    assert "Records" in said
    assert COLOURED not in said


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "dumb", "FORCE_COLOR": "1"}, {}])
def test_dumb_terminal_has_no_bar(environment: dict[str, str]) -> None:
    assert MOVED not in shown(environment, on_terminal=True)


@pytest.mark.parametrize("environment", [{"TERM": "xterm-256color"}, {"TERM": "xterm-256color", "FORCE_COLOR": "1"}])
def test_no_terminal_has_no_bar(environment: dict[str, str]) -> None:
    assert MOVED not in shown(environment, on_terminal=False)


def test_nothing_else_of_the_command_has_colour() -> None:
    found = set()
    for file in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"style", "secho"}:
                found.add(file.name)
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("rich"):
                found.add(f"{file.name} {node.module}")
    consoles = {f"{file}.py rich.{part}" for file in ("hospital_import", "transfers") for part in PARTS}
    assert found <= consoles
