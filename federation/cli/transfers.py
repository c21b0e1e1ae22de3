"""Transfers as they go, on standard error: a bar on a terminal that can repaint a line, else a line every few seconds.

Nothing else of the command has colour. rich knows NO_COLOR and FORCE_COLOR, which says nothing of bars that move.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from federation.words import Pace

LINE_SECONDS = 5.0
"""Between two lines of one transfer where nobody looks; what is done sooner says nothing."""

Show = Callable[[str, int, int | None], None]
"""Told what comes, in words, how many bytes of it came, and of how many: None while nobody knows."""


def standard_error() -> Console:
    """Return the console of standard error; one that nobody looks at, or that is dumb, is no terminal."""
    repaints = sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}
    return Console(stderr=True, force_terminal=repaints)


@contextmanager
def transfers(console: Console | None = None) -> Iterator[Show]:
    """Show transfers while the block runs, each by its words."""
    console = console or standard_error()
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)).show
        return
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True)
    with Progress(TextColumn("{task.description}"), *columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(words: str, done: int, total: int | None) -> None:
            if words not in tasks:
                tasks[words] = progress.add_task(words, total=None)
            progress.update(tasks[words], completed=done, total=total)

        yield show


class Lines:
    """Says how far transfers are, a line at a time."""

    def __init__(self, say: Callable[[str], object], seconds: Callable[[], float] = time.monotonic) -> None:
        """Say it by this."""
        self._say = say
        self._seconds = seconds
        self._paces: dict[str, Pace] = {}
        self._said: dict[str, float] = {}

    def show(self, words: str, done: int, total: int | None) -> None:
        """Say a line, if the last of this transfer, or its beginning, was long enough ago."""
        now = self._seconds()
        figures = self._paces.setdefault(words, Pace(self._seconds)).words(done, total)
        if now - self._said.setdefault(words, now) >= LINE_SECONDS:
            self._said[words] = now
            self._say(f"{words}: {figures}")
