"""`medunion authority`: a medical authority that says who is a doctor."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding

import safefiles
from federation.authority.ceremony_import import Imported, import_ceremony
from federation.authority.node import MedicalAuthority, found_authority, open_authority
from federation.cli.ceremony import pinned
from federation.cli.groups import Group
from federation.cli.options import (
    EXISTING,
    OutputFile,
    TokenChoice,
    directory_option,
    node_options,
    pin_credential_option,
    token_options,
)
from federation.party.certificates import read_certificate, read_request
from federation.party.node_directory import NodeDirectory
from federation.settings import MemberSettings
from federation.store.publishing import publish
from federation.store.shelves import require_shelf

CRL_TYPE = "application/pkix-crl"
"""RFC 2585, section 4.2."""

Opened = AbstractContextManager[MedicalAuthority]
authority_node = node_options(open_authority, MemberSettings)
_output = click.option("--output", type=OutputFile(), required=True, help="File to write it to, DER.")


@click.group(cls=Group)
def authority() -> None:
    """Certify doctors, and take certificates back."""


@authority.command()
@directory_option
@click.option("--identity", required=True, help="The authority's id, such as M:board.")
@_output
@click.option("--certificate", "taken", type=EXISTING, help="From a ceremony: use the token's key, and make none.")
@click.option("--successor", is_flag=True, help="Make the next generation of the key beside the older ones.")
@token_options
@pin_credential_option
def init(
    directory: NodeDirectory,
    identity: str,
    output: Path,
    taken: Path | None,
    successor: bool,
    token: TokenChoice,
    pin_credential: str | None,
) -> None:
    """Make an authority: its key in the token, and the certificate that the public cloud has to recognise."""
    if taken and successor:
        raise click.UsageError("A ceremony's certificate says by itself which key it is for: leave out --successor.")
    settings = token.settings(directory)
    made = read_certificate(taken) if taken else None
    pin = token.pin.provider(settings)
    if pin_credential is not None:
        settings = replace(settings, pin_file=None, pin_credential=pin_credential)
    certificate = found_authority(directory, identity, settings, pin, made, successor=successor)
    safefiles.replace(output, certificate.public_bytes(Encoding.DER))
    click.echo(f"{identity} is made; its certificate is {output}.")


@authority.command()
@authority_node
@click.option("--request", type=EXISTING, required=True, help="PKCS#10.")
@click.option("--doctor", required=True, help="Whom you have identified, such as D:house.")
@click.option("--name", "person", default="", help="The doctor's name, as patients are shown it.")
@click.option("--profession", default="", help="What the doctor is, as patients are shown it, such as Cardiologist.")
@_output
def issue(opened: Opened, request: Path, doctor: str, person: str, profession: str, output: Path) -> None:
    """Issue a doctor's certificate for a request that names the doctor and proves its key."""
    with opened as node:
        certificate = node.issue(read_request(request), doctor, person=person, profession=profession)
    safefiles.replace(output, certificate.public_bytes(Encoding.DER))
    click.echo(f"The certificate of {doctor}, serial {certificate.serial_number:x}, is {output}.")


@authority.command()
@authority_node
@click.argument("doctor", metavar="D:ID")
def revoke(opened: Opened, doctor: str) -> None:
    """Revoke all certificates of a doctor. It takes effect with the next list: `medunion authority crl`."""
    with opened as node:
        serials = node.revoke(doctor)
    click.echo(f"Revoked of {doctor}: {', '.join(serials)}. Now issue a list and hand it to the public cloud.")


@authority.command()
@authority_node
@click.option("--output", type=OutputFile(), help="File to write it to, DER, to be carried by hand.")
@click.option(
    "--publish-to",
    "places",
    multiple=True,
    metavar="URL",
    help="Where the public cloud fetches it: file:///directory, or s3://bucket/prefix?endpoint=...; repeat.",
)
def crl(opened: Opened, output: Path | None, places: tuple[str, ...]) -> None:
    """Issue the next list of revoked certificates; it holds for 24 hours.

    Published, it has the same name each time: it is what the URL ends with that the public cloud is told
    (`medunion public-cloud authority add --crl-url`).
    """
    if output is None and not places:
        raise click.UsageError("Say where it goes: --output FILE, --publish-to URL, or both.")
    for place in places:
        require_shelf(place)
    with opened as node:
        listed, name = node.crl(), node.crl_name
    content, told = listed.public_bytes(Encoding.DER), f"The list, with {len(listed)} revoked, is"
    if output is not None:
        safefiles.replace(output, content)
        click.echo(f"{told} {output}.")
    for place in places:
        publish(place, name, content, CRL_TYPE)
        click.echo(f"{told} published as {name}.")


@authority.command("import-ceremony")
@directory_option
@click.argument("transcript", type=EXISTING)
@click.option(
    "--participant", "pins", multiple=True, required=True, metavar="NAME=KEY", help="Who has to have signed it."
)
@click.option("--take-stale-list", is_flag=True, help="Enter a list's revocations though its number is not newer.")
def import_ceremony_command(
    directory: NodeDirectory, transcript: Path, pins: tuple[str, ...], take_stale_list: bool
) -> None:
    """Enter what the ceremony of TRANSCRIPT certified and revoked, so that the next list goes on from there."""
    content, participants = transcript.read_bytes(), dict(map(pinned, pins))
    for line in _told(import_ceremony(directory, content, participants, take_stale_list=take_stale_list)):
        click.echo(line)


def _told(imported: Imported) -> Iterator[str]:
    yield f"{imported.title} is entered; the newest list has number {imported.crl_number}."
    for serial in imported.issued:
        yield f"issued: {serial}"
    for serial in imported.revoked:
        yield f"revoked: {serial}"
    if imported.lacking:
        yield f"The ceremony's list lacks {', '.join(imported.lacking)}, revoked here: issue a list now, and publish that."
