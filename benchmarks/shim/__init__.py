"""A PKCS#11 module before the real one, which counts its calls and can make each take longer: what a network HSM would wait.

    with standing_in(built(directory)) as module:      # whoever asks for SoftHSM now gets the shim
        before = counts(module)
        ...
        print(counts_since(module, before))

A process that has SoftHSM loaded already cannot take the shim as well: it is one library, and initialised once.
The token's own meter counts operations; a round trip of a network HSM is a PKCS#11 call, of which an operation is several.
"""

import os
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hsm.softhsm import find_module

_SOURCE: Final = Path(__file__).with_name("shim.c")
_COUNTS: Final = "shim.counts"
_DELAY: Final = struct.Struct("=Q")
_ROW: Final = struct.Struct("=24sQ")
_MODULE_VARIABLE: Final = "SOFTHSM2_MODULE"


def built(directory: Path, delay_us: int = 0, real: Path | None = None) -> Path:
    """Build the shim before a module, SoftHSM unless another is named, and return where it is.

    Raises RuntimeError where there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("There is no C compiler (cc) to build the PKCS#11 shim with.")
    module, file = directory.resolve() / "libshim.so", directory.resolve() / _COUNTS
    file.touch()
    named = [f'-D{name}="{path}"' for name, path in (("REAL", real or find_module()), ("COUNTS", file))]
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]
    subprocess.run([compiler, *options, *named, "-o", str(module), str(_SOURCE), "-ldl"], check=True)
    set_delay(module, delay_us)
    return module


@contextmanager
def standing_in(module: Path) -> Iterator[Path]:
    """Have this process and those that it starts take the shim for SoftHSM."""
    before = os.environ.get(_MODULE_VARIABLE)
    os.environ[_MODULE_VARIABLE] = str(module)
    try:
        yield module
    finally:
        if before is None:
            del os.environ[_MODULE_VARIABLE]
        else:
            os.environ[_MODULE_VARIABLE] = before


def set_delay(module: Path, delay_us: int) -> None:
    """Make every call take that much longer from now on, whoever has the shim loaded."""
    with module.with_name(_COUNTS).open("r+b") as file:
        file.write(_DELAY.pack(delay_us))


def counts(module: Path) -> Counter[str]:
    """Return how often each function was called through the shim so far, by all processes."""
    rows = _ROW.iter_unpack(module.with_name(_COUNTS).read_bytes()[_DELAY.size :])
    return Counter({name.rstrip(b"\0").decode(): calls for name, calls in rows if calls})


def counts_since(module: Path, before: Counter[str]) -> dict[str, int]:
    """Return what was called since then, by name."""
    return dict(sorted((counts(module) - before).items()))
