"""P2, D5 and P6 under SEK_1: what each side refuses."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    CertificateForeign,
    CertificateRevoked,
    CredentialRevoked,
    FutureDated,
    GrantExpired,
    GrantInvalid,
    IdentityMismatch,
    Limit,
    MessageTooLarge,
    MissingField,
    OutOfOrder,
    RecordDigestMismatch,
    SealInvalid,
    SessionExpired,
    SessionUnknown,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownField,
)
from federation.protocol import consultation as common
from federation.protocol.frames import SENT_SLICE_BYTES
from federation.protocol.statements import digest_or_empty
from federation.v1.consultation_pb2 import BiosignalDelivery
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.statement_pb2 import Grant, SignedStatement
from keystore.transcript import digest, listing
from tests.grants import wide
from tests.mallory import altered, reframed, refused, rejected, restated, with_unknown_field

BIOSIGNAL = b"ecg" * 1000


class Delivered:
    """P1 and D1 are done; P2's two frames are made: one slice, and the last."""

    def __init__(self, federation, biosignal=BIOSIGNAL, grant=None):
        self.federation = federation
        now = federation.clock.now
        awaiting, opening = federation.open_consultation()
        self.doctor, reply = federation.receive_opening(opening).reply(now=now, entropy=federation.entropy)
        self.patient = awaiting.receive(reply, federation.patient.verifier(), now=now)
        shown = federation.shown(grant or federation.grant(), on_duty=False)
        self.waiting, frames = self.patient.deliver(biosignal, shown, now=now)
        *self.slices, self.last = frames
        self.direction = self.patient.session.sending

    def receive(self, *frames):
        state, verifier, duty = self.doctor, self.federation.doctor.verifier(), self.federation.duty()
        for frame in frames:
            state = state.receive(frame, verifier, duty, now=self.federation.clock.now)
        return state

    def signed(self, change):
        """Change p2 and sign it again as the patient."""

        def apply(p2: BiosignalDelivery) -> None:
            change(p2)
            grant_digest = digest_or_empty("grant", p2.consent.grant if p2.HasField("consent") else None)
            signed = common.biosignal_transcript(
                self.patient.session.transcript_hash,
                self.federation.doctor.identity,
                self.federation.doctor.certificate,
                p2.patient_id,
                p2.biosignal_digest,
                grant_digest,
                p2.sent_at,
            )
            p2.signature = self.federation.patient.keys.signing_key.sign(signed)

        return altered(BiosignalDelivery, apply)

    def last_changed(self, change):
        return reframed(replace(self.direction, sequence=1), "p2", self.last, change)


@pytest.fixture
def delivered(federation):
    return Delivered(federation)


def test_a_biosignal_is_taken(delivered):
    state = delivered.receive(*delivered.slices, delivered.last)
    assert state.biosignal == BIOSIGNAL
    assert state.shown.consent is not None


def test_a_biosignal_without_a_grant_is_taken(federation):
    delivered = Delivered(federation)
    _, frames = delivered.patient.deliver(BIOSIGNAL, federation.shown(None), now=federation.clock.now)
    assert delivered.receive(*frames).shown.consent is None


def test_a_changed_delivery_signed_again_is_taken_so_the_refusals_below_have_one_cause(delivered):
    delivered.receive(*delivered.slices, delivered.last_changed(delivered.signed(lambda p2: None)))


def test_a_stale_frame_is_refused(federation, delivered):
    federation.clock.advance(timedelta(seconds=31))
    with refused(StaleMessage):
        delivered.receive(*delivered.slices)


def test_a_biosignal_that_takes_long_is_fresh_if_its_first_frame_was(federation, delivered):
    """16 MiB over a home's line take minutes."""
    state = delivered.receive(*delivered.slices)
    federation.clock.advance(timedelta(minutes=5))
    assert state.receive(delivered.last, federation.doctor.verifier(), now=federation.clock.now).biosignal == BIOSIGNAL


def test_a_future_dated_frame_is_refused(federation, delivered):
    federation.clock.advance(timedelta(seconds=-6))
    with refused(FutureDated):
        delivered.receive(*delivered.slices)


def test_frames_out_of_order_are_refused(delivered):
    with rejected(OutOfOrder):
        delivered.receive(delivered.last, *delivered.slices)


def test_a_replayed_frame_is_refused_as_out_of_order(delivered):
    with rejected(OutOfOrder):
        delivered.receive(delivered.slices[0], delivered.slices[0])


def test_a_frame_of_another_session_is_refused(federation, delivered):
    with rejected(SessionUnknown):
        delivered.receive(Delivered(federation).slices[0])


