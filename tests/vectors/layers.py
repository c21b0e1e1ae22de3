"""The vectors of the layers below the messages, all from tests/vectors/spec.py: transcripts, padding, issuing, schedule.

What rests on the curve alone is in curve.py, the seals are in seals.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from federation.v1.statement_pb2 import Credential
from tests.vectors import signed, spec
from tests.vectors.draws import Json
from tests.vectors.spec import octets, sha256, text, u64


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


def issuing(cast: Json, answers: dict[str, Any], issuers: dict[str, bytes]) -> list[Json]:
    """Eq. 2-10 of every party: M_X to R_X1, S_X, z, U_X and K_X, by the s of its PK; and what is nobody's credential."""
    keys = [bytes.fromhex(cast["cloud"][name]) for name in ("issuing_key", "retired_issuing_key")]
    by_public_key = {spec.public_key(key): key for key in keys}
    issued = [issue(by_public_key[issuers[name]], name, answers[name].credential) for name in answers]
    return [*issued, *_of_both_halves(keys[0], answers["patient"].credential), *_not_issued(keys, issued[0])]


def issue(key: bytes, name: str, encoded: bytes) -> Json:
    """What s makes of a credential."""
    issuer = spec.public_key(key)
    message = spec.credential_transcript(issuer, encoded)
    signature = spec.ecdsa(key, message)
    point, secret = signature[:32], signature[32:]
    credential = Credential.FromString(encoded)
    hashed = spec.transcript("shared", text(credential.identity), credential.serial)
    return {
        "name": name,
        "expect": "success",
        "issuing_key": key.hex(),
        "issuer_public_key": issuer.hex(),
        "credential": encoded.hex(),
        "transcript": message.hex(),
        "nonce": octets(spec.nonce(key, sha256(message))).hex(),
        "hash_scalar": octets(spec.number(sha256(message)) % spec.ORDER).hex(),
        "registration_point": point.hex(),
        "registration_secret": secret.hex(),
        "public_point": spec.compress(spec.public_point(point, issuer, message)).hex(),
        "identity": credential.identity,
        "serial": credential.serial.hex(),
        "shared_point": spec.compress(spec.hash_to_curve(hashed)).hex(),
        "shared_key": spec.shared_key(secret, credential.identity, credential.serial).hex(),
    }


def _of_both_halves(key: bytes, encoded: bytes) -> Iterator[Json]:
    """One S_X of the lower half and one of the upper: it is not normalised as other signatures are."""
    credential, found = Credential.FromString(encoded), set[bool]()
    while len(found) < 2:
        credential.serial = sha256(credential.serial)[:16]
        vector = issue(key, "", credential.SerializeToString(deterministic=True))
        high = spec.number(bytes.fromhex(vector["registration_secret"])) > spec.ORDER // 2
        if high not in found:
            yield vector | {"name": f"S_X of the {'upper' if high else 'lower'} half"}
        found.add(high)


def _not_issued(keys: list[bytes], good: Json) -> Iterator[Json]:
    """What breaks eq. 4, 7, 10; and a rho that only who has s can make, for which U_X is O."""
    given = "issuer_public_key", "credential", "registration_point", "registration_secret"
    common, secret = {name: good[name] for name in given}, spec.number(bytes.fromhex(good["registration_secret"]))
    rho = spec.number(bytes.fromhex(good["registration_point"]))
    credential = Credential.FromString(bytes.fromhex(good["credential"]))
    credential.serial = bytes(16)
    others = (key for key in map(spec.public_key, keys) if key.hex() != good["issuer_public_key"])
    changes = {
        "another credential": {"credential": credential.SerializeToString(deterministic=True).hex()},
        "another PK": {"issuer_public_key": next(others).hex()},
        "another rho": {"registration_point": _next_point(rho).hex()},
        "S_X + 1": {"registration_secret": octets(secret + 1).hex()},
        "S_X = 0": {"registration_secret": octets(0).hex()},
        "S_X = n": {"registration_secret": octets(spec.ORDER).hex()},
        "S_X little-endian": {"registration_secret": octets(secret)[::-1].hex()},
    }
    for name, change in changes.items():
        yield {"name": name, "expect": "CREDENTIAL_INVALID"} | common | change
    yield _without_public_point(bytes.fromhex(good["issuing_key"]), credential)


