"""S_X for a token that takes no private key by PKCS#11: kept sealed until the maker's own tool has put it in."""

from dataclasses import dataclass
from typing import Self

from federation.errors import OutOfOrder
from federation.protocol.statements import peek_statement
from federation.v1.statement_pb2 import Credential, KeyStatement, SignedStatement
from keystore.curve import POINT_BYTES
from keystore.policies import REGISTRATION_PREFIX


class HandOverAwaited(OutOfOrder):
    """A registration waits for its secret to be put into the token by the maker's tool; no peer is told."""

    reason = "HAND_OVER_AWAITED"
    in_words = "Your token's maker's own tool has to finish the registration."
    to_do = "Put the secret in with that tool, and run the command again."


@dataclass(frozen=True, repr=False)
class HandOver:
    """What a registration's answer gave, and is not in the token yet: KS_X, S_X, and a doctor's Cert_D, else empty."""

    key_statement: SignedStatement
    registration_secret: bytes
    certificate: bytes

    @property
    def serial(self) -> bytes:
        """Return the serial of the credential."""
        return Credential.FromString(peek_statement(KeyStatement, self.key_statement).credential).serial

    @property
    def label(self) -> str:
        """Return what S_X has to be called in the token."""
        return REGISTRATION_PREFIX + self.serial.hex()

    def to_bytes(self) -> bytes:
        """Return the form that is sealed."""
        statement = self.key_statement.SerializeToString(deterministic=True)
        return b"".join((self.registration_secret, len(statement).to_bytes(4, "big"), statement, self.certificate))

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Read what `to_bytes` gave."""
        secret, size, rest = content[:POINT_BYTES], content[POINT_BYTES : POINT_BYTES + 4], content[POINT_BYTES + 4 :]
        end = int.from_bytes(size, "big")
        return cls(SignedStatement.FromString(rest[:end]), secret, rest[end:])
