"""What one operation of a token and of software costs, and what the key layer adds to a call of PKCS#11."""

import hashlib
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.bare import sql
from benchmarks.bare.software import primitives
from benchmarks.bare.token import Keys, token_keys
from benchmarks.meters import cpu_us, in_turns
from benchmarks.rows import Bench, Row, Section

LAYER_US = 20
"""What the key layer may add to a call."""

_TIMES = {"ECDSA": 10, "SHA256_HMAC": 50, "ECDH1_DERIVE": 10, "RANDOM": 200}
_NAMES = {"ECDSA": "sign", "SHA256_HMAC": "HMAC", "ECDH1_DERIVE": "derive", "RANDOM": "random, 32 bytes"}

Prices = dict[str, list[float]]


@contextmanager
def prices(bench: Bench) -> Iterator[Prices]:
    """Measure once a run: CPU microseconds of every primitive, those of a token by PKCS#11's names for mechanisms."""
    rounds = bench.pick(9, 25)
    found = {name: cpu_us(step, rounds, each) for name, (step, each) in primitives().items()}
    found |= {name: cpu_us(step, rounds, _TIMES[name]) for name, step in bench.shared(token_keys).bare.items()}
    yield found | sql.prices(bench)


def price(bench: Bench, name: str) -> float:
    """Return the median price of one primitive, CPU microseconds; that of a mechanism nobody priced is nothing."""
    return statistics.median(bench.shared(prices).get(name, [0.0]))


def rows(bench: Bench) -> Iterator[Row]:
    """Yield the primitives, then the key layer's share."""
    for name, values in bench.shared(prices).items():
        where = "token" if name in _TIMES else "SQLite" if name.startswith("SQL ") else "software"
        said = _NAMES.get(name, name.removeprefix("SQL "))
        yield Row(f"{where}: {said}", "us CPU", values, series="", note=_note(name))
    yield from _layer(bench, bench.shared(token_keys))


def _layer(bench: Bench, keys: Keys) -> Iterator[Row]:
    data, algorithm = b"a transcript" * 10, ec.ECDSA(SHA256())
    public, signature = keys.signing.public_key(), keys.signing.sign(data, algorithm)

    def checked() -> None:
        hashlib.sha256(data).digest()
        public.verify(signature, data, algorithm)

    def unchecked() -> None:
        pass

    through = {
        "ECDSA": (lambda: keys.signing.sign(data, algorithm), checked),
        "SHA256_HMAC": (lambda: keys.mac.mac(data), unchecked),
        "ECDH1_DERIVE": (lambda: keys.agreement.exchange(ec.ECDH(), keys.peer), unchecked),
        "RANDOM": (lambda: keys.token.random(32), unchecked),
    }
    for name, (layered, check) in through.items():
        ours, bare, software = in_turns(bench.pick(15, 40), _TIMES[name], layered, keys.bare[name], check)
        over = [our - raw - soft for our, raw, soft in zip(ours, bare, software, strict=True)]
        note = "hashing, and the check of the signature in software, aside" if name == "ECDSA" else ""
        yield Row(f"key layer: {_NAMES[name]}, over raw PKCS#11", "us CPU", over, target=LAYER_US, note=note)


def _note(name: str) -> str:
    return {
        "ECDH1_DERIVE": "three calls: derive, read, destroy",
        "ECDSA": "two calls: initialise, sign",
        "SQL commit": "WAL, synchronous FULL; what the disk takes is waited for and costs no CPU",
    }.get(name, "")


SECTION = Section(
    "primitives",
    "Primitives",
    "What nothing can be cheaper than. A token is SoftHSM here, called by ctypes; the rows of the key layer say what our own "
    "code adds to each of its calls.",
    rows,
)
