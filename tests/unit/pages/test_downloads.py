"""Records as they came: their own tokens on lines that people read, in pages, and nothing that a page could run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.pages import downloads
from federation.pages.downloads import Section, entry_lines, json_lines, page_of

BUNDLE = '{"resourceType":"Bundle","entry":[{"resource":{"value":1.10,"note":"a, b: {c}"}},{"resource":{}}],"total":2}'

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_each_token_stays_as_it_is_written() -> None:
    lines = list(json_lines(BUNDLE))
    assert '        "value": 1.10,' in lines  # no parser had it in hands: 1.10 is not 1.1
    assert '        "note": "a, b: {c}"' in lines
    assert lines[0] == "{"
    assert lines[-1] == "}"


@given(VALUES)
def test_lines_together_are_the_same_json(value: object) -> None:
    text = json.dumps(value)
    assert json.loads("\n".join(json_lines(text))) == value


def test_each_line_knows_its_entry() -> None:
    numbers = [number for number, _ in entry_lines(BUNDLE)]
    assert set(numbers) == {None, 0, 1}
    of_first = "".join(line.strip() for number, line in entry_lines(BUNDLE) if number == 0)
    assert "1.10" in of_first
    assert "total" not in of_first


def test_an_entry_elsewhere_is_no_entry_of_the_bundle() -> None:
    nested = '{"a":{"entry":[{"b":1}]},"entry":[{"c":{"entry":[{"d":2}]}}]}'
    assert {number for number, _ in entry_lines(nested)} == {None, 0}


def test_pages_are_whole_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "CHARACTERS_A_PAGE", 30)
    lines = list(entry_lines(BUNDLE))
    seen, number, more = [], 1, True
    while more:
        sections, more = page_of(lines, number)
        seen += [line for section in sections for line in section.text.splitlines()]
        number += 1
    assert seen == [line for _, line in lines]
    assert number > 3
    assert page_of(lines, 99) == ([], False)


def test_what_turns_letters_round_is_replaced_and_a_huge_line_is_cut() -> None:
    (section,), more = page_of([(0, "a\u202eb\x1b[2J" + "x" * 5000)], 1)
    assert not more
    assert section == Section(0, section.text)
    assert section.text.startswith("a b [2Jxxx")
    assert section.text.endswith("characters more)")
