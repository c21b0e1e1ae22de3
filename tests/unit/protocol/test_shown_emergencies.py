"""What is shown in an emergency, and the way from it to a decision."""

from datetime import timedelta

from federation.errors import (
    BudgetExhausted,
    EmergencyExpired,
    EmergencyInvalid,
    EmergencyRefused,
)
from federation.protocol import access, consent
from federation.protocol.access import Policy, Question, Refused, Standing
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.shown import Shown, asker_of
from federation.v1.access_pb2 import Access, DeclaredEmergency
from federation.v1.statement_pb2 import (
    RIGHT_READ,
    Emergency,
)
from tests.mallory import refused, restated


class TestEmergency:
    """A declared emergency, opened as what it says; the policy is the receiver's."""

    POLICY = Policy(emergency=EmergencyPolicy(reasons=("unconscious",), second_clinician=True))

    @staticmethod
    def declared(federation, second=None, **other):
        fields = {"reason_code": "unconscious", "note": "found in the street"} | other
        declaration = consent.Declaration("P:wang", second_doctor_id=second and second.identity, **fields)
        doctor = federation.party(federation.doctor)
        signed = consent.make_emergency(doctor, declaration, now=federation.clock.now, entropy=federation.entropy)
        shown = DeclaredEmergency(emergency=signed, duty=federation.duty())
        if second is not None:
            shown.second.CopyFrom(consent.second(signed, federation.party(second)))
        return shown

    @staticmethod
    def opened(federation, shown, second=None):
        doctor = federation.party(federation.doctor).self_
        duty = consent.open_duty(shown.duty, federation.party(federation.hospital_a).self_, doctor)
        clinician = None if second is None else federation.party(second).self_
        return consent.open_emergency(shown, doctor, clinician, duty)

    def decide(self, federation, emergency, standing=None, policy=POLICY, **asked):
        doctor = asker_of(federation.party(federation.doctor).self_)
        question = Question(doctor, **{"right": RIGHT_READ, "patient_id": "P:wang", "hospital_id": "H:alpha"} | asked)
        decision = access.decide(emergency, question, standing or Standing(), policy, now=federation.clock.now)
        if isinstance(decision, Refused):
            raise decision.error
        return decision

    def test_an_emergency_that_a_colleague_seconds_is_let_in(self, federation):
        second = federation.other_doctor
        emergency = self.opened(federation, self.declared(federation, second), second)
        assert self.decide(federation, emergency).ground == "emergency"

    def test_an_emergency_is_let_in_nowhere_without_a_policy(self, federation, asking):
        shown = Shown("P:wang", Access(emergency=self.declared(federation)))
        with refused(EmergencyRefused):
            asking.decide(shown)

    def test_an_emergency_without_its_second_clinician_is_refused(self, federation):
        with refused(EmergencyRefused):
            self.decide(federation, self.opened(federation, self.declared(federation)))

    def test_a_budget_that_is_used_up_ends_emergencies(self, federation):
        second = federation.other_doctor
        emergency = self.opened(federation, self.declared(federation, second), second)
        with refused(BudgetExhausted):
            self.decide(federation, emergency, Standing(exhausted=("emergencies",)))

    def test_an_emergency_played_again_after_its_hour_is_refused(self, federation):
        second = federation.other_doctor
        emergency = self.opened(federation, self.declared(federation, second), second)
        federation.clock.advance(timedelta(hours=1))
        with refused(EmergencyExpired):
            self.decide(federation, emergency)

    def test_an_emergency_at_another_hospital_is_refused(self, federation):
        second = federation.other_doctor
        emergency = self.opened(federation, self.declared(federation, second, hospital="H:beta"), second)
        with refused(EmergencyInvalid):
            self.decide(federation, emergency)

    def test_an_emergency_that_names_another_second_than_who_signed_is_refused(self, federation):
        shown = self.declared(federation, federation.other_doctor)
        with refused(EmergencyInvalid):
            self.opened(federation, shown)
        with refused(EmergencyInvalid):
            self.opened(federation, shown, federation.doctor)

    def test_a_second_clinician_whose_signature_is_of_another_emergency_is_refused(self, federation):
        second = federation.other_doctor
        shown = self.declared(federation, second)
        shown.second.CopyFrom(self.declared(federation, second).second)
        with refused(EmergencyInvalid):
            self.opened(federation, shown, second)

    def test_an_emergency_that_another_doctor_signed_is_refused(self, federation):
        shown = self.declared(federation)
        key = federation.other_doctor.keys.signing_key
        shown.emergency.CopyFrom(restated("bg", shown.emergency, Emergency, key, lambda _: None))
        with refused(EmergencyInvalid):
            self.opened(federation, shown)

    def test_an_emergency_longer_than_an_hour_is_never_signed(self, federation):
        declaration = consent.Declaration("P:wang", "unconscious", "")
        doctor, now = federation.party(federation.doctor), federation.clock.now
        with refused(EmergencyInvalid):
            consent.make_emergency(
                doctor, declaration, now=now, entropy=federation.entropy, life=timedelta(hours=1, milliseconds=1)
            )
