"""The nonces of a token's ECDSA are judged by a key that is known, on the token itself."""

import pytest

from hsm import Token, errors
from hsm.cryptoki import Cryptoki
from hsm.nonces import MOST_DEVIATIONS
from tests.contract.token_backends import Capability, needs


@needs(Capability.ECDSA, Capability.IMPORT)
def test_nonces_of_the_token_are_fair_and_nothing_stays(token: Token) -> None:
    done: list[int] = []
    report = token.nonces(4096, done.append)
    assert report.fair, report
    assert report.signatures == report.distinct == 4096
    assert 0 < abs(report.worst_z) <= MOST_DEVIATIONS
    assert done == list(range(1, 4097))
    assert token.objects() == []


@needs(Capability.ECDSA, Capability.IMPORT)
def test_too_few_signatures_judge_nothing(token: Token) -> None:
    with pytest.raises(ValueError, match="256"):
        token.nonces(255)


@needs(Capability.ECDSA, Capability.IMPORT)
def test_wrong_signature_is_not_counted(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cryptoki, "sign", lambda *_: bytes(31) + b"\x01" + bytes(31) + b"\x01")
    with pytest.raises(errors.TokenFailed, match="wrong signature"):
        token.nonces(256)
