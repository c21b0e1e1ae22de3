"""`medunion token hand-over` and `taken-over`: a registration secret that a token takes by its maker's own tool alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

import safefiles
from federation.check.findings import KINDS, NodeSettings
from federation.cli.groups import Command
from federation.cli.options import (
    OutputFile,
    PinChoice,
    directory_option,
    pin_options,
)
from federation.cli.token import PIN_FILE, new_pin
from federation.clock import system_clock
from federation.errors import NotRegistered
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.cloud_client import CloudClient
from federation.party.database_owner import require_owner
from federation.party.generations import StoredGenerations
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory, open_node_token
from federation.settings import ConfigError
from federation.store.log import Log
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from federation.wire.channel import dialling_of
from keystore.registration_secret import encrypted_pkcs8

_HANDED_OVER_TO = {"H", "D"}
"""Who may have such a token, by the first letter of its identity: a patient's is a software token, which takes S_X by itself."""
_LEAST_PASSWORD_BYTES = 12


@click.command("hand-over", cls=Command)
@directory_option
@pin_options
@click.option("--output", required=True, type=OutputFile(), help="The new file for the maker's tool.")
@click.option("--password-file", type=PIN_FILE, help="File with the password to encrypt it under, mode 0600.")
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
            password = new_pin(password_file, password_fd, str(output)).reveal().encode()
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
