"""The calls to the public cloud, noted in a trace."""

from collections.abc import Callable
from typing import Any

import grpc

from federation.clock import Clock, system_clock, system_entropy
from federation.party.cloud_client import CloudClient
from federation.person.trace import Trace
from federation.protocol.bundle import TrustedBundle
from federation.protocol.parties import Entropy
from federation.wire.dialling import ANYWHERE, Dialling

NAMES = {
    "OpenRegistration": ("challenge?", "challenge"),
    "Register": ("reg1", "reg2"),
    "Search": ("D2", "C"),
    "RevokeGrant": ("rev", "revocation list"),
    "PutEncryptionKey": ("ekput", "ekack"),
    "GetDirectory": ("directory?", "directory"),
    "GetTrustBundles": ("bundles?", "bundles"),
}
"""Method of the public cloud -> what its request and its answer are called."""


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


def _inner(message: Any) -> Any:  # noqa: ANN401 - any message of the public cloud's services
    """Give the sealed form in a request or answer, or the message itself where nothing is sealed."""
    for name in ("opening", "reply"):
        if name in message.DESCRIPTOR.fields_by_name:
            return getattr(message, name)
    return message
