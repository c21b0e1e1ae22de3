"""Vendors' quirks: what a token is told is in its form, what it says is read in every form."""

import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType

from hsm.errors import KeyInvalid
from hsm.policy import AGREEMENT, MAC, SIGNING, KeyPolicy
from hsm.quirks import P256_NAME, P256_NAMES, P256_OID, STANDARD, Quirks, point_of, public_key_of, quirks_of
from hsm.raw import MAPPER

PUBLIC = ec.derive_private_key(1, ec.SECP256R1()).public_key()
POINT = point_of(PUBLIC)
WRAPPED = b"\x04\x41" + POINT
OPENSC, YUBIHSM, TPM = (quirks_of(words) for words in ("OpenSC", "YubiHSM", "TPM2.0 Cryptoki"))


@pytest.mark.parametrize(
    ("manufacturer", "model"), [("SoftHSM project", "SoftHSM v2"), ("SafeNet", "Luna K7"), ("", "")]
)
def test_token_without_a_row_is_taken_to_keep_to_the_standard(manufacturer: str, model: str) -> None:
    assert quirks_of(manufacturer, model) is STANDARD


def test_row_is_chosen_by_the_tokens_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Quirks(wraps_points=False)
    monkeypatch.setattr("hsm.quirks._BY_WORDS", (("Acme", raw),))
    assert quirks_of("ACME Corp.", "v1") is raw
    assert quirks_of("Other", "Acme v1") is raw
    assert quirks_of("Other", "v1") is STANDARD


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (("www.CardContact.de", "PKCS#15 emulated", "OpenSC smartcard framework"), OPENSC),
        (("Yubico (www.yubico.com)", "YubiHSM", "YubiHSM PKCS#11 Library"), YUBIHSM),
        (("STMicro", "", "TPM2.0 Cryptoki"), TPM),
        (("Yubico (www.yubico.com)", "YubiKey YK5", "PKCS#11 PIV Library (SP-800-73)"), STANDARD),
    ],
)
def test_module_is_known_by_its_own_words(words: tuple[str, ...], row: Quirks) -> None:
    assert quirks_of(*words) == row


def said_of(policy: KeyPolicy, quirks: Quirks, *raised: Attribute) -> list[str]:
    """Name what breaks the policy in what a token with these quirks says of its key, these flags being raised."""
    return policy.violations(quirks.as_standard({**attributes_of(policy, quirks), **dict.fromkeys(raised, True)}))


def test_flags_that_a_module_raises_of_every_such_key_are_not_believed_of_it_and_of_no_other() -> None:
    both = Attribute.MODIFIABLE, Attribute.SIGN_RECOVER
    assert said_of(SIGNING, OPENSC, *both) == []
    assert said_of(SIGNING, STANDARD, *both) == ["MODIFIABLE", "SIGN_RECOVER"]
    assert said_of(AGREEMENT, OPENSC, *both) == ["SIGN_RECOVER"]
    assert said_of(SIGNING, OPENSC, Attribute.EXTRACTABLE, Attribute.DERIVE) == ["EXTRACTABLE", "DERIVE"]


def test_tpm_agrees_by_decrypt_and_a_key_of_both_its_uses_breaks_every_policy() -> None:
    assert AGREEMENT.secret_template(TPM)[Attribute.DECRYPT] is True
    assert SIGNING.secret_template(TPM)[Attribute.DECRYPT] is False
    assert said_of(AGREEMENT, TPM, Attribute.VERIFY) == []
    assert said_of(SIGNING, TPM, Attribute.ENCRYPT) == []
    assert said_of(SIGNING, TPM, Attribute.ENCRYPT, Attribute.DECRYPT) == ["DECRYPT"]
    assert said_of(AGREEMENT, TPM, Attribute.SIGN, Attribute.ENCRYPT) == ["SIGN"]


def test_public_half_names_its_uses_unless_the_token_takes_none() -> None:
    assert SIGNING.public_template(STANDARD)[Attribute.VERIFY] is True
    assert Attribute.VERIFY not in SIGNING.public_template(TPM)


