"""`medunion token`: look at tokens, try them, initialise them, audit their keys. No private key is ever shown."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hmac import compare_digest
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.check.findings import KINDS, NodeSettings
from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Choice, Command
from federation.cli.options import (
    TOKEN_URI_FILE,
    F,
    OutputFile,
    PinChoice,
    TokenChoice,
    directory_option,
    json_option,
    make_development_token,
    pin_options,
    token_options,
)
from federation.clinical.text import counted
from federation.clock import system_clock
from federation.errors import NotRegistered
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.cloud_client import CloudClient
from federation.party.database_owner import require_owner
from federation.party.generations import StoredGenerations
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory, open_node_token, use_softhsm
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
from federation.store.log import Log
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from federation.wire.channel import dialling_of
from hsm import Pin, PinProvider, TokenUri, Trial, pin_from_fd, pin_from_file, pin_from_prompt
from hsm.errors import TokenExists, TokenNotFound
from hsm.survey import FoundToken, known_modules
from hsm.token import change_user_pin, initialise_token
from keystore.registration_secret import encrypted_pkcs8

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

_HANDED_OVER_TO = {"H", "D"}
"""Who may have such a token, by the first letter of its identity: a patient's is a software token, which takes S_X by itself."""
_LEAST_PASSWORD_BYTES = 12

_PIN_FILE = click.Path(dir_okay=False, path_type=Path)


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


def _new_pin(file: Path | None, descriptor: int | None, what: str) -> Pin:
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
@click.option("--module", required=True, type=_PIN_FILE, help="The PKCS#11 module, by absolute path.")
@click.option("--label", required=True, help="The label that the token gets.")
@click.option("--token-serial", "serial", help="Serial number of the token; without it, the module's first blank one.")
@click.option("--erase", is_flag=True, help="Make an initialised token anew: EVERYTHING ON IT IS GONE.")
@click.option("--pin-file", type=_PIN_FILE, help="File with the user's new PIN, mode 0600.")
@click.option("--pin-fd", type=int, help="Open file descriptor to read the user's new PIN from.")
@click.option("--so-pin-file", type=_PIN_FILE, help="File with the security officer's PIN, mode 0600.")
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
    so_pin = (_present_pin if erase else _new_pin)(so_pin_file, so_pin_fd, "the security officer")
    pin = _new_pin(pin_file, pin_fd, f"the user of {label}")
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
@click.option("--new-pin-file", type=_PIN_FILE, help="File with the new PIN, mode 0600.")
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
    new = _new_pin(new_pin_file, new_pin_fd, f"the user of {uri.token or uri.serial}, new")
    change_user_pin(uri, old=old, new=new)
    click.echo("the PIN was changed")
    kept = settings.pin_file or uri.pin_source
    if kept is not None:
        click.echo(f"{kept} may hold the old one: put the new one there")


@click.command("init-softhsm", cls=Command)
@directory_option
@click.option("--label", required=True, help="The token's label.")
@click.option("--pin-file", type=_PIN_FILE, required=True, help="File with its PIN.")
def init_softhsm(directory: NodeDirectory, label: str, pin_file: Path) -> None:
    """Make a SoftHSM token in DIRECTORY/tokens, which `init` then uses, and print its URI.

    If the PIN file is not there, a random PIN is written to it. SoftHSM protects keys from mistakes, not from its machine.
    """
    click.echo(make_development_token(directory, label, pin_file))


@click.command("hand-over", cls=Command)
@directory_option
@pin_options
@click.option("--output", required=True, type=OutputFile(), help="The new file for the maker's tool.")
@click.option("--password-file", type=_PIN_FILE, help="File with the password to encrypt it under, mode 0600.")
@click.option("--password-fd", type=int, help="Open file descriptor to read that password from.")
def hand_over(
    directory: NodeDirectory, pin: PinChoice, output: Path, password_file: Path | None, password_fd: int | None
) -> None:
    """Write the registration secret that a token takes by its maker's own tool alone, as PKCS#8 under a password.

    `register` says when it waits. The password comes from a file, a descriptor or the prompt.
    """
    with _opened_member(directory, pin) as (member, audit, _):
        awaited = member.hand_over
        if awaited is None:
            raise ConfigError("no registration secret waits to be put into the token by hand")
        with safefiles.creating(output) as file:  # first: whatever stands there is not written over
            password = _new_pin(password_file, password_fd, str(output)).reveal().encode()
            if len(password) < _LEAST_PASSWORD_BYTES:
                raise ConfigError(f"the password needs {_LEAST_PASSWORD_BYTES} bytes at least: it guards the file")
            audit.record(AuditEvent("SECRET-HANDED-OVER", OK, detail=awaited.serial.hex()), now=system_clock())
            file.write(encrypted_pkcs8(awaited.registration_secret, password))
    click.echo(
        f"{output} holds {member.identity}'s registration secret, a P-256 private key, as PKCS#8 under the password."
    )
    click.echo("Import it by the token's maker's tool, alone, without its public key:")
    click.echo(f"  label {awaited.label}, any id")
    click.echo("  private, sensitive, not extractable, not modifiable, not copyable; for DERIVE and no other use")
    click.echo(f"Then destroy {output}, and go on:")
    click.echo(f"  medunion token taken-over --directory {directory.path}")


@click.command("taken-over", cls=Command)
@directory_option
@pin_options
def taken_over(directory: NodeDirectory, pin: PinChoice) -> None:
    """Test the registration secret that the maker's tool put into the token, and finish the registration.

    A wrong key is refused and changes nothing. What was cut short goes on when this is typed again.
    """
    with _opened_member(directory, pin) as (member, audit, settings):
        if member.hand_over is None:
            if not member.is_registered:
                raise NotRegistered(f"no registration of {member.identity} waits: `register` comes first")
            click.echo(f"{member.identity} is registered; nothing waits.")
            return
        with CloudClient(member.trust.newest, dialling=dialling_of(settings.dialling)) as cloud:
            cloud.refresh(member)
            now = system_clock()
            party = member.take_over(now)  # which asks for the shard of its credential
        if party is not None:
            audit.record(AuditEvent("SECRET-TAKEN-OVER", OK, detail=party.serial.hex()), now=now)
    click.echo(
        f"{member.identity}'s registration secret is in the token, tested. Destroy the file if it is still there."
    )
    if directory.letter == "H":
        click.echo(f"Go on: medunion hospital register --directory {directory.path} --licence FILE")


@contextmanager
def _opened_member(directory: NodeDirectory, pin: PinChoice) -> Iterator[tuple[Member, Audit, NodeSettings]]:
    """Open a hospital or doctor without the chores of its own commands. Raises ConfigError, HsmError, StoreError."""
    if directory.letter not in _HANDED_OVER_TO:
        raise ConfigError("a registration secret is handed over to a hospital's or a doctor's token")
    kind = KINDS[directory.letter]
    settings = directory.settings(kind.settings)
    with (
        open_node_token(settings.token, pin.provider(settings.token)) as opened,
        directory.database(getattr(settings, "database", None)) as database,
    ):
        if directory.letter == "H":
            require_owner(database, settings.identity)
        kept, protocol = Settings(database), settings.protocol
        keys = kind.keys(opened, StoredGenerations(kept))
        member = Member(
            settings.identity,
            keys,
            kept,
            Epochs(database),
            directory.trust(),
            protocol.freshness,
            protocol.lifetimes,
            KeptShards(database) if directory.letter == "H" else None,
        )
        yield member, Audit(Log(database), member.sealing, where=member.identity), settings
