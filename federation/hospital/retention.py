"""How long a hospital keeps its records, as `[retention]` says: whole years from the day that a version was stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from federation.errors import FieldInvalid
from federation.protocol.identities import require_identity
from federation.protocol.time import Instant
from federation.settings import ConfigError, RetentionSettings

MOST_YEARS = 200


@dataclass(frozen=True)
class Retention:
    """The policy. Without `years` no record gets a date, and so none is ever due, except of the classes that are named."""

    years: int | None = None
    of_class: Mapping[str, int] = field(default_factory=dict)

    def keep_until(self, department_class: str, stored_at: Instant) -> Instant | None:
        """Return when the retention of what was stored then ends; None if the policy says nothing of the class."""
        years = self.of_class.get(department_class, self.years)
        return None if years is None else years_later(stored_at, years)


def years_later(moment: Instant, years: int) -> Instant:
    """Return the same day and time so many years later; the 1st of March for a 29th of February that there is not."""
    at = datetime.fromtimestamp(moment / 1000, UTC)
    try:
        later = at.replace(year=at.year + years)
    except ValueError:
        later = at.replace(year=at.year + years, month=3, day=1)
    return round(later.timestamp() * 1000)


def retention_of(settings: RetentionSettings) -> Retention:
    """Return the policy. Raises ConfigError for a class that is none, and for years that are none."""
    return Retention(settings.years, dict(map(_class_and_years, settings.classes)))


def _class_and_years(text: str) -> tuple[str, int]:
    name, _, years = text.partition("=")
    try:
        require_identity("department class", name)
    except FieldInvalid as error:
        raise ConfigError(f"retention.classes: {error}") from error
    if not (years.isdecimal() and years.isascii() and 1 <= int(years) <= MOST_YEARS):
        raise ConfigError(f"retention.classes: {text!r} is not class=years, with 1 to {MOST_YEARS} years")
    return name, int(years)
