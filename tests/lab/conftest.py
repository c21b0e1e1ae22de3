"""Tests that need network namespaces run where there are some; where the lab is required, they run and fail."""

import os
from functools import cache

import pytest

from lab.privilege import PrivilegeLacking, choose

REQUIRED = os.environ.get("MEDUNION_REQUIRE_LAB") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this machine does not allow; ci/install-lab has said so loudly."""
    left_out = [item for item in items if item.get_closest_marker("lab")]
    if left_out and not REQUIRED and not _allowed():
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@cache
def _allowed() -> bool:
    try:
        choose()
    except PrivilegeLacking:
        return False
    return True
