"""Holds the licences of a bill of materials against what we ship under: `ci/licences.py SBOM LOCK`.

Nothing under the GPL is shipped (docs/adr/0002-dependencies.md). psycopg, LGPL, is an extra that an operator installs.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

PERMITTED: Final = frozenset(
    {
        *(
            "0BSD",
            "Apache-2.0",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "ISC",
            "MIT",
            "MIT-0",
            "MIT-CMU",
            "PSF-2.0",
            "Unlicense",
            "Zlib",
        ),
        "License :: OSI Approved :: Apache Software License",
        "License :: OSI Approved :: BSD License",
    }
)
OF_EXTRAS: Final = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
READ_BY_US: Final = {"protobuf": "BSD-3-Clause", "reportlab": "BSD-3-Clause"}
"""Packages that say their licence in a form that no program reads; we read the file in the package."""


def normal(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: Path) -> dict[str, str]:
    """Return name and version of what a lock file pins for this kind of machine: Linux and CPython."""
    pins = re.findall(r"^([\w.-]+)==(\S+) (?:; (.+) )?\\$", lock.read_text(), re.MULTILINE)
    return {normal(name): version for name, version, marker in pins if "win32" not in marker}


def licences(component: dict[str, Any]) -> list[str]:
    """Return every licence that a component names; an expression's alternatives stay together."""
    if normal(component["name"]) in READ_BY_US:
        return [READ_BY_US[normal(component["name"])]]
    found = []
    for entry in component.get("licenses", ()):
        licence = entry.get("license", {})
        found.append(entry.get("expression") or licence.get("id") or licence.get("name") or "")
    return found or [""]


def is_permitted(expression: str) -> bool:
    """Return whether one side of every OR, all of it, is permitted. SPDX expressions of parentheses are not: read them."""
    return any(
        all(part.strip() in PERMITTED for part in side.split(" AND ")) for side in expression.split(" OR ") if side
    )


def faults(components: list[dict[str, Any]], pins: dict[str, str], extras: dict[str, str]) -> list[str]:
    """Return a sentence for each package that isn't pinned as installed, or whose licence we don't ship under."""
    said = []
    there = {normal(component["name"]): component for component in components}
    for name, version in pins.items():
        component = there.get(name)
        if component is None or component["version"] != version:
            said.append(f"{name} {version} is pinned, and the bill has {component and component['version']}")
            continue
        found = licences(component)
        if not all(map(is_permitted, found)) and found != [extras.get(name)]:
            said.append(f"{name} {version} is under {', '.join(found) or 'no licence that is named'}")
    return said


def main() -> int:
    """Judge, and say what is wrong."""
    bill, lock = Path(sys.argv[1]), Path(sys.argv[2])
    components = json.loads(bill.read_text())["components"]
    said = faults(components, locked(lock), {} if lock.stem == "core" else OF_EXTRAS)
    unpinned = {normal(it["name"]) for it in components} - {*locked(lock), "medunion"}
    said += [f"{name} is installed and not pinned" for name in sorted(unpinned)]
    print("\n".join(said) or f"{bill}: {len(components)} components, every licence is one that we ship under")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
