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
