"""The biometric password B_P and the PIN of the patient's token (docs/protocol.md, section 3; X14, A4, B10).

Both come from the fuzzy key, which takes the body, and the device secret, which takes the device, under separate
labels: B_P, which the doctor and the cloud get to see, says nothing about the PIN. Neither depends on a secret inside
the token, which the PIN is there to open. The device secret makes them revocable: a template can't be changed, a file
can.
"""

import base64
from dataclasses import dataclass
from hashlib import shake_256
from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import safefiles
from keystore.errors import KeystoreError
from keystore.fuzzy import TEMPLATE_SIZE, FuzzyKey, SecretBytes
from keystore.transcript import text, transcript, u64

DEVICE_SECRET_SIZE = 32
PASSWORD_SIZE = 32
PIN_ENTROPY_SIZE = 15
"""Bytes behind a PIN: 120 bits, in base32 24 characters without padding."""


class DeviceSecretUnusable(KeystoreError):
    """The device secret's file is missing, in the way of a new one, damaged, or open to others than its owner."""

    reason = "DEVICE_SECRET_UNUSABLE"


@dataclass(frozen=True, slots=True, repr=False)
class BiometricPassword(SecretBytes):
    """B_P, 32 bytes: the patient's secret, known to its doctors and the cloud too. It authenticates nobody by itself."""


@dataclass(frozen=True, slots=True, repr=False)
class TokenPin:
    """The PIN of the patient's token: 24 characters A-Z and 2-7."""

    text: str

    def __repr__(self) -> str:
        return f"TokenPin({len(self.text)} characters)"


@dataclass(frozen=True, slots=True, repr=False)
class DeviceSecret(SecretBytes):
    """32 random bytes in a file that only its owner reads. A phone would keep them in its secure element."""

    def __post_init__(self) -> None:
        if len(self.value) != DEVICE_SECRET_SIZE:
            raise DeviceSecretUnusable(f"a device secret is {DEVICE_SECRET_SIZE} bytes")

    @classmethod
    def create(cls, path: Path, randomness: bytes) -> "DeviceSecret":
        """Write `randomness` (32 fresh random bytes) to a new file of mode 0600, on disk when this returns.

        Never overwrites: whoever loses a device secret loses the token's PIN. Raises DeviceSecretUnusable.
        """
        secret = cls(randomness)
        try:
            safefiles.create(path, secret.value)
        except OSError as error:
            raise DeviceSecretUnusable(f"no device secret could be made at {path}: {error.strerror}") from error
        return secret

    @classmethod
    def load(cls, path: Path) -> "DeviceSecret":
        """Read the file: plain, ours, closed to group and others, 32 bytes. Raises DeviceSecretUnusable otherwise."""
        try:
            with safefiles.open_private(path) as file:
                return cls(file.read(DEVICE_SECRET_SIZE + 1))
        except safefiles.NotPrivate as error:
            raise DeviceSecretUnusable(f"{path} must be a plain file of yours with mode 0600") from error
        except OSError as error:
            raise DeviceSecretUnusable(f"no device secret can be read at {path}: {error.strerror}") from error


def biometric_password(
    fuzzy_key: FuzzyKey, device_secret: DeviceSecret, *, realm: str, enrolment_counter: int
) -> BiometricPassword:
    """Derive B_P for one realm (ASCII, names a federation) and enrolment: HKDF with info T("bp-derive", realm, counter)."""
    info = transcript("bp-derive", text(realm), u64(enrolment_counter))
    return BiometricPassword(_derive(fuzzy_key, device_secret, info, PASSWORD_SIZE))


def token_pin(fuzzy_key: FuzzyKey, device_secret: DeviceSecret, *, realm: str) -> TokenPin:
    """Derive the token's PIN for one realm: HKDF with info T("token-pin", realm)."""
    entropy = _derive(fuzzy_key, device_secret, transcript("token-pin", text(realm)), PIN_ENTROPY_SIZE)
    return TokenPin(base64.b32encode(entropy).decode("ascii"))


def simulate_template(seed: bytes) -> bytes:
    """Return a SIMULATED template: 256 bytes of SHAKE-256 of `seed`, standing for a person.

    No sensor is involved. Its bits are independent, a real iris code's are not; what follows is in
    docs/adr/0005-biometric.md.
    """
    return shake_256(b"medunion simulated template" + seed).digest(TEMPLATE_SIZE)


def simulate_reading(template: bytes, flip_fraction: float, rng: Random) -> bytes:
    """Return a SIMULATED second reading: the template with this fraction of its bits flipped, at places that `rng` chooses.

    Readings of one eye differ in 10 to 20 % of the bits, of two eyes in about half (Daugman 2004).
    """
    bits = len(template) * 8
    flips = sum(1 << place for place in rng.sample(range(bits), round(bits * flip_fraction)))
    return (int.from_bytes(template, "big") ^ flips).to_bytes(len(template), "big")


def _derive(fuzzy_key: FuzzyKey, device_secret: DeviceSecret, info: bytes, size: int) -> bytes:
    secret = fuzzy_key.value + device_secret.value  # both of fixed size, so the join is unambiguous
    return HKDF(SHA256(), size, salt=None, info=info).derive(secret)
