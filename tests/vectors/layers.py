"""The vectors of the layers below the messages, all from tests/vectors/spec.py."""

from typing import Any

from federation.v1.statement_pb2 import Credential
from tests.vectors import signed, spec
from tests.vectors.software import Json, Stream
from tests.vectors.spec import sha256, text, u64

ORDER_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
ORDER_4 = bytes(32).hex()
ORDER_2 = (spec.PRIME - 1).to_bytes(32, "little").hex()
OFF_CURVE = (2).to_bytes(32, "little").hex()
NEGATIVE_ZERO = (1 | 1 << 255).to_bytes(32, "little").hex()


def non_canonical(value: int) -> str:
    """A y-coordinate at or above the field's prime."""
    return (spec.PRIME + value).to_bytes(32, "little").hex()


def transcripts() -> list[Json]:
    """T itself."""
    cases: list[tuple[str, list[bytes]]] = [
        ("P1", []),
        ("P1", [b""]),
        ("P1", [b"", b""]),
        ("P1", [b"ab", b"c"]),
        ("P1", [b"a", b"bc"]),
        ("row", [text("H:alpha"), u64(2**64 - 1)]),
        ("scope", [text("read"), text("cardiology"), spec.listing([])]),
        ("scope", [text("read"), text("*"), spec.listing([b"handle of record", b""])]),
        ("C", [spec.listing([spec.transcript("row", b"one"), spec.transcript("row", b"two")])]),
        ("cred", [bytes(range(256))]),
    ]
    return [_transcript(label, fields) for label, fields in cases]


def _transcript(label: str, fields: list[bytes]) -> Json:
    encoded = spec.transcript(label, *fields)
    return {
        "expect": "success",
        "label": label,
        "fields": [field.hex() for field in fields],
        "transcript": encoded.hex(),
        "sha256": sha256(encoded).hex(),
    }


def paddings() -> list[Json]:
    """padded(n): at the edges of the smallest class, of powers of two, of the classes between, of what may be sent."""
    edges = [2**power + off for power in (11, 12, 16, 19, 20, 24, 27) for off in (-1, 0, 1)]
    sizes = sorted({0, 1, 359, 472, 3000, 65_540, 500_000, 983_044, 17_694_720, 105_000_000, 2**40 + 1, *edges})
    return [{"expect": "success", "size": size, "padded": spec.padded_size(size)} for size in sizes]


def points() -> list[Json]:
    """What may be received, and what may not."""
    one = Stream("point")(32)
    good = [spec.compress(spec.multiply(spec.scalar(one) + i, spec.BASE)).hex() for i in range(3)]
    mixed = spec.add(spec.decompress(bytes.fromhex(good[0])), spec.decompress(bytes.fromhex(ORDER_8)))
    base = spec.compress(spec.BASE)
    negated = spec.compress((spec.PRIME - spec.BASE[0], spec.BASE[1]))
    refused = {
        "the neutral element O": spec.compress(spec.NEUTRAL).hex(),
        "B": base.hex(),
        "-B": negated.hex(),
        "of order 2": ORDER_2,
        "of order 4": ORDER_4,
        "of order 8": ORDER_8,
        "of order 8 L": spec.compress(mixed).hex(),
        "not on the curve": OFF_CURVE,
        "x = 0 with its sign set": NEGATIVE_ZERO,
        "y = p, not canonical": non_canonical(0),
        "y = p + 1, not canonical": non_canonical(1),
        "y = 2^255 - 1, not canonical": (2**255 - 1).to_bytes(32, "little").hex(),
        "31 bytes": good[0][:-2],
        "33 bytes": good[0] + "00",
    }
    accepted = [{"name": f"point {i}", "point": point, "expect": "success"} for i, point in enumerate(good)]
    return accepted + [{"name": name, "point": p, "expect": "INVALID_POINT"} for name, p in refused.items()]


