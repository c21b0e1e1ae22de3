"""Keys made elsewhere come into a token: in plaintext or wrapped, under their policy, whole or not at all."""

import hmac
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pkcs11 import TemplateInconsistent

from hsm import KeyKind, KeyPolicy, Token, errors
from hsm.agreement import software_prf
from hsm.cryptoki import Cryptoki
from hsm.nonces import ORDER
from hsm.policy import AGREEMENT, MAC, SIGNING
from hsm.selftest import Ability
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_known_keys import ALICE, BOB, SHARED, public_of

ECDSA = ec.ECDSA(SHA256())
HIDDEN = replace(AGREEMENT, purpose="hidden", has_public_half=False)
INFO, MESSAGE = b"medunion/v1", b"a message"


@pytest.fixture
def takes_no_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have C_CreateObject refused, as an HSM in FIPS mode refuses a secret."""

    def refuse(*_args: object) -> int:
        raise TemplateInconsistent

    monkeypatch.setattr(Cryptoki, "create_object", refuse)


@pytest.fixture
def takes_no_wrapped_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have C_UnwrapKey refused."""

    def refuse(*_args: object) -> None:
        raise TemplateInconsistent

    monkeypatch.setattr("hsm.creation.open_wrapped", refuse)


@needs(Capability.ECDH, Capability.IMPORT, Capability.HIDDEN)
def test_key_without_a_public_half_agrees_and_shows_none(token: Token) -> None:
    token.import_key("hidden", HIDDEN, bytearray(ALICE))
    (only,) = token.objects()
    assert only.object_class == "PRIVATE_KEY"
    assert only.violations(HIDDEN) == []
    key = token.agreement("hidden", HIDDEN)
    assert key.prf(public_of(BOB), INFO, MESSAGE) == software_prf(SHARED, INFO, MESSAGE)
    with pytest.raises(errors.KeyNotExtractable):
        key.public_key()


@needs(Capability.ECDH, Capability.IMPORT)
def test_public_object_beside_a_key_that_may_show_none_breaks_its_policy(token: Token) -> None:
    token.import_key("shown", AGREEMENT, bytearray(ALICE))
    broken = {info.object_class: info.violations(HIDDEN) for info in token.objects()}
    assert broken == {"PRIVATE_KEY": [], "PUBLIC_KEY": ["CLASS"]}


@pytest.mark.parametrize(
    "value",
    [bytes(31), bytes(33), b"", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32],
    ids=["short", "long", "empty", "zero", "order", "above"],
)
@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT])
@needs(Capability.ECDH, Capability.IMPORT)
def test_what_is_no_scalar_is_refused_and_leaves_nothing(token: Token, policy: KeyPolicy, value: bytes) -> None:
    with pytest.raises(errors.KeyInvalid) as caught:
        token.import_key("imported", policy, bytearray(value))
    assert caught.value.__cause__ is None
    assert token.objects() == []


@pytest.mark.parametrize("scalar", [1, 2, ORDER - 1])
@needs(Capability.ECDH, Capability.IMPORT)
def test_scalars_at_the_ends_are_imported(token: Token, scalar: int) -> None:
    for policy in (SIGNING, AGREEMENT):
        token.import_key(policy.purpose, policy, bytearray(scalar.to_bytes(32, "big")))
    expected = ec.derive_private_key(scalar, ec.SECP256R1())
    assert token.signing("signing").public_key() == expected.public_key()
    x = expected.exchange(ec.ECDH(), public_of(BOB))
    assert token.agreement("agreement").prf(public_of(BOB), INFO, MESSAGE) == software_prf(x, INFO, MESSAGE)


@pytest.mark.parametrize("size", [0, 31, 33])
@needs(Capability.HMAC_IMPORT)
def test_hmac_key_of_another_size_is_refused(token: Token, size: int) -> None:
    with pytest.raises(errors.KeyInvalid):
        token.import_key("imported", MAC, bytearray(size))
    assert token.objects() == []


