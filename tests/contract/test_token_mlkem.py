"""ML-KEM-768 keys in a token that has them, and the keys of epochs whose halves are in it or not."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pkcs11 import Attribute, AttributeSensitive, MLKEMParameterSet, ObjectClass

from hsm import KeyPolicy, Provenance, Token, errors, mlkem
from hsm.policy import ML_KEM
from hsm.raw import RawKey
from hsm.sessions import Session
from keystore.encryption import seal
from keystore.errors import SealBroken
from keystore.party import PartyKeys, _mlkem_label
from keystore.policies import MLKEM_PREFIX, PERSON_POLICIES, POLICIES, policy_of
from tests.contract.token_backends import Capability, TokenUnderTest, needs

pytestmark = needs(Capability.ML_KEM)

ML_KEM_1024 = int(MLKEMParameterSet.ML_KEM_1024)
decapsulate = mlkem.decapsulate


def software_key() -> MLKEM768PrivateKey:
    return MLKEM768PrivateKey.generate()


def test_token_decapsulates_what_software_encapsulates(token: Token) -> None:
    key = token.generate_mlkem("kem")
    assert isinstance(key, MLKEM768PrivateKey)
    secret, ciphertext = key.public_key().encapsulate()
    assert key.decapsulate(ciphertext) == secret
    again = token.mlkem("kem")
    assert again.public_key() == key.public_key()
    assert again.decapsulate(ciphertext) == secret


def test_ciphertext_of_a_stranger_gives_another_secret_each_time_the_same(token: Token) -> None:
    """FIPS 203's implicit rejection: nothing tells here that it was not for this key."""
    key = token.generate_mlkem("kem")
    secret, ciphertext = software_key().public_key().encapsulate()
    given = key.decapsulate(ciphertext)
    assert given != secret
    assert len(given) == 32
    assert key.decapsulate(ciphertext) == given


@pytest.mark.parametrize("size", [0, 1, 768, 1087, 1089, 1568])
def test_ciphertext_of_another_size_is_refused_before_the_token_is_asked(token: Token, size: int) -> None:
    key = token.generate_mlkem("kem")
    before = token.metrics().operations
    with pytest.raises(errors.CiphertextInvalid, match="1088") as caught:
        key.decapsulate(bytes(size))
    assert isinstance(caught.value, ValueError)
    assert token.metrics().operations == before


def test_private_half_keeps_its_policy_and_shows_neither_value_nor_seed(token: Token) -> None:
    key = token.generate_mlkem("kem")
    private, public = sorted(token.objects(), key=lambda info: info.object_class)
    assert (private.object_class, private.key_type) == ("PRIVATE_KEY", "ML_KEM")
    assert private.violations(ML_KEM) == public.violations(ML_KEM) == []
    assert (private.usages, public.usages) == ({"DECAPSULATE"}, frozenset())
    assert (private.sensitive, private.extractable, private.modifiable) == (True, False, False)

    def look(session: Session) -> None:
        for attribute in (Attribute.VALUE, Attribute.SEED):
            with pytest.raises(AttributeSensitive):
                session.key("kem", ML_KEM)[attribute]

    token._sessions.run(look, doing="look")
    for take_out in (
        key.private_bytes_raw,
        lambda: key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()),
    ):
        with pytest.raises(errors.KeyNotExtractable):
            take_out()
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert repr(key) == "<TokenMlKemKey 'kem'>"


def test_decapsulated_secrets_do_not_stay_in_the_token(token: Token) -> None:
    key = token.generate_mlkem("kem")
    _, ciphertext = key.public_key().encapsulate()
    for _ in range(20):
        key.decapsulate(ciphertext)
    assert len(token.objects()) == 2
    assert token.metrics().operations["ML_KEM"].count == 20


def test_key_is_not_made_twice_and_none_is_imported(token: Token) -> None:
    token.generate_mlkem("kem")
    with pytest.raises(errors.KeyExists):
        token.generate_mlkem("kem")
    with pytest.raises(errors.KeyPolicyViolation, match="none from elsewhere"):
        token.import_key("other", ML_KEM, bytearray(range(32)))
    assert {info.label for info in token.objects()} == {"kem"}


