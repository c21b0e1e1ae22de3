"""rev's own checks: whose statements a party takes back, of which kinds, by which deputyship, and what a list then names."""

from datetime import timedelta

import pytest

from federation.errors import (
    CredentialInvalid,
    CredentialRevoked,
    DeputyExpired,
    DeputyInvalid,
    DeputyPowers,
    DeputyRevoked,
    DutyInvalid,
    FieldInvalid,
    FutureDated,
    GrantInvalid,
    IdentityMismatch,
)
from federation.protocol import consent
from federation.protocol.access import LONGEST_DUTY, LONGEST_GRANT, LONGEST_GUARDIANSHIP, LONGEST_MANDATE, Validity
from federation.protocol.anchors import statement_entry, sweep_entry
from federation.protocol.revocation import STATEMENT_KINDS, peek_taken_back, require_revocable, sender_role
from federation.protocol.time import milliseconds
from federation.v1.access_pb2 import Deputyship
from federation.v1.revocation_pb2 import Revocation, RevokedStatement
from federation.v1.statement_pb2 import (
    POWER_GRANT,
    POWER_REVOKE,
    Duty,
    Grant,
    Guardianship,
    Mandate,
    SignedStatement,
)
from tests.mallory import refused, rejected, restated

DAY = timedelta(days=1)


class Stating:
    """The federation's parties state what may be taken back."""

    def __init__(self, federation):
        self.federation = federation

    def mandate(self, patient=None, deputy_id="P:lin", powers=(POWER_REVOKE,), life=DAY):
        party = self.federation.party(patient or self.federation.patient)
        return consent.make_mandate(party, deputy_id, powers, life, now=self.now, entropy=self.federation.entropy)

    def guardianship(self, hospital=None, patient_id="P:wang", powers=(POWER_REVOKE,)):
        party = self.federation.party(hospital or self.federation.hospital_a)
        ward = consent.Ward(patient_id, "P:lin", "parent", "officer", powers, self.now + milliseconds(DAY))
        return consent.make_guardianship(party, ward, now=self.now, entropy=self.federation.entropy)

    def duty(self, hospital=None):
        return self.federation.duty(hospital=hospital).duty

    def statement(self, kind):
        makers = {
            "grant": self.federation.grant,
            "mandate": self.mandate,
            "guardian": self.guardianship,
            "duty": self.duty,
        }
        return makers[kind]()

    def by_mandate(self, patient=None, **changed):
        patient = patient or self.federation.patient
        return Deputyship(mandate=self.mandate(patient, **changed), key_statement=patient.key_statement)

    @property
    def now(self):
        return self.federation.clock.now


@pytest.fixture
def stating(federation):
    federation.refresh(federation.other_patient, federation.patient)
    return Stating(federation)


def take_back(federation, sender, *statements, owner_id=None, before=None, deputyship=None):
    payload = Revocation(
        owner_id=owner_id or sender.identity,
        statements=[RevokedStatement(kind=STATEMENT_KINDS[kind], statement=signed) for kind, signed in statements],
        before=before,
        deputyship=deputyship,
    )
    verifier, now = federation.cloud.verifier(), federation.clock.now
    party = verifier.party(sender.key_statement, sender_role(sender.identity), now=now)
    return require_revocable(payload, party, verifier, now=now)


OWNERS = [("grant", "patient"), ("mandate", "patient"), ("guardian", "hospital_a"), ("duty", "hospital_a")]
NAMES = {
    "grant": (Grant, "grant_id", LONGEST_GRANT, GrantInvalid),
    "mandate": (Mandate, "mandate_id", LONGEST_MANDATE, DeputyInvalid),
    "guardian": (Guardianship, "guardianship_id", LONGEST_GUARDIANSHIP, DeputyInvalid),
    "duty": (Duty, "duty_id", LONGEST_DUTY, DutyInvalid),
}


