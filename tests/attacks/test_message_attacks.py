"""Findings B6 to B16 and D1: attacks by points, names, frames and missing signatures."""

from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature

from federation.errors import (
    CredentialInvalid,
    IdentityMismatch,
    PointInvalid,
    SealInvalid,
    SignatureInvalid,
)
from federation.protocol import consultation
from federation.protocol import consultation as common
from federation.protocol.access import Receiver
from federation.protocol.handshake import derive
from federation.protocol.index import Location
from federation.protocol.statements import verify_signature
from federation.v1.consultation_pb2 import BiosignalDelivery
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.record_pb2 import RecordEnd
from federation.v1.statement_pb2 import KeyStatement
from keystore.biometric import DeviceSecret, biometric_password, token_pin
from keystore.curve import x_of
from keystore.fuzzy import FuzzyKey
from keystore.transcript import digest, listing
from tests.keys import new_key
from tests.mallory import (
    BORROWED_POINTS,
    altered,
    c,
    d1_from,
    d2,
    d3_to,
    h1_from,
    p1_to,
    reframed,
    refused,
    rejected,
    restated,
    signs_p1,
)


@pytest.mark.parametrize("point", BORROWED_POINTS.values(), ids=BORROWED_POINTS)
@pytest.mark.parametrize("field", ["agreement_point", "ephemeral_point", "registration_point"])
def test_b6_an_invalid_point_reaches_no_secret_of_any_receiver(federation, monkeypatch, point, field):
    """Each peer in turn sends a point of the twist, whose order has small factors, or none at all, to learn S modulo small
    primes from how the receiver answers. Every receiver refuses before its token is asked for anything of S.
    """
    now = federation.clock.now
    awaiting_d1, p1 = federation.open_consultation()
    _, d1 = federation.receive_opening(p1).reply(now=now, entropy=federation.entropy)
    awaiting_h1, d3 = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    _, h1 = federation.receive_session(federation.hospital_a, d3).reply(now=now, entropy=federation.entropy)

    def set_point(payload) -> None:
        setattr(payload, field, point)

    bad_p1 = p1_to(federation, federation.doctor).change(p1, set_point)
    bad_d1 = d1_from(federation, federation.doctor).change(d1, set_point)
    bad_d3 = d3_to(federation, federation.hospital_a).change(d3, set_point)
    bad_h1 = h1_from(federation, federation.hospital_a).change(h1, set_point)

    def touched(*_):
        raise AssertionError("the token was asked")

    monkeypatch.setattr("keystore.registration_secret.RegistrationSecret.agree", touched)
    for take in (
        lambda: federation.receive_opening(bad_p1),
        lambda: awaiting_d1.receive(bad_d1, federation.patient.verifier(), now=now),
        lambda: federation.receive_session(federation.hospital_a, bad_d3),
        lambda: awaiting_h1.receive(bad_h1, federation.doctor.verifier(), now=now),
    ):
        with rejected(PointInvalid):
            take()


@pytest.mark.parametrize("key", [b"\x02" + BORROWED_POINTS["twist"], bytes(33)], ids=["twist", "neutral"])
def test_b6_a_verifying_key_that_is_no_point_is_nobodys(federation, key):
    """Mallory has a key statement with a PUK that is no point of the curve, under which a library that does not look might
    take a signature made of nothing, so that she can deny every signature of hers. No receiver takes such a key.
    """

    def claim(statement) -> None:
        statement.verifying_key = key

    signed = restated(
        "ks",
        federation.patient.key_statement,
        KeyStatement,
        federation.cloud.keys.signing_key,
        claim,
    )
    with refused(PointInvalid):
        federation.doctor.verifier().party(signed, 1, now=federation.clock.now)


