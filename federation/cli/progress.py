"""Bars of progress on standard error: for a terminal alone that can repaint a line, and in colour unless NO_COLOR forbids it.

Nothing else of the command has colour. rich knows NO_COLOR and FORCE_COLOR, which says nothing of bars that move.
"""

import os
import sys

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn, TransferSpeedColumn


def standard_error() -> Console:
    """Return the console of standard error."""
    return Console(stderr=True)


def bars(console: Console, *, whole: bool = True, shown: bool = True) -> Progress:
    """Return bars that go when they are done: words, a bar where the whole is known, bytes and bytes a second.

    They are nothing where nobody looks, on a terminal that is dumb, and if they are not to be `shown`.
    """
    bar: tuple[ProgressColumn, ...] = (BarColumn(),) if whole else ()
    columns = TextColumn("{task.description}"), *bar, DownloadColumn(), TransferSpeedColumn()
    return Progress(*columns, console=console, transient=True, disable=not (shown and _repaints()))


def _repaints() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}
