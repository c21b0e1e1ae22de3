"""STO and STOACK: what the hospital refuses to keep, and the doctor to believe."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    AnswerMismatch,
    CommitmentMismatch,
    DutyInvalid,
    DutyMissing,
    FieldInvalid,
    GrantMissing,
    GrantScope,
    IdentityMismatch,
    Limit,
    MissingField,
    NoSuchRecord,
    NotOwnRecord,
    OutOfOrder,
    PaddingInvalid,
    RecordDigestMismatch,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownField,
)
from federation.protocol import record, record_hospital
from federation.protocol.access import Receiver
from federation.protocol.consultation import biosignal_transcript, diagnosis_transcript
from federation.protocol.frames import MOST_BIOSIGNAL_BYTES
from federation.protocol.record import verify_deposit_receipt
from federation.protocol.record_hospital import ReceivedDeposit
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import Access, OwnAccess
from federation.v1.record_pb2 import (
    PURPOSE_READ,
    PURPOSE_STORE,
    SESSION_OUTCOME_NO_RECORD,
    DepositEnd,
    DepositReceipt,
)
from federation.v1.statement_pb2 import RIGHT_READ, SignedStatement
from keystore.transcript import listing, statement_digest
from tests.contents import deposit_of
from tests.grants import wide
from tests.mallory import altered, reframed, refused, rejected, restated, with_unknown_field


class Storing:
    """A consultation is over; the doctor stores it at its hospital."""

    def __init__(
        self, federation, consultation, *, terms=None, scope=PURPOSE_STORE, department="cardiology", hospital=None
    ):
        self.federation, now = federation, federation.clock.now
        self.consultation = consultation
        grant = federation.grant(terms) if terms else consultation.shown.consent.grant
        awaiting, _ = consultation.diagnose(b"all is well", (bytes(64),), now=now)
        self.intent = federation.intent(grant, scope, department, hospital=hospital or federation.hospital_b)
        self.session, self.hospital = federation.establish(federation.hospital_b, self.intent)
        self.deposit = deposit_of(consultation, awaiting.diagnosis, self.intent, now=now)

    def send(self, change=lambda _: None, biosignal=None, diagnosis=b"all is well"):
        change(self.deposit)
        biosignal = self.consultation.biosignal if biosignal is None else biosignal
        self.awaiting, frames = self.session.deposit(biosignal, diagnosis, self.deposit)
        return self.receive(*frames)

    def receive(self, *frames):
        state = self.hospital
        for frame in frames:
            state = state.receive(frame, self.federation.hospital_b.verifier(), now=self.federation.clock.now)
        return state

    def decide(self, *arguments, **keywords):
        received = self.send(*arguments, **keywords)
        return received.decide(self.federation.hospital_b.verifier(), Receiver(), now=self.federation.clock.now)

    def frames(self):
        return list(self.session.deposit(self.consultation.biosignal, b"all is well", self.deposit)[1])


@pytest.fixture(scope="module")
def consultation(shared_federation):
    return shared_federation.consult()[1]


@pytest.fixture
def storing(federation, consultation):
    return Storing(federation, consultation)


def test_a_deposit_is_accepted_and_logged_first(storing):
    logged = storing.decide()
    assert (logged.event.kind, logged.event.patient_id, logged.event.scope) == ("STORE", "P:wang", "cardiology")
    accepted = logged.recorded()
    assert accepted.biosignal == storing.consultation.biosignal
    assert accepted.diagnosis == b"all is well"


def test_a_stale_deposit_is_refused(federation, storing):
    frames = storing.frames()
    federation.clock.advance(timedelta(seconds=31))
    received = storing.receive(*frames)
    with refused(StaleMessage):
        received.decide(federation.hospital_b.verifier(), Receiver(), now=federation.clock.now)


def test_a_deposit_that_takes_long_is_fresh_if_its_first_frame_was(federation, storing):
    first, *rest = storing.frames()
    session = storing.receive(first)
    federation.clock.advance(timedelta(minutes=5))
    for frame in rest:
        session = session.receive(frame, federation.hospital_b.verifier(), now=federation.clock.now)
    session.decide(federation.hospital_b.verifier(), Receiver(), now=federation.clock.now)


def test_a_deposit_with_a_time_mismatch_is_refused(federation, storing):
    received = storing.send()
    moved = replace(received, sent_at=received.sent_at + 1)
    with rejected(TimeMismatch):
        moved.decide(federation.hospital_b.verifier(), Receiver(), now=federation.clock.now)


@pytest.mark.parametrize(
    "change",
    [lambda sto: setattr(sto, "patient_id", "P:lin"), lambda sto: setattr(sto, "blind", bytes(32))],
    ids=["patient", "blind"],
)
def test_a_deposit_that_does_not_open_the_commitment_is_refused(storing, change):
    with rejected(CommitmentMismatch):
        storing.decide(change)


def test_a_deposit_of_another_doctor_is_refused(storing):
    with rejected(IdentityMismatch):
        storing.decide(lambda sto: setattr(sto, "doctor_id", "D:roe"))


def test_a_deposit_with_a_reading_scope_is_refused(federation, consultation):
    with rejected(FieldInvalid):
        Storing(federation, consultation, scope=PURPOSE_READ).decide()


def test_a_deposit_for_any_class_is_refused(federation, consultation):
    with rejected(FieldInvalid):
        Storing(federation, consultation, department="*").decide()


def test_a_deposit_without_the_write_right_is_refused(federation, consultation):
    with refused(GrantScope):
        Storing(federation, consultation, terms=wide(rights=[RIGHT_READ])).decide()


def test_a_deposit_for_another_hospital_than_the_grants_is_refused(federation, consultation):
    with refused(GrantScope):
        Storing(federation, consultation, terms=wide(hospitals=["H:alpha"])).decide()


def test_a_deposit_without_a_patients_statement_is_never_sent(storing):
    with refused(MissingField):
        storing.send(lambda sto: sto.access.consent.ClearField("key_statement"))


def test_a_deposit_that_shows_nothing_is_refused_as_grant_missing(federation, consultation):
    def change(sto):
        sto.access.ClearField("ground")

    storing = Storing(federation, consultation)
    storing.hospital = replace(
        storing.hospital,
        patient_commitment=record.commitment(Shown("P:wang", Access()), storing.intent.scope, storing.intent.blind),
    )
    with refused(GrantMissing):
        storing.decide(change)


def test_a_deposit_without_a_duty_is_refused(federation, consultation):
    def change(sto):
        sto.access.consent.ClearField("duty")
        recommitted(storing, sto)

    storing = Storing(federation, consultation)
    with refused(DutyMissing):
        storing.decide(change)


def test_a_deposit_with_a_duty_at_another_hospital_is_refused(federation, consultation):
    with refused(DutyInvalid):
        Storing(federation, consultation, hospital=federation.hospital_a).decide()


def test_a_deposit_by_own_right_is_refused(federation, consultation):
    """A doctor is no patient here; nor does a patient deposit an encounter."""

    def change(sto):
        sto.access.own.CopyFrom(OwnAccess())
        recommitted(storing, sto)

    storing = Storing(federation, consultation)
    with refused(NotOwnRecord):
        storing.decide(change)


def recommitted(storing, sto):
    """D3 committed to what is shown now."""
    committed = record.commitment(Shown.of(sto), storing.intent.scope, storing.intent.blind)
    storing.hospital = replace(storing.hospital, patient_commitment=committed)


@pytest.mark.parametrize(
    "content", [{"biosignal": b"flat" * 750}, {"diagnosis": b"all is lost"}], ids=["biosignal", "diagnosis"]
)
def test_a_deposit_with_other_content_than_was_signed_is_refused(storing, content):
    with rejected(RecordDigestMismatch):
        storing.decide(**content)


@pytest.mark.parametrize(
    "change",
    [
        lambda sto: setattr(sto, "biosignal_signature", bytes(64)),
        lambda sto: setattr(sto, "diagnosis_signature", bytes(64)),
        lambda sto: setattr(sto, "consultation_digest", bytes(32)),
        lambda sto: setattr(sto, "biosignal_sent_at", 1),
        lambda sto: setattr(sto, "diagnosis_sent_at", 1),
        lambda sto: sto.ClearField("based_on"),
    ],
    ids=["Sig_P2", "Sig_D5", "TH1", "T_P2", "T_D5", "based on"],
)
def test_a_deposit_with_a_wrong_signature_is_refused(storing, change):
    with rejected(SignatureInvalid):
        storing.decide(change)


def signed_for(storing, **other):
    """Give Sig_P2 as the patient would make it, but for what is said otherwise."""
    sto, federation = storing.deposit, storing.federation
    fields = {
        "doctor_id": sto.doctor_id,
        "certificate": federation.doctor.certificate,
        "patient_id": sto.patient_id,
        "biosignal_digest": sto.biosignal_digest,
        "grant_digest": statement_digest("grant", sto.access.consent.grant.statement),
        "sent_at": sto.biosignal_sent_at,
    }
    signed = biosignal_transcript(sto.consultation_digest, **fields | other)
    return federation.patient.keys.signing_key.sign(signed)


def signed_again(storing, biosignal_signature):
    """Take that Sig_P2, and sign the diagnosis over it as the doctor."""
    sto = storing.deposit
    sto.biosignal_signature = biosignal_signature
    signed = diagnosis_transcript(
        sto.consultation_digest,
        sto.diagnosis_digest,
        biosignal_signature,
        listing(list(sto.based_on)),
        sto.diagnosis_sent_at,
    )
    sto.diagnosis_signature = storing.federation.doctor.keys.signing_key.sign(signed)


def test_a_deposit_signed_again_is_accepted_so_the_refusals_below_have_one_cause(storing):
    storing.decide(lambda _: signed_again(storing, signed_for(storing)))


@pytest.mark.parametrize(
    "other",
    [
        {"doctor_id": "D:roe"},
        {"certificate": b"another"},
        {"patient_id": "P:lin"},
        {"grant_digest": bytes(32)},
        {"grant_digest": b""},
    ],
    ids=["another doctor", "another Cert_D", "another patient", "another grant", "no grant"],
)
def test_a_biosignal_signed_for_another_doctor_or_grant_is_refused(storing, other):
    """All else is right: the same patient, biosignal, TH1 and T_P2, and a grant that allows the deposit."""
    with rejected(SignatureInvalid):
        storing.decide(lambda _: signed_again(storing, signed_for(storing, **other)))


def test_a_biosignal_of_another_consultations_grant_is_refused(federation, consultation):
    """The patient gave this doctor two grants, and signed the biosignal with the other one."""
    with rejected(SignatureInvalid):
        Storing(federation, consultation, terms=wide()).decide()


def test_a_diagnosis_signed_by_another_doctor_is_refused(federation, storing):
    def change(sto):
        sto.diagnosis_signature = federation.other_doctor.keys.signing_key.sign(b"whatever")

    with rejected(SignatureInvalid):
        storing.decide(change)


def test_an_unknown_field_in_a_deposit_is_refused(storing):
    *pieces, last = storing.frames()
    direction = replace(storing.session.session.sending, sequence=len(pieces))
    with rejected(UnknownField):
        storing.receive(*pieces, reframed(direction, "sto", last, with_unknown_field))


def test_a_truncated_deposit_is_never_whole(storing):
    *pieces, last = storing.frames()
    assert not isinstance(storing.receive(*pieces), ReceivedDeposit)
    with rejected(OutOfOrder):
        storing.receive(last)
    last.sequence = 0
    with rejected(SealInvalid):
        storing.receive(last)


def test_a_deposit_beyond_the_limit_is_refused(storing, monkeypatch):
    monkeypatch.setattr(record_hospital, "MOST_DEPOSIT_BYTES", 10)
    with rejected(Limit):
        storing.send()


@pytest.mark.parametrize("field", ["biosignal_size_bytes", "diagnosis_size_bytes"])
def test_a_deposit_that_says_to_be_beyond_a_limit_is_refused(storing, field):
    with rejected(Limit):
        storing.decide(lambda sto: setattr(sto, field, MOST_BIOSIGNAL_BYTES + 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda sto: setattr(sto, "diagnosis_size_bytes", sto.diagnosis_size_bytes - 1),
        lambda sto: setattr(sto, "diagnosis_size_bytes", 2048 * 2),
        lambda sto: setattr(sto, "biosignal_size_bytes", 0),
    ],
    ids=["content where padding is", "a larger class", "a smaller class"],
)
def test_a_deposit_whose_padding_is_invalid_is_refused(storing, change):
    with rejected(PaddingInvalid):
        storing.decide(change)


@pytest.fixture
def kept(federation, storing):
    """Give the hospital's side of a deposit that was kept, and its receipt."""
    received = storing.send()
    accepted = received.decide(federation.hospital_b.verifier(), Receiver(), now=federation.clock.now).recorded()
    return received, accepted.receipt(b"r" * 16, 1, now=federation.clock.now)


