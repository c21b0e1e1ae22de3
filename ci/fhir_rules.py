"""Makes federation/clinical/schema/r4-rules.json: what HL7's JSON schema of R4 leaves out or gets wrong, by HL7's definitions.

`ci/fhir_rules.py R4 STU3 R5`, each a jar of Maven's ca.uhn.hapi.fhir:hapi-fhir-validation-resources-r4, -dstu3 and -r5, which
carry HL7's definitions as published. Read what changes (federation/clinical/schema/README.md says what each list means).
"""

import gzip
import io
import json
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

SCHEMA: Final = Path(__file__).parents[1] / "federation/clinical/schema"
MODEL: Final = "org/hl7/fhir/{}/model/"
R5_PACKAGE: Final = "org/hl7/fhir/r5/packages/hl7.fhir.r5.core-5.0.0.tgz"
NS: Final = "{http://hl7.org/fhir}"

Definitions = dict[str, Any]


def main() -> None:
    """Write the file. Raises SystemExit for an element that the schema doesn't know."""
    packed = (SCHEMA / "fhir-r4.schema.json.gz").read_bytes()
    definitions: Definitions = json.loads(gzip.decompress(packed))["definitions"]
    with ZipFile(sys.argv[1]) as r4, ZipFile(sys.argv[2]) as stu3, ZipFile(sys.argv[3]) as r5:
        rules = gathered(definitions, structures(r4, "r4"), Terminology(r4))
        older = unknown(definitions, elements_of_stu3(stu3))
        newer = unknown(definitions, elements_of_r5(r5))
    rules["elsewhere"] = {"STU3": sorted(older - newer), "R5": sorted(newer - older)}
    (SCHEMA / "r4-rules.json").write_text(written(rules), encoding="utf-8")


