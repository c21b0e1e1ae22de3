"""The serve lock of a node: one server at a time serves from a directory, and hands over to the next.

Who serves holds the lock of a file, which says its process and its addresses. Who takes over starts beside it; once it takes
calls it asks the one before it to leave, by SIGUSR1, and has the lock when that one lets go of it (docs/adr/0022-processes.md).
"""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import safefiles
from federation.errors import Unavailable
from federation.wire import operations

LEAVE: Final = signal.SIGUSR1
FILE: Final = "serve.lock"
_LOOK_EVERY: Final = timedelta(seconds=0.05)
_PATIENCE: Final = timedelta(seconds=10)


@dataclass(frozen=True)
class Predecessor:
    """The server that holds the lock: its process, held so that the number can't become another's, and its addresses."""

    descriptor: int
    process: int
    listen: tuple[str, ...]


class ServeLock:
    """The serve lock of one directory, held or waited for. Close it."""

    def __init__(self, directory: Path, *, take_over: bool) -> None:
        """Take it, or find who holds it. Raises Unavailable if that is a server that is not to be replaced."""
        self._file = safefiles.LockFile(directory / FILE)
        self.predecessor: Predecessor | None = None
        try:
            if self._file.try_acquire():
                # What stands there is of one that has ended: nobody may take its process for this one's.
                self._file.write(b"")
            else:
                self.predecessor = self._found()
                _require_wanted(self.predecessor, directory, take_over=take_over)
        except BaseException:
            self.close()
            raise

    async def acquire(self, listen: Sequence[str]) -> None:
        """Have the lock: ask the one before to leave, if there is one, and wait until it lets go."""
        if self.predecessor is not None:
            _ask_to_leave(self.predecessor)
            looks = 0
            while not self._file.try_acquire():
                looks += 1
                if looks == _PATIENCE // _LOOK_EVERY:
                    operations.warning("predecessor-does-not-leave", process=self.predecessor.process)
                await asyncio.sleep(_LOOK_EVERY.total_seconds())
            operations.info("took-over", process=self.predecessor.process)
        self._write(listen)

    def release(self) -> None:
        """Let the next one have the lock."""
        self._file.release()

    def close(self) -> None:
        """Return up the lock, or the wish for it."""
        if self.predecessor is not None:
            os.close(self.predecessor.descriptor)
            self.predecessor = None
        self._file.close()

    def _found(self) -> Predecessor:
        """Return who holds the lock: what the file says, which is written before calls are taken."""
        try:
            said = json.loads(self._file.read())
            process = int(said["process"])
            return Predecessor(os.pidfd_open(process), process, tuple(said["listen"]))
        except (ValueError, TypeError, LookupError, ProcessLookupError) as error:
            raise Unavailable("another server starts or ends in this directory; try again in a moment") from error

    def _write(self, listen: Sequence[str]) -> None:
        self._file.write(json.dumps({"process": os.getpid(), "listen": list(listen)}).encode())


def _require_wanted(predecessor: Predecessor, directory: Path, *, take_over: bool) -> None:
    if not take_over:
        raise Unavailable(
            f"process {predecessor.process} serves from {directory} already; `serve --take-over` takes its place"
        )


def _ask_to_leave(predecessor: Predecessor) -> None:
    with suppress(ProcessLookupError):  # it has ended: the lock is free
        signal.pidfd_send_signal(predecessor.descriptor, LEAVE)
