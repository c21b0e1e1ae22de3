"""Records on their way to who asked: fetched by session, spooled encrypted, verified, and only then readable (C8).

M_EMR = F(manifest) || the bytes of every part of every record, in the manifest's order. The hospital's signature covers it as
a whole; the sizes and digests of the manifest say that it is what it claims to hold. Memory is bounded by one chunk and the
manifest (at most 1 MiB), and what comes by an allowance: a manifest that says more ends its record before the bytes come.

A record whose session breaks goes on in another, behind the last whole slice that came (docs/protocol.md, D4): at once, after
pauses, and after that when it is asked for again, by this program or a later one (federation/person/broken_records.py). What
came lies in the spool until then, and nothing of it is shown.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import groupby

from federation.clinical.strictjson import BUNDLE
from federation.errors import (
    AnswerMismatch,
    FederationError,
    IdentityMismatch,
    Limit,
    MessageTooLarge,
    RecordChanged,
    RecordCutShort,
    RecordDigestMismatch,
    Unavailable,
    UnknownKeyId,
)
from federation.person.broken_records import Broken, BrokenRecords, PlaceOf, kept_until
from federation.person.errors import RecordTooLarge
from federation.person.hospital_session import SessionOpener, SessionStream, address_hospital
from federation.protocol import exhibits
from federation.protocol.frames import IncomingRecord
from federation.protocol.parsing import parse
from federation.protocol.record import AwaitingRecord, Established, Intent, Received, Slice
from federation.protocol.search import RecordLocation
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer, VerifiedParty
from federation.store.blobs import CHUNK_BYTES, BlobStore, BlobWriter
from federation.store.errors import StoreError
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import (
    PART_KIND_FHIR_BUNDLE,
    PURPOSE_LOG,
    PURPOSE_READ,
    RecordEnd,
    RecordEntry,
    RecordManifest,
    RecordPart,
    Scope,
)
from keystore.identities import ANY, HospitalId, class_of
from keystore.transcript import LENGTH_BYTES

MOST_BUNDLE_BYTES = BUNDLE.size_bytes
"""Of a FHIR bundle, which is read as a whole (docs/protocol.md, H2)."""

MOST_FETCHED_BYTES = 4_000_000_000
"""Of all records of one visit, unless who asks says otherwise."""


@dataclass
class Allowance:
    """What one visit may still take, of all hospitals together."""

    most_bytes: int = MOST_FETCHED_BYTES
    taken_bytes: int = 0

    def require_room(self, manifest: RecordManifest, size_bytes: int) -> None:
        """Require that a record of this manifest may come. Raises RecordTooLarge."""
        for part in (part for entry in manifest.records for part in entry.parts):
            if part.kind == PART_KIND_FHIR_BUNDLE and part.size_bytes > MOST_BUNDLE_BYTES:
                raise RecordTooLarge(f"a FHIR bundle of {part.size_bytes} bytes; {MOST_BUNDLE_BYTES} are the most")
        left = self.most_bytes - self.taken_bytes
        if size_bytes > left:
            raise RecordTooLarge(
                f"{size_bytes} bytes, and of the {self.most_bytes} that this visit takes {left} are left;"
                " --fetch-at-most raises that"
            )

    def take(self, size_bytes: int) -> None:
        """Count a record that came."""
        self.taken_bytes += size_bytes


MOST_MANIFEST_BYTES = 1_048_576

Part = tuple[RecordEntry, RecordPart, Iterator[bytes]]


class RecordReader:
    """Reads a record once, in order. Every method raises RecordCutShort where the bytes end too soon."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Read from these chunks, of any size."""
        self._chunks = chunks
        self._left = b""
        size = int.from_bytes(self._take(LENGTH_BYTES), "big")
        if size > MOST_MANIFEST_BYTES:
            raise MessageTooLarge(f"a manifest of {size} bytes; at most {MOST_MANIFEST_BYTES} are read")
        self.manifest = parse(RecordManifest, self._take(size))

    def parts(self) -> Iterator[Part]:
        """Yield each part with its bytes; what is left of one is read before the next comes.

        The bytes of a part raise RecordDigestMismatch at their end if they are not what the manifest says; what follows the
        last part does too.
        """
        for entry in self.manifest.records:
            for part in entry.parts:
                content = self._content(part)
                yield entry, part, content
                for _ in content:
                    pass
        if self._left or next(self._chunks, b""):
            raise RecordDigestMismatch("the record holds more than its manifest says")  # H2.17

    def _content(self, part: RecordPart) -> Iterator[bytes]:
        hasher, left = hashlib.sha256(), part.size_bytes
        while left:
            piece = self._some(left)
            hasher.update(piece)
            left -= len(piece)
            yield piece
        if not hmac.compare_digest(hasher.digest(), part.digest):
            raise RecordDigestMismatch("a part of the record is not what its manifest says")  # H2.17

    def _take(self, size: int) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            taken += self._some(size - len(taken))
        return bytes(taken)

    def _some(self, most: int) -> bytes:
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                raise RecordCutShort("the record ends before its manifest says") from None
        piece, self._left = self._left[:most], self._left[most:]
        return piece


