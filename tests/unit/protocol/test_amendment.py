"""A further D5 that takes the place of the newest, and P6 for each: what each side makes, takes and refuses."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import AmendmentMismatch, FieldInvalid, Limit, OutOfOrder, SessionExpired, SignatureInvalid
from federation.protocol import consultation as common
from federation.protocol.consultation import MOST_AMENDMENTS
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from keystore.transcript import digest, listing
from tests.mallory import altered, reframed, refused, rejected


class Amending:
    """A consultation whose first D5 was taken and answered, and the doctor's amendment of it."""

    def __init__(self, federation):
        self.federation, now = federation, federation.clock.now
        self.before, self.consultation = federation.consult()
        self.first, self.first_frame = self.consultation.diagnose(b"all is well", (), now=now)
        self.waiting, self.first_receipt = self.take(self.before, self.first_frame).receipt(now=now)
        self.second, self.frame = self.first.amend(b"not quite", (bytes(64),), now=now)

    def take(self, state, frame):
        return state.receive(frame, self.federation.patient.verifier(), now=self.federation.clock.now)

    def take_receipt(self, state, frame):
        return state.receive(frame, self.federation.doctor.verifier(), now=self.federation.clock.now)[0]

    def signed(self, state, frame, change, *, sign=True):
        """Give the frame with d5 changed, signed and sealed again as the doctor."""

        def apply(d5: DiagnosisDelivery) -> None:
            change(d5)
            if sign:
                rests_on = self.before.biosignal_signature, listing(list(d5.based_on))
                covered = common.diagnosis_transcript(
                    self.before.transcript_hash, digest(d5.diagnosis), *rests_on, d5.sent_at, d5.amends
                )
                d5.signature = self.federation.doctor.keys.signing_key.sign(covered)

        return reframed(state.receiving, "d5", frame, altered(DiagnosisDelivery, apply))


@pytest.fixture
def amending(federation):
    return Amending(federation)


def test_an_amendment_is_taken_and_names_the_first(amending):
    delivery = amending.take(amending.waiting, amending.frame).delivery
    assert delivery.diagnosis == b"not quite"
    assert delivery.amends == digest(amending.first.diagnosis.signature)
    assert not amending.first.diagnosis.HasField("amends")


def test_an_amendment_signed_again_is_taken_so_the_refusals_below_have_one_cause(amending):
    amending.take(amending.waiting, amending.signed(amending.waiting, amending.frame, lambda _: None))


@pytest.mark.parametrize(
    "change",
    [lambda d5: d5.ClearField("amends"), lambda d5: setattr(d5, "amends", bytes(32))],
    ids=["none", "another"],
)
def test_an_amendment_of_none_or_of_another_is_refused_as_a_mismatch(amending, change):
    with rejected(AmendmentMismatch):
        amending.take(amending.waiting, amending.signed(amending.waiting, amending.frame, change))


def test_a_first_diagnosis_that_amends_is_refused_as_a_mismatch(amending):
    change = amending.signed(amending.before, amending.first_frame, lambda d5: setattr(d5, "amends", bytes(32)))
    with rejected(AmendmentMismatch):
        amending.take(amending.before, change)


def test_what_is_amended_is_a_digest_or_refused(amending):
    with rejected(FieldInvalid):
        amending.take(
            amending.waiting, amending.signed(amending.waiting, amending.frame, lambda d5: setattr(d5, "amends", b""))
        )


def test_what_is_amended_is_signed(amending):
    other = amending.signed(amending.waiting, amending.frame, lambda d5: setattr(d5, "amends", bytes(32)), sign=False)
    with rejected(SignatureInvalid):
        amending.take(amending.waiting, other)


def test_an_amendment_after_the_consultations_12_hours_is_never_sent(federation, amending):
    federation.clock.advance(timedelta(hours=12, milliseconds=-1))
    amending.second.amend(b"late", (), now=federation.clock.now)
    federation.clock.advance(timedelta(milliseconds=1))
    with refused(SessionExpired):
        amending.second.amend(b"too late", (), now=federation.clock.now)


def amended_often(amending):
    """Give both sides after as many amendments as there may be."""
    now, doctor, patient = amending.federation.clock.now, amending.first, amending.waiting
    for number in range(MOST_AMENDMENTS):
        doctor, frame = doctor.amend(b"%d" % number, (), now=now)
        patient, _ = amending.take(patient, frame).receipt(now=now)
    return doctor, patient


def test_limit_reached_for_one_amendment_too_many_which_is_never_sent(federation, amending):
    doctor, _ = amended_often(amending)
    assert doctor.is_last
    with refused(Limit):
        doctor.amend(b"again", (), now=federation.clock.now)


def test_limit_reached_for_one_amendment_too_many_at_the_patient(federation, amending, monkeypatch):
    """A doctor who does not stop."""
    doctor, patient = amended_often(amending)
    monkeypatch.setattr(common, "MOST_AMENDMENTS", MOST_AMENDMENTS + 1)
    _, frame = doctor.amend(b"again", (), now=federation.clock.now)
    amending.take(patient, frame)
    monkeypatch.setattr(common, "MOST_AMENDMENTS", MOST_AMENDMENTS)
    with rejected(Limit):
        amending.take(patient, frame)


def test_each_receipt_is_for_its_own_diagnosis(federation, amending):
    _, receipt = amending.take(amending.waiting, amending.frame).receipt(now=federation.clock.now)
    assert (receipt.sequence, amending.first_receipt.sequence) == (receipt.sequence, receipt.sequence - 1)
    taken = amending.take_receipt(amending.second, receipt)
    assert taken.diagnosis_digest == digest(amending.second.diagnosis.signature)
    taken = amending.take_receipt(amending.first, amending.first_receipt)  # late, and still good
    assert taken.diagnosis_digest == digest(amending.first.diagnosis.signature)


def test_a_receipt_needs_no_receipt_before_it(federation, amending):
    """P6 is optional: the room was full when the first was put, say."""
    _, receipt = amending.take(amending.waiting, amending.frame).receipt(now=federation.clock.now)
    amending.take_receipt(amending.second, receipt)
    for state, other in ((amending.first, receipt), (amending.second, amending.first_receipt)):
        with rejected(OutOfOrder):
            amending.take_receipt(state, other)


def test_a_state_that_was_kept_takes_the_amendment(federation, amending):
    """Another list of what was revoked, hours later: the state is what it was."""
    federation.clock.advance(timedelta(hours=11))
    federation.refresh()
    assert amending.take(replace(amending.waiting), amending.frame).delivery.diagnosis == b"not quite"
