"""Attacks on emergencies: shown by others, elsewhere, seconded by nobody, hidden from who reviews them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from federation.errors import BudgetExhausted, DutyMissing, EmergencyRefused, FederationError, Rejected
from federation.hospital.emergencies import emergencies
from federation.party.member import Member
from federation.protocol.consent import second
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement, sign_statement
from federation.v1.access_pb2 import DeclaredEmergency
from federation.v1.record_pb2 import PURPOSE_READ, PURPOSE_STORE, Scope
from federation.v1.statement_pb2 import Emergency
from tests.emergencies import POLICY, budgeted, declared, let_in, read
from tests.hospital_lab import Client, HospitalLab, ecg, encounter_of, report


@dataclass
class Ward:
    """A hospital that lets in emergencies of two clinicians, with a record of P:wang."""

    lab: HospitalLab
    client: Client

    def declared(self, **said: str) -> Shown:
        return declared(self.lab.federation, clinician=self.lab.federation.other_doctor, **said)

    def read(self, shown: Shown, asker: Member | None = None) -> bytes:
        return read(self.lab, self.client, shown, asker)

    def refused(self, error: type[FederationError], shown: Shown, reason: str, asker: Member | None = None) -> None:
        with pytest.raises(error):
            self.read(shown, asker)
        assert self.lab.reasons[-1] == reason
        assert emergencies(self.lab.hospital) == []


@pytest.fixture
def ward(lab: HospitalLab) -> Iterator[Ward]:
    lab.import_files()
    with let_in(lab, EmergencyPolicy(POLICY.reasons, second_clinician=True)).serving() as client:
        yield Ward(lab, client)


def changed(shown: Shown, **fields: object) -> Shown:
    """Show the same emergency with other things beside it."""
    emergency = DeclaredEmergency()
    emergency.CopyFrom(shown.access.emergency)
    for name, value in fields.items():
        getattr(emergency, name).CopyFrom(value)
    return Shown.in_emergency(shown.patient_id, emergency)


def test_emergency_played_again_by_another_doctor_opens_nothing(ward: Ward) -> None:
    """By the second clinician, who has it from its file, with a duty of its own, and with the one that was shown."""
    federation, shown = ward.lab.federation, ward.declared()
    own_duty = changed(shown, duty=federation.duty(federation.other_doctor))
    ward.refused(EmergencyRefused, own_duty, "EMERGENCY_INVALID", federation.other_doctor)
    ward.refused(DutyMissing, shown, "DUTY_INVALID", federation.other_doctor)
    assert ward.read(shown)


def test_emergency_at_another_hospital_than_it_names_opens_nothing(ward: Ward) -> None:
    ward.refused(EmergencyRefused, ward.declared(hospital="H:beta"), "EMERGENCY_INVALID")
    assert ward.read(ward.declared(hospital="H:alpha"))


def test_emergency_about_another_patient_opens_nothing(ward: Ward) -> None:
    shown = replace(ward.declared(patient_id="P:lin"), patient_id="P:wang")
    ward.refused(EmergencyRefused, shown, "EMERGENCY_INVALID")


def test_emergency_whose_second_clinician_is_its_doctor_opens_nothing(ward: Ward) -> None:
    federation = ward.lab.federation
    shown = declared(federation, clinician=federation.doctor)
    ward.refused(EmergencyRefused, shown, "EMERGENCY_REFUSED")


def test_emergency_seconded_by_a_signature_of_an_earlier_one_opens_nothing(ward: Ward) -> None:
    """A colleague signed once; that is no signature for every emergency of the shift."""
    earlier, shown = ward.declared(), ward.declared()
    lent = changed(shown, second=earlier.access.emergency.second)
    ward.refused(EmergencyRefused, lent, "EMERGENCY_INVALID")


def test_emergency_that_names_a_colleague_who_never_signed_opens_nothing(ward: Ward) -> None:
    """By the doctor's own key, with the colleague's statements, which every session shows."""
    federation, shown = ward.lab.federation, ward.declared()
    forged = second(shown.access.emergency.emergency, federation.party(federation.other_doctor))
    forged.signature = second(shown.access.emergency.emergency, federation.party(federation.doctor)).signature
    ward.refused(EmergencyRefused, changed(shown, second=forged), "EMERGENCY_INVALID")


def test_emergency_seconded_by_a_doctor_who_was_revoked_opens_nothing(ward: Ward) -> None:
    federation, shown = ward.lab.federation, ward.declared()
    federation.revoke(federation.other_doctor)
    ward.refused(Rejected, shown, "CREDENTIAL_REVOKED")


def test_emergency_deposits_nothing(ward: Ward) -> None:
    federation = ward.lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    shown = ward.declared()
    encounter.deposit.access.CopyFrom(shown.access)
    scope = Scope(purpose=PURPOSE_STORE, department_class="cardiology")
    intent = Intent(shown, scope, encounter.intent.blind)
    with pytest.raises(EmergencyRefused):
        ward.client.deposit(replace(encounter, intent=intent))
    assert len(list(ward.lab.hospital.stores.records.all())) == 1


def test_message_of_an_emergency_played_again_is_refused(ward: Ward) -> None:
    """The whole session as it was, by whoever recorded it: D3 is taken once."""
    federation = ward.lab.federation
    intent = Intent(ward.declared(), Scope(purpose=PURPOSE_READ, department_class="*"), federation.entropy(32))
    _, opening = federation.open_session(federation.hospital_a, intent)
    for is_new in (True, False):
        with ward.client.session() as session:
            session.send(opening=opening)
            if is_new:
                session.receive()
            else:
                with pytest.raises(Rejected):
                    session.receive()
    assert ward.lab.reasons[-1] == "MESSAGE_REPLAYED"


def test_emergency_that_bears_the_id_of_another_is_reviewed_by_itself(ward: Ward) -> None:
    """A doctor chooses the id. One of an emergency that was found justified must hide no other."""
    federation = ward.lab.federation
    first = declared(federation, clinician=federation.other_doctor)
    statement = peek_statement(Emergency, first.access.emergency.emergency)
    statement.not_before += 1
    signed = sign_statement("bg", statement, federation.doctor.keys.signing_key)
    alike = changed(first, emergency=signed, second=second(signed, federation.party(federation.other_doctor)))
    ward.read(first)
    ward.read(alike)
    kept = emergencies(ward.lab.hospital)
    assert len({it.statement.emergency_id for it in kept}) == 1
    assert [it.row.accesses for it in kept] == [1, 1]


def test_emergencies_of_a_doctor_who_reads_everybody_end_at_the_budget(lab: HospitalLab) -> None:
    """Without a budget they all open; with one of three, the fourth patient's is refused, and the three wait for review."""
    federation = lab.federation
    for number in range(5):
        lab.import_files(patient_id=f"P:n{number}")
    let_in(lab)

    def opened(client: Client) -> int:
        count = 0
        for number in range(5):
            with suppress(BudgetExhausted):
                count += bool(read(lab, client, declared(federation, patient_id=f"P:n{number}")))
        return count

    with lab.serving() as client:
        assert opened(client) == 5
    with budgeted(lab, emergencies_per_doctor_a_day=3).serving() as client:
        assert opened(client) == 3
    assert len(emergencies(lab.hospital)) == 8