def test_a_frame_with_a_wrong_last_flag_is_refused(delivered):
    delivered.slices[0].last = True
    with rejected(SealInvalid):
        delivered.receive(*delivered.slices)


def test_a_truncated_biosignal_is_refused(federation):
    """The relay drops a slice and hands on the rest: the sequence shows it. Renumbering breaks the seal."""
    delivered = Delivered(federation, bytes(SENT_SLICE_BYTES + 1))
    assert len(delivered.slices) == 2
    with rejected(OutOfOrder):
        delivered.receive(delivered.slices[0], delivered.last)
    delivered.last.sequence = 1
    with rejected(SealInvalid):
        delivered.receive(delivered.slices[0], delivered.last)


def test_a_time_mismatch_in_a_frame_is_refused(delivered):
    change = delivered.signed(lambda p2: setattr(p2, "sent_at", p2.sent_at - 1))
    with rejected(TimeMismatch):
        delivered.receive(*delivered.slices, delivered.last_changed(change))


def test_another_patients_id_is_refused(delivered):
    with rejected(IdentityMismatch):
        change = delivered.signed(lambda p2: setattr(p2, "patient_id", "P:lin"))
        delivered.receive(*delivered.slices, delivered.last_changed(change))


def test_another_biosignal_than_the_signed_one_is_refused(delivered):
    other = reframed(delivered.direction, "p2", delivered.slices[0], lambda piece: b"flat" + piece[4:])
    with rejected(RecordDigestMismatch):
        delivered.receive(other, delivered.last)


def test_a_biosignal_with_a_wrong_signature_is_refused(delivered):
    change = altered(BiosignalDelivery, lambda p2: setattr(p2, "signature", bytes(64)))
    with rejected(SignatureInvalid):
        delivered.receive(*delivered.slices, delivered.last_changed(change))


def test_a_biosignal_of_a_patient_revoked_meanwhile_is_refused(federation, delivered):
    federation.revoke(federation.patient, federation.doctor)
    with rejected(CredentialRevoked):
        delivered.receive(*delivered.slices, delivered.last)


def test_a_biosignal_without_a_grant_of_a_patient_revoked_meanwhile_is_refused(federation):
    """No consent is decided on that would find it out."""
    delivered = Delivered(federation)
    _, frames = delivered.patient.deliver(BIOSIGNAL, federation.shown(None), now=federation.clock.now)
    federation.revoke(federation.patient, federation.doctor)
    with rejected(CredentialRevoked):
        delivered.receive(*frames)


def test_a_consent_of_another_patient_than_the_one_who_came_is_refused(federation, delivered):
    """It is good, and this doctor's: whoever came has it from elsewhere."""
    other = federation.other_patient
    shown = federation.shown(federation.grant(patient=other), patient=other, on_duty=False)
    change = delivered.signed(lambda p2: p2.consent.CopyFrom(shown.consent))
    with rejected(IdentityMismatch):
        delivered.receive(*delivered.slices, delivered.last_changed(change))


def test_a_grant_that_the_signature_does_not_cover_is_refused(federation, delivered):
    """The doctor, or who has the key, swaps the grant for a wider one of the same patient."""
    other = federation.grant()
    change = altered(BiosignalDelivery, lambda p2: p2.consent.grant.CopyFrom(other))
    with rejected(SignatureInvalid):
        delivered.receive(*delivered.slices, delivered.last_changed(change))


def test_an_expired_grant_in_p2_is_refused(federation):
    grant = federation.grant(wide(life=timedelta(seconds=1)))
    federation.clock.advance(timedelta(seconds=1))
    delivered = Delivered(federation, grant=grant)
    with rejected(GrantExpired):
        delivered.receive(*delivered.slices, delivered.last)


def test_a_grant_for_the_doctor_of_another_authority_in_p2_is_refused_as_invalid(federation):
    key = federation.patient.keys.signing_key
    other = restated(
        "grant", federation.grant(), Grant, key, lambda g: setattr(g.grantee.doctor, "authority_id", "M:other")
    )
    delivered = Delivered(federation, grant=other)
    with rejected(GrantInvalid):
        delivered.receive(*delivered.slices, delivered.last)


def test_a_grant_for_another_doctor_is_refused_as_invalid(federation):
    delivered = Delivered(federation, grant=federation.grant(doctor=federation.other_doctor))
    with rejected(GrantInvalid):
        delivered.receive(*delivered.slices, delivered.last)


def test_a_grant_without_its_signature_is_missing_a_field_and_never_sent(federation, delivered):
    unsigned = SignedStatement(statement=federation.grant().statement)
    with refused(MissingField):
        delivered.patient.deliver(BIOSIGNAL, federation.shown(unsigned), now=federation.clock.now)


