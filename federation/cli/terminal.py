"""What the doctor's and the patient's commands say, and how: refusals in plain words, codes, progress, tables."""

import ipaddress
import math
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

import safefiles
from federation.cli.exit_codes import ExitCode
from federation.clinical.text import counted, printable, without_control
from federation.person.evidence import EvidenceBook
from federation.person.hospital_session import OnSent
from federation.person.records import Progress as OnProgress
from federation.protocol.exhibit import read_file
from federation.words import EXPECTED, sentence


def say(words: str = "", *, err: bool = False) -> None:
    """Say something. What came from outside is in it through `printable` alone; what slipped by repaints no terminal here."""
    click.echo(without_control(words), err=err)


def is_answered() -> bool:
    """Return whether somebody is at the terminal who can answer."""
    return sys.stdin.isatty()


def require_answer(yes: bool) -> None:
    """Require that somebody can answer, or has with `--yes`: nothing is signed that nobody read. Raises UsageError."""
    if not yes and not is_answered():
        raise click.UsageError("What you are about to sign is shown first, and nobody can answer here: give --yes.")


def confirm(question: str, *, yes: bool, unless: str) -> None:
    """Ask, unless `--yes` has answered; no is the usual answer. Raises Exit for it, once it is told what that leaves."""
    if not yes and not click.confirm(question, default=False):
        say(unless)
        raise click.exceptions.Exit(ExitCode.REFUSED)


yes_option = click.option("--yes", is_flag=True, help="Don't ask: sign what is shown. For scripts.")


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Say what could not be shown or saved, and go on: no strange file ends a visit or hides what comes after it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file does to what shows it, the visit is not its price
        said = sentence(error) if isinstance(error, EXPECTED) else type(error).__name__
        say(f"  {what[0].upper()}{what[1:]} CAN'T BE SHOWN OR SAVED. ({printable(said)})")


@contextmanager
def transfer(words: str) -> Iterator[OnProgress]:
    """Show what comes from a hospital, or goes there, as it does; how large a record is, is known once its manifest came."""
    from federation.cli.transfers import transfers  # noqa: PLC0415 - rich draws bars, and nothing else here

    with transfers() as show:
        yield lambda hospital_id, received, size: show(f"{words} {hospital_id}", received, size)


@contextmanager
def sending(to: str, size_bytes: int) -> Iterator[OnSent]:
    """Show what goes to somebody as the line takes it; its seals and padding are not counted."""
    with transfer("sending to") as progress:
        yield lambda sent_bytes: progress(to, min(sent_bytes, size_bytes), size_bytes)


def export_evidence(
    book: EvidenceBook, target: Path, numbers: Collection[int] = (), kinds: Collection[str] = ()
) -> None:
    """Write the exhibits of these numbers or kinds, or all, to a file, mode 0600. Raises BadParameter, OSError, SealBroken."""
    content = book.file(numbers, kinds)
    found = len(read_file(content))
    if found < len(set(numbers)):
        raise click.BadParameter("there are not so many exhibits", param_hint="--only")
    safefiles.replace(target, content)
    say(f"{counted(found, 'exhibit')} written to {target}.")


only_option = click.option(
    "--only",
    "numbers",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="This exhibit alone, by its number among all; may be repeated.",
)


def write_new(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a new file, mode 0600, whole or not at all. Raises FileExistsError, OSError, and what the content raises."""
    with safefiles.creating(path) as file:  # half a record would be taken for one
        for piece in (content,) if isinstance(content, bytes) else content:
            file.write(piece)


class _Network(click.ParamType[str]):
    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        try:
            return str(ipaddress.ip_network(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


dial_only_option = click.option(
    "--dial-only", type=_Network(), multiple=True, help="Connect to this network only, as 10.0.0.0/8 (repeat for more)."
)


class Amount(click.FloatRange):
    """A number in a range; "nan" and "inf" are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return the number. Raises BadParameter."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no amount", param, ctx)
        return number


@contextmanager
def trace_file(path: Path | None) -> Iterator[TextIO | None]:
    """Open the file for `--trace`, mode 0600, or none."""
    if path is None:
        yield None
        return
    with suppress(FileExistsError):
        safefiles.create(path, b"")
    with path.open("a", encoding="utf-8") as file:
        yield file
