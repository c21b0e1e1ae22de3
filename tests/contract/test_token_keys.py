"""Keys in a token: what pyca/cryptography and an attacker may expect of them."""

import copy
import datetime as dt
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.signing import VerifyKey
from pkcs11 import Attribute, GeneralError, ObjectClass

from hsm import Token, errors
from hsm.policy import MAC, SEALING, SIGNING, KeyPolicy
from hsm.secret_keys import open_sealed
from hsm.sessions import Session
from hsm.templates import Template, template
from tests.contract.token_backends import Capability, TokenUnderTest, needs
from tests.published import RFC_8032

# RFC 7748, section 6.1: both private keys and the shared secret.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def store_ed25519(token: Token, label: str, seed: bytes, public: bytes, policy: KeyPolicy = SIGNING) -> None:
    """Put a known signing key into a token, as no code of ours does."""

    def store(session: Session) -> None:
        curve = session.quirks.ed25519
        names: Template = {
            Attribute.LABEL: label,
            Attribute.KEY_TYPE: curve.key_type,
            Attribute.EC_PARAMS: curve.parameters,
        }
        private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.VALUE: seed}
        point = {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.EC_POINT: session.quirks.point_attribute(public),
        }
        session.raw.create_object(template(names, private, policy.secret_template(session.quirks)))
        session.raw.create_object(template(names, point, policy.public_template()))

    token._sessions.run(store, doing="store a known key", writable=True)


def public_of(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
@needs(Capability.ED25519_IMPORT)
def test_rfc_8032_signatures_come_out_of_the_token(
    token: Token, seed: str, public: str, message: str, signature: str
) -> None:
    store_ed25519(token, "known", bytes.fromhex(seed), bytes.fromhex(public))
    assert token.ed25519("known").sign(bytes.fromhex(message)).hex() == signature


@needs(Capability.ED25519)
def test_signature_verifies_under_the_cached_public_key(token: Token) -> None:
    key = token.generate_ed25519("signing")
    assert isinstance(key, Ed25519PrivateKey)
    key.public_key().verify(key.sign(b"message"), b"message")
    assert token.ed25519("signing").public_key() == key.public_key()


@needs(Capability.ED25519_IMPORT)
def test_signature_that_does_not_verify_is_withheld(token: Token) -> None:
    seed, _, _, _ = RFC_8032[0]
    store_ed25519(token, "mismatched", bytes.fromhex(seed), bytes.fromhex(RFC_8032[1][1]))
    with pytest.raises(errors.TokenFailed, match="wrong signature"):
        token.ed25519("mismatched").sign(b"message")


@needs(Capability.ED25519)
def test_token_key_signs_a_certificate_and_a_request(token: Token) -> None:
    key = token.generate_ed25519("ca")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, None)
    )
    certificate.verify_directly_issued_by(certificate)
    assert x509.CertificateSigningRequestBuilder(name).sign(key, None).is_signature_valid


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


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
@needs(Capability.AES_GCM)
def test_sealed_data_opens(token: Token, size: int) -> None:
    key = token.generate_aes("sealing")
    blob = key.seal(bytes(size), b"context")
    assert len(blob) == 12 + size + 16
    assert key.open(blob, b"context") == bytes(size)


@needs(Capability.AES_GCM)
def test_sealing_draws_a_new_nonce_each_time(token: Token) -> None:
    key = token.generate_aes("sealing")
    assert len({key.seal(b"same", b"")[:12] for _ in range(50)}) == 50


@needs(Capability.AES_GCM)
def test_any_flipped_bit_of_sealed_data_is_refused(token: Token) -> None:
    key = token.generate_aes("sealing")
    blob = key.seal(b"word", b"context")
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errors.AuthenticationFailed):
            key.open(flipped, b"context")


@needs(Capability.AES_GCM)
def test_sealed_data_in_another_context_under_another_key_or_too_short_is_refused(token: Token) -> None:
    key, other = token.generate_aes("sealing"), token.generate_aes("other")
    blob = key.seal(b"plaintext", b"context")
    for wrong in (lambda: key.open(blob, b""), lambda: other.open(blob, b"context"), lambda: key.open(blob[:27], b"")):
        with pytest.raises(errors.AuthenticationFailed):
            wrong()
    assert key.open(blob, b"context") == b"plaintext"


