"""The retention policy as `[retention]` says it."""

from federation.errors import FieldInvalid
from federation.hospital.retention import MOST_YEARS, Retention
from federation.protocol.identities import require_identity
from federation.settings import ConfigError, RetentionSettings


def retention_of(settings: RetentionSettings) -> Retention:
    """Give the policy. Raises ConfigError for a class that is none, and for years that are none."""
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
