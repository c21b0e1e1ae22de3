"""What a patient hides: the statement's checks, the checks of rst and its answer, of rstget and its answer."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    AnswerMismatch,
    CredentialExpired,
    CredentialInvalid,
    DeputyExpired,
    DeputyInvalid,
    DeputyPowers,
    DeputyRevoked,
    FieldInvalid,
    FutureDated,
    IdentityMismatch,
    RestrictionInvalid,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
)
from federation.protocol import consent
from federation.protocol.access import Hidden
from federation.protocol.anchors import statement_entry
from federation.protocol.calls import RESTRICT
from federation.protocol.restriction import (
    Restriction,
    Standings,
    Stating,
    answer_due,
    answer_restricting,
    ask_due,
    ask_restricting,
    hospitals_key,
    make_restriction,
    open_restriction,
    receive_due,
    receive_standings,
    require_restricting,
    restricting_role,
)
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Deputyship
from federation.v1.restrictions_pb2 import DueRestriction, HeldRestriction, ShownRestriction
from federation.v1.statement_pb2 import POWER_READ, POWER_RESTRICT, Mandate
from tests.mallory import refused, rejected, restated
from tests.simulator import CLOUD_ID

DAY = timedelta(days=1)
SOME = Hidden("H:alpha", handle="07" * 16)
CARDIOLOGY = Hidden(department_class="cardiology")


class Hiding:
    """The federation's patient hides records, or its deputy does."""

    def __init__(self, federation):
        self.federation = federation
        self.patient, self.deputy = federation.patient, federation.other_patient

    @property
    def now(self):
        return self.federation.clock.now

    def shown(self, *hidden, signer=None, above=0, deputyship=None, overrides=False):
        signer = signer or self.patient
        wanted = Restriction("P:wang", hidden=hidden, emergency_overrides=overrides)
        signed = make_restriction(
            self.federation.party(signer), wanted, above=above, now=self.now, deputyship=deputyship
        )
        return ShownRestriction(restriction=signed, key_statement=signer.key_statement, deputyship=deputyship)

    def changed(self, change, shown=None, key=None):
        """A restriction with other content, signed all the same."""
        shown = shown or self.shown(SOME)
        key = key or self.patient.signing_key
        shown.restriction.CopyFrom(restated("restrict", shown.restriction, pb.Restriction, key, change))
        return shown

    def mandate(self, *powers, life=DAY):
        party = self.federation.party(self.patient)
        entropy = self.federation.entropy
        signed = consent.make_mandate(party, "P:lin", powers, life, now=self.now, entropy=entropy)
        return Deputyship(mandate=signed, key_statement=self.patient.key_statement)

    def opened(self, shown):
        return open_restriction(shown, self.federation.hospital_a.verifier(), now=self.now)

    def call(self, sender=None, restriction=None, deputyship=None, patient_id="P:wang"):
        party = self.federation.party(sender or self.patient)
        stating = None if restriction is None else Stating(restriction, 0)
        return ask_restricting(party, patient_id, stating, deputyship, bytes(16))

    def required(self, call, sender=None):
        """What the cloud requires of rst."""
        verifier = self.federation.cloud.verifier()
        party = verifier.party(call.key_statement, restricting_role((sender or self.patient).identity), now=self.now)
        return require_restricting(call, party, verifier, now=self.now)


@pytest.fixture
def hiding(federation):
    federation.refresh(federation.patient, federation.other_patient, federation.hospital_a)
    return Hiding(federation)


def test_restriction_says_what_was_stated(hiding):
    found = hiding.opened(hiding.shown(SOME, CARDIOLOGY, overrides=True))
    assert found == Restriction("P:wang", hiding.now, (SOME, CARDIOLOGY), True, "P:wang", hiding.now)


def test_number_is_the_time_of_day_or_one_more_than_what_stands(hiding):
    assert hiding.opened(hiding.shown(above=3)).number == hiding.now
    assert hiding.opened(hiding.shown(above=hiding.now)).number == hiding.now + 1


def test_restriction_stands_when_its_signers_credential_has_ended_or_is_revoked(federation, hiding):
    shown = hiding.shown(SOME)
    federation.revoke(hiding.patient, federation.hospital_a)
    assert hiding.opened(shown).hidden == (SOME,)
    federation.clock.advance(timedelta(days=3 * 366))
    assert hiding.opened(shown).hidden == (SOME,)


