"""A TOML table that is read key by key, so that what nobody asked for is found."""

from collections.abc import Mapping

from keystore.ceremony.errors import CeremonyFileInvalid


class Table:
    """Values by key; each is taken once, and `end` refuses what is left."""

    def __init__(self, name: str, values: Mapping[str, object]) -> None:
        """Read the table of this dotted name."""
        self.name = name
        self._values = dict(values)

    def text(self, key: str) -> str:
        """Take a text. Raises CeremonyFileInvalid unless it is there, printable and not empty."""
        value = self._take(key)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be printable text")
        return value

    def __contains__(self, key: str) -> bool:
        """Say whether a value waits to be taken."""
        return key in self._values

    def optional(self, key: str) -> str | None:
        """Take a text that may be left out."""
        return self.text(key) if key in self._values else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of texts."""
        value = self._take(key)
        if not isinstance(value, list) or not all(isinstance(item, str) and item.isprintable() for item in value):
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be a list of printable texts")
        return tuple(value)

    def number(self, key: str, least: int, most: int) -> int:
        """Take a whole number of that range, both ends included."""
        value = self._take(key)
        if type(value) is not int or not least <= value <= most:
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be a whole number from {least} to {most}")
        return value

    def table(self, key: str) -> "Table":
        """Take a table."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise CeremonyFileInvalid(f"{self._full(key)}: has to be a table")
        return Table(self._full(key), value)

    def optional_table(self, key: str, *, applies: bool) -> "Table | None":
        """Take a table that may be left out, and has to be where it does not apply to this kind of ceremony."""
        if key not in self._values:
            return None
        if not applies:
            raise CeremonyFileInvalid(f"{self._full(key)}: does not apply to a ceremony of this kind")
        return self.table(key)

    def end(self) -> None:
        """Raise CeremonyFileInvalid, naming the first of them, if keys are left that nobody asked for."""
        if self._values:
            raise CeremonyFileInvalid(f"{self._full(min(self._values))}: unknown, or not for a ceremony of this kind")

    def _take(self, key: str) -> object:
        if key not in self._values:
            raise CeremonyFileInvalid(f"{self._full(key)}: is missing")
        return self._values.pop(key)

    def _full(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
