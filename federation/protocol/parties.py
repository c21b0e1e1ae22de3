"""A party's own side: who it is and the keys that it acts with. The keys are in its token; these are their handles."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from federation.errors import FederationError, Rejected, Replayed
from federation.protocol.identities import Identified
from federation.protocol.verifier import VerifiedParty
from federation.v1.statement_pb2 import SignedStatement
from keystore.encryption import Keyring
from keystore.registration_secret import RegistrationSecret
from keystore.signatures import SigningKey

Entropy = Callable[[int], bytes]
"""Fresh randomness: so many uniform bytes. A parameter of every step that needs it."""

S = TypeVar("S")


@dataclass(frozen=True)
class Party(Identified):
    """A registered party. `encryption_key_statement` is its newest EK_X; `certificate` a doctor's Cert_D, else empty."""

    self_: VerifiedParty
    signing_key: SigningKey
    registration_secret: RegistrationSecret
    keyring: Keyring
    encryption_key_statement: SignedStatement
    certificate: bytes = b""

    @property
    def identity(self) -> str:
        """Return ID_X."""
        return self.self_.identity


@dataclass(frozen=True)
class Pending(Generic[S]):
    """A state that a message leads to, once its replay key is kept (B2): shared by all workers, durable, failing closed."""

    replay_key: bytes
    keep_until: int
    _next: S

    @property
    def begun(self) -> S:
        """Return the state for work of which nothing leaves before the key is kept: together with what is written of it."""
        return self._next

    def admit(self, inserted: bool) -> S:
        """Return the state if the key was new. Raises Rejected for a replay."""
        if not inserted:
            raise Rejected("the message was not accepted") from Replayed("this message was taken before")
        return self._next


def reason_of(error: BaseException) -> str:
    """Return the precise reason of a refusal for the audit log: the cause's where the refusal is `Rejected`."""
    if isinstance(error, Rejected) and error.__cause__ is not None:
        return reason_of(error.__cause__)
    if isinstance(error, FederationError) and error.__cause__ is not None and error.reason == FederationError.reason:
        return reason_of(error.__cause__)
    return str(getattr(error, "reason", FederationError.reason))
