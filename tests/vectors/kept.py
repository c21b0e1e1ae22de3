"""The vectors as they are kept, for tests that take them one by one."""

import json
from pathlib import Path

import pytest

from tests.vectors.draws import Json

DIRECTORY = Path(__file__).parent


def read() -> dict[str, Json]:
    """Read the files that are there."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))}


FILES = read()


def vectors(name: str) -> list[Json]:
    """Give the vectors of a file."""
    return list(FILES[name]["vectors"])


def named(name: str) -> pytest.MarkDecorator:
    """Run a test with each vector of a file."""
    return pytest.mark.parametrize("vector", vectors(name), ids=lambda vector: vector.get("name", ""))


def raw(vector: Json, *names: str) -> tuple[bytes, ...]:
    """Give fields of a vector as bytes."""
    return tuple(bytes.fromhex(vector[name]) for name in names)
