"""Every page: each relative link leads to a file and each anchor to a heading; a diff of its lines can be read."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
OTHERS = {"node_modules", "target"}
"""Directories of pages that are not ours."""
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _pages() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for folder in (
        "docs",
        "tests",
        "demo",
        "hsm",
        "keystore",
        "federation",
        "protos",
        "benchmarks",
        "formal",
        "clients",
        "deploy",
    ):
        yield from (page for page in (ROOT / folder).rglob("*.md") if "node_modules" not in page.parts)


def _anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(_pages()), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
        assert not anchor or anchor in _anchors(target), f"{page.relative_to(ROOT)} links to {link}: no such heading"


def test_links_are_found() -> None:
    assert len(LINK.findall((ROOT / "README.md").read_text())) > 10


MOST_CHARACTERS = 120


def long_lines(lines: Iterable[str]) -> list[int]:
    """Give the numbers of the lines that are too long; a table's row is one line, whatever it holds."""
    return [number for number, line in enumerate(lines, 1) if len(line) > MOST_CHARACTERS and not line.startswith("|")]


WRAPPED = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", sorted(WRAPPED), ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_have_at_most_120_characters(page: Path) -> None:
    assert long_lines(page.read_text().splitlines()) == []


def test_a_long_line_is_found() -> None:
    assert long_lines(["a" * 120, "a" * 121, "| " + "a" * 121]) == [2]


NAMED = re.compile(
    r"(?<![\w/.-])((?:federation|keystore|hsm|tests|ci|demo|lab|benchmarks|deploy|docs)/[\w/-]+\.(?:py|md|toml|yml))"
)
SHORT = re.compile(r"`((?:cli|cloud|hospital|person|party|wire|store|protocol|clinical|processes|monitor)/\w+\.py)")
AT_NEED = {"tests/mutants/survivors.toml"}
"""Files that are there when something has to be said in them."""


def missing_files(text: str) -> list[str]:
    """Return the files that a text names and that are not there; pages leave `federation/` away where they say so."""
    named = {*NAMED.findall(text), *(f"federation/{path}" for path in SHORT.findall(text))}
    return sorted(path for path in named - AT_NEED if not (ROOT / path).exists())


SOURCES = sorted(path for folder in ("federation", "keystore", "hsm") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("page", sorted(WRAPPED), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    assert missing_files(page.read_text()) == []


def test_every_file_that_a_docstring_names_is_there() -> None:
    assert {path.name: missing for path in SOURCES if (missing := missing_files(path.read_text()))} == {}


def test_file_that_is_gone_is_found() -> None:
    assert missing_files("`federation/app/node.py` and `cli/gone.py`, beside `federation/cli/main.py`") == [
        "federation/app/node.py",
        "federation/cli/gone.py",
    ]
