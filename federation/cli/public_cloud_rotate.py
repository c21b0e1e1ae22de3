"""`medunion public-cloud rotate`: the generations of the cloud's keys."""

from collections.abc import Iterator
from contextlib import contextmanager

from federation.app.node import NodeDirectory
from federation.app.public_cloud import open_public_cloud
from federation.app.public_cloud_rotation import FORGETTABLE, PURPOSES, cloud_rotation
from federation.app.rotation import Rotation
from federation.cli.common import F, PinChoice, directory_option, pin_options
from federation.cli.rotation import Opening, rotate_group
from federation.config import CloudSettings


def _options(command: F) -> F:
    return directory_option(pin_options(command))


@contextmanager
def _opened(directory: NodeDirectory, pin: PinChoice) -> Iterator[Rotation]:
    settings = directory.settings(CloudSettings)
    with open_public_cloud(directory, pin.provider(settings.token)) as node:
        yield cloud_rotation(node)


rotate = rotate_group(Opening(_options, _opened), PURPOSES, FORGETTABLE)