def test_b7_no_signature_is_visible_on_the_wire(federation):
    """An onlooker collects all bytes of a visit and tests guesses of the patient or department against the signatures.
    All of them travel inside the ciphertext of their own messages; none occurs in the clear.
    """
    now = federation.clock.now
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", bytes(16)))
    awaiting, p1 = federation.open_consultation()
    replying, d1 = federation.receive_opening(p1).reply(now=now, entropy=federation.entropy)
    established = awaiting.receive(d1, federation.patient.verifier(), now=now)
    waiting, frames = established.deliver(b"ecg", federation.shown(federation.grant(), on_duty=False), now=now)
    state, p2 = replying, list(frames)
    for frame in p2:
        state = state.receive(frame, federation.doctor.verifier(), federation.duty(), now=now)
    _, question = federation.ask(state.shown.consent.grant)
    answer = federation.cloud.answer(question)
    asking, d3 = federation.open_session(federation.hospital_a, federation.intent(state.shown.consent.grant))
    requested, h1 = federation.receive_session(federation.hospital_a, d3).reply(now=now, entropy=federation.entropy)
    awaiting_record, d4 = asking.receive(h1, federation.doctor.verifier(), now=now).query(now=now)
    verifier = federation.hospital_a.verifier()
    h2 = requested.receive(d4, verifier, now=now).decide(verifier, Receiver(), now=now).recorded().end(1, now=now)
    _, d5 = state.diagnose(b"all is well", (), now=now)
    _, p6 = waiting.receive(d5, federation.patient.verifier(), now=now).receipt(now=now)

    signatures = [
        p1_to(federation, federation.doctor).open(p1).signature,
        d1_from(federation, federation.doctor).open(d1).signature,
        state.delivery.signature,
        d2(federation).open(question).signature,
        c(federation).open(answer).signature,
        d3_to(federation, federation.hospital_a).open(d3).signature,
        h1_from(federation, federation.hospital_a).open(h1).signature,
        RecordEnd.FromString(awaiting_record.receiving.open("h2", h2)[1]).signature,
        DiagnosisDelivery.FromString(waiting.receiving.open("d5", d5)[1]).signature,
        BiosignalDelivery.FromString(
            replace_sequence(established, len(p2) - 1).open("p2", p2[-1])[1]
        ).consent.grant.signature,
    ]
    wire = b"".join(m.SerializeToString() for m in (p1, d1, *p2, question, answer, d3, h1, d4, h2, d5, p6))
    assert len({bytes(signature) for signature in signatures}) == 10
    assert all(signature not in wire for signature in signatures)
    for name in (b"P:wang", b"D:chen", b"H:alpha", b"cardiology"):
        assert name not in wire


def replace_sequence(established, sequence):
    return replace(established.session.sending, sequence=sequence)


def test_b8_no_message_to_a_patient_names_a_key_of_the_patient(federation):
    """An onlooker links D1 to a patient by the key id in clear. A SealedReply has no key id at all."""
    assert "key_id" not in {
        field.name for field in d1_from(federation, federation.doctor).payload_type.DESCRIPTOR.fields
    }
    _, opening = federation.open_consultation()
    _, reply = federation.receive_opening(opening).reply(now=federation.clock.now, entropy=federation.entropy)
    patient_key = d1_from(federation, federation.doctor).key.key_id
    assert {field.name for field in reply.DESCRIPTOR.fields} == {"session_id", "sealed", "sent_at"}
    assert patient_key not in reply.SerializeToString()


def test_b10_a_doctor_who_knows_the_biometric_password_is_not_the_patient(federation):
    """A doctor whom the patient visited keeps B_P and uses it: as the patient before another doctor, at the token, or in
    another federation. It signs nothing, opens no PIN, and is another value in every realm and after every enrolment.
    """
    rogue = federation.party(federation.other_doctor)
    _, opening = federation.open_consultation()
    issuer = federation.cloud.keys.issuing.public_key
    posing = p1_to(federation, federation.doctor).change(
        opening, lambda p1: None, signs_p1(rogue.signing_key, opening, issuer, "D:chen")
    )
    with rejected(SignatureInvalid):
        federation.receive_opening(posing)
    key, device = FuzzyKey(b"f" * 32), DeviceSecret(b"d" * 32)
    values = {
        biometric_password(key, device, realm=realm, enrolment_counter=counter).value
        for realm in ("one", "two")
        for counter in (1, 2)
    }
    assert len(values) == 4
    assert token_pin(key, device, realm="one").text.encode() not in b"".join(values)


