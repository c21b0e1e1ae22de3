"""Agreement keys in a token: X25519, its import, and HPKE over it; a peer's key of low order is refused."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pkcs11 import Attribute, ObjectClass

from hsm import Token, errors
from hsm.raw import template
from hsm.sessions import Session
from tests.contract.token_backends import Capability, needs
from tests.contract.token_known_keys import ALICE, BOB, SHARED, public_of


@pytest.mark.parametrize(("mine", "theirs"), [(ALICE, BOB), (BOB, ALICE)])
@needs(Capability.X25519_IMPORT)
def test_rfc_7748_shared_secret_comes_out_of_the_token(token: Token, mine: bytes, theirs: bytes) -> None:
    key = token.import_x25519("known", bytearray(mine), public_of(mine))
    assert key.exchange(X25519PublicKey.from_public_bytes(public_of(theirs))) == SHARED
    assert token.x25519("known").public_key().public_bytes_raw() == public_of(mine)


@needs(Capability.X25519)
def test_agreement_equals_the_software_side(token: Token) -> None:
    key, other = token.generate_x25519("agreement"), X25519PrivateKey.generate()
    assert isinstance(key, X25519PrivateKey)
    assert key.exchange(other.public_key()) == other.exchange(key.public_key())


LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),  # p - 1
    (2**255 - 19).to_bytes(32, "little"),  # p, that is 0
    (2**255 - 18).to_bytes(32, "little"),  # p + 1, that is 1
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),  # order 8
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),  # order 8
]


@pytest.mark.parametrize("point", LOW_ORDER)
@needs(Capability.X25519)
def test_low_order_peer_is_refused(token: Token, point: bytes) -> None:
    key = token.generate_x25519("agreement")
    with pytest.raises(errors.PeerKeyInvalid):
        key.exchange(X25519PublicKey.from_public_bytes(point))


@pytest.mark.parametrize("point", LOW_ORDER)
@needs(Capability.X25519_IMPORT)
def test_low_order_public_half_is_refused_at_import(token: Token, point: bytes) -> None:
    with pytest.raises(errors.PeerKeyInvalid):
        token.import_x25519("imported", bytearray(ALICE), point)
    assert token.objects() == []


@needs(Capability.X25519_IMPORT)
def test_import_of_halves_that_do_not_match_is_refused_and_leaves_nothing(token: Token) -> None:
    with pytest.raises(errors.KeyInvalid):
        token.import_x25519("imported", bytearray(ALICE), public_of(BOB))
    assert token.objects() == []


@pytest.mark.parametrize("size", [0, 31, 33])
@needs(Capability.X25519_IMPORT)
def test_import_of_a_wrong_size_is_refused(token: Token, size: int) -> None:
    with pytest.raises(errors.KeyInvalid):
        token.import_x25519("imported", bytearray(size), public_of(ALICE))


@needs(Capability.X25519_IMPORT)
def test_import_leaves_the_secret_to_the_caller_to_wipe(token: Token) -> None:
    secret = bytearray(ALICE)
    key = token.import_x25519("imported", secret, public_of(ALICE))
    secret[:] = bytes(32)
    assert key.exchange(X25519PublicKey.from_public_bytes(public_of(BOB))) == SHARED


@needs(Capability.X25519_IMPORT)
def test_agreement_key_whose_public_half_was_swapped_is_refused(token: Token) -> None:
    token.import_x25519("alice", bytearray(ALICE), public_of(ALICE))

    def swap(session: Session) -> None:
        session.one(ObjectClass.PUBLIC_KEY, "alice").destroy()
        curve = session.quirks.x25519
        shape = {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.LABEL: "alice",
            Attribute.KEY_TYPE: curve.key_type,
            Attribute.EC_PARAMS: curve.parameters,
            Attribute.EC_POINT: session.quirks.point_attribute(public_of(BOB)),
            Attribute.TOKEN: True,
        }
        session.raw.create_object(template(shape))

    token._sessions.run(swap, doing="swap", writable=True)
    with pytest.raises(errors.KeyInvalid):
        token.x25519("alice")


@needs(Capability.X25519)
def test_derived_secrets_do_not_stay_in_the_token(token: Token) -> None:
    key, peer = token.generate_x25519("agreement"), X25519PrivateKey.generate().public_key()
    before = len(token.objects())
    for _ in range(500):
        key.exchange(peer)
    assert len(token.objects()) == before == 2


@pytest.mark.parametrize("kem", ["X25519", "MLKEM768_X25519"])
@needs(Capability.X25519)
def test_hpke_opens_with_the_token_half(token: Token, kem: str) -> None:
    half = token.generate_x25519("decryption")
    key = half if kem == "X25519" else hpke.MLKEM768X25519PrivateKey(MLKEM768PrivateKey.generate(), half)
    suite = hpke.Suite(getattr(hpke.KEM, kem), hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    sealed = suite.encrypt(b"record", key.public_key(), info=b"transcript")
    assert suite.decrypt(sealed, key, info=b"transcript") == b"record"
    with pytest.raises(InvalidTag):
        suite.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1]), key, info=b"transcript")
