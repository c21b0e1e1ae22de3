"""`medunion hospital rotate` and `publish-again`: the generations of a hospital's keys."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from federation.cli.common import F, PinChoice, directory_option, pin_options
from federation.cli.rotation import Opening, pace_option, rotate_group, told
from federation.hospital.node import HospitalNode
from federation.hospital.rekey import publish_again as walk_again
from federation.party.node_directory import NodeDirectory
from federation.party.reencryption import Pace, walked
from federation.rotation.hospital import FORGETTABLE, PURPOSES, hospital_rotation
from federation.rotation.steps import Rotation
from federation.settings import HospitalSettings


def _options(command: F) -> F:
    return directory_option(pin_options(command))


@contextmanager
def _opened(directory: NodeDirectory, pin: PinChoice) -> Iterator[Rotation]:
    with _open_node(directory, pin) as node:
        yield hospital_rotation(node)


def _open_node(directory: NodeDirectory, pin: PinChoice) -> HospitalNode:
    return HospitalNode(directory, pin.provider(directory.settings(HospitalSettings).token))


rotate = rotate_group(Opening(_options, _opened), PURPOSES, FORGETTABLE)


@click.command()
@pace_option
@directory_option
@pin_options
def publish_again(directory: NodeDirectory, pin: PinChoice, per_second: float) -> None:
    """Publish every record once more, for a public cloud that lost rows of its index or gives them up in a rotation.

    The serving hospital publishes them; run twice, it publishes none twice as long as they wait.
    """
    with _open_node(directory, pin) as node:
        tally = walked(walk_again(node.hospital), Pace(per_second), told("queued"))
        click.echo(f"{tally.seen} looked at, {tally.changed} queued, {node.hospital.stores.outbox.size()} waiting.")
