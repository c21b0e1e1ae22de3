"""The shim before a PKCS#11 module: exact numbers of calls, seen from another process, and the delay of each."""

import json
import subprocess
import sys

import pytest

from benchmarks import shim
from tests.benchmarks.shim_program import DELAY_US


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the program saw, and what this process counts afterwards."""
    directory = tmp_path_factory.mktemp("shim")
    program = [sys.executable, "-m", "tests.benchmarks.shim_program", str(directory)]
    seen = json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
    return {**seen, "in all": shim.counts(directory / "libshim.so")}


@pytest.mark.parametrize(
    ("use", "calls"),
    [
        ("sign", {"C_SignInit": 1, "C_Sign": 1}),
        ("derive", {"C_DeriveKey": 1, "C_GetAttributeValue": 1, "C_DestroyObject": 1}),
        ("hmac", {"C_SignInit": 1, "C_Sign": 1}),
        ("random", {"C_GenerateRandom": 1}),
    ],
)
def test_every_call_of_a_use_is_counted(seen, use, calls):
    assert seen["called"][use] == calls


def test_counts_are_read_from_another_process(seen):
    assert seen["in all"]["C_InitToken"] == 1
    assert seen["in all"]["C_DeriveKey"] >= 2


def test_a_delay_set_from_outside_is_waited_for_at_each_call(seen):
    assert seen["waited"] >= DELAY_US / 1e6


def test_a_module_that_is_none_is_refused(tmp_path):
    module = shim.built(tmp_path, real=tmp_path / "nothing.so")
    loading = f"import pathlib, hsm.cryptoki; hsm.cryptoki.Cryptoki(pathlib.Path({str(module)!r}))"
    refused = subprocess.run([sys.executable, "-c", loading], check=False, capture_output=True, text=True)
    assert "GeneralError" in refused.stderr
