"""`medunion token` on a token that lacks most of what we need: a TPM in software behind tpm2-pkcs11."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.other_tokens.tpm import LIBRARY, flush, software_tpm

COMMAND = [sys.executable, "-c", "from federation.cli.main import main; main()", "token"]


@pytest.fixture
def pin_file(tmp_path: Path) -> Path:
    file = tmp_path / "pin"
    file.touch(mode=0o600)
    file.write_text("user-pin-4711")
    return file


def run(*words: object) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_tpm_is_initialised_listed_and_found_wanting(
    tmp_path: Path, pin_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TPM2_PKCS11_TCTI", "TPM2_PKCS11_STORE", "TSS2_LOG"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back afterwards
    with software_tpm(tmp_path, most_wrong_pins=10) as address:
        pins = ("--pin-file", pin_file, "--so-pin-file", pin_file)
        code, uri = run("init", "--module", LIBRARY, "--label", "desk", *pins)
        assert code == 0
        code, listed = run("list", "--module", LIBRARY)
        assert code == 0
        assert "'desk'" in listed
        token = ("--token", uri.strip(), "--pin-file", pin_file)
        code, said = run("check", "--role", "hospital", *token)
        assert code == 1
        assert "this token will not do for the role hospital" in said
        flush(address)
        code, answer = run("check", "--role", "hospital", *token, "--json")
        assert code == 1
        works = {ability["ability"] for ability in json.loads(answer)["abilities"] if ability["works"]}
        # A second key has no room in this TPM, which has no resource manager, so NONCES may fail.
        assert works - {"NONCES"} == {"RANDOM", "ECDSA_P256"}
        flush(address)
        code, said = run("check", "--role", "authority", *token)
        assert code == 0
        assert "this token will do for the role authority" in said
        flush(address)
        assert run("keys", *token) == (0, "0 objects, 0 findings\n")
    print(listed + said)
