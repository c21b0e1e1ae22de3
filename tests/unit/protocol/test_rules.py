"""The rules in words are complete: every reason of the decision, every check of a reason, every outcome."""

import re

import pytest

from federation.protocol.outcomes import OUTCOMES
from federation.protocol.rules import PLACES, REFUSES_NOTHING, RULES, Rule
from tests.decision_table import ROOT, checks_in

PROTOCOL = ROOT / "federation" / "protocol"
CHECKS = checks_in(*(PROTOCOL / name for name in ("access.py", "consent.py", "shown.py")))


def test_every_reason_of_the_decision_has_one_rule() -> None:
    reasons = set().union(*checks_in(PROTOCOL / "access.py").values())
    listed = [rule.reason for rule in RULES]
    assert len(reasons) > 15
    assert reasons <= set(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_rule_names_every_check_that_refuses_for_its_reason(rule: Rule) -> None:
    assert set(rule.checks) == {number for number, reasons in CHECKS.items() if rule.reason in reasons}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_rule_says_something_in_whole_sentences(rule: Rule) -> None:
    assert all(re.fullmatch(r"[A-Z].+[.]", words, re.DOTALL) for words in (rule.says, rule.do))


def test_every_outcome_has_a_rule_or_refuses_nothing() -> None:
    errors = {rule.error for rule in RULES}
    assert {row.name for row in OUTCOMES if row.error is None} == set(REFUSES_NOTHING)
    assert [row.name for row in OUTCOMES if row.error is not None and row.error not in errors] == []


def test_every_check_stands_in_the_section_that_is_named() -> None:
    sections = re.split(r"^## (\d+)\. ", (ROOT / "docs" / "protocol.md").read_text(), flags=re.MULTILINE)
    places = {
        check: int(number)
        for number, section in zip(sections[1::2], sections[2::2], strict=True)
        for check in re.findall(r"^- `(\w+\.\d+)`", section, re.MULTILINE)
    }
    named = [check for rule in RULES for check in rule.checks]
    assert {check: places.get(check) for check in named} == {check: PLACES[check.partition(".")[0]] for check in named}
