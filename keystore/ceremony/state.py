"""What an interrupted ceremony leaves on the disk: where it stood, and what it had made by then. No secret is in it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import safefiles
from keystore.ceremony.errors import ResumeRefused


@dataclass
class State:
    """Where a ceremony stands. It is written before a key or a file is made, so that nothing made is unknown.

    `outputs` gives each file's SHA-256, or "" while it is being written; `pin_held` says whose PIN the token has;
    `card` is the public card of a backup whose shares are written down; `aborted` says that nothing is left to do but to undo.
    """

    path: Path
    file_sha256: str
    step: str = ""
    making: str | None = None
    made: list[str] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    before: list[str] | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    card: str | None = None
    pin_held: str = "by administrator"
    aborted: bool = False

    @classmethod
    def read(cls, path: Path, file_sha256: str) -> Self:
        """Read what an interrupted ceremony of this file left. Raises ResumeRefused."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            state = cls(path=path, **kept)
        except FileNotFoundError as error:
            raise ResumeRefused(f"{path} is not there: no ceremony was interrupted") from error
        except (ValueError, TypeError) as error:
            raise ResumeRefused(f"{path} is not what an interrupted ceremony leaves") from error
        if state.file_sha256 != file_sha256:
            raise ResumeRefused("the ceremony that was interrupted had another file")
        return state

    def save(self) -> None:
        """Put it on the disk, whole."""
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        safefiles.replace(self.path, json.dumps(kept, indent=1).encode())

    def forget(self) -> None:
        """Remove it: the ceremony is over, and nothing is half-made."""
        self.path.unlink(missing_ok=True)
