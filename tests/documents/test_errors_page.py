"""docs/errors.md says what the code does: every reason, its gRPC code, its meaning."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from google.rpc import code_pb2

from federation.errors import FederationError
from federation.wire.status import code_of

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def _all(root: type[FederationError]) -> Iterator[type[FederationError]]:
    for child in root.__subclasses__():
        yield child
        yield from _all(child)


def test_the_page_lists_every_reason_with_its_code_and_meaning() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    # Only federation's own errors: a test module may define subclasses of its own.
    ours = [error for error in _all(FederationError) if error.__module__ == "federation.errors"]
    expected = [(e.reason, code_pb2.Code.Name(code_of(e(""))), inspect.getdoc(e)) for e in ours]
    assert sorted(listed) == sorted(expected)


def test_no_two_errors_share_a_reason() -> None:
    ours = [error.reason for error in _all(FederationError) if error.__module__ == "federation.errors"]
    assert len(ours) == len(set(ours))
