"""`medunion check`: each fault made for real, said in words, with what to do; a healthy node of every kind passes."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import Federation, federation, make_token, run, typed, write_pin
from demo.stage import environment as surroundings
from tests.contract import postgresql_server
from tests.contract.store_support import IMPLEMENTATIONS
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

MINUTE = 60_000
YEAR = 365 * 24 * 60 * MINUTE

SHIFTED = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from federation.check.whole import check
from federation.party.node_directory import NodeDirectory, stored_pin
from federation.clock import system_clock
found = check(NodeDirectory(Path(sys.argv[1])), stored_pin, lambda: system_clock() + int(sys.argv[2]))
print(json.dumps([asdict(finding) for finding in found]))
"""


def findings(directory: Path, *options: object, expect: int) -> dict[str, list[dict[str, str]]]:
    """Check a node until it ends as it should, and return what was found, by what it is about.

    On a machine that is busy with other tests a node's own probes may be late, and it does not call itself healthy meanwhile.
    """
    words = "check", "--directory", directory, "--json", *options
    deadline = time.monotonic() + 120
    while (done := typed(words, surroundings())).returncode != expect:
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.5)
    said = json.loads(done.stdout)
    assert said["ok"] is (expect == 0)
    return by_subject(said["findings"])


def by_subject(found: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    return {it["what"]: [other for other in found if other["what"] == it["what"]] for it in found}


def wrong(directory: Path, what: str, *options: object) -> str:
    """Require that of all things this alone is wrong; return what is said of it."""
    found = findings(directory, *options, expect=1)
    assert {name for name, them in found.items() if any(it["verdict"] == "WRONG" for it in them)} == {what}
    return " ".join(f"{it['says']} -> {it['do']}" for it in found[what] if it["verdict"] == "WRONG")


def with_clock_off(directory: Path, milliseconds: int) -> dict[str, list[dict[str, str]]]:
    """Check a node whose clock is off by that much."""
    command = [sys.executable, "-c", SHIFTED, str(directory), str(milliseconds)]
    done = subprocess.run(command, env=surroundings(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return by_subject(json.loads(done.stdout))


def told(found: dict[str, list[dict[str, str]]], what: str, verdict: str) -> str:
    return " ".join(it["says"] for it in found[what] if it["verdict"] == verdict)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Yield a federation that serves, with one of each kind."""
    with federation(tmp_path_factory.mktemp("federation")) as made:
        made.add_doctor("house")
        made.add_patient("johnnie", "a")
        yield made


@pytest.mark.parametrize("name", ["cloud", "a", "house", "johnnie"])
def test_node_that_is_well_passes_while_the_federation_serves(served: Federation, name: str) -> None:
    found = findings(served.root / name, expect=0)
    assert {"settings", "files", "token", "keys", "database", "log", "trust", "certificates", "peers"} <= found.keys()
    if name in {"cloud", "a"}:
        assert found["witnesses"][0]["verdict"] in {"ok", "note"}
        assert found["serving"][0]["says"] == "it serves, and is healthy"
    if name == "cloud":
        assert [it["says"].split()[0] for it in found["peers"]] == ["H:a", "H:b"]
    else:
        assert "of the public cloud's" in told(found, "clock", "ok")
        assert "the credential is good until" in told(found, "registration", "ok")
    if name == "a":
        assert "takes this hospital's certificate" in told(found, "peers", "ok")
        assert found["blobs"][0]["verdict"] == "ok"


def test_proxy_of_the_environment_is_named_and_changes_nothing(
    served: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    found = findings(served.root / "a", expect=0)
    assert (
        told(found, "dialling", "note")
        == "it dials without a proxy; http_proxy, https_proxy of the environment is not heeded"
    )
    assert "takes this hospital's certificate" in told(found, "peers", "ok")
    assert "is registered" in run(
        "hospital", "register", "--directory", served.root / "a", "--licence", served.root / "a.licence"
    )


def test_doctor_who_registered_again_is_looked_up_in_the_newest_list(served: Federation) -> None:
    doctor = served.add_doctor("fallen")
    run("public-cloud", "revoke", "--directory", served.root / "cloud", "D:fallen")
    checked = ("check", "--directory", doctor)
    until(lambda: "[CREDENTIAL_REVOKED]" in typed(checked, surroundings()).stdout, "its own check tells")
    run("doctor", "register", "--directory", doctor, "--certificate", served.root / "fallen.der")
    assert "the credential is good" in told(findings(doctor, expect=0), "registration", "ok")


def test_way_that_the_settings_set_is_the_one_that_check_goes(served: Federation) -> None:
    settings = served.root / "house" / "medunion.toml"
    before = settings.read_text()
    try:
        settings.write_text(before.replace("[dialling]", '[dialling]\nproxy = "127.0.0.1:1"'))
        found = findings(served.root / "house", expect=1)
        assert told(found, "dialling", "ok") == "it dials through the proxy 127.0.0.1:1"
        assert "the public cloud at" in told(found, "peers", "WRONG")
        settings.write_text(before.replace("[dialling]", '[dialling]\nnetworks = ["192.0.2.0/24"]'))
        found = findings(served.root / "house", expect=1)
        assert told(found, "dialling", "ok") == "it dials without a proxy, within 192.0.2.0/24 alone"
        assert "[NETWORK_FORBIDDEN]" in told(found, "peers", "WRONG")
    finally:
        settings.write_text(before)


@pytest.mark.parametrize(("minutes", "side"), [(-3, "behind"), (3, "ahead of")])
def test_clock_that_is_off_is_told_from_the_public_cloud_s(served: Federation, minutes: int, side: str) -> None:
    found = with_clock_off(served.root / "a", minutes * MINUTE)
    assert f"this clock is {side} the public cloud's" in told(found, "clock", "WRONG")
    assert {it["verdict"] for it in found["token"] + found["database"]} == {"ok"}


def test_clock_a_little_ahead_is_measured(served: Federation) -> None:
    found = with_clock_off(served.root / "a", 3_000)
    assert "within 3." in told(found, "clock", "ok") or "within 2." in told(found, "clock", "ok")


def test_certificates_that_have_ended_are_named(served: Federation) -> None:
    found = with_clock_off(served.root / "a", 20 * YEAR)
    ended = told(found, "certificates", "WRONG")
    for name in ("TLS CA", "the TLS identity", "the medical authority M:board"):
        assert f"{name}" in ended
    assert "has ended at" in ended
    assert "there is no current list of M:board" in ended
    assert "it may be used without the public cloud no longer" in told(found, "trust", "WRONG")


def test_public_cloud_that_is_down_is_told_from_everything_else(served: Federation) -> None:
    server = served.running[0]
    server.stop()
    try:
        found = findings(served.root / "a", expect=1)
        assert "Connection refused" in told(found, "peers", "WRONG")
        assert "nobody serves" not in told(found, "serving", "ok")
        assert told(found, "registration", "ok")
        assert "nobody serves from this directory now" in told(
            findings(served.root / "cloud", expect=0), "serving", "note"
        )
    finally:
        ready = served.root / "cloud" / "ready"
        ready.unlink()
        served.serve("public-cloud", served.root / "cloud")
        served.running.insert(0, served.running.pop())
        strictly = "health", "--directory", served.root / "a", "--strict"
        until(lambda: typed(strictly, surroundings()).returncode == 0, "a reaches it again")


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cloud that does not serve."""
    directory = tmp_path_factory.mktemp("founded") / "cloud"
    names = "--identity", "C:union", "--realm", "keys", "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"
    run("public-cloud", "init", "--directory", directory, *names, "--development-token")
    return directory


@pytest.fixture
def cloud(founded: Path, tmp_path: Path) -> Path:
    """Return a copy of it to spoil, on the same token."""
    shutil.copytree(founded, tmp_path / "cloud")
    return tmp_path / "cloud"


def change(cloud: Path, *statements: str) -> None:
    """Change its database behind its back."""
    with sqlite3.connect(cloud / "store.sqlite") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def rewrite(cloud: Path, old: str, new: str) -> None:
    settings = cloud / "medunion.toml"
    assert old in settings.read_text()
    settings.write_text(settings.read_text().replace(old, new, 1))


def test_words_for_people_end_with_a_count(cloud: Path) -> None:
    said = run("check", "--directory", cloud)
    assert said.endswith("Nothing is wrong.\n")
    assert (cloud / "pin").read_text() not in said
    (cloud / "medunion.toml").chmod(0o644)
    said = run("check", "--directory", cloud, expect=1)
    assert f"-> chmod go= {cloud}/medunion.toml" in said
    assert said.endswith("1 wrong.\n")


def test_setting_that_is_unknown_is_named(cloud: Path) -> None:
    rewrite(cloud, "[protocol]", "[protocol]\ncolour = 1")
    assert "protocol.colour: there is no such setting" in wrong(cloud, "settings")


def test_directory_that_others_may_write_to_is_said(cloud: Path) -> None:
    cloud.chmod(0o777)
    assert "others may write to" in wrong(cloud, "files")


def test_pin_incorrect_is_tried_once_and_hides_nothing_else(cloud: Path, tmp_path: Path) -> None:
    found = findings(cloud, "--pin-file", write_pin(tmp_path / "other.pin"), expect=1)
    assert "[PIN_INCORRECT]" in told(found, "token", "WRONG")
    assert told(found, "keys", "unseen") == "not looked at, for want of the token"
    assert found["database"][0]["verdict"] == "ok"


def test_token_not_found_is_said(cloud: Path) -> None:
    rewrite(cloud, "pkcs11:token=", "pkcs11:token=another-")
    assert "TOKEN_NOT_FOUND" in told(findings(cloud, expect=1), "token", "WRONG")


def test_token_without_the_keys_is_said(cloud: Path, tmp_path: Path) -> None:
    make_token(tmp_path / "empty", "empty")
    uri = (tmp_path / "empty" / "tokens" / "token.uri").read_text().strip()
    lines = (cloud / "medunion.toml").read_text().splitlines()
    changed = {"uri": uri, "pin_file": tmp_path / "empty" / "pin"}
    changed["softhsm_configuration"] = tmp_path / "empty" / "tokens" / "softhsm2.conf"
    written = [f'{key} = "{changed[key]}"' if (key := line.split(" = ")[0]) in changed else line for line in lines]
    (cloud / "medunion.toml").write_text("\n".join(written))
    assert "KEY_NOT_FOUND" in wrong(cloud, "keys")


def test_database_of_an_older_schema_is_said_and_left_as_it_is(cloud: Path) -> None:
    change(cloud, "UPDATE alembic_version SET version_num = '0001'")
    assert "older than this release" in told(findings(cloud, expect=1), "database", "WRONG")
    with sqlite3.connect(cloud / "store.sqlite") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    connection.close()


def test_log_that_can_be_changed_is_said(cloud: Path) -> None:
    change(cloud, "DROP TRIGGER log_no_update")
    assert "log_no_update is not in force" in wrong(cloud, "database")


def test_log_that_was_changed_is_said(cloud: Path) -> None:
    run("public-cloud", "invite", "--directory", cloud, "H:a")
    run("public-cloud", "invite", "--directory", cloud, "H:b")
    run("public-cloud", "log", "--directory", cloud)  # takes what waits into the tree
    rule = sqlite3.connect(cloud / "store.sqlite").execute("SELECT sql FROM sqlite_master WHERE name = 'log_no_update'")
    (kept,) = rule.fetchone()
    change(cloud, "DROP TRIGGER log_no_update", "UPDATE log SET at = at + 1 WHERE sequence = 1", kept)
    assert "STORED_RECORD_CORRUPT" in wrong(cloud, "log")


def test_database_of_another_node_is_said(cloud: Path) -> None:
    rewrite(cloud, 'identity = "C:union"', 'identity = "C:another"')
    assert "this database is C:union's, not C:another's" in told(findings(cloud, expect=1), "database", "WRONG")


def test_authority_without_a_list_is_said(cloud: Path, tmp_path: Path) -> None:
    pin = make_token(tmp_path / "board", "board")
    names = "--identity", "M:board", "--output", tmp_path / "board.der", "--pin-file", pin
    run("authority", "init", "--directory", tmp_path / "board", *names)
    run("public-cloud", "authority", "add", "--directory", cloud, tmp_path / "board.der", "D:*")
    assert "there is no current list of M:board" in wrong(cloud, "certificates")


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_database_that_is_gone_is_said_without_its_password(kind: str, founded: Path, tmp_path: Path) -> None:
    hospital, server = tmp_path / "a", postgresql_server.Server() if kind == "postgresql" else None
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(postgresql_server.PASSWORD)
    url = f"sqlite:///{tmp_path}/a.sqlite"
    if server is not None:
        server.execute("CREATE DATABASE gone OWNER locked")
        url = server.url("gone", role="locked")
    names = "--identity", "H:a", "--trust", founded / "trust.json", "--listen", "127.0.0.1:3", "--development-token"
    run("hospital", "init", "--directory", hospital, *names, "--database", url, "--database-password-file", password)
    assert findings(hospital, expect=1)["database"][0]["verdict"] == "ok"
    if server is not None:
        server.stop()
    else:
        (tmp_path / "a.sqlite").unlink()
    found = findings(hospital, expect=1)
    assert "STORE_UNAVAILABLE" in told(found, "database", "WRONG")
    assert told(found, "log", "unseen") == "not looked at, for want of the database"
    assert postgresql_server.PASSWORD not in json.dumps(found)


def test_shelf_that_is_unusable_and_registration_that_is_missing_are_said(founded: Path, tmp_path: Path) -> None:
    hospital = tmp_path / "a"
    names = "--identity", "H:a", "--trust", founded / "trust.json", "--listen", "127.0.0.1:3", "--development-token"
    run("hospital", "init", "--directory", hospital, *names)
    (hospital / "blobs").rmdir()
    (hospital / "blobs").write_text("no directory")
    found = findings(hospital, expect=1)
    assert "STORE_UNAVAILABLE" in told(found, "blobs", "WRONG")
    assert told(found, "registration", "WRONG") == "H:a is not registered"
    assert found["registration"][0]["do"] == f"medunion hospital register --directory {hospital}"
