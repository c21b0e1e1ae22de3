"""A public cloud that does not serve."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.cloud.node import Founding, PublicCloudNode, found, open_public_cloud
from federation.party.node_directory import NodeDirectory
from federation.settings import TokenSettings
from hsm import pin_from_value


@pytest.fixture
def node(tmp_path: Path, make_token_uri, user_pin) -> Iterator[PublicCloudNode]:
    """Yield an opened cloud."""
    directory, pin = NodeDirectory(tmp_path / "cloud"), pin_from_value(user_pin.reveal())
    found(directory, Founding("C:a", "r", "a:1", "a:2", "a:1", "a:2"), TokenSettings(str(make_token_uri())), pin)
    with open_public_cloud(directory, pin) as opened:
        yield opened
