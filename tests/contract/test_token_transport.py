"""One new key put into two tokens: the same in both, under its policy, and let out by neither."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm import KeyPolicy, Token, Wrapped, errors
from hsm.policy import AGREEMENT, MAC, SIGNING
from tests.contract.token_backends import Capability, needs
from tests.contract.token_known_keys import BOB, public_of

pytestmark = needs(Capability.MANY_TOKENS)
ECDSA = ec.ECDSA(SHA256())
TRANSPORT = "transport"
Pair = tuple[Token, Token]
EC_KEY, SHORT_RSA_KEY = (
    key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for key in (public_of(BOB), rsa.RSAPublicNumbers(65537, (1 << 2047) + 1).public_key())
)


@pytest.fixture
def pair(make_token: Callable[..., Token]) -> Pair:
    """Give two tokens, each with a transport key."""
    tokens = make_token("one"), make_token("other")
    for token in tokens:
        token.make_transport(TRANSPORT)
    return tokens


def given(pair: Pair, policy: KeyPolicy) -> None:
    """Put one new key into both."""
    wrapped = pair[0].wrap_new(policy, [token.transport(TRANSPORT) for token in pair])
    for token, sent in zip(pair, wrapped, strict=True):
        token.unwrap("new", policy, TRANSPORT, sent)


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(SIGNING, marks=needs(Capability.UNWRAP)),
        pytest.param(AGREEMENT, marks=needs(Capability.UNWRAP)),
        pytest.param(MAC, marks=needs(Capability.HMAC)),
    ],
    ids=lambda policy: policy.purpose,
)
def test_new_key_is_the_same_in_both_tokens_and_neither_lets_it_out(pair: Pair, policy: KeyPolicy) -> None:
    given(pair, policy)
    for token in pair:
        token.destroy(TRANSPORT)
        assert {info.label for info in token.objects()} == {"new"}
        assert all(info.violations(policy) == [] for info in token.objects())
        assert not any(info.extractable for info in token.objects() if info.is_secret)
    one, other = pair
    if policy is SIGNING:
        other.signing("new").public_key().verify(one.signing("new").sign(b"message", ECDSA), b"message", ECDSA)
    elif policy is AGREEMENT:
        values = {token.agreement("new").prf(public_of(BOB), b"info", b"message") for token in pair}
        assert len(values) == 1
    else:
        assert one.mac("new").mac(b"message") == other.mac("new").mac(b"message")


@needs(Capability.UNWRAP)
def test_token_opens_nothing_that_was_wrapped_for_another(pair: Pair) -> None:
    wrapped = pair[0].wrap_new(SIGNING, [token.transport(TRANSPORT) for token in pair])
    with pytest.raises(errors.TokenFailed):
        pair[0].unwrap("new", SIGNING, TRANSPORT, wrapped[1])
    assert {info.label for info in pair[0].objects()} == {TRANSPORT}


@needs(Capability.UNWRAP)
def test_key_of_another_public_half_is_found_out_and_not_kept(pair: Pair) -> None:
    transports = [token.transport(TRANSPORT) for token in pair]
    one, other = (pair[0].wrap_new(SIGNING, transports)[0] for _ in range(2))
    with pytest.raises(errors.KeyInvalid):
        pair[0].unwrap("new", SIGNING, TRANSPORT, Wrapped(one.carriers, one.content, other.public))
    assert {info.label for info in pair[0].objects()} == {TRANSPORT}


@needs(Capability.UNWRAP)
@pytest.mark.parametrize("transport", [b"", b"0" * 422, EC_KEY, SHORT_RSA_KEY], ids=["none", "no-der", "ec", "short"])
def test_transport_key_that_is_none_is_refused_and_nothing_is_left(pair: Pair, transport: bytes) -> None:
    with pytest.raises(errors.KeyInvalid):
        pair[0].wrap_new(SIGNING, [transport])
    assert {info.label for info in pair[0].objects()} == {TRANSPORT}
