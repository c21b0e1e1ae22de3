"""The watch over logs can fail: whatever is put into whichever log is found, and what is said to people is no log."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo.disclosures import disclosure, disclosures
from tests.log_watch import names, prune

ROOT = Path(__file__).parents[2]
CONFTEST = "from tests.log_watch import watch as pytest_configure\n"
IMPORTS = "import logging, os, subprocess\nfrom federation.wire import operations\n"
CALM = """
from federation.wire import operations
def test_one():
    operations.info("call", method="/federation.v1.DirectoryService/GetDirectory", request_id="0123456789abcdef")
def test_short_pin(tmp_path):
    (tmp_path / "pin").write_text("314")
    (tmp_path / "serve.log").write_text('{"at": "2026-01-01T00:00:00.314+00:00", "level": "INFO", "event": "call"}')
"""
LINE = '{"at": "2026-01-01T00:00:00.000+00:00", "level": "INFO", "event": "%s"}'


def run(directory: Path, test: str, *words: str) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", directory]
    done = subprocess.run(
        [*command, f"--basetemp={directory / 'temporary'}", *words, directory / "test_it.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # Or the run that this test is part of would find what was hidden there.
    shutil.rmtree(directory / "temporary", ignore_errors=True)
    return done


ACTS = {
    "operations": 'operations.warning("met P" + ":somebody"); (tmp_path / "pin").write_bytes(bytes([255]))',
    "key": 'operations.info("call", reference=bytes(range(16)).hex())',
    "library": 'logging.getLogger("a.library").warning("%s came", "D" + ":somebody")',
    "file": f"(tmp_path / 'serve.log').write_text('{LINE % 'H:somewhere'}')".replace("H:", "H' + ':"),
    "pipe": f"subprocess.run(['echo', '{LINE % 'H:somewhere'}'], stdout=-1)".replace("H:", "H' + ':"),
    "pin": f"[(tmp_path / it).write_text(text) for it, text in (('pin', '271828'), ('a.log', '{LINE % '271828'}'))]",
    "stderr": f"os.write(2, b'{LINE % 'M:board'}\\n')".replace("M:", "M' + b':"),
}


@pytest.mark.parametrize("words", [(), ("-n", "0"), ("-n", "1")], ids=["alone", "xdist-without-workers", "xdist"])
def test_run_whose_logs_disclose_something_fails_and_says_where(tmp_path: Path, words: tuple[str, ...]) -> None:
    acts = [f"def test_{name}(tmp_path):\n    {act}\n" for name, act in ACTS.items()]
    done = run(tmp_path, "\n".join([IMPORTS, *acts]), *words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{len(ACTS)} passed" in done.stdout
    shown = done.stdout.partition("logs that disclose something")[2]
    for name in ACTS:
        assert f"test_{name}" in shown, shown


def test_run_whose_logs_disclose_nothing_passes(tmp_path: Path) -> None:
    done = run(tmp_path, CALM)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "word",
    [
        "P:wang",
        "D:chen",
        "H:alpha",
        "H:alpha/cardiology",
        "a PIN",
        "Johnnie679",
        bytes(range(32)).hex(),
        bytes(range(16)).hex().upper(),
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "AAECAwQFBgcICQoL-A0ODxAREhMU_RYXGBkaGxwdHh8",
    ],
)
def test_line_that_discloses_something_is_found(word: str) -> None:
    assert disclosure(LINE % f"x {word}.", {"a PIN", *names()}) is not None
    assert disclosures(LINE % word, {"a PIN", *names()})


@pytest.mark.parametrize(
    "word",
    [
        "0123456789abcdef",
        "/federation.v1.DirectoryService/GetDirectory",
        "unix:/srv/medunion/Hospital-4711/of-the-Holy-Spirit-and-Saint-John/admin.sock",
        "test_route_of_a_message_that_is_refused_at_the_second_hop",
        "12:49:50",
    ],
)
def test_line_that_discloses_nothing_is_let_pass(word: str) -> None:
    assert disclosure(LINE % word, {"a PIN", *names()}) is None


def test_what_is_said_to_people_is_no_log() -> None:
    assert disclosures("P:wang is here.\nTicket for H:a\n", set()) == []
    assert disclosures(f"H:a serves at 127.0.0.1:1\n{LINE % 'call'}\n", set()) == []


def test_what_a_server_writes_beside_its_log_is_log() -> None:
    assert len(disclosures(f"{LINE % 'call'}\nTraceback: P:wang\n", set())) == 1


def test_run_of_this_suite_is_watched(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.has_plugin("log-watch")


@pytest.mark.parametrize(
    ("failed", "kept"), [(False, {"pin", "a.pin", "serve.log"}), (True, {"pin", "a.pin", "serve.log", "db"})]
)
def test_of_a_test_that_passed_what_is_looked_at_is_kept(
    failed: bool, kept: set[str], tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not of the test")
    left = tmp_path / "left"
    (left / "cloud").mkdir(parents=True)
    for name in ("pin", "a.pin", "serve.log", "db"):
        (left / "cloud" / name).touch()
    (left / "link").symlink_to(elsewhere)
    monkeypatch.setattr(request.config.pluginmanager.get_plugin("log-watch"), "has_failed", failed)
    prune(request.config, left)
    assert {path.name for path in (left / "cloud").iterdir()} == kept
    assert elsewhere.exists()
