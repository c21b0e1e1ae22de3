"""What the app's pages show, as plain data: a consent, a deputyship, a diagnosis, an access, each in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import load_resource
from federation.clinical.report import summarise
from federation.clinical.text import printable
from federation.pages.app.states import App
from federation.person.consent_words import (
    grantee_words,
    power_words,
    right_sentences,
    standing_words,
    stated_words,
)
from federation.person.consents import HeldDeputyship, KeptGrant, KeptMandate
from federation.person.patient import Diagnosis
from federation.protocol.access import Power
from federation.protocol.time import Instant
from keystore.identities import PatientId

MOST_CONCLUSION = 20_000


@dataclass(frozen=True)
class ShownGrant:
    """A consent: whom it is for, what it allows, one sentence each, and whether it stands. `of_whom` is "" for one's own."""

    number: int
    whom: str
    allows: Sequence[str]
    standing: str
    stands: bool
    given_at: Instant
    purpose: str
    of_whom: str


@dataclass(frozen=True)
class ShownMandate:
    """A mandate that was given: to whom, for what, and whether it stands."""

    number: int
    deputy_id: PatientId
    powers: str
    standing: str
    stands: bool


@dataclass(frozen=True)
class ShownDeputyship:
    """By what one stands for another."""

    patient_id: PatientId
    how: str
    powers: str
    standing: str
    stands: bool


@dataclass(frozen=True)
class ShownDiagnosis:
    """A diagnosis: its words as the doctor wrote them, or why they can't be read. `summary` is one paragraph, "" for none.

    `amends` is the one whose place it takes.
    """

    key: str
    doctor_id: str
    signed_at: Instant
    came_at: Instant
    conclusion: str
    codes: Sequence[str]
    summary: str
    records: int
    is_readable: bool
    amends: "ShownDiagnosis | None"

    @property
    def beginning(self) -> str:
        """Return what a list shows of it."""
        return printable(self.conclusion, 120)


def grants_of(app: App, now: Instant) -> list[ShownGrant]:
    """Return the consents, the newest first, those that stand before the others."""
    shown = [_grant(kept, now) for kept in reversed(app.kept.grants)]
    return sorted(shown, key=lambda one: not one.stands)


def grant_of(app: App, number: int, now: Instant) -> ShownGrant | None:
    """Return the consent of this number."""
    return next((_grant(kept, now) for kept in app.kept.grants if kept.number == number), None)


def mandates_of(app: App, now: Instant) -> list[ShownMandate]:
    """Return the mandates that were given, the newest first, those that stand before the others."""
    shown = [_mandate(kept, now) for kept in reversed(app.kept.mandates)]
    return sorted(shown, key=lambda one: not one.stands)


def held_of(app: App, now: Instant) -> list[ShownDeputyship]:
    """Return for whom one stands, or stood."""
    shown = [_held(held, now) for held in app.kept.held]
    return sorted(shown, key=lambda one: not one.stands)


def stands_for(app: App, power: Power, now: Instant) -> list[PatientId]:
    """Return in whose names one may do that now."""
    standing = (one for one in app.kept.held if not one.is_revoked and now < one.says.validity.not_after)
    return list(dict.fromkeys(one.says.patient_id for one in standing if power in one.says.powers))


def standing_grants(app: App, patient_id: PatientId, now: Instant) -> list[ShownGrant]:
    """Return the consents about this patient's records that stand, the newest first."""
    of_this = [kept for kept in reversed(app.kept.grants) if kept.grant.patient_id == patient_id]
    return [shown for shown in (_grant(kept, now) for kept in of_this) if shown.stands]


def diagnosis_of(diagnosis: Diagnosis) -> ShownDiagnosis:
    """Return a diagnosis as it is shown, whatever its doctor signed."""
    conclusion, codes, summary, is_readable = "", [], "", True
    try:
        report = load_resource(diagnosis.report, "DiagnosticReport")
        conclusion, codes = printable_lines(report.get("conclusion", "")), list(_codes(report))
        summary = summarise(diagnosis.report)
    except ClinicalError as error:
        is_readable = False
        begins = printable(diagnosis.report[:200].decode("utf-8", "replace"))
        conclusion = f"The report is not readable as FHIR ({error.reason}); it begins: {begins}"
    return ShownDiagnosis(
        key=diagnosis.session_id.hex(),
        doctor_id=diagnosis.doctor_id,
        signed_at=diagnosis.sent_at,
        came_at=diagnosis.received_at,
        conclusion=conclusion or "The report has no conclusion.",
        codes=codes,
        summary=summary,
        records=diagnosis.records,
        is_readable=is_readable,
        amends=None if diagnosis.amends is None else diagnosis_of(diagnosis.amends),
    )


def printable_lines(text: str) -> str:
    """Return a text of several lines, each safe to show."""
    return "\n".join(printable(line, MOST_CONCLUSION) for line in text[:MOST_CONCLUSION].splitlines())


def _codes(report: dict[str, Any]) -> Iterator[str]:
    for concept in report.get("conclusionCode", ()):
        for coding in concept.get("coding", ()):
            said = " ".join(str(coding[name]) for name in ("code", "display") if name in coding)
            yield printable(said, 200)


def _grant(kept: KeptGrant, now: Instant) -> ShownGrant:
    grant = kept.grant
    own = kept.deputyship is None
    return ShownGrant(
        number=kept.number,
        whom=grantee_words(grant.grantee),
        allows=tuple(right_sentences(grant, "your" if own else f"{grant.patient_id}'s")) or ("Nothing.",),
        standing=standing_words(kept.is_revoked, grant.validity, now),
        stands=not kept.is_revoked and now < grant.validity.not_after,
        given_at=grant.stated_at,
        purpose=printable(kept.purpose, 200),
        of_whom="" if own else grant.patient_id,
    )


def _mandate(kept: KeptMandate, now: Instant) -> ShownMandate:
    says = kept.mandate
    return ShownMandate(
        number=kept.number,
        deputy_id=says.deputy_id,
        powers=power_words(says.powers),
        standing=standing_words(kept.is_revoked, says.validity, now),
        stands=not kept.is_revoked and now < says.validity.not_after,
    )


def _held(held: HeldDeputyship, now: Instant) -> ShownDeputyship:
    says = held.says
    return ShownDeputyship(
        patient_id=says.patient_id,
        how=stated_words(says.kind, held.stated_by),
        powers=power_words(says.powers),
        standing=standing_words(held.is_revoked, says.validity, now),
        stands=not held.is_revoked and now < says.validity.not_after,
    )
