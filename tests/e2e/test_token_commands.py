"""`medunion token`, as a user types it, on SoftHSM tokens of its own."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo import stage
from hsm import TokenUri
from hsm.softhsm import find_module

PIN, OTHER_PIN, SO_PIN = "user-pin-4711", "user-pin-1234", "officer-pin-0815"
COMMAND = [sys.executable, "-c", "from federation.cli.main import main; main()"]
FOREIGN = """
import sys
from dataclasses import replace
from pathlib import Path
from hsm import TokenUri, open_token, pin_from_file
from hsm.policy import SIGNING
from keystore.party import HospitalKeys
with open_token(TokenUri.parse(sys.argv[1]), pin_from_file(Path(sys.argv[2]))) as token:
    HospitalKeys.create(token)
    if sys.argv[3] == "spoilt":
        token.generate_mac("left-over")
        token.destroy("identity")
        token.generate_signing("identity", replace(SIGNING, modifiable=True))
"""


class Bench:
    """A directory of SoftHSM tokens with PIN files, and the commands run on it in processes of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "tokens").mkdir(mode=0o700)
        self.configuration = directory / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\n")
        self.pin, self.so_pin = self.write_pin("pin", PIN), self.write_pin("so-pin", SO_PIN)
        self._environment = {name: value for name, value in os.environ.items() if name != "SOFTHSM2_CONF"}

    def write_pin(self, name: str, pin: str) -> Path:
        file = self.directory / name
        file.touch(mode=0o600)
        file.write_text(pin)
        return file

    def run(self, *words: object, code: int = 0, typed: str = "") -> str:
        configuration = ("--softhsm-configuration", str(self.configuration))
        return self.medunion("token", *map(str, words), *configuration, code=code, typed=typed)

    def medunion(self, *words: str, code: int = 0, typed: str = "") -> str:
        done = stage.typed(words, self._environment, typed)
        assert done.returncode == code, done.stdout + done.stderr
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert not [pin for pin in (PIN, OTHER_PIN, SO_PIN) if pin in said]
        return said

    def init(self, label: str, *words: object, code: int = 0, typed: str = "") -> str:
        pins = ("--pin-file", self.pin, "--so-pin-file", self.so_pin)
        return self.run(
            "init", "--module", find_module(), "--label", label, *pins, *words, code=code, typed=typed
        ).strip()

    def listed(self) -> list[dict[str, object]]:
        (module,) = json.loads(self.run("list", "--module", find_module(), "--json"))
        return [token for token in module["tokens"] if token["is_initialised"]]

    def fill(self, uri: str, how: str) -> None:
        environment = self._environment | {"SOFTHSM2_CONF": str(self.configuration)}
        arguments = [sys.executable, "-c", FOREIGN, uri, str(self.pin), how]
        subprocess.run(arguments, env=environment, check=True, timeout=60)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_list_shows_slots_tokens_serials_and_sessions(bench: Bench) -> None:
    uri = TokenUri.parse(bench.init("first"))
    said = bench.run("list", "--module", find_module())
    assert f"'first', serial {uri.serial}" in said
    assert "blank token" in said
    assert "sessions: not said open, no bound said at most" in said
    (token,) = bench.listed()
    assert (token["label"], token["serial"], token["pin_states"]) == ("first", uri.serial, [])


def test_list_without_a_module_looks_where_modules_are_installed(bench: Bench) -> None:
    assert str(find_module()) in bench.run("list")


