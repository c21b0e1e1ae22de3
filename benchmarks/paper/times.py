"""What the operations of the paper's tables take on this machine, and what the phases take that are made of them.

A symbol of the paper's is measured as the primitive that does the same on P-256 with the sizes of its messages:

- T_Sign: half of one ECDSA signature with its verification, since each is made once and verified once;
- T_A: half of one ECIES encryption with its decryption: the paper names no scheme, and this is the one of its group. Ours is
  measured apart: HPKE with ML-KEM-768 beside P-256;
- T_M: ECDH, a multiplication of any point; T_P: a pairing on BLS12-381, of the same strength;
- T_S and T_H: AES-256-GCM and SHA-256 of 256 bytes.
"""

import hashlib
import hmac
import importlib.util
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from benchmarks.meters import in_turns
from benchmarks.paper import tables
from benchmarks.paper.counting import OPERATIONS, Sending
from benchmarks.paper.visit import PHASES, Visit
from benchmarks.rows import Bench, Row, Section
from benchmarks.world import PIN, softhsm_maker
from hsm import Token, open_token, pin_from_value
from keystore.curve import CURVE
from tests.simulator import simulated

PAIRING: Final = "py_arkworks_bls12381"
MESSAGE: Final = bytes(256)
SYMBOLS: Final = {
    "T_Sign": "ECDSA P-256, half of a signature and its verification",
    "T_A": "ECIES on P-256, half of an encryption and its decryption",
    "T_M": "ECDH on P-256",
    "T_P": "pairing on BLS12-381",
    "T_S": "AES-256-GCM, 256 bytes",
    "T_H": "SHA-256, 256 bytes",
}
_ECDSA: Final = ec.ECDSA(SHA256())

Step = Callable[[], object]


def rows(bench: Bench) -> Iterator[Row]:
    """Time the primitives, what each scheme's phases take by them, and our phases as they run."""
    rounds, make = bench.pick(5, 20, 20), softhsm_maker(bench)
    symbols = _timed(rounds, symbol_steps())
    yield from (Row(symbol, "us", symbols[symbol], note=does) for symbol, does in SYMBOLS.items() if symbol in symbols)
    if "T_P" not in symbols:
        yield Row("T_P", "us", failure=f"{PAIRING} is not installed (ci/install-benchmarks)")
    with open_token(make("primitives"), pin_from_value(PIN)) as token:
        own = _timed(rounds, operation_steps(token))
    yield from (Row(f"ours: {name.replace('_', ' ')}", "us", own[name], note=OPERATIONS[name]) for name in own)
    for phase in tables.PAPERS_PHASES:
        yield from (_of_scheme(scheme, phase, symbols) for scheme in tables.schemes().values())
        yield _of_ours(phase, own)
    with simulated(make, PIN) as federation:
        yield from _as_they_run(Visit.prepared(federation), own, rounds)


def symbol_steps() -> dict[str, tuple[Step, int]]:
    """Return, for each symbol, what does it, and how many of it that is."""
    key, peer, aead = ec.generate_private_key(CURVE), ec.generate_private_key(CURVE), AESGCM(bytes(32))

    def signed_and_verified() -> None:
        key.public_key().verify(key.sign(MESSAGE, _ECDSA), MESSAGE, _ECDSA)

    steps: dict[str, tuple[Step, int]] = {
        "T_Sign": (signed_and_verified, 2),
        "T_A": (lambda: _ecies(peer), 2),
        "T_M": (lambda: key.exchange(ec.ECDH(), peer.public_key()), 1),
        "T_S": (lambda: aead.encrypt(bytes(12), MESSAGE, b""), 1),
        "T_H": (lambda: hashlib.sha256(MESSAGE).digest(), 1),
    }
    if importlib.util.find_spec(PAIRING):
        pairing = importlib.import_module(PAIRING)
        g1, g2 = pairing.G1Point(), pairing.G2Point()
        steps["T_P"] = (lambda: pairing.GT.pairing(g1, g2), 1)
    return steps


def _ecies(receiver: ec.EllipticCurvePrivateKey) -> None:
    ephemeral = ec.generate_private_key(CURVE)
    sealing = _derived(ephemeral, receiver.public_key())
    sealed = AESGCM(sealing).encrypt(bytes(12), MESSAGE, b"")
    AESGCM(_derived(receiver, ephemeral.public_key())).decrypt(bytes(12), sealed, b"")


