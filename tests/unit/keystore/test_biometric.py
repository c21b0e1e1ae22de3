"""Known answers, the device secret's file, and where recovery ends. All templates are simulated."""

import hashlib
import hmac
import os
from random import Random

import pytest

from keystore import fuzzy
from keystore.biometric import (
    BiometricPassword,
    DeviceSecret,
    DeviceSecretUnusable,
    biometric_password,
    simulate_reading,
    simulate_template,
    token_pin,
)
from keystore.errors import KeystoreError
from keystore.fuzzy import BiometricMismatch, FuzzyKey, HelperData, HelperDataInvalid, TemplateInvalid, enrol, recover

ALICE = simulate_template(b"alice")
KEY, HELPER = enrol(ALICE, bytes(range(20)))
FIXED_KEY = FuzzyKey(bytes([7] * 32))
DEVICE = DeviceSecret(bytes(range(32)))


def hkdf_by_hand(secret: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 with an empty salt, for one block of output."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")[:size]


def test_password_and_pin_have_their_known_values():
    password = biometric_password(FIXED_KEY, DEVICE, realm="union", enrolment_counter=1)
    assert password.value.hex() == "cac5a2e68111868f875619fba47dd7ff3010110bdb4c5475129b46314d4537b2"
    assert token_pin(FIXED_KEY, DEVICE, realm="union").text == "34ZSXZ6XJ6UFQX64KRUDFKPG"


def test_password_is_hkdf_of_fuzzy_key_and_device_secret_as_the_protocol_writes_it():
    fields = (b"bp-derive", b"union", (1).to_bytes(8, "big"))
    info = b"medunion/v1\x00" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    expected = hkdf_by_hand(FIXED_KEY.value + DEVICE.value, info, 32)
    assert biometric_password(FIXED_KEY, DEVICE, realm="union", enrolment_counter=1).value == expected


def test_enrolment_has_its_known_values():
    assert KEY.value.hex() == "9f7ff79e1599ffb05790608ab5eeb35fd5850fb0e4dee567052b602812d8aba8"
    digest = hashlib.sha256(HELPER.to_bytes()).hexdigest()
    assert digest == "343d16c0260712c6507d4fecf0f906a5754e7d084b96e19892f0bfd9a356601e"


def test_hadamard_words_differ_in_half_their_bits_or_all():
    distances = {(a ^ b).bit_count() for a in fuzzy.WORDS for b in fuzzy.WORDS if a != b}
    assert distances == {32, 64}


def test_password_changes_with_realm_counter_device_and_body():
    def derived(key=FIXED_KEY, device=DEVICE, realm="union", counter=1):
        return biometric_password(key, device, realm=realm, enrolment_counter=counter).value

    other_device = DeviceSecret(bytes(32))
    changed = {derived(key=KEY), derived(device=other_device), derived(realm="other"), derived(counter=2)}
    assert len(changed | {derived()}) == 5


def test_nothing_secret_shows_in_a_repr():
    password = biometric_password(FIXED_KEY, DEVICE, realm="union", enrolment_counter=1)
    shown = [repr(thing) for thing in (KEY, DEVICE, password, token_pin(KEY, DEVICE, realm="union"), HELPER)]
    assert shown == [
        "FuzzyKey(32 bytes)",
        "DeviceSecret(32 bytes)",
        "BiometricPassword(32 bytes)",
        "TokenPin(24 characters)",
        "HelperData(289 bytes)",
    ]
    assert f"{password}" == "BiometricPassword(32 bytes)"
    assert BiometricPassword(b"") != password


@pytest.mark.parametrize("flip_fraction", [0.0, 0.1, 0.2, 0.25])
def test_noisy_second_reading_recovers_the_key(flip_fraction):
    rng = Random(2006)
    readings = [simulate_reading(ALICE, flip_fraction, rng) for _ in range(200)]
    assert all(recover(reading, HELPER) == KEY for reading in readings)