class BrokenCryptoki:
    """A module that fails at every operation with the code that SoftHSM 2.6.1 also has for a wrong tag."""

    def operate(self, *_args: object) -> bytes:
        raise GeneralError


@needs(Capability.AES_GCM)
def test_fault_of_the_token_does_not_pass_as_a_forgery(token: Token) -> None:
    token.generate_aes("sealing")

    def open_on_broken_token(session: Session) -> bytes:
        return open_sealed(replace(session, cryptoki=BrokenCryptoki()), session.key("sealing", SEALING), bytes(40), b"")

    with pytest.raises(errors.TokenFailed):
        token._sessions.run(open_on_broken_token, doing="open")


@needs(Capability.HMAC)
def test_mac_is_deterministic_and_32_bytes(token: Token) -> None:
    key = token.generate_mac("index")
    assert len(key.mac(b"")) == 32
    assert key.mac(b"patient") == token.mac("index").mac(b"patient") != key.mac(b"other")


@needs(Capability.HMAC_IMPORT)
def test_mac_equals_hmac_sha256_of_a_known_key(token: Token) -> None:
    secret = bytes(range(32))

    def store(session: Session) -> None:
        shape = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: MAC.kind.key_type(session.quirks),
            Attribute.LABEL: "known",
            Attribute.VALUE: secret,
        }
        session.raw.create_object(template(shape, MAC.secret_template(session.quirks)))

    token._sessions.run(store, doing="store", writable=True)
    software = hmac.HMAC(secret, hashes.SHA256())
    software.update(b"message")
    assert token.mac("known").mac(b"message") == software.finalize()


KINDS = [
    pytest.param("ed25519", marks=needs(Capability.ED25519)),
    pytest.param("x25519", marks=needs(Capability.X25519)),
    pytest.param("aes", marks=needs(Capability.AES_GCM)),
    pytest.param("mac", marks=needs(Capability.HMAC)),
]
IMPORT = pytest.param("import", marks=needs(Capability.X25519_IMPORT))
MAKERS: dict[str, Callable[[Token, str], object]] = {
    "ed25519": Token.generate_ed25519,
    "x25519": Token.generate_x25519,
    "aes": Token.generate_aes,
    "mac": Token.generate_mac,
    "import": lambda token, label: token.import_x25519(label, bytearray(ALICE), public_of(ALICE)),
}
OPENERS: dict[str, Callable[[Token, str], object]] = {
    "ed25519": Token.ed25519,
    "x25519": Token.x25519,
    "aes": Token.aead,
    "mac": Token.mac,
}


@pytest.mark.parametrize("maker", [*KINDS, IMPORT])
def test_existing_label_is_never_replaced(token: Token, maker: str) -> None:
    MAKERS[maker](token, "taken")
    before = token.objects()
    for make in MAKERS.values():
        with pytest.raises(errors.KeyExists):
            make(token, "taken")
    assert token.objects() == before


@pytest.mark.parametrize("maker", [*KINDS, IMPORT])
def test_every_secret_in_the_token_is_sensitive_unextractable_and_fixed(token: Token, maker: str) -> None:
    MAKERS[maker](token, "key")
    secret = [info for info in token.objects() if info.object_class in {"PRIVATE_KEY", "SECRET_KEY"}]
    assert len(secret) == 1
    assert (secret[0].private, secret[0].sensitive, secret[0].extractable) == (True, True, False)
    assert secret[0].modifiable is False
    assert secret[0].stored


@needs(Capability.PROVENANCE)
@pytest.mark.parametrize("maker", [*KINDS, IMPORT])
def test_token_says_which_keys_it_made_itself(token: Token, maker: str) -> None:
    MAKERS[maker](token, "key")
    secret = [info for info in token.objects() if info.object_class in {"PRIVATE_KEY", "SECRET_KEY"}]
    generated = maker != "import"
    assert (secret[0].local, secret[0].always_sensitive, secret[0].never_extractable) == (generated,) * 3


USAGES = {"ed25519": {"SIGN"}, "x25519": {"DERIVE"}, "aes": {"ENCRYPT", "DECRYPT"}, "mac": {"SIGN"}}


@pytest.mark.parametrize("maker", KINDS)
def test_key_has_exactly_the_usages_of_its_purpose(token: Token, maker: str) -> None:
    MAKERS[maker](token, "key")
    assert [info.usages for info in token.objects() if info.object_class != "PUBLIC_KEY"] == [USAGES[maker]]