def test_a_receipt_is_taken_and_stands_without_the_session(federation, storing, kept):
    received, receipt = kept
    now = federation.clock.now
    shown, signed = storing.awaiting.receive(received.answer(receipt, now=now), now=now)
    assert shown.handle == b"r" * 16
    hospital = federation.party(federation.hospital_b).self_
    kept_receipt = SignedStatement(statement=signed.message, signature=signed.signature)
    assert verify_deposit_receipt(kept_receipt, hospital.key).deposit_digest == received.digest


def answered(storing, kept, change, *, receipt=None):
    received, signed = kept
    frame = received.answer(receipt or signed, now=storing.federation.clock.now)
    return reframed(storing.awaiting.receiving, "stoack", frame, altered(DepositEnd, change))


def take(storing, frame):
    return storing.awaiting.receive(frame, now=storing.federation.clock.now)


def test_a_receipt_for_another_deposit_is_refused_as_a_mismatch(federation, storing, kept):
    key = federation.hospital_b.keys.signing_key
    other = restated(
        "stoack", kept[1], DepositReceipt, key, lambda receipt: setattr(receipt, "deposit_digest", bytes(32))
    )
    with rejected(AnswerMismatch):
        take(storing, answered(storing, kept, lambda _: None, receipt=other))


def test_a_receipt_signed_by_another_hospital_is_refused(federation, storing, kept):
    forged = restated("stoack", kept[1], DepositReceipt, federation.hospital_a.keys.signing_key, lambda _: None)
    with rejected(SignatureInvalid):
        take(storing, answered(storing, kept, lambda _: None, receipt=forged))


def test_a_served_deposit_without_a_receipt_is_refused_as_missing(storing, kept):
    with rejected(MissingField):
        take(storing, answered(storing, kept, lambda end: end.ClearField("receipt")))


def test_a_receipt_with_a_time_mismatch_is_refused(storing, kept):
    with rejected(TimeMismatch):
        take(storing, answered(storing, kept, lambda end: setattr(end, "sent_at", 1)))


def test_a_receipt_in_more_than_one_frame_is_refused_as_out_of_order(storing, kept):
    received, _ = kept
    _, frame = received.request.session.sending.seal("stoack", b"x", last=False, sent_at=storing.federation.clock.now)
    with rejected(OutOfOrder):
        take(storing, frame)


def test_a_sealed_refusal_of_a_deposit_is_told(storing, kept):
    received, _ = kept
    with refused(NoSuchRecord):
        take(storing, received.refuse(SESSION_OUTCOME_NO_RECORD, now=storing.federation.clock.now))
