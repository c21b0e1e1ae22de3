"""A server's log as others see it, at a terminal: its head and who stands by it, others' heads, and what contradicts."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from federation.cli.options import F, json_option, moment, named_bytes, operator, reason_option
from federation.clinical.text import counted
from federation.errors import NotFound
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.log_archive import LogArchive
from federation.party.log_heads import OwnLog
from federation.party.witness import Witness
from federation.protocol.log_head import Origin
from federation.protocol.public_witness import log_vkey
from federation.store.witnessed import LogFinding

FINDING_BYTES = 16


def _named(_: click.Context, __: click.Parameter, text: str) -> bytes:
    return named_bytes(text, FINDING_BYTES, f"{text!r} is not a finding's 32 hexadecimal digits")


def heads_options(command: F) -> F:
    """Add `--json`, for `show_heads`."""
    return json_option(command)


def settle_options(command: F) -> F:
    """Add the finding and `--why`, for `settle`."""
    return click.argument("finding_id", metavar="ID", callback=_named)(reason_option(command))


def show_heads(own: OwnLog, witness: Witness, *, as_json: bool) -> None:
    """Show the own head and its witnesses, the heads that are kept of others, and every finding."""
    findings = witness.findings.all()
    if as_json:
        click.echo(json.dumps([_fields(it) for it in findings], indent=2))
        return
    head = own.heads.newest()
    if head is None:
        click.echo(f"{own.identity}: nothing is signed yet")
    else:
        cosigners = ", ".join(sorted(own.cosigners(head)) + sorted(own.public_cosigners(head))) or "nobody yet"
        click.echo(f"{own.identity}/{head.number}: {head.size} entries, {moment(head.at)}, cosigned by {cosigners}")
        said = "" if own.is_believed(head) else ", and NOT SO MANY OF WHO COUNT have cosigned this one"
        click.echo(f"cosignatures that the trust bundle asks for: {own.policy.cosignatures}{said}")
        origin = str(Origin.of(own.anchors().realm, own.identity, head.number))
        click.echo(f"as public witnesses know it: {log_vkey(origin, own.signing_key(own.clock()).verifying_key)}")
    for kept in witness.witnessed.all():
        click.echo(f"{kept.node_id}: {kept.size} entries, kept {moment(kept.at)}")
    for followed in witness.followed.all():
        shown = f"last shown longer, by {followed.size} entries," if followed.size else "followed, and nothing shown,"
        click.echo(f"{followed.node_id}: {shown} {moment(followed.at)}")
    _show(findings)


def _show(findings: Sequence[LogFinding]) -> None:
    for it in findings:
        state = "open" if it.settled_at is None else f"settled {moment(it.settled_at)}"
        click.echo(f"{it.finding_id.hex()}  {it.kind}  {it.node_id}  {moment(it.at)}  {state}")


def _fields(it: LogFinding) -> dict[str, object]:
    return {
        "finding": it.finding_id.hex(),
        "kind": it.kind,
        "node": it.node_id,
        "at": moment(it.at),
        "settled_at": None if it.settled_at is None else moment(it.settled_at),
        "held": {"note": it.held_note.decode(), "key_statement": it.held_key_statement.hex()},
        "shown": {"note": it.shown_note.decode(), "key_statement": it.shown_key_statement.hex()},
    }


def settle(audit: Audit, witness: Witness, finding_id: bytes, reason: str) -> None:
    """Note that a finding was seen to: it alarms no more, and stays as evidence. Raises NotFound."""
    now = witness.clock()
    if not witness.findings.settle(finding_id, at=now):
        raise NotFound("no open finding has this id")
    audit.record(AuditEvent("LOG-FINDING-SETTLED", OK, detail=f"{finding_id.hex()} by {operator()}: {reason}"), now=now)
    click.echo(f"{finding_id.hex()} is settled; it stays as evidence.")


def archive_options(command: F) -> F:
    """Add `--output`, for `write_archive`."""
    return click.option(
        "--output",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The archive's directory, new or of before.",
    )(command)


def write_archive(audit: Audit, own: OwnLog, target: Path) -> None:
    """Write what an archive of the log lacks, and say what it holds. Raises Corrupt, OSError."""
    done = LogArchive(target, own, audit, Files()).write()
    if done is None:
        raise NotFound("no head of the log was signed yet")
    kept = counted(done.written, "file") + " written, " + counted(done.removed, "file") + " removed"
    cosigners = ", ".join(sorted(own.cosigners(done.head))) or "nobody"
    click.echo(f"{own.identity}/{done.head.number}: {done.head.size} entries, cosigned by {cosigners}; {kept}")
    click.echo(f"The archive gives that head's root; its entries up to {done.entries} open to their leaves.")


class Files:
    """Says how many files were written, as often as somebody who waits wants to know."""

    every = 1_000

    def __init__(self) -> None:
        self._files = 0

    def __call__(self, files: int) -> None:
        """Take note of files that were written."""
        self._files += files
        if self._files % self.every == 0:
            click.echo(f"{self._files} files written", err=True)


def begin_anew(audit: Audit, own: OwnLog, reason: str) -> None:
    """Sign the log's heads under the next number from now on; its first new entry names the newest head of before."""
    before = own.sign_newest()
    said = "nothing" if before is None else f"{before.size} entries, root {before.root.hex()}"
    number = own.begin_anew()
    audit.record(
        AuditEvent("LOG-BEGUN-ANEW", OK, detail=f"{number} after {said}, by {operator()}: {reason}"), now=own.clock()
    )
    click.echo(f"{own.identity}/{number}: the log is begun anew. Its witnesses are alarmed, and settle it with you.")
