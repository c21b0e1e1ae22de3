"""Agreement keys in a token: ECDH on P-256 and the PRF over it, in every way that the token has."""

from collections import Counter
from types import SimpleNamespace
from typing import NoReturn, cast

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pkcs11 import KDF, Attribute, AttributeSensitive, FunctionNotSupported, ObjectClass

from hsm import Token, Way, errors
from hsm.agreement import (
    _KEPT_SECRET,
    _deriving,
    derive_x,
    peer_with_leading_zero,
    prf,
    software_prf,
)
from hsm.policy import AGREEMENT
from hsm.quirks import point_of
from hsm.raw import RawKey
from hsm.sessions import Session
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.contract.token_known_keys import ALICE, BOB, SHARED, public_of, software, store_p256
from tests.token_calls import AGREES, MACS, TIMES, TokenCalls

ECDH = ec.ECDH()
INFO, MESSAGE = b"medunion/v1", b"a message"
# The first multiple of the base point with which ALICE shares an x below 2^248.
ZERO_PEER = (311).to_bytes(32, "big")
ZERO_SHARED = bytes.fromhex("0046ca4f92457c842b7992451c88fe61e833773a46384393b8346a280b2358aa")


def in_the_token(token: Token, label: str, way: Way, peer: ec.EllipticCurvePublicKey) -> bytes:
    """Agree in this way, whether it is the strongest or not."""

    def agree(session: Session) -> bytes:
        return prf(session, session.key(label, AGREEMENT), way, point_of(peer), INFO, MESSAGE)

    return token._sessions.run(agree, doing="agree")


@needs(Capability.ECDH)
def test_ways_of_the_token_are_found_and_the_strongest_is_taken(token: Token, token_under_test: TokenUnderTest) -> None:
    ways = token.ways
    assert ways == (token_under_test.ways or ways)
    assert token.agreement_way is ways[0]


@needs(Capability.ECDH)
def test_ways_are_tried_once(token: Token) -> None:
    key = token.generate_agreement("agreement")
    tried = token.metrics().operations["TRIAL"].count
    for _ in range(3):
        key.prf(public_of(BOB), INFO, MESSAGE)
        token.agreement("agreement")
    assert token.metrics().operations["TRIAL"].count == tried == 1


@needs(Capability.IMPORT, Capability.ECDH)
@pytest.mark.parametrize(("mine", "theirs"), [(ALICE, BOB), (BOB, ALICE)])
def test_every_way_gives_the_published_secret(token: Token, mine: bytes, theirs: bytes) -> None:
    token.import_key("known", AGREEMENT, bytearray(mine))
    key, expected = token.agreement("known"), software_prf(SHARED, INFO, MESSAGE)
    assert key.public_key() == public_of(mine)
    assert key.prf(public_of(theirs), INFO, MESSAGE) == expected
    for way in token.ways:
        assert in_the_token(token, "known", way, public_of(theirs)) == expected


@needs(Capability.IMPORT, Capability.ECDH, Capability.READABLE)
def test_rfc_5903_shared_secret_comes_out_of_the_token(token: Token) -> None:
    token.import_key("known", AGREEMENT, bytearray(ALICE))
    assert token.agreement("known").exchange(ECDH, public_of(BOB)) == SHARED


@needs(Capability.ECDH)
def test_agreement_equals_the_software_side(token: Token) -> None:
    key, peer = token.generate_agreement("agreement"), ec.generate_private_key(ec.SECP256R1())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    x = peer.exchange(ECDH, key.public_key())
    assert key.prf(peer.public_key(), INFO, MESSAGE) == software_prf(x, INFO, MESSAGE)
    if Way.NULL in token.ways:
        assert key.exchange(ECDH, peer.public_key()) == x


@needs(Capability.ECDH)
def test_leading_zeros_of_x_are_kept_in_every_way(token: Token) -> None:
    key = token.generate_agreement("agreement")
    peer = peer_with_leading_zero(key.public_key())
    x = peer.exchange(ECDH, key.public_key())
    assert x[0] == 0
    for way in token.ways:
        assert in_the_token(token, "agreement", way, peer.public_key()) == software_prf(x, INFO, MESSAGE)


@needs(Capability.IMPORT, Capability.ECDH)
def test_known_x_with_a_leading_zero_is_kept(token: Token) -> None:
    token.import_key("known", AGREEMENT, bytearray(ALICE))
    assert software(ALICE).exchange(ECDH, public_of(ZERO_PEER)) == ZERO_SHARED
    for way in token.ways:
        expected = software_prf(ZERO_SHARED, INFO, MESSAGE)
        assert in_the_token(token, "known", way, public_of(ZERO_PEER)) == expected


@needs(Capability.ECDH)
def test_value_differs_by_peer_shared_info_and_message(token: Token) -> None:
    key = token.generate_agreement("agreement")
    alice, bob = public_of(ALICE), public_of(BOB)
    values = {
        key.prf(alice, INFO, MESSAGE),
        key.prf(bob, INFO, MESSAGE),
        key.prf(alice, b"", MESSAGE),
        key.prf(alice, INFO, b""),
    }
    assert len(values) == 4
    assert {len(value) for value in values} == {32}


@needs(Capability.ECDH)
def test_point_off_the_curve_is_no_peer_and_a_key_of_another_curve_is_refused(token: Token) -> None:
    key = token.generate_agreement("agreement")
    before = token.metrics().operations
    with pytest.raises(ValueError, match=r"(?i)invalid"):
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + bytes(63) + b"\x05")
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    for use in (lambda: key.exchange(ECDH, other), lambda: key.prf(other, INFO, MESSAGE)):
        with pytest.raises(errors.PeerKeyInvalid):
            use()
    assert token.metrics().operations == before


