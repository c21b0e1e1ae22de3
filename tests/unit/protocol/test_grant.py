"""The patient's grant: every way in which it does not allow a use (C1)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import GrantExpired, GrantInvalid, GrantMissing, GrantRevoked, GrantScope, MessageTooLarge
from federation.protocol.access import Terms, Use, authorize, covers
from federation.protocol.parsing import LAST_TIME
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE, Grant
from tests.mallory import refused, restated


@pytest.fixture
def use(federation):
    return Use(RIGHT_READ, "D:chen", federation.certificate_digest(), "H:alpha", "cardiology")


@pytest.fixture
def decide(federation, use):
    def run(grant, asked=use):
        patient = federation.party(federation.patient).self_
        return authorize(grant, patient, asked, federation.hospital_a.verifier(), now=federation.clock.now)

    return run


def narrowed(federation, **terms):
    return federation.grant(Terms(**terms))


def test_a_grant_allows_what_it_says(federation, decide):
    grant = narrowed(federation, hospitals=["H:alpha"], department_classes=["cardiology"], rights=[RIGHT_READ])
    assert decide(grant).patient_id == "P:wang"


def test_a_missing_grant_is_refused(decide):
    with refused(GrantMissing):
        decide(None)


def test_a_grant_for_another_doctor_is_refused_as_invalid(federation, decide):
    with refused(GrantInvalid):
        decide(federation.grant(doctor=federation.other_doctor))


def test_a_grant_for_another_certificate_of_the_doctor_is_refused_as_invalid(federation, decide, use):
    with refused(GrantInvalid):
        decide(federation.grant(), replace(use, certificate_digest=bytes(32)))


def test_a_grant_of_another_patient_is_refused_as_invalid(federation, decide):
    with refused(GrantInvalid):
        decide(federation.grant(patient=federation.other_patient))


def test_a_grant_signed_by_another_is_refused_as_invalid(federation, decide):
    forged = restated("grant", federation.grant(), Grant, federation.doctor.keys.signing_key, lambda _: None)
    with refused(GrantInvalid):
        decide(forged)


@pytest.mark.parametrize(
    ("field", "value"), [("patient_id", "P:lin"), ("patient_serial", b"e" * 16)], ids=["patient", "earlier serial"]
)
def test_a_grant_of_an_earlier_registration_or_another_name_is_refused_as_invalid(federation, decide, field, value):
    key = federation.patient.keys.signing_key
    with refused(GrantInvalid):
        decide(restated("grant", federation.grant(), Grant, key, lambda grant: setattr(grant, field, value)))


def test_a_grant_that_breaks_its_rules_is_refused_as_invalid(federation, decide):
    key = federation.patient.keys.signing_key
    with refused(GrantInvalid):
        decide(restated("grant", federation.grant(), Grant, key, lambda grant: grant.ClearField("purpose")))


def test_an_expired_grant_is_refused(federation, decide):
    grant = narrowed(federation, life=timedelta(minutes=10))
    federation.clock.advance(timedelta(minutes=10))
    with refused(GrantExpired):
        decide(grant)


def test_a_grant_that_is_not_yet_valid_is_refused(federation, decide):
    grant = federation.grant()
    federation.clock.advance(timedelta(seconds=-5))
    decide(grant)  # the patient's clock may be sigma ahead
    federation.clock.advance(timedelta(milliseconds=-1))
    with refused(GrantExpired):
        decide(grant)


def test_a_grant_lasts_24_hours_by_default(federation):
    grant = Grant.FromString(federation.grant().statement)
    assert grant.not_after - grant.not_before == 24 * 3_600_000


def lasting(federation, life):
    key = federation.patient.keys.signing_key
    return restated(
        "grant", federation.grant(), Grant, key, lambda grant: setattr(grant, "not_after", grant.not_before + life)
    )


def test_a_grant_lasts_366_days_at_most(federation, decide):
    days = 366 * 24 * 3_600_000
    assert decide(lasting(federation, days)).patient_id == "P:wang"
    for life in (days + 1, 0):
        with refused(GrantInvalid):
            decide(lasting(federation, life))


def test_a_grant_that_ends_before_it_begins_is_refused_as_invalid(federation, decide):
    with refused(GrantInvalid):
        decide(lasting(federation, -1))


def test_a_grant_that_ends_past_9999_is_refused_as_invalid(federation, decide):
    key = federation.patient.keys.signing_key
    with refused(GrantInvalid):
        decide(
            restated("grant", federation.grant(), Grant, key, lambda grant: setattr(grant, "not_after", LAST_TIME + 1))
        )


@pytest.mark.parametrize("life", [timedelta(days=366, milliseconds=1), timedelta(0)])
def test_a_grant_that_is_invalid_by_its_life_is_never_signed(federation, life):
    with refused(GrantInvalid):
        narrowed(federation, life=life)


def test_a_grant_whose_purpose_is_too_large_is_never_signed(federation):
    with refused(MessageTooLarge):
        narrowed(federation, purpose="p" * 129)


def test_a_revoked_grant_is_refused(federation, decide):
    grant, other = federation.grant(), federation.grant()
    federation.revoke_grant(grant)
    with refused(GrantRevoked):
        decide(grant)
    decide(other)


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
def test_a_use_outside_the_grants_scope_is_refused(federation, decide, terms):
    with refused(GrantScope):
        decide(narrowed(federation, **terms))


def test_asking_for_any_needs_any():
    assert covers(["*"], "*")
    assert covers(["*"], "cardiology")
    assert not covers(["cardiology"], "*")
    assert not covers([], "*")