def test_key_of_another_parameter_set_is_refused_by_name(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a token makes instead of the set that was asked for, and what it is found to hold."""
    monkeypatch.setattr("hsm.generation.ML_KEM_768", ML_KEM_1024)
    with pytest.raises(errors.KeyPolicyViolation, match="PARAMETER_SET"):
        token.generate_mlkem("kem")
    assert token.objects() == []
    monkeypatch.setattr("hsm.creation.verify_policy", lambda *_: None)
    with pytest.raises(errors.KeyPolicyViolation, match="PARAMETER_SET"):
        token.generate_mlkem("kem")
    with pytest.raises(errors.KeyPolicyViolation, match="PARAMETER_SET"):
        token.mlkem("kem")
    assert {"PARAMETER_SET"} == {wrong for info in token.objects() for wrong in info.violations(ML_KEM)}


def with_public_half(monkeypatch: pytest.MonkeyPatch, value: bytes) -> None:
    """Have a token say that this is the public half of each key."""
    one = Session.one

    def other(session: Session, object_class: ObjectClass, label: str) -> object:
        return {Attribute.VALUE: value} if object_class is ObjectClass.PUBLIC_KEY else one(session, object_class, label)

    monkeypatch.setattr(Session, "one", other)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        software_key().public_key().public_bytes_raw()[:-1],
        MLKEM1024PrivateKey.generate().public_key().public_bytes_raw(),
        b"\xff" * 1184,
    ],
    ids=["empty", "short", "ML-KEM-1024", "no coefficients"],
)
def test_public_half_that_is_none_of_ml_kem_768_is_refused(
    token: Token, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    token.generate_mlkem("kem")
    with_public_half(monkeypatch, value)
    with pytest.raises(errors.KeyInvalid, match="none of ML-KEM-768"):
        token.mlkem("kem")


def test_public_half_of_another_key_is_refused(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    token.generate_mlkem("kem")
    with_public_half(monkeypatch, software_key().public_key().public_bytes_raw())
    with pytest.raises(errors.KeyInvalid, match="another ML-KEM key"):
        token.mlkem("kem")


class Decapsulating:
    """A key whose token gives these bytes as the secret, and notes that the object is destroyed."""

    def __init__(self, secret: bytes) -> None:
        self.secret, self.destroyed = secret, False

    def decapsulate_key(self, *_args: object, **_options: object) -> Any:
        return self

    def __getitem__(self, _attribute: Attribute) -> bytes:
        return self.secret

    def destroy(self) -> None:
        self.destroyed = True


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_secret_of_another_size_is_withheld(size: int) -> None:
    key = Decapsulating(bytes(size))
    with pytest.raises(errors.TokenFailed, match="32 bytes"):
        decapsulate(cast("RawKey", key), bytes(1088))
    assert key.destroyed


def test_trial_is_made_once_and_leaves_nothing(token: Token) -> None:
    assert [token.has_mlkem for _ in range(3)] == [True] * 3
    assert token.metrics().operations["TRIAL"].count == 1
    assert token.objects() == []


@pytest.mark.parametrize("fault", ["another secret", "of another size", "another parameter set", "no such mechanism"])
def test_token_that_does_something_else_is_taken_to_have_none(
    token: Token, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_args: object, **_options: object) -> NoReturn:
        raise errors.MechanismMissing

    if fault == "another parameter set":
        monkeypatch.setattr("hsm.generation.ML_KEM_768", ML_KEM_1024)
    elif fault == "no such mechanism":
        monkeypatch.setattr(mlkem, "generate_mlkem_pair", missing)
    else:
        secret = bytes(32) if fault == "another secret" else bytes(31)
        monkeypatch.setattr(mlkem, "decapsulate", lambda *_: decapsulate(cast("RawKey", Decapsulating(secret)), b""))
    assert not token.has_mlkem
    assert token.objects() == []


# Whether a token says of a key that it made it is another question (PROVENANCE), which the policies of parties ask.
def _importable(policies: dict[str, KeyPolicy]) -> dict[str, KeyPolicy]:
    return {name: replace(policy, provenance=Provenance.IMPORTABLE) for name, policy in policies.items()}


class Party(PartyKeys):
    """A person whose token need not say which keys it made."""

    policies = _importable(dict(PERSON_POLICIES))


IN_THE_TOKEN = [(True, True), (True, False), (False, True), (False, False)]
KEPT_BYTES = {(True, True): 0, (True, False): 32, (False, True): 64, (False, False): 96}
each_half = pytest.mark.parametrize(("has_mlkem", "gives_x"), IN_THE_TOKEN)


@pytest.fixture
def party(token: Token) -> PartyKeys:
    return Party.create(token)


@pytest.fixture
def limited(party: PartyKeys, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], PartyKeys]:
    def limit(has_mlkem: bool, gives_x: bool) -> PartyKeys:
        monkeypatch.setattr(Token, "has_mlkem", has_mlkem)
        monkeypatch.setattr(Token, "gives_x", gives_x)
        return party

    return limit


@needs(Capability.ECDSA, Capability.ECDH, Capability.READABLE)
@each_half
def test_each_half_of_an_epochs_key_is_in_the_token_where_it_can_be_and_opens(
    limited: Callable[[bool, bool], PartyKeys], has_mlkem: bool, gives_x: bool
) -> None:
    keys = limited(has_mlkem, gives_x)
    epoch = keys.new_epoch()
    label = epoch.token_label
    assert (keys.token.has(_mlkem_label(label)), keys.token.has(label)) == (has_mlkem, gives_x)
    kept = keys._kept(label, epoch.sealed_seed)
    assert sum(map(len, kept)) == KEPT_BYTES[has_mlkem, gives_x]
    assert keys.holds_epoch(label, epoch.sealed_seed)
    sealed = seal(epoch.key.encryption_key, b"first flight", b"info")
    again = keys.open_epoch(label, epoch.sealed_seed)
    assert again.key_id == epoch.key.key_id
    assert again.open(sealed, b"info") == epoch.key.open(sealed, b"info") == b"first flight"


@needs(Capability.ECDSA, Capability.ECDH, Capability.READABLE)
@each_half
def test_ended_epoch_leaves_nothing_in_the_token(
    limited: Callable[[bool, bool], PartyKeys], has_mlkem: bool, gives_x: bool
) -> None:
    keys = limited(has_mlkem, gives_x)
    before = {info.label for info in keys.token.objects()}
    epoch = keys.new_epoch()
    keys.end_epoch(epoch.token_label)
    keys.end_epoch(epoch.token_label)
    assert {info.label for info in keys.token.objects()} == before
    if has_mlkem or gives_x:
        assert not keys.holds_epoch(epoch.token_label, epoch.sealed_seed)
        with pytest.raises(errors.KeyNotFound):
            keys.open_epoch(epoch.token_label, epoch.sealed_seed)


@needs(Capability.ECDSA, Capability.ECDH, Capability.READABLE)
@pytest.mark.parametrize("position", [0, 1087, 1088, 1153])
def test_seal_that_was_tampered_with_does_not_open_with_both_halves_in_the_token(
    party: PartyKeys, position: int
) -> None:
    key = party.new_epoch().key
    sealed = bytearray(seal(key.encryption_key, b"first flight", b"info"))
    sealed[position] ^= 1
    with pytest.raises(SealBroken):
        key.open(bytes(sealed), b"info")
    for size in (0, 1087, 1088, 1152):
        with pytest.raises(SealBroken):
            key.open(bytes(sealed)[:size], b"info")


@needs(Capability.ECDSA, Capability.ECDH, Capability.READABLE)
def test_halves_in_the_token_have_their_policies(party: PartyKeys, token_under_test: TokenUnderTest) -> None:
    epoch = party.new_epoch()
    labels = {epoch.token_label, _mlkem_label(epoch.token_label)}
    halves = [info for info in party.token.objects() if info.label in labels]
    assert len(halves) == 4
    for info in halves:
        policy = policy_of(info.label)
        assert policy is not None
        assert policy is POLICIES[MLKEM_PREFIX if info.label.startswith("mlkem-") else "kem-"]
        wrong = set(info.violations(policy))
        assert wrong <= (set() if Capability.PROVENANCE in token_under_test.can else {"LOCAL"})