def _derived(key: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"").derive(key.exchange(ec.ECDH(), peer))


def operation_steps(token: Token) -> dict[str, tuple[Step, int]]:
    """Return what does each operation that is counted of ours, in the token where it is done there."""
    signing, agreeing, mac = token.generate_signing("s"), token.generate_agreement("a"), token.generate_mac("m")
    key, peer, aead = ec.generate_private_key(CURVE), ec.generate_private_key(CURVE).public_key(), AESGCM(bytes(32))
    signature, mlkem = key.sign(MESSAGE, _ECDSA), MLKEM768PrivateKey.generate()
    public, (_, ciphertext) = mlkem.public_key(), mlkem.public_key().encapsulate()
    steps: dict[str, Step] = {
        # With the verification of what the token gave, which is the operation "recheck" and not counted twice.
        "sign": lambda: signing.sign(MESSAGE, _ECDSA),
        "verify": lambda: key.public_key().verify(signature, MESSAGE, _ECDSA),
        "agree": lambda: agreeing.exchange(ec.ECDH(), peer),
        "multiply": lambda: key.exchange(ec.ECDH(), peer),
        "encapsulate": public.encapsulate,
        "decapsulate": lambda: mlkem.decapsulate(ciphertext),
        "aead": lambda: aead.encrypt(bytes(12), MESSAGE, b""),
        "hmac": lambda: hmac.digest(bytes(32), MESSAGE, "sha256"),
        "token_hmac": lambda: mac.mac(MESSAGE),
        "hash": lambda: hashlib.sha256(MESSAGE).digest(),
    }
    return {name: (step, 1) for name, step in steps.items()}


def _timed(rounds: int, steps: Mapping[str, tuple[Step, int]]) -> dict[str, list[float]]:
    """Return CPU microseconds of each, measured in turns."""
    each = 20
    taken = in_turns(rounds, each, *(step for step, _ in steps.values()))
    counts = [number for _, number in steps.values()]
    return {
        name: [value / number for value in values] for name, values, number in zip(steps, taken, counts, strict=True)
    }


def _of_scheme(scheme: tables.Scheme, phase: str, symbols: Mapping[str, Sequence[float]]) -> Row:
    counted = scheme.operations[phase]
    missing = [symbol for symbol in counted if symbol not in symbols]
    failure = f"{missing[0]} was not measured" if missing else ""
    values = [] if missing else computed(counted, symbols)
    return Row(f"{PHASES[phase]}: {scheme.name}", "us", values, note=tables.formula(counted), failure=failure)


def _of_ours(phase: str, times: Mapping[str, Sequence[float]]) -> Row:
    """Return what our operations of a phase take, each where its key is."""
    counted = tables.summed(tables.read()[tables.FULL], phase)
    values = computed(Counter({name: counted[name] for name in times if counted[name]}), times)
    return Row(f"{PHASES[phase]}: ours", "us", values, note=tables.formula(tables.in_symbols(counted)))


def computed(counted: Counter[str], times: Mapping[str, Sequence[float]]) -> list[float]:
    """Return, for each round, what so many of each operation take."""
    rounds = zip(*(times[name] for name in counted), strict=True)
    return [sum(number * one for number, one in zip(counted.values(), taken, strict=True)) for taken in rounds]


@dataclass
class _Timing:
    """CPU microseconds of each phase."""

    taken: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def step(self, phase: str, _party: str, _name: str) -> Iterator[Sending]:
        """Time what is inside."""
        began = time.process_time()
        yield lambda _message: None
        self.taken[phase] += (time.process_time() - began) * 1e6


def _as_they_run(visit: Visit, times: Mapping[str, Sequence[float]], rounds: int) -> Iterator[Row]:
    """Yield our phases over what their operations take: the rest is Python, protocol buffers and what is kept in memory."""
    visit.phases(_Timing())
    measured = []
    for _ in range(rounds):
        timing = _Timing()
        visit.phases(timing)
        measured.append(timing.taken)
    for phase in (*tables.PAPERS_PHASES, "deposit"):
        values = [taken[phase] for taken in measured]
        yield Row(f"{PHASES[phase]}: ours, as it runs", "us", values, _of_ours(phase, times).values)


SECTION: Final = Section(
    "paper",
    "The paper's Tables 4 and 5",
    "What the phases take in the five schemes that the paper compares, by its own tables and the primitives of this run, and"
    " what ours take over their primitives (docs/paper-tables.md).",
    rows,
)
