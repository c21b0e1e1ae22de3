"""Findings B1 to B7, B10 and D1: attacks on the consultation and the diagnosis."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.epochs import EPOCH_LIFE
from federation.errors import (
    CredentialInvalid,
    FutureDated,
    IdentityMismatch,
    PointInvalid,
    Replayed,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownKeyId,
)
from federation.protocol import consultation as common
from federation.protocol import doctor_consultation, patient_consultation
from federation.protocol.index import Location
from federation.protocol.schedule import derive
from federation.protocol.session import Direction
from federation.protocol.statements import verify_signature
from federation.v1.consultation_pb2 import BiosignalDelivery
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.record_pb2 import RecordEnd
from federation.v1.statement_pb2 import EncryptionKeyStatement, KeyStatement
from keystore import group
from keystore.biometric import DeviceSecret, biometric_password, token_pin
from keystore.errors import EpochKeyUnknown, SealBroken
from keystore.fuzzy import FuzzyKey
from keystore.transcript import digest, listing
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
from tests.simulator import BIOMETRIC_PASSWORD


def outside(message, **fields):
    copy = type(message)()
    copy.CopyFrom(message)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def test_b1_signatures_give_nothing_back(federation):
    """An eavesdropper holds every public key and recovers ID_P, B_P or S_D from the signatures, as the paper's
    verification would return them. Signatures here are 64 bytes beside what they sign, and travel inside the seals.
    """
    _, opening = federation.open_consultation()
    p1 = p1_to(federation, federation.doctor).open(opening)
    assert len(p1.signature) == 64
    wire = opening.SerializeToString()
    for secret in (b"P:wang", BIOMETRIC_PASSWORD, p1.signature, p1.ephemeral_point, p1.registration_point):
        assert secret not in wire


def test_b2_a_recorded_message_with_a_fresh_outer_time_is_refused(federation):
    """The attacker records P1 and sends it again later with T set to now. T in clear is bound into the seal; and an
    insider who can seal it anew meets the T inside, and within the window the replay key.
    """
    _, opening = federation.open_consultation()
    federation.receive_opening(opening)
    seal = p1_to(federation, federation.doctor)
    federation.clock.advance(timedelta(minutes=10))
    now = federation.clock.now
    with refused(StaleMessage):
        federation.receive_opening(opening)
    with rejected(SealInvalid):
        federation.receive_opening(outside(opening, sent_at=now))
    with rejected(TimeMismatch):
        federation.receive_opening(seal.close(opening, seal.open(opening), sent_at=now))


def test_b2_a_recorded_message_sent_again_at_once_is_refused(federation):
    """The attacker sends P1, D2 and D3 again within the window, when their T is still fresh. Their replay keys are kept
    for longer than the window.
    """
    _, p1 = federation.open_consultation()
    _, question = federation.ask(federation.grant())
    _, d3 = federation.open_session(federation.hospital_a, federation.intent(federation.grant()))
    for take in (
        lambda: federation.receive_opening(p1),
        lambda: federation.cloud.answer(question),
        lambda: federation.receive_session(federation.hospital_a, d3),
    ):
        take()
        federation.clock.advance(timedelta(seconds=5))
        with rejected(Replayed):
            take()


def test_b2_a_patient_is_not_present_before_it_confirms_the_key(federation):
    """The attacker wants a consultation opened, and billed, from a recorded P1 alone. After P1 and D1 the doctor's state
    only waits; no diagnosis can be made from it.
    """
    _, opening = federation.open_consultation()
    state, _ = federation.receive_opening(opening).reply(now=federation.clock.now, entropy=federation.entropy)
    assert isinstance(state, doctor_consultation.AwaitingBiosignal)
    assert not hasattr(state, "diagnose")


def test_b3_a_message_dated_into_the_future_is_refused(federation):
    """A patient's clock (or a bribed device) makes P1 now for use tomorrow. T further ahead than the skew is refused now,
    and the same bytes are refused tomorrow if they were taken today.
    """
    federation.clock.advance(timedelta(hours=-1))
    earlier = federation.clock.now
    federation.clock.advance(timedelta(hours=1))
    _, opening = federation.open_consultation()
    doctor = federation.party(federation.doctor)
    with refused(FutureDated):
        doctor_consultation.receive_opening(doctor, opening, federation.doctor.verifier(), now=earlier)


def test_b4_a_rogue_doctor_forwards_p1(federation):
    """P opens a consultation with the rogue doctor, who decrypts P1 and seals the same content to the honest one. Sig_P1
    names the rogue, its key id and the session: the honest doctor refuses.
    """
    rogue, honest = federation.other_doctor, federation.doctor
    _, opening = federation.open_consultation(rogue)
    content = p1_to(federation, rogue).open(opening)
    to_honest = p1_to(federation, honest)
    forwarded = to_honest.close(outside(opening, key_id=to_honest.key.key_id), content)
    with rejected(SignatureInvalid):
        federation.receive_opening(forwarded)


def test_b4_a_rogue_doctor_shows_the_honest_doctors_key_as_its_own(federation):
    """The rogue publishes the honest doctor's PUK_kem as its own and passes P1 on without opening it. The patient seals
    to the rogue's name, which is in info, so the honest doctor's key does not open it.
    """
    rogue, honest = federation.party(federation.other_doctor), federation.party(federation.doctor)
    stolen = EncryptionKeyStatement.FromString(honest.encryption_key_statement.statement)

    def claim(statement: EncryptionKeyStatement) -> None:
        statement.encryption_key, statement.key_id = stolen.encryption_key, stolen.key_id

    claimed = restated("ek", rogue.encryption_key_statement, EncryptionKeyStatement, rogue.signing_key, claim)
    room, code = federation.room(federation.other_doctor)
    room.encryption_key_statement.CopyFrom(claimed)
    verifier, now = federation.patient.verifier(), federation.clock.now
    addressed = patient_consultation.check_room(room, code, verifier, now=now)
    _, opening = patient_consultation.begin(
        federation.party(federation.patient),
        addressed,
        BIOMETRIC_PASSWORD,
        verifier,
        now=now,
        entropy=federation.entropy,
    )
    with rejected(SealInvalid):
        federation.receive_opening(opening)


def test_b4_another_doctor_than_the_one_addressed_answers(federation):
    """The rogue, to whom the patient's P1 was leaked, answers it in its own name with a legal Cert_D. The patient wants
    the doctor of the code and nobody else.
    """
    awaiting, opening = federation.open_consultation()
    content = p1_to(federation, federation.doctor).open(opening)
    rogue = p1_to(federation, federation.other_doctor)
    leaked = rogue.close(outside(opening, key_id=rogue.key.key_id), content)
    with rejected(SignatureInvalid):
        federation.receive_opening(leaked, federation.other_doctor)
    now = federation.clock.now
    _, reply = federation.receive_opening(opening).reply(now=now, entropy=federation.entropy)
    payload = d1_from(federation, federation.doctor).open(reply)
    payload.doctor_id = "D:roe"
    with rejected(IdentityMismatch):
        awaiting.receive(
            d1_from(federation, federation.doctor).close(reply, payload), federation.patient.verifier(), now=now
        )


class Recorded:
    """What an eavesdropper recorded of one consultation, and what leaks later."""

    def __init__(self, federation):
        now = federation.clock.now
        self.awaiting, self.opening = federation.open_consultation()
        self.asked = federation.receive_opening(self.opening)
        _, self.reply = self.asked.reply(now=now, entropy=federation.entropy)
        self.established = self.awaiting.receive(self.reply, federation.patient.verifier(), now=now)
        _, frames = self.established.deliver(b"the biosignal", federation.grant(), now=now)
        self.frames = list(frames)


def opens(recorded: Recorded, key: bytes) -> bool:
    direction = Direction(recorded.opening.session_id, replace(recorded.established.keys.forward, key=key))
    frame = recorded.frames[0]
    try:
        AESGCM(key).decrypt(direction._nonce(), frame.sealed, direction._context("p2", frame.sent_at, last=frame.last))
    except InvalidTag:
        return False
    return True


def test_b5_what_d1_carries_does_not_open_the_session(federation):
    """The attacker records everything and later gets PRK_P and the patient's decryption key: it opens D1 and looks for
    SEK_1, which the paper puts there. Only a confirmation tag is there; no 32 bytes of D1 or P1 open a frame.
    """
    recorded = Recorded(federation)
    keys = recorded.established.keys
    assert opens(recorded, keys.forward.key)
    leaked = d1_from(federation, federation.doctor).open(recorded.reply).SerializeToString(deterministic=True)
    leaked += recorded.asked.opened.plaintext
    for key in (keys.forward.key, keys.backward.key, keys.forward.iv, keys.backward.iv):
        assert key not in leaked
    assert not any(opens(recorded, leaked[start : start + 32]) for start in range(len(leaked) - 31))


def test_b5_all_long_term_keys_together_do_not_open_a_recorded_session(federation):
    """Later S_P, S_D and all decryption keys leak: the attacker has both products of eq. 17, P1 and D1. Z = r5 r6 B is
    missing, whose scalars lived in the two sessions' states alone.
    """
    recorded = Recorded(federation)
    p1, d1 = recorded.asked.opened.payload, d1_from(federation, federation.doctor).open(recorded.reply)
    patient, doctor = federation.party(federation.patient), federation.party(federation.doctor)
    both = group.add(
        doctor.registration_secret.agree(p1.ephemeral_point), patient.registration_secret.agree(d1.ephemeral_point)
    )
    transcript_hash = recorded.established.transcript_hash
    contributions = p1.contribution, d1.contribution
    real = group.multiply(recorded.awaiting.scalar, d1.ephemeral_point)
    assert derive((both, real), contributions, transcript_hash, "PD").key_confirmation == d1.key_confirmation
    guesses = [
        both,
        p1.ephemeral_point,
        d1.ephemeral_point,
        group.add(p1.ephemeral_point, d1.ephemeral_point),
        patient.registration_secret.public_point,
        doctor.registration_secret.public_point,
    ]
    for guess in guesses:
        keys = derive((both, guess), contributions, transcript_hash, "PD")
        assert keys.key_confirmation != d1.key_confirmation
        assert not opens(recorded, keys.forward.key)


def test_b5_an_ended_epochs_first_flights_stay_sealed(own_federation):
    """The attacker records P1 and takes the doctor's whole machine, token and PIN included, two weeks later. The epoch's
    key was destroyed 5 minutes after its end, and the sealed ML-KEM seed that may have been copied opens nothing alone.
    """
    federation = own_federation
    _, opening = federation.open_consultation()
    keeper, keys = federation.doctor.epochs, federation.doctor.keys
    stored = next(epoch for epoch in keeper._store.all() if epoch.key_id == opening.key_id)
    end = federation.clock.now + EPOCH_LIFE // timedelta(milliseconds=1)
    keeper.rotate(end)
    keeper.sweep(end + 300_000)
    with pytest.raises(EpochKeyUnknown):
        keeper.find(opening.key_id)
    assert not keys.token.has(stored.token_label)
    other = keys.new_epoch()
    with pytest.raises(SealBroken):  # the copied seed belongs to its own label
        keys.open_epoch(other.token_label, stored.sealed_seed)
    with refused(UnknownKeyId):
        federation.receive_opening(opening)


TORSION = group.add(group.multiply_base((7).to_bytes(32, "little")), BORROWED_POINTS["order_eight"])
POINTS = {**BORROWED_POINTS, "with_torsion": TORSION}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("field", ["ephemeral_point", "registration_point"])
def test_b6_an_invalid_point_reaches_no_secret_of_any_receiver(federation, monkeypatch, point, field):
    """Each peer in turn sends a small-order, torsion, twist or trivial point, to learn S modulo small primes from how the
    receiver answers. Every receiver refuses before its token is asked for anything of S.
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


