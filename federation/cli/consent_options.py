"""What a patient may ask for on the command line when it consents: few options, and the narrowest when none is given."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from federation.cli import terminal
from federation.cli.options import F, IdentityParameter, gather_options
from federation.person.asked import DEPARTMENT, DOCTOR, EVERYWHERE, HERE, LIVES, Asked
from federation.protocol.access import LONGEST_GRANT
from federation.protocol.consent import Terms
from keystore.identities import is_identity


def require_published(asked: Asked, published: frozenset[str]) -> None:
    """Require department classes that the federation has: a consent to others would open nothing. Raises BadParameter."""
    for unknown in asked.unpublished(published):
        names = ", ".join(sorted(published))
        raise click.BadParameter(f"{unknown}: the federation publishes {names}", param_hint="--department")


def choose_class(classes: Sequence[str]) -> str:
    """Ask for which of the departments where the doctor is on duty. Raises BadParameter for none, or where nobody answers."""
    if not classes:
        raise click.BadParameter("the doctor is on duty in no department", param_hint="--for")
    if not terminal.is_answered():
        raise click.BadParameter(f"of which department? --for department:{classes[0]}", param_hint="--for")
    chosen: str = click.prompt("The doctor is on duty in several departments. For which", type=click.Choice(classes))
    return chosen


class _Whom(click.ParamType[tuple[str, str | None]]):
    name = "whom"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        if isinstance(value, tuple):
            return value
        whom, _, named = str(value).partition(":")
        if whom not in LIVES or (named and whom != DEPARTMENT):
            self.fail(f"{value} is none of doctor, department, department:CLASS, hospital", param, ctx)
        if named and not is_identity("department class", named):
            self.fail(f"{named} is no department class", param, ctx)
        return whom, named or None


def consent_options(command: F) -> F:
    """Add what a patient may consent to, as Asked named `asked`."""
    return gather_options(command, lambda values: {"asked": _asked(values)}, _OPTIONS)


def _asked(values: dict[str, Any]) -> Asked:
    hours, days = values.pop("hours"), values.pop("days")
    if hours is not None and days is not None:
        raise click.UsageError("Give either --hours or --days.")
    whom, whom_class = values.pop("whom")
    life = timedelta(hours=hours) if hours is not None else None if days is None else timedelta(days=days)
    names = "keep", "read", "departments", "restricted", "purpose"
    return Asked(whom, whom_class, life=life, **{name: values.pop(name) for name in names})


_OPTIONS = (
    click.option(
        "--for",
        "whom",
        type=_Whom(),
        default=(DOCTOR, None),
        metavar="WHOM",
        help="For this doctor, for 24 hours (`doctor`, unless you say otherwise); for whoever is on duty in its department,"
        " for 30 days (`department`, or `department:CLASS`); or at its hospital, for 90 days (`hospital`).",
    ),
    click.option(
        "--read",
        type=IdentityParameter("hospital", HERE, EVERYWHERE),
        multiple=True,
        metavar="WHERE",
        help="Your records may be found and read: those of this hospital (`here`), of another (H:name), or `everywhere`;"
        " may be repeated. Otherwise none is.",
    ),
    click.option(
        "--keep/--no-keep", default=True, help="Whether this hospital may keep the record of the visit; it may."
    ),
    click.option(
        "--department",
        "departments",
        type=IdentityParameter("department class"),
        multiple=True,
        metavar="CLASS",
        help="Records of this department class only; may be repeated.",
    ),
    click.option("--restricted", is_flag=True, help="Records that are marked as restricted may be read, too."),
    click.option(
        "--hours",
        type=terminal.Amount(min=0, min_open=True, max=LONGEST_GRANT / timedelta(hours=1)),
        help="For so many hours instead.",
    ),
    click.option(
        "--days",
        type=terminal.Amount(min=0, min_open=True, max=LONGEST_GRANT / timedelta(days=1)),
        help="For so many days instead, up to a year.",
    ),
    click.option("--purpose", default=Terms.purpose, show_default=True, help="Why, in your words, ASCII."),
)
