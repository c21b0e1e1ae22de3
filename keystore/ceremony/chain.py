"""The chain of ceremonies: each names the SHA-256 of the transcript before it, so that the newest vouches for all of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keystore.ceremony.errors import CeremoniesUnchained, TranscriptInvalid
from keystore.ceremony.verify import Verified, verify


@dataclass(frozen=True)
class VerifiedChain:
    """The newest ceremony; those before it by file, newest first; the SHA-256 of the next one, if it was not given."""

    newest: Verified
    earlier: Mapping[str, Verified]
    not_given: str | None


def verify_chain(newest: bytes, earlier: Mapping[str, bytes], pinned: Mapping[str, str] | None = None) -> VerifiedChain:
    """Check a transcript and those before it, which come by file in any order. Raises TranscriptInvalid.

    From the newest back; the first that is wrong is named. Who is pinned has to have signed the newest, and an earlier one, if
    they were there, with the same key.
    """
    pins = pinned or {}
    files = {hashlib.sha256(content).hexdigest(): name for name, content in earlier.items()}
    last = later = verify(newest, pins)
    found: dict[str, Verified] = {}
    while (name := files.pop(previous_of(later) or "", None)) is not None:
        sooner = found[name] = verify_earlier(name, earlier[name], pins)
        _require_follows(later, sooner, name)
        later = sooner
    for name in files.values():
        verify_earlier(name, earlier[name], pins)
        raise CeremoniesUnchained(f"{name} holds, but no transcript here names it as the one before")
    return VerifiedChain(last, found, previous_of(later))


def previous_of(verified: Verified) -> str | None:
    """Give the SHA-256 (hex) of the transcript that a ceremony says came before it."""
    previous = verified.entries[0].data.get("previous_sha256")
    return previous if isinstance(previous, str) else None


def verify_earlier(name: str, content: bytes, pinned: Mapping[str, str]) -> Verified:
    """Check one transcript; the pinned who were not there need not have signed it. Raises TranscriptInvalid with its name."""
    try:
        there = verify(content).signers.keys() & pinned.keys()
        return verify(content, {participant: pinned[participant] for participant in there})
    except TranscriptInvalid as error:
        raise type(error)(f"{name}: {error}") from error


def _require_follows(later: Verified, sooner: Verified, name: str) -> None:
    if later.rehearsal != sooner.rehearsal:
        raise CeremoniesUnchained(f"{name}: a rehearsal and a ceremony do not follow each other")
    if datetime.fromisoformat(later.entries[0].at) < datetime.fromisoformat(sooner.entries[-1].at):
        raise CeremoniesUnchained(f"{name} ends after the ceremony that names it as the one before begins")
