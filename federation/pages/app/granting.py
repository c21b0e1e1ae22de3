"""The commands about what a patient signed for others, consents and mandates, and about the deputyships that it holds."""

from collections.abc import Sequence
from typing import Final

from federation.errors import DeputyInvalid, FederationError, FieldInvalid
from federation.pages.app.client import AppClient, Command
from federation.pages.app.states import CONSENTS, App, MandateDraft, Notice
from federation.pages.app.words import days_in, told
from federation.pages.errors import MovedOn
from federation.person.consent_words import KNOWN_BY, POWERS, grantee_words, power_words
from federation.person.visit_words import WAITS
from federation.protocol.access import LONGEST_MANDATE, Power
from federation.protocol.statements import POWER_NAMES
from federation.words import local_time
from keystore.identities import PatientId, is_identity

DRAFT: Final = f"{CONSENTS}/mandate"
"""Where a mandate is read over before it is signed."""

POWER_OF: Final = {POWER_NAMES[power]: power for power in POWERS}


def look(client: AppClient) -> Command:
    """Read again what stands, by the newest lists."""

    def work(app: App) -> App:
        return app.at(CONSENTS, client.refreshed(), kept=client.kept())

    return work


def take_back(client: AppClient, number: int) -> Command:
    """Take one consent back."""

    def work(app: App) -> App:
        kept = client.client.consents.grant(number)
        try:
            is_known = client.client.acts.revoke([kept])
        except FederationError as error:
            return app.at(f"{CONSENTS}/{number}", told(error))
        if not is_known:
            return app.at(CONSENTS, Notice("warn", WAITS), kept=client.kept())
        client.refreshed()
        whom = grantee_words(kept.grant.grantee)
        notice = Notice("ok", f"Your consent no. {number}, for {whom}, is taken back.", KNOWN_BY)
        return app.at(CONSENTS, notice, kept=client.kept())

    return work


def take_all_back(client: AppClient, patient_id: PatientId) -> Command:
    """Take back everything that was signed in this patient's name until now."""

    def work(app: App) -> App:
        try:
            is_known = client.client.acts.sweep(patient_id)
        except FederationError as error:
            return app.at(f"{CONSENTS}/all", told(error))
        if not is_known:
            return app.at(CONSENTS, Notice("warn", WAITS), kept=client.kept())
        client.refreshed()
        words = f"Everything that was signed in the name of {patient_id} until now is taken back."
        return app.at(CONSENTS, Notice("ok", words, KNOWN_BY), kept=client.kept())

    return work


def draft(client: AppClient, deputy: str, names: Sequence[str], days: str) -> Command:
    """Put a mandate together, to read it before it is signed."""

    def work(app: App) -> App:
        try:
            return app.at(DRAFT, draft=_draft(client, deputy.strip(), names, days.strip()))
        except FederationError as error:
            typed = {"deputy": deputy, "days": days, "powers": " ".join(names)}
            return app.at(DRAFT, told(error), typed=typed)

    return work


def drop_draft(app: App) -> App:
    """Sign no mandate."""
    return app.at(CONSENTS, draft=None)


def appoint(client: AppClient) -> Command:
    """Sign the mandate that was read."""

    def work(app: App) -> App:
        drafted = app.draft
        if drafted is None:
            raise MovedOn
        try:
            client.client.consents.appoint(drafted.deputy_id, drafted.powers, drafted.life)
        except FederationError as error:
            return app.at(DRAFT, told(error), draft=None)
        kept = client.kept()
        words = f"{drafted.deputy_id} is your deputy by mandate no. {kept.mandates[-1].number}."
        notice = Notice("ok", words, "Save the file below and hand it over: the deputy needs it to show that it may.")
        return app.at(f"{CONSENTS}/mandates/{kept.mandates[-1].number}", notice, draft=None, kept=kept)

    return work


def end(client: AppClient, number: int) -> Command:
    """End a mandate, and what the deputy granted by it."""

    def work(app: App) -> App:
        try:
            ended, is_known = client.client.acts.end_mandate(number)
        except FederationError as error:
            return app.at(f"{CONSENTS}/mandates/{number}", told(error))
        if not is_known:
            return app.at(CONSENTS, Notice("warn", WAITS), kept=client.kept())
        client.refreshed()
        words = f"{ended.mandate.deputy_id} is no longer your deputy by no. {number}."
        return app.at(CONSENTS, Notice("ok", words, KNOWN_BY), kept=client.kept())

    return work


def accept(client: AppClient, data: bytes) -> Command:
    """Check and keep a file that makes this patient a deputy."""

    def work(app: App) -> App:
        client.refreshed()
        try:
            held = client.client.consents.accept(data)
        except FederationError as error:
            return app.at(CONSENTS, told(error))
        says = held.says
        words = (
            f"You stand for {says.patient_id} until {local_time(says.validity.not_after)}, as {held.stated_by} says."
        )
        return app.at(CONSENTS, Notice("ok", words, f"You may {power_words(says.powers)}."), kept=client.kept())

    return work


def _draft(client: AppClient, deputy: str, names: Sequence[str], days: str) -> MandateDraft:
    if not is_identity("patient", deputy):
        raise FieldInvalid("name the deputy as P:name, as it is registered")
    if deputy == client.patient_id:
        raise DeputyInvalid("nobody is its own deputy")
    powers: list[Power] = [POWER_OF[name] for name in POWER_OF if name in names]
    if not powers:
        raise FieldInvalid("say what the deputy may do: there is nothing that goes without saying")
    return MandateDraft(PatientId(deputy), powers, days_in(days, LONGEST_MANDATE.days))
