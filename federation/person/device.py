"""The patient's device: a reading of the body, and what opens with it (docs/protocol.md, section 3).

The sensor is SIMULATED: a file stands for the person, a reading is its template with some of its bits flipped. A phone would
put its own sensor and secure element here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

import safefiles
from federation.person.errors import ProfileUnusable, WrongFile
from federation.person.profile import DeviceSettings, Profile
from federation.protocol.parties import Entropy
from hsm import Pin
from keystore.biometric import (
    DEVICE_SECRET_SIZE,
    BiometricPassword,
    DeviceSecret,
    biometric_password,
    simulate_reading,
    simulate_template,
    token_pin,
)
from keystore.fuzzy import RANDOMNESS_SIZE, FuzzyKey, HelperData, enrol, recover

NOISE = 0.15
"""Part of its bits in which a fresh simulated reading differs from the template: the middle of what eyes do (Daugman 2004)."""

PERSON_BYTES = 32


@dataclass(frozen=True)
class Unlocked:
    """What a matching reading gives: B_P, and the PIN of the patient's token."""

    password: BiometricPassword
    pin: Pin = field(repr=False)


def enrol_device(profile: Profile, device: DeviceSettings, realm: str, entropy: Entropy) -> Unlocked:
    """Make the device secret and the helper data, from a first simulated reading. Raises DeviceSecretUnusable, WrongFile."""
    template = simulate_template(_person(device.simulated_sensor))
    fuzzy_key, helper = enrol(template, entropy(RANDOMNESS_SIZE))
    secret = DeviceSecret.create(profile.device_secret, entropy(DEVICE_SECRET_SIZE))
    safefiles.create(profile.helper_data, helper.to_bytes())
    return _unlocked(fuzzy_key, secret, realm, device.enrolment)


def unlock(profile: Profile, device: DeviceSettings, realm: str) -> Unlocked:
    """Take a fresh, noisy simulated reading and open with it.

    Raises BiometricMismatch for a stranger's, DeviceSecretUnusable, ProfileUnusable, WrongFile.
    """
    reading = simulate_reading(simulate_template(_person(device.simulated_sensor)), NOISE, SystemRandom())
    try:
        helper = HelperData.from_bytes(profile.helper_data.read_bytes())
    except OSError as error:
        raise ProfileUnusable(f"The helper data cannot be read: {error.strerror}.") from error
    return _unlocked(recover(reading, helper), DeviceSecret.load(profile.device_secret), realm, device.enrolment)


def create_person(path: Path, entropy: Entropy) -> bool:
    """Make the file that stands for a person, unless there is one; return whether it was made. Raises WrongFile."""
    try:
        safefiles.create(path, entropy(PERSON_BYTES))
    except FileExistsError:
        return False
    except OSError as error:
        raise WrongFile(f"The simulated sensor {path} cannot be made: {error.strerror}.") from error
    return True


def _person(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WrongFile(f"The simulated sensor {path} cannot be read: {error.strerror}.") from error


def _unlocked(fuzzy_key: FuzzyKey, secret: DeviceSecret, realm: str, enrolment: int) -> Unlocked:
    password = biometric_password(fuzzy_key, secret, realm=realm, enrolment_counter=enrolment)
    return Unlocked(password, Pin(token_pin(fuzzy_key, secret, realm=realm).text))
