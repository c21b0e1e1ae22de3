"""`medunion hospital records erase`: says first what it would do, and does it when it is told the number."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from federation.cli.common import PinChoice, directory_option, pin_options, sentence
from federation.cli.operators import reason_option
from federation.cli.records import (
    act_for,
    chosen,
    due_in,
    each,
    handle_of,
    handles_argument,
    line_of,
    open_node,
    patient_option,
)
from federation.cli.text_file import read_text
from federation.clinical.text import counted
from federation.errors import NoSuchRecord, RecordErased
from federation.hospital import records_administration
from federation.hospital.node import HospitalNode
from federation.hospital.records_administration import Act
from federation.party.node_directory import NodeDirectory
from federation.store.errors import StoreUnavailable


@click.command()
@directory_option
@pin_options
@handles_argument
@patient_option
@click.option("--due", is_flag=True, help="All records whose retention is over, but those that are held, instead.")
@click.option(
    "--from",
    "list_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The records of a file, one handle a line, as `list --erased` wrote it, instead.",
)
@click.option("--confirm", type=click.IntRange(min=0), metavar="N", help="Erase them, if they are N.")
@reason_option
def erase(
    directory: NodeDirectory,
    pin: PinChoice,
    handles: tuple[bytes, ...],
    patient_id: str | None,
    due: bool,
    list_file: Path | None,
    confirm: int | None,
    reason: str,
) -> None:
    """Erase records for good: their keys, their content, their rows of the index.

    A record whose retention is not over, and one that is held, is refused. Without --confirm nothing is done but counting.
    """
    act = act_for(reason)
    with open_node(directory, pin) as node:
        named = _named(node, handles, patient_id, list_file, due=due)
        if confirm is None:
            _tell(node, named)
        elif confirm != len(named):
            raise click.ClickException(f"{counted(len(named), 'record')} to erase, not {confirm}: nothing was erased")
        else:
            _erase(node, named, act)


def _named(
    node: HospitalNode, handles: tuple[bytes, ...], patient_id: str | None, list_file: Path | None, *, due: bool
) -> Sequence[bytes]:
    ways = bool(handles or patient_id is not None) + due + (list_file is not None)
    if ways != 1:
        raise click.UsageError("name records by their handles, or give one of --patient, --due and --from")
    if due:
        return [
            view.newest.handle
            for view in records_administration.overviews(node.hospital, due_in(node))
            if not view.holds
        ]
    if list_file is not None:
        return list(dict.fromkeys(_handles_in(list_file)))
    return list(dict.fromkeys(chosen(node, handles, patient_id)))


def _handles_in(list_file: Path) -> Iterator[bytes]:
    text, _ = read_text(list_file)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield handle_of(line.split()[0])
            except click.BadParameter as error:
                raise click.UsageError(f"{list_file}, line {number}: {error.message}") from error


def _tell(node: HospitalNode, named: Sequence[bytes]) -> None:
    for handle in named:
        try:
            click.echo(line_of(records_administration.overview(node.hospital, handle)))
        except (RecordErased, NoSuchRecord) as error:
            click.echo(sentence(error))
    click.echo(f"{len(named)} to erase; nothing is erased yet. Give --confirm {len(named)} to erase them for good.")


def _erase(node: HospitalNode, named: Sequence[bytes], act: Act) -> None:
    def step(handle: bytes) -> str:
        return "erased" if records_administration.erase(node.hospital, handle, act) else "was erased already"

    try:
        each(named, step)
    finally:
        _bury(node)


def _bury(node: HospitalNode) -> None:
    """Remove what a shelf that did not answer, or a command that was killed, left of erased records."""
    try:
        records_administration.bury(node.hospital)
    except StoreUnavailable as error:
        click.echo(f"Content without its key waits to be removed, by the server or this command: {error}", err=True)
