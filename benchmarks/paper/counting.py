"""What each step of the protocol computes: primitives counted while the real code runs, and bytes of what it sends.

In software the interpreter's own profiler says which function of `cryptography`, `hashlib` or `hmac` is called, so that nothing
is put in its place; in a token the token's meter counts. A call of those libraries that is neither counted here nor known to
cost nothing is counted as unknown, so that a new primitive does not slip by.
"""

import functools
import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any, Final

from Crypto.PublicKey.ECC import EccPoint  # type: ignore[attr-defined]  # documented there, not in its __all__
from cryptography.hazmat.bindings._rust import openssl
from google.protobuf.message import Message

from hsm import Token
from remembered import Memory

OPERATIONS: Final = {
    "sign": "ECDSA P-256 signature, in the token",
    "recheck": "verification of one's own signature before it is released",
    "verify": "ECDSA P-256 verification: messages, statements, certificates, lists",
    "agree": "multiplication by a secret that is in the token: S_X or the KEM's P-256 half",
    "multiply": "multiplication by a scalar in software: a fresh r or e, and the public U_X",
    "encapsulate": "ML-KEM-768 encapsulation",
    "decapsulate": "ML-KEM-768 decapsulation",
    "aead": "AES-256-GCM over one message, either way",
    "hmac": "HMAC-SHA256, one HKDF step or one block of X9.63's KDF",
    "token_hmac": "HMAC-SHA256 in the token",
    "hash": "SHA-256 or SHA3-256, whatever its length",
}
UNKNOWN: Final = "unknown"

# What is no primitive: random numbers; looking for keys, making and destroying them.
_IN_TOKEN: Final = {
    "ECDSA": "sign",
    "ECDH1_DERIVE": "agree",
    "SHA256_HMAC": "token_hmac",
    "RANDOM": "",
    "MANAGEMENT": "",
}
_IN_SOFTWARE: Final = {
    "verify": "verify",
    "verify_directly_issued_by": "verify",
    "is_signature_valid": "verify",
    "exchange": "multiply",
    "generate_private_key": "multiply",
    "derive_private_key": "multiply",
    "encapsulate": "encapsulate",
    "decapsulate": "decapsulate",
    "encrypt": "aead",
    "encrypt_into": "aead",
    "decrypt": "aead",
    "decrypt_into": "aead",
    "derive": "hmac",
    "derive_into": "hmac",
    "extract": "hmac",
    "hmac_digest": "hmac",
    "openssl_sha256": "hash",
    "openssl_sha3_256": "hash",
}
# What reads, writes or compares, and the parts of what is counted at its beginning.
_FREE: Final = frozenset(
    {
        *("public_key", "public_bytes", "public_bytes_raw", "public_numbers", "private_numbers", "digest", "update"),
        *("compare_digest", "from_public_bytes", "from_mlkem768_public_bytes", "from_mlkem768_seed_bytes", "copy"),
        *("decode_dss_signature", "encode_dss_signature", "load_der_x509_certificate", "load_der_x509_crl"),
        *("get_revoked_certificate_by_serial_number", "hexdigest", "get_extension_for_class", "load_der_x509_csr"),
        "get_extension_for_oid",
    }
)
_LIBRARIES: Final = ("cryptography.hazmat", "_hashlib", "_hmac", "_sha2", "_sha3")
# Functions of cryptography's Rust modules name these by their last part alone: "ec", "x25519".
_RUST_MODULES: Final = frozenset(name for name, it in vars(openssl).items() if isinstance(it, ModuleType))
_POINT_TIMES_SCALAR: Final = EccPoint.__imul__.__code__


@dataclass(frozen=True)
class Step:
    """What one party does at one point of a phase, and the bytes of the messages that it sends then, as serialised."""

    phase: str
    party: str
    name: str
    operations: Counter[str]
    sends: int

    def row(self) -> list[str]:
        """Return it as one row of the data file."""
        counted = [str(self.operations[name]) for name in OPERATIONS]
        return [self.phase, self.party, self.name, *counted, str(self.sends)]


Sending = Callable[[Message], None]


@dataclass
class Counting:
    """Counts of steps, with every memory emptied before each step (`forgetting`), or as the steps before left it."""

    tokens: Sequence[Token]
    forgetting: bool = False
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, phase: str, party: str, name: str) -> Iterator[Sending]:
        """Count what is inside; what it yields is told of each message that is sent."""
        if self.forgetting:
            forget_all()
        software: Counter[str] = Counter()
        sizes: list[int] = []
        before = self._in_tokens()
        sys.setprofile(functools.partial(_see, software))
        try:
            yield lambda message: sizes.append(message.ByteSize())
        finally:
            sys.setprofile(None)
        self.steps.append(Step(phase, party, name, software + (self._in_tokens() - before), sum(sizes)))

    def _in_tokens(self) -> Counter[str]:
        counted: Counter[str] = Counter()
        for token in self.tokens:
            for mechanism, seen in token.metrics().operations.items():
                name = _IN_TOKEN.get(mechanism, f"{UNKNOWN}: {mechanism} in the token")
                if name:
                    counted[name] += seen.count
        return counted


def _see(counted: Counter[str], frame: FrameType, event: str, called: Any) -> None:
    """Count a call, as sys.setprofile reports it."""
    if event == "call" and frame.f_code is _POINT_TIMES_SCALAR:
        counted["multiply"] += 1
    if event != "c_call":
        return
    name = called.__name__
    if not _is_of_library(called) or name in _FREE or name.startswith("__"):
        return
    kind = _IN_SOFTWARE.get(name, f"{UNKNOWN}: {name}")
    if kind == "verify" and frame.f_globals["__name__"].startswith("hsm."):
        kind = "recheck"
    counted[kind] += 1


def _is_of_library(called: Any) -> bool:
    """Return whether a builtin is of a cryptographic library."""
    owner = getattr(called, "__self__", None)
    module = str(called.__module__ if owner is None or isinstance(owner, ModuleType) else type(owner).__module__)
    return module.startswith(_LIBRARIES) or module in _RUST_MODULES or called.__name__ in _IN_SOFTWARE


def forget_all() -> None:
    """Empty every memory of this process: the table's, and functions that keep their results."""
    for one in gc.get_objects():
        if isinstance(one, Memory):
            one.forget()
        elif isinstance(one, functools._lru_cache_wrapper) and str(one.__module__).startswith(  # noqa: SLF001 - its only name
            ("federation", "keystore", "hsm")
        ):
            one.cache_clear()
