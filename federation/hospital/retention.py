"""How long a hospital keeps its records: whole years from the day that a version was stored, some classes longer or shorter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from federation.protocol.time import Instant

MOST_YEARS = 200


@dataclass(frozen=True)
class Retention:
    """The policy. Without `years` no record gets a date, and so none is ever due, except of the classes that are named."""

    years: int | None = None
    of_class: Mapping[str, int] = field(default_factory=dict)

    def keep_until(self, department_class: str, stored_at: Instant) -> Instant | None:
        """Give when the retention of what was stored then ends; None if the policy says nothing of the class."""
        years = self.of_class.get(department_class, self.years)
        return None if years is None else years_later(stored_at, years)


def years_later(moment: Instant, years: int) -> Instant:
    """Give the same day and time so many years later; the 1st of March for a 29th of February that there is not."""
    at = datetime.fromtimestamp(moment / 1000, UTC)
    try:
        later = at.replace(year=at.year + years)
    except ValueError:
        later = at.replace(year=at.year + years, month=3, day=1)
    return round(later.timestamp() * 1000)
