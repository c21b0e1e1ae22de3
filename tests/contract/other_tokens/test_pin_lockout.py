"""A token that locks for real, which SoftHSM and NSS never do: a TPM's dictionary attack lockout."""

import subprocess
import sys
from pathlib import Path

from tests.contract.other_tokens.tpm import dictionary_lockout, software_tpm

ROOT = Path(__file__).parents[3]
WRONG_PINS = 3

PREAMBLE = """
from hsm import Pin, errors, open_token, pin_from_value
from hsm.token import initialise_token
from tests.contract.other_tokens.tpm import LIBRARY
from hsm.uri import TokenUri

def attempt(pin):
    try:
        with open_token(TokenUri(module_path=LIBRARY, token="locking"), pin_from_value(pin)) as token:
            token.random(8)
            return "opened"
    except errors.HsmError as error:
        return error.reason
"""
LOCK = """
initialise_token(LIBRARY, "locking", pin=Pin("right-pin"), so_pin=Pin("officer-pin"))
print(attempt("right-pin"), *(attempt("wrong-pin") for _ in range(4)), attempt("right-pin"))
"""
UNLOCKED = """
print(attempt("right-pin"), attempt("wrong-pin"), attempt("right-pin"))
"""


def outcomes(script: str) -> list[str]:
    """Run in a process of its own: the module keeps its connection to one TPM for life."""
    run = subprocess.run(
        [sys.executable, "-c", PREAMBLE + script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_wrong_pins_lock_the_token_even_for_the_right_one_until_its_owner_unlocks_it(tmp_path: Path) -> None:
    with software_tpm(tmp_path, most_wrong_pins=WRONG_PINS) as address:
        # Each refusal cost one attempt: one retry of ours would have shown as an earlier lock.
        assert outcomes(LOCK) == ["opened", *["PIN_INCORRECT"] * WRONG_PINS, "PIN_LOCKED", "PIN_LOCKED"]
        dictionary_lockout(address, "--clear-lockout")
        assert outcomes(UNLOCKED) == ["opened", "PIN_INCORRECT", "opened"]
