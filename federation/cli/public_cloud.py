"""`medunion public-cloud`: found a federation, serve it, and look after it: its members, its keys, what it keeps."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.cli.groups import Choice, Command, Group
from federation.cli.options import (
    EXISTING,
    F,
    OutputFile,
    gather_options,
    json_option,
    moment,
    named_bytes,
    node_options,
    operator,
    reason_option,
)
from federation.cli.qr import qr_code
from federation.cli.rotation import rotate_group
from federation.cli.server_log import ServerLog, log_commands
from federation.cli.terminal import is_answered
from federation.clock import system_clock
from federation.cloud.index_rows import count_rows_of, purge_rows_of
from federation.cloud.node import DEPARTMENT_CLASSES, Founding, PublicCloudNode, open_public_cloud
from federation.party.certificates import read_certificate, read_crl
from federation.party.node_directory import trust_to_json
from federation.party.registration import ticket_text
from federation.party.signed_heads import SignedHeads
from federation.protocol.identities import require_identity
from federation.protocol.time import milliseconds
from federation.rotation.cloud import FORGETTABLE, PURPOSES, cloud_rotation
from federation.settings import CloudSettings
from federation.store.registrations import ExpiredRows
from keystore.party import TLS_CA

Opened = AbstractContextManager[PublicCloudNode]
cloud_node = node_options(open_public_cloud, CloudSettings)

_AWAY = (
    "Every member has to fetch the trust bundle before this TLS CA is activated: one that was away all the time can't connect "
    "then, and needs what `medunion trust chain` gives, which it takes by `medunion trust update`."
)


def founding_options(command: F) -> F:
    """Add what the founder of a federation decides, as a Founding named `founding`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        founding = Founding(
            identity=values.pop("identity"),
            realm=values.pop("realm"),
            address=values.pop("address"),
            peer_address=values.pop("peer_address"),
            public_listen=values.pop("listen"),
            peer_listen=values.pop("peer_listen"),
            department_classes=values.pop("classes") or DEPARTMENT_CLASSES,
        )
        return {"founding": founding}

    return gather_options(command, gather, _FOUNDING)


_FOUNDING = (
    click.option("--identity", required=True, help="ID_C, such as C:union."),
    click.option("--realm", required=True, help="The federation's name."),
    click.option("--address", required=True, help="host:port where everybody dials this cloud."),
    click.option("--peer-address", required=True, help="host:port where hospitals dial it by mutual TLS."),
    click.option("--listen", help="host:port to listen at, if not --address."),
    click.option("--peer-listen", help="host:port to listen at for hospitals, if not --peer-address."),
    click.option("--department-class", "classes", multiple=True, help="A class of the published list; repeat."),
)


rotate = rotate_group(cloud_node, cloud_rotation, PURPOSES, FORGETTABLE)


def _log_of(node: PublicCloudNode) -> ServerLog:
    cloud = node.cloud
    heads = partial(SignedHeads.of, node.database, cloud.keys, node.book, system_clock())
    return ServerLog(cloud.audit, cloud.own_log, cloud.witness, heads)


log, log_archive, log_heads, log_settle, log_anew, accesses = log_commands(
    cloud_node,
    _log_of,
    """Show the audit log, one entry a line, as JSON.""",
)


@click.command(cls=Command)
@cloud_node
@click.argument("hospital", metavar="H:ID")
def invite(opened: Opened, hospital: str) -> None:
    """Make a ticket with which a hospital may register, once."""
    with opened as node:
        ticket, expires_at = node.invite(hospital)
    click.echo(f"Ticket for {hospital}, good until {moment(expires_at)}:\n\n    {ticket_text(ticket)}\n")
    click.echo(qr_code(ticket_text(ticket)), nl=False)


@click.group("authority", cls=Group)
def authority() -> None:
    """Say whose certificates make a doctor legal."""


