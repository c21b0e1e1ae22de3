"""What a network HSM would be asked, call by call, and what waiting for it would take: the shim counts, and makes each slow.

`python -m benchmarks.sections.network_hsm` counts what single operations of the key layer call; it loads the shim, which a
process that has SoftHSM already can't.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.meters import wall_ms
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.calls import steps
from benchmarks.steps import Step
from benchmarks.world import HOSPITAL, PIN, world

DELAY_US = 1_000
CALLS = {"Search, 8 rows": 5, "Publish": 5, "Open, 0.7 MB": 8}
AGREEMENT = 3


def rows(bench: Bench) -> Iterator[Row]:
    """Yield what an operation calls, what a call of ours calls, and how long that takes."""
    from benchmarks import shim  # noqa: PLC0415 - a section that is absent without it, and no run

    for name, number in _operations(bench).items():
        target = AGREEMENT if name == "agreement" else None
        yield Row(f"{name}: PKCS#11 calls", "calls", [number], target=target)
    here = bench.shared(world)
    for step in bench.shared(steps):
        module = here.stage.shims["cloud" if step.at == "cloud" else HOSPITAL]
        found = [_counted(step, module, shim) for _ in range(bench.pick(3, 5))]
        asked = sorted(found, key=lambda each: each.total())[len(found) // 2]
        named = ", ".join(f"{number} {name.removeprefix('C_')}" for name, number in sorted(asked.items()))
        yield Row(
            f"{step.name}: PKCS#11 calls",
            "calls",
            [each.total() for each in found],
            target=CALLS.get(step.name),
            note=named,
        )
        if asked.total():
            yield from _waiting(bench, step, module, shim)


def _counted(step: Step, module: Path, shim) -> Counter[str]:
    given, before = step.prepare(), shim.counts(module)
    answer = step.call(given)
    asked = shim.counts(module) - before
    step.after(answer)
    return asked


def _waiting(bench: Bench, step: Step, module: Path, shim) -> Iterator[Row]:
    """Yield how long a call takes more when every PKCS#11 call takes a millisecond."""

    def walls() -> list[float]:
        taken = []
        for _ in range(bench.pick(4, 8)):
            given, answers = step.prepare(), []
            taken += wall_ms(lambda given=given, answers=answers: answers.append(step.call(given)), 1)
            step.after(answers[0])
        return taken

    quick = walls()
    shim.set_delay(module, DELAY_US)
    try:
        slow = walls()
    finally:
        shim.set_delay(module, 0)
    yield Row(
        f"{step.name}: wall, each PKCS#11 call 1 ms",
        "ms",
        slow,
        note=f"{sorted(quick)[len(quick) // 2]:.0f} ms without",
    )


def _operations(bench: Bench) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.sections.network_hsm", str(bench.new_directory("shim"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Count what the key layer calls for one operation each, and print JSON."""
    from benchmarks import shim  # noqa: PLC0415
    from hsm import Pin, open_token, pin_from_value  # noqa: PLC0415
    from hsm.softhsm import SoftHsm  # noqa: PLC0415

    directory = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    module = shim.built(directory)
    with shim.standing_in(module):
        uri = SoftHsm(directory / "tokens").create_token("counted", pin=Pin(PIN), so_pin=Pin(PIN))
        with open_token(uri, pin_from_value(PIN)) as token:
            signing, agreement, mac = (
                token.generate_signing("signing"),
                token.generate_agreement("agreement"),
                token.generate_mac("mac"),
            )
            peer = ec.generate_private_key(ec.SECP256R1()).public_key()
            operations: dict[str, Callable[[], object]] = {
                "signature": lambda: signing.sign(b"transcript", ec.ECDSA(SHA256())),
                "agreement": lambda: agreement.exchange(ec.ECDH(), peer),
                "HMAC": lambda: mac.mac(b"message"),
                "random": lambda: token.random(32),
            }
            found = {}
            for name, operation in operations.items():
                operation()  # opens what stays open
                before = shim.counts(module)
                operation()
                found[name] = (shim.counts(module) - before).total()
    print(json.dumps(found), flush=True)
    os._exit(0)  # the module is unloaded behind the shim's back otherwise


SECTION = Section(
    "network_hsm",
    "A network HSM",
    "An HSM in the network is a round trip for each PKCS#11 call. A module before the servers' own counts them, and makes each "
    "take a millisecond.",
    rows,
)

if __name__ == "__main__":
    main()