@needs(Capability.ECDH)
def test_agreement_key_signs_nothing_and_agrees_by_ecdh_alone(token: Token) -> None:
    key = token.generate_agreement("agreement")
    with pytest.raises(errors.KeyPolicyViolation):
        key.sign(b"message", ec.ECDSA(SHA256()))
    with pytest.raises(UnsupportedAlgorithm):
        key.exchange(cast("ec.ECDH", object()), public_of(ALICE))


@needs(Capability.IMPORT, Capability.ECDH, Capability.HIDDEN)
def test_agreement_key_whose_public_half_was_swapped_is_refused(token: Token) -> None:
    store_p256(token, "alice", ALICE, public_of(BOB), AGREEMENT)
    with pytest.raises(errors.KeyInvalid):
        token.agreement("alice")


@pytest.mark.parametrize("point", [b"\x04" + bytes(63) + b"\x05", b"\x02" + SHARED, bytes(65)])
@needs(Capability.ECDH)
def test_public_half_that_is_no_point_is_refused(token: Token, point: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    token.generate_agreement("agreement")
    one = Session.one

    def other_point(session: Session, object_class: ObjectClass, label: str) -> object:
        return (
            {Attribute.EC_POINT: point} if object_class is ObjectClass.PUBLIC_KEY else one(session, object_class, label)
        )

    monkeypatch.setattr(Session, "one", other_point)
    with pytest.raises(errors.KeyInvalid):
        token.agreement("agreement")


@needs(Capability.ECDH)
def test_derived_secrets_do_not_stay_in_the_token(token: Token) -> None:
    key, peer = token.generate_agreement("agreement"), public_of(ALICE)
    before = len(token.objects())
    for _ in range(500):
        key.prf(peer, INFO, MESSAGE)
    assert len(token.objects()) == before == 2


@needs(Capability.ECDH)
def test_agreeing_is_one_operation_and_as_few_calls_as_there_can_be(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, peer = token.generate_agreement("agreement"), public_of(ALICE)
    way = token.agreement_way
    found = TokenCalls(monkeypatch).of(token, lambda: key.prf(peer, INFO, MESSAGE))
    kept = Counter(AGREES + MACS) - Counter(["C_GetAttributeValue"])
    assert found == (kept if way is Way.KDF_AND_HMAC else Counter(AGREES))
    assert token.metrics().operations["ECDH1_DERIVE"].count == 1 + TIMES


@needs(Capability.KDF_AND_HMAC)
def test_secret_derived_to_stay_is_not_read(token: Token) -> None:
    """The third way's: it says that it is SENSITIVE and not EXTRACTABLE, and its value is refused."""
    token.generate_agreement("agreement")

    def look(session: Session) -> tuple[bytes, ...]:
        key, point = session.key("agreement", AGREEMENT), point_of(public_of(ALICE))
        with _deriving(session, key, KDF.SHA256, INFO, point, _KEPT_SECRET) as derived:
            with pytest.raises(AttributeSensitive):
                session.cryptoki.read(session.raw.handle, derived, Attribute.VALUE, 64)
            attributes = Attribute.SENSITIVE, Attribute.EXTRACTABLE
            return tuple(session.cryptoki.read(session.raw.handle, derived, it, 1) for it in attributes)

    assert token._sessions.run(look, doing="look") == (b"\1", b"\0")


@needs(Capability.ECDH)
def test_token_that_keeps_x_inside_agrees_but_exchanges_nothing(token: Token) -> None:
    key = token.generate_agreement("agreement")
    token._sessions.ways.found = (Way.KDF_AND_HMAC,)
    with pytest.raises(errors.MechanismMissing):
        key.exchange(ECDH, public_of(ALICE))


def no_pair(*_args: object) -> NoReturn:
    raise FunctionNotSupported


@needs(Capability.IMPORT, Capability.ECDH, Capability.READABLE)
def test_card_that_makes_no_passing_keys_is_taken_to_let_x_out(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsm.agreement.passing_pair", no_pair)
    assert token.agreement_way is Way.NULL
    token.import_key("known", AGREEMENT, bytearray(ALICE))
    assert token.agreement("known").prf(public_of(BOB), INFO, MESSAGE) == software_prf(SHARED, INFO, MESSAGE)


def test_card_that_lists_no_ecdh_agrees_in_no_way(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsm.agreement.passing_pair", no_pair)
    monkeypatch.setattr("hsm.agreement.Mechanism", SimpleNamespace(ECDH1_DERIVE=0x80001234))
    with pytest.raises(errors.MechanismMissing, match="none of the three ways"):
        _ = token.agreement_way


@needs(Capability.ECDH)
def test_token_that_agrees_in_no_way_is_named_and_no_key_is_made(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsm.agreement._works", lambda *_: False)
    for use in (
        lambda: token.agreement_way,
        lambda: token.generate_agreement("agreement"),
        lambda: token.import_key("agreement", AGREEMENT, bytearray(ALICE)),
    ):
        with pytest.raises(errors.MechanismMissing, match="none of the three ways"):
            use()
    assert token.objects() == []


@needs(Capability.ECDH, Capability.READABLE)
def test_way_that_gives_another_value_is_not_taken(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KDF over x without its leading zeros agrees with software but for one peer in 256: the trial asks such a one."""

    def cut(session: Session, key: RawKey, way: Way, point: bytes, info: bytes, message: bytes) -> bytes:
        x = derive_x(session, key, point)
        return software_prf(x.lstrip(b"\0") if way is Way.KDF else x, info, message)

    monkeypatch.setattr("hsm.agreement._require_kept", lambda *_: None)
    monkeypatch.setattr("hsm.agreement.prf", cut)
    assert token.ways == (Way.KDF_AND_HMAC, Way.NULL)
