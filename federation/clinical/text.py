"""Text out of a record, a message or a file of somebody else, made safe to show: the one way to a terminal or page."""

from collections.abc import Iterable

MOST_LISTED = 8


def printable(text: str, limit: int = 500) -> str:
    """At most `limit` characters of `text` on one line, what can't be printed replaced by a space.

    FHIR allows any character in a string, escape sequences that repaint a terminal included, and marks that turn the order of
    letters round (bidi), and separators of lines and paragraphs.
    """
    line = " ".join(without_control(text.replace("\n", " ")).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def without_control(text: str) -> str:
    """Return a text of our own with its line ends, and a space for whatever else can't be printed."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """Return the first MOST_LISTED of these names, and how many more there are."""
    held = list(names)
    more = len(held) - MOST_LISTED
    return separator.join([*held[:MOST_LISTED], *([f"and {more:,} more"] if more > 0 else [])])


def counted(number: int, noun: str) -> str:
    """Return a number and what is counted, such as "1 record" and "12 records"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
