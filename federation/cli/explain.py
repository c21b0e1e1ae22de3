"""`medunion explain`: what a refusal, an outcome or an entry of a log means, in words. It opens no node and needs no token."""

import difflib
import importlib
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, BinaryIO

import click

from federation.cli.groups import Command
from federation.clinical.text import counted, printable
from federation.errors import FederationError
from federation.protocol.access import BEGUN, AccessEvent
from federation.protocol.outcomes import OUTCOMES, told_in_search, told_in_session
from federation.protocol.rules import PLACES, REFUSES_NOTHING, RULES, Rule
from federation.words import words_of
from keystore.identities import ANY, DOCTOR, HOSPITAL, PATIENT

_WIDTH = 100
_LABEL = 14
_REJECTED = "REJECTED"
_DIDS = {
    "SEARCH": "asked the public cloud where records of {} are",
    "READ": "asked a hospital for records of {}",
    "STORE": "brought a hospital an encounter of {}",
    "LOG": "asked who accessed records of {}",
    "ADD": "brought a hospital a document of the patient's own, for {}",
}
_GROUNDS = {
    "consent": "a grant, signed by the patient or by who stands for the patient",
    "own": "the right to one's own records, as the patient or as who stands for the patient",
    "deputy": "a mandate or guardianship",
    "emergency": "a declared emergency, without the patient's consent",
    "none": "nothing",
}
_ROLES = {PATIENT: "a patient", DOCTOR: "a doctor", HOSPITAL: "a hospital"}
_OF_RULE = {rule.reason: rule for rule in RULES}
VOCABULARIES = (
    *(
        "federation.errors",
        "federation.person.errors",
        "federation.store.errors",
        "federation.clinical.errors",
        "hsm.errors",
    ),
    *("keystore.errors", "keystore.fuzzy", "keystore.biometric", "keystore.ceremony.errors", "federation.settings"),
    *(
        "federation.pages.errors",
        "federation.party.hand_over",
        "federation.person.conclusion",
        "federation.wire.channel",
    ),
    *("federation.wire.fetching", "federation.pages.app.photo", "federation.check.peers"),
)
"""Modules whose errors have reasons; what the protocol says comes first, and what is slow to import last."""
_WORDS = {row.name: row for row in OUTCOMES}


