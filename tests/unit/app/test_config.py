"""Settings: what is wrong is said with its key."""

from pathlib import Path

import pytest

from federation.app.node import NodeDirectory
from federation.config import (
    CloudSettings,
    ConfigError,
    HospitalSettings,
    ProtocolSettings,
    TokenSettings,
    read_settings,
    to_toml,
)

TOML = """\
identity = "C:a"
public_listen = "a:1"
peer_listen = "a:2"
[token]
uri = "pkcs11:token=a?module-path=/m.so"
"""


def _read(tmp_path: Path, text: str) -> CloudSettings:
    file = tmp_path / "medunion.toml"
    file.write_text(text)
    return read_settings(file, CloudSettings)


def test_defaults_fill_what_is_left_out(tmp_path: Path) -> None:
    settings = _read(tmp_path, TOML)
    assert settings.protocol == ProtocolSettings()
    assert settings.token == TokenSettings("pkcs11:token=a?module-path=/m.so")


def test_written_settings_read_back_equal(tmp_path: Path) -> None:
    settings = HospitalSettings(
        "H:a",
        "a:1",
        'quoted "address"\\',
        TokenSettings("u", tmp_path),
        ("cardiology", "surgery.b"),
        ProtocolSettings(12.5),
    )
    directory = NodeDirectory(tmp_path)
    directory.write_settings(settings)
    assert directory.settings(HospitalSettings) == settings
    assert directory.settings_file.stat().st_mode & 0o777 == 0o600
    assert to_toml(settings).count("[token]") == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("colour = 1\n", "colour"),
        ("[protocol]\nfreshness = 1\n", "protocol.freshness"),
        ("[protocol]\nfreshness_seconds = 0\n", "protocol.freshness_seconds"),
        ("[protocol]\nfreshness_seconds = 'x'\n", "protocol.freshness_seconds"),
        ("[protocol]\nfreshness_seconds = true\n", "protocol.freshness_seconds"),
        ("[server]\nthreads = 2.5\n", "server.threads"),
        ("[server]\nthreads = 65\n", "server.threads"),
    ],
)
def test_wrong_setting_is_named(tmp_path: Path, change: str, key: str) -> None:
    text = TOML + change if change.startswith("[") else change + TOML
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        _read(tmp_path, text)


def test_missing_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token\.uri"):
        _read(tmp_path, TOML.replace("uri = ", "sessions = 1 #"))
    with pytest.raises(ConfigError, match="identity"):
        _read(tmp_path, TOML.replace("identity", "# identity"))


def test_pin_file_that_others_may_read_is_named(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text("1234")
    pin.chmod(0o640)
    with pytest.raises(ConfigError, match=r"token\.pin_file"):
        _read(tmp_path, f'{TOML}pin_file = "{pin}"\n')
    pin.chmod(0o600)
    assert _read(tmp_path, f'{TOML}pin_file = "{pin}"\n').token.pin_file == pin


def test_relative_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token\.softhsm_configuration"):
        _read(tmp_path, f'{TOML}softhsm_configuration = "here"\n')


def test_no_file_and_no_toml_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read_settings(tmp_path / "none.toml", CloudSettings)
    with pytest.raises(ConfigError, match="not TOML"):
        _read(tmp_path, "= =")
