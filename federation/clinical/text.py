"""Text out of a record, made safe to show."""


def printable(text: str, limit: int = 500) -> str:
    """At most `limit` characters of `text` on one line, what can't be printed replaced by a space.

    FHIR allows any character in a string, escape sequences that repaint a terminal included.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """A number and what is counted, such as "1 record" and "12 records"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
