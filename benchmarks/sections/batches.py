"""One signature for many receipts: what each costs who signs and who verifies, by the size of the batch."""

import os
from collections.abc import Iterator
from typing import Final

from benchmarks.meters import in_turns
from benchmarks.rows import Bench, Row, Section
from benchmarks.world import PIN, softhsm_maker
from federation.protocol.merkle import inclusion_proof, leaf_hash, require_included, root
from hsm import open_token, pin_from_value
from keystore.signatures import SigningKey
from keystore.transcript import transcript
from tests.trees import reader_of_data

RECEIPT_BYTES: Final = 200
SIZES: Final = (1, 2, 4, 16, 64)


def rows(bench: Bench) -> Iterator[Row]:
    """Yield what a receipt costs in batches of each size, over what it costs alone."""
    with open_token(softhsm_maker(bench)("batches"), pin_from_value(PIN)) as token:
        key, rounds = SigningKey(token.generate_signing("batches")), bench.pick(5, 20)
        for size in SIZES:
            yield from _of_size(key, size, rounds)


def _of_size(key: SigningKey, size: int, rounds: int) -> Iterator[Row]:
    receipts = [os.urandom(RECEIPT_BYTES) for _ in range(size)]
    read = reader_of_data(receipts)
    top, path = root(size, read), inclusion_proof(size - 1, size, read)
    signed, alone = _batch(top, size), transcript("puback", receipts[0])
    signature, signature_alone, public = key.sign(signed), key.sign(alone), key.verifying_key

    def sign_all() -> None:
        key.sign(_batch(root(size, reader_of_data(receipts)), size))

    def verify_one() -> None:
        require_included(leaf_hash(receipts[-1]), size - 1, size, path, top)
        public.verify(signature, _batch(top, size))

    taken = in_turns(
        rounds, 5, lambda: key.sign(alone), sign_all, lambda: public.verify(signature_alone, alone), verify_one
    )
    note = f"{2 / size:g} PKCS#11 calls a receipt, {32 * len(path)} bytes more"
    yield Row(f"a receipt signed among {size}", "us", [each / size for each in taken[1]], taken[0], note=note)
    yield Row(f"a receipt verified among {size}", "us", taken[3], taken[2], note="by somebody who has no other of them")


def _batch(root: bytes, size: int) -> bytes:
    return transcript("batch", root, size.to_bytes(8, "big"))


SECTION: Final = Section(
    "batches",
    "One signature for many receipts",
    "What batches signed as Merkle trees would spare the token, and cost whoever verifies: tried, and not taken (ADR 32).",
    rows,
)
