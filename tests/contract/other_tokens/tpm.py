"""A TPM 2.0 in software (swtpm) behind tpm2-pkcs11: logins that lock as a TPM locks them, and no key as we want it.

It signs on P-256, but it makes no keys that pass with a session, has no ECDH, and leaves every key that it makes modifiable.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from hsm import Pin, TokenUri
from hsm.token import initialise_token
from tests.contract.token_backends import Capability, TokenUnderTest

LIBRARY = next(Path("/usr/lib").glob("*/pkcs11/libtpm2_pkcs11.so"))
_START_SECONDS = 10
_STARTS = 5


class TpmToken(TokenUnderTest):
    """Tokens in one TPM, which counts the wrong PINs of all of them together: so it is told to bear many.

    Two threads that draw random bytes at once get CKR_GENERAL_ERROR from tpm2-pkcs11 1.9.0: it has no THREADS.
    C_InitToken makes a token but never makes one anew: it has no INITIALIZE. Keys that were used stay in the TPM, where without
    a resource manager there is room for three: it has no MANY_KEYS.
    """

    name = "tpm"
    can = frozenset({Capability.MANY_TOKENS, Capability.ECDSA, Capability.PROVENANCE})
    manufacturer, model = "IBM", "SW   TPM"
    roles = frozenset({"authority"})

    def __init__(self) -> None:
        self._numbers = count()

    def start(self, request: pytest.FixtureRequest) -> None:
        directory: Path = request.getfixturevalue("tmp_path_factory").mktemp("tpm")
        running = ExitStack()
        self._address = running.enter_context(software_tpm(directory, most_wrong_pins=100))
        request.addfinalizer(running.close)

    def make(self, label_prefix: str) -> TokenUri:
        flush(self._address)
        label = f"{label_prefix}-{next(self._numbers)}"
        return initialise_token(LIBRARY, label, pin=Pin(self.user_pin), so_pin=Pin(self.so_pin))


@contextmanager
def software_tpm(directory: Path, *, most_wrong_pins: int) -> Iterator[str]:
    """Run a TPM with its state in a directory and lead tpm2-pkcs11 to it; gives its address for tpm2-tools."""
    state, store = directory / "state", directory / "store"
    state.mkdir()
    store.mkdir()
    tpm, port = _started(state)
    address = f"swtpm:host=127.0.0.1,port={port}"
    os.environ["TPM2_PKCS11_TCTI"], os.environ["TPM2_PKCS11_STORE"] = address, str(store)
    os.environ["TSS2_LOG"] = "all+NONE"  # it would print every refused PIN
    try:
        dictionary_lockout(address, "--setup-parameters", f"--max-tries={most_wrong_pins}")
        yield address
    finally:
        tpm.terminate()
        tpm.wait()


def dictionary_lockout(address: str, *arguments: str) -> None:
    """Set or clear the TPM's count of wrong PINs, as its owner."""
    command = ["tpm2_dictionarylockout", "--tcti", address, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def flush(address: str) -> None:
    """Empty the TPM's few places for keys in use, which nobody else does without a resource manager."""
    for what in ("--transient-object", "--loaded-session", "--saved-session"):
        subprocess.run(["tpm2_flushcontext", "--tcti", address, what], check=True, capture_output=True, timeout=30)


def _started(state: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a TPM on a port, and on the next one, which tpm2-tss takes for the control channel."""
    for _ in range(_STARTS):
        port = _two_free_ports()
        ends = [f"type=tcp,port={number},bindaddr=127.0.0.1" for number in (port, port + 1)]
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--server", ends[0], "--ctrl", ends[1]]
        command = ["setpriv", "--pdeathsig=KILL", *command, "--flags", "not-need-init,startup-clear"]
        tpm = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        if _answers(tpm, port + 1):
            return tpm, port
    raise TimeoutError("swtpm did not start.")


def _two_free_ports() -> int:
    while True:
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            second.bind(("127.0.0.1", port + 1))
            return port


def _answers(tpm: subprocess.Popen[bytes], port: int) -> bool:
    """Wait for the control channel; False if swtpm has ended, because somebody else took a port meanwhile."""
    end = time.monotonic() + _START_SECONDS
    while tpm.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return tpm.poll() is None
        time.sleep(0.05)
    tpm.kill()
    tpm.wait()
    return False
