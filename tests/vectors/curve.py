"""The vectors of what rests on the curve alone, all from tests/vectors/spec.py: points, keys, signatures, agreement, hashing."""

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.vectors import spec
from tests.vectors.draws import Json, Stream
from tests.vectors.spec import octets, text, transcript

OF_THE_TWIST = {
    3: "efdde3b32872a9effcf3b94cbf73aa7b39f9683ece9121b9852167f4e3da609b",
    5: "c49524b2adfd8f5f972ef554652836e2efb2d306c6d3b0689234cec93ae73db5",
    13: "99a3a5b7249a376c1d6eaf996b247623f97dd2faba1f90ce7806059ecb7ff874",
    179: "ddb24ae3bdc69764f62d2c09c21ffb6ed556025a6ed477ef551900baf4549473",
}
"""By their order, x of points of the twist: a token that does not look would tell d modulo that order."""
SMALLEST_X = 5
"""Above 0, of a point."""
WRAPPED = spec.PRIME + SMALLEST_X
"""An x that is that of a point, taken modulo p."""


def points() -> list[Json]:
    """What may be received as a point of key agreement, and as R_X1, and what may not."""
    scalar = spec.number(Stream("point").private_key())
    good = [spec.multiply(scalar + i, spec.BASE) for i in range(3)]
    known = good[0]
    agreement = {f"point {i}": spec.x_of(point) for i, point in enumerate(good)} | {
        "x = 0": octets(0),
        "x = n + 3: above n, below p": octets(_x_near(spec.ORDER, 1)),
        "the largest x": octets(_x_near(spec.PRIME - 1, -1)),
    }
    registration = {
        "point 0": spec.x_of(known),
        "the smallest": octets(SMALLEST_X),
        "the largest": octets(_x_near(spec.ORDER - 1, -1)),
    }
    no_points = {
        "an x of no point": octets(1),
        **{f"an x of the twist, order {order}": bytes.fromhex(x) for order, x in OF_THE_TWIST.items()},
        "x = p": octets(spec.PRIME),
        "x = p + 5": octets(WRAPPED),
        "x = 2^256 - 1": octets(2**256 - 1),
        "31 bytes": spec.x_of(known)[:-1],
        "33 bytes": spec.x_of(known) + b"\x00",
        "a compressed point": spec.compress(known),
        "an uncompressed point": spec.uncompressed(known),
        "no bytes": b"",
    }
    no_registration_points = {
        "rho = 0": octets(0),
        "rho = n": octets(spec.ORDER),
        "rho = n + 3, the x of a point": octets(_x_near(spec.ORDER, 1)),
    }
    return [
        *_points("KIND_POINT", agreement, "success"),
        *_points("KIND_POINT", no_points, "INVALID_POINT"),
        *_points("KIND_REGISTRATION_POINT", registration, "success"),
        *_points("KIND_REGISTRATION_POINT", no_points | no_registration_points, "INVALID_POINT"),
    ]


def _points(kind: str, found: dict[str, bytes], expect: str) -> list[Json]:
    return [{"name": name, "kind": kind, "point": data.hex(), "expect": expect} for name, data in found.items()]


def _x_near(x: int, step: int) -> int:
    """The next x of a point, from this one on."""
    while not spec.may_be_received(octets(x)):
        x += step
    return x


def verifying_keys() -> list[Json]:
    """What may be PUK_X, PK or PUK_C, and what may not."""
    key = spec.public_key(Stream("verifying key").private_key())
    point = spec.decompress(key)
    other = bytes([key[0] ^ 1]) + key[1:]
    good = {"a key": key, "its negative": other, "x = 0": spec.compress(spec.point_over(octets(0)))}
    refused = {
        "an x of no point": b"\x02" + octets(1),
        "an x of the twist, order 5": b"\x03" + bytes.fromhex(OF_THE_TWIST[5]),
        "x = p + 5": b"\x02" + octets(WRAPPED),
        "x = 2^256 - 1": b"\x02" + octets(2**256 - 1),
        "uncompressed": spec.uncompressed(point),
        "hybrid": bytes([key[0] + 4]) + spec.uncompressed(point)[1:],
        "x alone": key[1:],
        "32 bytes": key[:-1],
        "34 bytes": key + b"\x00",
        "first byte 0": b"\x00" + key[1:],
        "first byte 4": b"\x04" + key[1:],
        "O": b"\x00",
        "O, in 33 bytes": bytes(33),
        "no bytes": b"",
    }
    cases = [("success", good), ("INVALID_POINT", refused)]
    return [
        {"name": name, "verifying_key": data.hex(), "expect": expect}
        for expect, found in cases
        for name, data in found.items()
    ]


def signatures() -> list[Json]:
    """S_PRK: of whom it holds, and what must be refused."""
    keys = [Stream(f"signer {i}").private_key() for i in range(3)]
    keys += [octets(1), octets(spec.ORDER - 1)]
    messages = [b"", b"message", transcript("P6", bytes(32), spec.u64(1)), bytes(range(256)) * 5]
    found = []
    for index, private in enumerate(keys):
        for number, message in enumerate(messages if index == 0 else messages[1:2]):
            found.append(_signature(f"key {index}, message {number}", private, message))
    assert len({vector["normalised"] for vector in found}) == 2, "s came low and high"
    return [*found, *_no_signatures(keys[0], keys[1], messages[1])]


