"""Conclusions that a doctor has begun to write: kept until they are signed, though the program ends and the visit with it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from federation.party.member import Member
from federation.person.sealed_files import SealedFiles
from federation.protocol.time import Instant

DRAFT = "draft"
"""What these files are called in their seals."""

MOST_CONCLUSION = 60_000
"""Characters of a conclusion: more than any letter has, and D5 holds it with its report."""
MOST_CODES = 8_000
"""Characters of all coded diagnoses together."""


@dataclass(frozen=True, repr=False)
class Draft:
    """What was typed of a conclusion, as it was typed: codes one a line. `saved_at` is 0 of one that was never kept."""

    patient_id: str
    conclusion: str = ""
    codes: str = ""
    saved_at: Instant = 0

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was typed."""
        return not (self.conclusion.strip() or self.codes.strip())

    def has_words_of(self, other: "Draft") -> bool:
        """Return whether the two are the same text."""
        return (self.conclusion, self.codes) == (other.conclusion, other.codes)


class DraftStore:
    """Drafts by the session of their consultation (16 bytes), sealed under the token's key."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep them in this directory."""
        self._files = SealedFiles(directory, member, DRAFT)

    def put(self, session_id: bytes, draft: Draft) -> None:
        """Keep a draft in the place of the one before; an empty one is forgotten."""
        if draft.is_empty:
            self.remove(session_id)
        else:
            self._files.put(session_id, json.dumps(asdict(draft)).encode())

    def remove(self, session_id: bytes) -> None:
        """Forget it; none there is no error."""
        self._files.remove(session_id)

    def all(self) -> dict[bytes, Draft]:
        """Return every draft by its session, the oldest first."""
        found = {name: Draft(**json.loads(content)) for name, content in self._files.all()}
        return dict(sorted(found.items(), key=lambda it: it[1].saved_at))