def verify_record(chunks: Iterator[bytes]) -> RecordManifest:
    """Read a record to its end and return its manifest. Raises RecordCutShort, RecordDigestMismatch, MalformedMessage."""
    reader = RecordReader(chunks)
    for _ in reader.parts():
        pass
    return reader.manifest


KEY_BYTES = 32
MOST_HANDLES = 64

Progress = Callable[[str, int, int | None], None]
"""Told, at each slice, whose record comes, how many bytes of it came so far, and of how many: None before its manifest came."""


BROKEN = (RecordCutShort, Limit, Unavailable)
"""How a session ends whose record may go on in another."""

PAUSES = tuple(timedelta(seconds=it) for it in (1, 2, 4, 8, 15, 30))
"""Before a broken record is gone on with; whenever more of it came they begin anew, and after the last it is given up for now."""

Pause = Callable[[float], None]
"""Waits for so many seconds."""


def no_progress(_hospital_id: str, _received_bytes: int, _size_bytes: int | None) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class FetchedRecord:
    """What one hospital released in one session, whole and verified: signature, sizes and digests held."""

    hospital_id: HospitalId
    manifest: RecordManifest
    record_digest: bytes
    end: RecordEnd
    size_bytes: int
    _spool: BlobStore = field(repr=False)
    _key: bytes = field(repr=False)
    _blob: str = field(repr=False)

    def parts(self) -> Iterator[Part]:
        """Return the parts with their bytes, in order; what is left of one is read before the next comes."""
        return RecordReader(self._spool.reader(self._blob, self._key)).parts()

    def close(self) -> None:
        """Remove what was spooled; its key goes with this object."""
        self._spool.remove(self._blob)


@dataclass(frozen=True)
class _Order:
    """What one session asks for: records of one class at one hospital, or its log from a head on, before a leaf."""

    address: str
    hospital: Peer
    scope: Scope
    known_size: int = 0
    before: int | None = None

    def place(self, shown: Shown) -> PlaceOf:
        """Return by what a record that broke is found again."""
        return shown.patient_id, self.hospital.identity, self.scope.SerializeToString(deterministic=True)


@dataclass
class _Arriving:
    """How far a record is, what it is written to under which key, and until when that may be kept if it breaks."""

    blob: BlobWriter
    key: bytes = field(repr=False)
    until: Instant
    incoming: IncomingRecord

    @property
    def broken(self) -> Broken:
        """Return what of it can be gone on behind."""
        return Broken(self.blob.name, self.key, self.until, self.incoming.resumable, self.incoming.size_bytes)

    def goes_on_after(self, error: BaseException) -> bool:
        """Return whether another session can go on: what came is whole slices, and nobody refused it, nor the disk."""
        is_refused = isinstance(error, FederationError) and not isinstance(error, BROKEN)
        return self.incoming.resumable > 0 and not is_refused and not isinstance(error, StoreError)


