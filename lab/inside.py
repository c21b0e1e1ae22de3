"""The lab's inner process: root of its own namespaces, and process 1 in them, so that all of it ends when it ends."""

import os
import sys
import threading
import time
from pathlib import Path

from rich.console import Console

from lab.report import conclude, tell
from lab.scenario import Outcome, play
from lab.scenarios import SCENARIOS
from lab.world import World

ABANDONED = 70


def main() -> int:
    """Run the scenarios that were named: `python -m lab.inside ROOT KEEP NAME...`."""
    root, keep, names = Path(sys.argv[1]), sys.argv[2] == "keep", sys.argv[3:]
    threading.Thread(target=_end_with_whoever_started_us, daemon=True).start()
    console = Console(width=120, highlight=False, force_terminal=sys.stdout.isatty())
    world = World(root)
    began = time.monotonic()
    world.found()
    set_up = time.monotonic() - began
    console.print(f"Set up in {set_up:.0f} s: {len(world.hosts)} hosts at {len(world.network.sites)} sites.\n")
    outcomes = [_told(console, play(world, SCENARIOS[name])) for name in names]
    held = conclude(console, outcomes, set_up)
    if keep:
        _explain(console, world)
        threading.Event().wait()
    return 0 if held else 1


def _told(console: Console, outcome: Outcome) -> Outcome:
    tell(console, outcome)
    return outcome


def _end_with_whoever_started_us() -> None:
    """End when standard input does: whoever started us holds its other end, and nothing else tells us of a SIGKILL there."""
    while os.read(0, 1):
        pass
    os._exit(ABANDONED)


def _explain(console: Console, world: World) -> None:
    console.print("\nEverything stays up until Ctrl-C. To enter a host, in another terminal:")
    for host in world.hosts.values():
        console.print(f"  {world.root / 'enter'} {host.namespace:<18} {host.address}", markup=False)
    console.print("  and medunion-wan, between the sites: `ip link set to-b down` there cuts hospital B off.")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Servers still run: as process 1, our end is theirs.
    os._exit(code)