def test_list_tells_of_a_module_that_cannot_be_used_and_goes_on(bench: Bench, tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("no library")
    said = bench.run("list", "--module", broken, "--module", find_module())
    assert "cannot be used" in said
    assert "MODULE_UNUSABLE" in said
    assert "blank token" in said


@pytest.mark.parametrize("role", ["public-cloud", "hospital", "doctor", "patient", "authority"])
def test_check_finds_that_softhsm_does_for_every_role(bench: Bench, role: str) -> None:
    said = bench.run("check", "--role", role, "--token", bench.init("t"), "--pin-file", bench.pin)
    assert f"this token will do for the role {role}" in said


def test_check_tells_programs_each_ability_and_leaves_nothing_on_the_token(bench: Bench) -> None:
    token = ("--token", bench.init("t"), "--pin-file", bench.pin)
    answer = json.loads(bench.run("check", "--role", "doctor", *token, "--json"))
    not_needed = {ability["ability"] for ability in answer["abilities"] if not ability["needed"]}
    assert not_needed == {"HMAC_SHA256", "NONCES", "ML_KEM_768"}
    (missing,) = [ability for ability in answer["abilities"] if not ability["works"]]
    assert missing["ability"] == "ML_KEM_768"
    assert "kept as a seed, sealed, outside the token" in missing["consequence"]
    assert json.loads(bench.run("keys", *token, "--json")) == []


def test_keys_of_a_hospital_keep_their_policies(bench: Bench) -> None:
    uri = bench.init("t")
    bench.fill(uri, "sound")
    said = bench.run("keys", "--token", uri, "--pin-file", bench.pin)
    assert "7 objects, 0 findings" in said
    listed = json.loads(bench.run("keys", "--token", uri, "--pin-file", bench.pin, "--json"))
    identity = next(key for key in listed if key["label"] == "identity" and key["class"] == "PRIVATE_KEY")
    assert identity["usages"] == ["SIGN"]
    assert identity["attributes"]["SENSITIVE"] is True
    assert identity["attributes"]["EXTRACTABLE"] is False


def test_keys_that_break_their_policy_or_have_no_purpose_are_named_and_exit_with_1(bench: Bench) -> None:
    uri = bench.init("t")
    bench.fill(uri, "spoilt")
    said = bench.run("keys", "--token", uri, "--pin-file", bench.pin, code=1)
    assert "FINDING not as the policy 'identity' wants it: MODIFIABLE [KEY_POLICY_VIOLATION]" in said
    assert "FINDING no purpose of the federation has this label [PURPOSE_UNKNOWN]" in said
    listed = json.loads(bench.run("keys", "--token", uri, "--pin-file", bench.pin, "--json", code=1))
    assert {key["label"] for key in listed if key["findings"]} == {"identity", "left-over"}


def test_init_takes_the_first_blank_token_and_refuses_a_label_that_is_taken(bench: Bench) -> None:
    bench.init("first")
    bench.init("second")
    assert {token["label"] for token in bench.listed()} == {"first", "second"}
    assert "TOKEN_EXISTS" in bench.init("second", code=1)


def test_init_refuses_an_initialised_token_without_erase(bench: Bench) -> None:
    serial = TokenUri.parse(bench.init("first")).serial
    assert "TOKEN_EXISTS" in bench.init("again", "--token-serial", serial, code=1)
    assert bench.listed()[0]["label"] == "first"


def test_init_with_erase_but_another_label_typed_changes_nothing(bench: Bench) -> None:
    serial = TokenUri.parse(bench.init("first")).serial
    assert "not its label" in bench.init("again", "--token-serial", serial, "--erase", code=1, typed="again\n")
    assert bench.listed()[0]["label"] == "first"


def test_init_with_erase_and_the_label_typed_makes_the_token_anew(bench: Bench) -> None:
    uri = bench.init("first")
    bench.fill(uri, "sound")
    said = bench.init("again", "--token-serial", TokenUri.parse(uri).serial, "--erase", typed="first\n")
    new = said.splitlines()[-1].partition("pkcs11:")
    listed = bench.run("keys", "--token", new[1] + new[2], "--pin-file", bench.pin)
    assert "0 objects, 0 findings" in listed


def test_init_with_erase_and_a_wrong_officers_pin_keeps_the_token(bench: Bench) -> None:
    uri = bench.init("first")
    bench.fill(uri, "sound")
    bench.write_pin("so-pin", "another-pin-1")
    serial = TokenUri.parse(uri).serial
    assert "PIN_INCORRECT" in bench.init("again", "--token-serial", serial, "--erase", code=1, typed="first\n")
    assert "7 objects" in bench.run("keys", "--token", uri, "--pin-file", bench.pin)


@pytest.mark.parametrize(("user", "officer"), [("123", SO_PIN), (PIN, "123"), ("x" * 255 + "y", SO_PIN)])
def test_init_with_a_pin_that_the_token_does_not_take_erases_nothing(bench: Bench, user: str, officer: str) -> None:
    serial = TokenUri.parse(bench.init("first")).serial
    bench.write_pin("pin", user)
    bench.write_pin("so-pin", officer)
    said = bench.init("again", "--token-serial", serial, "--erase", code=1, typed="first\n")
    assert "PIN_UNACCEPTABLE" in said or "PIN_UNAVAILABLE" in said
    assert [token["label"] for token in bench.listed()] == ["first"]


def test_init_without_pins_and_without_a_terminal_is_refused(bench: Bench) -> None:
    said = bench.run("init", "--module", find_module(), "--label", "t", code=1)
    assert "PIN of the security officer is needed" in said
    assert bench.listed() == []


def test_erase_without_saying_which_token_is_refused(bench: Bench) -> None:
    assert "--token-serial" in bench.init("first", "--erase", code=1)


def test_change_pin_makes_the_old_one_wrong_and_the_new_one_right(bench: Bench) -> None:
    uri = bench.init("t")
    new = bench.write_pin("new-pin", OTHER_PIN)
    said = bench.run("change-pin", "--token", uri, "--pin-file", bench.pin, "--new-pin-file", new)
    assert "the PIN was changed" in said
    assert "PIN_INCORRECT" in bench.run("keys", "--token", uri, "--pin-file", bench.pin, code=1)
    bench.run("keys", "--token", uri, "--pin-file", new)


def test_change_pin_with_a_wrong_old_one_is_refused(bench: Bench) -> None:
    uri = bench.init("t")
    wrong = bench.write_pin("wrong", "wrong-pin-9999")
    said = bench.run("change-pin", "--token", uri, "--pin-file", wrong, "--new-pin-file", wrong, code=1)
    assert "PIN_INCORRECT" in said
    bench.run("keys", "--token", uri, "--pin-file", bench.pin)


@pytest.mark.parametrize(("second", "code"), [(OTHER_PIN, 0), (OTHER_PIN + "x", 1)])
def test_new_pin_is_typed_twice_without_echo(bench: Bench, second: str, code: int) -> None:
    uri = bench.init("t")
    words = (
        "token",
        "change-pin",
        "--token",
        uri,
        "--pin-file",
        bench.pin,
        "--softhsm-configuration",
        bench.configuration,
    )
    said, status = at_terminal([*COMMAND, *map(str, words)], [OTHER_PIN, second])
    assert os.waitstatus_to_exitcode(status) == code
    assert OTHER_PIN not in said


def at_terminal(command: list[str], answers: list[str]) -> tuple[str, int]:
    """Run a command at a terminal, and answer each prompt that ends in ': '."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    said, deadline = "", time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            try:
                said += os.read(terminal, 1024).decode()
            except OSError:  # the terminal closes with the command
                break
            if answers and said.endswith(": "):
                said += "\n"
                os.write(terminal, (answers.pop(0) + "\n").encode())
    finally:
        os.close(terminal)
    return said, os.waitpid(child, 0)[1]


def test_token_of_no_node_has_to_be_named(bench: Bench) -> None:
    assert "--token" in bench.run("keys", "--pin-file", bench.pin, code=1)


def test_node_is_asked_for_its_token_by_its_directory(bench: Bench) -> None:
    node = bench.directory / "board"
    whose = ("--directory", str(node))
    pin = ("--pin-file", str(bench.pin))
    bench.medunion("token", "init-softhsm", *whose, "--label", "board", *pin)
    bench.medunion("token", "check", "--role", "authority", *whose, *pin)  # before it is a node, and after
    output = ("--output", str(bench.directory / "board.der"))
    bench.medunion("authority", "init", *whose, "--identity", "M:board", *output, *pin)
    assert "2 objects, 0 findings" in bench.medunion("token", "keys", *whose)
    assert "will do" in bench.medunion("token", "check", "--role", "authority", *whose)


@pytest.mark.parametrize("command", ["list", "check", "keys", "init", "change-pin", "init-softhsm"])
def test_every_command_has_its_help(bench: Bench, command: str) -> None:
    assert "Usage:" in bench.medunion("token", command, "--help")
