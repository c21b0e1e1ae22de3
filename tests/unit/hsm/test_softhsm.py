"""SoftHSM made on demand."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm import Pin, TokenUri, errors
from hsm.softhsm import SoftHsm, find_module

MakeUri = Callable[..., TokenUri]


def test_module_is_found_where_distributions_put_it() -> None:
    assert find_module().name == "libsofthsm2.so"


def test_module_named_by_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.so").touch()
    monkeypatch.setenv("SOFTHSM2_MODULE", str(tmp_path / "mine.so"))
    assert find_module() == tmp_path / "mine.so"


def test_missing_module_is_not_silently_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOFTHSM2_MODULE", str(tmp_path / "absent.so"))
    with pytest.raises(errors.ModuleNotFound):
        find_module()


def test_configuration_makes_private_file_tokens_that_forks_do_not_inherit(tmp_path: Path) -> None:
    soft_hsm = SoftHsm(tmp_path / "new")
    lines = soft_hsm.configuration.read_text().splitlines()
    assert "objectstore.backend = file" in lines
    assert "library.reset_on_fork = true" in lines
    assert f"directories.tokendir = {tmp_path / 'new' / 'tokens'}" in lines
    assert stat.S_IMODE((tmp_path / "new" / "tokens").stat().st_mode) == 0o700


def test_configuration_that_is_right_is_left_alone(tmp_path: Path) -> None:
    before = SoftHsm(tmp_path).configuration.stat()
    after = SoftHsm(tmp_path).configuration.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def mechanisms_of(soft_hsm: SoftHsm) -> list[str]:
    lines = soft_hsm.configuration.read_text().splitlines()
    return [line for line in lines if line.startswith("slots.mechanisms")]


def test_configuration_names_the_mechanisms_that_tokens_offer(tmp_path: Path) -> None:
    assert mechanisms_of(SoftHsm(tmp_path)) == []
    expected = ["slots.mechanisms = CKM_ECDSA,CKM_EC_KEY_PAIR_GEN"]
    assert mechanisms_of(SoftHsm(tmp_path, ["CKM_ECDSA", "CKM_EC_KEY_PAIR_GEN"])) == expected
    assert mechanisms_of(SoftHsm(tmp_path)) == expected  # who opens it later does not undo the choice
    assert mechanisms_of(SoftHsm(tmp_path, ["-", "CKM_ECDH1_DERIVE"])) == ["slots.mechanisms = -,CKM_ECDH1_DERIVE"]


OFFERED = """
import sys
from pathlib import Path
from hsm import Pin, open_token, pin_from_value
from hsm.softhsm import SoftHsm
uri = SoftHsm(Path(sys.argv[1]), sys.argv[2:]).create_token("t", pin=Pin("1234"), so_pin=Pin("12345678"))
with open_token(uri, pin_from_value("1234")) as token:
    print(*sorted(trial.ability.name for trial in token.trials() if trial.works))
"""


@pytest.mark.parametrize(
    ("mechanisms", "abilities"),
    [
        (["CKM_ECDSA", "CKM_EC_KEY_PAIR_GEN"], "ECDSA_P256 NONCES RANDOM"),
        (["-", "CKM_ECDH1_DERIVE", "CKM_SHA256_HMAC"], "ECDSA_P256 NONCES RANDOM"),
        (["-", "CKM_ECDSA"], "ECDH_P256 HMAC_SHA256 IMPORT_P256 RANDOM"),
    ],
)
def test_tokens_offer_the_mechanisms_named_and_no_others(tmp_path: Path, mechanisms: list[str], abilities: str) -> None:
    """In a process of its own: SoftHSM reads its configuration once."""
    command = [sys.executable, "-c", OFFERED, str(tmp_path), *mechanisms]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == abilities


def test_token_of_an_existing_label_is_not_made_again(softhsm: SoftHsm, make_token_uri: MakeUri) -> None:
    uri = make_token_uri()
    with pytest.raises(errors.TokenExists):
        softhsm.create_token(uri.token or "", pin=Pin("1234"), so_pin=Pin("12345678"))


def test_label_longer_than_a_token_takes_is_refused(softhsm: SoftHsm) -> None:
    with pytest.raises(errors.LabelInvalid):
        softhsm.create_token("x" * 33, pin=Pin("1234"), so_pin=Pin("12345678"))


def test_second_softhsm_directory_in_one_process_is_refused(make_token_uri: MakeUri, tmp_path: Path) -> None:
    make_token_uri()
    with pytest.raises(errors.ModuleUnusable):
        SoftHsm(tmp_path).activate()
