"""What is shown for access, with every signature behind it: what verifies, what was taken back, and what each refusal is for.

What the verified statements allow is the decision's, whose table is tests/decisions.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    BudgetExhausted,
    CredentialInvalid,
    CredentialRevoked,
    DeputyExpired,
    DeputyInvalid,
    DeputyPowers,
    DeputyRevoked,
    DutyExpired,
    DutyInvalid,
    DutyMissing,
    DutyRevoked,
    EmergencyExpired,
    EmergencyInvalid,
    EmergencyRefused,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    MessageTooLarge,
    NotOwnRecord,
    SignatureInvalid,
)
from federation.protocol import access, consent
from federation.protocol.access import (
    LONGEST_DUTY,
    LONGEST_GUARDIANSHIP,
    LONGEST_MANDATE,
    EmergencyPolicy,
    Policy,
    Question,
    Receiver,
    Refused,
    Standing,
    ToDepartment,
    ToHospital,
    Validity,
    covers,
)
from federation.protocol.anchors import statement_entry, sweep_entry
from federation.protocol.parsing import LAST_TIME
from federation.protocol.shown import Shown, asker_of, require_shown_duty
from federation.v1.access_pb2 import Access, Consent, DeclaredEmergency, Deputyship, OwnAccess
from federation.v1.statement_pb2 import (
    POWER_GRANT,
    POWER_LOG,
    POWER_READ,
    RIGHT_INDEX,
    RIGHT_LOG,
    RIGHT_READ,
    RIGHT_WRITE,
    SENSITIVITY_RESTRICTED,
    Duty,
    Emergency,
    Grant,
    Guardianship,
    Mandate,
)
from tests.grants import WIDE, wide
from tests.mallory import refused, rejected, restated

HOUR_MS = 3_600_000


class Asking:
    """Somebody asks a hospital, or the cloud, by what it shows."""

    def __init__(self, federation):
        self.federation = federation

    def decide(self, shown, asker=None, **asked):
        federation = self.federation
        party = federation.party(asker or federation.doctor).self_
        fields = {
            "right": RIGHT_READ,
            "patient_id": shown.patient_id,
            "hospital_id": "H:alpha",
            "department_class": "cardiology",
        }
        question = Question(asker_of(party), **fields | asked)
        return shown.decide(party, question, federation.hospital_b.verifier(), Receiver(), now=federation.clock.now)

    def by_grant(self, grant, **asked):
        return self.decide(self.federation.shown(grant), **asked)


@pytest.fixture
def asking(federation):
    return Asking(federation)


def changed_grant(federation, change, signer=None):
    key = (signer or federation.patient).keys.signing_key
    return restated("grant", federation.grant(), Grant, key, change)


def setting(**fields):
    def change(statement):
        for name, value in fields.items():
            setattr(statement, name, value)

    return change


def test_a_grant_allows_what_it_says(federation, asking):
    terms = wide(hospitals=["H:alpha"], department_classes=["cardiology"], rights=[RIGHT_READ])
    allowed = asking.by_grant(federation.grant(terms))
    assert (allowed.ground, allowed.hospitals, allowed.department_classes) == ("consent", ("H:alpha",), ("cardiology",))


def test_nothing_shown_is_refused_as_grant_missing(federation, asking):
    for nothing in (None, Access()):
        with refused(GrantMissing):
            asking.decide(Shown("P:wang", nothing))


def test_a_grant_signed_by_another_is_refused_as_invalid(federation, asking):
    with refused(GrantInvalid):
        asking.by_grant(changed_grant(federation, lambda _: None, federation.doctor))


@pytest.mark.parametrize(
    "change",
    [
        setting(signer_id="P:lin"),
        setting(signer_serial=b"e" * 16),
        setting(patient_id="P:lin"),
        setting(deputyship_digest=bytes(32)),
        setting(not_after=LAST_TIME + 1),
        lambda grant: grant.ClearField("purpose"),
        lambda grant: grant.ClearField("grantee"),
        lambda grant: grant.grantee.ClearField("who"),
    ],
    ids=["signer", "earlier serial", "patient", "deputyship", "past 9999", "no purpose", "no grantee", "nobody"],
)
def test_a_grant_that_says_something_else_is_refused_as_invalid(federation, asking, change):
    with refused(GrantInvalid):
        asking.by_grant(changed_grant(federation, change))


def test_a_grant_for_another_doctor_is_refused_as_invalid(federation, asking):
    with refused(GrantInvalid):
        asking.by_grant(federation.grant(doctor=federation.other_doctor))


def test_a_doctor_whose_certificate_is_renewed_keeps_the_grant(federation, asking):
    """Nothing of Cert_D stands in it but who certified it."""
    grant = Grant.FromString(federation.grant().statement)
    assert grant.grantee.doctor.authority_id == federation.authority.authority_id
    asking.by_grant(federation.grant())


def test_another_patients_key_statement_beside_the_grant_is_refused_as_invalid(federation, asking):
    shown = federation.shown(federation.grant())
    shown.access.consent.key_statement.CopyFrom(federation.other_patient.key_statement)
    with refused(GrantInvalid):
        asking.decide(shown)


def test_a_doctors_key_statement_beside_the_grant_is_refused(federation, asking):
    shown = federation.shown(federation.grant())
    shown.access.consent.key_statement.CopyFrom(federation.doctor.key_statement)
    with rejected(CredentialInvalid):
        asking.decide(shown)


def test_a_grant_of_a_revoked_patient_is_refused(federation, asking):
    shown = federation.shown(federation.grant())
    federation.revoke(federation.patient)
    with rejected(CredentialRevoked):
        asking.decide(shown)


def test_an_expired_grant_is_refused(federation, asking):
    grant = federation.grant(wide(life=timedelta(minutes=10)))
    federation.clock.advance(timedelta(minutes=10))
    with refused(GrantExpired):
        asking.by_grant(grant)


def test_a_grant_that_is_not_yet_valid_is_refused(federation, asking):
    ahead = federation.clock.now + 5_000
    asking.by_grant(changed_grant(federation, setting(not_before=ahead)))  # the patient's clock may be sigma ahead
    with refused(GrantExpired):
        asking.by_grant(changed_grant(federation, setting(not_before=ahead + 1)))


def test_a_grant_lasts_24_hours_by_default(federation):
    grant = Grant.FromString(federation.grant().statement)
    assert grant.not_after - grant.not_before == 24 * HOUR_MS


def test_a_grant_allows_nothing_by_default(federation):
    assert (consent.Terms().hospitals, consent.Terms().department_classes, consent.Terms().rights) == ((), (), ())


def test_a_grant_lasts_366_days_at_most(federation, asking):
    days = 366 * 24 * HOUR_MS
    asking.by_grant(changed_grant(federation, lambda grant: setting(not_after=grant.not_before + days)(grant)))
    for life in (days + 1, 0, -1):
        longer = changed_grant(federation, lambda grant, life=life: setting(not_after=grant.not_before + life)(grant))
        with refused(GrantInvalid):
            asking.by_grant(longer)


@pytest.mark.parametrize("life", [timedelta(days=366, milliseconds=1), timedelta(0)])
def test_a_grant_that_is_invalid_by_its_life_is_never_signed(federation, life):
    with refused(GrantInvalid):
        federation.grant(wide(life=life))


def test_a_grant_whose_purpose_is_too_large_is_never_signed(federation):
    with refused(MessageTooLarge):
        federation.grant(wide(purpose="p" * 129))


def test_a_grant_that_was_taken_back_is_refused(federation, asking):
    grant, other = federation.grant(), federation.grant()
    federation.revoke_grant(grant)
    with refused(GrantRevoked):
        asking.by_grant(grant)
    asking.by_grant(other)


def test_what_a_patient_signed_before_it_took_everything_back_is_refused(federation, asking):
    earlier = federation.grant()
    federation.clock.advance(timedelta(milliseconds=1))
    federation.cloud.sweeps[sweep_entry("P:wang")] = federation.clock.now
    federation.refresh()
    with refused(GrantRevoked):
        asking.by_grant(earlier)
    asking.by_grant(federation.grant())


def test_what_another_patient_took_back_is_not_this_ones(federation, asking):
    grant = federation.grant()
    federation.cloud.sweeps[sweep_entry("P:lin")] = federation.clock.now + 1
    named = Grant.FromString(grant.statement)
    federation.cloud.revoked_statements += [
        statement_entry("grant", "P:lin", named.grant_id),
        statement_entry("mandate", "P:wang", named.grant_id),
    ]
    federation.refresh()
    asking.by_grant(grant)


@pytest.mark.parametrize(
    "terms",
    [
        {"rights": [RIGHT_INDEX, RIGHT_WRITE]},
        {"rights": []},
        {"hospitals": ["H:beta"]},
        {"hospitals": []},
        {"department_classes": ["psychiatry"]},
        {"department_classes": []},
    ],
    ids=["missing right", "no right", "other hospital", "no hospital", "other class", "no class"],
)
def test_a_use_outside_the_grants_scope_is_refused(federation, asking, terms):
    with refused(GrantScope):
        asking.by_grant(federation.grant(wide(**terms)))


def test_asking_for_any_needs_any():
    assert covers(["*"], "*")
    assert covers(["*"], "cardiology")
    assert not covers(["cardiology"], "*")
    assert not covers([], "*")


class TestDuty:
    """Grants for those on duty, and whoever says to be."""

    @pytest.fixture
    def grant(self, federation):
        return federation.grant(grantee=ToDepartment("H:alpha", "cardiology"))

    @staticmethod
    def with_duty(federation, grant, change, hospital=None):
        shown = federation.shown(grant)
        key = (hospital or federation.hospital_a).keys.signing_key
        duty = restated("duty", shown.access.consent.duty.duty, Duty, key, change)
        shown.access.consent.duty.duty.CopyFrom(duty)
        return shown

    def test_a_doctor_on_duty_uses_its_departments_grant(self, federation, asking, grant):
        assert asking.by_grant(grant).ground == "consent"
        assert asking.by_grant(federation.grant(grantee=ToHospital("H:alpha"))).ground == "consent"

    def test_without_a_duty_it_is_refused(self, federation, asking, grant):
        with refused(DutyMissing):
            asking.decide(federation.shown(grant, on_duty=False))

    def test_another_departments_duty_is_refused(self, federation, asking, grant):
        def change(duty):
            duty.department_classes[:] = ["neurology"]

        with refused(DutyInvalid):
            asking.decide(self.with_duty(federation, grant, change))

    def test_another_hospitals_duty_is_refused(self, federation, asking, grant):
        with refused(DutyInvalid):
            asking.decide(federation.shown(grant, hospital=federation.hospital_b))

    def test_a_duty_that_another_hospital_states_in_the_names_of_this_one_is_refused(self, federation, asking, grant):
        with refused(DutyInvalid):
            asking.decide(self.with_duty(federation, grant, lambda _: None, federation.hospital_b))

    def test_another_doctors_duty_is_refused(self, federation, asking, grant):
        with refused(DutyInvalid):
            asking.decide(federation.shown(grant, doctor=federation.other_doctor))

    @pytest.mark.parametrize(
        "change",
        [
            setting(doctor_id="D:roe"),
            setting(verifying_key_digest=bytes(32)),
            setting(hospital_id="H:beta"),
            setting(hospital_serial=bytes(16)),
            lambda duty: setting(not_after=duty.not_before + 24 * HOUR_MS + 1)(duty),
        ],
        ids=["doctor", "key", "hospital", "earlier serial", "longer than a day"],
    )
    def test_a_duty_that_says_something_else_is_refused(self, federation, asking, grant, change):
        with refused(DutyInvalid):
            asking.decide(self.with_duty(federation, grant, change))

    def test_yesterdays_duty_is_refused(self, federation, asking, grant):
        shown = federation.shown(grant)
        federation.clock.advance(timedelta(hours=23, minutes=59))
        federation.refresh()
        longer = federation.grant(wide(life=timedelta(days=2)), grantee=ToDepartment("H:alpha", "cardiology"))
        shown.access.consent.grant.CopyFrom(longer)
        asking.decide(shown)
        federation.clock.advance(timedelta(minutes=1))
        with refused(DutyExpired):
            asking.decide(shown)

    def test_a_duty_that_was_ended_is_refused(self, federation, asking, grant):
        shown = federation.shown(grant)
        duty = consent.peek_duty(shown.access.consent.duty)
        federation.cloud.revoked_statements.append(statement_entry("duty", "H:alpha", duty.id))
        federation.refresh()
        with refused(DutyRevoked):
            asking.decide(shown)
        verifier = federation.hospital_a.verifier()
        with refused(DutyRevoked):
            require_shown_duty(duty, "H:alpha", "D:chen", verifier, now=federation.clock.now)

    def test_a_duty_longer_than_a_day_is_never_signed(self, federation):
        shift = consent.Shift(
            bytes(16), "D:chen", ("cardiology",), Validity(0, LONGEST_DUTY // timedelta(milliseconds=1) + 1)
        )
        with refused(DutyInvalid):
            consent.make_duty(federation.party(federation.hospital_a), shift, bytes(33))


class TestDeputies:
    """Grants and questions in another patient's name: P:lin stands for P:wang."""

    @staticmethod
    def mandate(federation, powers=(POWER_GRANT, POWER_READ), life=timedelta(days=30)):
        signed = consent.make_mandate(
            federation.party(federation.patient),
            "P:lin",
            powers,
            life,
            now=federation.clock.now,
            entropy=federation.entropy,
        )
        federation.refresh()
        return Deputyship(mandate=signed, key_statement=federation.patient.key_statement)

    @staticmethod
    def guardianship(federation, hospital=None):
        hospital = hospital or federation.hospital_a
        ward = consent.Ward(
            "P:wang",
            "P:lin",
            "parent",
            "officer seven",
            (POWER_GRANT, POWER_READ, POWER_LOG),
            federation.clock.now + HOUR_MS,
        )
        signed = consent.make_guardianship(
            federation.party(hospital), ward, now=federation.clock.now, entropy=federation.entropy
        )
        return Deputyship(guardianship=signed, key_statement=hospital.key_statement)

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


