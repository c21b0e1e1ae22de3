"""A record of every message that a client sent or received: sizes, times, and what an onlooker sees. Never a plaintext."""

import json
import threading
from contextlib import suppress
from typing import TextIO

from google.protobuf.message import Message

from federation.clock import Clock
from federation.protocol.sealing import SEAL_OVERHEAD
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame

FRAME_TAG_BYTES = 16
SHOWN_BYTES = 32


class Trace:
    """JSON lines: time (ms), name, from, to, bytes on the wire, bytes of plaintext where they follow, and clear fields."""

    def __init__(self, file: TextIO | None, clock: Clock) -> None:
        """Write to that file, or nowhere."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()

    def note(self, name: str, sender: str, receiver: str, message: Message) -> None:
        """Note one message as it goes over the wire; `message` is its outermost sealed form, or one sent in clear."""
        if self._file is None:
            return
        line = {
            "time_ms": self._clock(),
            "name": name,
            "from": sender,
            "to": receiver,
            "wire_bytes": message.ByteSize(),
            "plaintext_bytes": plaintext_bytes(message),
            "onlooker_sees": clear_fields(message),
        }
        # A full disk ends no visit: what is left in the file's buffer is told when it is closed.
        with self._lock, suppress(OSError):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def plaintext_bytes(message: Message) -> int | None:
    """Give the size of what a message seals, padding included; None where nothing is sealed."""
    if isinstance(message, SealedOpening | SealedReply):
        return len(message.sealed) - SEAL_OVERHEAD
    if isinstance(message, SessionFrame):
        return len(message.sealed) - FRAME_TAG_BYTES
    return None


def clear_fields(message: Message) -> dict[str, object]:
    """Give what somebody sees who holds the message and no key."""
    return {field.name: _clear(field.name, value) for field, value in message.ListFields()}


def _clear(name: str, value: object) -> object:
    if isinstance(value, Message):
        return clear_fields(value)
    if isinstance(value, bytes):
        hidden = name == "sealed" or len(value) > SHOWN_BYTES
        return f"{len(value)} bytes" if hidden else value.hex()
    return value if isinstance(value, bool | int | str) else str(value)
