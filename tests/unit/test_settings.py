"""Settings: what is wrong is said with its key."""

import dataclasses
import re
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from federation.backup.make import Reporter, make_backup
from federation.check.whole import settings_of
from federation.monitor.conditions import conditions
from federation.party.node_directory import NodeDirectory
from federation.party.tokens import token_settings_of
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.settings import (
    CloudSettings,
    ConfigError,
    DatabaseSettings,
    HospitalSettings,
    MemberSettings,
    OtherTokenSettings,
    ProtocolSettings,
    TokenSettings,
    read_settings,
    require_valid,
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


def test_settings_that_notepad_saved_are_read(tmp_path: Path) -> None:
    file = tmp_path / "medunion.toml"
    file.write_bytes(TOML.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_settings(file, CloudSettings) == _read(tmp_path, TOML)


def test_written_settings_read_back_equal(tmp_path: Path) -> None:
    settings = HospitalSettings(
        "H:a",
        "a:1",
        "a.example:0",
        TokenSettings('quoted "token"\\', tmp_path),
        ("cardiology", "surgery.b"),
        protocol=ProtocolSettings(12.5),
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


def test_no_emergency_is_let_in_and_no_budget_ends_unless_it_is_said(tmp_path: Path) -> None:
    settings = _read(tmp_path, TOML)
    assert settings.emergency.policy is None
    assert set(vars(settings.budgets).values()) == {None}


def test_emergency_policy_says_what_the_settings_say(tmp_path: Path) -> None:
    table = "[emergency]\nreasons = ['unconscious']\nduty_classes = ['cardiology']\nsecond_clinician = true\n"
    policy = _read(tmp_path, TOML + table).emergency.policy
    assert policy == EmergencyPolicy(frozenset({"unconscious"}), frozenset({"cardiology"}), second_clinician=True)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[emergency]\nreasons = ['Not a code']\n", r"emergency\.reasons: 'Not a code' is no code"),
        (f"[emergency]\nreasons = ['{'x' * 33}']\n", r"emergency\.reasons"),
        ("[emergency]\nduty_classes = ['Kardiologie!']\n", r"emergency\.duty_classes: .*no department class"),
        ("[budgets]\npatients_per_doctor_a_day = 0\n", r"budgets\.patients_per_doctor_a_day: 0 is not between 1"),
    ],
)
def test_policy_that_means_nothing_is_named(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _read(tmp_path, TOML + table)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[database]\nurl = 'postgresql://u:hunter2@/x'\n", r"database\.url: .*password_file instead"),
        ("[database]\nurl = 'postgresql://u@db.example/x?password=hunter2'\n", r"database\.url: .*these options alone"),
        ("[database]\nurl = 'postgresql://u@db.example/x'\n", r"database\.url: .*sslmode=verify-full"),
        ("[database]\nurl = 'mysql://u:hunter2@/x'\n", r"database\.url: .*SQLite file"),
        ("[database]\nurl = 'sqlite:///here.sqlite'\n", r"database\.url: .*absolute"),
        ("[database]\nurl = '://hunter2'\n", r"database\.url: .*can't be read"),
        ("[database]\nconnections = 0\n", r"database\.connections"),
        ("[database]\npassword_credential = '../password'\n", r"database\.password_credential: .*plain file name"),
        ("[database]\npassword_credential = '..'\n", r"database\.password_credential: .*plain file name"),
        ("[blobs]\nurl = 's3://key:hunter2@bucket/x'\n", r"blobs\.url"),
        ("[blobs]\nurl = 's3://bucket/x?endpoint=http://s3.example'\n", r"blobs\.url: .*https"),
        ("[blobs]\nurl = 'http://[hunter2'\n", r"blobs\.url"),
    ],
)
def test_unsafe_storage_is_named_without_its_secret(tmp_path: Path, table: str, says: str) -> None:
    file = tmp_path / "medunion.toml"
    file.write_text(f'identity = "H:a"\nlisten = "a:1"\naddress = "a:1"\n[token]\nuri = "u"\n{table}')
    with pytest.raises(ConfigError, match=says) as raised:
        read_settings(file, HospitalSettings)
    assert "hunter2" not in str(raised.value)


def test_settings_that_a_command_put_together_are_held_against_the_same_rules() -> None:
    settings = CloudSettings("C:a", "a:1", "a:2", TokenSettings("u"), DatabaseSettings("postgresql://u:hunter2@/x"))
    with pytest.raises(ConfigError, match=r"database\.url"):
        require_valid(settings)


def test_password_file_that_others_may_read_is_named(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o640)
    with pytest.raises(ConfigError, match=r"database\.password_file: others may read"):
        _read(tmp_path, f'{TOML}[database]\npassword_file = "{password}"\n')


OTHERS = """[token]
uri = "u"
others = [{uri = "pkcs11:serial=2?module-path=/m.so"}, {uri = "v", pin_credential = "third"}]
"""


