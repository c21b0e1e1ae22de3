"""What we ship is pinned with digests, has run in these tests, and is under no licence that we don't ship under."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ci.licences import OF_EXTRAS, faults, is_permitted, locked

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "requirements"
CYCLONEDX = ROOT / ".venv" / "shipping" / "bin" / "cyclonedx-py"


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Give the components that these tests run with."""
    if not CYCLONEDX.exists():
        pytest.fail("cyclonedx-py is not in .venv/shipping; run ci/install-shipping")
    file = tmp_path_factory.mktemp("bill") / "bill.json"
    words = [CYCLONEDX, "environment", "--output-file", file, sys.executable]
    subprocess.run(words, check=True, timeout=120, capture_output=True)
    return list(json.loads(file.read_text())["components"])


def test_core_is_pinned_as_tested_and_has_no_licence_but_permissive_ones(bill: list[dict[str, Any]]) -> None:
    assert faults(bill, locked(LOCKS / "core.txt"), extras={}) == []


def test_pages_add_no_licence_but_permissive_ones(bill: list[dict[str, Any]]) -> None:
    assert faults(bill, locked(LOCKS / "pages.txt"), extras={}) == []


def test_extras_add_the_lgpl_of_psycopg_and_nothing_more(bill: list[dict[str, Any]]) -> None:
    assert faults(bill, locked(LOCKS / "everything.txt"), OF_EXTRAS) == []
    assert len(faults(bill, locked(LOCKS / "everything.txt"), extras={})) == 2


def test_everything_pins_pages_and_pages_pin_core_at_the_same_versions() -> None:
    core, pages, everything = (locked(LOCKS / f"{name}.txt") for name in ("core", "pages", "everything"))
    assert core.items() < pages.items() < everything.items()


@pytest.mark.parametrize("name", ["core.txt", "pages.txt", "everything.txt"])
def test_every_pin_has_a_digest_and_nothing_names_a_host(name: str) -> None:
    text = (LOCKS / name).read_text()
    assert all("--hash=sha256:" in pin for pin in re.split(r"\n(?=\S)", text))
    assert "://" not in text


def test_every_direct_dependency_is_pinned() -> None:
    core = locked(LOCKS / "core.txt")
    text = (ROOT / "pyproject.toml").read_text()
    direct = re.findall(r'"([\w-]+)[>=]', re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]
    assert len(direct) > 15
    assert {name.lower().replace("_", "-") for name in direct} <= core.keys()


@pytest.mark.parametrize(
    ("expression", "permitted"),
    [
        ("MIT", True),
        ("GPL-3.0-only OR Apache-2.0", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-or-later", False),
        ("MIT AND GPL-2.0-only", False),
        ("LGPL-3.0-only", False),
        ("AGPL-3.0-only", False),
        ("", False),
    ],
)
def test_licence_is_judged(expression: str, permitted: bool) -> None:
    assert is_permitted(expression) is permitted
