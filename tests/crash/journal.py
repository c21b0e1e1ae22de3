"""What was acknowledged, on the tester's side: a line that is on the disk before anything else is done.

A line that a kill cut short was no acknowledgement that anybody saw, and is passed over.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """One writer's file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # What a kill cut short ends here.
        os.write(self._descriptor, b"\n")

    def note(self, kind: str, **fields: Any) -> None:
        """Keep a line; bytes are written in hexadecimal."""
        line = json.dumps({"kind": kind} | fields, default=bytes.hex).encode() + b"\n"
        os.write(self._descriptor, line)
        os.fsync(self._descriptor)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line, in order."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            continue
