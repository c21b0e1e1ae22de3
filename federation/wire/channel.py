"""Channels to the federation's servers: authenticated by who the server is (its TLS name), wherever it is dialled."""

import grpc

from keystore.x509 import TlsLeaf, tls_name

LARGEST_MESSAGE_BYTES = 2 * 1024 * 1024
CALL_SECONDS = 15.0


def channel_options(identity: str) -> list[tuple[str, str | int]]:
    """Give the options of a channel to that public cloud or hospital."""
    return [
        ("grpc.ssl_target_name_override", tls_name(identity)),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.enable_retries", 0),
    ]


def open_channel(address: str, identity: str, root_pem: bytes, leaf: TlsLeaf | None = None) -> grpc.Channel:
    """Open a channel to `host:port`; with a leaf, by mutual TLS."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=root_pem,
        private_key=leaf.private_key if leaf else None,
        certificate_chain=leaf.chain if leaf else None,
    )
    return grpc.secure_channel(address, credentials, options=channel_options(identity))
