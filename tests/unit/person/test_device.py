"""The patient's device opens for its owner, and for nobody else."""

import os
from pathlib import Path

import pytest

from federation.person.device import create_person, enrol_device, unlock
from federation.person.errors import ProfileUnusable, WrongFile
from federation.person.profile import DeviceSettings, Profile
from keystore.biometric import DeviceSecretUnusable
from keystore.fuzzy import BiometricMismatch


@pytest.fixture
def device(tmp_path: Path) -> DeviceSettings:
    create_person(tmp_path / "person", os.urandom)
    return DeviceSettings(tmp_path / "person")


def test_noisy_second_reading_unlocks(tmp_path: Path, device: DeviceSettings) -> None:
    enrolled = enrol_device(Profile(tmp_path), device, "realm", os.urandom)
    for _ in range(5):
        unlocked = unlock(Profile(tmp_path), device, "realm")
        assert unlocked.password == enrolled.password
        assert unlocked.pin.reveal() == enrolled.pin.reveal()


def test_biometric_mismatch_of_a_stranger(tmp_path: Path, device: DeviceSettings) -> None:
    enrol_device(Profile(tmp_path), device, "realm", os.urandom)
    create_person(tmp_path / "stranger", os.urandom)
    with pytest.raises(BiometricMismatch):
        unlock(Profile(tmp_path), DeviceSettings(tmp_path / "stranger"), "realm")


def test_biometric_password_differs_by_realm_and_enrolment(tmp_path: Path, device: DeviceSettings) -> None:
    enrolled = enrol_device(Profile(tmp_path), device, "realm", os.urandom)
    elsewhere = unlock(Profile(tmp_path), device, "other")
    later = unlock(Profile(tmp_path), DeviceSettings(device.simulated_sensor, enrolment=2), "realm")
    assert len({enrolled.password.value, elsewhere.password.value, later.password.value}) == 3
    assert later.pin.reveal() == enrolled.pin.reveal()


def test_device_secret_is_never_overwritten(tmp_path: Path, device: DeviceSettings) -> None:
    enrol_device(Profile(tmp_path), device, "realm", os.urandom)
    with pytest.raises(DeviceSecretUnusable):
        enrol_device(Profile(tmp_path), device, "realm", os.urandom)


def test_helper_data_missing_is_refused(tmp_path: Path, device: DeviceSettings) -> None:
    with pytest.raises(ProfileUnusable):
        unlock(Profile(tmp_path), device, "realm")


def test_sensor_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongFile):
        unlock(Profile(tmp_path), DeviceSettings(tmp_path / "nobody"), "realm")


def test_secrets_show_nothing_of_themselves(tmp_path: Path, device: DeviceSettings) -> None:
    unlocked = enrol_device(Profile(tmp_path), device, "realm", os.urandom)
    assert unlocked.pin.reveal() not in repr(unlocked)
    assert unlocked.password.value.hex() not in repr(unlocked)


def test_what_the_device_keeps_is_its_owners_from_the_first_byte(tmp_path: Path, device: DeviceSettings) -> None:
    profile, modes = Profile(tmp_path), []
    chmod = Path.chmod

    def noted(path: Path, mode: int, **options: bool) -> None:
        modes.append(path)
        chmod(path, mode, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "chmod", noted)
        enrol_device(profile, device, "realm", os.urandom)
    assert not modes, "made for others to read first"
    for path in (profile.helper_data, profile.device_secret):
        assert path.stat().st_mode & 0o077 == 0
