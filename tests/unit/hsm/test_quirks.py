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


@pytest.mark.parametrize(
    ("manufacturer", "model"), [("SoftHSM project", "SoftHSM v2"), ("SafeNet", "Luna K7"), ("", "")]
)
def test_token_without_a_row_is_taken_to_keep_to_the_standard(manufacturer: str, model: str) -> None:
    assert quirks_of(manufacturer, model) is STANDARD


def test_row_is_chosen_by_the_tokens_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Quirks(wraps_points=False)
    monkeypatch.setattr("hsm.quirks._BY_MANUFACTURER", (("Acme", raw),))
    assert quirks_of("ACME Corp.", "v1") is raw
    assert quirks_of("Other", "Acme v1") is raw
    assert quirks_of("Other", "v1") is STANDARD


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
