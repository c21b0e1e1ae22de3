"""What a ceremony has at hand while it runs, and how it is asked whether to go on."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from cryptography import x509

from hsm import PinProvider, Token
from hsm.errors import PinUnavailable
from keystore.ceremony.desk import Desk
from keystore.ceremony.errors import ConfirmationRefused
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.plan import Plan
from keystore.ceremony.state import State
from keystore.ceremony.transcript import Transcript
from keystore.ceremony.words import spoken

YES = "Yes"


@dataclass(frozen=True)
class OpenIssuer:
    """The medical authority, its token open."""

    token: Token
    certificate: x509.Certificate


def _no_pin() -> NoReturn:
    raise PinUnavailable("The ceremony has not come to the token's PIN.")


@dataclass
class Room:
    """The ceremony under way. Tokens are None until their step has opened them."""

    plan: Plan
    desk: Desk
    transcript: Transcript
    state: State
    now: Callable[[], datetime]
    tokens: dict[str, Token] = field(default_factory=dict)
    issuer: OpenIssuer | None = None
    pin: PinProvider = _no_pin
    openssl: OpenSsl | None = None

    @property
    def token(self) -> Token:
        """Give the token that this ceremony is about."""
        return self.tokens["token"]

    def show_digest(self, what: str, digest: bytes) -> None:
        """Show a digest for the eye and for the ear."""
        self.desk.say(f"SHA-256 of {what}:")
        self.desk.say(f"    {digest.hex()}")
        for line in spoken(digest):
            self.desk.say(f"    {line}")

    def confirm(self, step: str, names: tuple[str, ...]) -> None:
        """Have each of them type "Yes", exactly. Raises ConfirmationRefused with what they typed instead."""
        for name in names:
            role = self.plan.roles.role_of(name)
            typed = self.desk.ask(f"{step}.{name}", f'{name} ({role}): type "Yes", or else why not')
            agreed = hmac.compare_digest(typed.encode(), YES.encode())
            self.transcript.add("confirmed" if agreed else "refused", name, step=step, role=role, typed=typed)
            if not agreed:
                raise ConfirmationRefused(f"{name} ({role}) said {typed!r} at the step {step!r}")

    def close(self) -> None:
        """Close every token."""
        for token in self.tokens.values():
            token.close()
        self.tokens.clear()
        self.issuer = None
