"""`medunion token list`: what is plugged in, and how its PINs' counters stand."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from federation.cli.token_choice import json_option, softhsm_option
from federation.party.tokens import SurveyedModule, lead_to, survey
from hsm.survey import FoundToken, known_modules

_PIN_SENTENCES = {
    "USER_PIN_LOCKED": "the PIN is locked",
    "USER_PIN_FINAL_TRY": "one try of the PIN is left before the token locks itself",
    "USER_PIN_COUNT_LOW": "a wrong PIN was given since the last right one",
    "USER_PIN_TO_BE_CHANGED": "the PIN has to be changed before it is used",
    "SO_PIN_LOCKED": "the security officer's PIN is locked",
    "SO_PIN_FINAL_TRY": "one try of the security officer's PIN is left",
    "SO_PIN_COUNT_LOW": "a wrong PIN of the security officer was given since the last right one",
    "SO_PIN_TO_BE_CHANGED": "the security officer's PIN has to be changed before it is used",
}


@click.command("list")
@click.option(
    "--module",
    "modules",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A PKCS#11 module, by absolute path; may be repeated. Without one, those that are installed where we look.",
)
@softhsm_option
@json_option
def list_tokens(modules: tuple[Path, ...], softhsm_configuration: Path | None, as_json: bool) -> None:
    """List modules, slots and tokens, with the state of the PINs' counters. Asks for no PIN and changes nothing."""
    lead_to(softhsm_configuration)
    surveyed = survey(list(modules) or known_modules())
    if as_json:
        click.echo(json.dumps([_as_json(module) for module in surveyed], indent=2))
        return
    if not surveyed:
        click.echo("no PKCS#11 module is installed where we look; name one by --module")
    for module in surveyed:
        click.echo(module.path)
        for line in _lines(module):
            click.echo(f"  {line}")


def _as_json(module: SurveyedModule) -> dict[str, Any]:
    return asdict(module) | {"path": str(module.path)}


def _lines(module: SurveyedModule) -> list[str]:
    if module.fault:
        return [f"cannot be used: {module.fault}"]
    return [line for token in module.tokens for line in _about(token)] or ["no token"]


def _about(token: FoundToken) -> list[str]:
    made_by = f"{token.manufacturer} {token.model}, firmware {token.firmware}"
    if not token.is_initialised:
        return [f"slot {token.slot}: blank token, {made_by}"]
    lines = [f"slot {token.slot}: {token.label!r}, serial {token.serial}, {made_by}"]
    lines += [f"  {_PIN_SENTENCES[state]} [{state}]" for state in token.pin_states]
    if not token.has_user_pin:
        lines.append("  no PIN is set yet")
    sessions = token.sessions
    return [*lines, f"  sessions: {_number(sessions.open)} open, {_number(sessions.most, 'no bound said')} at most"]


def _number(number: int | None, otherwise: str = "not said") -> str:
    return otherwise if number is None else str(number)