@pytest.mark.parametrize("flip_fraction", [0.4, 0.45, 0.5])
def test_biometric_mismatch_for_too_noisy_a_reading(flip_fraction):
    rng = Random(2006)
    for _ in range(200):
        with pytest.raises(BiometricMismatch):
            recover(simulate_reading(ALICE, flip_fraction, rng), HELPER)


def test_biometric_mismatch_for_a_stranger():
    for number in range(200):
        with pytest.raises(BiometricMismatch) as caught:
            recover(simulate_template(f"stranger {number}".encode()), HELPER)
        assert caught.value.reason == "BIOMETRIC_MISMATCH"
        assert isinstance(caught.value, KeystoreError)


def test_biometric_mismatch_for_altered_helper_data():
    for place in (0, 255, 256, 287):
        altered = bytearray(HELPER.to_bytes())
        altered[1 + place] ^= 1
        with pytest.raises(BiometricMismatch):
            recover(ALICE, HelperData.from_bytes(bytes(altered)))


def test_biometric_mismatch_for_helper_data_moved_by_a_codeword():
    _, other = enrol(bytes(256), bytes(range(1, 21)))
    moved = bytes(a ^ b for a, b in zip(HELPER.offset, other.offset, strict=True))
    with pytest.raises(BiometricMismatch):
        recover(ALICE, HelperData(moved, HELPER.tag))


def test_helper_data_invalid_is_refused():
    encoded = HELPER.to_bytes()
    assert HelperData.from_bytes(encoded) == HELPER
    for data in (b"", encoded[:-1], encoded + b"\x00", b"\x02" + encoded[1:]):
        with pytest.raises(HelperDataInvalid) as caught:
            HelperData.from_bytes(data)
        assert caught.value.reason == "HELPER_DATA_INVALID"


def test_template_of_another_size_is_refused():
    for attempt in (lambda: enrol(b"short", bytes(20)), lambda: recover(ALICE + b"\x00", HELPER)):
        with pytest.raises(TemplateInvalid) as caught:
            attempt()
        assert caught.value.reason == "BIOMETRIC_TEMPLATE_INVALID"
    with pytest.raises(ValueError, match="20 random bytes"):
        enrol(ALICE, bytes(19))


def test_device_secret_is_kept_in_a_file_of_its_owner_alone(tmp_path):
    path = tmp_path / "device-secret"
    created = DeviceSecret.create(path, bytes(range(32)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert DeviceSecret.load(path) == created


def test_device_secret_is_never_overwritten(tmp_path):
    path = tmp_path / "device-secret"
    created = DeviceSecret.create(path, bytes(range(32)))
    with pytest.raises(DeviceSecretUnusable) as caught:
        DeviceSecret.create(path, bytes(32))
    assert caught.value.reason == "DEVICE_SECRET_UNUSABLE"
    assert DeviceSecret.load(path) == created


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_device_secret_open_to_others_is_refused(tmp_path, mode):
    path = tmp_path / "device-secret"
    DeviceSecret.create(path, bytes(32))
    path.chmod(mode)
    with pytest.raises(DeviceSecretUnusable, match="mode 0600"):
        DeviceSecret.load(path)


def test_device_secret_of_another_owner_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "device-secret"
    DeviceSecret.create(path, bytes(32))
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(DeviceSecretUnusable, match="yours"):
        DeviceSecret.load(path)


def test_device_secret_that_is_missing_damaged_or_no_plain_file_is_refused(tmp_path):
    real = tmp_path / "real"
    DeviceSecret.create(real, bytes(32))
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, size in (("short", 31), ("long", 33)):
        (tmp_path / name).write_bytes(bytes(size))
        (tmp_path / name).chmod(0o600)
    for name in ("absent", "link", "pipe", "short", "long"):
        with pytest.raises(DeviceSecretUnusable):
            DeviceSecret.load(tmp_path / name)