def _signature(name: str, private: bytes, message: bytes) -> Json:
    public = spec.public_key(private)
    covered = spec.signed(public, message)
    signature = spec.sign(private, message)
    return {
        "name": name,
        "expect": "success",
        "private_key": private.hex(),
        "verifying_key": public.hex(),
        "message": message.hex(),
        "transcript": covered.hex(),
        "nonce": octets(spec.nonce(private, spec.sha256(covered))).hex(),
        "normalised": signature != spec.ecdsa(private, covered),
        "signature": signature.hex(),
    }


def _no_signatures(private: bytes, stranger: bytes, message: bytes) -> Iterator[Json]:
    public, good = spec.public_key(private), spec.sign(private, message)
    r, s, order = good[:32], spec.number(good[32:]), octets(spec.ORDER)
    other = bytes([public[0] ^ 1]) + public[1:]
    refused = {
        "the high s": spec.other_half(good),
        "r = 0": octets(0) + octets(s),
        "s = 0": r + octets(0),
        "r = n": order + octets(s),
        "s = n": r + order,
        "r = 2^256 - 1": octets(2**256 - 1) + octets(s),
        "both 0": bytes(64),
        "r and s exchanged": octets(s) + r,
        "little-endian": r[::-1] + octets(s)[::-1],
        "63 bytes": good[:63],
        "65 bytes": good + b"\x00",
        "no bytes": b"",
        "DER": encode_dss_signature(spec.number(r), s),
        "over another message": spec.sign(private, message + b"\x00"),
        "by another key": spec.sign(stranger, message),
        'over the message alone, without T("sig")': spec.normalised(spec.ecdsa(private, message)),
        'over T("sig") of another key': spec.normalised(
            spec.ecdsa(private, spec.signed(spec.public_key(stranger), message))
        ),
        'over T("sig") of the negative key': spec.normalised(spec.ecdsa(private, spec.signed(other, message))),
    }
    for name, signature in refused.items():
        yield _refused(name, public, message, signature)
    yield _refused("under the negative key", other, message, good)


def _refused(name: str, public: bytes, message: bytes, signature: bytes) -> Json:
    return {
        "name": name,
        "expect": "SIGNATURE_INVALID",
        "verifying_key": public.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
    }


def agreements() -> list[Json]:
    """Agree, of points as they travel and of points that a message was hashed to."""
    first, second = (spec.number(Stream(f"agreement {i}").private_key()) for i in range(2))
    peer = spec.multiply(second, spec.BASE)
    hashed = transcript("seal", text("sealing"), b"\x00\x01", bytes(32))
    leading, narrow = _with_leading_zero(first, peer)
    cases = [
        ("a peer's point", first, spec.x_of(peer)),
        ("the peer's side of it", second, spec.x_of(spec.multiply(first, spec.BASE))),
        ("a product whose x begins with a zero byte", narrow, leading),
        ("x = 0", first, octets(0)),
        ("x = n + 3", first, octets(_x_near(spec.ORDER, 1))),
        ("the scalar 1", 1, spec.x_of(peer)),
        ("the scalar n - 1", spec.ORDER - 1, spec.x_of(peer)),
        ("a message hashed to the curve", first, spec.x_of(spec.hash_to_curve(hashed))),
    ]
    found = [_agreement(name, private, x, "K1", [x]) for name, private, x in cases]
    found.append(_agreement("no fields", first, spec.x_of(peer), "K1", []))
    found.append(_agreement("another label", first, spec.x_of(peer), "K2", [spec.x_of(peer)]))
    assert found[2]["shared"].startswith("00")
    return found


def _with_leading_zero(scalar: int, peer: spec.Point) -> tuple[bytes, int]:
    """The next scalar whose product with that point begins so; and the point's x."""
    point = spec.multiply(scalar, peer)
    while spec.x_of(point)[0]:
        scalar, point = scalar + 1, spec.add(point, peer)
    return spec.x_of(peer), scalar


def _agreement(name: str, private: int, x: bytes, label: str, fields: list[bytes]) -> Json:
    point = spec.point_over(x)
    shared = spec.x_of(spec.multiply(private, point))
    return {
        "name": name,
        "expect": "success",
        "private_key": octets(private).hex(),
        "point": x.hex(),
        "shared": shared.hex(),
        "key": spec.agreement_key(shared).hex(),
        "label": label,
        "fields": [field.hex() for field in fields],
        "transcript": transcript(label, *fields).hex(),
        "value": spec.agree(private, point, label, *fields).hex(),
    }


def hashed_to_curve() -> list[Json]:
    """Q(m), with what stands between: both field elements, and the points that they are mapped to."""
    messages = {
        "no bytes": b"",
        "a few bytes": b"abc",
        "K_X": transcript("shared", text("D:chen"), bytes(range(16))),
        "a seal at rest": transcript("seal", text("sealing"), b"\x00\x01", bytes(range(32))),
        "many bytes": bytes(range(256)) * 4,
    }
    found = []
    for name, message in messages.items():
        elements = spec.hash_to_field(message)
        found.append(
            {
                "name": name,
                "expect": "success",
                "tag": spec.HASHING_TAG.hex(),
                "message": message.hex(),
                "elements": [octets(element).hex() for element in elements],
                "mapped": [spec.compress(spec.map_to_curve(element)).hex() for element in elements],
                "point": spec.compress(spec.hash_to_curve(message)).hex(),
            }
        )
    return found
