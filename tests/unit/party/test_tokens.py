"""What a missing ability means for each role."""

import pytest

from federation.cli.token import check_lines
from federation.party.tokens import CONSEQUENCES, NEEDED, OPTIONAL, missing_for
from hsm import Ability, Trial

LACKS_ECDH = [Trial(ability, "not offered" if ability is Ability.ECDH_P256 else "") for ability in Ability]


@pytest.mark.parametrize(
    ("role", "misses"),
    [("authority", False), ("doctor", True), ("patient", True), ("hospital", True), ("public-cloud", True)],
)
def test_token_without_ecdh_does_for_an_authority_alone(role: str, misses: bool) -> None:
    assert bool(missing_for(role, LACKS_ECDH)) == misses
    said = "\n".join(check_lines(role, LACKS_ECDH))
    assert ("will not do" in said) == misses
    assert (CONSEQUENCES[Ability.ECDH_P256] in said) == misses
    assert "the token said: not offered" in said


@pytest.mark.parametrize("role", NEEDED)
def test_token_without_ml_kem_does_for_every_role_and_is_said_to_keep_a_seed_outside(role: str) -> None:
    lacks_mlkem = [Trial(ability, "not offered" if ability is Ability.ML_KEM_768 else "") for ability in Ability]
    assert missing_for(role, lacks_mlkem) == []
    said = "\n".join(check_lines(role, lacks_mlkem))
    assert f"will do for the role {role}" in said
    assert (CONSEQUENCES[Ability.ML_KEM_768] in said) == (role != "authority")
    assert ("optional" in said) == (role != "authority")


def test_every_ability_has_its_consequence_and_some_role_takes_it() -> None:
    assert set(CONSEQUENCES) == set(Ability) == set().union(*NEEDED.values(), *OPTIONAL.values())
    assert all(not NEEDED[role] & OPTIONAL[role] for role in NEEDED)
