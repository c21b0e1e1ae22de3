"""`medunion public-cloud`: found a federation, serve it, and look after it."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import segno

from federation.cli.common import (
    OutputFile,
    PinChoice,
    TokenChoice,
    database_options,
    directory_option,
    keys_in_token_option,
    pin_options,
    tell_unfinished,
    token_options,
)
from federation.cli.init_options import founding_options
from federation.cli.public_cloud_retention import forget_hospital, retention
from federation.cli.public_cloud_rotate import rotate
from federation.cli.serving import Ready, Server, Serving, run, serve_options
from federation.cloud.node import Founding, PublicCloudNode, found, open_public_cloud
from federation.party.audit import AuditEntry
from federation.party.certificates import read_certificate, read_crl
from federation.party.node_directory import NodeDirectory, trust_to_json, write_private
from federation.party.ticket import ticket_text
from federation.processes.cloud import serve as serve_public_cloud
from federation.processes.worker_slot import Place
from federation.settings import CloudSettings, DatabaseSettings
from hsm import PinProvider
from keystore.party import CloudKeys

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("public-cloud")
def public_cloud() -> None:
    """Run the public cloud of a federation."""


for command in (rotate, retention, forget_hospital):
    public_cloud.add_command(command)


@public_cloud.command()
@directory_option
@founding_options
@keys_in_token_option
@click.option("--tls-ca-certificate", type=_EXISTING, help="The TLS CA's certificate that a ceremony made for the key.")
@database_options
@token_options
def init(
    directory: NodeDirectory,
    founding: Founding,
    keys_in_token: bool,
    tls_ca_certificate: Path | None,
    database: DatabaseSettings,
    token: TokenChoice,
) -> None:
    """Make the cloud's keys in its token, the TLS CA, the store and the trust bundle; `medunion init` leads through more."""
    if tls_ca_certificate is not None and not keys_in_token:
        raise click.UsageError("--tls-ca-certificate goes with --keys-in-token: a new key has no certificate yet")
    tls_ca = read_certificate(tls_ca_certificate) if tls_ca_certificate else None
    settings = token.settings(directory)
    tell_unfinished(directory)
    whole = replace(founding, tls_ca=tls_ca, database=database)
    found(directory, whole, settings, token.pin.provider(settings), CloudKeys if keys_in_token else None)
    if keys_in_token and tls_ca_certificate is None:
        click.echo(
            "The TLS CA has a NEW certificate, for the key in the token: the ceremony's is not in the trust bundle."
        )
    made = f"{founding.identity} is founded. Everybody needs {directory.trust_file}"
    click.echo(f"{made} once its medical authorities are added.")