class RecordFetcher:
    """Fetches records for one asker. A record's key is made here, and leaves memory only if its session breaks."""

    def __init__(self, opener: SessionOpener, broken: BrokenRecords, pause: Pause = time.sleep) -> None:
        """Fetch with these sessions, behind what came before."""
        self._opener = opener
        self._broken = broken
        self._pause = pause

    def fetch(
        self,
        shown: Shown,
        locations: Sequence[RecordLocation],
        progress: Progress,
        allowance: Allowance,
    ) -> Iterator[FetchedRecord]:
        """Fetch what these locations hold: one session for each hospital and class, one record for each session.

        Raises what the hospital says is wrong (NotFound, Authorization), Rejected for a false record, RecordCutShort,
        RecordDigestMismatch, RecordTooLarge, Unavailable, StoreError. What was fetched before stays good.
        """
        for order in _orders(locations):
            yield self._fetch_on(shown, order, progress, allowance)

    def fetch_directly(
        self, shown: Shown, hospital_id: HospitalId, address: str, progress: Progress, allowance: Allowance
    ) -> FetchedRecord:
        """Fetch all that a hospital has and shows, by asking it: nobody said where records are. Raises as `fetch`."""
        channel = self._opener.connect(address, hospital_id)
        hospital = address_hospital(channel, hospital_id, self._opener.member, now=self._opener.clock())
        order = _Order(address, hospital, Scope(purpose=PURPOSE_READ, department_class=ANY))
        return self._fetch_on(shown, order, progress, allowance)

    def log(
        self, shown: Shown, hospital_id: HospitalId, address: str, known_size: int, before: int | None = None
    ) -> tuple[RecordManifest, VerifiedParty]:
        """Return what a hospital's log has of a patient, as far as one answer holds it, and whose it is. Raises as `fetch`.

        The newest, or what is before a leaf. It is proved by nothing yet but the head in it, from the one of that size on.
        """
        channel = self._opener.connect(address, hospital_id)
        hospital = address_hospital(channel, hospital_id, self._opener.member, now=self._opener.clock())
        order = _Order(address, hospital, Scope(purpose=PURPOSE_LOG, department_class=ANY), known_size, before)
        record = self._fetch(shown, order, hospital, no_progress, Allowance())
        record.close()
        return record.manifest, hospital.party

    def _fetch_on(self, shown: Shown, order: _Order, progress: Progress, allowance: Allowance) -> FetchedRecord:
        """Fetch a record, in as many sessions as it takes while more of it comes."""
        pauses, came = iter(PAUSES), 0
        while True:
            try:
                return self._fetch_with_current_key(shown, order, progress, allowance)
            except RecordChanged:
                if self._broken.find(order.place(shown)) is None:
                    raise
                self._broken.forget(order.place(shown))
            except BROKEN:
                broken = self._broken.find(order.place(shown))
                if broken is None:
                    raise
                if broken.size_bytes > came:
                    pauses, came = iter(PAUSES), broken.size_bytes
                pause = next(pauses, None)
                if pause is None:
                    raise
                self._wait(pause, partial(progress, order.hospital.identity, came, broken.of_bytes))

    def _wait(self, pause: timedelta, tell: Callable[[], None]) -> None:
        """Wait, a second at a time: who has it stopped says so when it is told how far it is."""
        for _ in range(int(pause.total_seconds())):
            tell()
            self._pause(1.0)

    def _fetch_with_current_key(
        self, shown: Shown, order: _Order, progress: Progress, allowance: Allowance
    ) -> FetchedRecord:
        try:
            return self._fetch(shown, order, order.hospital, progress, allowance)
        except UnknownKeyId:  # the hospital began a new epoch since the public cloud was asked
            hospital_id = order.hospital.hospital_id
            channel = self._opener.connect(order.address, hospital_id)
            newer = address_hospital(channel, hospital_id, self._opener.member, now=self._opener.clock())
            return self._fetch(shown, order, newer, progress, allowance)

    def _fetch(
        self,
        shown: Shown,
        order: _Order,
        hospital: Peer,
        progress: Progress,
        allowance: Allowance,
    ) -> FetchedRecord:
        intent = Intent(shown, order.scope, self._opener.entropy(32))
        place, key, broke = order.place(shown), self._opener.entropy(KEY_BYTES), None
        until = kept_until(shown, now=self._opener.clock())
        try:
            opened = self._opener.open(order.address, hospital, intent)
            with opened as (stream, session), self._broken.spool.writer(key) as blob:
                arriving = _Arriving(blob, key, until, self._broken.copied(place, blob))
                try:
                    received = self._receive(stream, session, arriving, order, place, progress, allowance)
                except (Exception, KeyboardInterrupt) as error:
                    if not arriving.goes_on_after(error):
                        raise
                    # What came is kept: the blob ends well.
                    broke = error
        except (*BROKEN, UnknownKeyId, RecordChanged):
            raise
        except (FederationError, StoreError):
            # It was refused, is not what it should be, or can't be kept: nothing of it stays.
            self._broken.forget(place)
            raise
        if broke is not None:
            self._broken.keep(place, arriving.broken)
            raise broke
        self._broken.release(place, blob.name)
        try:
            record = self._verified(order, session, received, arriving)
        except Exception:
            self._broken.spool.remove(blob.name)
            raise
        allowance.take(record.size_bytes)
        return record

    def _receive(
        self,
        stream: SessionStream,
        established: Established,
        arriving: _Arriving,
        order: _Order,
        place: PlaceOf,
        progress: Progress,
        allowance: Allowance,
    ) -> Received:
        opener, hospital_id = self._opener, established.session.peer.hospital_id
        awaiting, query = established.query(
            now=opener.clock(), known_size=order.known_size, before=order.before, incoming=arriving.incoming
        )
        opener.sent("D4", stream, hospital_id, query)
        while True:
            frame = opener.received("H2", stream, hospital_id)
            awaiting, outcome = self._taken(awaiting, frame)
            if isinstance(outcome, Received):
                return outcome
            incoming = awaiting.incoming
            if incoming.manifest is not None and incoming.size_bytes is not None:
                allowance.require_room(incoming.manifest, incoming.size_bytes)
            arriving.blob.write(outcome.content)
            arriving.incoming = incoming
            if arriving.blob.size_bytes >= CHUNK_BYTES and incoming.resumable:
                self._broken.keep(place, arriving.broken)  # now: who kills this program does not ask it first
            progress(hospital_id, arriving.blob.size_bytes, incoming.size_bytes)

    def _taken(self, awaiting: AwaitingRecord, frame: SessionFrame) -> tuple[AwaitingRecord, Slice | Received]:
        return awaiting.receive(frame, self._opener.member.verifier(), now=self._opener.clock())

    def _verified(
        self, order: _Order, established: Established, received: Received, arriving: _Arriving
    ) -> FetchedRecord:
        blob, spool = arriving.blob, self._broken.spool
        manifest = verify_record(spool.reader(blob.name, arriving.key))
        _require_asked(manifest, established.intent, order)
        session = established.session
        exhibit = exhibits.of_record(session, established.intent, received)
        self._opener.book.keep(exhibit, session.session_id, now=self._opener.clock())
        return FetchedRecord(
            hospital_id=session.peer.hospital_id,
            manifest=manifest,
            record_digest=received.record_digest,
            end=received.end,
            size_bytes=blob.size_bytes,
            _spool=spool,
            _key=arriving.key,
            _blob=blob.name,
        )


