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
from keystore.ceremony.steps import SIGN, Step
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
        """Take a share's words from its holder, or pause or stop; none say that they are not giving one. `text` says what for."""


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
        while word(typed := self.desk.ask(prompt, f"{name} ({role}): {step.question} Yes, pause or stop")) != YES:
            if not self._heeds(typed, name):
                unclear = f"{name} ({role}) typed something else than Yes, pause or stop at the step {step.id!r}"
                self.desk.try_again(prompt, ConfirmationRefused(unclear))
        self.transcript.add("confirmed", name, step=step.id, role=role)

    def pin(self, name: str, text: str, by: str) -> PinProvider:
        """Return how a token's PIN comes in; what it raises is what the desk raises, and ConfirmationRefused for a stop.

        A PIN that is one of the two words can't be typed here.
        """
        asked = self.desk.pin(name, text)

        def heard() -> Pin:
            while self._heeds((pin := asked()).reveal(), by):
                self._ask_again(f"pin.{name}", pin.reveal(), by)
            return pin

        return heard

    def share(self, holder: str, text: str) -> str:
        """Return a share's words from its holder; none say that they are not giving one. Raises ConfirmationRefused."""
        while self._heeds(typed := self.desk.take_share(holder, text), holder):
            self._ask_again(f"share.{holder}", typed, holder)
        return typed

    def _ask_again(self, prompt: str, typed: str, name: str) -> None:
        self.desk.try_again(prompt, ConfirmationRefused(f"The ceremony goes on after {name}'s {word(typed)}."))

    def _heeds(self, typed: str, name: str) -> bool:
        """Pause or stop if somebody typed that, and return whether they did. Raises ConfirmationRefused."""
        if word(typed) == PAUSE:
            self._pause(name)
        elif word(typed) == STOP:
            self._stop(name)
        return word(typed) in {PAUSE, STOP}

    def _pause(self, name: str) -> None:
        step, on_record = self.state.step, self.state.step != SIGN  # what comes after "closed" is signatures alone
        if on_record:
            self.transcript.add("paused", name, step=step)
        self.desk.say(
            "A pause. The tokens stay open: leave nobody alone with them. For a long one press Ctrl-C instead,"
        )
        self.desk.say("which closes them; --resume goes on from this step.")
        lead = self.plan.roles.administrator
        self.desk.ask(f"{step}.go-on", f"{lead} presses Enter to go on")
        if on_record:
            self.transcript.add("continued", lead, step=step)

    def _stop(self, name: str) -> None:
        """Stop the ceremony for good if a reason is given. Raises ConfirmationRefused."""
        step, role = self.state.step, self.plan.roles.role_of(name)
        text = f"{name}: why? It goes on record, and what was made is destroyed. Enter alone goes back"
        why = self.desk.ask(f"{step}.{name}.why", text).strip()
        if why:
            self.transcript.add("refused", name, step=step, role=role, why=why)
            raise ConfirmationRefused(f"{name} ({role}) stopped it at the step {step!r}: {why}")

    def close(self) -> None:
        """Close every token."""
        for token in self.tokens.values():
            token.close()
        self.tokens.clear()
        self.issuer = None
