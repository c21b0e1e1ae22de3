"""Findings B1 to B5: attacks on the consultation's opening, its freshness and its keys."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.errors import (
    FutureDated,
    IdentityMismatch,
    Replayed,
    SealInvalid,
    SignatureInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownKeyId,
)
from federation.protocol import consultation
from federation.protocol.frames import Direction
from federation.protocol.handshake import derive
from federation.protocol.time import EPOCH_LIFE
from federation.v1.statement_pb2 import EncryptionKeyStatement
from keystore.curve import point_over, x_of
from keystore.errors import EpochKeyUnknown, SealBroken
from tests.mallory import (
    d1_from,
    outside,
    p1_to,
    refused,
    rejected,
    restated,
)
from tests.simulator import BIOMETRIC_PASSWORD


def test_b1_signatures_give_nothing_back(federation):
    """An eavesdropper holds every public key and recovers ID_P, B_P or S_D from the signatures, as the paper's
    verification would return them. Signatures here are 64 bytes beside what they sign, and travel inside the seals.
    """
    _, opening = federation.open_consultation()
    p1 = p1_to(federation, federation.doctor).open(opening)
    assert len(p1.signature) == 64
    wire = opening.SerializeToString()
    for secret in (
        b"P:wang",
        BIOMETRIC_PASSWORD,
        p1.signature,
        p1.agreement_point,
        p1.ephemeral_point,
        p1.registration_point,
    ):
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
    assert isinstance(state, consultation.AwaitingBiosignal)
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
        consultation.receive_opening(doctor, opening, federation.doctor.verifier(), now=earlier)


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
    addressed = consultation.check_room(room, code, verifier, now=now)
    _, opening = consultation.begin(
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
        _, frames = self.established.deliver(
            b"the biosignal", federation.shown(federation.grant(), on_duty=False), now=now
        )
        self.frames = list(frames)


def _with_key(direction: Direction, key: bytes) -> Direction:
    return replace(direction, keys=replace(direction.keys, key=key))


def opens(recorded: Recorded, key: bytes) -> bool:
    direction = _with_key(recorded.established.session.sending, key)
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
    forward, backward = recorded.established.session.sending.keys, recorded.established.session.receiving.keys
    assert opens(recorded, forward.key)
    leaked = d1_from(federation, federation.doctor).open(recorded.reply).SerializeToString(deterministic=True)
    leaked += recorded.asked.opening.message
    for key in (forward.key, backward.key, forward.iv, backward.iv):
        assert key not in leaked
    assert not any(opens(recorded, leaked[start : start + 32]) for start in range(len(leaked) - 31))


def test_b5_all_long_term_keys_together_do_not_open_a_recorded_session(federation):
    """Later S_P, S_D and all decryption keys leak: the attacker has both products of eq. 17, P1 and D1. Z = x(e5 e6 B) is
    missing, whose scalars lived in the two sessions' states alone.
    """
    recorded = Recorded(federation)
    p1, d1 = recorded.asked.payload, d1_from(federation, federation.doctor).open(recorded.reply)
    patient, doctor = federation.party(federation.patient), federation.party(federation.doctor)
    both = (
        doctor.registration_secret.agree(p1.agreement_point, "K1"),
        patient.registration_secret.agree(d1.agreement_point, "K2"),
    )
    transcript_hash = recorded.established.session.transcript_hash
    contributions = p1.contribution, d1.contribution
    real = recorded.awaiting.ephemeral.exchange(ec.ECDH(), point_over(d1.ephemeral_point))
    assert derive((*both, real), contributions, transcript_hash, "PD").key_confirmation == d1.key_confirmation
    guesses = [
        *both,
        p1.ephemeral_point,
        d1.ephemeral_point,
        p1.agreement_point,
        d1.agreement_point,
        x_of(patient.registration_secret.public_point),
        x_of(doctor.registration_secret.public_point),
    ]
    for guess in guesses:
        keys = derive((*both, guess), contributions, transcript_hash, "PD")
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