@needs(Capability.ECDH, Capability.IMPORT)
def test_import_leaves_the_secret_to_the_caller_to_wipe(token: Token) -> None:
    secret = bytearray(ALICE)
    token.import_key("imported", AGREEMENT, secret)
    assert secret == ALICE
    secret[:] = bytes(32)
    assert token.agreement("imported").prf(public_of(BOB), INFO, MESSAGE) == software_prf(SHARED, INFO, MESSAGE)


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT, HIDDEN])
@needs(Capability.ECDH, Capability.IMPORT)
def test_token_that_takes_the_secret_for_another_key_is_found_out(
    token: Token, policy: KeyPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens differ in what they take a value to be: so it is tried before it is believed."""
    monkeypatch.setattr("hsm.creation.public_half", lambda _value: public_of(BOB))
    with pytest.raises(errors.KeyInvalid):
        token.import_key("imported", policy, bytearray(ALICE))
    assert token.objects() == []


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT, HIDDEN], ids=lambda policy: policy.purpose)
@needs(Capability.ECDH, Capability.IMPORT, Capability.UNWRAP)
@pytest.mark.usefixtures("takes_no_plaintext")
def test_token_that_takes_no_plaintext_is_given_the_key_wrapped(token: Token, policy: KeyPolicy) -> None:
    token.import_key("imported", policy, bytearray(ALICE))
    assert all(info.violations(policy) == [] for info in token.objects())
    (secret,) = (info for info in token.objects() if info.is_secret)
    assert (secret.sensitive, secret.extractable, secret.modifiable, secret.local) == (True, False, False, False)
    if policy is SIGNING:
        public_of(ALICE).verify(token.signing("imported").sign(b"message", ECDSA), b"message", ECDSA)
    else:
        value = token.agreement("imported", policy).prf(public_of(BOB), INFO, MESSAGE)
        assert value == software_prf(SHARED, INFO, MESSAGE)


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT, HIDDEN, MAC], ids=lambda policy: policy.purpose)
@needs(Capability.ECDH, Capability.IMPORT, Capability.HMAC_IMPORT)
@pytest.mark.usefixtures("takes_no_plaintext")
def test_wrapped_key_keeps_its_policy_or_is_not_kept(
    token: Token, policy: KeyPolicy, token_under_test: TokenUnderTest
) -> None:
    """SoftHSM does not know the size of an HMAC key that came wrapped.

    NSS takes no private key without its public half, and lets one that it takes both sign and derive.
    """
    if (Capability.UNWRAP if policy.kind is KeyKind.P256 else Capability.UNWRAP_HMAC) in token_under_test.can:
        token.import_key("imported", policy, bytearray(ALICE))
        assert {info.label for info in token.objects()} == {"imported"}
    else:
        with pytest.raises((errors.KeyPolicyViolation, errors.ImportRefused)):
            token.import_key("imported", policy, bytearray(ALICE))
        assert token.objects() == []


@needs(Capability.UNWRAP_HMAC)
@pytest.mark.usefixtures("takes_no_plaintext")
def test_hmac_key_that_came_wrapped_is_the_one_that_was_sent(token: Token) -> None:
    token.import_key("imported", MAC, bytearray(ALICE))
    assert token.mac("imported").mac(b"message") == hmac.digest(ALICE, b"message", "sha256")


@needs(Capability.ECDH, Capability.UNWRAP)
@pytest.mark.usefixtures("takes_no_plaintext")
def test_trial_says_that_keys_come_in_wrapped(token: Token) -> None:
    (trial,) = (trial for trial in token.trials() if trial.ability is Ability.IMPORT_P256)
    assert (trial.works, trial.detail) == (True, "C_UnwrapKey")
    assert token.objects() == []


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT, HIDDEN, MAC], ids=lambda policy: policy.purpose)
@needs(Capability.ECDH, Capability.IMPORT)
@pytest.mark.usefixtures("takes_no_plaintext", "takes_no_wrapped_key")
def test_token_that_takes_a_key_in_no_form_refuses_the_import_by_name(token: Token, policy: KeyPolicy) -> None:
    with pytest.raises(errors.ImportRefused, match="ceremony") as caught:
        token.import_key("imported", policy, bytearray(ALICE))
    assert caught.value.reason == "IMPORT_REFUSED"
    assert not caught.value.retryable
    assert token.objects() == []


@needs(Capability.ECDH)
@pytest.mark.usefixtures("takes_no_plaintext", "takes_no_wrapped_key")
def test_trial_of_a_token_that_takes_no_key_says_so(token: Token) -> None:
    (trial,) = (trial for trial in token.trials() if trial.ability is Ability.IMPORT_P256)
    assert "ceremony" in trial.fault


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT])
@needs(Capability.ECDH, Capability.IMPORT)
def test_secret_shows_in_no_error_and_no_repr(token: Token, policy: KeyPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsm.creation.public_half", lambda _value: public_of(BOB))
    with pytest.raises(errors.KeyInvalid) as caught:
        token.import_key("imported", policy, bytearray(ALICE))
    monkeypatch.undo()
    token.import_key("imported", policy, bytearray(ALICE))
    error: BaseException | None = caught.value
    shown = [repr(token.objects()), repr(token)]
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    for form in (ALICE.hex(), str(int.from_bytes(ALICE, "big")), repr(ALICE)[2:-1]):
        assert not [text for text in shown if form in text]
