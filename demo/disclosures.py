"""What an operational log may not hold: who took part, a PIN, a key. What a command says to people is no log.

A log is JSON lines, and whatever else a server writes among them, but for its words to who started it.
"""

import re
from collections.abc import Collection, Iterator

IDENTITY = re.compile(r"(?<![A-Za-z0-9])[PDHCM]:[a-z0-9][a-z0-9._-]*")
"""A patient's, doctor's, hospital's, cloud's or authority's."""

HEX_KEY = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![0-9A-Fa-f])")
"""16 bytes and more. Request ids have 8."""

BASE64_KEY = re.compile(
    r"(?<![\w+/=-])(?=[\w+/-]*[0-9])(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])[A-Za-z0-9+/_-]{40,}={0,2}(?![\w+/=-])"
)
"""30 bytes and more, in either alphabet."""

_PATH = re.compile(r"(?:unix:)?(?:/[\w.@:+-]+){2,}")
_LOG_LINE = re.compile(r'\{"at": "')
_TO_PEOPLE = re.compile(r"[CH]:\S+ serves at \S.*")


def log_lines(output: str) -> Iterator[str]:
    """Yield the lines of a process's output that are its log."""
    lines = output.splitlines()
    is_server = any(_LOG_LINE.match(line) for line in lines)
    for line in lines:
        if _LOG_LINE.match(line) or (is_server and line and not _TO_PEOPLE.fullmatch(line)):
            yield line


def disclosure(line: str, secrets: Collection[str]) -> str | None:
    """Say what a line of a log discloses, if it does; `secrets` are PINs, names and the like."""
    for secret in secrets:
        if secret in line:
            return "a secret or a name that is known"
    if found := IDENTITY.search(line):
        return f"the identity {found[0]}"
    if HEX_KEY.search(line):
        return "what may be a key, in hex"
    if BASE64_KEY.search(_PATH.sub("", line)):
        return "what may be a key, in base64"
    return None


def disclosures(output: str, secrets: Collection[str]) -> list[str]:
    """Say what the log in a process's output discloses: each line that does, and what."""
    told = ((line, disclosure(line, secrets)) for line in log_lines(output))
    return [f"{what}: {line}" for line, what in told if what is not None]