def issuing(cast: Json, answers: dict[str, Any], issuers: dict[str, bytes]) -> list[Json]:
    """Eq. 2-10 of every party: M_X to R_X1, S_X, h, U_X, the token's form and K_X, by the s of its PK."""
    seeds = [bytes.fromhex(cast["cloud"][name]) for name in ("issuing_seed", "retired_issuing_seed")]
    by_public_key = {spec.public_key(seed): seed for seed in seeds}
    return [_issued(by_public_key[issuers[name]], name, answers[name]) for name in answers]


def _issued(seed: bytes, name: str, answer: Any) -> Json:
    message = spec.transcript("cred", answer.credential)
    issuer, signature = spec.public_key(seed), spec.sign(seed, message)
    point, secret = signature[:32], signature[32:]
    form = spec.token_form(secret)
    credential = Credential.FromString(answer.credential)
    return {
        "name": name,
        "expect": "success",
        "issuing_seed": seed.hex(),
        "issuer_public_key": issuer.hex(),
        "credential": answer.credential.hex(),
        "transcript": message.hex(),
        "registration_point": point.hex(),
        "registration_secret": secret.hex(),
        "challenge_scalar": spec.challenge(point, issuer, message).to_bytes(32, "little").hex(),
        "public_point": spec.public_point(point, issuer, message).hex(),
        "token_form": form.hex(),
        "identity": credential.identity,
        "serial": credential.serial.hex(),
        "shared_key": spec.shared_key(form, issuer, credential.identity, credential.serial).hex(),
    }


def full_points(issued: list[Json]) -> list[Json]:
    """S_X R from the two u-coordinates that a token gives."""
    vectors = []
    for party in issued:
        for index in range(2):
            scalar = spec.scalar(Stream(f"full point {party['name']} {index}")(64))
            point = spec.compress(spec.multiply(scalar, spec.BASE))
            form, public = bytes.fromhex(party["token_form"]), bytes.fromhex(party["public_point"])
            u1, u2, result = spec.full_point(form, point, public)
            vectors.append(
                {
                    "expect": "success",
                    "registration_secret": party["registration_secret"],
                    "token_form": party["token_form"],
                    "public_point": party["public_point"],
                    "point": point.hex(),
                    "u1": u1.to_bytes(32, "little").hex(),
                    "u2": u2.to_bytes(32, "little").hex(),
                    "result": result.hex(),
                }
            )
    return vectors


def session(
    name: str, roles: str, draws: tuple[bytes, bytes], issued: tuple[Json, Json], plain: tuple[Any, Any], th: Any
) -> Json:
    """SEK_1 or SEK_2 from both sides' scalars and secrets (eq. 17, 39): opener first, answerer second."""
    opener_scalar, answerer_scalar = (spec.scalar(draw[:64]) for draw in draws)
    opening, reply = plain
    transcript: signed.Transcript = th
    digest = sha256(transcript.encoded)
    secret = int.from_bytes(bytes.fromhex(issued[1]["registration_secret"]), "little")
    opener_ephemeral = spec.multiply(opener_scalar, spec.BASE)
    opener_public = spec.decompress(bytes.fromhex(issued[0]["public_point"]))
    k = spec.compress(spec.add(spec.multiply(secret, opener_ephemeral), spec.multiply(answerer_scalar, opener_public)))
    z = spec.compress(spec.multiply(answerer_scalar, opener_ephemeral))
    contributions = opening.contribution, reply.contribution
    keys = spec.session_keys((k, z), contributions, digest, roles)
    return {
        "name": name,
        "expect": "success",
        "roles": roles,
        "opener_scalar": opener_scalar.to_bytes(32, "little").hex(),
        "answerer_scalar": answerer_scalar.to_bytes(32, "little").hex(),
        "K": k.hex(),
        "Z": z.hex(),
        "contributions": [part.hex() for part in contributions],
        "transcript_hash": {
            "label": transcript.label,
            "fields": [field.hex() for field in transcript.fields],
            "value": digest.hex(),
        },
        "keys": {key: value.hex() for key, value in keys.items()},
    }
