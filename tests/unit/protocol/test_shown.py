"""What is shown for access, with every signature behind it: what verifies, what was taken back, and what each refusal is for.

What the verified statements allow is the decision's, whose table is tests/decisions.
"""

from datetime import timedelta

import pytest

from federation.errors import (
    CredentialInvalid,
    CredentialRevoked,
    DeputyInvalid,
    DutyExpired,
    DutyInvalid,
    DutyMissing,
    DutyRevoked,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    MessageTooLarge,
    SignatureInvalid,
)
from federation.protocol import consent
from federation.protocol.access import (
    LONGEST_DUTY,
    ToDepartment,
    ToHospital,
    Validity,
    covers,
)
from federation.protocol.anchors import statement_entry, sweep_entry
from federation.protocol.parsing import LAST_TIME
from federation.protocol.shown import Shown, require_shown_duty
from federation.v1.access_pb2 import Access, Consent, Deputyship
from federation.v1.statement_pb2 import (
    RIGHT_INDEX,
    RIGHT_READ,
    RIGHT_WRITE,
    Duty,
    Grant,
    Mandate,
)
from tests.grants import wide
from tests.mallory import refused, rejected, restated
from tests.unit.protocol.asking import HOUR_MS, changed_grant, guardianship, mandate, setting


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


def test_every_part_of_what_is_shown_is_in_its_digests(federation):
    """H(access) changes with each statement; Hs(access) with each signature and key statement, too."""
    deputyship = guardianship(federation)
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
    deputyship = mandate(federation)
    key = federation.patient.keys.signing_key
    signed = restated("grant", deputyship.mandate, Mandate, key, lambda _: None)
    with pytest.raises((DeputyInvalid, SignatureInvalid)):
        consent.open_deputyship(
            Deputyship(mandate=signed, key_statement=federation.patient.key_statement),
            federation.party(federation.patient).self_,
        )
