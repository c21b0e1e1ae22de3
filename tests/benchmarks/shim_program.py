"""Uses a token's keys through the shim that is built in the directory named, and prints what each use called, as JSON.

A process of its own: SoftHSM is loaded once in a process, with the shim before it or without.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks import shim
from hsm import Pin, open_token, pin_from_value
from hsm.softhsm import SoftHsm

PIN = "user-pin-4711"
DELAY_US = 20_000


def main(directory: Path) -> None:
    """Use each kind of key twice: at the first use the token is asked for the key's handle."""
    with shim.standing_in(shim.built(directory)) as module:
        softhsm = SoftHsm(directory / "softhsm")
        softhsm.activate()
        uri = softhsm.create_token("counted", pin=Pin(PIN), so_pin=Pin(PIN))
        with open_token(uri, pin_from_value(PIN)) as token:
            signing, agreeing = token.generate_signing("signing"), token.generate_agreement("agreeing")
            mac, peer = token.generate_mac("mac"), ec.generate_private_key(ec.SECP256R1()).public_key()
            uses: dict[str, Callable[[], object]] = {
                "sign": lambda: signing.sign(b"message", ec.ECDSA(SHA256())),
                "derive": lambda: agreeing.exchange(ec.ECDH(), peer),
                "hmac": lambda: mac.mac(b"message"),
                "random": lambda: token.random(16),
            }
            called = {}
            for name, use in uses.items():
                use()
                before = shim.counts(module)
                use()
                called[name] = shim.counts_since(module, before)
            shim.set_delay(module, DELAY_US)
            began = time.monotonic()
            token.random(16)
            waited = time.monotonic() - began
    print(json.dumps({"called": called, "waited": waited}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