def test_an_unknown_field_in_a_frame_is_refused(delivered):
    with rejected(UnknownField):
        delivered.receive(*delivered.slices, delivered.last_changed(with_unknown_field))


def test_a_missing_field_in_a_frame_is_refused(delivered):
    change = altered(BiosignalDelivery, lambda p2: p2.ClearField("biosignal_digest"))
    with rejected(MissingField):
        delivered.receive(*delivered.slices, delivered.last_changed(change))


def test_a_biosignal_beyond_the_limit_is_refused(delivered, monkeypatch):
    monkeypatch.setattr(common, "MOST_BIOSIGNAL_BYTES", len(BIOSIGNAL) // 2)
    with rejected(Limit):
        delivered.receive(*delivered.slices)


def test_a_biosignal_beyond_the_limit_is_never_sent(federation, delivered):
    with refused(Limit):
        delivered.patient.deliver(bytes(common.MOST_BIOSIGNAL_BYTES + 1), None, now=federation.clock.now)


class Diagnosing:
    """The consultation is under way and D5's frame is made."""

    def __init__(self, federation):
        self.federation = federation
        self.waiting, self.consultation = federation.consult()
        self.awaiting_receipt, self.frame = self.consultation.diagnose(b"all is well", (), now=federation.clock.now)

    def receive(self, frame):
        return self.waiting.receive(frame, self.federation.patient.verifier(), now=self.federation.clock.now)

    def changed(self, change, *, sign=True):
        def apply(d5: DiagnosisDelivery) -> None:
            change(d5)
            if sign:
                signed = common.diagnosis_transcript(
                    self.waiting.transcript_hash,
                    digest(d5.diagnosis),
                    self.waiting.biosignal_signature,
                    listing(list(d5.based_on)),
                    d5.sent_at,
                )
                d5.signature = self.federation.doctor.keys.signing_key.sign(signed)

        return reframed(self.waiting.receiving, "d5", self.frame, altered(DiagnosisDelivery, apply))


@pytest.fixture
def diagnosing(federation):
    return Diagnosing(federation)


def test_a_diagnosis_is_taken(diagnosing):
    assert diagnosing.receive(diagnosing.frame).delivery.diagnosis == b"all is well"


def test_a_diagnosis_taken_hours_later_is_taken(federation, diagnosing):
    """The patient left: the relay keeps the frame, its T only has to lie within the consultation's life (D2)."""
    federation.clock.advance(timedelta(hours=11))
    federation.refresh()
    diagnosing.receive(diagnosing.frame)


def test_a_diagnosis_that_is_too_large_is_never_sent(diagnosing):
    with refused(MessageTooLarge):
        diagnosing.consultation.diagnose(bytes(896 * 1024 + 1), (), now=diagnosing.federation.clock.now)


def test_a_replayed_diagnosis_is_refused_as_out_of_order(federation, diagnosing):
    diagnosed = diagnosing.receive(diagnosing.frame)
    again = replace(diagnosing.waiting, receiving=diagnosed.receiving)
    with rejected(OutOfOrder):
        again.receive(diagnosing.frame, federation.patient.verifier(), now=federation.clock.now)


def test_a_reflected_frame_is_refused(federation):
    """The relay hands the patient's own P2 back to it as D5 (B12)."""
    delivered = Delivered(federation)
    with rejected(SealInvalid):
        delivered.waiting.receive(delivered.slices[0], federation.patient.verifier(), now=federation.clock.now)


def test_a_diagnosis_with_a_wrong_signature_is_refused(diagnosing):
    with rejected(SignatureInvalid):
        diagnosing.receive(diagnosing.changed(lambda d5: setattr(d5, "diagnosis", b"all is lost"), sign=False))


def test_a_diagnosis_with_a_time_mismatch_is_refused(diagnosing):
    with rejected(TimeMismatch):
        diagnosing.receive(diagnosing.changed(lambda d5: setattr(d5, "sent_at", d5.sent_at - 1)))


def test_a_diagnosis_with_another_certificate_is_refused_as_foreign(federation, diagnosing):
    other = federation.other_doctor.certificate
    with rejected(CertificateForeign):
        diagnosing.receive(diagnosing.changed(lambda d5: setattr(d5, "doctor_certificate", other)))


def test_a_diagnosis_of_a_doctor_revoked_meanwhile_is_refused(federation, diagnosing):
    federation.revoke_certificate(federation.patient)
    with rejected(CertificateRevoked):
        diagnosing.receive(diagnosing.frame)


def test_a_future_dated_diagnosis_is_refused(federation, diagnosing):
    federation.clock.advance(timedelta(seconds=-6))
    with rejected(FutureDated):
        diagnosing.receive(diagnosing.frame)


def test_a_diagnosis_in_more_than_one_frame_is_refused_as_out_of_order(diagnosing):
    _, frame = diagnosing.consultation.sending.seal("d5", b"x", last=False, sent_at=diagnosing.frame.sent_at)
    with rejected(OutOfOrder):
        diagnosing.receive(frame)


def test_a_consultation_expires_after_12_hours_for_the_doctor(federation, diagnosing):
    federation.clock.advance(timedelta(hours=12, milliseconds=-1))
    diagnosing.consultation.diagnose(b"late", (), now=federation.clock.now)
    federation.clock.advance(timedelta(milliseconds=1))
    with refused(SessionExpired):
        diagnosing.consultation.diagnose(b"too late", (), now=federation.clock.now)


def test_a_diagnosis_after_the_consultations_12_hours_is_refused_by_the_patient(federation, diagnosing):
    """A doctor whose clock, or will, does not stop it."""
    session = diagnosing.consultation.session
    late = replace(diagnosing.consultation, session=replace(session, began_at=session.began_at + 1))
    federation.clock.advance(timedelta(hours=12))
    federation.refresh()
    _, frame = late.diagnose(b"too late", (), now=federation.clock.now)
    with rejected(SessionExpired):
        diagnosing.receive(frame)


def test_a_diagnosis_dated_before_the_consultation_is_refused_as_expired(federation, diagnosing):
    _, frame = diagnosing.consultation.diagnose(b"early", (), now=federation.clock.now - 5_001)
    with rejected(SessionExpired):
        diagnosing.receive(frame)


def receipt_frame(diagnosing, change=lambda _: None):
    diagnosed = diagnosing.receive(diagnosing.frame)
    _, frame = diagnosed.receipt(now=diagnosing.federation.clock.now)
    return reframed(diagnosing.waiting.sending, "p6", frame, altered(DiagnosisReceipt, change))


def take_receipt(diagnosing, frame):
    federation = diagnosing.federation
    return diagnosing.awaiting_receipt.receive(frame, federation.doctor.verifier(), now=federation.clock.now)


def test_a_receipt_is_taken(diagnosing):
    receipt, _ = take_receipt(diagnosing, receipt_frame(diagnosing))
    assert receipt.diagnosis_digest == digest(diagnosing.awaiting_receipt.diagnosis.signature)


def test_a_receipt_for_another_diagnosis_is_refused(diagnosing):
    with rejected(SignatureInvalid):
        take_receipt(diagnosing, receipt_frame(diagnosing, lambda p6: setattr(p6, "diagnosis_digest", bytes(32))))


def test_a_receipt_that_the_patient_signed_for_another_diagnosis_is_refused(diagnosing):
    """The signature holds, and is over H of another Sig_D5."""

    def another(p6):
        p6.diagnosis_digest = digest(b"another diagnosis' signature")
        signed = common.receipt_transcript(p6.diagnosis_digest, p6.sent_at)
        p6.signature = diagnosing.federation.patient.keys.signing_key.sign(signed)

    with rejected(SignatureInvalid):
        take_receipt(diagnosing, receipt_frame(diagnosing, another))


def test_a_receipt_with_a_wrong_signature_is_refused(diagnosing):
    with rejected(SignatureInvalid):
        take_receipt(diagnosing, receipt_frame(diagnosing, lambda p6: setattr(p6, "signature", bytes(64))))


def test_a_receipt_with_a_time_mismatch_is_refused(diagnosing):
    with rejected(TimeMismatch):
        take_receipt(diagnosing, receipt_frame(diagnosing, lambda p6: setattr(p6, "sent_at", p6.sent_at + 1)))


def test_a_future_dated_receipt_is_refused(federation, diagnosing):
    frame = receipt_frame(diagnosing)
    federation.clock.advance(timedelta(seconds=-6))
    with rejected(FutureDated):
        take_receipt(diagnosing, frame)


def test_a_receipt_in_more_than_one_frame_is_refused_as_out_of_order(diagnosing):
    _, frame = diagnosing.waiting.sending.seal("p6", b"x", last=False, sent_at=diagnosing.frame.sent_at)
    with rejected(OutOfOrder):
        take_receipt(diagnosing, frame)


@pytest.mark.parametrize("field", ["session_id", "sequence", "last", "sealed", "sent_at"])
def test_a_frame_without_a_clear_field_is_refused_precisely(delivered, field):
    delivered.slices[0].ClearField(field)
    with refused(MissingField):
        delivered.receive(*delivered.slices)