def test_b12_a_reflected_frame_is_no_answer(federation):
    """The relay sends a party's own frame back to it as the peer's. Each direction has its own key, and the name of the
    message is in what the seal covers.
    """
    now = federation.clock.now
    awaiting, opening = federation.open_consultation()
    _, reply = federation.receive_opening(opening).reply(now=now, entropy=federation.entropy)
    established = awaiting.receive(reply, federation.patient.verifier(), now=now)
    waiting, (frame, _) = established.deliver(b"biosignal", federation.shown(None), now=now)
    with rejected(SealInvalid):
        waiting.receive(frame, federation.patient.verifier(), now=federation.clock.now)


@pytest.mark.parametrize("field", ["agreement_point", "ephemeral_point"])
def test_b13_another_point_on_the_way_gives_another_key(federation, field):
    """An active attacker puts another point in place of R_P2 or E_P. A point is its x alone, so there is no negation that
    would leave everything as it was; the signature covers both, and the transcript hash salts the derivation, so the two
    sides don't agree on a key without having seen the same messages.
    """
    _, opening = federation.open_consultation()
    seal, other = p1_to(federation, federation.doctor), x_of(new_key().public_key())
    with rejected(SignatureInvalid):
        federation.receive_opening(seal.change(opening, lambda p1: setattr(p1, field, other)))
    shared, contributions = (bytes(32), bytes(32), bytes(32)), (bytes(32), bytes(32))
    one, other = (derive(shared, contributions, digest(side), "PD") for side in (b"one", b"other"))
    assert one.forward.key != other.forward.key


def test_b16_a_legal_certificate_of_somebody_else_serves_nobody(federation):
    """A doctor staples a colleague's legal Cert_D. The credential holds the digest of its own, and the code names both."""
    room, code = federation.room()
    room.doctor_certificate = federation.other_doctor.certificate
    with refused(IdentityMismatch):
        consultation.check_room(room, code, federation.patient.verifier(), now=federation.clock.now)
    with refused(CredentialInvalid):
        federation.patient.verifier().doctor(
            federation.doctor.key_statement, federation.other_doctor.certificate, now=federation.clock.now
        )


def diagnosed(federation):
    waiting, consultation = federation.consult()
    _, frame = consultation.diagnose(b"all is well", (), now=federation.clock.now)
    return waiting, frame


def signed_by_the_doctor(waiting, delivery) -> bytes:
    """Give what Sig_D5 covers, from the patient's evidence alone."""
    return common.diagnosis_transcript(
        waiting.transcript_hash,
        digest(delivery.diagnosis),
        waiting.biosignal_signature,
        listing(list(delivery.based_on)),
        delivery.sent_at,
    )


def test_d1_a_patient_can_not_forge_a_diagnosis(federation):
    """The patient holds SEK_1, so it seals a frame with a diagnosis of its own making, and shows it to an insurer. Without
    PRK_D there is no Sig_D5 over it, and an old one does not fit.
    """
    waiting, frame = diagnosed(federation)

    def invent(d5: DiagnosisDelivery) -> None:
        d5.diagnosis = b"unfit for work"

    forged = reframed(waiting.receiving, "d5", frame, altered(DiagnosisDelivery, invent))
    with rejected(SignatureInvalid):
        waiting.receive(forged, federation.patient.verifier(), now=federation.clock.now)


def test_d1_a_doctor_can_not_deny_a_diagnosis(federation):
    """The doctor says that it never wrote this. The patient shows what it keeps, and a judge verifies Sig_D5 with PUK_D,
    without any session key; the same signature holds over nothing else.
    """
    waiting, frame = diagnosed(federation)
    delivery = waiting.receive(frame, federation.patient.verifier(), now=federation.clock.now).delivery
    judge = federation.cloud.verifier()
    doctor = judge.doctor(waiting.doctor.party.key_statement, delivery.doctor_certificate, now=federation.clock.now)
    verify_signature(doctor.key, delivery.signature, signed_by_the_doctor(waiting, delivery))
    delivery.diagnosis = b"something else"
    with pytest.raises(InvalidSignature):
        doctor.key.verify(delivery.signature, signed_by_the_doctor(waiting, delivery))
