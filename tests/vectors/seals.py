"""The vectors of both kinds of seal below the messages: at rest, and HPKE's. ML-KEM and AES are pyca's, the rest is spec.py's."""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors import spec
from tests.vectors.curve import OF_THE_TWIST, SMALLEST_X, WRAPPED
from tests.vectors.draws import Json, Stream
from tests.vectors.spec import octets, text

MLKEM_CIPHERTEXT_BYTES, MLKEM_KEY_BYTES, POINT_BYTES, TAG_BYTES = 1088, 1184, 65, 16
ENCAPSULATED_BYTES = MLKEM_CIPHERTEXT_BYTES + POINT_BYTES
MOST_GENERATION = 2**16 - 1
ZERO_NONCE = bytes(12)


@dataclass(frozen=True)
class Rest:
    """One seal at rest, under a server's HMAC key or a person's agreement key."""

    kind: str
    key: bytes
    purpose: str
    generation: int
    batch: bytes
    salt: bytes

    @property
    def transcript(self) -> bytes:
        """T("seal-batch", purpose, generation, batch)."""
        return spec.batch_transcript(self.purpose, self.generation, self.batch)

    @property
    def batch_key(self) -> bytes:
        """PRF of it."""
        if self.kind == "HMAC-SHA256":
            return spec.hmac.digest(self.key, self.transcript, "sha256")
        return spec.prf(spec.number(self.key), spec.hash_to_curve(self.transcript), self.transcript)

    @property
    def seal_key(self) -> bytes:
        """HMAC(batch key, T("seal", salt))."""
        return spec.seal_key(self.batch_key, self.salt)

    def sealed(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Generation, batch, salt, ciphertext and tag."""
        ciphertext = AESGCM(self.seal_key).encrypt(ZERO_NONCE, plaintext, associated_data)
        return self.generation.to_bytes(2, "big") + self.batch + self.salt + ciphertext


def at_rest() -> list[Json]:
    """Seals of servers and of persons, and what does not open."""
    found = []
    for kind in ("HMAC-SHA256", "agree"):
        draw = Stream(f"seal at rest {kind}")
        key = draw(32) if kind == "HMAC-SHA256" else draw.private_key()
        batch, place = draw(16), b"where it is"
        seals = {
            "a seal": (Rest(kind, key, "sealing", 1, batch, draw(16)), b"content", place),
            "another of its batch": (Rest(kind, key, "sealing", 1, batch, draw(16)), b"content", place),
            "of nothing, nowhere": (Rest(kind, key, "sealing", 1, draw(16), draw(16)), b"", b""),
            "a later generation, another purpose": (
                Rest(kind, key, "records", 258, draw(16), draw(16)),
                bytes(1000),
                b"there",
            ),
            "the last generation": (
                Rest(kind, key, "sealing", MOST_GENERATION, draw(16), draw(16)),
                b"content",
                place,
            ),
        }
        for name, (seal, plaintext, bound) in seals.items():
            found.append(_at_rest(f"{kind}: {name}", seal, plaintext, bound))
        found += _broken(found[-len(seals)])
    return found


def _at_rest(name: str, seal: Rest, plaintext: bytes, associated_data: bytes) -> Json:
    vector = {
        "name": name,
        "expect": "success",
        "kind": seal.kind,
        "key": seal.key.hex(),
        "purpose": seal.purpose,
        "generation": seal.generation,
        "batch": seal.batch.hex(),
        "salt": seal.salt.hex(),
        "transcript": seal.transcript.hex(),
    }
    if seal.kind == "agree":
        vector["point"] = spec.compress(spec.hash_to_curve(seal.transcript)).hex()
    return vector | {
        "batch_key": seal.batch_key.hex(),
        "seal_key": seal.seal_key.hex(),
        "associated_data": associated_data.hex(),
        "plaintext": plaintext.hex(),
        "sealed": seal.sealed(plaintext, associated_data).hex(),
    }


def _broken(good: Json) -> Iterator[Json]:
    sealed = bytes.fromhex(good["sealed"])
    common = {name: good[name] for name in ("kind", "key", "purpose", "generation", "associated_data", "sealed")}
    changes = {
        "of another place": {"associated_data": b"elsewhere".hex()},
        "of another purpose": {"purpose": "records"},
        "another batch": {"sealed": (sealed[:2] + bytes(16) + sealed[18:]).hex()},
        "another salt": {"sealed": (sealed[:18] + bytes(16) + sealed[34:]).hex()},
        "a flipped bit": {"sealed": (sealed[:-1] + bytes([sealed[-1] ^ 1])).hex()},
        "cut short": {"sealed": sealed[:-1].hex()},
        "no tag": {"sealed": sealed[: 34 + TAG_BYTES - 1].hex()},
        "no salt": {"sealed": sealed[:33].hex()},
        "no batch": {"sealed": sealed[:17].hex()},
        "no generation": {"sealed": sealed[:1].hex()},
    }
    for name, change in changes.items():
        yield {"name": f"{good['kind']}: {name}", "expect": "SEAL_BROKEN"} | common | change


@dataclass(frozen=True)
class Receiver:
    """A key pair of MLKEM768-P256: the halves' seed and scalar."""

    seed: bytes
    private_key: bytes

    @property
    def _mlkem(self) -> MLKEM768PrivateKey:
        return MLKEM768PrivateKey.from_seed_bytes(self.seed)

    @property
    def point(self) -> spec.Point:
        """The P-256 half's public key."""
        return spec.multiply(spec.number(self.private_key), spec.BASE)

    @property
    def encryption_key(self) -> bytes:
        """PUK_kem."""
        return self._mlkem.public_key().public_bytes_raw() + spec.uncompressed(self.point)

    def encapsulate(self, ephemeral: int) -> tuple[bytes, bytes]:
        """Give enc and the shared secret of a fresh encapsulation with that ephemeral scalar."""
        secret, ciphertext = self._mlkem.public_key().encapsulate()
        share = spec.uncompressed(spec.multiply(ephemeral, spec.BASE))
        product = spec.x_of(spec.multiply(ephemeral, self.point))
        combined = spec.combined(secret, product, share, spec.uncompressed(self.point))
        return ciphertext + share, combined

    def decapsulate(self, encapsulated: bytes) -> bytes:
        """Give the shared secret of enc. Raises ValueError for a share that is no point."""
        ciphertext, share = encapsulated[:MLKEM_CIPHERTEXT_BYTES], encapsulated[MLKEM_CIPHERTEXT_BYTES:]
        product = spec.x_of(spec.multiply(spec.number(self.private_key), spec.read_uncompressed(share)))
        secret = self._mlkem.decapsulate(ciphertext)
        return spec.combined(secret, product, share, spec.uncompressed(self.point))


def hpke(receiver: Receiver, kept: list[Json]) -> list[Json]:
    """The smallest seals, without a message in them, and what does not open. What was sealed before stays while it opens."""
    narrow = _with_leading_zero(receiver.point)
    ephemerals = {"a seal": spec.scalar(Stream("hpke")(48)), "an ECDH that begins with a zero byte": narrow}
    before = {vector["name"]: vector for vector in kept}
    found = [_seal(name, receiver, e, before.get(name)) for name, e in ephemerals.items()]
    return found + list(_unopened(receiver, found[0]))


def _with_leading_zero(point: spec.Point) -> int:
    scalar, product = 2, spec.multiply(2, point)
    while spec.x_of(product)[0]:
        scalar, product = scalar + 1, spec.add(product, point)
    return scalar


def _seal(name: str, receiver: Receiver, ephemeral: int, kept: Json | None) -> Json:
    info, plaintext, associated_data = b"info", b"plaintext", b""
    encapsulated, secret = receiver.encapsulate(ephemeral)
    if kept and opens(receiver, kept, ephemeral):
        encapsulated = bytes.fromhex(kept["sealed"])[:ENCAPSULATED_BYTES]
        secret = receiver.decapsulate(encapsulated)
    key, nonce = spec.hpke_key(secret, info)
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, associated_data)
    return {
        "name": name,
        "expect": "success",
        **_keys(receiver),
        "info": info.hex(),
        "plaintext": plaintext.hex(),
        "shared_secret": secret.hex(),
        "key": key.hex(),
        "nonce": nonce.hex(),
        "sealed": (encapsulated + ciphertext).hex(),
    }


