"""Attacks on the order of a consultation's diagnoses: by the relay, by a patient, and by the doctor's own keys.

An amendment (docs/adr/0031-amendment.md) takes the place of what somebody acts on, a dose say. So the patient, its doctor and a
judge have to agree on which one stands. Each frame below is well sealed, and well signed where its sender has the key.
"""

import pytest

from federation.errors import (
    AmendmentMismatch,
    CertificateRevoked,
    OutOfOrder,
    SealInvalid,
    SignatureInvalid,
)
from federation.protocol import consultation as common
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from keystore.signatures import VerifyingKey
from keystore.transcript import digest, listing
from tests.mallory import altered, reframed, rejected
from tests.simulator import Federation


class Visit:
    """A consultation: a first diagnosis that the patient took, and an amendment of it that is in the room."""

    def __init__(self, federation: Federation) -> None:
        self.federation, self.now = federation, federation.clock.now
        self.fresh, present = federation.consult()
        self.doctor, self.first = present.diagnose(b"5 mg", (), now=self.now)
        self.patient, self.first_receipt = self.take(self.fresh, self.first).receipt(now=self.now)
        self.amending, self.second = self.doctor.amend(b"0.5 mg", (), now=self.now)

    def take(self, state, frame):
        return state.receive(frame, self.federation.patient.verifier(), now=self.federation.clock.now)

    def by_the_doctor(self, state, frame, change):
        """Give a frame of the doctor's with d5 changed, signed and sealed by the doctor's own keys."""

        def apply(d5: DiagnosisDelivery) -> None:
            change(d5)
            fields = self.fresh.biosignal_signature, listing(list(d5.based_on)), d5.sent_at, d5.amends
            covered = common.diagnosis_transcript(self.fresh.transcript_hash, digest(d5.diagnosis), *fields)
            d5.signature = self.federation.doctor.keys.signing_key.sign(covered)

        return reframed(state.receiving, "d5", frame, altered(DiagnosisDelivery, apply))


@pytest.fixture
def visit(federation):
    return Visit(federation)


def test_the_relay_shows_the_first_diagnosis_again_after_the_second(visit):
    """So that 5 mg would seem to be the newest. Its number was used, and renumbered it does not open."""
    after, _ = visit.take(visit.patient, visit.second).receipt(now=visit.now)
    with rejected(OutOfOrder):
        visit.take(after, visit.first)
    visit.first.sequence = after.receiving.sequence
    with rejected(SealInvalid):
        visit.take(after, visit.first)


def test_the_relay_swaps_their_order(visit):
    """The second first: the patient would hold 5 mg for the newest in the end. It takes neither out of its turn."""
    with rejected(OutOfOrder):
        visit.take(visit.fresh, visit.second)
    state, _ = visit.take(visit.fresh, visit.first).receipt(now=visit.now)
    assert visit.take(state, visit.second).delivery.diagnosis == b"0.5 mg"


def test_the_relay_keeps_the_first_back(visit):
    """The second alone, renumbered: sealed under its number, it opens under no other."""
    visit.second.sequence = 0
    with rejected(SealInvalid):
        visit.take(visit.fresh, visit.second)


def test_a_doctor_sends_two_diagnoses_side_by_side(visit):
    """Two signed reports of which neither names the other: the doctor would choose later which one stood. A judge who has both
    sees two first ones, so the patient has to refuse the second when it comes.
    """
    independent = visit.by_the_doctor(visit.patient, visit.second, lambda d5: d5.ClearField("amends"))
    judged = DiagnosisDelivery.FromString(visit.patient.receiving.open("d5", independent)[1])
    key = VerifyingKey(visit.federation.doctor.keys.signing_key.verifying_key.data)
    fields = visit.fresh.biosignal_signature, listing([]), judged.sent_at
    covered = common.diagnosis_transcript(visit.fresh.transcript_hash, digest(judged.diagnosis), *fields)
    key.verify(judged.signature, covered)  # the doctor's own key made it
    with rejected(AmendmentMismatch):
        visit.take(visit.patient, independent)


def test_a_doctor_amends_the_diagnosis_of_another_consultation(visit):
    """Of another patient, or of last week: the first of this one would stand beside what seems to replace it."""
    elsewhere = Visit(visit.federation)
    named = digest(elsewhere.doctor.diagnosis.signature)
    with rejected(AmendmentMismatch):
        visit.take(
            visit.patient,
            visit.by_the_doctor(visit.patient, visit.second, lambda d5: setattr(d5, "amends", named)),
        )


def test_an_amendment_of_one_consultation_is_put_into_another(visit):
    """A judge is shown it under another TH1, and the relay puts its frame into another session."""
    elsewhere = Visit(visit.federation)
    moved = type(visit.second).FromString(elsewhere.second.SerializeToString())
    moved.session_id = visit.second.session_id
    with rejected(SealInvalid):
        visit.take(visit.patient, moved)


def test_a_doctor_amends_the_first_a_second_time(visit):
    """The third names the first, as if the second had never been: two of one diagnosis, and nobody knows which stands."""
    after, _ = visit.take(visit.patient, visit.second).receipt(now=visit.now)
    third, frame = visit.amending.amend(b"50 mg", (), now=visit.now)
    first = digest(visit.doctor.diagnosis.signature)
    with rejected(AmendmentMismatch):
        visit.take(after, visit.by_the_doctor(after, frame, lambda d5: setattr(d5, "amends", first)))
    assert visit.take(after, frame).delivery.amends == digest(visit.amending.diagnosis.signature)
    assert third.diagnosis.amends == digest(visit.amending.diagnosis.signature)


def test_a_doctor_whose_certificate_fell_meanwhile_amends(visit):
    """What it signed while it was good stands; it changes nothing of it any more."""
    visit.federation.revoke_certificate(visit.federation.patient)
    with rejected(CertificateRevoked):
        visit.take(visit.patient, visit.second)


def test_a_patient_forges_an_amendment(visit):
    """The patient holds SEK_1, and seals a sick note of its own in the doctor's direction. It has no PRK_D."""

    def invent(d5: DiagnosisDelivery) -> None:
        d5.diagnosis = b"unfit for work"

    forged = reframed(visit.patient.receiving, "d5", visit.second, altered(DiagnosisDelivery, invent))
    with rejected(SignatureInvalid):
        visit.take(visit.patient, forged)


def receipt_of_the_first_as_of_the_second(visit):
    """Give the patient's own P6 for the first diagnosis, sealed under the number of the second's."""
    _, own = visit.take(visit.patient, visit.second).receipt(now=visit.now)

    def of_the_first(p6: DiagnosisReceipt) -> None:
        first = visit.fresh.sending.open("p6", visit.first_receipt)[1]
        p6.CopyFrom(DiagnosisReceipt.FromString(first))

    return reframed(visit.patient.sending, "p6", own, altered(DiagnosisReceipt, of_the_first))


def test_a_receipt_for_the_first_is_taken_as_one_for_the_second(visit):
    """The doctor would believe that the patient knows of 0.5 mg. Replayed, it has the first's number; sealed anew by the
    patient, it names the first.
    """
    doctor = visit.federation.doctor.verifier()
    visit.doctor.receive(visit.first_receipt, doctor, now=visit.now)  # it is a true receipt
    with rejected(OutOfOrder):
        visit.amending.receive(visit.first_receipt, doctor, now=visit.now)
    with rejected(SignatureInvalid):
        visit.amending.receive(receipt_of_the_first_as_of_the_second(visit), doctor, now=visit.now)
