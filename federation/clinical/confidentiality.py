"""How sensitive a bundle's sender says that it is: FHIR's security labels, in the federation's three words."""

from collections.abc import Iterable, Iterator
from typing import Any

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
SYSTEMS = frozenset({CONFIDENTIALITY, "urn:oid:2.16.840.1.113883.5.25"})
"""HL7's confidentiality, by its URL and by its OID."""

WORDS = ("normal", "restricted", "secret")
"""From the least to the most sensitive."""

CODE_OF = {"normal": "N", "restricted": "R", "secret": "V"}
_CODES = {"U": "normal", "L": "normal", "M": "normal", "N": "normal", "R": "restricted", "V": "secret"}


def sensitivity_of(bundle: dict[str, Any]) -> str:
    """Return the highest sensitivity that a bundle or a resource in it is labelled with, "normal" without a label.

    A code of HL7's confidentiality that is unknown here counts as restricted: whoever labelled it meant something by it.
    """
    return sensitivity_of_labels(label for resource in _resources(bundle) for label in _labels(resource))


def sensitivity_of_labels(labels: Iterable[tuple[str, str]]) -> str:
    """Return the highest sensitivity that security labels, as (system, code), state; "normal" without one."""
    said = (_CODES.get(code, "restricted") for system, code in labels if system in SYSTEMS)
    return max(said, key=WORDS.index, default="normal")


def _resources(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield resource
    held = [entry["resource"] for entry in resource.get("entry", ()) if "resource" in entry]
    for one in (*held, *resource.get("contained", ())):
        yield from _resources(one)


def _labels(resource: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for label in resource.get("meta", {}).get("security", ()):
        yield label.get("system", ""), label.get("code", "")