@public_cloud.command()
@serve_options
def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; calls under way may end first. At SIGUSR2 a successor takes over."""
    settings = serving.directory.settings(CloudSettings)

    async def serve_here(pin: PinProvider, place: Place, stop: asyncio.Event, ready: Ready) -> None:
        with open_public_cloud(serving.directory, pin) as node:
            await serve_public_cloud(node, stop, lambda ports: ready(vars(ports)), place)

    run(
        serving,
        Server(
            kind="public-cloud",
            listen=(settings.public_listen, settings.peer_listen),
            settings=settings.server,
            token=settings.token,
            serve=serve_here,
            words=lambda ready: (
                f"{settings.identity} serves at port {ready['public']}, hospitals at port {ready['peer']}"
            ),
        ),
    )


@public_cloud.command()
@directory_option
@click.argument("hospital")
@pin_options
def invite(directory: NodeDirectory, hospital: str, pin: PinChoice) -> None:
    """Make a ticket with which HOSPITAL (H:...) may register, once."""
    with _opened(directory, pin) as node:
        ticket, expires_at = node.invite(hospital)
    click.echo(f"Ticket for {hospital}, good until {_time(expires_at)}:\n\n    {ticket_text(ticket)}\n")
    segno.make(ticket_text(ticket), micro=False).terminal(compact=True)


@public_cloud.group("authority")
def authority() -> None:
    """Say whose certificates make a doctor legal."""


@authority.command("add")
@directory_option
@click.argument("certificate", type=_EXISTING)
@click.argument("doctors", nargs=-1, required=True)
@pin_options
def authority_add(directory: NodeDirectory, certificate: Path, doctors: tuple[str, ...], pin: PinChoice) -> None:
    """Recognise the medical authority of CERTIFICATE, for DOCTORS alone; members follow within seconds.

    DOCTORS are IDs (D:chen), or beginnings of IDs with a * behind (D:alpha.*); 'D:*' is every doctor. Typed again, it changes
    them: who is no longer among them is refused.
    """
    with _opened(directory, pin) as node:
        authority_id = node.add_authority(read_certificate(certificate), doctors)
    click.echo(
        f"{authority_id} is recognised. No doctor can register before its first list: `medunion public-cloud crl`."
    )


@authority.command("list")
@directory_option
@pin_options
def authority_list(directory: NodeDirectory, pin: PinChoice) -> None:
    """Show whose certificates make which doctors legal; one that rotates its key stands there twice."""
    with _opened(directory, pin) as node:
        for it in node.authorities():
            digest = hashlib.sha256(it.certificate).hexdigest()
            crl = f"list {it.crl_number}" if it.crl else "no list"
            click.echo(f"{it.authority_id}  {digest}  {crl}  for {' '.join(it.doctor_ids) or 'nobody'}")


@authority.command("remove")
@directory_option
@click.argument("certificate", type=_EXISTING)
@pin_options
def authority_remove(directory: NodeDirectory, certificate: Path, pin: PinChoice) -> None:
    """Recognise CERTIFICATE no longer: doctors whose certificates come from its key are refused from now on."""
    with _opened(directory, pin) as node:
        authority_id = node.remove_authority(read_certificate(certificate))
    click.echo(f"This certificate of {authority_id} is recognised no longer; members know within seconds.")


@public_cloud.command()
@directory_option
@click.argument("file", type=_EXISTING)
@pin_options
def crl(directory: NodeDirectory, file: Path, pin: PinChoice) -> None:
    """Take an authority's newer list of revoked certificates."""
    with _opened(directory, pin) as node:
        authority_id, number = node.put_crl(read_crl(file))
    click.echo(f"List {number} of {authority_id} is taken; members have it within seconds.")


@public_cloud.command()
@directory_option
@click.argument("identity", required=False)
@click.option("--serial", help="Revoke one credential, which a newer one may have followed, by its serial in hex.")
@pin_options
def revoke(directory: NodeDirectory, identity: str | None, serial: str | None, pin: PinChoice) -> None:
    """Revoke every credential of IDENTITY, which may then register again; or one credential by its serial."""
    if (identity is None) == (serial is None):
        raise click.UsageError("Give either an identity or --serial.")
    with _opened(directory, pin) as node:
        revoked = node.revoke(identity) if identity is not None else [node.revoke_serial(_serial(serial or ""))]
    for credential in revoked:
        click.echo(f"The credential {credential.hex()} is revoked; the next list names it within seconds.")


def _serial(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter("a serial is 32 hex digits") from None


@public_cloud.command()
@directory_option
@click.option("--output", type=OutputFile(), help="File to write it to, if not standard output.")
@pin_options
def trust(directory: NodeDirectory, output: Path | None, pin: PinChoice) -> None:
    """Give the trust bundle that every member pins."""
    with _opened(directory, pin) as node:
        bundle = trust_to_json(node.trust())
    if output is None:
        click.echo(bundle, nl=False)
    else:
        write_private(output, bundle.encode())


@public_cloud.command()
@directory_option
@click.option("--after", default=0, help="Only entries above this number.")
@click.option("--verify", is_flag=True, help="Check the chain of digests first.")
@pin_options
def log(directory: NodeDirectory, after: int, verify: bool, pin: PinChoice) -> None:
    """Show the audit log, one entry a line, as JSON."""
    with _opened(directory, pin) as node:
        if verify:
            click.echo(f"{node.cloud.audit.verify()} entries, the chain holds", err=True)
        for entry in node.cloud.audit.entries(after=after):
            click.echo(_line(entry))


def _line(entry: AuditEntry) -> str:
    return json.dumps({"sequence": entry.sequence, "at": _time(entry.at)} | vars(entry.event), default=bytes.hex)


def _time(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="seconds")


@contextmanager
def _opened(directory: NodeDirectory, pin: PinChoice) -> Iterator[PublicCloudNode]:
    settings = directory.settings(CloudSettings)
    with open_public_cloud(directory, pin.provider(settings.token)) as node:
        yield node
