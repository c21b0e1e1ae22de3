"""Who is asked and what is at hand while a ceremony runs: the desk at which it is held, and the room.

What somebody typed goes on record if it is "Yes" or the reason for which they stop the ceremony, and never otherwise: it may be
a PIN that was typed at the wrong prompt.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from cryptography import x509

from hsm import Pin, PinProvider, Token
from keystore.ceremony.errors import ConfirmationRefused
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.plan import OWN, Plan
from keystore.ceremony.steps import Step
from keystore.ceremony.transcript import State, Transcript, spoken
from keystore.quorum import Share


class Desk(Protocol):
    """A terminal, or an answers file in its place. Prompts are named by step and person: `token.Wanda`."""

    def say(self, text: str) -> None:
        """Show lines to everybody. Raises EOFError if nobody can see them any more."""

    def ask(self, prompt: str, text: str) -> str:
        """Ask somebody for a line. Raises AnswerMissing, EOFError, KeyboardInterrupt."""

    def try_again(self, prompt: str, error: Exception) -> None:
        """Say what was wrong, before the same is asked once more. Raises the error where there is no other answer.

        Prompts of PINs and shares are `pin.NAME`, `share.HOLDER`, and `shares` for all of them.
        """

    def pin(self, name: str, text: str) -> PinProvider:
        """Return how the PIN of a token comes in: "token", "twin-1", "issuer", or a participant's name."""

    def show_share(self, share: Share) -> None:
        """Show a share to its holder alone, until they have written it down."""

    def take_share(self, holder: str, text: str) -> str:
        """Take a share's words from its holder; none say that they are not giving one. `text` says what for."""


YES: Final = "yes"
PAUSE: Final = "pause"
STOP: Final = "stop"
UNDO: Final = "undo"


def word(typed: str) -> str:
    """Return what was typed as one of the words above is compared: whatever its case, without blanks around it."""
    return typed.strip().casefold()


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

    def confirm(self, step: Step) -> None:
        """Have each person named say "Yes" to what the step compares. Raises ConfirmationRefused if somebody stops it."""
        for name in step.confirm:
            self._agree(step, name)

    def _agree(self, step: Step, name: str) -> None:
        role, prompt = self.plan.roles.role_of(name), f"{step.id}.{name}"
        while (typed := word(self.desk.ask(prompt, f"{name} ({role}): {step.question} Yes, pause or stop"))) != YES:
            if typed == PAUSE:
                self._pause(step, name)
            elif typed == STOP:
                self._stop(step, name)
            else:
                unclear = f"{name} ({role}) typed something else than Yes, pause or stop at the step {step.id!r}"
                self.desk.try_again(prompt, ConfirmationRefused(unclear))
        self.transcript.add("confirmed", name, step=step.id, role=role)

    def _pause(self, step: Step, name: str) -> None:
        self.transcript.add("paused", name, step=step.id)
        self.desk.say(
            "A pause. The tokens stay open: leave nobody alone with them. For a long one press Ctrl-C instead,"
        )
        self.desk.say("which closes them; --resume goes on from this step.")
        lead = self.plan.roles.administrator
        self.desk.ask(f"{step.id}.go-on", f"{lead} presses Enter to go on")
        self.transcript.add("continued", lead, step=step.id)

    def _stop(self, step: Step, name: str) -> None:
        """Stop the ceremony for good if a reason is given. Raises ConfirmationRefused."""
        role = self.plan.roles.role_of(name)
        text = f"{name}: why? It goes on record, and what was made is destroyed. Enter alone goes back"
        why = self.desk.ask(f"{step.id}.{name}.why", text).strip()
        if why:
            self.transcript.add("refused", name, step=step.id, role=role, why=why)
            raise ConfirmationRefused(f"{name} ({role}) stopped it at the step {step.id!r}: {why}")

    def close(self) -> None:
        """Close every token."""
        for token in self.tokens.values():
            token.close()
        self.tokens.clear()
        self.issuer = None
