"""The memory of a process that may hold a PIN or a key: in no core file, and not for other programs of its user to read."""

import ctypes
import os
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # prctl(2)


def keep_to_itself() -> None:
    """Let this process leave no core, and nobody but root attach to it or open its /proc/PID/mem. Raises OSError.

    Both hold for its forks; what it executes has the limit alone, and calls this itself. A debugger or profiler needs
    CAP_SYS_PTRACE, and the files below /proc/PID belong to root; the process still reads its own.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
