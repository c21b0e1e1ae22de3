"""What a patient may ask for on the command line when it consents: few options, and the narrowest when none is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click

from federation.cli import terminal
from federation.cli.options import F, IdentityParameter, gather_options
from federation.person.consents import NewGrant
from federation.person.room_view import RoomView
from federation.protocol import access
from federation.protocol.access import (
    DEPARTMENTS_LIFE,
    DOCTORS_LIFE,
    HOSPITALS_LIFE,
    LONGEST_GRANT,
    Grantee,
    ToDepartment,
    ToDoctor,
    ToHospital,
)
from federation.protocol.consent import Terms
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Deputyship
from keystore.identities import ANY, is_identity

HERE, EVERYWHERE = "here", "everywhere"
DOCTOR, DEPARTMENT, HOSPITAL = "doctor", "department", "hospital"
LIVES = {DOCTOR: DOCTORS_LIFE, DEPARTMENT: DEPARTMENTS_LIFE, HOSPITAL: HOSPITALS_LIFE}


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. `read` are places, `life` None for what is usual of whom it is for."""

    whom: str
    whom_class: str | None
    keep: bool
    read: Sequence[str]
    departments: Sequence[str]
    restricted: bool
    life: timedelta | None
    purpose: str

    @property
    def is_usual(self) -> bool:
        """Return whether the command line asks for nothing of its own."""
        return self == _USUAL

    @property
    def is_nothing(self) -> bool:
        """Return whether nothing is consented to beyond the visit."""
        return not self.keep and not self.read

    def require_published(self, published: frozenset[str]) -> None:
        """Require department classes that the federation has: a consent to others would open nothing. Raises BadParameter."""
        named = [*self.departments, *([self.whom_class] if self.whom_class else [])]
        unknown = sorted(set(named) - published)
        if unknown:
            names = ", ".join(sorted(published))
            raise click.BadParameter(f"{unknown[0]}: the federation publishes {names}", param_hint="--department")

    def grant_for(self, view: RoomView, deputyship: Deputyship | None) -> NewGrant:
        """Return the consent for the doctor of this room. Raises BadParameter where the department has to be named."""
        return NewGrant(self._grantee(view), self._terms(view.duty), deputyship)

    def _grantee(self, view: RoomView) -> Grantee:
        duty = view.duty
        if self.whom == HOSPITAL:
            return ToHospital(duty.hospital_id)
        if self.whom == DEPARTMENT:
            return ToDepartment(duty.hospital_id, self.whom_class or _only_class(duty))
        return ToDoctor(view.doctor.doctor_id, view.authority_id)

    def _terms(self, duty: access.Duty) -> Terms:
        reading = (pb.RIGHT_INDEX, pb.RIGHT_READ) if self.read else ()
        return Terms(
            hospitals=self._hospitals(duty),
            department_classes=self._classes(duty),
            rights=(*reading, *((pb.RIGHT_WRITE,) if self.keep else ())),
            highest_sensitivity=pb.SENSITIVITY_RESTRICTED if self.restricted else pb.SENSITIVITY_NORMAL,
            purpose=self.purpose,
            life=self.life or LIVES[self.whom],
        )

    def _hospitals(self, duty: access.Duty) -> Sequence[str]:
        if EVERYWHERE in self.read:
            return (ANY,)
        here = [duty.hospital_id] if self.keep or HERE in self.read else []
        return tuple(dict.fromkeys([*here, *(place for place in self.read if place != HERE)]))

    def _classes(self, duty: access.Duty) -> Sequence[str]:
        # What is only kept stays in the departments where the doctor works; who lets records be read means those of all.
        usual = (ANY,) if self.read else tuple(duty.department_classes)
        return tuple(self.departments) or usual or (ANY,)


_USUAL = Asked(DOCTOR, None, True, (), (), restricted=False, life=None, purpose=Terms.purpose)


def _only_class(duty: access.Duty) -> str:
    """Return the department where the doctor is on duty; which of several is asked. Raises BadParameter."""
    classes = list(duty.department_classes)
    if len(classes) == 1:
        return classes[0]
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
