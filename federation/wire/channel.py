"""Channels to the federation's servers: authenticated by who the server is (its TLS name), wherever it is dialled."""

import json

import grpc

from federation.wire.dialling import ANYWHERE, Dialling, Target
from federation.wire.roles import METHODS, MethodRule
from keystore.x509 import TlsLeaf, tls_name

LARGEST_MESSAGE_BYTES = 2 * 1024 * 1024
CALL_SECONDS = 15.0
SERVER_HEAD_START_SECONDS = 5.0
"""How much longer than the server's own bound a client waits, so that it learns why the call ended."""


WITHOUT_PROXY: tuple[str, str | int] = ("grpc.enable_http_proxy", 0)
"""The option by which a channel asks no proxy that the environment names."""


def channel_options(identity: str, connect_to: str | None = None) -> list[tuple[str, str | int]]:
    """Give the options of a channel to that public cloud or hospital, to be asked for at a proxy or not."""
    return [
        WITHOUT_PROXY,
        *([] if connect_to is None else [("grpc.http_connect_server", connect_to)]),
        ("grpc.ssl_target_name_override", tls_name(identity)),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        # Of calls that the server has never seen, which a connection's end cut off: nothing else is retried, for no method's
        # configuration below has a retry policy. A sealed message may be taken once.
        ("grpc.enable_retries", 1),
        # A server that was started again is found within seconds; gRPC would wait up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.service_config", SERVICE_CONFIG),
    ]


def _method_config(path: str, rule: MethodRule) -> dict[str, object]:
    _, service, method = path.split("/")
    return {
        "name": [{"service": service, "method": method}],
        "timeout": f"{rule.longest.total_seconds() + SERVER_HEAD_START_SECONDS:g}s",
        "maxResponseMessageBytes": rule.most_response_bytes,
    }


SERVICE_CONFIG = json.dumps({"methodConfig": [_method_config(*entry) for entry in METHODS.items()]})
"""The table of methods as gRPC's service config: a deadline for a call that sets none, and the largest answer of each method.

What is sent is not bounded here: the server says precisely what is too large."""


def open_channel(
    address: str, identity: str, root_pem: bytes, leaf: TlsLeaf | None = None, dialling: Dialling = ANYWHERE
) -> grpc.Channel:
    """Open a channel to `host:port`; with a leaf, by mutual TLS. Raises FieldInvalid, NetworkForbidden, Unavailable."""
    return channel_to(dialling.target(address), identity, root_pem, leaf)


def channel_to(target: Target, identity: str, root_pem: bytes, leaf: TlsLeaf | None = None) -> grpc.Channel:
    """Open a channel to what `Dialling.target` gave."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=root_pem,
        private_key=leaf.private_key if leaf else None,
        certificate_chain=leaf.chain if leaf else None,
    )
    return grpc.secure_channel(target.uri, credentials, options=channel_options(identity, target.connect_to))
