"""`medunion token`: look at tokens, try them, initialise them, audit their keys. No private key is ever shown."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from hmac import compare_digest
from pathlib import Path
from typing import Any

import click

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Choice, Command
from federation.cli.options import (
    TOKEN_URI_FILE,
    F,
    TokenChoice,
    directory_option,
    json_option,
    make_development_token,
    token_options,
)
from federation.clinical.text import counted
from federation.party.node_directory import NodeDirectory, use_softhsm
from federation.party.tokens import (
    CONSEQUENCES,
    NEEDED,
    OPTIONAL,
    AuditedKey,
    SurveyedModule,
    audit_token,
    how,
    missing_for,
    survey,
    token_settings_of,
    try_token,
)
from federation.settings import ConfigError, TokenSettings
from hsm import Pin, PinProvider, TokenUri, Trial, pin_from_fd, pin_from_file, pin_from_prompt
from hsm.errors import TokenExists, TokenNotFound
from hsm.survey import FoundToken, known_modules
from hsm.token import change_user_pin, initialise_token

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

PIN_FILE = click.Path(dir_okay=False, path_type=Path)


def _softhsm_option(command: F) -> F:
    """Add `--softhsm-configuration`, where no other option of a token's choice is wanted."""
    return click.option(
        "--softhsm-configuration",
        type=click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True),
        help="softhsm2.conf of development tokens.",
    )(command)


def _optional_directory(command: F) -> F:
    """Add `--directory`, as a NodeDirectory or None."""
    return click.option(
        "--directory",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        callback=lambda _context, _parameter, value: None if value is None else NodeDirectory(value.resolve()),
        help="A node's directory, to use its token; otherwise give --token.",
    )(command)


def _settings_of(choice: TokenChoice, directory: NodeDirectory | None) -> TokenSettings:
    """Return the token that the command line names, or a node's, or the development token beside it. Raises ConfigError."""
    if choice.uri is not None:
        return TokenSettings(choice.uri, choice.softhsm_configuration, choice.pin.pin_file)
    if directory is None:
        raise ConfigError("which token? give --token URI, or --directory of a node")
    if directory.is_initialised or not (directory.tokens / TOKEN_URI_FILE).exists():
        return token_settings_of(directory)
    return choice.settings(directory)


def new_pin(file: Path | None, descriptor: int | None, what: str) -> Pin:
    """Get a PIN that is to be set: from a file, a descriptor, or typed twice. Raises ConfigError, PinUnavailable."""
    if file is not None or descriptor is not None:
        return _present_pin(file, descriptor, what)
    first, second = _provider(None, None, what)(), _provider(None, None, f"{what}, again")()
    if not compare_digest(first.reveal().encode(), second.reveal().encode()):
        raise ConfigError("the two PINs that were typed differ; nothing was changed")
    return first


def _present_pin(file: Path | None, descriptor: int | None, what: str) -> Pin:
    """Get a PIN that is set already: from a file, a descriptor, or typed once. Raises ConfigError, PinUnavailable."""
    return _provider(file, descriptor, what)()


def _provider(file: Path | None, descriptor: int | None, what: str) -> PinProvider:
    if file is not None:
        return pin_from_file(file)
    if descriptor is not None:
        return pin_from_fd(descriptor)
    if not sys.stdin.isatty():
        raise ConfigError(f"the PIN of {what} is needed: give its file or descriptor")
    return pin_from_prompt(what)


@click.command("list", cls=Command)
@click.option(
    "--module",
    "modules",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A PKCS#11 module, by absolute path; may be repeated. Without one, those that are installed where we look.",
)
@_softhsm_option
@json_option
def list_tokens(modules: tuple[Path, ...], softhsm_configuration: Path | None, as_json: bool) -> None:
    """List modules, slots and tokens, with the state of the PINs' counters. Asks for no PIN and changes nothing."""
    use_softhsm(softhsm_configuration)
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


@click.command("check", cls=Command)
@click.option("--role", required=True, type=Choice(sorted(NEEDED)), help="Whose token it is to be.")
@_optional_directory
@token_options
@json_option
def check(role: str, directory: NodeDirectory | None, token: TokenChoice, as_json: bool) -> None:
    """Try whether a token can do what a role needs, on throw-away session keys: nothing stays on it.

    Each mechanism is used, not only asked for, and its result is checked in software. Exit code 1 if something that the role
    needs is missing.
    """
    settings = _settings_of(token, directory)
    trials = try_token(settings, token.pin.provider(settings))
    if as_json:
        click.echo(json.dumps({"role": role, "abilities": [_trial(role, trial) for trial in trials]}, indent=2))
    else:
        for line in check_lines(role, trials):
            click.echo(line)
    if missing_for(role, trials):
        click.get_current_context().exit(ExitCode.REFUSED)


def _trial(role: str, trial: Trial) -> dict[str, Any]:
    needed = trial.ability in NEEDED[role]
    return {
        "ability": trial.ability.name,
        "what": trial.ability.value,
        "needed": needed,
        "works": trial.works,
        "fault": trial.fault,
        "detail": trial.detail,
        "consequence": CONSEQUENCES[trial.ability] if _is_missed(role, trial) else "",
    }


def check_lines(role: str, trials: list[Trial]) -> Iterator[str]:
    """Yield the table: what works, what the role needs, and what it means that something is missing."""
    for trial in trials:
        needed = _need(role, trial)
        yield f"{'works' if trial.works else 'MISSING':8}{needed:12}{trial.ability.value}"
        said = f"the token said: {trial.fault}" if trial.fault else how(trial)
        if said:
            yield f"{'':20}{said}"
    for trial in trials:
        if _is_missed(role, trial):
            yield f"without {trial.ability.value}: {CONSEQUENCES[trial.ability]}"
    yield f"this token will {'not do' if missing_for(role, trials) else 'do'} for the role {role}"


