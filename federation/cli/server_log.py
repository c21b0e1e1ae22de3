"""The commands on a server's own log, `log` to `log-anew` and `accesses`: the same for every kind of server."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, cast

import click

from federation.cli.audit_log import Wanted, accesses_options, log_options, show_log, write_accesses
from federation.cli.groups import Command
from federation.cli.log_heads import (
    archive_options,
    begin_anew,
    heads_options,
    settle,
    settle_options,
    show_heads,
    write_archive,
)
from federation.cli.options import F, Node, reason_option
from federation.party.audit import Audit
from federation.party.log_heads import OwnLog
from federation.party.signed_heads import SignedHeads
from federation.party.witness import Witness

Opening = Callable[[Any], Any]
"""Adds the options that find a server; the command gets its log as `opened`, to be entered with `with`."""
Opened = AbstractContextManager["ServerLog"]


@dataclass(frozen=True)
class ServerLog:
    """A server's log: what it wrote, its heads and who stands by them, and what signed them, to check it by."""

    audit: Audit
    own: OwnLog
    witness: Witness
    signed_heads: Callable[[], SignedHeads]


class LogCommands(NamedTuple):
    """The commands, by what they are called."""

    log: click.Command
    log_archive: click.Command
    log_heads: click.Command
    log_settle: click.Command
    log_anew: click.Command
    accesses: click.Command


def log_commands(options: Callable[[Any], Any], log_of: Callable[[Node], ServerLog], shows: str) -> LogCommands:
    """Make the commands for a kind of server, which `options` find and bring as `opened`; `shows` is the help of `log`."""

    @contextmanager
    def opened_log(opened: AbstractContextManager[Node]) -> Iterator[ServerLog]:
        with opened as node:
            yield log_of(node)

    def opening(command: F) -> F:
        @wraps(command)
        def with_log(opened: AbstractContextManager[Node], **values: Any) -> object:  # noqa: ANN401 - click's own
            return command(opened=opened_log(opened), **values)

        return cast("F", options(with_log))

    return LogCommands(
        _log(opening, shows), _archive(opening), _heads(opening), _settle(opening), _anew(opening), _accesses(opening)
    )


def _log(opening: Opening, shows: str) -> click.Command:
    @click.command(cls=Command, help=shows)
    @opening
    @log_options
    def log(opened: Opened, wanted: Wanted, verify: bool) -> None:
        with opened as shown:
            show_log(shown.audit, wanted, shown.signed_heads() if verify else None)

    return log


def _archive(opening: Opening) -> click.Command:
    @click.command(cls=Command)
    @opening
    @archive_options
    def log_archive(opened: Opened, output: Path) -> None:
        """Write what a directory lacks of the log: its tree as tlog-tiles, for anyone, and its sealed entries."""
        with opened as shown:
            write_archive(shown.audit, shown.own, output)

    return log_archive


def _heads(opening: Opening) -> click.Command:
    @click.command(cls=Command)
    @opening
    @heads_options
    def log_heads(opened: Opened, as_json: bool) -> None:
        """Show the log's head and who cosigned it, others' heads that are kept here, and heads that contradict each other."""
        with opened as shown:
            show_heads(shown.own, shown.witness, as_json=as_json)

    return log_heads


def _settle(opening: Opening) -> click.Command:
    @click.command(cls=Command)
    @opening
    @settle_options
    def log_settle(opened: Opened, finding_id: bytes, reason: str) -> None:
        """Note that what contradicts was seen to: it alarms no more, and stays as evidence."""
        with opened as shown:
            settle(shown.audit, shown.witness, finding_id, reason)

    return log_settle


def _anew(opening: Opening) -> click.Command:
    @click.command(cls=Command)
    @opening
    @reason_option
    def log_anew(opened: Opened, reason: str) -> None:
        """Begin the log anew under the next number, after a restore that lost entries which its witnesses know of."""
        with opened as shown:
            begin_anew(shown.audit, shown.own, reason)

    return log_anew


def _accesses(opening: Opening) -> click.Command:
    @click.command(cls=Command)
    @opening
    @accesses_options
    def accesses(opened: Opened, patient_id: str, fhir: Path) -> None:
        """Write who was given, or refused, what of one patient as FHIR AuditEvents, for the patient or an auditor."""
        with opened as shown:
            write_accesses(shown.audit, shown.own.identity, patient_id, fhir)

    return accesses
