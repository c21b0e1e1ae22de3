"""Files that a ceremony makes: never over another, and whole."""

import os
from pathlib import Path

import safefiles
from keystore.ceremony.errors import OutputExists


def write_new(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that is not there yet, durably. Raises OutputExists, OSError."""
    try:
        safefiles.create(path, content, mode)
    except FileExistsError as error:
        raise OutputExists(f"{path} is there already") from error


def require_absent(path: Path) -> None:
    """Raise OutputExists if something is there, a broken link included."""
    if os.path.lexists(path):
        raise OutputExists(f"{path} is there already")