def _need(role: str, trial: Trial) -> str:
    if trial.ability in OPTIONAL[role]:
        return "optional"
    return "needed" if trial.ability in NEEDED[role] else "not needed"


def _is_missed(role: str, trial: Trial) -> bool:
    return not trial.works and trial.ability in NEEDED[role] | OPTIONAL[role]


@click.command("keys", cls=Command)
@_optional_directory
@token_options
@json_option
def keys(directory: NodeDirectory | None, token: TokenChoice, as_json: bool) -> None:
    """List the objects of a token with their attributes, and name each that breaks the policy of its purpose.

    Exit code 1 if there is such a finding, or an object that no purpose names.
    """
    settings = _settings_of(token, directory)
    audited = audit_token(settings, token.pin.provider(settings))
    if as_json:
        click.echo(json.dumps([_key(key) for key in audited], indent=2))
    else:
        for key in audited:
            _show_key(key)
        findings = sum(len(key.findings) for key in audited)
        click.echo(f"{counted(len(audited), 'object')}, {counted(findings, 'finding')}")
    if any(key.findings for key in audited):
        click.get_current_context().exit(ExitCode.REFUSED)


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


@click.command("init", cls=Command)
@click.option("--module", required=True, type=PIN_FILE, help="The PKCS#11 module, by absolute path.")
@click.option("--label", required=True, help="The label that the token gets.")
@click.option("--token-serial", "serial", help="Serial number of the token; without it, the module's first blank one.")
@click.option("--erase", is_flag=True, help="Make an initialised token anew: EVERYTHING ON IT IS GONE.")
@click.option("--pin-file", type=PIN_FILE, help="File with the user's new PIN, mode 0600.")
@click.option("--pin-fd", type=int, help="Open file descriptor to read the user's new PIN from.")
@click.option("--so-pin-file", type=PIN_FILE, help="File with the security officer's PIN, mode 0600.")
@click.option("--so-pin-fd", type=int, help="Open file descriptor to read the security officer's PIN from.")
@_softhsm_option
def init(
    module: Path,
    label: str,
    serial: str | None,
    erase: bool,
    pin_file: Path | None,
    pin_fd: int | None,
    so_pin_file: Path | None,
    so_pin_fd: int | None,
    softhsm_configuration: Path | None,
) -> None:
    """Initialise a token (C_InitToken, C_InitPIN) and print its URI.

    PINs come from files, descriptors or the prompt, never from the command line. A token that is initialised already is
    refused, unless --erase is given and its label is typed; then its own security officer's PIN is needed.
    """
    use_softhsm(softhsm_configuration)
    if serial is not None:
        _confirm_erasure(module, serial, erase=erase)
    elif erase:
        raise ConfigError("--erase needs --token-serial: it has to be said which token is erased")
    so_pin = (_present_pin if erase else new_pin)(so_pin_file, so_pin_fd, "the security officer")
    pin = new_pin(pin_file, pin_fd, f"the user of {label}")
    click.echo(str(initialise_token(module, label, pin=pin, so_pin=so_pin, serial=serial, erase=erase)))


def _confirm_erasure(module: Path, serial: str, *, erase: bool) -> None:
    found = _of_serial(module, serial)
    if not found.is_initialised:
        return
    if not erase:
        raise TokenExists(f"The token {found.label!r} is initialised already: --erase would destroy all that is on it.")
    typed = click.prompt(
        f"All keys of the token {found.label!r} will be destroyed. Type its label to go on", default=""
    )
    if typed != found.label:
        raise ConfigError("that is not its label; nothing was changed")


def _of_serial(module: Path, serial: str) -> FoundToken:
    (surveyed,) = survey([module])
    for found in surveyed.tokens:
        if found.serial == serial:
            return found
    raise TokenNotFound(surveyed.fault or f"The module has no token of serial number {serial}.")


@click.command("change-pin", cls=Command)
@_optional_directory
@token_options
@click.option("--new-pin-file", type=PIN_FILE, help="File with the new PIN, mode 0600.")
@click.option("--new-pin-fd", type=int, help="Open file descriptor to read the new PIN from.")
def change_pin(
    directory: NodeDirectory | None, token: TokenChoice, new_pin_file: Path | None, new_pin_fd: int | None
) -> None:
    """Change a token's user PIN. The old one is presented once: a wrong one costs one try.

    Servers that use the token keep their login until they lose it, and need the new PIN from then on.
    """
    settings = _settings_of(token, directory)
    use_softhsm(settings.softhsm_configuration)
    uri = TokenUri.parse(settings.uri)
    old = token.pin.provider(settings)()
    new = new_pin(new_pin_file, new_pin_fd, f"the user of {uri.token or uri.serial}, new")
    change_user_pin(uri, old=old, new=new)
    click.echo("the PIN was changed")
    kept = settings.pin_file or uri.pin_source
    if kept is not None:
        click.echo(f"{kept} may hold the old one: put the new one there")


@click.command("init-softhsm", cls=Command)
@directory_option
@click.option("--label", required=True, help="The token's label.")
@click.option("--pin-file", type=PIN_FILE, required=True, help="File with its PIN.")
def init_softhsm(directory: NodeDirectory, label: str, pin_file: Path) -> None:
    """Make a SoftHSM token in DIRECTORY/tokens, which `init` then uses, and print its URI.

    If the PIN file is not there, a random PIN is written to it. SoftHSM protects keys from mistakes, not from its machine.
    """
    click.echo(make_development_token(directory, label, pin_file))
