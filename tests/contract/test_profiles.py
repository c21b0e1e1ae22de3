"""profiles.toml agrees with itself, and with what the key layer and the roles ask; the page names every profile's product."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from federation.party.tokens import NEEDED
from hsm import Ability
from hsm.agreement import Way
from tests.contract.limited import Limits

FILE = Path(__file__).with_name("profiles.toml")
PROFILES: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text())
PAGE = (Path(__file__).parents[2] / "docs" / "tokens.md").read_text()
SAID = {line.split()[1] for line in FILE.read_text().splitlines() if line.startswith("# ") and line[2].islower()}
ALWAYS = {"product", "status", "base", "roles", "in_the_way", "mechanisms", "curves", "import", "hmac_keys"}

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


@each_profile
def test_profile_says_what_the_head_of_the_file_explains_and_no_more(profile: dict[str, Any]) -> None:
    assert profile.keys() >= ALWAYS
    assert profile.keys() <= SAID
    assert set(profile["in_the_way"]) <= SAID
    assert profile["status"] in {"documented", "run"}
    assert profile["base"] in {"softhsm", "nss"}


@each_profile
def test_mechanisms_are_ones_that_a_token_here_can_be_asked_for(profile: dict[str, Any]) -> None:
    assert len(Limits(profile).mechanisms) == len(profile["mechanisms"])  # raises KeyError for a name that is none
    assert "P-256" in profile["curves"]


@each_profile
def test_way_is_the_strongest_that_the_derivations_leave(profile: dict[str, Any]) -> None:
    kdf, readable = "CKD_SHA256_KDF" in profile["derivations"], profile.get("derived") == "readable"
    if kdf and "CKM_SHA256_HMAC" in profile["mechanisms"]:
        left: Way | None = Way.KDF_AND_HMAC
    elif kdf and readable:
        left = Way.KDF
    else:
        left = Way.NULL if "CKD_NULL" in profile["derivations"] and readable else None
    assert profile.get("way") == (left and left.name)


@each_profile
def test_roles_are_those_for_which_the_mechanisms_suffice(profile: dict[str, Any]) -> None:
    able = {Ability.RANDOM, Ability.ECDSA_P256, Ability.IMPORT_P256}
    able |= {Ability.ECDH_P256} if profile.get("way") else set()
    able |= {Ability.HMAC_SHA256} if profile["hmac_keys"] else set()
    able |= {Ability.NONCES} if profile["nonces"] != "deterministic" else set()
    assert all(NEEDED[role] <= able for role in profile["roles"])


@each_profile
def test_page_names_the_product(profile: dict[str, Any]) -> None:
    assert profile["product"].split(",")[0].removesuffix(" from firmware 5.7") in PAGE


def test_labels_and_logins_that_the_key_layer_can_not_drive_are_said() -> None:
    for name, profile in PROFILES.items():
        assert ("labels" in profile["in_the_way"]) == (profile["labels"] == "fixed"), name
        assert ("generates_as" in profile["in_the_way"]) == (profile["generates_as"] == "so"), name
