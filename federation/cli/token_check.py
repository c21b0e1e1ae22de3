"""`medunion token check` and `keys`: will this token do for a role, and do its keys keep their policies?"""

import json
from collections.abc import Iterator
from typing import Any

import click

from federation.cli.common import TokenChoice, token_options
from federation.cli.token_choice import json_option, optional_directory, settings_of
from federation.clinical.text import counted
from federation.party.node_directory import NodeDirectory
from federation.party.tokens import CONSEQUENCES, NEEDED, AuditedKey, audit_token, missing_for, try_token
from hsm import Trial


@click.command("check")
@click.option("--role", required=True, type=click.Choice(sorted(NEEDED)), help="Whose token it is to be.")
@optional_directory
@token_options
@json_option
def check(role: str, directory: NodeDirectory | None, token: TokenChoice, as_json: bool) -> None:
    """Try whether a token can do what a role needs, on throw-away session keys: nothing stays on it.

    Each mechanism is used, not only asked for, and its result is checked in software. Exit code 1 if something that the role
    needs is missing.
    """
    settings = settings_of(token, directory)
    trials = try_token(settings, token.pin.provider(settings))
    if as_json:
        click.echo(json.dumps({"role": role, "abilities": [_trial(role, trial) for trial in trials]}, indent=2))
    else:
        for line in check_lines(role, trials):
            click.echo(line)
    if missing_for(role, trials):
        click.get_current_context().exit(1)


def _trial(role: str, trial: Trial) -> dict[str, Any]:
    needed = trial.ability in NEEDED[role]
    return {
        "ability": trial.ability.name,
        "what": trial.ability.value,
        "needed": needed,
        "works": trial.works,
        "fault": trial.fault,
        "consequence": CONSEQUENCES[trial.ability] if needed and not trial.works else "",
    }


def check_lines(role: str, trials: list[Trial]) -> Iterator[str]:
    """Give the table: what works, what the role needs, and what it means that something is missing."""
    for trial in trials:
        needed = "needed" if trial.ability in NEEDED[role] else "not needed"
        yield f"{'works' if trial.works else 'MISSING':8}{needed:12}{trial.ability.value}"
        if not trial.works:
            yield f"{'':20}the token said: {trial.fault}"
    missing = missing_for(role, trials)
    for trial in missing:
        yield f"without {trial.ability.value}: {CONSEQUENCES[trial.ability]}"
    yield f"this token will {'not do' if missing else 'do'} for the role {role}"


@click.command("keys")
@optional_directory
@token_options
@json_option
def keys(directory: NodeDirectory | None, token: TokenChoice, as_json: bool) -> None:
    """List the objects of a token with their attributes, and name each that breaks the policy of its purpose.

    Exit code 1 if there is such a finding, or an object that no purpose names.
    """
    settings = settings_of(token, directory)
    audited = audit_token(settings, token.pin.provider(settings))
    if as_json:
        click.echo(json.dumps([_key(key) for key in audited], indent=2))
    else:
        for key in audited:
            _show_key(key)
        findings = sum(len(key.findings) for key in audited)
        click.echo(f"{counted(len(audited), 'object')}, {counted(findings, 'finding')}")
    if any(key.findings for key in audited):
        click.get_current_context().exit(1)


def _key(key: AuditedKey) -> dict[str, Any]:
    info = key.info
    return {
        "label": info.label,
        "id": info.id.hex(),
        "class": info.object_class,
        "type": info.key_type,
        "purpose": key.purpose,
        "usages": sorted(info.usages),
        "attributes": _attributes(key),
        "findings": [{"reason": finding.reason, "says": finding.says} for finding in key.findings],
    }


def _attributes(key: AuditedKey) -> dict[str, bool | None]:
    names = ("private", "sensitive", "extractable", "local", "always_sensitive", "never_extractable", "modifiable")
    return {name.upper(): getattr(key.info, name) for name in names}


def _show_key(key: AuditedKey) -> None:
    info = key.info
    click.echo(f"{info.label}  {info.object_class} {info.key_type or ''}  {' '.join(sorted(info.usages))}".rstrip())
    flags = [name if value else f"not {name}" for name, value in _attributes(key).items() if value is not None]
    click.echo(f"    {', '.join(flags)}")
    for finding in key.findings:
        click.echo(f"    FINDING {finding.says} [{finding.reason}]")
