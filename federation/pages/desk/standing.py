"""What every state of the desk has, and the parts that states are made of."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from federation.errors import FederationError
from federation.pages.desk.practice import Practice, Shelf, Told
from federation.person.doctor import DoctorRoom
from federation.person.drafts import Draft
from federation.words import EXPECTED, plain
from hsm.errors import HsmError


@dataclass(frozen=True, repr=False, kw_only=True)
class Desk:
    """What every state has: the practice, what lies there, and what is told once."""

    path: ClassVar[str] = "/"
    step: ClassVar[str] = ""
    """The step of a visit that this is, for the list of steps."""

    practice: Practice
    shelf: Shelf = field(default_factory=Shelf)
    told: tuple[Told, ...] = ()

    def failed(self, error: Exception) -> "Desk":
        """Return where an error leaves the desk: here, and it is told."""
        return self.telling("bad", fault_words(error))

    def telling(self, kind: str, words: str) -> Self:
        """Return the same state, which says this and nothing else."""
        return replace(self, told=(Told(kind, words),))

    def leave(self) -> None:
        """Let go of what the state holds, at the end of the program."""


@dataclass(repr=False)
class Written:
    """What the doctor has typed so far: the page sends it as it is typed, and no other page waits for it."""

    draft: Draft


@dataclass(frozen=True)
class Keeping:
    """What becomes of the encounter at the hospital: nothing asked, asked for, kept under `handle`, or not, and why."""

    department: str = ""
    handle: str = ""
    version: int = 0
    why_not: str = ""
    is_waiting: bool = False
    """Whether it can be sent again."""

    @property
    def is_asked(self) -> bool:
        """Return whether it is still to be sent."""
        return bool(self.department) and not (self.handle or self.why_not)


def close_quietly(practice: Practice, room: DoctorRoom) -> None:
    """Leave no room open that nobody needs; one that can't be closed now goes by itself."""
    if not room.is_needed:
        with suppress(FederationError, HsmError):
            practice.client.close_room(room)


def fault_words(error: Exception) -> str:
    """Return an error in plain words; of one that is a fault of ours its class alone, for its sentence could hold anything."""
    if isinstance(error, EXPECTED):
        return plain(error)
    return f"Something went wrong in this program ({type(error).__name__})."
