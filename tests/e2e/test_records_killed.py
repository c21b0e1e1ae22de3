"""`records erase`, killed at every place in between: what was begun is finished by the same command, once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.stage import environment, make_token, run
from federation.party.node_directory import NodeDirectory
from federation.store.records import OutboxEntries, RecordsAdministration
from tests.hospital_lab import JOHNNIE

pytestmark = pytest.mark.timeout(300)

KILL = """
import os, signal
from federation.{module} import {owner}

def die(*arguments, **named):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)

real = {owner}.{method}
{owner}.{method} = die
from federation.cli.main import main
main()
"""
PLACES = {
    "before_anything_is_kept": ("hospital.vault", "Vault", "parts", ""),
    "before_the_transaction": ("store.records", "RecordsAdministration", "erase", ""),
    "after_the_transaction": ("store.records", "RecordsAdministration", "erase", "real(*arguments, **named)"),
    "before_the_content_is_removed": ("store.blobs", "BlobStore", "remove", ""),
    "after_the_content_is_removed": ("store.blobs", "BlobStore", "remove", "real(*arguments, **named)"),
    "after_the_content_is_forgotten": ("store.records", "RecordsAdministration", "buried", "real(*arguments, **named)"),
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital that was never registered: its outbox keeps what the public cloud is to be told."""
    root = tmp_path_factory.mktemp("federation")
    pins = {name: make_token(root / name, name) for name in ("cloud", "hospital")}
    cloud = "--directory", root / "cloud", "--pin-file", pins["cloud"], "--identity", "C:union", "--realm", "test"
    run("public-cloud", "init", *cloud, "--address", "localhost:1", "--peer-address", "localhost:2", "--make-keys")
    made = "--directory", root / "hospital", "--pin-file", pins["hospital"], "--identity", "H:alpha"
    trust = "--trust", root / "cloud" / "trust.json", "--listen", "localhost:0", "--department", "cardiology"
    run("hospital", "init", *made, *trust, "--make-keys")
    return root / "hospital"


@pytest.fixture
def at(hospital: Path) -> tuple[object, ...]:
    return "--directory", hospital


def filed(at: tuple[object, ...], hospital: Path) -> str:
    """Import a record whose retention is over; return its handle."""
    run("hospital", "import", *at, "--patient", "P:wang", "--department", "cardiology", JOHNNIE)
    handle = run("hospital", "records", "list", *at, "--patient", "P:wang").split()[0]
    run("hospital", "records", "retention", *at, handle, "--until", "2020-01-01", "--why", "ordered")
    return handle


def killed(place: tuple[str, str, str, str], *words: object) -> None:
    module, owner, method, before = place
    program = KILL.format(module=module, owner=owner, method=method, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_erasure_killed_at_any_place_is_finished_by_the_next_one(
    hospital: Path, at: tuple[object, ...], place: tuple[str, str, str, str]
) -> None:
    handle = filed(at, hospital)
    erase = "hospital", "records", "erase", *at, handle, "--confirm", "1", "--why", "asked for"
    with NodeDirectory(hospital).database() as database:
        waiting = OutboxEntries(database).size()
    killed(place, *erase)
    said = run(*erase)
    assert f"{handle}  erased" in said or f"{handle}  was erased already" in said
    assert "RECORD_ERASED" in run("hospital", "records", "show", *at, handle, expect=1)
    assert run("hospital", "log", *at, "--verify").count(f'"detail": "{handle}, 1 versions') == 1
    assert [name for _, _, names in os.walk(hospital / "blobs") for name in names] == []
    with NodeDirectory(hospital).database() as database:
        assert OutboxEntries(database).size() == waiting + 1
        assert RecordsAdministration(database).condemned(limit=1) == []


@pytest.mark.parametrize("before", ["", "real(*arguments, **named)"], ids=["before_it_is_kept", "after_it_is_kept"])
def test_correction_killed_is_there_once_after_the_next_one(
    hospital: Path, at: tuple[object, ...], tmp_path: Path, before: str
) -> None:
    handle = filed(at, hospital)
    bundle = tmp_path / "corrected.json"
    bundle.write_text(json.dumps(json.loads(JOHNNIE.read_text())))
    correct = "hospital", "records", "correct", *at, handle, bundle, "--why", "a slip"
    killed(("store.records", "RecordsAdministration", "correct", before), *correct)
    assert "version 2 is found from now on" in run(*correct)
    assert run("hospital", "log", *at).count(f'"detail": "{handle}, version 2') == 1
    run("hospital", "records", "retention", *at, handle, "--until", "2020-01-01", "--why", "ordered")
    run("hospital", "records", "erase", *at, handle, "--confirm", "1", "--why", "asked for")
    shutil.rmtree(hospital / "blobs")  # what the kill left, which the daily sweep would take


def test_erasure_without_the_right_number_erases_nothing(hospital: Path, at: tuple[object, ...]) -> None:
    handle = filed(at, hospital)
    erase = "hospital", "records", "erase", *at, "--due", "--why", "due"
    assert "1 to erase; nothing is erased yet. Give --confirm 1" in run(*erase)
    assert "1 record to erase, not 2: nothing was erased" in run(*erase, "--confirm", "2", expect=1)
    assert handle in run("hospital", "records", "due", *at)
    held = run("hospital", "records", "hold", *at, handle, "--why", "file 12/26").split()[-1]
    assert "0 to erase" in run(*erase)
    assert "RECORD_HELD" in run("hospital", "records", "erase", *at, handle, "--confirm", "1", "--why", "x", expect=1)
    assert "1 past their retention, 1 of them held" in run("hospital", "records", "due", *at)
    assert "file 12/26" in run("hospital", "records", "show", *at, handle)
    run("hospital", "records", "release", *at, handle, "--hold", held, "--why", "file closed")
    assert f"{handle}  erased" in run(*erase, "--confirm", "1")
    listed = run("hospital", "records", "list", *at, "--erased")
    assert handle in listed
    kept = hospital / "erased"
    kept.write_text(listed)
    again = "hospital", "records", "erase", *at, "--handles-file", kept, "--why", "after a restore"
    assert f"{handle}  was erased already" in run(*again, "--confirm", str(len(listed.splitlines())))


@pytest.mark.parametrize(
    "words",
    [
        ("erase", "--why", "x"),
        ("erase", "--due", "--patient", "P:wang", "--why", "x"),
        ("erase", "00", "--why", "x"),
        ("erase", "--due"),
        ("withdraw", "--why", "x"),
        ("retention", "--why", "x"),
        ("retention", "--until", "2030-01-01", "--by-policy", "--why", "x"),
    ],
)
def test_wrong_usage_is_said_with_exit_code_2(at: tuple[object, ...], words: tuple[str, ...]) -> None:
    assert "Usage" in run("hospital", "records", *words, *at, expect=2)