@pytest.mark.parametrize(("kind", "owner"), OWNERS)
def test_statement_is_taken_back_by_whose_it_is_and_named_so(federation, stating, kind, owner):
    member, signed = getattr(federation, owner), stating.statement(kind)
    (taken,) = take_back(federation, member, (kind, signed))
    message_type, id_name, _, _ = NAMES[kind]
    statement = message_type.FromString(signed.statement)
    assert taken.entry == statement_entry(kind, member.identity, getattr(statement, id_name))
    assert taken.validity == Validity(statement.not_before, statement.not_after)
    assert taken == peek_taken_back(kind, signed)
    assert not taken.is_named_by(federation.cloud.verifier().lists)
    federation.cloud.revoked_statements.append(taken.entry)
    assert taken.is_named_by(federation.cloud.verifier().lists)


def test_several_statements_are_taken_back_at_once(federation, stating):
    named = [("grant", federation.grant()), ("mandate", stating.mandate()), ("grant", federation.grant())]
    assert [it.kind for it in take_back(federation, federation.patient, *named)] == ["grant", "mandate", "grant"]


def test_everything_before_now_is_taken_back_by_the_patient(federation):
    assert take_back(federation, federation.patient, before=federation.clock.now) == []


def test_credential_invalid_of_a_doctor_who_takes_back(federation):
    with refused(CredentialInvalid):
        sender_role("D:chen")


@pytest.mark.parametrize(("kind", "owner"), OWNERS)
def test_identity_mismatch_of_another_owner_without_a_deputyship(federation, stating, kind, owner):
    with refused(IdentityMismatch):
        take_back(
            federation,
            federation.other_patient,
            (kind, stating.statement(kind)),
            owner_id=getattr(federation, owner).identity,
        )


@pytest.mark.parametrize(
    ("kind", "of_another"),
    [
        ("grant", lambda stating: stating.federation.grant(patient=stating.federation.other_patient)),
        ("mandate", lambda stating: stating.mandate(stating.federation.other_patient, "P:wang")),
        ("guardian", lambda stating: stating.guardianship(stating.federation.hospital_b)),
        ("duty", lambda stating: stating.duty(stating.federation.hospital_b)),
    ],
    ids=["grant", "mandate", "guardian", "duty"],
)
def test_statement_of_another_is_refused(federation, stating, kind, of_another):
    sender = federation.patient if kind in {"grant", "mandate"} else federation.hospital_a
    federation.refresh(federation.hospital_b)
    with refused(NAMES[kind][3]):
        take_back(federation, sender, (kind, of_another(stating)))


@pytest.mark.parametrize(("kind", "owner"), OWNERS)
def test_field_invalid_of_a_kind_that_is_not_of_the_senders_making(federation, stating, kind, owner):
    other_role = federation.hospital_a if owner == "patient" else federation.patient
    with refused(FieldInvalid):
        take_back(federation, other_role, (kind, stating.statement(kind)))


@pytest.mark.parametrize(("kind", "owner"), OWNERS)
def test_what_is_no_such_statement_is_refused(federation, kind, owner):
    with refused(NAMES[kind][3]):
        take_back(
            federation, getattr(federation, owner), (kind, SignedStatement(statement=b"\xff", signature=bytes(64)))
        )


@pytest.mark.parametrize(("kind", "owner"), OWNERS)
@pytest.mark.parametrize("much", [-1, 0, 1], ids=["none", "longest", "longer"])
def test_statement_of_a_life_that_none_may_have_is_refused(federation, stating, kind, owner, much):
    message_type, _, longest, cause = NAMES[kind]
    member = getattr(federation, owner)
    life = 0 if much < 0 else milliseconds(longest) + much

    def live_so(statement):
        statement.not_after = statement.not_before + life

    changed = restated(kind, stating.statement(kind), message_type, member.signing_key, live_so)
    if much == 0:
        assert take_back(federation, member, (kind, changed))
        return
    with refused(cause):
        take_back(federation, member, (kind, changed))


@pytest.mark.parametrize("both", [True, False], ids=["both", "neither"])
def test_field_invalid_unless_statements_or_all_before_a_time_are_taken_back(federation, both):
    statements = [("grant", federation.grant())] if both else []
    with refused(FieldInvalid):
        take_back(federation, federation.patient, *statements, before=federation.clock.now if both else None)


