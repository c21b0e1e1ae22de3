"""What holds PINs and keys keeps its memory to itself: no core file, and nobody attaches."""

import resource
import subprocess
import sys
from pathlib import Path

from demo.stage import Federation

_LOOK = """
import ctypes, resource, sys
import federation.cli.trust as group
from federation.cli.main import main

@group.trust.command()
def look():
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))

main(["trust", "look"])
"""


def test_every_command_gives_up_core_files_and_its_memory_to_others() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    looked = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True)
    assert looked.stdout.split() == ["0", "0", "0"], f"PR_GET_DUMPABLE and both limits, which were {hard} at most"


def test_a_server_and_each_of_its_processes_leaves_no_core_file(tmp_path: Path) -> None:
    made = Federation(tmp_path)
    try:
        made.found()
        served = made.running[-1].process.pid
        limits = Path(f"/proc/{served}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"]
    finally:
        made.stop()
