"""`medunion explain`: reasons, outcomes and entries of the log, in words."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from federation.cli.main import main
from federation.party.audit import AuditEvent
from federation.protocol.access import BEGUN, AccessEvent
from federation.protocol.outcomes import OUTCOMES, Outcome
from federation.protocol.rules import RULES, Rule
from keystore.identities import PatientId

EVENT = AccessEvent("READ", "D:chen", PatientId("P:wang"), "cardiology", bytes([0xAB] * 32), "consent", BEGUN)


def explain(*words: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["explain", *words], input=given, catch_exceptions=False)


def said(*words: str, given: str | bytes | None = None) -> str:
    """Return what it says on one line, however it was wrapped."""
    result = explain(*words, given=given)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def refused(*words: str, given: str | bytes | None = None) -> str:
    result = explain(*words, given=given)
    assert result.exit_code == 2
    return " ".join(result.output.partition("Error: ")[2].split())


def line(event: AccessEvent | AuditEvent, sequence: int = 7) -> str:
    """Return an entry as the `log` commands show it."""
    shown = {"sequence": sequence, "at": "2026-09-01T10:00:00Z"} | vars(event)
    return json.dumps(shown, default=bytes.hex) + "\n"


def test_reason_is_explained_with_who_refuses_its_rule_what_to_do_and_its_place() -> None:
    words = said("GRANT_EXPIRED")
    assert words.startswith("GRANT_EXPIRED Means The patient's consent has ended")
    for part in (
        "Refused by the public cloud for a search, a hospital for its records",
        "Rule A grant holds from its start",
        "What to do Ask the patient for a new one.",
        "Told as grant-expired",
        "Checks grant.4",
        "Where docs/protocol.md, section 5",
    ):
        assert part in words


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_every_reason_of_an_access_is_explained_whole(rule: Rule) -> None:
    words = said(rule.reason.lower())
    assert all(part in words for part in (rule.reason, rule.error.in_words, rule.says, rule.do, *rule.checks))


@pytest.mark.parametrize("row", OUTCOMES, ids=lambda row: row.name)
def test_every_outcome_is_explained_by_what_it_stands_for(row: Outcome) -> None:
    words = said(row.name)
    assert words.startswith(row.name)
    assert row.error is None or row.error.reason in words


def test_outcome_that_hides_which_reason_it_was_names_all_of_them() -> None:
    words = said("duty-over")
    assert words.startswith("duty-over: what who asks is told of 2 reasons")
    assert "DUTY_EXPIRED Means" in words
    assert "DUTY_REVOKED Means" in words


def test_reason_told_otherwise_in_a_session_says_so() -> None:
    assert "Told as grant-invalid in a search, REJECTED in a session with a hospital" in said("GRANT_INVALID")


def test_reason_of_another_kind_is_explained_by_the_page_of_all() -> None:
    words = said("STALE")
    assert "Rule T is longer ago than the freshness window. What to do Set this computer's clock" in words
    assert words.endswith("Where docs/errors.md")


def test_what_is_to_do_in_the_middle_of_a_visit_is_explained_beside_what_is_on_arrival() -> None:
    assert "In a visit No more records come by it." in said("GRANT_REVOKED")
    assert "In a visit" not in said("STALE")


def test_list_names_every_reason_and_outcome() -> None:
    listed = {row.split(" ", 1)[0] for row in explain("--list").output.splitlines() if row}
    assert listed == {rule.reason for rule in RULES} | {row.name for row in OUTCOMES}


def test_unknown_reason_is_told_with_the_nearest() -> None:
    assert refused("GRANT_EXPIERD").startswith(
        "GRANT_EXPIERD is neither a reason nor an outcome; did you mean GRANT_EXPIRED"
    )
    assert "duty-over" in refused("duty-ovr")
    assert refused("quite-another-thing-altogether").endswith(
        "--list lists those of an access, docs/errors.md the others"
    )


def test_unknown_reason_repaints_no_terminal() -> None:
    assert "\x1b" not in explain("\x1b[2J").output


@pytest.mark.parametrize(
    "words", [[], ["GRANT_SCOPE", "--list"], ["GRANT_SCOPE", "--entry", "-"], ["--list", "--entry", "-"]]
)
def test_one_thing_is_explained_at_a_time(words: list[str]) -> None:
    assert refused(*words) == "give a reason or an outcome, or --list, or --entry FILE"


def test_entry_of_an_access_says_who_what_by_what_and_what_came_of_it() -> None:
    assert said("--entry", "-", given=line(EVENT)) == (
        "Entry 7, 2026-09-01T10:00:00Z "
        "Who D:chen, a doctor "
        "Did asked a hospital for records of P:wang, of the class cardiology "
        f"Showed a grant, signed by the patient or by who stands for the patient; H(access) is {'ab' * 32} "
        "Outcome allowed, and begun; a later entry of the same access says how it ended"
    )


def test_entry_of_a_refusal_says_the_rule() -> None:
    words = said("--entry", "-", given=line(replace(EVENT, reason="DUTY_REVOKED", detail="9 bytes sent")))
    assert "Outcome refused, or ended, with DUTY_REVOKED Means The hospital has taken this duty back." in words
    assert "Checks duty.6" in words
    assert words.endswith("Detail 9 bytes sent")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            {"kind": "SEARCH", "scope": "*", "reason": "OK"},
            "Did asked the public cloud where records of P:wang are, of every",
        ),
        ({"kind": "STORE", "reason": "OK"}, "Did brought a hospital an encounter of P:wang"),
        ({"kind": "DANCE {x}"}, "Did DANCE {x}, about records of P:wang"),
        ({"reason": "OK"}, "Outcome done"),
        ({"asker_id": "P:wang", "ground": "own"}, "Who P:wang, the patient itself"),
        ({"asker_id": "P:lin", "ground": "own"}, "Who P:lin, a patient"),
        ({"asker_id": "X:lin"}, "Who X:lin, nobody known"),
        ({"ground": "emergency"}, "Showed a declared emergency, without the patient's consent"),
        ({"ground": "none", "authorization": b""}, "Showed nothing Outcome"),
        ({"ground": "magic"}, "Showed magic, which this version does not know"),
        ({"reason": "STALE"}, "Where docs/errors.md"),
        ({"reason": "PIN_INCORRECT"}, "Means The PIN is wrong."),
        ({"reason": "OF_ANOTHER_TIME"}, "this version knows no such reason"),
        ({"detail": "\x1b[2Ja"}, "Detail [2Ja"),
    ],
)
def test_entry_is_told_in_the_words_of_its_fields(change: dict[str, Any], part: str) -> None:
    assert part in said("--entry", "-", given=line(replace(EVENT, **change)))


def test_entry_of_anything_else_says_its_kind_and_reason() -> None:
    event = AuditEvent("REFUSAL", "SEAL_INVALID", "/federation.v1.SearchService/Search", "does not open", "abc")
    words = said("--entry", "-", given=line(event))
    assert "What REFUSAL of a call of /federation.v1.SearchService/Search Request abc Outcome refused" in words
    assert words.endswith("Where docs/errors.md Detail does not open")
    assert "What RESTORED Outcome done" in said("--entry", "-", given=line(AuditEvent("RESTORED", "OK")))


def test_entries_of_a_file_are_explained_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(line(EVENT) + "\n" + line(EVENT, 8))
    words = said("--entry", str(file))
    assert words.count("Who D:chen, a doctor") == 2
    assert "Entry 8," in words


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nonsense", "line 1 is not JSON"),
        (b"\xff\xfe\n", "line 1 is not JSON"),
        (line(EVENT) + "{", "line 2 is not JSON"),
        ("[1]", "line 1 is no entry of a log: it has no kind and reason"),
        ('{"kind": "READ"}', "line 1 is no entry of a log: it has no kind and reason"),
        ("\n", "there is no entry to explain"),
    ],
)
def test_what_is_no_entry_is_refused(given: str | bytes, told: str) -> None:
    assert told in refused("--entry", "-", given=given)
