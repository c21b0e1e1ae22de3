"""`medunion public-cloud rotate`: the generations of the cloud's keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from cryptography import x509

from federation.cli.common import F, PinChoice, directory_option, pin_options
from federation.cli.rotation import Opening, rotate_group
from federation.cloud.node import open_public_cloud
from federation.party.certificates import read_certificate
from federation.party.node_directory import NodeDirectory
from federation.rotation.cloud import FORGETTABLE, PURPOSES, cloud_rotation
from federation.rotation.steps import Rotation
from federation.settings import CloudSettings
from keystore.party import TLS_CA

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)

_AWAY = (
    "Every member has to fetch the trust bundle before this TLS CA is activated: one that was away all the time can't connect "
    "then, and needs what `medunion trust chain` gives, which it takes by `medunion trust update`."
)


def _options(command: F) -> F:
    return directory_option(pin_options(command))


@contextmanager
def _opened(directory: NodeDirectory, pin: PinChoice, tls_ca: x509.Certificate | None = None) -> Iterator[Rotation]:
    settings = directory.settings(CloudSettings)
    with open_public_cloud(directory, pin.provider(settings.token)) as node:
        yield cloud_rotation(node, tls_ca)


rotate = rotate_group(Opening(_options, _opened), PURPOSES, FORGETTABLE)


@rotate.command()  # in place of the one of every party: a ceremony has made a certificate for this key
@click.argument("purpose", type=click.Choice(PURPOSES))
@click.option("--generate", is_flag=True, help="Make the key now, where no ceremony has made it.")
@click.option("--certificate", type=_EXISTING, help="The TLS CA's certificate that the ceremony made for its key.")
@_options
def prepare(purpose: str, generate: bool, certificate: Path | None, directory: NodeDirectory, pin: PinChoice) -> None:
    """Take the successor's key that is in the token: it does nothing yet, and whoever relies on it learns of it."""
    if certificate is not None and (purpose != TLS_CA or generate):
        raise click.UsageError("--certificate goes with a tls-ca that a ceremony made.")
    with _opened(directory, pin, read_certificate(certificate) if certificate else None) as rotation:
        made = rotation.prepare(purpose, generate=generate)
    click.echo(f"Generation {made.number} of {purpose} is prepared.")
    if purpose == TLS_CA:
        if certificate is None and not generate:
            click.echo("It has a NEW certificate: the ceremony's is not in the trust bundle.")
        click.echo(_AWAY)
