"""Every key in a token: made once, named, for one use, never out of it; what an attacker may expect of them."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pkcs11.util.ec import encode_named_curve_parameters

from hsm import Token, errors
from hsm.policy import AGREEMENT, SIGNING
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_known_keys import ALICE, BOB, public_of, store_p256

ECDSA = ec.ECDSA(SHA256())

KINDS = [
    pytest.param("signing", marks=needs(Capability.ECDSA)),
    pytest.param("agreement", marks=needs(Capability.ECDH)),
    pytest.param("mac", marks=needs(Capability.HMAC)),
]
IMPORT = pytest.param("import", marks=needs(Capability.ECDH, Capability.IMPORT))
MAKERS: dict[str, Callable[[Token, str], object]] = {
    "signing": Token.generate_signing,
    "agreement": Token.generate_agreement,
    "mac": Token.generate_mac,
    "import": lambda token, label: token.import_key(label, AGREEMENT, bytearray(ALICE)),
}
OPENERS: dict[str, Callable[[Token, str], object]] = {
    "signing": Token.signing,
    "agreement": Token.agreement,
    "mac": Token.mac,
}


@pytest.mark.parametrize("maker", [*KINDS, IMPORT])
@needs(Capability.ECDH)
def test_existing_label_is_never_replaced(token: Token, maker: str) -> None:
    MAKERS[maker](token, "taken")
    before = token.objects()
    for make in MAKERS.values():
        with pytest.raises(errors.KeyExists):
            make(token, "taken")
    assert token.objects() == before


@pytest.mark.parametrize("maker", [*KINDS, IMPORT])
def test_every_secret_in_the_token_is_sensitive_unextractable_and_fixed(token: Token, maker: str) -> None:
    MAKERS[maker](token, "key")
    secret = [info for info in token.objects() if info.object_class in {"PRIVATE_KEY", "SECRET_KEY"}]
    assert len(secret) == 1
    assert (secret[0].private, secret[0].sensitive, secret[0].extractable) == (True, True, False)
    assert secret[0].modifiable is False
    assert secret[0].stored


@needs(Capability.PROVENANCE)
@pytest.mark.parametrize("maker", [*KINDS, IMPORT])
def test_token_says_which_keys_it_made_itself(token: Token, maker: str) -> None:
    MAKERS[maker](token, "key")
    secret = [info for info in token.objects() if info.object_class in {"PRIVATE_KEY", "SECRET_KEY"}]
    generated = maker != "import"
    assert (secret[0].local, secret[0].always_sensitive, secret[0].never_extractable) == (generated,) * 3


USAGES = {"signing": {"SIGN"}, "agreement": {"DERIVE"}, "mac": {"SIGN"}}


@pytest.mark.parametrize("maker", KINDS)
def test_key_has_exactly_the_usages_of_its_purpose(token: Token, maker: str) -> None:
    MAKERS[maker](token, "key")
    assert [info.usages for info in token.objects() if info.object_class != "PUBLIC_KEY"] == [USAGES[maker]]


@needs(Capability.ECDSA, Capability.ECDH)
def test_pair_shares_a_random_id(token: Token) -> None:
    token.generate_signing("one")
    token.generate_agreement("two")
    ids = [info.id for info in token.objects()]
    assert len(ids) == 4
    assert len(set(ids)) == 2
    assert all(len(identifier) == 16 for identifier in ids)


@pytest.mark.parametrize("opener", KINDS)
def test_missing_key_is_not_found(token: Token, opener: str) -> None:
    with pytest.raises(errors.KeyNotFound):
        OPENERS[opener](token, "absent")


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"extractable": True}, "EXTRACTABLE"),
        ({"sensitive": False}, "SENSITIVE"),
        ({"modifiable": True}, "MODIFIABLE"),
        ({"copyable": True}, "COPYABLE"),
        ({"usages": frozenset({"SIGN", "DERIVE"})}, "DERIVE"),
        ({"usages": frozenset({"DERIVE"})}, "SIGN"),
    ],
)
@needs(Capability.IMPORT)
def test_key_that_breaks_its_policy_is_refused_and_the_attribute_named(
    token: Token, change: dict[str, object], attribute: str
) -> None:
    store_p256(token, "loose", ALICE, public_of(ALICE), replace(SIGNING, **change))
    with pytest.raises(errors.KeyPolicyViolation, match=attribute):
        token.signing("loose")


@needs(Capability.ECDSA, Capability.ECDH)
def test_key_of_one_purpose_is_refused_for_the_other(token: Token) -> None:
    token.generate_signing("signing")
    token.generate_agreement("agreement")
    with pytest.raises(errors.KeyPolicyViolation, match="SIGN"):
        token.agreement("signing")
    with pytest.raises(errors.KeyPolicyViolation, match="DERIVE"):
        token.signing("agreement")


@needs(Capability.ECDSA, Capability.MANY_KEYS)
def test_key_of_another_curve_is_refused(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    p_384 = encode_named_curve_parameters("secp384r1")
    with monkeypatch.context() as other:
        other.setattr(token._sessions, "_quirks", replace(token._sessions._quirks, curve=p_384))
        with pytest.raises(errors.KeyPolicyViolation, match="EC_PARAMS"):
            token.generate_signing("other")
        assert token.objects() == []
        other.setattr("hsm.creation.verify_policy", lambda *_: None)
        with pytest.raises(errors.KeyPolicyViolation, match="EC_PARAMS"):
            token.generate_signing("other")
    with pytest.raises(errors.KeyPolicyViolation, match="EC_PARAMS"):
        token.signing("other")


@needs(Capability.IMPORT)
def test_two_private_keys_of_one_label_are_ambiguous(token: Token) -> None:
    for secret in (ALICE, BOB):
        store_p256(token, "twice", secret, public_of(secret))
    with pytest.raises(errors.KeyAmbiguous):
        token.signing("twice")


@needs(Capability.ECDSA)
def test_destroyed_key_is_gone_for_its_holders_too(token: Token) -> None:
    key = token.generate_signing("signing")
    key.sign(b"message", ECDSA)
    assert token.has("signing")
    token.destroy("signing")
    assert not token.has("signing")
    with pytest.raises(errors.KeyNotFound):
        key.sign(b"message", ECDSA)
    with pytest.raises(errors.KeyNotFound):
        token.destroy("signing")


@pytest.mark.parametrize("maker", KINDS[:2])
def test_private_bytes_do_not_come_out(token: Token, maker: str) -> None:
    key = MAKERS[maker](token, "key")
    for extract in (key.private_bytes, key.private_numbers):
        with pytest.raises(errors.KeyNotExtractable):
            extract()
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize("maker", KINDS[:2])
def test_copies_are_the_key_itself_and_its_repr_shows_the_label_alone(token: Token, maker: str) -> None:
    key = MAKERS[maker](token, "my key")
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert repr(key) == f"<{type(key).__name__} 'my key'>"


@pytest.mark.parametrize("label", ["", " a", "a\n", "x" * 129])
@needs(Capability.HMAC)
def test_label_that_nobody_could_read_is_refused(token: Token, label: str) -> None:
    with pytest.raises(errors.LabelInvalid):
        token.generate_mac(label)


def test_random_bytes_have_the_size_asked_for(token: Token) -> None:
    assert len(token.random(1)) == 1
    assert len({token.random(16) for _ in range(20)}) == 20
    with pytest.raises(ValueError, match="at least"):
        token.random(0)


def test_description_comes_from_the_token(token: Token, token_under_test: TokenUnderTest) -> None:
    assert token.manufacturer == (token_under_test.manufacturer or token.manufacturer)
    assert token.model == (token_under_test.model or token.model)
    assert token.serial == token.serial.strip()
    assert token.label in repr(token)
