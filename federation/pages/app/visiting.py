"""The commands of a visit: a code, a look at the doctor, a consent put together tap by tap, and going in.

What is signed is computed here, once, when something is chosen: the page shows its sentence, and "Agree" signs that very offer.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from federation.clinical.drawing import svg
from federation.clinical.ecg import leads_from_observation
from federation.clinical.errors import ClinicalError
from federation.errors import Authorization, DutyInvalid, FederationError, FieldInvalid, Unavailable
from federation.pages.app.client import AppClient, Command
from federation.pages.app.photo import code_in
from federation.pages.app.states import (
    VISIT,
    App,
    Asking,
    AtDoctor,
    AtHome,
    Attached,
    Consenting,
    Notice,
)
from federation.pages.app.words import days_in, told
from federation.pages.errors import MovedOn
from federation.person.asked import DEPARTMENT, DOCTOR, EVERYWHERE, HERE, HOSPITAL, Asked
from federation.person.biosignals import biosignal_of
from federation.person.code import DoctorCode
from federation.person.consent_words import NOTHING_BEYOND, consent_sentence, grantee_words
from federation.person.consents import KeptGrant, NewGrant
from federation.person.errors import NoAnswer
from federation.person.patient import Offer, require_sendable
from federation.person.places import Handed
from federation.person.visit_words import handed_words
from federation.protocol.access import LONGEST_GRANT, Grantee, ToDoctor
from federation.protocol.time import Instant, milliseconds
from federation.v1.statement_pb2 import POWER_GRANT
from federation.words import EXPECTED, local_time, near_time, size
from keystore.identities import PatientId, is_identity

LIVES: Final = {"2h": timedelta(hours=2), "24h": timedelta(hours=24), "90d": timedelta(days=90)}
"""This visit, today, a treatment."""

OFFERS: Final = {
    "records": Asked(read=(EVERYWHERE,)),
    "keep": Asked(),
    "nothing": Asked(keep=False),
}
"""What a patient chooses among when it has seen who the doctor is; none is chosen beforehand."""

TAKE_BACK: Final = "You can take this back at any time."

_MINUTE_MS: Final = 60_000


def given(client: AppClient, typed: str, photo: bytes) -> Command:
    """Look at the doctor of a code that was typed, or photographed. Nothing of the patient's goes out."""

    def work(app: App) -> App:
        try:
            code = code_in(photo) if photo else DoctorCode.parse("".join(typed.split()))
            view = client.client.look(code)
        except FederationError as error:
            return app.at(VISIT, told(error), visit=AtHome(typed))
        return app.at(VISIT, visit=AtDoctor(view))

    return work


def leave(app: App) -> App:
    """Do not go in."""
    if isinstance(app.visit, Asking):
        raise MovedOn
    return app.at(VISIT, visit=AtHome())


def choose(client: AppClient, name: str) -> Command:
    """Choose what the doctor may do, to read what that amounts to."""

    def work(app: App) -> App:
        if not isinstance(app.visit, AtDoctor) or name not in OFFERS:
            raise MovedOn
        begun = Consenting(app.visit.view, OFFERS[name], LIVES["24h"])
        return app.at(VISIT, visit=_considered(client, begun))

    return work


def tap(client: AppClient, tapped: str) -> Command:
    """Change one choice."""

    def work(app: App) -> App:
        visit = _consenting(app)
        kind, _, value = tapped.partition(":")
        if kind not in _TAPS:
            raise MovedOn
        changed = replace(_TAPS[kind](client, visit, value), last_tap=tapped.replace(":", "-"))
        if changed.deputy != visit.deputy and visit.attached is not None:
            changed = replace(changed, attached=_reread(visit.attached, _whose(client, changed)))
        return app.at(VISIT, visit=_considered(client, changed))

    return work


def attach(client: AppClient, name: str, content: bytes) -> Command:
    """Show a biosignal before it is sent."""

    def work(app: App) -> App:
        visit = _consenting(app)
        try:
            attached = _attached(name, content, _whose(client, visit))
        except (ClinicalError, FederationError) as error:
            return app.at(VISIT, told(error), visit=replace(visit, last_tap="biosignal"))
        return app.at(VISIT, visit=replace(visit, attached=attached, last_tap="biosignal"))

    return work


def limit(client: AppClient, hospitals: str, days: str) -> Command:
    """Choose hospitals by their names, or how long by days; nothing typed changes nothing."""

    def work(app: App) -> App:
        visit = _consenting(app)
        try:
            changed = replace(_limited(visit, hospitals.replace(",", " ").split(), days.strip()), last_tap="more")
        except FieldInvalid as error:
            typed = {"hospitals": hospitals, "days": days}
            return app.at(VISIT, told(error), typed=typed, visit=replace(visit, last_tap="more"))
        return app.at(VISIT, visit=_considered(client, changed))

    return work