def written(rules: dict[str, Any]) -> str:
    """Return the rules as JSON, a line for each of the schema's definitions, so that a change is read line by line."""
    parts = []
    for name, content in sorted(rules.items()):
        named = content.items() if isinstance(content, dict) else ()
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(named))
        parts.append(f" {json.dumps(name)}: " + (f"{{\n{lines}\n }}" if lines else json.dumps(content)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def gathered(definitions: Definitions, found: Iterator[ET.Element], terminology: "Terminology") -> dict[str, Any]:
    """Compare every element of every resource and datatype with the schema's."""
    rules: dict[str, Any] = {"required": {}, "choices": {}, "open_codes": [], "more_codes": {}, "more_types": []}
    everything: list[str] = []
    for structure in found:
        name = attribute(structure, "name")
        owners = {name: name}  # path -> the schema's name for what has elements there
        for element in structure.iterfind(f"{NS}snapshot/{NS}element"):
            path = attribute(element, "path")
            parent, _, leaf = path.rpartition(".")
            if not parent:
                continue
            owner, properties = owners[parent], definitions[owners[parent]]["properties"]
            types = [attribute(kind, "code") for kind in element.findall(f"{NS}type")]
            needed = attribute(element, "min") != "0"
            if leaf.endswith("[x]"):
                names = [leaf[:-3] + kind[0].upper() + kind[1:] for kind in types]
                rules["more_types"] += [f"{owner}.{one}" for one in names if one not in properties]
                everything = max(everything, types, key=len)
                choice = {"types": "any" if len(types) > 30 else types, "needed": needed}
                rules["choices"].setdefault(owner, {})[leaf[:-3]] = choice
                continue
            described = properties.get(leaf) or sys.exit(f"the schema knows no {path}")
            if types and types[0] in {"BackboneElement", "Element"}:
                owners[path] = described.get("items", described)["$ref"].rpartition("/")[2]
            if needed and leaf not in definitions[owner].get("required", ()):
                rules["required"].setdefault(owner, []).append(leaf)
            compare_codes(rules, f"{owner}.{leaf}", described, element.find(f"{NS}binding"), terminology)
    return rules | {"any": everything}


def compare_codes(
    rules: dict[str, Any],
    place: str,
    described: dict[str, Any],
    binding: ET.Element | None,
    terminology: "Terminology",
) -> None:
    """Compare the codes that the schema lists with the binding's strength and value set."""
    listed = described.get("enum") or described.get("items", {}).get("enum")
    if not listed:
        return
    if binding is None or attribute(binding, "strength") != "required":
        rules["open_codes"].append(place)
        return
    codes = terminology.codes(attribute(binding, "valueSet").partition("|")[0])
    if set(listed) - codes:
        sys.exit(f"{place}: the schema allows what its value set doesn't")
    if codes - set(listed):
        rules["more_codes"][place] = sorted(codes - set(listed))


def structures(jar: ZipFile, version: str) -> Iterator[ET.Element]:
    """Yield the definition of every resource and complex datatype, without profiles and abstract ones."""
    for file in ("profiles-types.xml", "profiles-resources.xml"):
        root = ET.fromstring(jar.read(f"{MODEL.format(version)}profile/{file}"))  # noqa: S314 - HL7's
        for structure in root.iter(f"{NS}StructureDefinition"):
            is_left_out = (
                attribute(structure, "derivation") == "constraint" or attribute(structure, "abstract") == "true"
            )
            if not is_left_out and attribute(structure, "kind") in {"resource", "complex-type"}:
                yield structure


def unknown(definitions: Definitions, paths: Iterator[tuple[str, list[str]]]) -> set[str]:
    """Return the kinds of resource of another version, and elements right below a kind, that R4 has not."""
    found = set()
    for path, types in paths:
        kind, _, leaf = path.partition(".")
        named = [leaf[:-3] + one[0].upper() + one[1:] for one in types] if leaf.endswith("[x]") else [leaf]
        if kind not in definitions:
            found.add(kind)
        elif leaf and "." not in leaf:
            found |= {f"{kind}.{name}" for name in named if name not in definitions[kind]["properties"]}
    return found


def elements_of_stu3(jar: ZipFile) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of every element of a resource with its types."""
    for structure in structures(jar, "dstu3"):
        if attribute(structure, "kind") == "resource":
            for element in structure.iterfind(f"{NS}snapshot/{NS}element"):
                yield attribute(element, "path"), [attribute(kind, "code") for kind in element.findall(f"{NS}type")]


def elements_of_r5(jar: ZipFile) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of every element of a resource with its types."""
    with tarfile.open(fileobj=io.BytesIO(jar.read(R5_PACKAGE))) as package:
        for member in package:
            if "/StructureDefinition-" in member.name and (file := package.extractfile(member)):
                structure = json.load(file)
                is_left_out = structure.get("derivation") == "constraint" or structure["abstract"]
                if structure["kind"] == "resource" and not is_left_out:
                    for element in structure["snapshot"]["element"]:
                        yield element["path"], [kind["code"] for kind in element.get("type", ())]


class Terminology:
    """HL7's value sets that are bound as required: each of one or more whole code systems, or of codes that it names."""

    def __init__(self, jar: ZipFile) -> None:
        """Read them."""
        self._systems: dict[str, set[str]] = {}
        self._sets: dict[str, ET.Element] = {}
        for file in ("valuesets.xml", "v3-codesystems.xml", "v2-tables.xml"):
            root = ET.fromstring(jar.read(f"{MODEL.format('r4')}valueset/{file}"))  # noqa: S314 - HL7's
            for system in root.iter(f"{NS}CodeSystem"):
                concepts = system.iter(f"{NS}concept")
                chosen = {attribute(concept, "code") for concept in concepts if not is_abstract(concept)}
                self._systems[attribute(system, "url")] = chosen
            self._sets |= {attribute(one, "url"): one for one in root.iter(f"{NS}ValueSet")}

    def codes(self, url: str) -> set[str]:
        """Return a value set's codes. Raises KeyError for one of another make, such as a filter or an outside system."""
        codes: set[str] = set()
        for included in self._sets[url].iterfind(f"{NS}compose/{NS}include"):
            named = {attribute(concept, "code") for concept in included.findall(f"{NS}concept")}
            codes |= named or self._systems[attribute(included, "system")]
        return codes


def is_abstract(concept: ET.Element) -> bool:
    """Return whether a concept only groups others, and can't be chosen."""
    properties = {attribute(one, "code"): one.find(f"{NS}valueBoolean") for one in concept.findall(f"{NS}property")}
    marked = properties.get("notSelectable", properties.get("abstract"))
    return marked is not None and marked.get("value") == "true"


def attribute(element: ET.Element, name: str) -> str:
    """Return the value of a child, empty if there is none."""
    child = element.find(NS + name)
    return "" if child is None else child.get("value", "")


if __name__ == "__main__":
    main()
