"""Text out of a record, made safe to show."""

from collections.abc import Iterable

MOST_LISTED = 8


def printable(text: str, limit: int = 500) -> str:
    """At most `limit` characters of `text` on one line, what can't be printed replaced by a space.

    FHIR allows any character in a string, escape sequences that repaint a terminal included.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The first MOST_LISTED of these names, and how many more there are."""
    held = list(names)
    more = len(held) - MOST_LISTED
    return separator.join([*held[:MOST_LISTED], *([f"and {more:,} more"] if more > 0 else [])])


def counted(number: int, noun: str) -> str:
    """A number and what is counted, such as "1 record" and "12 records"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