@click.command(cls=Command)
@click.argument("name", required=False)
@click.option("--list", "is_list", is_flag=True, help="List every reason and outcome of an access.")
@click.option(
    "--entry",
    type=click.File("rb"),
    help="Explain entries as the `log` commands show them, one a line; - is standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="With --list: write JSON, for programs.")
def explain(name: str | None, is_list: bool, entry: BinaryIO | None, as_json: bool) -> None:
    """Say what a refusal means: who refuses, what the rule is, what to do about it.

    NAME is a reason, such as GRANT_EXPIRED, or an outcome that a client was told, such as duty-over.
    """
    if sum((name is not None, is_list, entry is not None)) != 1:
        raise click.UsageError("give a reason or an outcome, or --list, or --entry FILE")
    if as_json and not is_list:
        raise click.UsageError("--json goes with --list")
    if as_json:
        click.echo(json.dumps([{"reason": rule.reason, "means": rule.error.in_words} for rule in RULES], indent=2))
        return
    if is_list:
        lines = _all()
    elif entry is not None:
        lines = _entries(entry)
    else:
        lines = _explained(str(name))
    for line in lines:
        click.echo(line)


def told_as(rule: Rule) -> tuple[str, str]:
    """Return what who asks is told of it: in a search, and in a session with a hospital; nothing where it is not told there."""
    in_search, in_session = told_in_search(rule.error), told_in_session(rule.error)
    return "" if in_search is None else in_search.name, _REJECTED if in_session is None else in_session.name


def _all() -> Iterator[str]:
    yield from (f"{rule.reason:20}{rule.error.in_words}" for rule in RULES)
    yield ""
    for word in _WORDS:
        reasons = ", ".join(rule.reason for rule in RULES if word in told_as(rule))
        yield f"{word:20}{REFUSES_NOTHING.get(word) or f'told of {reasons}'}"


def _explained(name: str) -> Iterator[str]:
    reason, word = name.upper(), name.lower()
    if reason in _OF_RULE or (word not in _WORDS and error_of(reason) is not None):
        yield from _of_reason(reason)
    elif word in REFUSES_NOTHING:
        yield word
        yield _line("Outcome", REFUSES_NOTHING[word])
    elif word in _WORDS:
        rules = [rule for rule in RULES if word in told_as(rule)]
        yield f"{word}: what who asks is told of {counted(len(rules), 'reason')}; the log says which it was."
        for rule in rules:
            yield ""
            yield from _of_reason(rule.reason)
    else:
        raise click.UsageError(f"{printable(name)} is neither a reason nor an outcome{_nearest(reason, word)}")


def _nearest(reason: str, word: str) -> str:
    reasons = [known for module in VOCABULARIES for known in errors_in(module)]
    near = [*difflib.get_close_matches(reason, reasons, 3), *difflib.get_close_matches(word, _WORDS, 2)]
    return (
        f"; did you mean {', '.join(near)}?" if near else "; --list lists those of an access, docs/errors.md the others"
    )


def _of_reason(reason: str) -> Iterator[str]:
    yield reason
    yield from _meaning(reason)


def _meaning(reason: str) -> Iterator[str]:
    """Say what a reason means; nothing where this version does not know it."""
    error = error_of(reason)
    if error is None:
        yield _line("Means", "see the detail; this version knows no such reason")
        return
    means, to_do = words_of(error)
    yield _line("Means", means)
    rule = _OF_RULE.get(reason)
    if rule is None:
        if (says := inspect.getdoc(error) or "") != means:
            yield _line("Rule", says)
        yield from _to_do(error, to_do)
        yield _line("Where", "docs/errors.md")
        return
    yield _line("Refused by", rule.refused_by)
    yield _line("Rule", rule.says)
    yield from _to_do(error, rule.do)
    yield _line("Told as", _told(rule))
    if rule.checks:
        yield _line("Checks", ", ".join(rule.checks))
    yield _line("Where", f"docs/protocol.md, {_sections(rule)}; docs/consent.md")


def errors_in(module: str) -> dict[str, type[Exception]]:
    """Return the errors that a module defines, by their reasons."""
    found = (it for it in vars(importlib.import_module(module)).values() if isinstance(it, type))
    return {
        str(error.reason): error  # type: ignore[attr-defined] # looked at
        for error in found
        if issubclass(error, Exception) and error.__module__ == module and "reason" in vars(error)
    }


def error_of(reason: str) -> type[Exception] | None:
    """Return the error of a reason, the protocol's before another's of that name; None where this version knows none."""
    return next((found for it in VOCABULARIES if (found := errors_in(it).get(reason)) is not None), None)


def _to_do(error: type[Exception], to_do: str) -> Iterator[str]:
    yield _line("What to do", to_do)
    if issubclass(error, FederationError) and (in_visit := error.advice(in_visit=True)) != error.advice():
        yield _line("In a visit", in_visit)


def _told(rule: Rule) -> str:
    in_search, in_session = told_as(rule)
    if not in_search or in_search == in_session:
        return in_session
    return f"{in_search} in a search, {in_session} in a session with a hospital"


def _sections(rule: Rule) -> str:
    numbers = sorted({PLACES[check.partition(".")[0]] for check in rule.checks}) or [PLACES["D4"]]
    return f"section{'s' * (len(numbers) > 1)} {' and '.join(map(str, numbers))}"


def _entries(source: BinaryIO) -> Iterator[str]:
    """Explain each line. Raises UsageError for one that is no entry."""
    number = 0
    for number, line in enumerate(filter(bytes.strip, source), 1):
        if number > 1:
            yield ""
        yield from _of_entry(_parsed(line, number))
    if number == 0:
        raise click.UsageError("there is no entry to explain")


def _parsed(line: bytes, number: int) -> dict[str, str]:
    try:
        entry = json.loads(line)
    except ValueError as error:  # JSON's, or UTF-8's
        raise click.UsageError(f"line {number} is not JSON; give a line as `medunion hospital log` shows it") from error
    if not isinstance(entry, dict) or not {"kind", "reason"} <= entry.keys():
        raise click.UsageError(f"line {number} is no entry of a log: it has no kind and reason")
    return {str(field): _text(value) for field, value in entry.items()}


def _text(value: Any) -> str:  # noqa: ANN401 - JSON's
    return printable(value if isinstance(value, str) else json.dumps(value))


def _of_entry(entry: Mapping[str, str]) -> Iterator[str]:
    yield f"Entry {entry.get('sequence', '?')}, {entry.get('at', 'of an unknown time')}"
    is_access = {field.name for field in fields(AccessEvent)} - {"detail", "grant_digest"} <= entry.keys()
    yield from _of_access(entry) if is_access else _of_other(entry)
    if entry.get("detail"):
        yield _line("Detail", entry["detail"])


def _of_access(entry: Mapping[str, str]) -> Iterator[str]:
    asker, patient = entry["asker_id"], entry["patient_id"]
    what = _DIDS.get(entry["kind"], f"{entry['kind']}, about records of {{}}").replace("{}", patient)
    scope = "of every class" if entry["scope"] == ANY else f"of the class {entry['scope']}"
    yield _line(
        "Who", f"{asker}, {'the patient itself' if asker == patient else _ROLES.get(asker[:2], 'nobody known')}"
    )
    yield _line("Did", f"{what}, {scope}")
    yield _line("Showed", _shown(entry))
    yield from _request_of(entry)
    yield from _came_of(entry["reason"])


def _shown(entry: Mapping[str, str]) -> str:
    ground = entry["ground"]
    digest = f"; H(access) is {entry['authorization']}" if entry["authorization"] else ""
    return f"{_GROUNDS.get(ground, f'{ground}, which this version does not know')}{digest}"


def _of_other(entry: Mapping[str, str]) -> Iterator[str]:
    method = entry.get("method")
    yield _line("What", entry["kind"] + (f" of a call of {method}" if method else ""))
    yield from _request_of(entry)
    yield from _came_of(entry["reason"])


def _request_of(entry: Mapping[str, str]) -> Iterator[str]:
    if entry.get("request_id"):
        yield _line("Request", entry["request_id"])


def _came_of(reason: str) -> Iterator[str]:
    if reason == BEGUN:
        yield _line("Outcome", "allowed, and begun; a later entry of the same access says how it ended")
    elif reason == "OK":
        yield _line("Outcome", "done")
    else:
        yield _line("Outcome", f"refused, or ended, with {reason}")
        yield from _meaning(reason)


def _line(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"  {label:{_LABEL - 2}}",
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
