"""Credentials of systemd: from its directory alone, by a plain name, as unreadable for others as an access list leaves them."""

from pathlib import Path

import pytest

from federation.party.node_directory import NodeDirectory, stored_pin
from federation.settings import ConfigError, DatabaseSettings, TokenSettings
from hsm import pin_from_file
from hsm.errors import PinUnavailable

BY_CREDENTIAL = TokenSettings("pkcs11:token=a?module-path=/m.so", pin_credential="pin")
DATABASE = DatabaseSettings("postgresql://u@/x?host=/nowhere", password_credential="password")


@pytest.fixture
def handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory of credentials that systemd made for this process."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in ("pin", "password"):
        (tmp_path / name).write_text("hunter2\n")
        (tmp_path / name).chmod(0o440)
    return tmp_path


def test_pin_is_read_from_a_credential_of_mode_0440(handed_over: Path) -> None:
    provider = stored_pin(BY_CREDENTIAL)
    assert provider is not None
    assert provider().reveal() == "hunter2"


def test_mode_0440_is_refused_anywhere_else(handed_over: Path) -> None:
    with pytest.raises(PinUnavailable):
        pin_from_file(handed_over / "pin")()


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o640 | 0o002])
def test_credential_that_others_may_read_or_write_is_refused(handed_over: Path, mode: int) -> None:
    for name in ("pin", "password"):
        (handed_over / name).chmod(mode)
    with pytest.raises(ConfigError, match=r"token\.pin_credential: .*others"):
        stored_pin(BY_CREDENTIAL)
    with pytest.raises(ConfigError, match=r"database\.password_credential: .*others"):
        NodeDirectory(handed_over).database(DATABASE)


def test_credential_that_is_a_link_is_refused(handed_over: Path) -> None:
    (handed_over / "pin").unlink()
    (handed_over / "pin").symlink_to(handed_over / "password")
    with pytest.raises(ConfigError, match=r"token\.pin_credential"):
        stored_pin(BY_CREDENTIAL)


def test_credential_that_is_missing_is_named(handed_over: Path) -> None:
    (handed_over / "pin").unlink()
    with pytest.raises(ConfigError, match=r"token\.pin_credential: the credential pin can't be read"):
        stored_pin(BY_CREDENTIAL)


def test_beside_the_service_there_is_no_stored_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert stored_pin(BY_CREDENTIAL) is None
    with pytest.raises(ConfigError, match=r"database\.password_credential: .*to the service alone"):
        NodeDirectory(Path("/nowhere")).database(DATABASE)


def test_two_places_for_one_secret_are_refused(handed_over: Path) -> None:
    file = handed_over / "password"
    with pytest.raises(ConfigError, match=r"token\.pin_credential: pin_file is set too"):
        stored_pin(TokenSettings("u", pin_file=file, pin_credential="pin"))
    with pytest.raises(ConfigError, match=r"database\.password_credential: password_file is set too"):
        NodeDirectory(handed_over).database(DatabaseSettings(DATABASE.url, file, "password"))
