"""`medunion patient visit`, as a story: a look at the doctor, what will be signed, the visit, and what stands after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from federation.cli import terminal
from federation.cli.consent_options import choose_class
from federation.cli.terminal import say
from federation.clinical.errors import ClinicalError
from federation.clinical.report import summarise
from federation.clinical.text import printable
from federation.clock import system_clock
from federation.errors import Authentication, CredentialRevoked
from federation.person.asked import Asked
from federation.person.biosignals import Biosignal
from federation.person.code import DoctorCode
from federation.person.consent_files import Draft
from federation.person.consent_words import NOTHING_BEYOND, grant_lines, grantee_words, stated_words, term_lines
from federation.person.consents import HeldDeputyship, KeptGrant, NewGrant
from federation.person.patient import REPLY_SECONDS, Diagnosis, Offer, PatientClient
from federation.person.room_view import RoomView
from federation.person.visit_words import handed_words
from federation.protocol.time import milliseconds
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_GRANT
from federation.words import duration, local_time, size
from keystore.identities import PatientId

_STAYS_OUT = (
    "You don't go in: nothing is signed, nothing is sent. The doctor still waits; the same code lets you in again."
)


@dataclass(frozen=True)
class Plan:
    """What the command line asks of one visit.

    `draft` is a FHIR Consent that proposes the consent, `under` the number of an earlier one, `deputy_for` whom one stands for.
    """

    code: DoctorCode
    biosignal: Biosignal
    asked: Asked
    draft: Draft | None
    under: int | None
    deputy_for: PatientId | None
    yes: bool
    wait: bool
    patience_seconds: float


@dataclass(frozen=True)
class Visit:
    """One visit at the patient's terminal. `revoke` is the command that takes a consent back, to be shown."""

    client: PatientClient
    plan: Plan
    revoke: str

    def run(self) -> None:
        """Run it. Raises what the client raises, Exit where the patient says no."""
        view = self.client.look(self.plan.code)
        offer, held = self._offer(view)
        self.client.require_use(offer, view)
        self._show(view, offer, held)
        terminal.confirm("\nGo in, and sign this?", yes=self.plan.yes, unless=_STAYS_OUT)
        with self._told_what_stands(offer), self._told_who_fell(view):
            self._go_in(view, offer)

    def _offer(self, view: RoomView) -> tuple[Offer | None, HeldDeputyship | None]:
        plan, consents = self.plan, self.client.consents
        if plan.under is not None:
            return consents.grant(plan.under, plan.deputy_for), None
        if plan.deputy_for is None:
            is_nothing = plan.draft is None and plan.asked.is_nothing
            return None if is_nothing else self._new_grant(view, None), None
        # A deputy shows by what it comes with the consent: without one it could not come for another.
        held = consents.acting_for(plan.deputy_for, POWER_GRANT)
        return self._new_grant(view, held.shown), held

    def _new_grant(self, view: RoomView, deputyship: Deputyship | None) -> NewGrant:
        plan = self.plan
        return (
            plan.asked.grant_for(view, deputyship, choose_class) if plan.draft is None else plan.draft.grant(deputyship)
        )

    def _show(self, view: RoomView, offer: Offer | None, held: HeldDeputyship | None) -> None:
        say("You are about to visit")
        for heading, words in view.in_words():
            say(f"  {heading:<14}{words}")
        if held is not None:
            say(
                f"\nFor {held.says.patient_id}, in whose name you act by a {stated_words(held.says.kind, held.stated_by)}."
            )
        say("\nWhat is sent")
        for words in self.plan.biosignal.words:
            say(f"  {words}")
        say("\nWhat you consent to")
        for line in self._consent_lines(offer):
            say(f"  {line}")

    def _consent_lines(self, offer: Offer | None) -> Iterator[str]:
        if offer is None:
            yield NOTHING_BEYOND
        elif isinstance(offer, KeptGrant):
            yield f"Your consent no. {offer.number} of {local_time(offer.grant.stated_at)}, once more."
            yield from grant_lines(offer.grant, self._whose(offer))
        else:
            now = system_clock()
            life = offer.terms_at(now).life
            how_long = f"for {duration(life)}, " if offer.ends is None else ""
            until = local_time(now + milliseconds(life))
            yield f"For {grantee_words(offer.grantee)}, {how_long}until {until}:"
            yield from term_lines(offer.terms, self._whose(offer))
            if self.plan.draft is not None:
                yield f"So the file proposes; its purpose: {printable(offer.terms.purpose)}."
            yield "All else stays closed. You can take it back at any time."

    def _whose(self, offer: Offer) -> str:
        if isinstance(offer, NewGrant):
            return "your" if self.plan.deputy_for is None else f"{self.plan.deputy_for}'s"
        return "your" if offer.deputyship is None else f"{offer.grant.patient_id}'s"

    def _go_in(self, view: RoomView, offer: Offer | None) -> None:
        plan = self.plan
        say(f"\nYou are talking to {view.doctor.identity}.")
        with terminal.sending(view.doctor.identity, len(plan.biosignal.data)) as on_sent:
            waiting = self.client.visit(
                view,
                plan.biosignal.data,
                offer,
                answer_seconds=max(REPLY_SECONDS, plan.patience_seconds),
                waiting=_Patience().tell,
                on_handed=lambda handed: say(handed_words(handed.as_of, handed.hospitals)),
                on_sent=on_sent,
            )
        sent = f"your biosignal ({size(len(plan.biosignal.data))})" if plan.biosignal.data else "no biosignal"
        say(f"{waiting.doctor_id} knows that you are here, and has {sent}.")
        if not plan.wait:
            say("`medunion patient diagnoses` fetches the diagnosis later, within twelve hours.")
            return
        say("Waiting for the diagnosis ...")
        show_diagnosis(self.client.await_diagnosis(waiting, seconds=plan.patience_seconds))

    @contextmanager
    def _told_who_fell(self, view: RoomView) -> Iterator[None]:
        """Say that it is the doctor whose registration was taken back: the hospital's refusal doesn't say whose it was."""
        try:
            yield
        except CredentialRevoked:
            try:
                self.client.require_still_good(view)
            except Authentication:
                say(f"\n{view.called} WAS SHUT OUT OF THE FEDERATION during your visit, and sends you no diagnosis.")
                say(f"  Ask {view.duty.hospital_id} for another doctor.")
            raise

    @contextmanager
    def _told_what_stands(self, offer: Offer | None) -> Iterator[None]:
        """Say in the end, however the visit ended, which consent stands: it may have gone out though no diagnosis came."""
        before = len(self.client.consents.grants())
        try:
            yield
        finally:
            given = self.client.consents.grants()[before:]
            for kept in [offer] if isinstance(offer, KeptGrant) else given:
                say(f"\nYour consent no. {kept.number} stands. {next(grant_lines(kept.grant, ''))[:-1]}.")
                say(f"  It is taken back by: {self.revoke} {kept.number}")


class _Patience:
    """Says once that the doctor has not answered yet."""

    def __init__(self) -> None:
        self._told = False

    def tell(self) -> None:
        if not self._told:
            self._told = True
            say("The doctor has not answered yet: somebody else may be there. Ctrl-C gives up.")


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Show a diagnosis, whose signature held when it came, and those whose place it takes."""
    say(f"\nSigned by {diagnosis.doctor_id} on {local_time(diagnosis.sent_at)}:")
    _show_report(diagnosis)
    while (amended := diagnosis.amends) is not None:
        say(f"  This amends the diagnosis of {local_time(amended.sent_at)}, which said:")
        _show_report(amended)
        diagnosis = amended


def _show_report(diagnosis: Diagnosis) -> None:
    with terminal.going_on("this report"):
        try:
            say(f"  {summarise(diagnosis.report)}")
        except ClinicalError as error:
            say(f"  The report is not readable as FHIR ({error.reason}); it begins: {_beginning(diagnosis.report)}")


def _beginning(report: bytes) -> str:
    return printable(report[:200].decode("utf-8", "replace"))