@authority.command("add")
@cloud_node
@click.argument("certificate", type=EXISTING)
@click.argument("doctors", nargs=-1, required=True)
@click.option(
    "--crl-url", help="Where it publishes its lists: https://..., or file:///... on this machine; '' for by hand alone."
)
def authority_add(opened: Opened, certificate: Path, doctors: tuple[str, ...], crl_url: str | None) -> None:
    """Recognise the medical authority of CERTIFICATE, for DOCTORS alone; members follow within seconds.

    DOCTORS are IDs (D:chen), or beginnings of IDs with a * behind (D:alpha.*); 'D:*' is every doctor. Typed again, it changes
    them: who is no longer among them is refused. With --crl-url the cloud fetches the authority's lists by itself.
    """
    with opened as node:
        authority_id = node.add_authority(read_certificate(certificate), doctors, crl_url)
    first = "its lists are fetched while the cloud serves" if crl_url else "take it by `medunion public-cloud crl`"
    click.echo(f"{authority_id} is recognised. No doctor can register before its first list: {first}.")


@authority.command("list")
@cloud_node
@json_option
def authority_list(opened: Opened, as_json: bool) -> None:
    """Show whose certificates make which doctors legal; one that rotates its key stands there twice."""
    with opened as node:
        found: list[dict[str, Any]] = [
            {
                "authority": it.authority_id,
                "certificate_digest": hashlib.sha256(it.certificate).hexdigest(),
                "crl_number": it.crl_number if it.crl else None,
                "doctors": list(it.doctor_ids),
                "crl_url": it.crl_url,
            }
            for it in node.authorities()
        ]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for it in found:
        crl = "no list" if it["crl_number"] is None else f"list {it['crl_number']}"
        where = f"  at {it['crl_url']}" if it["crl_url"] else ""
        click.echo(
            f"{it['authority']}  {it['certificate_digest']}  {crl}  for {' '.join(it['doctors']) or 'nobody'}{where}"
        )


@authority.command("remove")
@cloud_node
@click.argument("certificate", type=EXISTING)
def authority_remove(opened: Opened, certificate: Path) -> None:
    """Recognise CERTIFICATE no longer: doctors whose certificates come from its key are refused from now on."""
    with opened as node:
        authority_id = node.remove_authority(read_certificate(certificate))
    click.echo(f"This certificate of {authority_id} is recognised no longer; members know within seconds.")


@click.command(cls=Command)
@cloud_node
@click.argument("file", type=EXISTING)
def crl(opened: Opened, file: Path) -> None:
    """Take an authority's newer list of revoked certificates."""
    with opened as node:
        authority_id, number = node.put_crl(read_crl(file))
    click.echo(f"List {number} of {authority_id} is taken; members have it within seconds.")


@click.command(cls=Command)
@cloud_node
@click.argument("identity", required=False)
@click.option("--serial", help="Revoke one credential, which a newer one may have followed, by its serial in hex.")
def revoke(opened: Opened, identity: str | None, serial: str | None) -> None:
    """Revoke every credential of IDENTITY, which may then register again; or one credential by its serial."""
    if (identity is None) == (serial is None):
        raise click.UsageError("Give either an identity or --serial.")
    with opened as node:
        revoked = node.revoke(identity) if identity is not None else [node.revoke_serial(_id16(serial or "", "serial"))]
    for credential in revoked:
        click.echo(f"The credential {credential.hex()} is revoked; the next list names it within seconds.")


@click.command(cls=Command)
@cloud_node
@click.argument("hospital", metavar="H:ID")
@click.argument("guardianship", metavar="ID")
def revoke_guardian(opened: Opened, hospital: str, guardianship: str) -> None:
    """Take a guardianship back that a hospital stated, by its ID: who stands by it for a patient does so no more."""
    guardianship_id = _id16(guardianship, "guardianship's id")
    with opened as node:
        node.revoke_guardian(hospital, guardianship_id)
    click.echo(f"The guardianship {guardianship} of {hospital} is taken back; the next list names it within seconds.")


def _id16(text: str, what: str) -> bytes:
    """Read 16 bytes that are typed in hex. Raises BadParameter."""
    return named_bytes(text, 16, f"a {what} is 32 hex digits")


