"""What came of records whose sessions broke: this program, or a later one, goes on behind it (docs/adr/0041-transfers.md).

It lies in the spool as any record on its way in, under a key of its own. That key is sealed under the client's token, with whose
record it is: who has the disk and not the token has nothing of it. A note is written as soon as enough came to go on behind, so
that a program that is killed leaves it too. It is kept for 12 hours, and no longer than the consent by which it was asked for.

Two programs of one client don't take each other's: each note has a lock, which ends with the program that has it.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import safefiles
from federation.clock import Clock
from federation.party.member import Member
from federation.person.profile import Profile
from federation.person.sealed_files import SUFFIX, SealedFiles
from federation.protocol.consent import peek_grant
from federation.protocol.frames import IncomingRecord
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.store.blobs import BlobStore, BlobWriter
from federation.store.errors import StoredRecordCorrupt
from federation.store.file_shelf import FileShelf
from federation.store.files import is_older

BROKEN_RECORD = "broken record"
"""What these notes are called in their seals."""

KEPT_MS = 12 * 3_600_000

MOST_BROKEN = 4
"""Records of which what came is kept; each takes no more than a visit may."""

PlaceOf = tuple[str, str, bytes]
"""By what a record that broke is found again: of whom, of which hospital, and the scope that was asked for."""


@dataclass(frozen=True)
class Broken:
    """What came of a record: a blob, its key, and until when it may be gone on behind.

    `size_bytes` of it can be gone on behind, of `of_bytes`; 0 of what an earlier program left, until it is read.
    """

    blob: str
    key: bytes = field(repr=False)
    until: Instant
    size_bytes: int = 0
    of_bytes: int | None = None


def kept_until(shown: Shown, *, now: Instant) -> Instant:
    """Return until when what comes for this may be kept. Raises MalformedMessage for a consent that is none."""
    end = now + KEPT_MS
    return end if shown.consent is None else min(end, peek_grant(shown.consent.grant).validity.not_after)


class BrokenRecords:
    """A client's records that broke, and the spool in which they lie. Raises StoreError, OSError."""

    def __init__(self, profile: Profile, member: Member, clock: Clock) -> None:
        """Open the spool, and remove what is too old, or was left there without its key."""
        self._shelf = FileShelf(profile.spool)
        self.spool = BlobStore(self._shelf)
        self._directory = profile.broken
        self._notes = SealedFiles(profile.broken, member, BROKEN_RECORD)
        self._clock = clock
        self._kept: dict[PlaceOf, Broken] = {}
        self._locks: dict[str, safefiles.LockFile] = {}
        self._remove_old()

    def find(self, place: PlaceOf) -> Broken | None:
        """Return what came of a record before, in this program or one that ended; None if there is nothing, or no longer."""
        if place not in self._kept:
            self._take_over()
        broken = self._kept.get(place)
        if broken is not None and self._clock() >= broken.until:
            self.forget(place)
            return None
        return broken

    def keep(self, place: PlaceOf, broken: Broken) -> None:
        """Keep what came of a record in the place of what came before, and of few: who breaks off on purpose fills no disk."""
        before = self._kept.pop(place, None)
        if before is None or before.blob != broken.blob:
            self._note(place, broken)
        self._kept[place] = broken
        if before is not None and before.blob != broken.blob:
            self._remove(before.blob)
        while len(self._kept) > MOST_BROKEN:
            self.forget(next(iter(self._kept)))

    def forget(self, place: PlaceOf) -> None:
        """Remove what came; nothing there is no error."""
        broken = self._kept.pop(place, None)
        if broken is not None:
            self._remove(broken.blob)

    def release(self, place: PlaceOf, blob: str) -> None:
        """Forget the note of a record that came whole, and what came of it before; its blob is its reader's now."""
        broken = self._kept.pop(place, None)
        if broken is not None and broken.blob == blob:
            self._forget_note(blob)
        elif broken is not None:
            self._remove(broken.blob)

    def copied(self, place: PlaceOf, blob: BlobWriter) -> IncomingRecord:
        """Write what came of a record before into the blob that goes on: whole slices of it. Return how far that is."""
        incoming, broken = IncomingRecord(), self.find(place)
        left = 0 if broken is None else broken.size_bytes or self._resumable(broken)
        if broken is None or not left:
            return incoming
        for chunk in self.spool.reader(broken.blob, broken.key):
            incoming, content = incoming.take(chunk[:left])
            blob.write(content)
            left -= len(content)
            if not left:
                break
        return incoming

    def close(self) -> None:
        """Let a later program go on."""
        for lock in self._locks.values():
            lock.close()
        self._locks.clear()
        self._kept.clear()

    def _resumable(self, broken: Broken) -> int:
        incoming = IncomingRecord()
        with suppress(StoredRecordCorrupt):  # what was cut off has no end
            for chunk in self.spool.reader(broken.blob, broken.key):
                incoming, _ = incoming.take(chunk)
        return incoming.resumable

    def _take_over(self) -> None:
        """Take what programs left that have ended."""
        for name, content in self._notes.all():
            blob = name.hex()
            if blob in self._locks or not self._locked(blob):
                continue
            place, broken = _read(blob, content)
            self._shelf.salvage(blob)
            if place in self._kept or self._clock() >= broken.until:
                self._remove(blob)
            else:
                self._kept[place] = broken

    def _remove_old(self) -> None:
        """Remove what is older than anything is kept, and no running program has; no seal is opened for it."""
        older_than = self._clock() - KEPT_MS
        noted = {it.stem: it for it in self._directory.glob(f"*{SUFFIX}")}
        for blob in [blob for blob, path in noted.items() if is_older(path, older_than) and self._locked(blob)]:
            self._remove(blob)
        self.spool.remove_orphans(lambda _: noted.keys(), older_than=older_than)

    def _note(self, place: PlaceOf, broken: Broken) -> None:
        patient_id, hospital_id, scope = place
        says = {"patient": patient_id, "hospital": hospital_id, "scope": scope.hex()}
        self._locked(broken.blob)
        self._notes.put(
            bytes.fromhex(broken.blob),
            json.dumps({**says, "key": broken.key.hex(), "until": broken.until}).encode(),
        )

    def _locked(self, blob: str) -> bool:
        """Take a note's lock; return whether no other program has it."""
        safefiles.make_directory(self._directory)
        lock = safefiles.LockFile(self._lock_file(blob))
        if lock.try_acquire():
            self._locks[blob] = lock
            return True
        lock.close()
        return False

    def _remove(self, blob: str) -> None:
        self._forget_note(blob)
        self.spool.remove(blob)

    def _forget_note(self, blob: str) -> None:
        self._notes.remove(bytes.fromhex(blob))
        self._lock_file(blob).unlink(missing_ok=True)
        lock = self._locks.pop(blob, None)
        if lock is not None:
            lock.close()

    def _lock_file(self, blob: str) -> Path:
        return self._directory / f"{blob}.lock"


def _read(blob: str, content: bytes) -> tuple[PlaceOf, Broken]:
    said = json.loads(content)
    place = said["patient"], said["hospital"], bytes.fromhex(said["scope"])
    return place, Broken(blob, bytes.fromhex(said["key"]), said["until"])