def test_hmac_key_of_a_type_of_its_own_is_read_as_a_secret() -> None:
    said = {**attributes_of(MAC, YUBIHSM), Attribute.KEY_TYPE: KeyType.SHA256_HMAC, Attribute.VALUE_LEN: 32}
    assert MAC.violations(YUBIHSM.as_standard(said)) == []
    assert "KEY_TYPE" in MAC.violations(STANDARD.as_standard(said))


def test_curve_is_told_by_its_oid() -> None:
    assert bytes.fromhex("06082a8648ce3d030107") == P256_OID == STANDARD.curve  # RFC 5480, section 2.1.1.1


def test_key_type_of_an_unknown_vendor_is_read_as_a_number() -> None:
    assert MAPPER.unpack_attributes(Attribute.KEY_TYPE, struct.pack("L", 0x80001234)) == 0x80001234


def attributes_of(policy: KeyPolicy, quirks: Quirks = STANDARD) -> dict[int, object]:
    return {
        Attribute.CLASS: policy.kind.object_class,
        Attribute.KEY_TYPE: policy.kind.key_type,
        Attribute.EC_PARAMS: P256_OID,
        **policy.secret_template(quirks),
    }


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT])
@pytest.mark.parametrize("parameters", [P256_OID, P256_NAME])
def test_curve_is_known_by_oid_and_by_name(policy: KeyPolicy, parameters: bytes) -> None:
    assert policy.violations({**attributes_of(policy), Attribute.EC_PARAMS: parameters}) == []
    assert {P256_OID, P256_NAME} == P256_NAMES


@pytest.mark.parametrize("parameters", [None, b"", bytes.fromhex("06052b81040022")])  # the last is P-384
def test_key_of_another_curve_breaks_the_policy(parameters: bytes | None) -> None:
    assert SIGNING.violations({**attributes_of(SIGNING), Attribute.EC_PARAMS: parameters}) == ["EC_PARAMS"]


def test_key_of_another_type_breaks_the_policy() -> None:
    other = {**attributes_of(SIGNING), Attribute.KEY_TYPE: KeyType.EC_EDWARDS}
    assert SIGNING.violations(other) == ["KEY_TYPE"]


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT, MAC])
def test_token_that_does_not_know_copyable_is_not_asked_for_it(policy: KeyPolicy) -> None:
    old = replace(STANDARD, has_copyable=False)
    assert Attribute.COPYABLE not in policy.secret_template(old)
    assert "COPYABLE" not in policy.violations(attributes_of(policy, old))


@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT, MAC])
def test_what_fixes_a_key_comes_last(policy: KeyPolicy) -> None:
    """SoftHSM sets the attributes of an unwrapped key in turn, and none after it was told that the key is fixed."""
    assert list(policy.secret_template(STANDARD))[-1] is Attribute.MODIFIABLE


def test_points_are_written_as_the_token_wants_and_read_in_both_forms() -> None:
    assert STANDARD.point_attribute(POINT) == WRAPPED
    assert Quirks(wraps_points=False).point_attribute(POINT) == POINT
    assert public_key_of(POINT) == public_key_of(WRAPPED) == PUBLIC


@pytest.mark.parametrize(
    "attribute",
    [
        b"",
        POINT[:-1],
        POINT + b"\0",
        b"\x04\x42" + POINT,
        b"\x04\x41" + POINT[1:],
        b"\x03\x42\x00" + POINT,
        WRAPPED + b"\0",
        b"\x02" + POINT[1:33],
        b"\x06" + POINT[1:],
        bytes(65),
        POINT[:-1] + bytes([POINT[-1] ^ 1]),
    ],
)
def test_point_of_another_form_or_off_the_curve_is_refused(attribute: bytes) -> None:
    with pytest.raises(KeyInvalid):
        public_key_of(attribute)


def test_peer_is_raw_unless_the_token_wants_it_wrapped() -> None:
    assert STANDARD.peer_value(POINT) == POINT
    assert Quirks(wraps_peers=True).peer_value(POINT) == WRAPPED
