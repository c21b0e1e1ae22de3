"""A public cloud that rotates its keys, open but not serving."""

import pytest

from hsm import pin_from_value
from tests.e2e.unserved_cloud import Clock, opened, unserved_cloud


@pytest.fixture
def pin_provider(user_pin):
    """Return where the PIN comes from."""
    return pin_from_value(user_pin.reveal())


@pytest.fixture
def directory(tmp_path, make_token_uri, pin_provider):
    """Yield the directory of a cloud."""
    with unserved_cloud(tmp_path, make_token_uri, pin_provider) as made:
        yield made


@pytest.fixture
def cloud(directory, pin_provider, make_token):
    """Yield a process of it."""
    with opened(directory, pin_provider, Clock(), make_token) as made:
        yield made
