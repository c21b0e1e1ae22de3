"""The operational log: one JSON object a line, with request ids and never an identity, a message's content or a secret.

What was refused precisely, and to whom, is in the sealed audit log (`federation.party.audit`); a request id leads there.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

_LOGGER = logging.getLogger("medunion.operations")
_FIELDS = "fields"
_ENCODER = json.JSONEncoder(default=str)
_REQUEST_ID = re.compile("[0-9a-f]{16}")
_under_way: ContextVar[str] = ContextVar("request_id", default="")
"""Of the call that is served here: each line that is logged within it says so. Threads that work for it have its context."""


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
def within(request_id: str) -> Iterator[None]:
    """Let every line of the block, and of the threads that work for it, say which call it belongs to."""
    token = _under_way.set(request_id)
    try:
        yield
    finally:
        _under_way.reset(token)


def request_id() -> str:
    """Return the id of the call that is served here, or nothing."""
    return _under_way.get()


def is_request_id(text: str) -> bool:
    """Return whether it has the form of a call's id: 16 hexadecimal digits."""
    return _REQUEST_ID.fullmatch(text) is not None


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
    _say(logging.INFO, event, fields)


def warning(event: str, **fields: str | float) -> None:
    """Log something that an operator should look at."""
    _say(logging.WARNING, event, fields)


def failure(event: str, error: BaseException, **fields: str | float) -> None:
    """Log a fault of our own with where it arose: frames and classes, not the sentence, which might name somebody."""
    _say(logging.ERROR, event, fields | {"trace": _trace(error)})


def _say(level: int, event: str, fields: dict[str, Any]) -> None:
    """Hand a line to the handlers. Where it was logged from is in no line, so that nobody looks for it at each call."""
    if _LOGGER.isEnabledFor(level):
        record = logging.LogRecord(_LOGGER.name, level, "", 0, event, (), None)
        call = {"request_id": request_id()} if request_id() else {}
        setattr(record, _FIELDS, call | fields)
        _LOGGER.handle(record)


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
        _say(logging.WARNING, "library-warned", fields | trace)


class _JsonLines(logging.Formatter):
    """One object a line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {"at": at, "level": record.levelname, "event": record.getMessage()}
        return _ENCODER.encode(entry | getattr(record, _FIELDS, {}))
