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


PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def add(left: Point, right: Point) -> Point:
    """The complete addition law of a twisted Edwards curve with a = -1."""
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2 % PRIME
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME) % PRIME
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME) % PRIME
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    """scalar * point, by doubling and adding."""
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def compress(point: Point) -> bytes:
    """RFC 8032, section 5.1.2."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decompress(data: bytes) -> Point:
    """RFC 8032, section 5.1.3. Raises ValueError for what is not canonical or not on the curve."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (2**255 - 1)
    if len(data) != 32 or y >= PRIME:
        raise ValueError("not canonical")
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if x * x % PRIME != square:
        raise ValueError("not on the curve")
    if x == 0 and sign:
        raise ValueError("not canonical")
    return (PRIME - x if x & 1 != sign else x), y


BASE = decompress((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little"))


def may_be_received(data: bytes) -> bool:
    """Section 1, Group: canonical, on the curve, in the prime-order subgroup, none of O, B, -B."""
    try:
        point = decompress(data)
    except ValueError:
        return False
    excluded = (NEUTRAL, BASE, (PRIME - BASE[0], BASE[1]))
    return multiply(ORDER, point) == NEUTRAL and point not in excluded


def u_coordinate(point: Point) -> int:
    """RFC 7748, section 4.1: u = (1 + y) / (1 - y)."""
    return (1 + point[1]) * pow(1 - point[1], -1, PRIME) % PRIME


def x25519(scalar: bytes, u: int) -> int:
    """RFC 7748, section 5."""
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for bit in range(254, -1, -1):
        if swap ^ (k >> bit & 1):
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = k >> bit & 1
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, (aa - bb) * (aa + 121665 * (aa - bb)) % PRIME
    if swap:
        x2, z2 = x3, z3
    return x2 * pow(z2, PRIME - 2, PRIME) % PRIME


def scalar(data: bytes) -> int:
    """A hash or 64 uniform bytes to a scalar: little-endian, mod L."""
    return int.from_bytes(data, "little") % ORDER


def public_key(seed: bytes) -> bytes:
    """RFC 8032, section 5.1.5."""
    return compress(multiply(_secret(seed)[0], BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    """RFC 8032, section 5.1.6. With s as the key, R || S is R_X1 || S_X."""
    secret, prefix = _secret(seed)
    nonce = scalar(hashlib.sha512(prefix + message).digest())
    point = compress(multiply(nonce, BASE))
    h = challenge(point, public_key(seed), message)
    return point + ((nonce + h * secret) % ORDER).to_bytes(32, "little")


def challenge(registration_point: bytes, issuer_public_key: bytes, message: bytes) -> int:
    """h = SHA-512(R_X1 || PK || T("cred", M_X)) mod L."""
    return scalar(hashlib.sha512(registration_point + issuer_public_key + message).digest())


def public_point(registration_point: bytes, issuer_public_key: bytes, message: bytes) -> bytes:
    """U_X = R_X1 + h PK: the right side of eq. 4, 7, 10."""
    h = challenge(registration_point, issuer_public_key, message)
    return compress(add(decompress(registration_point), multiply(h, decompress(issuer_public_key))))


def token_form(secret: bytes) -> bytes:
    """k = +-S (mod L), k = 0 (mod 8), 2^254 <= k < 2^255. Raises ValueError where there is none."""
    k = 8 * (int.from_bytes(secret, "little") * pow(8, -1, ORDER) % ORDER)
    for candidate in (k, 8 * ORDER - k):
        if 2**254 <= candidate < 2**255:
            return candidate.to_bytes(32, "little")
    raise ValueError("no form for a token")


def full_point(form: bytes, point: bytes, public: bytes) -> tuple[int, int, bytes]:
    """(u1, u2, S R) from u1 = X25519(k, u(R)) and u2 = X25519(k, u(R + B)): the T over u1 with u(T + U) = u2."""
    received, own = decompress(point), decompress(public)
    first = x25519(form, u_coordinate(received))
    second = x25519(form, u_coordinate(add(received, BASE)))
    y = (first - 1) * pow(first + 1, -1, PRIME) % PRIME
    candidates = [decompress((y | sign_bit << 255).to_bytes(32, "little")) for sign_bit in (0, 1)]
    (right,) = [candidate for candidate in candidates if u_coordinate(add(candidate, own)) == second]
    return first, second, compress(right)


def shared_key(form: bytes, issuer_public_key: bytes, identity: str, serial: bytes) -> bytes:
    """K_X = HKDF-SHA256(ikm = u(S_X PK), no salt, info = T("shared", ID_X, serial), 32 bytes)."""
    product = x25519(form, u_coordinate(decompress(issuer_public_key))).to_bytes(32, "little")
    return expand(extract(bytes(32), product), transcript("shared", text(identity), serial), 32)


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & ~7 & (2**254 - 1) | 2**254, digest[32:]


def extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869, section 2.2)."""
    return hmac.digest(salt, material, "sha256")


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand to at most 32 bytes (RFC 5869, section 2.3)."""
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


def session_keys(
    shared: tuple[bytes, bytes], contributions: tuple[bytes, bytes], th: bytes, roles: str
) -> dict[str, bytes]:
    """All keys of a session by their names: k_A>B, iv_A>B, k_B>A, iv_B>A, kc_B for roles "AB"."""
    a, b = roles
    extracted = extract(th, b"".join(field(part) for part in (*shared, *contributions)))
    sizes = {f"k_{a}>{b}": 32, f"k_{b}>{a}": 32, f"iv_{a}>{b}": 12, f"iv_{b}>{a}": 12, f"kc_{b}": 32}
    return {name: expand(extracted, transcript("key", text(name), th), size) for name, size in sizes.items()}


def frame_nonce(iv: bytes, sequence: int) -> bytes:
    """iv xor the 12-byte big-endian sequence."""
    return (int.from_bytes(iv, "big") ^ sequence).to_bytes(12, "big")


def frame_associated_data(name: str, session_id: bytes, sequence: int, sent_at: int, *, last: bool) -> bytes:
    """T(name, session id, sequence, T, last)."""
    return transcript(name, session_id, u64(sequence), u64(sent_at), u64(int(last)))


KEM_ID = 0x647A
AES_256_GCM, CHACHA20_POLY1305 = 2, 3


def combined(mlkem_secret: bytes, x25519_secret: bytes, x25519_ciphertext: bytes, x25519_key: bytes) -> bytes:
    """MLKEM768-X25519's shared secret from its halves' (draft-ietf-hpke-pq)."""
    return hashlib.sha3_256(mlkem_secret + x25519_secret + x25519_ciphertext + x25519_key + b"\\.//^\\").digest()


def hpke_key(shared_secret: bytes, info: bytes, aead: int = AES_256_GCM) -> tuple[bytes, bytes]:
    """(key, base nonce) of HPKE in base mode with MLKEM768-X25519 and HKDF-SHA256 (RFC 9180, section 5.1)."""
    label = b"HPKE-v1" + b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (KEM_ID, 1, aead))
    psk_id_hash, info_hash = extract(b"", label + b"psk_id_hash"), extract(b"", label + b"info_hash" + info)
    context = b"\x00" + psk_id_hash + info_hash
    secret = extract(shared_secret, label + b"secret")
    sizes = {b"key": 32, b"base_nonce": 12}
    key, nonce = (expand(secret, n.to_bytes(2, "big") + label + name + context, n) for name, n in sizes.items())
    return key, nonce


def hpke_info(name: str, sender: str, receiver: str, key_id: bytes, session_id: bytes, sent_at: int) -> bytes:
    """T("hpke", message name, sender or empty, receiver, key id, session id, T in clear)."""
    return transcript("hpke", text(name), text(sender), text(receiver), key_id, session_id, u64(sent_at))
