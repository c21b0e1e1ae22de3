"""A served public cloud for the tests of a module, and a function that serves another."""

import os
from pathlib import Path

import pytest

from hsm import Pin
from tests.e2e.cloud_lab import CloudLab, serve_cloud
from tests.e2e.cloud_lab import cloud as lab

__all__ = ["at", "lab", "serve_cloud"]


@pytest.fixture
def at(lab: CloudLab, tmp_path: Path, user_pin: Pin, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """Return the options by which an operator's command finds the served cloud."""
    pin = tmp_path / "pin"
    pin.write_text(user_pin.reveal())
    pin.chmod(0o600)
    # The stage gives its commands no SoftHSM of this process; this cloud's token is one.
    monkeypatch.setattr("demo.stage.environment", lambda: dict(os.environ))
    return "--directory", lab.directory / "cloud", "--pin-file", pin