def test_b6_a_verifying_key_of_small_order_is_nobodys(federation):
    """Mallory has a key statement with PUK of small order, under which a signature made of nothing holds over anything,
    so that she can deny every signature of hers. No receiver takes such a key.
    """
    neutral = BORROWED_POINTS["neutral_element"]

    def claim(statement) -> None:
        statement.verifying_key = neutral

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
    waiting, frames = established.deliver(b"ecg", federation.grant(), now=now)
    state, p2 = replying, list(frames)
    for frame in p2:
        state = state.receive(frame, federation.doctor.verifier(), now=now)
    _, question = federation.ask(state.grant)
    answer = federation.cloud.answer(question)
    asking, d3 = federation.open_session(federation.hospital_a, federation.intent(state.grant))
    requested, h1 = federation.receive_session(federation.hospital_a, d3).reply(now=now, entropy=federation.entropy)
    awaiting_record, d4 = asking.receive(h1, federation.doctor.verifier(), now=now).query(now=now)
    verifier = federation.hospital_a.verifier()
    h2 = requested.receive(d4, verifier, now=now).decide(verifier, now=now).recorded().end(1, now=now)
    _, d5 = state.diagnose(b"all is well", (), now=now)
    p6 = waiting.receive(d5, federation.patient.verifier(), now=now).receipt(now=now)

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
        BiosignalDelivery.FromString(replace_sequence(established, len(p2) - 1).open("p2", p2[-1])[1]).grant.signature,
    ]
    wire = b"".join(m.SerializeToString() for m in (p1, d1, *p2, question, answer, d3, h1, d4, h2, d5, p6))
    assert len({bytes(signature) for signature in signatures}) == 10
    assert all(signature not in wire for signature in signatures)
    for name in (b"P:wang", b"D:chen", b"H:alpha", b"cardiology"):
        assert name not in wire