def agree(client: AppClient) -> Command:
    """Sign what was shown and go in: P1, D1, P2. Until the doctor answers it can be given up."""

    def work(app: App) -> App:
        visit = _consenting(app)
        if visit.problem is not None:
            raise MovedOn
        data = visit.attached.biosignal.data if visit.attached else b""
        client.stage.show(app.at(VISIT, visit=Asking(visit.view, visit.sentence, client.now)))
        handed: list[Handed] = []
        try:
            client.client.visit(
                visit.view,
                data,
                visit.offer,
                answer_seconds=client.patience_seconds,
                go_on=lambda: client.tell(f"Waiting until {visit.view.called} answers"),
                on_handed=handed.append,
            )
        except EXPECTED as error:
            return _failed(client, app, visit, error)
        sent = f"your biosignal ({size(len(data))})" if data else "no biosignal"
        places = "".join(f" {handed_words(one.as_of, one.hospitals)}" for one in handed)
        words = f"{visit.view.called} knows that you are here, and has {sent}.{places}"
        return client.with_emergencies(app.at(VISIT, Notice("ok", words), visit=AtHome(), kept=client.kept()))

    return work


def give_up(app: App) -> App:
    """Wait no longer for the doctor's answer."""
    if not isinstance(app.visit, Asking):
        raise MovedOn
    words = "You gave up before the doctor answered. No consent was signed, and no record was sent."
    return app.at(VISIT, Notice("ok", words), visit=AtDoctor(app.visit.view))


def _consenting(app: App) -> Consenting:
    if not isinstance(app.visit, Consenting):
        raise MovedOn
    return app.visit


def _failed(client: AppClient, app: App, visit: Consenting, error: Exception) -> App:
    """Return the app after a visit that did not come about, where it can be gone on, and say which consent stands."""
    notice, kept = told(error), client.kept()
    if len(kept.grants) > len(app.kept.grants):
        number = kept.grants[-1].number
        notice = replace(notice, next_step=f"{notice.next_step} Your consent no. {number} stands all the same.")
    if isinstance(error, Authorization):
        return app.at(VISIT, notice, visit=_considered(client, visit), kept=kept)
    is_passing = isinstance(error, Unavailable) and not isinstance(error, NoAnswer)
    return app.at(VISIT, notice, visit=AtDoctor(visit.view) if is_passing else AtHome(), kept=kept)


def _find(_client: AppClient, visit: Consenting, _value: str) -> Consenting:
    return _asking(visit, replace(visit.asked, read=() if visit.asked.read else (EVERYWHERE,), only_find=True))


def _read(_client: AppClient, visit: Consenting, _value: str) -> Consenting:
    asked = visit.asked
    is_read = bool(asked.read) and not asked.only_find
    return _asking(visit, replace(asked, read=asked.read or (EVERYWHERE,), only_find=is_read))


def _keep(_client: AppClient, visit: Consenting, _value: str) -> Consenting:
    return _asking(visit, replace(visit.asked, keep=not visit.asked.keep))


def _restricted(_client: AppClient, visit: Consenting, _value: str) -> Consenting:
    return _asking(visit, replace(visit.asked, restricted=not visit.asked.restricted))


def _life(_client: AppClient, visit: Consenting, value: str) -> Consenting:
    if value not in LIVES:
        raise MovedOn
    return replace(visit, life=LIVES[value], under=None)


def _where(_client: AppClient, visit: Consenting, value: str) -> Consenting:
    if value not in {HERE, EVERYWHERE}:
        raise MovedOn
    return _asking(visit, replace(visit.asked, read=(value,)))


def _department(client: AppClient, visit: Consenting, value: str) -> Consenting:
    """Take a department in, or out again; none is every one."""
    chosen = visit.asked.departments
    if not value:
        return _asking(visit, replace(visit.asked, departments=()))
    if value not in client.anchors.department_classes:
        raise MovedOn
    toggled = tuple(one for one in chosen if one != value) if value in chosen else (*chosen, value)
    return _asking(visit, replace(visit.asked, departments=toggled))


def _whom(_client: AppClient, visit: Consenting, value: str) -> Consenting:
    whom, _, named = value.partition(":")
    if whom not in {DOCTOR, DEPARTMENT, HOSPITAL}:
        raise MovedOn
    if whom == DEPARTMENT and named not in visit.view.duty.department_classes:
        raise MovedOn
    return _asking(visit, replace(visit.asked, whom=whom, whom_class=named or None))


def _deputy(client: AppClient, visit: Consenting, value: str) -> Consenting:
    held = client.client.consents.acting_for(PatientId(value), POWER_GRANT) if value else None
    return replace(visit, deputy=held, under=None)


