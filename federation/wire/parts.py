"""A server's parts by name, and what whoever asks it about them goes by."""

TOKEN, DATABASE, LOG, RECORDS, PEERS = "token", "database", "log", "records", "peers"
"""What a server depends on, as names of the health service. A hospital has records, and its peer is the public cloud."""
TOKEN_MEMBER = f"{TOKEN}-member"
"""One of several tokens that hold the same keys; each is a name of the health service, too: `token-1`, `token-2`."""

WITHOUT_PROXY: tuple[str, str | int] = ("grpc.enable_http_proxy", 0)
"""The option by which a channel asks no proxy that the environment names."""
