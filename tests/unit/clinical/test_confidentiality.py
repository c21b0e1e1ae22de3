"""Security labels of a bundle, and the sensitivity that they make of it."""

from typing import Any

import pytest

from federation.clinical.confidentiality import sensitivity_of

V3 = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
OID = "urn:oid:2.16.840.1.113883.5.25"


def labelled(*labels: tuple[str, str]) -> dict[str, Any]:
    security = [{"system": system, "code": code} for system, code in labels]
    return {"resourceType": "Observation", "meta": {"security": security}}


def bundle(*resources: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources], **fields}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, "normal") for code in "ULMN"),
        ("R", "restricted"),
        ("V", "secret"),
        ("B", "restricted"),
        ("r", "restricted"),
        ("", "restricted"),
    ],
)
def test_code_of_hl7s_confidentiality_says_how_sensitive(code: str, expected: str) -> None:
    assert sensitivity_of(bundle(labelled((V3, code)))) == expected
    assert sensitivity_of(bundle(labelled((OID, code)))) == expected


def test_label_without_a_code_counts_as_restricted() -> None:
    assert sensitivity_of(bundle({"meta": {"security": [{"system": V3}]}})) == "restricted"


def test_labels_of_other_systems_say_nothing_of_it() -> None:
    assert sensitivity_of(bundle(labelled(("http://terminology.hl7.org/CodeSystem/v3-ActReason", "V")))) == "normal"
    assert sensitivity_of(bundle({"meta": {"security": [{"code": "V"}]}})) == "normal"


def test_bundle_without_labels_or_entries_is_normal() -> None:
    assert sensitivity_of({"resourceType": "Bundle"}) == "normal"
    assert sensitivity_of(bundle({"resourceType": "Patient"}, {"resourceType": "Patient", "meta": {}})) == "normal"


@pytest.mark.parametrize(
    "held",
    [
        bundle(labelled((V3, "N")), labelled((V3, "R"), (V3, "V"), (V3, "N"))),
        bundle(labelled((V3, "R")), meta=labelled((V3, "V"))["meta"]),
        bundle({"resourceType": "Observation", "contained": [labelled((V3, "V"))]}),
        bundle(bundle(labelled((V3, "V")))),
    ],
    ids=["one-of-many", "the-bundle", "contained", "a-bundle-inside"],
)
def test_highest_of_all_labels_counts_wherever_it_stands(held: dict[str, Any]) -> None:
    assert sensitivity_of(held) == "secret"
