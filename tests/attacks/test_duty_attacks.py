"""Attacks of a hospital that states a duty for a doctor whom it does not have."""

import pytest

from federation.errors import DutyMissing
from federation.protocol.access import AccessEvent, Grantee, ToDepartment, ToHospital
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import Consent
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from tests.hospital_lab import Client, HospitalLab


def shown_with_a_duty_of_h_beta(lab: HospitalLab, grantee: Grantee) -> Shown:
    federation = lab.federation
    consent = Consent(grant=federation.grant(grantee=grantee), key_statement=federation.patient.key_statement)
    return Shown.by_consent(consent, "P:wang", federation.duty(federation.doctor, federation.hospital_b))


def read(lab: HospitalLab, client: Client, shown: Shown) -> bytes:
    scope = Scope(purpose=PURPOSE_READ, department_class="*")
    return client.read(Intent(shown, scope, lab.federation.entropy(32)))[0]


@pytest.mark.parametrize("grantee", [ToDepartment("H:alpha", "cardiology"), ToHospital("H:alpha")])
def test_hospital_that_states_a_duty_for_a_doctor_it_does_not_have_opens_nothing_of_anothers(
    lab: HospitalLab, client: Client, grantee: Grantee
) -> None:
    lab.import_files()
    with pytest.raises(DutyMissing):
        read(lab, client, shown_with_a_duty_of_h_beta(lab, grantee))
    assert lab.reasons == ["DUTY_INVALID"]


def test_what_a_rogue_hospital_was_granted_it_opens_and_the_log_covers_the_duty_that_it_stated(
    lab: HospitalLab, client: Client
) -> None:
    """What remains (docs/threat-model.md): patients trusted that hospital to say who works there."""
    lab.import_files()
    shown = shown_with_a_duty_of_h_beta(lab, ToHospital("H:beta"))
    assert read(lab, client, shown)
    (begun, *_) = [it.event for it in lab.hospital.audit.entries() if isinstance(it.event, AccessEvent)]
    other = shown_with_a_duty_of_h_beta(lab, ToHospital("H:beta"))
    other.access.consent.grant.CopyFrom(shown.access.consent.grant)
    assert begun.authorization == shown.digest != other.digest
    assert other.grant_digest == shown.grant_digest