def replace_sequence(established, sequence):
    return Direction(established.session_id, established.keys.forward, sequence)


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
    issuer = federation.cloud.anchors.issuer_public_key
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
    recorded = Recorded(federation)
    waiting, _ = recorded.established.deliver(b"", None, now=federation.clock.now)
    with rejected(SealInvalid):
        waiting.receive(recorded.frames[0], federation.patient.verifier(), now=federation.clock.now)


def test_b13_flipping_both_ephemeral_points_gives_another_key(federation):
    """An active attacker negates R_P2 and R_D2, which leaves Z and every u-coordinate as they were. The transcript hash
    salts the derivation, so the two sides don't agree on a key without having seen the same messages.
    """
    recorded = Recorded(federation)
    seal = p1_to(federation, federation.doctor)

    def negate(p1) -> None:
        p1.ephemeral_point = p1.ephemeral_point[:31] + bytes([p1.ephemeral_point[31] ^ 0x80])

    with rejected(SignatureInvalid):
        federation.receive_opening(seal.change(recorded.opening, negate))
    shared, contributions = (bytes(32), bytes(32)), (bytes(32), bytes(32))
    one, other = (derive(shared, contributions, digest(side), "PD") for side in (b"one", b"other"))
    assert one.forward.key != other.forward.key


def test_b16_a_legal_certificate_of_somebody_else_serves_nobody(federation):
    """A doctor staples a colleague's legal Cert_D. The credential holds the digest of its own, and the code names both."""
    room, code = federation.room()
    room.doctor_certificate = federation.other_doctor.certificate
    with refused(IdentityMismatch):
        patient_consultation.check_room(room, code, federation.patient.verifier(), now=federation.clock.now)
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
