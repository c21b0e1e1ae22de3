"""Files that a ceremony makes: never over another, and whole."""

import os
from pathlib import Path

from keystore.ceremony.errors import OutputExists


def write_new(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that is not there yet, durably. Raises OutputExists, OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise OutputExists(f"{path} is there already") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def require_absent(path: Path) -> None:
    """Raise OutputExists if something is there, a broken link included."""
    if os.path.lexists(path):
        raise OutputExists(f"{path} is there already")
