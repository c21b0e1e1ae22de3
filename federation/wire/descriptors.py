"""Open files: each connection takes one; the token, the database and the logs need theirs whoever connects (docs/adr/0020)."""

import resource

from federation.errors import Unavailable
from federation.wire import operations

SPARE = 256
"""Kept free of connections: for the token, the database, blobs, logs, the admin server, and what gRPC opens for itself."""

PORTS = 2
"""A process serves at most so many; each gets the same share."""

FEWEST_CONNECTIONS = 16


def connections_that_fit(wanted: int) -> int:
    """Give how many connections a port may have, at most as many as wanted; this process gets the open files for them.

    A shell gives 1,024 by default, and lets a process help itself to more, up to a hard limit. Where that doesn't do, there are
    fewer connections. Raises Unavailable if it is so low that nobody would be served.
    """
    allowed = _raised_to(SPARE + PORTS * wanted)
    fitting = min(wanted, (allowed - SPARE) // PORTS)
    if fitting < min(wanted, FEWEST_CONNECTIONS):
        least = SPARE + PORTS * FEWEST_CONNECTIONS
        raise Unavailable(
            f"this process may open {allowed} files, and needs {least} at least: raise its limit (ulimit -Hn)"
        )
    if fitting < wanted:
        operations.warning("fewer-connections", most=fitting, wanted=wanted, cause="open files")
    return fitting


def _raised_to(needed: int) -> int:
    """Raise this process's limit of open files as far as it is needed and may be, and give how far that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
