"""`medunion backup`, `restore` and `witness`: a node's database, records and settings, kept and put back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import click

import safefiles
from federation.backup.make import Reporter, make_backup, role_of
from federation.backup.manifest import ROLES, Manifest
from federation.backup.restore import Destination, read_manifest, restore
from federation.backup.series import Series
from federation.backup.witness import Witness, heard
from federation.cli.groups import Command
from federation.cli.options import (
    EXISTING,
    TOKEN_URI_FILE,
    PinChoice,
    TokenChoice,
    blobs_option,
    database_options,
    directory_option,
    moment,
    node_options,
    output_option,
    pin_options,
    token_options,
)
from federation.cli.transfers import standard_error, transfers
from federation.clock import system_clock
from federation.hospital.node import HospitalNode
from federation.party.node_directory import NodeDirectory
from federation.party.tokens import token_settings_of
from federation.settings import BlobSettings, DatabaseSettings, HospitalSettings, TokenSettings

_BACKUP = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(cls=Command)
@directory_option
@click.option("--output", type=click.Path(path_type=Path), help="Directory to make, which is not there yet.")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory in which one is made that is named by the node and the time, as a timer needs it.",
)
@click.option(
    "--keep-newest",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --into: remove this node's older ones there, when the new one is whole, until N are left.",
)
@click.option(
    "--copy-blobs/--list-blobs",
    default=None,
    help="Copy the records' blobs, or only read and list them where they are; by default files are copied, a bucket is not.",
)
@pin_options
def backup(
    directory: NodeDirectory,
    output: Path | None,
    into: Path | None,
    keep_newest: int | None,
    copy_blobs: bool | None,
    pin: PinChoice,
) -> None:
    """Back up a public cloud or a hospital, while it serves: database, records, settings.

    No private key is in a backup: its manifest names those that are needed.
    """
    if (output is None) == (into is None):
        raise click.UsageError("Give either --output or --into.")
    if keep_newest is not None and into is None:
        raise click.UsageError("--keep-newest goes with --into.")
    provider = pin.provider(token_settings_of(directory))
    series = None if into is None else Series(into.resolve(), directory.settings(role_of(directory).settings).identity)
    target = series.next(system_clock()) if series is not None else Path(output or "").resolve()
    with _reporter() as reporter:
        manifest = make_backup(directory, provider, target, reporter, copy_blobs=copy_blobs)
    _show(manifest)
    click.echo(f"\n{target}\nKeep this digest apart from the backup:\n\n    {manifest.digest}\n")
    if series is not None and keep_newest is not None:
        for gone in series.keep(keep_newest):
            click.echo(f"{gone} is removed.")


@click.command("restore", cls=Command)
@click.argument("source", type=_BACKUP, metavar="DIRECTORY")
@directory_option
@click.option("--digest", help="The digest that `medunion backup` showed: another is refused.")
@click.option(
    "--witness",
    "witnesses",
    type=EXISTING,
    multiple=True,
    help="Of a public cloud: what a hospital has heard of it (`medunion witness`); repeat for several.",
)
@database_options
@blobs_option
@token_options
def restore_command(
    source: Path,
    directory: NodeDirectory,
    digest: str | None,
    witnesses: tuple[Path, ...],
    database: DatabaseSettings,
    blobs: BlobSettings,
    token: TokenChoice,
) -> None:
    """Put a node back from the backup in DIRECTORY into a new directory.

    The token has its keys already: from the shares, or by its maker's means. Name it, or give the digest; other settings that are
    not given are the backup's. The old server must not serve any more.
    """
    manifest = read_manifest(source)
    _show(manifest)
    named = _named_token(directory, token)
    destination = Destination(directory, named, database if database.url else None, blobs if blobs.url else None)
    pin = token.pin.provider(named or NodeDirectory(source).settings(ROLES[manifest.role].settings).token)
    heard_by = [Witness.of(path.read_bytes()) for path in witnesses]
    with _reporter() as reporter:
        restored = restore(source, destination, pin, reporter, digest=digest, witnesses=heard_by)
    click.echo(f"{manifest.identity} is restored in {directory.path}.")
    for line in _left_to_do(manifest, restored.has_other_identity, bool(witnesses)):
        click.echo(f"- {line}")


@click.command(cls=Command)
@node_options(HospitalNode, HospitalSettings)
@output_option("What to write.")
def witness(opened: AbstractContextManager[HospitalNode], output: Path) -> None:
    """Write down what this hospital last heard of the public cloud, which is being restored: signed, nothing secret."""
    with opened as node:
        safefiles.replace(output.resolve(), heard(node))
    click.echo(f"{output} goes to the public cloud's operator, for `medunion restore --witness`.")


def _named_token(directory: NodeDirectory, token: TokenChoice) -> TokenSettings | None:
    """Return the token that is named, or was made in the new directory; without either it is the backup's."""
    is_named = token.uri is not None or (directory.tokens / TOKEN_URI_FILE).exists()
    return token.settings(directory) if is_named else None


def _show(manifest: Manifest) -> None:
    blobs = f"{manifest.blobs} blobs {'copied' if manifest.blobs_copied else 'listed'}"
    click.echo(
        f"Backup of {manifest.identity}, a {manifest.role} on {manifest.database}, made {moment(manifest.made_at)}"
    )
    click.echo(f"{manifest.log_entries} entries of the log, {blobs}, list number {manifest.list_number}")
    click.echo(f"Keys that the token needs: {', '.join(manifest.keys)}")


def _left_to_do(manifest: Manifest, has_other_identity: bool, witnessed: bool) -> Iterator[str]:
    yield "Start it. What came after the backup is not there: docs/backup.md says what to look after."
    if manifest.role == "hospital":
        yield "Have it publish again what the public cloud may lack: `medunion hospital publish-again`."
        if has_other_identity:
            yield "Its identity key is another one: the public cloud's operator revokes and invites it, and it registers."
    elif not witnessed:
        yield "No witness was given: revocations since the backup are forgotten. Revoke again what you know of."
    if manifest.role == "public-cloud":
        yield "Hospitals publish again: `medunion hospital publish-again`; who registered since does so again."


@contextmanager
def _reporter() -> Iterator[Reporter]:
    """Tell steps as lines, and bytes as a bar where somebody looks."""
    console, copied = standard_error(), 0

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    with transfers(console) as show:

        def advance(size: int) -> None:
            nonlocal copied
            copied += size
            show("Records", copied, None)

        yield Reporter(say, advance)