def _keys(receiver: Receiver) -> Json:
    return {
        "mlkem_seed": receiver.seed.hex(),
        "p256_private_key": receiver.private_key.hex(),
        "encryption_key": receiver.encryption_key.hex(),
        "key_id": spec.sha256(receiver.encryption_key)[:16].hex(),
    }


def opens(receiver: Receiver, vector: Json, ephemeral: int) -> bool:
    """Say whether a seal of these keys, with this ephemeral, still opens to its plaintext."""
    sealed, info, plaintext = (bytes.fromhex(vector[name]) for name in ("sealed", "info", "plaintext"))
    encapsulated, ciphertext = sealed[:ENCAPSULATED_BYTES], sealed[ENCAPSULATED_BYTES:]
    if encapsulated[MLKEM_CIPHERTEXT_BYTES:] != spec.uncompressed(spec.multiply(ephemeral, spec.BASE)):
        return False
    key, nonce = spec.hpke_key(receiver.decapsulate(encapsulated), info)
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, None) == plaintext
    except InvalidTag:
        return False


def _unopened(receiver: Receiver, good: Json) -> Iterator[Json]:
    sealed = bytes.fromhex(good["sealed"])
    mlkem, share = sealed[:MLKEM_CIPHERTEXT_BYTES], sealed[MLKEM_CIPHERTEXT_BYTES:ENCAPSULATED_BYTES]
    rest, point = sealed[ENCAPSULATED_BYTES:], spec.read_uncompressed(share)
    assert point is not None
    negative = spec.uncompressed((point[0], spec.PRIME - point[1]))
    smallest = spec.uncompressed(spec.point_over(octets(SMALLEST_X)))
    shares = {
        "an ephemeral key that is not on the curve": share[:-1] + bytes([share[-1] ^ 1]),
        "an ephemeral key of the twist": b"\x04" + bytes.fromhex(OF_THE_TWIST[5]) + octets(1),
        "an ephemeral key of x = p + 5": b"\x04" + octets(WRAPPED) + smallest[33:],
        "an ephemeral key of zeros": bytes(POINT_BYTES),
        "the negative ephemeral key": negative,
        "a compressed ephemeral key, and zeros": spec.compress(point) + bytes(32),
        "a hybrid ephemeral key": bytes([6 + (share[-1] & 1)]) + share[1:],
    }
    changed = {name: mlkem + other + rest for name, other in shares.items()} | {
        "a flipped bit of the ML-KEM ciphertext": bytes([sealed[0] ^ 1]) + sealed[1:],
        "a flipped bit of the tag": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "no tag": sealed[: ENCAPSULATED_BYTES + TAG_BYTES - 1],
        "a compressed ephemeral key": mlkem + spec.compress(point) + rest,
        "enc alone": sealed[:ENCAPSULATED_BYTES],
        "no bytes": b"",
    }
    for name, other in changed.items():
        yield _closed(name, receiver, good["info"], other)
    yield _closed("another info", receiver, text("other").hex(), sealed)


def _closed(name: str, receiver: Receiver, info: str, sealed: bytes) -> Json:
    return {"name": name, "expect": "SEAL_INVALID", **_keys(receiver), "info": info, "sealed": sealed.hex()}
