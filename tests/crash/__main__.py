"""`python -m tests.crash`: kill processes of a federation at work, and check that everything acknowledged is there, once."""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.run import run


def main() -> int:
    """Run it. Exit code 0 if nothing is lost or doubled."""
    parser = argparse.ArgumentParser(prog="ci/crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=400, help="how many processes to kill")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--processes", type=int, default=1, help="processes of each server, kept by a supervisor")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(2**31), help="whom to kill when; random if left out"
    )
    parser.add_argument("--keep", type=Path, help="keep everybody's directories there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medunion-crash-") as temporary:
        root = options.keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        print(f"{options.kills} kills on {options.database}, seed {options.seed}", flush=True)

        def tell(words: str) -> None:
            print(f"{time.monotonic() - began:5.0f} s  {words}", flush=True)

        outcome = run(
            *(root, options.kills, options.seed),
            postgresql=options.database == "postgresql",
            tell=tell,
            processes=options.processes,
        )
    tell(outcome.in_words())
    for fault in outcome.faults:
        print(f"FAULT  {fault}")
    print(
        "nothing is lost, nothing is doubled"
        if not outcome.faults
        else f"{len(outcome.faults)} faults, seed {options.seed}"
    )
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