def test_other_tokens_are_read_each_with_its_own_pin(tmp_path: Path) -> None:
    settings = _read(tmp_path, TOML.partition("[token]")[0] + OTHERS)
    assert settings.token.others == (
        OtherTokenSettings("pkcs11:serial=2?module-path=/m.so"),
        OtherTokenSettings("v", pin_credential="third"),
    )
    assert tomllib.loads(to_toml(settings))["token"] == tomllib.loads(OTHERS)["token"]


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ('[{pin_file = "/p"}]', r"token\.others\.uri: this setting is missing"),
        ('[{uri = "u", sessions = 4}]', r"token\.others\.sessions: there is no such setting"),
        ('[{uri = "u", pin_file = "p"}]', r"token\.others\.pin_file: an absolute path"),
        ('["u"]', r"token\.others: a value of another type"),
        ('{uri = "u"}', r"token\.others: a value of another type"),
    ],
)
def test_fault_in_another_token_is_named(tmp_path: Path, others: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _read(tmp_path, TOML.replace("[token]\n", f"[token]\nothers = {others}\n"))


def test_pin_file_of_another_token_that_others_may_read_is_named(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text("1234")
    pin.chmod(0o640)
    with pytest.raises(ConfigError, match=r"token\.others\.pin_file: others may read"):
        _read(tmp_path, TOML.replace("[token]\n", f'[token]\nothers = [{{uri = "u", pin_file = "{pin}"}}]\n'))


CLOUD = CloudSettings("C:a", "a:1", "a:2", TokenSettings("u"))
HOSPITAL = HospitalSettings("H:a", "a:1", "a:1", TokenSettings("u"))


@pytest.mark.parametrize("settings", [CLOUD, HOSPITAL, MemberSettings("D:a", TokenSettings("u"))])
def test_file_says_what_every_setting_means_and_reads_back_equal(tmp_path: Path, settings: object) -> None:
    assert [name for name, item in _settings_of(settings) if not item.metadata.get("says")] == []
    text = to_toml(settings)
    assert [line for line in text.splitlines() if len(line) > 140] == []
    file = tmp_path / "medunion.toml"
    file.write_text(text)
    assert read_settings(file, type(settings)) == settings


@pytest.mark.parametrize("settings", [CLOUD, HOSPITAL])
def test_commented_lines_are_the_defaults_and_examples_that_can_be_used(tmp_path: Path, settings: object) -> None:
    file = tmp_path / "medunion.toml"
    file.write_text(re.sub(r"(?m)^#(?=\S)", "", to_toml(settings)))
    read = read_settings(file, type(settings))
    for (name, item), (_, value) in zip(_settings_of(settings), _values_of(read), strict=True):
        example = item.metadata.get("example")
        if item.default not in {dataclasses.MISSING, None} and example is None:
            assert value == item.default, name
        elif item.default is not dataclasses.MISSING:
            assert str(value) == str(example), name


def _settings_of(settings: object) -> Iterator[tuple[str, dataclasses.Field[object]]]:
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            yield from _settings_of(value)
        else:
            yield item.name, item


def _values_of(settings: object) -> Iterator[tuple[str, object]]:
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        yield from _values_of(value) if dataclasses.is_dataclass(value) else [(item.name, value)]


@pytest.mark.parametrize("settings", [CLOUD, HOSPITAL], ids=["public cloud", "hospital"])
@pytest.mark.parametrize(
    "look",
    [
        token_settings_of,
        lambda node: make_backup(node, None, node.path / "backup", Reporter(print, print)),
        lambda node: conditions(node.path, timedelta(seconds=1)),
        settings_of,
    ],
    ids=["token", "backup", "health", "check"],
)
def test_wrong_setting_is_named_whatever_kind_of_node_the_command_takes(
    tmp_path: Path, settings: object, look: Callable[[NodeDirectory], object]
) -> None:
    node = NodeDirectory(tmp_path)
    node.write_settings(settings)
    node.settings_file.write_text(node.settings_file.read_text().replace("[protocol]", "[protocol]\ncolour = 1"))
    with pytest.raises(ConfigError, match=r"protocol\.colour: there is no such setting"):
        look(node)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            "freshness_seconds = 30\n",
            r"^freshness_seconds: there is no such setting here; it belongs under \[protocol\]",
        ),
        (
            "[protocol]\nfreshnes_seconds = 30\n",
            r"freshnes_seconds: there is no such setting\. Did you mean freshness_seconds\?",
        ),
        ("[protocol]\nq = 30\n", "is this the directory of another kind of node"),
    ],
    ids=["in another table", "misspelt", "unlike any"],
)
def test_setting_that_was_meant_is_named(tmp_path: Path, wrong: str, said: str) -> None:
    file = tmp_path / "medunion.toml"
    file.write_text(wrong)
    with pytest.raises(ConfigError, match=said):
        read_settings(file, HospitalSettings)
