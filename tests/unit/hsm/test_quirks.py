"""Vendors' quirks: the mapping is right for each, and python-pkcs11 bears values it does not know."""

import struct

import pytest
from pkcs11 import Attribute, KeyType, Mechanism, exceptions

from hsm.errors import KeyInvalid
from hsm.policy import AGREEMENT, SIGNING, KeyKind, KeyPolicy
from hsm.quirks import KRYOPTIC, NSS, SOFTHSM, STANDARD, YKCS11, Quirks, point_of, quirks_of
from hsm.raw import MAPPER, packed

POINT = bytes(range(32))


@pytest.mark.parametrize(
    ("manufacturer", "model", "quirks"),
    [
        ("SoftHSM project", "SoftHSM v2", SOFTHSM),
        ("Yubico (www.yubico.com)", "YubiKey YK5", YKCS11),
        ("Kryoptic Project", "v1", KRYOPTIC),
        ("Mozilla Foundation", "NSS 3", NSS),
        ("SafeNet", "Luna K7", STANDARD),
        ("", "", STANDARD),
    ],
)
def test_quirks_follow_from_the_tokens_own_words(manufacturer: str, model: str, quirks: Quirks) -> None:
    assert quirks_of(manufacturer, model) is quirks


@pytest.mark.parametrize(
    ("quirks", "key_type", "generation"), [(SOFTHSM, 0x40, 0x1055), (STANDARD, 0x41, 0x1056), (YKCS11, 0x41, 0x1056)]
)
def test_x25519_is_edwards_on_softhsm_and_montgomery_elsewhere(quirks: Quirks, key_type: int, generation: int) -> None:
    assert int(KeyKind.X25519.key_type(quirks)) == key_type
    assert int(KeyKind.X25519.generation(quirks)) == generation
    assert packed(Attribute.KEY_TYPE, KeyKind.X25519.key_type(quirks)) == struct.pack("L", key_type)


def test_montgomery_values_are_members_for_python_pkcs11() -> None:
    assert isinstance(KeyType(0x41), KeyType)
    assert isinstance(Mechanism(0x1056), Mechanism)
    assert KeyType(0x41).name == "EC_MONTGOMERY"


def test_key_type_of_an_unknown_vendor_is_read_as_a_number() -> None:
    assert MAPPER.unpack_attributes(Attribute.KEY_TYPE, struct.pack("L", 0x80001234)) == 0x80001234


def attributes_of(policy: KeyPolicy, quirks: Quirks, parameters: bytes) -> dict[Attribute, object]:
    return {
        Attribute.CLASS: policy.kind.object_class,
        Attribute.KEY_TYPE: policy.kind.key_type(quirks),
        Attribute.EC_PARAMS: parameters,
        **policy.secret_template(quirks),
    }


@pytest.mark.parametrize("quirks", [SOFTHSM, STANDARD, YKCS11, KRYOPTIC, NSS])
@pytest.mark.parametrize("policy", [SIGNING, AGREEMENT])
def test_curve_is_known_by_oid_and_by_name(policy: KeyPolicy, quirks: Quirks) -> None:
    curve = policy.kind.curve(quirks)
    assert curve is not None
    assert len(curve.names) == 2
    assert curve.parameters in curve.names
    for parameters in curve.names:
        assert policy.violations(attributes_of(policy, quirks, parameters), quirks) == []


@pytest.mark.parametrize(("here", "there"), [(SOFTHSM, STANDARD), (STANDARD, SOFTHSM)])
def test_key_of_the_other_vendors_type_breaks_the_policy(here: Quirks, there: Quirks) -> None:
    (oid, *_) = here.x25519.names
    assert AGREEMENT.violations(attributes_of(AGREEMENT, there, oid), here) == ["KEY_TYPE"]


def test_token_that_does_not_know_copyable_is_not_asked_for_it() -> None:
    old = Quirks(has_copyable=False)
    template = SIGNING.secret_template(old)
    assert Attribute.COPYABLE not in template
    attributes = attributes_of(SIGNING, old, old.ed25519.parameters)
    assert SIGNING.violations(attributes, old) == []


def test_points_are_written_as_the_token_wants_and_read_in_both_forms() -> None:
    assert SOFTHSM.point_attribute(POINT) == b"\x04\x20" + POINT
    assert KRYOPTIC.point_attribute(POINT) == POINT
    assert point_of(POINT) == point_of(b"\x04\x20" + POINT) == POINT
    assert point_of(b"\x04\x20" + POINT[2:]) == b"\x04\x20" + POINT[2:]


@pytest.mark.parametrize("attribute", [b"", POINT[:31], POINT + b"\0", b"\x04\x21" + POINT, b"\x04\x20" + POINT[1:]])
def test_point_of_another_form_is_refused(attribute: bytes) -> None:
    if len(attribute) != 32:
        with pytest.raises(KeyInvalid):
            point_of(attribute)


def test_peer_is_raw_unless_the_token_wants_it_wrapped() -> None:
    assert STANDARD.peer_value(POINT) == POINT
    assert Quirks(wraps_peers=True).peer_value(POINT) == b"\x04\x20" + POINT


def test_general_error_means_a_wrong_tag_on_softhsm_alone() -> None:
    assert exceptions.GeneralError in SOFTHSM.tag_failures
    assert all(exceptions.GeneralError not in quirks.tag_failures for quirks in (STANDARD, YKCS11, KRYOPTIC))
