"""A token without ML-KEM: said so, and nothing is made."""

import pytest

from hsm import Token, errors


def test_token_without_ml_kem_says_so_and_makes_no_key(token: Token) -> None:
    assert not token.has_mlkem
    with pytest.raises(errors.MechanismMissing):
        token.generate_mlkem("kem")
    with pytest.raises(errors.KeyNotFound):
        token.mlkem("kem")
    assert token.objects() == []
