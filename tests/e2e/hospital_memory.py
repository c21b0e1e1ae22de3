"""A process of its own: import a record with an attachment of 100 MB, fetch it over TLS, and say how its memory grew."""

import hashlib
import itertools
import json
import os
import resource
import sys
import time
from pathlib import Path

from hsm import Pin, TokenUri
from hsm.softhsm import SoftHsm
from tests.conftest import SO_PIN, USER_PIN
from tests.hospital_lab import JOHNNIE, HospitalLab
from tests.simulator import simulated

SIZE_BYTES = 100_000_000
_numbers = itertools.count(1)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(directory: Path) -> None:
    soft_hsm = SoftHsm(directory / "softhsm")

    def make_token_uri(label: str) -> TokenUri:
        return soft_hsm.create_token(f"{label}-{next(_numbers)}", pin=Pin(USER_PIN), so_pin=Pin(SO_PIN))

    attachment = directory / "scan.bin"
    block = os.urandom(1_000_000)
    with attachment.open("wb") as file:
        for _ in range(SIZE_BYTES // len(block)):
            file.write(block)
    with simulated(make_token_uri, USER_PIN) as federation, HospitalLab(federation, directory) as lab:
        lab.import_files()
        before = peak_bytes()
        began = time.monotonic()
        lab.import_files(JOHNNIE, "P:wang", "H:alpha/neurology", attachment)
        imported = time.monotonic() - began
        import_growth = peak_bytes() - before
        print(json.dumps(fetch(lab, attachment) | {"import_growth_bytes": import_growth, "import_seconds": imported}))


def fetch(lab: HospitalLab, attachment: Path) -> dict[str, object]:
    federation = lab.federation
    received, tail = 0, hashlib.sha256()
    with lab.serving() as client:
        client.read(federation.intent(federation.grant(), 1, "cardiology"))
        before, began = peak_bytes(), time.monotonic()

        def take(content: bytes) -> None:
            nonlocal received
            received += len(content)
            tail.update(content)

        _, end = client.read(federation.intent(federation.grant(), 1, "neurology"), take)
        seconds = time.monotonic() - began
        growth = peak_bytes() - before
    return {
        "received_bytes": received,
        "digest_matches": end.record_digest == tail.digest() and received > attachment.stat().st_size,
        "fetch_growth_bytes": growth,
        "fetch_seconds": seconds,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
