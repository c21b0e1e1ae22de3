"""The lowest layers of docs/protocol.md, written again from the specification: integers, hashlib, hmac and nothing of ours.

The vectors come from here, and a test holds the production code to them. Slow, not in constant time, for tests alone.
"""

import hashlib
import hmac
import math


def field(value: bytes) -> bytes:
    """F(x) = u32be(len x) || x."""
    return len(value).to_bytes(4, "big") + value


def u64(value: int) -> bytes:
    """An integer as a field's value."""
    return value.to_bytes(8, "big")


def text(value: str) -> bytes:
    """Text as a field's value."""
    return value.encode("ascii")


def transcript(label: str, *fields: bytes) -> bytes:
    """T(label, f1..fn)."""
    return b"medunion/v1" + b"\x00" + b"".join(field(value) for value in (label.encode("ascii"), *fields))


def listing(elements: list[bytes]) -> bytes:
    """A list as one field: u32be(n) || F(e1) || ..."""
    return len(elements).to_bytes(4, "big") + b"".join(field(element) for element in elements)


def sha256(data: bytes) -> bytes:
    """H of bytes."""
    return hashlib.sha256(data).digest()


def hash_of(label: str, statement: bytes) -> bytes:
    """H of a statement: SHA-256(T(name, bytes))."""
    return sha256(transcript(label, statement))


SMALLEST = 2048


def padded_size(size: int) -> int:
    """padded(n): 2,048 at the least, then Padme."""
    if size <= SMALLEST:
        return SMALLEST
    exponent = int(math.log2(size))
    exponent -= 2**exponent > size
    bits = exponent - (int(math.log2(exponent)) + 1)
    return (size + 2**bits - 1) // 2**bits * 2**bits


def padded(content: bytes) -> bytes:
    """What is under a session key, with its zeros: content, or F(message)."""
    return content + bytes(padded_size(len(content)) - len(content))


# FIPS 186-5 and SP 800-186, section 3.2.1.3: y^2 = x^3 - 3 x + b over the field of p.
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CURVE_A = PRIME - 3
CURVE_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
Point = tuple[int, int] | None
"""Its coordinates, or None: O."""
BASE: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def add(left: Point, right: Point) -> Point:
    """SEC 1, section 2.2.1."""
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % PRIME == 0:
        return None
    above, below = (3 * x1 * x1 + CURVE_A, 2 * y1) if left == right else (y2 - y1, x2 - x1)
    slope = above * pow(below, -1, PRIME)
    x = (slope * slope - x1 - x2) % PRIME
    return x, (slope * (x1 - x) - y1) % PRIME


def multiply(scalar: int, point: Point) -> Point:
    """scalar * point, by doubling and adding."""
    result: Point = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def curve(x: int) -> int:
    """y^2 of that x."""
    return (x**3 + CURVE_A * x + CURVE_B) % PRIME


