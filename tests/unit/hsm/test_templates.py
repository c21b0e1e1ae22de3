"""Templates: nothing that would crash python-pkcs11 passes."""

import pytest
from pkcs11 import Attribute, KeyType

from hsm.raw import template


def test_parts_are_merged() -> None:
    parts = ({Attribute.LABEL: "a"}, {Attribute.SIGN: True}, {Attribute.KEY_TYPE: KeyType.AES, Attribute.ID: b"1"})
    assert template(*parts) == {key: value for part in parts for key, value in part.items()}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Attribute.LABEL, b"bytes"),
        (Attribute.VALUE, "text"),
        (Attribute.VALUE, 5),
        (Attribute.VALUE, bytearray(5)),
        (Attribute.SIGN, "no"),
        (Attribute.SIGN, 1),
        (Attribute.VALUE_LEN, True),
        (Attribute.VALUE_LEN, "32"),
        (Attribute.KEY_TYPE, 0x40),
        (Attribute.ALLOWED_MECHANISMS, b""),
        (Attribute.ID, None),
    ],
)
def test_value_of_the_wrong_type_is_refused_before_it_reaches_c(attribute: Attribute, value: object) -> None:
    with pytest.raises(TypeError, match=attribute.name):
        template({attribute: value})


def test_attribute_named_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="twice"):
        template({Attribute.SIGN: True}, {Attribute.SIGN: False})
