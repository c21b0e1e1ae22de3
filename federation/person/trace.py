"""A record of every message that a client sent or received: sizes, times, and what an onlooker sees. Never a plaintext."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import grpc
from google.protobuf.message import Message

from federation.clock import Clock, system_clock, system_entropy
from federation.party.cloud_client import CloudClient
from federation.protocol.bundle import TrustedBundle
from federation.protocol.parties import Entropy
from federation.protocol.sealing import SEAL_OVERHEAD
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.wire.channel import ANYWHERE, Dialling

FRAME_TAG_BYTES = 16
SHOWN_BYTES = 32

NAMES = {
    "OpenRegistration": ("challenge?", "challenge"),
    "Register": ("reg1", "reg2"),
    "Search": ("D2", "C"),
    "Revoke": ("rev", "revocation list"),
    "PutEncryptionKey": ("ekput", "ekack"),
    "GetDirectory": ("directory?", "directory"),
    "GetTrustBundles": ("bundles?", "bundles"),
}
"""Method of the public cloud -> what its request and its answer are called."""


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


class TracedCloud(CloudClient):
    """A `CloudClient` whose single calls are noted."""

    def __init__(
        self,
        trust: Callable[[], TrustedBundle],
        identity: str,
        trace: Trace,
        *,
        clock: Clock = system_clock,
        entropy: Entropy = system_entropy,
        dialling: Dialling = ANYWHERE,
    ) -> None:
        """Prepare the channel of a doctor or patient."""
        notes = _Notes(trace, identity, trust().anchors.cloud_id)
        super().__init__(
            trust,
            clock=clock,
            entropy=entropy,
            opened=lambda channel: grpc.intercept_channel(channel, notes),
            dialling=dialling,
        )


class _Notes(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, trace: Trace, own: str, cloud: str) -> None:
        self._trace = trace
        self._own = own
        self._cloud = cloud

    def intercept_unary_unary(
        self,
        continuation: Callable[[Any, Any], Any],
        client_call_details: Any,  # noqa: ANN401
        request: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - gRPC's interface
        asked, answered = NAMES.get(str(client_call_details.method).rpartition("/")[2], ("?", "?"))
        self._trace.note(asked, self._own, self._cloud, _inner(request))
        call = continuation(client_call_details, request)
        if call.code() is grpc.StatusCode.OK:
            self._trace.note(answered, self._cloud, self._own, _inner(call.result()))
        return call


def plaintext_bytes(message: Message) -> int | None:
    """Return the size of what a message seals, padding included; None where nothing is sealed."""
    if isinstance(message, SealedOpening | SealedReply):
        return len(message.sealed) - SEAL_OVERHEAD
    if isinstance(message, SessionFrame):
        return len(message.sealed) - FRAME_TAG_BYTES
    return None


def clear_fields(message: Message) -> dict[str, object]:
    """Return what somebody sees who holds the message and no key."""
    return {field.name: _clear(field.name, value) for field, value in message.ListFields()}


def _clear(name: str, value: object) -> object:
    if isinstance(value, Message):
        return clear_fields(value)
    if isinstance(value, bytes):
        hidden = name == "sealed" or len(value) > SHOWN_BYTES
        return f"{len(value)} bytes" if hidden else value.hex()
    return value if isinstance(value, bool | int | str) else str(value)


def _inner(message: Any) -> Any:  # noqa: ANN401 - any message of the public cloud's services
    """Return the sealed form in a request or answer, or the message itself where nothing is sealed."""
    for name in ("opening", "reply"):
        if name in message.DESCRIPTOR.fields_by_name:
            return getattr(message, name)
    return message