def square_root(value: int) -> int | None:
    """A root in the field, as p = 3 (mod 4), or None."""
    root = pow(value, (PRIME + 1) // 4, PRIME)
    return root if root * root % PRIME == value else None


def number(data: bytes) -> int:
    """Bytes as a big-endian number."""
    return int.from_bytes(data, "big")


def octets(value: int) -> bytes:
    """A coordinate or a scalar, 32 bytes."""
    return value.to_bytes(32, "big")


def x_of(point: Point) -> bytes:
    """x(Q), as points of key agreement travel. Raises ValueError for O, which has none."""
    if point is None:
        raise ValueError("O has no x")
    return octets(point[0])


def point_over(data: bytes) -> Point:
    """The point with that x and an even y. Raises ValueError for what may not be received (section 1, Group)."""
    if len(data) != 32:
        raise ValueError("not 32 bytes")
    return _solved(number(data), 0)


def _solved(x: int, odd: int) -> Point:
    root = square_root(curve(x)) if x < PRIME else None
    if root is None:
        raise ValueError("not the x of a point")
    return x, root if root & 1 == odd else PRIME - root


def compress(point: Point) -> bytes:
    """SEC 1, section 2.3.3, compressed, as verifying keys travel."""
    if point is None:
        raise ValueError("O is no key")
    return bytes([2 + (point[1] & 1)]) + octets(point[0])


def decompress(data: bytes) -> Point:
    """SEC 1, section 2.3.4. Raises ValueError for what is no verifying key."""
    if len(data) != 33 or data[0] not in {2, 3}:
        raise ValueError("not a compressed point")
    return _solved(number(data[1:]), data[0] & 1)


def uncompressed(point: Point) -> bytes:
    """SEC 1, section 2.3.3, uncompressed, as the KEM's points travel."""
    if point is None:
        raise ValueError("O is no key")
    return b"\x04" + octets(point[0]) + octets(point[1])


def read_uncompressed(data: bytes) -> Point:
    """SEC 1, section 2.3.4. Raises ValueError for what is no key of the KEM."""
    x, y = number(data[1:33]), number(data[33:])
    if len(data) != 65 or data[0] != 4 or x >= PRIME or y >= PRIME or y * y % PRIME != curve(x):
        raise ValueError("not an uncompressed point")
    return x, y


def may_be_received(data: bytes) -> bool:
    """Section 1, Group: below p, and a point lies over it."""
    try:
        point_over(data)
    except ValueError:
        return False
    return True


def may_be_registered(data: bytes) -> bool:
    """Of R_X1 moreover: at least 1, and below n."""
    return may_be_received(data) and 1 <= number(data) < ORDER


def is_verifying_key(data: bytes) -> bool:
    """Section 1, Group: compressed, and on the curve."""
    try:
        decompress(data)
    except ValueError:
        return False
    return True


SEED_BYTES = 48


def scalar(seed: bytes) -> int:
    """FIPS 186-5, appendix A.4.1: 1 + (48 random bytes, mod n - 1)."""
    return 1 + number(seed) % (ORDER - 1)


def public_key(private: bytes) -> bytes:
    """The verifying key of a private one."""
    return compress(multiply(number(private), BASE))


def nonce(private: bytes, digest: bytes) -> int:
    """RFC 6979, section 3.2, with HMAC-SHA256: the nonce of a digest."""
    seed = private + octets(number(digest) % ORDER)
    key, value = bytes(32), b"\x01" * 32
    for separator in (b"\x00", b"\x01"):
        key = hmac.digest(key, value + separator + seed, "sha256")
        value = hmac.digest(key, value, "sha256")
    while True:
        value = hmac.digest(key, value, "sha256")
        if 1 <= number(value) < ORDER:
            return number(value)
        key = hmac.digest(key, value + b"\x00", "sha256")
        value = hmac.digest(key, value, "sha256")


def ecdsa(private: bytes, message: bytes) -> bytes:
    """FIPS 186-5, section 6.4.1, with SHA-256: r || s, s as it comes. By s over T("cred", ..) it is R_X1 || S_X."""
    digest = sha256(message)
    k = nonce(private, digest)
    r = number(x_of(multiply(k, BASE))) % ORDER
    s = pow(k, -1, ORDER) * (number(digest) + r * number(private)) % ORDER
    assert r, "RFC 6979 would take another nonce; no hash that is known comes here"
    assert s, "RFC 6979 would take another nonce; no hash that is known comes here"
    return octets(r) + octets(s)


def ecdsa_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """FIPS 186-5, section 6.4.2, with SHA-256."""
    r, s = number(signature[:32]), number(signature[32:])
    if len(signature) != 64 or not 1 <= r < ORDER or not 1 <= s < ORDER:
        return False
    inverse, z = pow(s, -1, ORDER), number(sha256(message))
    point = add(multiply(z * inverse % ORDER, BASE), multiply(r * inverse % ORDER, decompress(public)))
    return point is not None and point[0] % ORDER == r


def signed(public: bytes, message: bytes) -> bytes:
    """T("sig", PUK_X, m): what S_PRK_X(m) signs."""
    return transcript("sig", public, message)


def sign(private: bytes, message: bytes) -> bytes:
    """S_PRK_X(m): the signature with the smaller s, its nonce by RFC 6979."""
    return normalised(ecdsa(private, signed(public_key(private), message)))


def other_half(signature: bytes) -> bytes:
    """r || n - s: the other signature that ECDSA takes for the same."""
    return signature[:32] + octets(ORDER - number(signature[32:]))


def normalised(signature: bytes) -> bytes:
    """The one with the smaller s of the two that hold."""
    return min(signature, other_half(signature))


def holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether S_PRK_X(m) is a signature of PUK_X."""
    low = number(signature[32:]) <= ORDER // 2
    return low and ecdsa_holds(public, signed(public, message), signature)


def credential_transcript(issuer_public_key: bytes, credential: bytes) -> bytes:
    """T("cred", PK, M_X)."""
    return transcript("cred", issuer_public_key, credential)


def public_point(registration_point: bytes, issuer_public_key: bytes, message: bytes) -> Point:
    """U_X = z B + rho PK: eq. 4, 7, 10 in the form that anybody can compute."""
    z = number(sha256(message)) % ORDER
    return add(multiply(z, BASE), multiply(number(registration_point), decompress(issuer_public_key)))


SHARED_INFO = b"medunion/v1"


def agreement_key(shared: bytes) -> bytes:
    """X9.63-KDF-SHA256 of x(d Q) to 32 bytes (SEC 1, section 3.6.1): one block, its counter 1."""
    return sha256(shared + (1).to_bytes(4, "big") + SHARED_INFO)


def prf(private: int, point: Point, message: bytes) -> bytes:
    """HMAC-SHA256 of a message by the key that ECDH gives."""
    return hmac.digest(agreement_key(x_of(multiply(private, point))), message, "sha256")


def agree(private: int, point: Point, label: str, *fields: bytes) -> bytes:
    """agree(d, Q, label, f1..fn)."""
    return prf(private, point, transcript(label, *fields))


HASHING_TAG = b"medunion/v1 P256_XMD:SHA-256_SSWU_RO_"


def expand_message(message: bytes, tag: bytes, length: int) -> bytes:
    """expand_message_xmd with SHA-256 (RFC 9380, section 5.3.1)."""
    primed = tag + bytes([len(tag)])
    first = sha256(bytes(64) + message + length.to_bytes(2, "big") + b"\x00" + primed)
    blocks = [sha256(first + b"\x01" + primed)]
    while 32 * len(blocks) < length:
        mixed = bytes(a ^ b for a, b in zip(first, blocks[-1], strict=True))
        blocks.append(sha256(mixed + bytes([len(blocks) + 1]) + primed))
    return b"".join(blocks)[:length]


def hash_to_field(message: bytes, tag: bytes = HASHING_TAG) -> tuple[int, int]:
    """RFC 9380, section 5.2: two elements of 48 bytes each."""
    uniform = expand_message(message, tag, 96)
    return number(uniform[:48]) % PRIME, number(uniform[48:]) % PRIME


SSWU_Z = PRIME - 10


def map_to_curve(u: int) -> Point:
    """The simplified SWU map (RFC 9380, section 6.6.2), Z = -10 (section 8.2)."""
    squared = SSWU_Z * u * u % PRIME
    denominator = (squared * squared + squared) % PRIME
    if denominator:
        x = -CURVE_B * pow(CURVE_A, -1, PRIME) * (1 + pow(denominator, -1, PRIME)) % PRIME
    else:
        x = CURVE_B * pow(SSWU_Z * CURVE_A, -1, PRIME) % PRIME
    if square_root(curve(x)) is None:
        x = squared * x % PRIME
    return _solved(x, u & 1)


def hash_to_curve(message: bytes, tag: bytes = HASHING_TAG) -> Point:
    """Q(m): P256_XMD:SHA-256_SSWU_RO_ (RFC 9380, sections 3 and 8.2), whose cofactor is 1."""
    first, second = hash_to_field(message, tag)
    return add(map_to_curve(first), map_to_curve(second))


def shared_key(secret: bytes, identity: str, serial: bytes) -> bytes:
    """K_X = agree(S_X, Q(T("shared", ID_X, serial)), "shared", ID_X, serial)."""
    fields = text(identity), serial
    return agree(number(secret), hash_to_curve(transcript("shared", *fields)), "shared", *fields)


def extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869, section 2.2)."""
    return hmac.digest(salt, material, "sha256")


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand to at most 32 bytes (RFC 5869, section 2.3)."""
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


def session_keys(
    shared: tuple[bytes, bytes, bytes], contributions: tuple[bytes, bytes], th: bytes, roles: str
) -> dict[str, bytes]:
    """All keys of a session by their names, of K1, K2 and Z: k_A>B, iv_A>B, k_B>A, iv_B>A, kc_B for roles "AB"."""
    a, b = roles
    extracted = extract(th, b"".join(field(part) for part in (*shared, *contributions)))
    sizes = {f"k_{a}>{b}": 32, f"k_{b}>{a}": 32, f"iv_{a}>{b}": 12, f"iv_{b}>{a}": 12, f"kc_{b}": 32}
    return {name: expand(extracted, transcript("key", text(name), th), size) for name, size in sizes.items()}


def frame_nonce(iv: bytes, sequence: int) -> bytes:
    """iv xor the 12-byte big-endian sequence."""
    return (number(iv) ^ sequence).to_bytes(12, "big")


def frame_associated_data(name: str, session_id: bytes, sequence: int, sent_at: int, *, last: bool) -> bytes:
    """T(name, session id, sequence, T, last)."""
    return transcript(name, session_id, u64(sequence), u64(sent_at), u64(int(last)))


def batch_transcript(purpose: str, generation: int, batch: bytes) -> bytes:
    """T("seal-batch", purpose, generation, batch): what the PRF is asked for seals at rest."""
    return transcript("seal-batch", text(purpose), generation.to_bytes(2, "big"), batch)


def seal_key(batch_key: bytes, salt: bytes) -> bytes:
    """HMAC(batch key, T("seal", salt)): the key of one seal."""
    return hmac.digest(batch_key, transcript("seal", salt), "sha256")


KEM_ID, DHKEM_P256_ID = 0x0050, 0x0010
AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305 = 1, 2, 3


def combined(mlkem_secret: bytes, ecdh_secret: bytes, ephemeral: bytes, receiver: bytes) -> bytes:
    """MLKEM768-P256's shared secret from its halves' (draft-ietf-hpke-pq)."""
    return hashlib.sha3_256(mlkem_secret + ecdh_secret + ephemeral + receiver + b"MLKEM768-P256").digest()


def hpke_key(shared_secret: bytes, info: bytes, aead: int = AES_256_GCM, kem: int = KEM_ID) -> tuple[bytes, bytes]:
    """(key, base nonce) of HPKE in base mode with HKDF-SHA256 (RFC 9180, section 5.1)."""
    label = b"HPKE-v1" + b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (kem, 1, aead))
    psk_id_hash, info_hash = extract(b"", label + b"psk_id_hash"), extract(b"", label + b"info_hash" + info)
    context = b"\x00" + psk_id_hash + info_hash
    secret = extract(shared_secret, label + b"secret")
    sizes = {b"key": 16 if aead == AES_128_GCM else 32, b"base_nonce": 12}
    key, base_nonce = (expand(secret, n.to_bytes(2, "big") + label + name + context, n) for name, n in sizes.items())
    return key, base_nonce


def hpke_info(name: str, sender: str, receiver: str, key_id: bytes, session_id: bytes, sent_at: int) -> bytes:
    """T("hpke", message name, sender or empty, receiver, key id, session id, T in clear)."""
    return transcript("hpke", text(name), text(sender), text(receiver), key_id, session_id, u64(sent_at))
