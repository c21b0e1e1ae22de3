"""`medunion ... rotate`: the generations of a party's keys; the same commands for every kind of party."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import wraps
from typing import Any, cast

import click

from federation.cli.groups import Choice, Command, Group
from federation.cli.options import F, Node, gather_options, json_option, moment, show_json
from federation.party.reencryption import Pace, Progress, Tally
from federation.rotation.steps import Rotation, Status
from keystore.generations import Generation

PROGRESS_SECONDS = 1.0

Opening = Callable[[Any], Any]
"""Adds the options that find a party; the command gets its rotation as `opened`, to be entered with `with`."""
Chosen = Callable[[Any], Any]


def rotate_group(
    options: Callable[[Any], Any],
    rotation_of: Callable[[Node], Rotation],
    purposes: Sequence[str],
    forgettable: Mapping[str, str],
) -> click.Group:
    """Make the group for a kind of party, which `options` find and bring as `opened`.

    `forgettable` maps what a revocation may give up, as the party's `Use`s name it, to its option's name.
    """

    @contextmanager
    def opened_rotation(opened: AbstractContextManager[Node]) -> Iterator[Rotation]:
        with opened as node:
            yield rotation_of(node)

    def opening(command: F) -> F:
        @wraps(command)
        def with_rotation(opened: AbstractContextManager[Node], **values: Any) -> object:  # noqa: ANN401 - click's own
            return command(opened=opened_rotation(opened), **values)

        return cast("F", options(with_rotation))

    @click.group(cls=Group)
    def rotate() -> None:
        """Replace a key: prepare a successor, activate it, and end the old one when nothing needs it any more."""

    chosen = click.argument("purpose", type=Choice(purposes))
    for command in (
        _status(opening),
        _prepare(opening, chosen),
        _activate(opening, chosen),
        _taint(opening, chosen),
        _revoke(opening, chosen, forgettable),
        _reseal(opening, chosen),
    ):
        rotate.add_command(command)
    return rotate


_number = click.argument("number", type=click.IntRange(min=1))


def _status(opening: Opening) -> click.Command:
    @click.command(cls=Command)
    @json_option
    @opening
    def status(as_json: bool, opened: AbstractContextManager[Rotation]) -> None:
        """Show every generation of every key, and how much is left under it."""
        with opened as rotation:
            if as_json:
                show_json([_fields(line) for line in rotation.status()])
            else:
                _show(rotation.status())

    return status


def _prepare(opening: Opening, chosen: Chosen) -> click.Command:
    @click.command(cls=Command)
    @chosen
    @click.option("--make-keys", "generate", is_flag=True, help="Make the key now, before no witness.")
    @opening
    def prepare(purpose: str, generate: bool, opened: AbstractContextManager[Rotation]) -> None:
        """Take the successor's key that is in the token: it does nothing yet, and whoever relies on it learns of it."""
        with opened as rotation:
            _say(purpose, rotation.prepare(purpose, generate=generate), "is prepared")

    return prepare


def _activate(opening: Opening, chosen: Chosen) -> click.Command:
    @click.command(cls=Command)
    @chosen
    @click.option("--at", "at", type=_Moment(), help="When, such as 2026-03-01T02:00:00Z.")
    @click.option(
        "--now", "at_once", is_flag=True, help="At once, also where others may not have learnt of the key yet."
    )
    @opening
    def activate(purpose: str, at: int | None, at_once: bool, opened: AbstractContextManager[Rotation]) -> None:
        """Let the successor take over; the key that is active now retires at the same moment."""
        if at is not None and at_once:
            raise click.UsageError("Give either --at or --now.")
        with opened as rotation:
            active = rotation.activate(purpose, at, at_once=at_once)
            _say(purpose, active, f"is active from {moment(active.active_from)}")

    return activate


def _taint(opening: Opening, chosen: Chosen) -> click.Command:
    @click.command(cls=Command)
    @chosen
    @_number
    @opening
    def taint(purpose: str, number: int, opened: AbstractContextManager[Rotation]) -> None:
        """Say that a retired key can't be trusted any more: what hangs on it is replaced at once."""
        with opened as rotation:
            _say(purpose, rotation.taint(purpose, number), "is tainted")

    return taint


def _revoke(opening: Opening, chosen: Chosen, forgettable: Mapping[str, str]) -> click.Command:
    @click.command(cls=Command)
    @chosen
    @_number
    @_forgetting(forgettable)
    @opening
    def revoke(purpose: str, number: int, forgetting: frozenset[str], opened: AbstractContextManager[Rotation]) -> None:
        """End a key that nothing needs any more. This is for ever; its private half may then be destroyed."""
        with opened as rotation:
            _say(purpose, rotation.revoke(purpose, number, forgetting=forgetting), "is revoked")

    return revoke


def _reseal(opening: Opening, chosen: Chosen) -> click.Command:
    @click.command(cls=Command)
    @chosen
    @pace_option
    @opening
    def reseal(purpose: str, per_second: float, opened: AbstractContextManager[Rotation]) -> None:
        """Put under the active key what older ones hold, while servers serve. Cut short, it goes on when it is run again."""
        with opened as rotation:
            tally = rotation.reseal(purpose, told("sealed anew"), Pace(per_second))
            click.echo(f"{purpose}: {tally.seen} looked at, {tally.changed} sealed anew.")

    return reseal


class _Moment(click.ParamType[int]):
    """A moment with its time zone, in milliseconds since 1970."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's own
        """Read it."""
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            self.fail("write it as 2026-03-01T02:00:00Z", param, ctx)
        if read.tzinfo is None:
            self.fail("say the time zone too, such as Z", param, ctx)
        return int(read.timestamp() * 1000)


def pace_option(command: F) -> F:
    """Add `--per-second`: how fast a walk goes at most."""
    return click.option(
        "--per-second", type=click.FloatRange(min=0.1), default=200.0, show_default=True, help="Pace at most."
    )(command)


def told(done: str) -> Progress:
    """Return what says how far a walk is, once a second."""
    due = time.monotonic() + PROGRESS_SECONDS

    def tell(tally: Tally) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_SECONDS
            click.echo(f"{tally.seen} looked at, {tally.changed} {done} ...", err=True)

    return tell


def _forgetting(forgettable: Mapping[str, str]) -> Callable[[F], F]:
    """Add an option for each thing that may be given up; together they come as `forgetting`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        agreed = {words for words, option in forgettable.items() if values.pop(option.replace("-", "_"))}
        return {"forgetting": frozenset(agreed)}

    options = [
        click.option(f"--{option}", is_flag=True, help=f"Agree to lose {words} of it.")
        for words, option in forgettable.items()
    ]
    return lambda command: gather_options(command, gather, options)


def _say(purpose: str, it: Generation, what: str) -> None:
    click.echo(f"Generation {it.number} of {purpose} {what}.")


def _show(lines: Iterable[Status]) -> None:
    for line in lines:
        left = ", ".join(f"{count} {words}" for words, count in line.left.items() if count) or "nothing"
        since = "not activated" if line.active_from is None else f"since {_since(line.active_from)}"
        until = f", until {moment(line.retired_at)}" if line.retired_at is not None else ""
        click.echo(f"{line.purpose:<14} {line.number:>3}  {line.state:<9} {since}{until}; under it: {left}")


def _fields(line: Status) -> dict[str, object]:
    """Return a generation as JSON has it; the first is active from no moment on, which is not told as one of 1970."""
    return asdict(line) | {"active_from": line.active_from or None}


def _since(active_from: int) -> str:
    """Return since when a generation is active; the first is from before any moment."""
    return "the node was made" if active_from == 0 else moment(active_from)