def test_every_part_of_what_is_shown_is_in_its_digests(federation):
    """H(access) changes with each statement; Hs(access) with each signature and key statement, too."""
    deputyship = TestDeputies.guardianship(federation)
    held = Consent(grant=federation.grant(), key_statement=federation.patient.key_statement, deputyship=deputyship)
    base = Shown.by_consent(held, "P:wang", federation.duty())
    statements = ["grant.statement", "deputyship.guardianship.statement", "duty.duty.statement"]
    beside = [
        "grant.signature",
        "deputyship.guardianship.signature",
        "duty.duty.signature",
        "key_statement.statement",
        "key_statement.signature",
        "deputyship.key_statement.signature",
        "duty.key_statement.statement",
    ]
    digests, signed = {base.digest}, {base.signed_digest}
    for path in statements + beside:
        changed = Access()
        changed.CopyFrom(base.access)
        *parts, last = path.split(".")
        holder = changed.consent
        for part in parts:
            holder = getattr(holder, part)
        setattr(holder, last, b"x" + getattr(holder, last))
        shown = Shown("P:wang", changed)
        digests.add(shown.digest)
        signed.add(shown.signed_digest)
    assert len(digests) == 1 + len(statements)
    assert len(signed) == 1 + len(statements) + len(beside)


def test_a_signature_under_another_label_is_none(federation):
    """A mandate's bytes signed as a grant's don't make a mandate."""
    deputyship = TestDeputies.mandate(federation)
    key = federation.patient.keys.signing_key
    signed = restated("grant", deputyship.mandate, Mandate, key, lambda _: None)
    with pytest.raises((DeputyInvalid, SignatureInvalid)):
        consent.open_deputyship(
            Deputyship(mandate=signed, key_statement=federation.patient.key_statement),
            federation.party(federation.patient).self_,
        )
