"""SoftHSM 2 for development and tests: tokens in a directory, made on demand. No protection against its machine."""

import os
from pathlib import Path
from typing import Final

from hsm import errors, module
from hsm.administration import initialise_token
from hsm.pin import Pin
from hsm.uri import TokenUri

_FILE: Final = "libsofthsm2.so"
_DIRECTORIES: Final = (
    "/usr/lib/softhsm",
    "/usr/lib/x86_64-linux-gnu/softhsm",
    "/usr/lib/aarch64-linux-gnu/softhsm",
    "/usr/lib64",
    "/usr/lib64/softhsm",
    "/usr/local/lib/softhsm",
    "/usr/local/lib",
)
_ENVIRONMENT: Final = "SOFTHSM2_CONF"
# The file store is four times as fast at finding keys as the database; after a fork the child has to start anew, as
# with real tokens (docs/adr/0003-pkcs11.md).
_CONFIGURATION: Final = """\
directories.tokendir = {tokens}
objectstore.backend = file
objectstore.umask = 0077
log.level = ERROR
slots.removable = false
library.reset_on_fork = true
"""


def find_module() -> Path:
    """Return SoftHSM's library: $SOFTHSM2_MODULE, else where distributions put it; raises `ModuleNotFound`."""
    named = os.environ.get("SOFTHSM2_MODULE")
    candidates = [Path(named)] if named else [Path(directory) / _FILE for directory in _DIRECTORIES]
    for candidate in candidates:
        if candidate.is_absolute() and candidate.is_file():
            return candidate
    raise errors.ModuleNotFound("SoftHSM is not installed: install softhsm2, or set SOFTHSM2_MODULE to its library.")


class SoftHsm:
    """A directory of software tokens, and the configuration that leads SoftHSM to it."""

    def __init__(self, directory: Path) -> None:
        """Prepare the directory, readable by its owner alone; tokens in it stay."""
        tokens = directory.resolve() / "tokens"
        tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.configuration = directory.resolve() / "softhsm2.conf"
        text = _CONFIGURATION.format(tokens=tokens)
        if not self.configuration.exists() or self.configuration.read_text() != text:  # other processes may be reading
            self.configuration.write_text(text)

    def activate(self) -> None:
        """Lead SoftHSM to this directory, in this process and those that it starts.

        SoftHSM reads its configuration when it is initialised, so a process stays with one directory: raises
        `ModuleUnusable` if the module is loaded with another.
        """
        active = os.environ.get(_ENVIRONMENT)
        if module.is_loaded(find_module()) and active != str(self.configuration):
            raise errors.ModuleUnusable(f"SoftHSM runs with {active} in this process and cannot change to another.")
        os.environ[_ENVIRONMENT] = str(self.configuration)

    def create_token(self, label: str, *, pin: Pin, so_pin: Pin) -> TokenUri:
        """Make a token and set both its PINs, in memory: none is on a command line.

        Raises `TokenExists`, `LabelInvalid`, or `PinUnacceptable` for PINs that SoftHSM does not take (4 to 255 bytes).
        """
        self.activate()
        return initialise_token(find_module(), label, pin=pin, so_pin=so_pin)