def test_credential_expired_of_one_that_was_stated_before_its_credential_began(hiding):
    def earlier(restriction):
        restriction.stated_at -= 366 * 86_400_000

    with refused(CredentialExpired):
        hiding.opened(hiding.changed(earlier))


@pytest.mark.parametrize(
    "statement", [b"\xff", b"", pb.Restriction(patient_id="P:wang").SerializeToString()], ids=["noise", "none", "part"]
)
def test_restriction_invalid_of_what_is_none(hiding, statement):
    shown = hiding.shown()
    shown.restriction.statement = statement
    with refused(RestrictionInvalid):
        hiding.opened(shown)


def test_restriction_invalid_under_another_patients_signature(hiding):
    with refused(RestrictionInvalid):
        hiding.opened(hiding.changed(lambda it: None, key=hiding.deputy.signing_key))


def test_restriction_invalid_of_another_registration(hiding):
    def of_another(restriction):
        restriction.signer_serial = bytes(16)

    with refused(RestrictionInvalid):
        hiding.opened(hiding.changed(of_another))


def test_restriction_invalid_of_another_patient_without_a_deputyship(hiding):
    """Another patient signs what hides this one's records."""
    with refused(RestrictionInvalid):
        hiding.opened(hiding.shown(SOME, signer=hiding.deputy))


@pytest.mark.parametrize(("stated", "newest"), [(5_000, 5_000), (5_001, 0), (0, 5_001)])
def test_future_dated_for_a_time_or_a_number_to_come(hiding, stated, newest):
    def ahead(restriction):
        restriction.stated_at += stated
        restriction.number += newest

    shown = hiding.changed(ahead)
    if max(stated, newest) == 5_000:
        assert hiding.opened(shown).number == hiding.now + 5_000
        return
    with refused(FutureDated):
        hiding.opened(shown)


def test_restriction_invalid_of_a_record_without_its_hospital(hiding):
    with refused(RestrictionInvalid):
        hiding.opened(hiding.shown(replace(SOME, hospital="*")))


def test_deputy_with_the_power_hides_records(hiding):
    deputyship = hiding.mandate(POWER_RESTRICT)
    shown = hiding.shown(SOME, signer=hiding.deputy, deputyship=deputyship)
    assert hiding.opened(shown).signer_id == "P:lin"


def test_what_a_deputy_hid_stays_hidden_when_the_mandate_ends_or_is_taken_back(federation, hiding):
    deputyship = hiding.mandate(POWER_RESTRICT)
    shown = hiding.shown(SOME, signer=hiding.deputy, deputyship=deputyship)
    mandate = Mandate.FromString(deputyship.mandate.statement)
    federation.cloud.revoked_statements.append(statement_entry("mandate", "P:wang", mandate.mandate_id))
    federation.clock.advance(2 * DAY)
    federation.refresh(federation.hospital_a)
    assert hiding.opened(shown).hidden == (SOME,)


def test_deputy_powers_without_the_power(hiding):
    deputyship = hiding.mandate(POWER_READ)
    with refused(DeputyPowers):
        hiding.opened(hiding.shown(SOME, signer=hiding.deputy, deputyship=deputyship))


def test_deputy_expired_when_it_signs(federation, hiding):
    deputyship = hiding.mandate(POWER_RESTRICT)
    federation.clock.advance(DAY)
    federation.refresh(hiding.deputy, federation.hospital_a)
    with refused(DeputyExpired):
        hiding.opened(hiding.shown(SOME, signer=hiding.deputy, deputyship=deputyship))


def test_deputy_invalid_for_another_deputys_mandate(hiding):
    deputyship = hiding.mandate(POWER_RESTRICT)

    def for_another(mandate):
        mandate.deputy_id = "P:third"

    deputyship.mandate.CopyFrom(
        restated("mandate", deputyship.mandate, Mandate, hiding.patient.signing_key, for_another)
    )
    with refused(DeputyInvalid):
        hiding.opened(hiding.shown(SOME, signer=hiding.deputy, deputyship=deputyship))


