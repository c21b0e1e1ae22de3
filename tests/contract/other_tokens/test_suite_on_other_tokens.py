"""The contract suite on tokens that share no code with SoftHSM, each in a process of its own: a module's choice is for life."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.other_tokens import nss
from tests.contract.token_backends import ENVIRONMENT

ROOT = Path(__file__).parents[3]
SUITE = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/contract").glob("test_token_*.py"))


# Ubuntu has no package with a recent softoken: ci/install-tokens says so loudly there, and fails in CI.
REQUIRED = os.environ.get("MEDUNION_REQUIRE_TOKENS") == "1"
HAS_NSS = REQUIRED or nss.LIBRARY.exists()
BACKENDS = [("nss:NssToken", 100)] * HAS_NSS + [("tpm:TpmToken", 70)]


@pytest.mark.parametrize(("backend", "fewest"), BACKENDS)
def test_contract_suite_passes_on(backend: str, fewest: int) -> None:
    environment = os.environ | {ENVIRONMENT: f"tests.contract.other_tokens.{backend}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *SUITE]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed, "no test ran"
    assert int(passed[1]) >= fewest
