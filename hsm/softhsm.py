"""SoftHSM 2 for development and tests: tokens in a directory, made on demand. No protection against its machine.

One file of a token can be lost by a kill. At each login SoftHSM 2 empties `token.object`, which holds the token's name and the
master key under its PINs, and writes it anew (2.6.1, seen by strace). A process that is killed in between leaves it empty: no
key of the token opens any more, though all are there. So it is kept twice, and put back.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import safefiles
from hsm import errors, module
from hsm.pin import Pin
from hsm.token import initialise_token
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
_REWRITTEN: Final = "token.object"
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
_MECHANISMS: Final = "slots.mechanisms"


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

    def __init__(self, directory: Path, mechanisms: Sequence[str] | None = None) -> None:
        """Prepare the directory, readable by its owner alone; tokens in it stay.

        `mechanisms` are those that the tokens offer ("CKM_ECDSA"), or, behind a first "-", those that they don't: alone, for
        SoftHSM 2.6.1 overlooks a name behind that sign. Without them, what the directory was prepared with stays so.
        """
        tokens = directory.resolve() / "tokens"
        safefiles.make_directory(tokens)
        self.configuration = directory.resolve() / "softhsm2.conf"
        before = self.configuration.read_text() if self.configuration.exists() else ""
        kept = [line for line in before.splitlines() if line.startswith(_MECHANISMS)]
        named = kept if mechanisms is None else [f"{_MECHANISMS} = {','.join(mechanisms)}"]
        text = "\n".join([_CONFIGURATION.format(tokens=tokens).strip(), *named, ""])
        if before != text:  # other processes may be reading
            safefiles.replace(self.configuration, text.encode())

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


def mend(configuration: Path) -> int:
    """Put back what a killed login emptied, in the tokens beside this configuration; return how many. Raises OSError."""
    mended = 0
    for file, copy in _token_files(configuration):
        # A living process may be about to write it: both write the same.
        if copy.is_file() and file.stat().st_size == 0:
            safefiles.replace(file, copy.read_bytes())
            mended += 1
    return mended


def keep(configuration: Path) -> None:
    """Copy what is whole and has changed, as a PIN's change does. Raises OSError."""
    for file, copy in _token_files(configuration):
        content = file.read_bytes()
        if content and not (copy.is_file() and copy.read_bytes() == content):
            safefiles.make_directory(copy.parent)
            safefiles.replace(copy, content)


def _token_files(configuration: Path) -> Iterator[tuple[Path, Path]]:
    """Return each token's file, and the place of its copy."""
    for file in sorted(configuration.parent.joinpath("tokens").glob(f"*/{_REWRITTEN}")):
        yield file, configuration.parent / "kept" / file.parent.name