@pytest.mark.parametrize("is_shown", [True, False], ids=["another", "none"])
def test_restriction_invalid_beside_another_deputyship_than_it_names(hiding, is_shown):
    shown = hiding.shown(SOME, signer=hiding.deputy, deputyship=hiding.mandate(POWER_RESTRICT))
    shown.ClearField("deputyship")
    if is_shown:
        shown.deputyship.CopyFrom(hiding.mandate(POWER_RESTRICT))
    with refused(RestrictionInvalid):
        hiding.opened(shown)


def test_rst_of_the_patient_and_of_its_deputy_is_taken(hiding):
    shown = hiding.shown(SOME)
    assert hiding.required(hiding.call(restriction=shown.restriction)).stated == hiding.opened(shown)
    assert hiding.required(hiding.call()).stated is None
    deputyship = hiding.mandate(POWER_RESTRICT)
    by_deputy = hiding.shown(SOME, signer=hiding.deputy, deputyship=deputyship)
    call = hiding.call(hiding.deputy, by_deputy.restriction, deputyship)
    assert hiding.required(call, hiding.deputy).stated == hiding.opened(by_deputy)


def test_credential_invalid_of_a_doctor_who_restricts(federation):
    with refused(CredentialInvalid):
        restricting_role("D:chen")


def test_identity_mismatch_of_rst_for_another_patient(hiding):
    with refused(IdentityMismatch):
        hiding.required(hiding.call(hiding.deputy), hiding.deputy)


def test_deputy_powers_of_a_deputy_that_asks_without_the_power(hiding):
    with refused(DeputyPowers):
        hiding.required(hiding.call(hiding.deputy, deputyship=hiding.mandate(POWER_READ)), hiding.deputy)


def test_deputy_revoked_of_a_deputy_whose_mandate_was_taken_back(federation, hiding):
    deputyship = hiding.mandate(POWER_RESTRICT)
    mandate = Mandate.FromString(deputyship.mandate.statement)
    federation.cloud.revoked_statements.append(statement_entry("mandate", "P:wang", mandate.mandate_id))
    with refused(DeputyRevoked):
        hiding.required(hiding.call(hiding.deputy, deputyship=deputyship), hiding.deputy)


def test_signature_invalid_for_an_answer_to_anothers_key(federation, hiding):
    call = hiding.call()
    call.encryption_key_statement.CopyFrom(federation.party(hiding.deputy).encryption_key_statement)
    with refused(SignatureInvalid):
        hiding.required(call)


@pytest.mark.parametrize("name", ["restriction", "follows"])
def test_field_invalid_of_a_restriction_or_what_it_follows_alone(hiding, name):
    call = hiding.call(restriction=hiding.shown(SOME).restriction)
    call.ClearField(name)
    with refused(FieldInvalid):
        hiding.required(call)


def test_restriction_invalid_of_a_deputy_that_states_about_itself(hiding):
    """By a call in the patient's name it passes on a restriction of its own records."""
    own = make_restriction(hiding.federation.party(hiding.deputy), Restriction("P:lin"), above=0, now=hiding.now)
    call = hiding.call(hiding.deputy, own, hiding.mandate(POWER_RESTRICT))
    with refused(RestrictionInvalid):
        hiding.required(call, hiding.deputy)


class Answering(Hiding):
    """The cloud answers rst."""

    def __init__(self, federation, states=True):
        super().__init__(federation)
        self.standing = self.shown(SOME)
        self.sent = self.call(restriction=self.standing.restriction if states else None)
        _, self.plaintext = RESTRICT.send(
            self.sent, self.patient.signing_key, federation.cloud.encryption_key(), now=self.now
        )

    def reply(self, shown=None, plaintext=None, key=None, counted=(2, 1)):
        asked = self.required(self.sent)
        return answer_restricting(
            asked,
            self.plaintext if plaintext is None else plaintext,
            Standings(shown, *counted),
            CLOUD_ID,
            key or self.federation.cloud.keys.signing_key,
            now=self.now,
        )

    def receive(self, reply):
        party = self.federation.party(self.patient)
        return receive_standings(reply, party, self.sent, self.plaintext, self.patient.verifier(), now=self.now)


@pytest.fixture
def answering(hiding):
    return Answering(hiding.federation)