def _next_point(rho: int) -> bytes:
    rho += 1
    while not spec.may_be_registered(octets(rho)):
        rho += 1
    return octets(rho)


def _without_public_point(key: bytes, credential: Credential) -> Json:
    issuer, rho = spec.public_key(key), bytes(32)
    while not spec.may_be_registered(rho):
        credential.serial = sha256(credential.serial)[:16]
        encoded = credential.SerializeToString(deterministic=True)
        message = spec.credential_transcript(issuer, encoded)
        rho = octets(-spec.number(sha256(message)) * pow(spec.number(key), -1, spec.ORDER) % spec.ORDER)
    assert spec.public_point(rho, issuer, message) is None
    return {
        "name": "U_X = O",
        "expect": "INVALID_POINT",
        "issuer_public_key": issuer.hex(),
        "credential": encoded.hex(),
        "registration_point": rho.hex(),
    }


@dataclass(frozen=True)
class Draws:
    """What one side of a handshake draws first: r and e."""

    agreement: int
    ephemeral: int

    @classmethod
    def of(cls, drawn: bytes) -> "Draws":
        """Read the two scalars from recorded entropy: 48 bytes each."""
        size = spec.SEED_BYTES
        return cls(spec.scalar(drawn[:size]), spec.scalar(drawn[size : 2 * size]))


def session(
    name: str,
    roles: str,
    draws: tuple[bytes, bytes],
    issued: tuple[Json, Json],
    contributions: tuple[bytes, bytes],
    th: Any,
) -> Json:
    """SEK_1 or SEK_2 from both sides' scalars and secrets (eq. 17, 39): opener first, answerer second."""
    transcript: signed.Transcript = th
    opener, answerer = map(Draws.of, draws)
    digest = sha256(transcript.encoded)
    (opener_base, opener_secret, _), (base, secret, public) = map(_read, issued)
    sent = spec.x_of(spec.multiply(opener.agreement, base))
    answered = spec.x_of(spec.multiply(answerer.agreement, opener_base))
    ephemerals = [spec.multiply(side.ephemeral, spec.BASE) for side in (opener, answerer)]
    k1 = spec.agree(secret, spec.point_over(sent), "K1", sent)
    k2 = spec.agree(opener_secret, spec.point_over(answered), "K2", answered)
    z = spec.x_of(spec.multiply(answerer.ephemeral, ephemerals[0]))
    assert k1 == spec.agree(opener.agreement, public, "K1", sent), "both sides have the same K1"
    keys = spec.session_keys((k1, k2, z), contributions, digest, roles)
    return {
        "name": name,
        "expect": "success",
        "roles": roles,
        "opener_agreement_scalar": octets(opener.agreement).hex(),
        "opener_ephemeral_scalar": octets(opener.ephemeral).hex(),
        "opener_agreement_point": sent.hex(),
        "opener_ephemeral_point": spec.x_of(ephemerals[0]).hex(),
        "answerer_agreement_scalar": octets(answerer.agreement).hex(),
        "answerer_ephemeral_scalar": octets(answerer.ephemeral).hex(),
        "answerer_agreement_point": answered.hex(),
        "answerer_ephemeral_point": spec.x_of(ephemerals[1]).hex(),
        "K1": k1.hex(),
        "K2": k2.hex(),
        "Z": z.hex(),
        "contributions": [part.hex() for part in contributions],
        "transcript_hash": {
            "label": transcript.label,
            "fields": [field.hex() for field in transcript.fields],
            "value": digest.hex(),
        },
        "keys": {key: value.hex() for key, value in keys.items()},
    }


def _read(issued: Json) -> tuple[spec.Point, int, spec.Point]:
    """The point over R_X1, S_X, U_X."""
    point, secret, public = (
        bytes.fromhex(issued[name]) for name in ("registration_point", "registration_secret", "public_point")
    )
    return spec.point_over(point), spec.number(secret), spec.decompress(public)
