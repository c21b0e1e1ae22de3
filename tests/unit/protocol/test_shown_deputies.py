"""What deputies, guardians and the patient itself show, and the way from it to a decision."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    CredentialInvalid,
    DeputyExpired,
    DeputyInvalid,
    DeputyPowers,
    DeputyRevoked,
    GrantInvalid,
    NotOwnRecord,
)
from federation.protocol import access, consent
from federation.protocol.access import (
    LONGEST_GUARDIANSHIP,
    LONGEST_MANDATE,
)
from federation.protocol.anchors import statement_entry, sweep_entry
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import Access, Consent, Deputyship, OwnAccess
from federation.v1.statement_pb2 import (
    POWER_GRANT,
    POWER_READ,
    RIGHT_LOG,
    RIGHT_WRITE,
    SENSITIVITY_RESTRICTED,
    Grant,
    Guardianship,
    Mandate,
)
from tests.grants import WIDE
from tests.mallory import refused, rejected, restated
from tests.unit.protocol.asking import changed_grant, guardianship, mandate, setting


class TestDeputies:
    """Grants and questions in another patient's name: P:lin stands for P:wang."""

    mandate = staticmethod(mandate)
    guardianship = staticmethod(guardianship)

    @staticmethod
    def granted(federation, deputyship):
        """The deputy's grant in the patient's name, to the doctor."""
        deputy = federation.other_patient
        to = Grant.FromString(federation.grant().statement).grantee.doctor
        grant = consent.make_grant(
            federation.party(deputy),
            access.ToDoctor(to.doctor_id, to.authority_id),
            WIDE,
            now=federation.clock.now,
            entropy=federation.entropy,
            deputyship=deputyship,
        )
        held = Consent(grant=grant, key_statement=deputy.key_statement, deputyship=deputyship)
        return Shown.by_consent(held, "P:wang", federation.duty())

    @staticmethod
    def own(deputyship):
        return Shown("P:wang", Access(own=OwnAccess(deputyship=deputyship)))

    def test_a_deputys_grant_allows_what_the_patients_would(self, federation, asking):
        federation.other_patient  # noqa: B018 - registered before the lists are handed out
        for made in (self.mandate, self.guardianship):
            assert asking.decide(self.granted(federation, made(federation))).ground == "consent"

    def test_a_deputy_reads(self, federation, asking):
        deputy = federation.other_patient
        for made in (self.mandate, self.guardianship):
            allowed = asking.decide(self.own(made(federation)), asker=deputy)
            assert (allowed.ground, allowed.highest_sensitivity) == ("deputy", SENSITIVITY_RESTRICTED)

    def test_a_deputy_beyond_its_powers_is_refused(self, federation, asking):
        deputy = federation.other_patient
        with refused(DeputyPowers):
            asking.decide(self.granted(federation, self.mandate(federation, powers=(POWER_READ,))))
        with refused(DeputyPowers):
            asking.decide(self.own(self.mandate(federation, powers=(POWER_GRANT,))), asker=deputy)
        with refused(DeputyPowers):
            asking.decide(self.own(self.mandate(federation)), asker=deputy, right=RIGHT_LOG)

    def test_a_mandate_taken_back_while_a_grant_under_it_is_used_ends_it(self, federation, asking):
        federation.other_patient  # noqa: B018 - as above
        deputyship = self.mandate(federation)
        shown = self.granted(federation, deputyship)
        asking.decide(shown)
        mandate = Mandate.FromString(deputyship.mandate.statement)
        federation.cloud.revoked_statements.append(statement_entry("mandate", "P:wang", mandate.mandate_id))
        federation.refresh()
        with refused(DeputyRevoked):
            asking.decide(shown)

    def test_a_sweep_ends_mandates_and_no_guardianship(self, federation, asking):
        deputy = federation.other_patient
        mandate, guardianship = self.mandate(federation), self.guardianship(federation)
        federation.cloud.sweeps[sweep_entry("P:wang")] = federation.clock.now + 1
        federation.refresh()
        with refused(DeputyRevoked):
            asking.decide(self.own(mandate), asker=deputy)
        asking.decide(self.own(guardianship), asker=deputy)

    def test_a_child_that_comes_of_age_has_no_guardian(self, federation, asking):
        deputy = federation.other_patient
        shown = self.own(self.guardianship(federation))
        federation.clock.advance(timedelta(hours=1))
        federation.refresh()
        with refused(DeputyExpired):
            asking.decide(shown, asker=deputy)

    def test_a_mandate_of_another_patient_or_for_another_deputy_is_refused(self, federation, asking):
        deputy = federation.other_patient
        own = self.own(self.mandate(federation))
        with refused(DeputyInvalid):
            asking.decide(replace(own, patient_id="P:lin"), asker=deputy)
        with refused(DeputyInvalid):
            asking.decide(own, asker=federation.patient)

    def test_a_deputys_grant_that_shows_no_deputyship_is_refused(self, federation, asking):
        federation.other_patient  # noqa: B018 - as above
        shown = self.granted(federation, self.mandate(federation))
        shown.access.consent.ClearField("deputyship")
        with refused(GrantInvalid):
            asking.decide(shown)

    def test_a_deputys_grant_under_another_mandate_than_it_was_signed_by_is_refused(self, federation, asking):
        federation.other_patient  # noqa: B018 - as above
        shown = self.granted(federation, self.mandate(federation))
        shown.access.consent.deputyship.CopyFrom(self.mandate(federation))
        with refused(GrantInvalid):
            asking.decide(shown)

    def test_a_patients_grant_that_shows_a_deputyship_is_refused(self, federation, asking):
        shown = federation.shown(federation.grant())
        deputyship = self.mandate(federation)
        shown.access.consent.deputyship.CopyFrom(deputyship)
        digest = consent.deputyship_digest(deputyship)
        shown.access.consent.grant.CopyFrom(changed_grant(federation, setting(deputyship_digest=digest)))
        with refused(DeputyInvalid):
            asking.decide(shown)

    @pytest.mark.parametrize(
        "change",
        [
            setting(patient_serial=bytes(16)),
            setting(patient_id="P:lin"),
            lambda mandate: mandate.ClearField("deputy_id"),
        ],
        ids=["earlier serial", "patient", "no deputy"],
    )
    def test_a_mandate_that_says_something_else_is_refused(self, federation, asking, change):
        deputy, deputyship = federation.other_patient, self.mandate(federation)
        key = federation.patient.keys.signing_key
        deputyship.mandate.CopyFrom(restated("mandate", deputyship.mandate, Mandate, key, change))
        with refused(DeputyInvalid):
            asking.decide(self.own(deputyship), asker=deputy)

    def test_a_guardianship_stated_by_another_is_refused(self, federation, asking):
        deputy, deputyship = federation.other_patient, self.guardianship(federation)
        key = federation.hospital_b.keys.signing_key
        deputyship.guardianship.CopyFrom(
            restated("guardian", deputyship.guardianship, Guardianship, key, lambda _: None)
        )
        with refused(DeputyInvalid):
            asking.decide(self.own(deputyship), asker=deputy)

    def test_a_patient_that_states_its_own_guardianship_is_refused(self, federation, asking):
        """By its KS in the place of the hospital's."""
        deputy, deputyship = federation.other_patient, self.guardianship(federation)
        deputyship.key_statement.CopyFrom(deputy.key_statement)
        with rejected(CredentialInvalid):
            asking.decide(self.own(deputyship), asker=deputy)

    def test_a_deputyship_of_neither_kind_is_refused(self, federation, asking):
        deputy = federation.other_patient
        with refused(DeputyInvalid):
            asking.decide(self.own(Deputyship(key_statement=deputy.key_statement)), asker=deputy)

    def test_a_mandate_or_guardianship_beyond_its_longest_life_is_never_signed(self, federation):
        with refused(DeputyInvalid):
            self.mandate(federation, life=LONGEST_MANDATE + timedelta(milliseconds=1))
        until = federation.clock.now + (LONGEST_GUARDIANSHIP // timedelta(milliseconds=1)) + 1
        ward = consent.Ward("P:wang", "P:lin", "parent", "officer", (POWER_READ,), until)
        hospital = federation.party(federation.hospital_a)
        with refused(DeputyInvalid):
            consent.make_guardianship(hospital, ward, now=federation.clock.now, entropy=federation.entropy)


class TestOwn:
    """A patient and its own records."""

    def test_a_patient_reads_its_own_records(self, federation, asking):
        allowed = asking.decide(federation.own(), asker=federation.patient)
        assert (allowed.ground, allowed.department_classes) == ("own", ("*",))

    def test_another_patients_records_are_refused(self, federation, asking):
        with refused(NotOwnRecord):
            asking.decide(federation.own(), asker=federation.other_patient)

    def test_a_doctors_own_access_is_refused(self, federation, asking):
        with refused(NotOwnRecord):
            asking.decide(federation.own())

    def test_a_patients_own_deposit_is_refused(self, federation, asking):
        with refused(NotOwnRecord):
            asking.decide(federation.own(), asker=federation.patient, right=RIGHT_WRITE)
