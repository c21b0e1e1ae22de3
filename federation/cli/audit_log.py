"""A server's audit log at a terminal: entry by entry, or one patient's accesses as FHIR."""

import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.cli.options import F, IdentityParameter, OutputFile, gather_options, moment
from federation.cli.times import Time
from federation.clinical.text import counted
from federation.clock import system_clock
from federation.party.access_export import accesses_as_fhir
from federation.party.audit import Audit, AuditEntry
from federation.party.signed_heads import SignedHeads, Verified, verify_log
from federation.protocol.access import AccessEvent
from federation.protocol.time import Instant
from federation.wire import operations
from keystore.identities import PatientId

FOLLOW_EVERY = timedelta(seconds=1)


@dataclass(frozen=True)
class Wanted:
    """Which entries of the log are to be shown. What is left out is not asked; all that is given has to hold."""

    after: int
    since: Instant
    people: tuple[str, ...]
    reasons: frozenset[str]
    request_id: str | None
    follow: bool

    def has(self, entry: AuditEntry) -> bool:
        """Return whether an entry is wanted. Whom an entry without fields of its own for them is about, its sentence says."""
        event = entry.event
        if self.reasons and event.reason not in self.reasons:
            return False
        if self.request_id is not None and entry.request_id != self.request_id:
            return False
        named = {event.asker_id, event.patient_id} if isinstance(event, AccessEvent) else words_of(event.detail)
        return named.issuperset(self.people)


def words_of(detail: str) -> set[str]:
    """Return the words of an entry's sentence, without what ends them there."""
    return {word.rstrip(".,:;") for word in detail.split()}


class _Reason(click.ParamType[str]):
    """The reason of an entry: OK, BEGUN, or what a refusal is called."""

    name = "reason"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return it in capitals. Raises BadParameter for what no reason looks like."""
        reason = str(value).upper()
        if not _REASON.fullmatch(reason):
            self.fail(
                f"{value!r} is no reason, such as GRANT_EXPIRED or OK; `medunion explain --list` has them", param, ctx
            )
        return reason


class _RequestId(click.ParamType[str]):
    """What a refused caller was told as the request."""

    name = "request"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        """Return it. Raises BadParameter."""
        if not operations.is_request_id(str(value)):
            self.fail(f"{value!r} is no request: 16 hexadecimal digits", param, ctx)
        return value


def log_options(command: F) -> F:
    """Add which entries are to be shown, as `wanted`, and `--verify`, for `show_log`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        people = tuple(name for name in (values.pop("doctor"), values.pop("patient")) if name is not None)
        reasons = frozenset(values.pop("reasons"))
        names = "after", "since", "request_id", "follow"
        return {"wanted": Wanted(people=people, reasons=reasons, **{name: values.pop(name) for name in names})}

    verify = click.option(
        "--verify", is_flag=True, help="Check the whole log first: its tree, each entry, the signed heads."
    )
    return gather_options(verify(command), gather, _WANTED)


_REASON = re.compile(r"[A-Z][A-Z0-9_-]*")
_WANTED = (
    click.option("--after", type=click.IntRange(min=0), default=0, help="Entries after this number."),
    click.option("--since", type=Time(), default=0, help="Entries from this time on, such as 2027-03-01T07:00."),
    click.option("--doctor", type=IdentityParameter("doctor"), metavar="D:ID", help="Entries that name this doctor."),
    click.option(
        "--patient", type=IdentityParameter("patient"), metavar="P:ID", help="Entries that name this patient."
    ),
    click.option(
        "--reason", "reasons", type=_Reason(), multiple=True, help="Entries with this reason; repeat for more."
    ),
    click.option(
        "--request-id", type=_RequestId(), metavar="HEX", help="Entries of this call, as its caller was told."
    ),
    click.option("--follow", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C."),
)


def show_log(audit: Audit, wanted: Wanted, verified_by: SignedHeads | None) -> None:
    """Show the audit log, one entry a line, as JSON; its heads are given where it is to be checked first.

    Raises StoredRecordCorrupt, Corrupt.
    """
    if verified_by is not None:
        _tell(verify_log(audit, verified_by, Progress()))
    if not wanted.follow:
        _show(audit, wanted, wanted.after)
        return
    last = wanted.after
    with suppress(KeyboardInterrupt):
        while True:
            last = _show(audit, wanted, last)
            time.sleep(FOLLOW_EVERY.total_seconds())


def _show(audit: Audit, wanted: Wanted, after: int) -> int:
    """Show what is wanted behind a number, and return the last one's that was looked at."""
    for entry in audit.entries(after=after, since=wanted.since):
        after = entry.sequence
        if wanted.has(entry):
            shown = {"sequence": entry.sequence, "at": moment(entry.at)} | vars(entry.event)
            click.echo(json.dumps(shown | {"request_id": entry.request_id}, default=bytes.hex))
    return after


class Progress:
    """Says how far the check has come, as often as somebody who waits wants to know."""

    every = 100_000

    def __init__(self) -> None:
        self._entries = 0

    def __call__(self, entries: int) -> None:
        """Take note of entries that were checked."""
        self._entries += entries
        if self._entries % self.every == 0:
            click.echo(f"{self._entries} entries checked", err=True)


def _tell(found: Verified) -> None:
    heads = "no head signed yet" if found.newest is None else f"{counted(found.heads, 'signed head')}"
    click.echo(f"{found.entries} entries, the tree holds, each entry is what it commits to; {heads}", err=True)
    if found.newest is not None:
        click.echo(found.newest.text().decode(), err=True, nl=False)


def accesses_options(command: F) -> F:
    """Add `--patient` and `--fhir`, for `write_accesses`."""
    whose = click.option(
        "--patient", "patient_id", type=IdentityParameter("patient"), required=True, help="Whose, P:ID."
    )
    target = click.option("--fhir", type=OutputFile(), required=True, help="The file: a FHIR R4 Bundle, JSON.")
    return whose(target(command))


def write_accesses(audit: Audit, recorded_by: str, patient_id: str, target: Path) -> None:
    """Write every access to a patient's records as AuditEvents. Raises StoredRecordCorrupt, OSError."""
    bundle, count = accesses_as_fhir(audit, recorded_by, PatientId(patient_id), now=system_clock())
    safefiles.replace(target, bundle)
    click.echo(f"{counted(count, 'AuditEvent')} of accesses to records of {patient_id} written to {target}")
