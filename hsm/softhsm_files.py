"""The one file of a SoftHSM token that a kill can lose: kept twice, and put back.

At each login SoftHSM 2 empties `token.object`, which holds the token's name and the master key under its PINs, and writes it anew
(2.6.1, seen by strace). A process that is killed in between leaves it empty: no key of the token opens any more, though all are
there.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE: Final = "token.object"


def mend(configuration: Path) -> int:
    """Put back what a killed login emptied, in the tokens beside this configuration; give how many. Raises OSError."""
    mended = 0
    for file, copy in _files(configuration):
        # A living process may be about to write it: both write the same.
        if copy.is_file() and file.stat().st_size == 0:
            _write(file, copy.read_bytes())
            mended += 1
    return mended


def keep(configuration: Path) -> None:
    """Copy what is whole and has changed, as a PIN's change does. Raises OSError."""
    for file, copy in _files(configuration):
        content = file.read_bytes()
        if content and not (copy.is_file() and copy.read_bytes() == content):
            copy.parent.mkdir(mode=0o700, exist_ok=True)
            _write(copy, content)


def _files(configuration: Path) -> Iterator[tuple[Path, Path]]:
    """Give each token's file, and the place of its copy."""
    for file in sorted(configuration.parent.joinpath("tokens").glob(f"*/{_FILE}")):
        yield file, configuration.parent / "kept" / file.parent.name


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