@pytest.fixture
def asking(hiding):
    return Answering(hiding.federation, states=False)


def test_answer_says_what_stands_and_how_far_it_has_come(answering, asking):
    standings, restriction = answering.receive(answering.reply(answering.standing))
    assert (standings.hospitals_with, standings.hospitals_without, restriction.hidden) == (2, 1, (SOME,))
    standings, restriction = asking.receive(asking.reply())
    assert (standings.shown, restriction) == (None, Restriction("P:wang"))


def test_field_invalid_of_an_answer_with_a_session_id_of_another_size(asking):
    reply = asking.reply()
    reply.session_id = b"x"
    with refused(FieldInvalid):
        asking.receive(reply)


def test_stale_answer_is_refused(federation, asking):
    reply = asking.reply()
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        asking.receive(reply)


def test_seal_invalid_of_an_answer_to_another(asking):
    reply = asking.reply()
    reply.sealed = reply.sealed[:-1] + bytes([reply.sealed[-1] ^ 1])
    with rejected(SealInvalid):
        asking.receive(reply)


def test_signature_invalid_of_an_answer_that_the_cloud_did_not_sign(asking):
    with rejected(SignatureInvalid):
        asking.receive(asking.reply(key=asking.deputy.signing_key))


def test_answer_mismatch_to_another_call(asking):
    with rejected(AnswerMismatch):
        asking.receive(asking.reply(plaintext=b"another"))


def test_restriction_invalid_of_an_answer_that_names_what_nobody_signed(asking):
    forged = asking.changed(lambda it: it.ClearField("hidden"), key=asking.deputy.signing_key)
    with rejected(RestrictionInvalid):
        asking.receive(asking.reply(forged))


def test_answer_mismatch_of_another_patients_restriction(asking):
    own = make_restriction(asking.federation.party(asking.deputy), Restriction("P:lin"), above=0, now=asking.now)
    shown = ShownRestriction(restriction=own, key_statement=asking.deputy.key_statement)
    with rejected(AnswerMismatch):
        asking.receive(asking.reply(shown))


def test_answer_mismatch_where_what_was_stated_does_not_stand(answering):
    with rejected(AnswerMismatch):
        answering.receive(answering.reply(answering.shown(CARDIOLOGY)))


def due(federation, hiding, key=None):
    shown = DueRestriction(reference=bytes(32), shown=hiding.shown(SOME))
    hospital = federation.party(federation.hospital_a)
    verifier = federation.cloud.verifier()
    payload = ask_due(hospital, [HeldRestriction(reference=bytes(32), number=1)], entropy=federation.entropy)
    key = key or hospitals_key(payload, hospital.self_, verifier, now=hiding.now)
    return shown, answer_due([shown], key, CLOUD_ID, now=hiding.now)


def received(federation, reply):
    hospital = federation.hospital_a
    return receive_due(reply, federation.party(hospital), hospital.verifier(), now=federation.clock.now)


def test_hospital_takes_what_is_due(federation, hiding):
    shown, reply = due(federation, hiding)
    assert list(received(federation, reply)) == [shown]


def test_signature_invalid_of_a_hospital_that_names_anothers_key(federation, hiding):
    hospital = federation.party(federation.hospital_a)
    payload = ask_due(hospital, (), entropy=federation.entropy)
    payload.encryption_key_statement.CopyFrom(federation.party(hiding.patient).encryption_key_statement)
    with refused(SignatureInvalid):
        hospitals_key(payload, hospital.self_, federation.cloud.verifier(), now=hiding.now)


def test_field_invalid_of_what_is_due_with_a_session_id_of_another_size(federation, hiding):
    _, reply = due(federation, hiding)
    reply.session_id = b"x"
    with refused(FieldInvalid):
        received(federation, reply)


def test_stale_due_restrictions_are_refused(federation, hiding):
    _, reply = due(federation, hiding)
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        received(federation, reply)


def test_seal_invalid_of_what_is_due_elsewhere(federation, hiding):
    verifier = federation.cloud.verifier()
    party = federation.party(hiding.patient)
    key = verifier.encryption_key(party.encryption_key_statement, party.self_, now=hiding.now)
    _, reply = due(federation, hiding, key)
    with rejected(SealInvalid):
        received(federation, reply)