@click.command(cls=Command)
@cloud_node
@click.option("--output", type=OutputFile(), help="File to write it to, if not standard output.")
def trust(opened: Opened, output: Path | None) -> None:
    """Return the trust bundle that every member pins."""
    with opened as node:
        bundle = trust_to_json(node.trust())
    if output is None:
        click.echo(bundle, nl=False)
    else:
        safefiles.replace(output, bundle.encode())


@rotate.command()  # in place of the one of every party: a ceremony has made a certificate for this key
@click.argument("purpose", type=Choice(PURPOSES))
@click.option("--make-keys", "generate", is_flag=True, help="Make the key now, before no witness.")
@click.option(
    "--tls-ca-certificate",
    "certificate",
    type=EXISTING,
    help="The TLS CA's certificate that the ceremony made for its key.",
)
@cloud_node
def prepare(purpose: str, generate: bool, certificate: Path | None, opened: Opened) -> None:
    """Take the successor's key that is in the token: it does nothing yet, and whoever relies on it learns of it."""
    if certificate is not None and (purpose != TLS_CA or generate):
        raise click.UsageError("--tls-ca-certificate goes with a tls-ca that a ceremony made.")
    made_for_it = read_certificate(certificate) if certificate else None
    with opened as node:
        made = cloud_rotation(node, made_for_it).prepare(purpose, generate=generate)
    click.echo(f"Generation {made.number} of {purpose} is prepared.")
    if purpose == TLS_CA:
        if certificate is None and not generate:
            click.echo("It has a NEW certificate: the ceremony's is not in the trust bundle.")
        click.echo(_AWAY)


@click.command(cls=Command)
@cloud_node
@click.option(
    "--days", type=click.IntRange(min=0), default=90, show_default=True, help="Keep registrations so long after."
)
@click.option("--yes", is_flag=True, help="Don't ask: remove what is over. For timers.")
@reason_option
def retention(opened: Opened, days: int, yes: bool, reason: str) -> None:
    """Remove what is over: registrations, what they superseded, tickets, kept answers, replay keys."""
    with opened as node:
        now = node.cloud.clock()
        book, ended_before = ExpiredRows(node.database), now - milliseconds(timedelta(days=days))
        if not yes:
            _tell(book.count(now=now, ended_before=ended_before))
            if not is_answered():
                click.echo("Nothing is removed yet; give --yes.")
                return
            click.confirm("Remove it for good?", default=False, abort=True)
        removed = book.remove(now=now, ended_before=ended_before)
        told = ", ".join(f"{number} {name}" for name, number in removed.items())
        node.cloud.record("RETENTION", f"{told}; by {operator()}: {reason}", now=node.cloud.clock())
        _tell(removed)


@click.command(cls=Command)
@cloud_node
@click.argument("hospital_id", metavar="H:ID")
@click.option("--patient", "patient_id", metavar="P:ID", help="Only what it says of this patient.")
@click.option("--confirm", type=click.IntRange(min=0), metavar="N", help="Take them out, if they are N.")
@reason_option
def forget_hospital(opened: Opened, hospital_id: str, patient_id: str | None, confirm: int | None, reason: str) -> None:
    """Take every row of a hospital out of the index: one that has left, that publishes all of its records again, or that
    buries a patient under rows."""
    hospital = require_identity("hospital", hospital_id)
    patient = None if patient_id is None else require_identity("patient", patient_id)
    with opened as node:
        there = count_rows_of(node.cloud, hospital, patient)
        if confirm is None:
            click.echo(f"{there} rows; nothing is taken out yet. Give --confirm {there} to take them out.")
            return
        if confirm != there:
            raise click.ClickException(f"there are {there} rows, not {confirm}: nothing was taken out")
        gone = purge_rows_of(node.cloud, hospital, patient)
        whose = hospital if patient is None else f"{hospital} about {patient}"
        detail = f"{gone} rows of {whose}; by {operator()}: {reason}"
        node.cloud.record("FORGET-HOSPITAL", detail, now=node.cloud.clock())
        click.echo(f"{gone} rows are taken out.")


def _tell(counts: Mapping[str, int]) -> None:
    for name, number in counts.items():
        click.echo(f"{number} {name}")
