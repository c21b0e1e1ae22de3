"""S_PRK: ECDSA on P-256 with SHA-256, bound to its key, in one form (docs/protocol.md, section 1).

ECDSA does not bind its key: a signer can make a second key for its signature, or one signature for two messages. Signatures
here are evidence, so what is signed is T("sig", PUK, message); and (r, n - s) would be another signature of the same, so s
is at most n/2.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystore.curve import ORDER, compressed, verifying_point
from keystore.transcript import transcript

SIGNATURE_BYTES = 64
ECDSA_SHA256 = ec.ECDSA(SHA256())
_HALF_BYTES = SIGNATURE_BYTES // 2


class VerifyingKey:
    """PUK_X, PK or PUK_C: 33 bytes, compressed. Equal where its bytes are."""

    def __init__(self, data: bytes) -> None:
        """Read a key. Raises InvalidPoint."""
        self.x509: ec.EllipticCurvePublicKey = verifying_point(data)
        self.data = data

    @classmethod
    def of(cls, key: ec.EllipticCurvePublicKey) -> "VerifyingKey":
        """Return a P-256 key of pyca's. Raises InvalidPoint for a key of another curve."""
        return cls(compressed(key))

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify S_PRK over a transcript. Raises cryptography.exceptions.InvalidSignature."""
        if len(signature) != SIGNATURE_BYTES:
            raise InvalidSignature("a signature has 64 bytes")
        r, s = read(signature)
        if s > ORDER // 2:
            raise InvalidSignature("the other half of s")
        verify_ecdsa(self.x509, (r, s), transcript("sig", self.data, message))

    @property
    def spki(self) -> bytes:
        """Return the key as X.509 has it: its SubjectPublicKeyInfo, DER."""
        return self.x509.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify_text(self, signature: bytes, text: bytes) -> None:
        """Verify what `sign_text` gives, in its one form. Raises cryptography.exceptions.InvalidSignature."""
        try:
            r, s = decode_dss_signature(signature)
        except ValueError as error:
            raise InvalidSignature("this is no signature in DER") from error
        if s > ORDER // 2 or encode_dss_signature(r, s) != signature:
            raise InvalidSignature("a signature has one form")
        verify_ecdsa(self.x509, (r, s), text)

    def __eq__(self, other: object) -> bool:
        """Compare by bytes."""
        return isinstance(other, VerifyingKey) and self.data == other.data

    def __hash__(self) -> int:
        """Hash by bytes."""
        return hash(self.data)

    def __repr__(self) -> str:
        """Show the key, which is public."""
        return f"VerifyingKey({self.data.hex()})"


class SigningKey:
    """PRK_X, in a token or not. `x509` is the same key for what X.509 signs in its own way."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Wrap a P-256 key. Raises InvalidPoint for one of another curve."""
        self.x509 = key
        self.verifying_key = VerifyingKey.of(key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return S_PRK over a transcript: r || s, 64 bytes. Raises hsm.errors.HsmError of a key in a token."""
        r, s = sign_ecdsa(self.x509, transcript("sig", self.verifying_key.data, message))
        return written(r, min(s, ORDER - s))

    def sign_text(self, text: bytes) -> bytes:
        """Sign a text that others' tools verify (C2SP signed-note, type 0x02): DER, of the text itself, s at most n/2.

        Raises ValueError for what could be taken for a transcript, and HsmError of a key in a token.
        """
        if b"\0" in text or not text.endswith(b"\n"):
            raise ValueError("a transcript has zeros in it, and a text has none and ends its last line")
        r, s = sign_ecdsa(self.x509, text)
        return encode_dss_signature(r, min(s, ORDER - s))

    def __repr__(self) -> str:
        """Show the public half alone."""
        return f"SigningKey({self.verifying_key.data.hex()})"


def sign_ecdsa(key: ec.EllipticCurvePrivateKey, data: bytes) -> tuple[int, int]:
    """Return (r, s) of ECDSA with SHA-256 over bytes (FIPS 186-5, section 6.4.1)."""
    return decode_dss_signature(key.sign(data, ECDSA_SHA256))


def verify_ecdsa(key: ec.EllipticCurvePublicKey, signature: tuple[int, int], data: bytes) -> None:
    """Verify ECDSA with SHA-256 (FIPS 186-5, section 6.4.2). Raises cryptography.exceptions.InvalidSignature."""
    key.verify(encode_dss_signature(*signature), data, ECDSA_SHA256)


def written(r: int, s: int) -> bytes:
    """Return r || s, each 32 bytes big-endian."""
    return r.to_bytes(_HALF_BYTES, "big") + s.to_bytes(_HALF_BYTES, "big")


def read(signature: bytes) -> tuple[int, int]:
    """Invert `written`; whether r and s are from 1 to n - 1 is for the verification to find."""
    return int.from_bytes(signature[:_HALF_BYTES], "big"), int.from_bytes(signature[_HALF_BYTES:], "big")
