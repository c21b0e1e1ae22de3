"""docs/pages.md names every reason for which the agent refuses its browser, and a test tries each."""

import re
from collections.abc import Iterator
from pathlib import Path

from federation.pages import errors
from federation.pages.errors import PageRefused

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pages.md"
TESTS = (ROOT / "tests" / "unit" / "pages", ROOT / "tests" / "browser")


def refusals() -> Iterator[type[PageRefused]]:
    return (it for it in PageRefused.__subclasses__() if it.__module__ == errors.__name__)


def listed(page: str) -> list[str]:
    """Return the reasons that the page's table has, in its order."""
    return re.findall(r"^\| `([A-Z_]+)` \| ", page, re.MULTILINE)


def test_the_page_lists_every_reason_once() -> None:
    assert sorted(listed(PAGE.read_text())) == sorted(it.reason for it in refusals())


def test_each_reason_is_told_to_a_person_and_tried_by_a_test() -> None:
    tried = "\n".join(path.read_text() for folder in TESTS for path in folder.glob("test_*.py"))
    for refusal in refusals():
        assert refusal.in_words != PageRefused.in_words
        assert f'"{refusal.reason}"' in tried, f"no test names {refusal.reason}"