@needs(Capability.ED25519, Capability.X25519)
def test_pair_shares_a_random_id(token: Token) -> None:
    token.generate_ed25519("one")
    token.generate_x25519("two")
    ids = [info.id for info in token.objects()]
    assert len(ids) == 4
    assert len(set(ids)) == 2
    assert all(len(identifier) == 16 for identifier in ids)


@pytest.mark.parametrize("opener", KINDS)
def test_missing_key_is_not_found(token: Token, opener: str) -> None:
    with pytest.raises(errors.KeyNotFound):
        OPENERS[opener](token, "absent")


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"extractable": True}, "EXTRACTABLE"),
        ({"sensitive": False}, "SENSITIVE"),
        ({"modifiable": True}, "MODIFIABLE"),
        ({"copyable": True}, "COPYABLE"),
        ({"usages": frozenset({"SIGN", "DERIVE"})}, "DERIVE"),
        ({"usages": frozenset({"DERIVE"})}, "SIGN"),
    ],
)
@needs(Capability.ED25519_IMPORT)
def test_key_that_breaks_its_policy_is_refused_and_the_attribute_named(
    token: Token, change: dict[str, object], attribute: str
) -> None:
    seed, public, _, _ = (bytes.fromhex(part) for part in RFC_8032[0])
    store_ed25519(token, "loose", seed, public, replace(SIGNING, **change))
    with pytest.raises(errors.KeyPolicyViolation, match=attribute):
        token.ed25519("loose")


@needs(Capability.X25519)
def test_key_of_another_curve_is_refused(token: Token) -> None:
    token.generate_x25519("agreement")
    with pytest.raises(errors.KeyPolicyViolation, match="EC_PARAMS"):
        token.ed25519("agreement")


@needs(Capability.ED25519_IMPORT)
def test_two_private_keys_of_one_label_are_ambiguous(token: Token) -> None:
    for seed, public, _, _ in RFC_8032[:2]:
        store_ed25519(token, "twice", bytes.fromhex(seed), bytes.fromhex(public))
    with pytest.raises(errors.KeyAmbiguous):
        token.ed25519("twice")


@needs(Capability.ED25519)
def test_destroyed_key_is_gone_for_its_holders_too(token: Token) -> None:
    key = token.generate_ed25519("signing")
    key.sign(b"message")
    assert token.has("signing")
    token.destroy("signing")
    assert not token.has("signing")
    with pytest.raises(errors.KeyNotFound):
        key.sign(b"message")
    with pytest.raises(errors.KeyNotFound):
        token.destroy("signing")


@pytest.mark.parametrize("maker", KINDS[:2])
def test_private_bytes_do_not_come_out(token: Token, maker: str) -> None:
    key = MAKERS[maker](token, "key")
    for extract in (key.private_bytes, key.private_bytes_raw):
        with pytest.raises(errors.KeyNotExtractable):
            extract()
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.parametrize("maker", KINDS[:2])
def test_copies_are_the_key_itself_and_its_repr_shows_the_label_alone(token: Token, maker: str) -> None:
    key = MAKERS[maker](token, "my key")
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert repr(key) == f"<{type(key).__name__} 'my key'>"


@pytest.mark.parametrize("label", ["", " a", "a\n", "x" * 129])
@needs(Capability.AES_GCM)
def test_label_that_nobody_could_read_is_refused(token: Token, label: str) -> None:
    with pytest.raises(errors.LabelInvalid):
        token.generate_aes(label)


def test_random_bytes_have_the_size_asked_for(token: Token) -> None:
    assert len(token.random(1)) == 1
    assert len({token.random(16) for _ in range(20)}) == 20
    with pytest.raises(ValueError, match="at least"):
        token.random(0)


def test_description_comes_from_the_token(token: Token, token_under_test: TokenUnderTest) -> None:
    assert token.manufacturer == (token_under_test.manufacturer or token.manufacturer)
    assert token.model == (token_under_test.model or token.model)
    assert token.serial == token.serial.strip()
    assert token.label in repr(token)


@needs(Capability.ED25519)
def test_public_key_is_verified_by_an_independent_library(token: Token) -> None:
    key = token.generate_ed25519("signing")
    public: Ed25519PublicKey = key.public_key()
    VerifyKey(public.public_bytes_raw()).verify(b"message", key.sign(b"message"))
