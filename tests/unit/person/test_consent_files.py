"""Consents that a patient gave as FHIR, and a FHIR Consent as what it gives next."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from federation.clinical.errors import ConsentNotExpressible, WrongSubject
from federation.clinical.fhir import validate_bundle
from federation.errors import GrantExpired, GrantInvalid
from federation.person.consent_files import Draft, drafted, exported
from federation.person.consents import KeptGrant, NewGrant
from federation.person.doctor import DoctorRoom
from federation.person.patient import PatientClient
from federation.protocol.access import Grantee, ToDepartment, ToDoctor, ToHospital
from federation.protocol.consent import Terms
from federation.v1 import statement_pb2 as pb
from tests.grants import wide
from tests.unit.person.conftest import Surgery
from tests.unit.person.visits import meet

NARROW = Terms(
    hospitals=("H:alpha", "H:beta"),
    department_classes=("cardiology",),
    rights=(pb.RIGHT_INDEX, pb.RIGHT_WRITE),
    highest_sensitivity=pb.SENSITIVITY_RESTRICTED,
    purpose="a second opinion",
    life=timedelta(days=3, milliseconds=1),
)
DOCTOR = ToDoctor("D:chen", "M:chamber")


def give(surgery: Surgery, grantee: Grantee, terms: Terms) -> KeptGrant:
    member = surgery.federation.patient
    surgery.federation.clock.now += 1  # evidence is listed by its time
    party = member.party(surgery.federation.clock.now)
    return surgery.patient().consents.give(NewGrant(grantee, terms), party)


def bundle_of(surgery: Surgery, *kept: KeptGrant) -> bytes:
    return exported(kept, surgery.federation.patient.anchors, now=surgery.federation.clock.now)


def consents_in(bundle: bytes) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in json.loads(bundle)["entry"]]


def draft_of(surgery: Surgery, data: bytes, patient_id: str = "P:wang") -> Draft:
    return drafted(data, patient_id, surgery.federation.patient.anchors, now=surgery.federation.clock.now)


@pytest.mark.parametrize("terms", [wide(), NARROW])
@pytest.mark.parametrize("grantee", [DOCTOR, ToDepartment("H:alpha", "cardiology"), ToHospital("H:alpha")])
def test_grant_as_consent_as_draft_is_the_same_grant(surgery: Surgery, grantee: Grantee, terms: Terms) -> None:
    kept = give(surgery, grantee, terms)
    bundle = bundle_of(surgery, kept)
    validate_bundle(bundle)
    draft = draft_of(surgery, bundle)
    assert (draft.grantee, draft.terms, draft.ends) == (grantee, terms, kept.grant.validity.not_after)


def test_consent_has_the_signed_statement_and_whether_it_stands(surgery: Surgery) -> None:
    given = [give(surgery, DOCTOR, wide()), give(surgery, DOCTOR, NARROW)]
    surgery.patient().consents.revoke(given[:1])
    kept = surgery.patient().consents.grants()
    found = consents_in(bundle_of(surgery, *kept))
    assert [one["status"] for one in found] == ["inactive", "active"]
    data = base64.b64decode(found[1]["sourceAttachment"]["data"])
    assert pb.SignedStatement.FromString(data) == kept[1].signed
    surgery.federation.clock.now = kept[1].grant.validity.not_after
    assert [one["status"] for one in consents_in(bundle_of(surgery, *kept))] == ["inactive", "inactive"]


def test_grant_by_a_deputy_names_its_signer(surgery: Surgery) -> None:
    kept = give(surgery, DOCTOR, wide())
    by_deputy = replace(kept, grant=replace(kept.grant, signer_id="P:lin"))
    [consent] = consents_in(bundle_of(surgery, by_deputy))
    assert consent["performer"] == [{"type": "RelatedPerson", "identifier": {"value": "P:lin"}}]


@pytest.mark.parametrize(
    "strange", [{"grantee": None}, {"highest_sensitivity": pb.SENSITIVITY_SECRET}, {"highest_sensitivity": 9}]
)
def test_grant_invalid_for_what_this_version_cannot_say(surgery: Surgery, strange: dict[str, Any]) -> None:
    kept = give(surgery, DOCTOR, wide())
    with pytest.raises(GrantInvalid):
        bundle_of(surgery, replace(kept, grant=replace(kept.grant, **strange)))


def altered(surgery: Surgery, **period: str) -> bytes:
    [consent] = consents_in(bundle_of(surgery, give(surgery, DOCTOR, wide())))
    consent["provision"]["period"] |= period
    return json.dumps(consent).encode()


def test_grant_expired_once_the_period_is_over(surgery: Surgery) -> None:
    data, clock = altered(surgery), surgery.federation.clock
    clock.now = draft_of(surgery, data).ends
    with pytest.raises(GrantExpired):
        draft_of(surgery, data)
    clock.now -= 1
    assert draft_of(surgery, data).terms.life == timedelta(milliseconds=1)


def test_consent_not_expressible_beyond_a_year_or_before_it_begins(surgery: Surgery) -> None:
    data = altered(surgery, end="2999-01-01T00:00:00Z")
    with pytest.raises(ConsentNotExpressible, match="longer than 366 days"):
        draft_of(surgery, data)
    surgery.federation.clock.now -= 1
    with pytest.raises(ConsentNotExpressible, match="begins later"):
        draft_of(surgery, data)


def test_consent_not_expressible_for_a_class_that_the_federation_has_not(surgery: Surgery) -> None:
    kept = give(surgery, DOCTOR, wide(department_classes=("astrology",)))
    with pytest.raises(ConsentNotExpressible, match="astrology"):
        draft_of(surgery, bundle_of(surgery, kept))
    kept = give(surgery, ToDepartment("H:alpha", "astrology"), wide())
    with pytest.raises(ConsentNotExpressible, match="astrology"):
        draft_of(surgery, bundle_of(surgery, kept))


def test_wrong_subject_for_another_patients_consent(surgery: Surgery) -> None:
    with pytest.raises(WrongSubject):
        draft_of(surgery, altered(surgery), "P:lin")


def test_visit_by_a_draft_ends_when_the_draft_says_however_late_it_is_signed(
    surgery: Surgery, room: DoctorRoom
) -> None:
    draft = draft_of(surgery, bundle_of(surgery, give(surgery, DOCTOR, NARROW)))
    surgery.federation.clock.now += 5000  # the patient reads the screen
    patient = surgery.patient()
    meet(surgery, room, patient, patient.look(room.code), draft.grant(None))
    signed = patient.consents.grants()[-1]
    assert signed.grant.validity.not_before == surgery.federation.clock.now
    assert signed.grant.validity.not_after == draft.ends
    assert signed.purpose == "a second opinion"


@pytest.mark.parametrize("grantee", [ToDoctor("D:lee", "M:chamber"), ToDoctor("D:chen", "M:other")])
def test_grant_invalid_for_a_draft_for_another_doctor(surgery: Surgery, room: DoctorRoom, grantee: Grantee) -> None:
    draft = draft_of(surgery, bundle_of(surgery, give(surgery, grantee, wide())))
    patient: PatientClient = surgery.patient()
    with pytest.raises(GrantInvalid):
        patient.require_use(draft.grant(None), patient.look(room.code))
