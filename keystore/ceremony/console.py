"""Who is asked and what is at hand while a ceremony runs: the desk at which it is held, and the room."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography import x509

from hsm import Pin, PinProvider, Token
from keystore.ceremony.errors import ConfirmationRefused
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.plan import OWN, Plan
from keystore.ceremony.transcript import State, Transcript, spoken


class Desk(Protocol):
    """A terminal, or an answers file in its place. Prompts are named by step and person: `token.Wanda`."""

    def say(self, text: str) -> None:
        """Show lines to everybody."""

    def ask(self, prompt: str, text: str) -> str:
        """Ask somebody for a line. Raises AnswerMissing, EOFError, KeyboardInterrupt."""

    def pin(self, name: str, text: str) -> PinProvider:
        """Return how the PIN of a token comes in: "token", "twin-1", "issuer", or a participant's name."""

    def show_share(self, holder: str, share: str) -> None:
        """Show a share to its holder alone, until they have written it down."""

    def take_share(self, holder: str) -> str:
        """Take a share from its holder; an empty line says that they are not giving one."""


YES = "Yes"


@dataclass(frozen=True)
class OpenIssuer:
    """The medical authority, its token open."""

    token: Token
    certificate: x509.Certificate


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
    pins: dict[str, PinProvider] = field(default_factory=dict)
    joined_pin: Pin | None = None
    openssl: OpenSsl | None = None

    @property
    def token(self) -> Token:
        """Return the token that this ceremony is about."""
        return self.tokens[OWN]

    @property
    def changed_tokens(self) -> dict[str, Token]:
        """Return by name the tokens that this ceremony changes, its own first."""
        return {name: self.tokens[name] for name in self.plan.tokens}

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
