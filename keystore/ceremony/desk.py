"""The desk at which a ceremony is held: how its script talks to the people present."""

from typing import Protocol

from hsm import PinProvider


class Desk(Protocol):
    """A terminal, or an answers file in its place. Prompts are named by step and person: `token.Wanda`."""

    def say(self, text: str) -> None:
        """Show lines to everybody."""

    def ask(self, prompt: str, text: str) -> str:
        """Ask somebody for a line. Raises AnswerMissing, EOFError, KeyboardInterrupt."""

    def pin(self, name: str, text: str) -> PinProvider:
        """Give how the PIN of a token comes in: "token", "issuer", or a participant's name."""

    def show_share(self, holder: str, share: str) -> None:
        """Show a share to its holder alone, until they have written it down."""

    def take_share(self, holder: str) -> str:
        """Take a share from its holder; an empty line says that they are not giving one."""
