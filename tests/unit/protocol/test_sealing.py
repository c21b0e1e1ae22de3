"""The outer form of sealed messages: what clear fields decide, padding, and what `info` binds."""

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from federation.errors import (
    FieldInvalid,
    FutureDated,
    MessageTooLarge,
    MissingField,
    PaddingInvalid,
    Rejected,
    SealInvalid,
    StaleMessage,
    TimeMismatch,
    UnknownField,
    UnknownKeyId,
    UnsupportedVersion,
)
from federation.protocol import sealing
from federation.protocol.parties import reason_of
from federation.protocol.sealing import Context, after_opening, open_payload, pad, seal_opening, unpad
from federation.protocol.time import Freshness
from federation.v1.consultation_pb2 import ConsultationOpening
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.membership_pb2 import TicketRequest
from keystore.curve import private_key
from keystore.encryption import DecryptionKey, FixedKeyring, seal
from keystore.errors import SealBroken
from keystore.transcript import frame
from tests.mallory import refused, with_unknown_field

NOW = 1_790_000_000_000
KEY = DecryptionKey(MLKEM768PrivateKey.from_seed_bytes(bytes(64)), private_key(bytes(range(32))))
KEYRING = FixedKeyring.of(KEY)
SESSION = b"s" * 16
PAYLOAD = TicketRequest(hospital_id="H:alpha", patient_id="P:wang", nonce=bytes(16), sent_at=NOW, signature=bytes(64))
CONTEXT = Context("tkt", "", "C:union", KEY.key_id, SESSION, NOW)
OPENING, SERIALISED = seal_opening(PAYLOAD, KEY.encryption_key, CONTEXT)


def opening(**fields):
    copy = SealedOpening()
    copy.CopyFrom(OPENING)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


def find(message, now=NOW):
    return sealing.find_key(message, KEYRING, freshness=Freshness(), now=now)


def sealed(plaintext: bytes) -> bytes:
    return seal(KEY.encryption_key, plaintext, CONTEXT.info())


def test_an_opening_by_the_rules_finds_its_key_and_opens():
    assert find(OPENING) is KEY
    opened = open_payload(TicketRequest, OPENING.sealed, KEY, CONTEXT)
    assert (opened.payload, opened.plaintext) == (PAYLOAD, SERIALISED)


def test_an_unsupported_version_is_refused():
    for version in (0, 2):
        with refused(UnsupportedVersion):
            find(opening(version=version))


def test_an_opening_without_a_version_is_refused():
    message = opening()
    message.ClearField("version")
    with refused(MissingField):
        find(message)


def test_an_opening_with_an_unknown_field_is_refused():
    with refused(UnknownField):
        find(SealedOpening.FromString(with_unknown_field(OPENING.SerializeToString())))


def test_a_stale_opening_is_refused():
    with refused(StaleMessage):
        find(OPENING, now=NOW + 30_001)


def test_a_future_dated_opening_is_refused():
    with refused(FutureDated):
        find(OPENING, now=NOW - 5_001)


def test_an_unknown_key_id_is_refused():
    with refused(UnknownKeyId):
        find(opening(key_id=b"x" * 16))
    with refused(UnknownKeyId):
        sealing.find_key_of_any_age(opening(key_id=b"x" * 16), KEYRING)


def test_a_session_id_of_another_size_is_refused():
    sealing.require_session_id(OPENING, size=16)
    sealing.require_session_id(opening(session_id=b""), size=0)
    for session_id, size in ((b"", 16), (SESSION, 0)):
        with refused(FieldInvalid):
            sealing.require_session_id(opening(session_id=session_id), size=size)
    with refused(FieldInvalid):
        find(opening(session_id=b"s" * 15))


def test_a_seal_bound_to_anything_else_does_not_open():
    """Name, sender, receiver, key id, session id and T in clear are in info, each on its own."""
    others = [
        Context("pub", "", "C:union", KEY.key_id, SESSION, NOW),
        Context("tkt", "H:alpha", "C:union", KEY.key_id, SESSION, NOW),
        Context("tkt", "", "C:other", KEY.key_id, SESSION, NOW),
        Context("tkt", "", "C:union", b"k" * 16, SESSION, NOW),
        Context("tkt", "", "C:union", KEY.key_id, b"t" * 16, NOW),
        Context("tkt", "", "C:union", KEY.key_id, SESSION, NOW + 1),
    ]
    for other in others:
        with refused(SealInvalid):
            open_payload(TicketRequest, OPENING.sealed, KEY, other)


def test_a_time_mismatch_between_inside_and_outside_is_refused():
    inside = TicketRequest()
    inside.CopyFrom(PAYLOAD)
    inside.sent_at = NOW - 1
    message, _ = seal_opening(inside, KEY.encryption_key, CONTEXT)
    with refused(TimeMismatch):
        open_payload(TicketRequest, message.sealed, KEY, CONTEXT)


def test_padding_is_zeros_to_the_next_256_bytes():
    padded = pad(PAYLOAD, SERIALISED)
    assert len(padded) == 256
    assert padded == frame(SERIALISED) + bytes(256 - 4 - len(SERIALISED))
    assert unpad(TicketRequest, padded) == SERIALISED


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\0\0\0",
        frame(SERIALISED),
        frame(SERIALISED).ljust(512, b"\0"),
        frame(SERIALISED).ljust(255, b"\0") + b"\1",
        b"\xff\xff\xff\xff".ljust(256, b"\0"),
        (253).to_bytes(4, "big").ljust(256, b"\0"),
    ],
    ids=["empty", "no length", "none", "too much", "not zeros", "length 2^32-1", "length beyond the end"],
)
def test_invalid_padding_is_refused(plaintext):
    with refused(PaddingInvalid):
        open_payload(TicketRequest, sealed(plaintext), KEY, CONTEXT)


def test_a_plaintext_of_another_than_its_fixed_size_is_refused():
    with refused(PaddingInvalid):
        unpad(ConsultationOpening, frame(b"").ljust(4096 + 256, b"\0"))


def test_a_message_beyond_its_fixed_size_is_not_sealed():
    with refused(MessageTooLarge):
        pad(ConsultationOpening(), bytes(4093))


def test_a_message_of_ours_that_breaks_its_rules_is_not_sealed():
    with refused(MissingField):
        seal_opening(TicketRequest(), KEY.encryption_key, CONTEXT)


def test_whatever_is_found_after_opening_is_one_refusal_with_its_cause():
    texts = set()
    for cause in (SealInvalid("a"), PaddingInvalid("b"), SealBroken("c")):
        with pytest.raises(Rejected) as caught, after_opening():
            raise cause
        assert reason_of(caught.value) == cause.reason
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_the_cause_of_an_error_that_is_no_refusal_is_internal():
    assert reason_of(ValueError("secret")) == "INTERNAL"
