"""The grammar of identities: known answers at each edge."""

import pytest

from keystore.identities import FORMS, class_of, hospital_of, is_identity

GOOD = [
    ("patient", "P:a"),
    ("patient", "P:" + "A" * 64),
    ("doctor", "D:alpha.b_c-9"),
    ("hospital", "H:a"),
    ("hospital", "H:" + "a" * 63),
    ("cloud", "C:union-1"),
    ("authority", "M:board"),
    ("party", "C:union"),
    ("party", "P:union_"),
    ("department", "H:alpha/cardiology"),
    ("department", "H:alpha/cardiology.ward-2"),
    ("department class", "a" + "-" * 31),
    ("department class or any", "*"),
    ("hospital or any", "*"),
    ("doctor scope", "D:*"),
    ("doctor scope", "D:" + "a" * 63 + "*"),
    ("doctor scope", "D:" + "a" * 64),
]
BAD = [
    ("patient", "P:"),
    ("patient", "P:" + "A" * 65),
    ("patient", "D:a"),
    ("patient", "P:a\n"),
    ("doctor", "D:ü"),
    ("hospital", "H:-a"),
    ("hospital", "H:a-"),
    ("hospital", "H:A"),
    ("hospital", "H:" + "a" * 64),
    ("cloud", "C:un.ion"),
    ("authority", "M:a b"),
    ("party", "M:board"),
    ("party", "H:union_"),
    ("department", "H:alpha"),
    ("department", "H:alpha/"),
    ("department", "H:alpha/cardiology."),
    ("department", "H:alpha/cardiology." + "w" * 33),
    ("department class", "a" * 33),
    ("department class", "*"),
    ("hospital", "*"),
    ("doctor scope", "D:" + "a" * 64 + "*"),
    ("doctor scope", "*"),
]


@pytest.mark.parametrize(("kind", "text"), GOOD)
def test_identity_of_the_form_is_one(kind: str, text: str) -> None:
    assert is_identity(kind, text)


@pytest.mark.parametrize(("kind", "text"), BAD)
def test_identity_of_another_form_is_none(kind: str, text: str) -> None:
    assert not is_identity(kind, text)


def test_every_form_is_tried_both_ways() -> None:
    assert {kind for kind, _ in GOOD} == {kind for kind, _ in BAD} | {"department class or any", "hospital or any"}
    assert {kind for kind, _ in GOOD} == FORMS.keys()


def test_department_names_its_hospital_and_its_class() -> None:
    assert hospital_of("H:alpha/cardiology.ward-2") == "H:alpha"
    assert class_of("H:alpha/cardiology.ward-2") == class_of("H:alpha/cardiology") == "cardiology"