def test_field_invalid_of_a_hospital_that_takes_back_all_before_a_time(federation):
    with refused(FieldInvalid):
        take_back(federation, federation.hospital_a, before=federation.clock.now)


def test_future_dated_for_all_before_a_time_to_come(federation):
    assert take_back(federation, federation.patient, before=federation.clock.now + 5_000) == []
    with refused(FutureDated):
        take_back(federation, federation.patient, before=federation.clock.now + 5_001)


def test_deputy_with_the_power_takes_back_grants_and_mandates_and_everything(federation, stating):
    another = stating.mandate(deputy_id="P:third")
    shown = {"owner_id": "P:wang", "deputyship": stating.by_mandate()}
    deputy = federation.other_patient
    named = [("grant", federation.grant()), ("mandate", another)]
    assert [it.owner_id for it in take_back(federation, deputy, *named, **shown)] == ["P:wang"] * 2
    assert take_back(federation, deputy, before=federation.clock.now, **shown) == []


def test_guardian_with_the_power_takes_back(federation, stating):
    hospital = federation.hospital_a
    shown = Deputyship(guardianship=stating.guardianship(), key_statement=hospital.key_statement)
    named = "grant", federation.grant()
    assert take_back(federation, federation.other_patient, named, owner_id="P:wang", deputyship=shown)


def test_deputy_powers_without_the_power_to_revoke(federation, stating):
    shown = stating.by_mandate(powers=[POWER_GRANT])
    with refused(DeputyPowers):
        take_back(
            federation, federation.other_patient, ("grant", federation.grant()), owner_id="P:wang", deputyship=shown
        )


def test_deputy_invalid_for_another_patient_or_another_deputy(federation, stating):
    third, deputy = federation.new_patient("P:third"), federation.other_patient
    shown = stating.by_mandate()
    for sender, owner_id in ((deputy, "P:third"), (third, "P:wang"), (federation.patient, "P:wang")):
        with refused(DeputyInvalid):
            take_back(federation, sender, before=federation.clock.now, owner_id=owner_id, deputyship=shown)


def test_deputy_expired_and_revoked(federation, stating):
    shown = stating.by_mandate(life=timedelta(minutes=1))
    federation.clock.advance(timedelta(minutes=1))
    with refused(DeputyExpired):
        take_back(
            federation, federation.other_patient, before=federation.clock.now, owner_id="P:wang", deputyship=shown
        )
    shown = stating.by_mandate()
    federation.cloud.sweeps[sweep_entry("P:wang")] = federation.clock.now + 1
    with refused(DeputyRevoked):
        take_back(
            federation, federation.other_patient, before=federation.clock.now, owner_id="P:wang", deputyship=shown
        )


def test_rejected_for_a_revoked_patient_behind_the_mandate(federation, stating):
    shown = stating.by_mandate()
    federation.revoke(federation.patient)
    with rejected(CredentialRevoked):
        take_back(
            federation, federation.other_patient, before=federation.clock.now, owner_id="P:wang", deputyship=shown
        )


def test_guardianship_of_one_hospital_is_not_taken_back_by_another_that_states_one_of_the_same_id(federation, stating):
    """Its id is known to whoever it was shown to: a rogue hospital states its own under that id, and takes that back."""
    signed = stating.guardianship()
    federation.refresh(federation.hospital_b)

    def same_id(statement):
        statement.guardianship_id = Guardianship.FromString(signed.statement).guardianship_id

    key = federation.hospital_b.signing_key
    twin = restated("guardian", stating.guardianship(federation.hospital_b), Guardianship, key, same_id)
    (taken,) = take_back(federation, federation.hospital_b, ("guardian", twin))
    federation.cloud.revoked_statements.append(taken.entry)
    shown = Deputyship(guardianship=signed, key_statement=federation.hospital_a.key_statement)
    assert (
        take_back(
            federation, federation.other_patient, before=federation.clock.now, owner_id="P:wang", deputyship=shown
        )
        == []
    )