def _orders(locations: Sequence[RecordLocation]) -> Iterator[_Order]:
    def key(location: RecordLocation) -> tuple[str, str]:
        return location.hospital.identity, class_of(location.department_id)

    for (_, department_class), group in groupby(sorted(locations, key=key), key):
        found = list(group)
        hospital = Peer(found[0].hospital, found[0].encryption_key)
        for start in range(0, len(found), MOST_HANDLES):
            handles = [location.handle for location in found[start : start + MOST_HANDLES]]
            scope = Scope(purpose=PURPOSE_READ, department_class=department_class, handles=handles)
            yield _Order(found[0].address, hospital, scope)


def _require_asked(manifest: RecordManifest, intent: Intent, order: _Order) -> None:
    """Require that the manifest is of the patient, hospital and records that were asked for."""
    if manifest.patient_id != intent.shown.patient_id or manifest.hospital_id != order.hospital.identity:
        raise IdentityMismatch("the record names another patient or hospital")  # H2.18
    has_log = bool(manifest.accesses) or manifest.HasField("log_head") or manifest.HasField("next")
    is_unasked = has_log and order.scope.purpose != PURPOSE_LOG
    asked = order.scope.handles
    if is_unasked or (asked and any(entry.handle not in asked for entry in manifest.records)):
        raise AnswerMismatch("the hospital sent what was not asked for")  # H2.19
