"""The operational log: one JSON object a line, with request ids and never an identity, a message's content or a secret.

What was refused precisely, and to whom, is in the sealed audit log (`federation.party.audit`); a request id leads there.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

_LOGGER = logging.getLogger("medunion.operations")
_FIELDS = "fields"


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Write the operational log of this process to a stream; standard error by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines())
    _LOGGER.handlers[:] = [handler]
    _LOGGER.propagate = False
    _LOGGER.setLevel(level)
    everybody = logging.getLogger()
    everybody.handlers[:] = [other for other in everybody.handlers if not isinstance(other, _OfLibraries)]
    everybody.addHandler(_OfLibraries(logging.WARNING))


@contextmanager
def also(handler: logging.Handler) -> Iterator[None]:
    """Hand everything to another handler too, for the block."""
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)


def info(event: str, **fields: str | float) -> None:
    """Log something that is as it should be."""
    _LOGGER.info(event, extra={_FIELDS: fields})


def warning(event: str, **fields: str | float) -> None:
    """Log something that an operator should look at."""
    _LOGGER.warning(event, extra={_FIELDS: fields})


def failure(event: str, error: BaseException, **fields: str | float) -> None:
    """Log a fault of our own with where it arose: frames and classes, not the sentence, which might name somebody."""
    _LOGGER.error(event, extra={_FIELDS: fields | {"trace": _trace(error)}})


def _trace(error: BaseException) -> list[str]:
    lines = [type(error).__name__]
    lines += [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return lines + (_trace(error.__cause__) if error.__cause__ is not None else [])


class _OfLibraries(logging.Handler):
    """Warnings of libraries: who warned and where, and never the sentence, which might name somebody."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log that a library warned; a line of our own is none's."""
        if record.name == _LOGGER.name:
            return
        error = record.exc_info[1] if record.exc_info else None
        fields = {"logger": record.name, "where": f"{record.pathname}:{record.lineno}"}
        trace = {} if error is None else {"trace": _trace(error)}
        _LOGGER.warning("library-warned", extra={_FIELDS: fields | trace})


class _JsonLines(logging.Formatter):
    """One object a line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {"at": at, "level": record.levelname, "event": record.getMessage()}
        return json.dumps(entry | getattr(record, _FIELDS, {}), default=str)