def _under(client: AppClient, visit: Consenting, value: str) -> Consenting:
    if not value:
        return replace(visit, under=None)
    if not (value.isascii() and value.isdigit()):
        raise MovedOn
    return replace(visit, under=client.client.consents.grant(int(value[:9]), _whose(client, visit)))


def _nothing_attached(_client: AppClient, visit: Consenting, _value: str) -> Consenting:
    return replace(visit, attached=None)


_TAPS: Final[Mapping[str, Callable[[AppClient, Consenting, str], Consenting]]] = {
    "find": _find,
    "read": _read,
    "keep": _keep,
    "restricted": _restricted,
    "life": _life,
    "where": _where,
    "department": _department,
    "whom": _whom,
    "deputy": _deputy,
    "under": _under,
    "no-biosignal": _nothing_attached,
}


def _asking(visit: Consenting, asked: Asked) -> Consenting:
    return replace(visit, asked=asked, under=None)


def _limited(visit: Consenting, hospitals: Sequence[str], days: str) -> Consenting:
    for named in hospitals:
        if not is_identity("hospital", named):
            raise FieldInvalid(f"{named} is no hospital: write it as H:name")
    if hospitals:
        visit = _asking(visit, replace(visit.asked, read=tuple(dict.fromkeys(hospitals))))
    if days:
        visit = replace(visit, life=days_in(days, LONGEST_GRANT.days), under=None)
    return visit


def _considered(client: AppClient, visit: Consenting) -> Consenting:
    """Return what was chosen, with what would be signed, its sentence, and why not where it can't be."""
    offer = _offer(client, visit)
    considered = replace(visit, offer=offer, sentence=_sentence(client, visit, offer), problem=None)
    if offer is None and visit.deputy is not None:
        words = "Whoever comes in another's name shows by what with a consent: with none you can't go in."
        return replace(considered, problem=Notice("bad", words, "Let the doctor do something, or come for yourself."))
    try:
        client.client.require_use(offer, visit.view)
    except FederationError as error:
        return replace(considered, problem=told(error))
    return considered


def _offer(client: AppClient, visit: Consenting) -> Offer | None:
    if visit.under is not None:
        return visit.under
    if visit.asked.is_nothing:
        return None
    deputyship = None if visit.deputy is None else visit.deputy.shown
    new = visit.asked.grant_for(visit.view, deputyship, _no_class)
    # To the minute, so that what is read is what is signed; and never later than was chosen.
    ends = client.now + milliseconds(visit.life)
    return replace(new, ends=ends - ends % _MINUTE_MS)


def _no_class(_classes: Sequence[str]) -> str:
    raise DutyInvalid("the doctor is on duty in several departments, or in none")


def _sentence(client: AppClient, visit: Consenting, offer: Offer | None) -> str:
    if offer is None:
        return NOTHING_BEYOND
    if isinstance(offer, KeptGrant):
        grant = offer.grant
        whose = "your" if offer.deputyship is None else f"{grant.patient_id}'s"
        said = consent_sentence(_who(visit, grant.grantee), grant, whose, _until(client, grant.validity.not_after))
        return f"Your consent no. {offer.number} of {local_time(grant.stated_at)}, once more: {said} {TAKE_BACK}"
    whose = "your" if visit.deputy is None else f"{visit.deputy.says.patient_id}'s"
    said = consent_sentence(_who(visit, offer.grantee), offer.terms, whose, _until(client, _end_of(client, offer)))
    return f"{said} {TAKE_BACK}"


def _who(visit: Consenting, grantee: Grantee | None) -> str:
    if isinstance(grantee, ToDoctor) and grantee.doctor_id == visit.view.doctor.identity:
        return visit.view.called
    words = grantee_words(grantee)
    return f"{words[0].upper()}{words[1:]}"


def _end_of(client: AppClient, offer: NewGrant) -> Instant:
    return client.now + milliseconds(offer.terms.life) if offer.ends is None else offer.ends


def _until(client: AppClient, ends: Instant) -> str:
    return near_time(ends, now=client.now)


def _whose(client: AppClient, visit: Consenting) -> PatientId:
    return client.patient_id if visit.deputy is None else visit.deputy.says.patient_id


def _attached(name: str, content: bytes, patient_id: PatientId) -> Attached:
    biosignal = biosignal_of(content, patient_id, name)
    require_sendable(biosignal.data)
    drawing = ""
    with suppress(ClinicalError):
        drawing = svg(leads_from_observation(biosignal.data), paper_only=True)
    return Attached(name, content, biosignal, drawing)


def _reread(attached: Attached, patient_id: PatientId) -> Attached | None:
    """Return the file as one about another patient, or None where it says whose it is."""
    with suppress(ClinicalError):
        return _attached(attached.name, attached.content, patient_id)
    return None
