"""The directory that the cloud hands out: EK_C, the revocation list's head, the authorities' CRLs, the newest trust bundle.

Each version is signed once and kept. A head's sequence grows with every version, also when only a CRL or EK_C changed,
because a party takes a directory only under a higher sequence. Several processes share one store: the first to keep a
sequence has it, the others take what it kept. Each holds the set of revocations in memory, and reads what was touched since.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from federation.cloud.trust import KeysByTime, TrustOffice
from federation.errors import Unavailable
from federation.party.epochs import EpochKeeper
from federation.protocol.anchors import Lists
from federation.protocol.authorities import crls_beside, pin_crl
from federation.protocol.bundle import TrustedBundle
from federation.protocol.revocations import EMPTY, MOST_SHARDS_ASKED, Change, WholeSet, make_delta, require_prefixes
from federation.protocol.statements import peek_statement, sign_statement
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.protocol.verifier import Verifier
from federation.store.directory import Authorities
from federation.store.party import Settings
from federation.store.revocations import RevocationBook
from federation.store.rows import RevocationChange, StoredAuthority
from federation.store.transactions import tries
from federation.v1.directory_pb2 import (
    GetDirectoryResponse,
    GetRevocationShardsRequest,
    GetRevocationShardsResponse,
    RevocationDelta,
    WatchDirectoryResponse,
)
from federation.v1.statement_pb2 import CrlPin, RevocationExcerpt, RevocationHead, SignedStatement
from keystore.signatures import SigningKey
from keystore.transcript import digest

KEPT_AFTER_END = timedelta(minutes=2)
"""How long a list names what is over, or a clock that is behind would take what was revoked in its last seconds."""

LIST_FLOOR = "list-floor"
"""The setting below which no list is numbered: a restored cloud does not know all that it has given out."""

_DIRECTORY = "directory"


MOST_TOLD = 16_384
"""Entries whose last changes are remembered for followers; who is further behind fetches all shards."""


class RevocationSet:
    """The book as it stands, in shards, and what was touched lately. Use under a lock; what it gives is never changed."""

    def __init__(self, book: RevocationBook) -> None:
        """Begin with nothing; the first refresh reads the book whole."""
        self._book = book
        self._touched: dict[bytes, RevocationChange] = {}
        self._known_from = 0
        self.whole, self.revision = EMPTY, -1

    def refresh(self, now: Instant) -> None:
        """Read what was touched since, once what is over has left. Raises StoreError."""
        self._book.expire(now=now)
        since = self._book.since(self.revision)
        if since.is_whole:
            self.whole = WholeSet.from_changes(map(_as_change, since.changes))
            self._touched, self._known_from = {}, since.forgotten
        else:
            self.whole, _ = self.whole.changed(map(_as_change, since.changes))
        self._remember(since.changes)
        self.revision = since.revision

    @property
    def touched(self) -> "Touched":
        """Return the changes that followers are told of."""
        return Touched(self._known_from, tuple(self._touched.values()))

    def _remember(self, changes: Sequence[RevocationChange]) -> None:
        for change in sorted(changes, key=lambda it: it.revision)[-MOST_TOLD - 1 :]:
            self._touched.pop(change.digest, None)  # the order is that of the revisions
            self._touched[change.digest] = change
        while len(self._touched) > MOST_TOLD:
            oldest = self._touched.pop(next(iter(self._touched)))
            self._known_from = max(self._known_from, oldest.revision)


@dataclass(frozen=True)
class Touched:
    """The newest state of every entry that was touched after a revision, in the order of the revisions."""

    known_from: int
    changes: Sequence[RevocationChange]

    def delta(self, revision: int) -> RevocationDelta | None:
        """Return what leads from a revision to the newest, or None where that is not known here."""
        if revision < self.known_from:
            return None
        return make_delta(revision, (_as_change(change) for change in self.changes if change.revision > revision))


def _as_change(change: RevocationChange) -> Change:
    return Change(change.digest, change.before, change.is_ended)


@dataclass(frozen=True)
class Held:
    """What a follower has of the directory: its CRLs' digests, the revision of its set; in a stream also what it was sent."""

    crls: frozenset[bytes]
    revision: int
    encryption_key: SignedStatement | None = None
    trust: SignedStatement | None = None


@dataclass(frozen=True)
class DirectoryVersion:
    """The directory at one moment with the set that its head signs, and the checks that the cloud itself makes with it."""

    directory: GetDirectoryResponse
    trust: TrustedBundle
    verifier: Verifier
    revocations: WholeSet
    touched: Touched
    _deltas: dict[int, RevocationDelta | None] = field(default_factory=dict, compare=False, repr=False)

    def excerpt(self, prefixes: Iterable[int]) -> RevocationExcerpt:
        """Return shards under the head, with their paths."""
        return self.revocations.excerpt(self.directory.revocation_head, prefixes)

    def answer(self, request: GetRevocationShardsRequest) -> GetRevocationShardsResponse:
        """Return the shards that are asked for, and the CRLs that the asker does not have. Raises FieldInvalid."""
        excerpt = self.excerpt(require_prefixes(request.prefixes))
        excerpt.certificate_revocation_lists.extend(
            crls_beside(self.directory.certificate_revocation_lists, request.held_crls)
        )
        return GetRevocationShardsResponse(revocations=excerpt)

    def beside(self, held_crls: Iterable[bytes]) -> GetDirectoryResponse:
        """Return the directory without the CRLs that the asker has."""
        answer = GetDirectoryResponse()
        answer.CopyFrom(self.directory)
        del answer.certificate_revocation_lists[:]
        answer.certificate_revocation_lists.extend(crls_beside(self.directory.certificate_revocation_lists, held_crls))
        return answer

    def changes(self, held: Held) -> tuple[WatchDirectoryResponse, Held]:
        """Return what a follower does not have, and what it has then."""
        key, trust = self.directory.cloud_encryption_key_statement, self.directory.trust_bundle
        answer = WatchDirectoryResponse(
            cloud_encryption_key_statement=None if key == held.encryption_key else key,
            revocation_head=self.directory.revocation_head,
            certificate_revocation_lists=crls_beside(self.directory.certificate_revocation_lists, held.crls),
            trust_bundle=None if trust == held.trust else trust,
            delta=self._delta(held.revision),
        )
        crls = frozenset(map(digest, self.directory.certificate_revocation_lists))
        return answer, Held(crls, self.head.revision, key, trust)

    def _delta(self, revision: int) -> RevocationDelta | None:
        """Return it from the memory of this version: most followers are at one revision."""
        if revision == self.head.revision:
            return None
        if revision not in self._deltas:
            self._deltas[revision] = self.touched.delta(revision)
        return self._deltas[revision]

    def all_shards(self, held_crls: Iterable[bytes]) -> Iterator[RevocationExcerpt]:
        """Return all shards, some at a time, and before them the CRLs that the asker does not have."""
        head, crls = self.directory.revocation_head, self.directory.certificate_revocation_lists
        yield RevocationExcerpt(head=head, certificate_revocation_lists=crls_beside(crls, held_crls))
        batch, size = RevocationExcerpt(head=head), 0
        for prefix, shard in enumerate(self.revocations.shards):
            if batch.shards and (len(batch.shards) == MOST_SHARDS_ASKED or size + shard.size > MOST_TOLD):
                yield batch
                batch, size = RevocationExcerpt(head=head), 0
            batch.shards.append(shard.message(prefix))
            size += shard.size
        yield batch

    @property
    def head(self) -> RevocationHead:
        """Return the head of the revocation list."""
        return peek_statement(RevocationHead, self.directory.revocation_head)

    @property
    def sequence(self) -> int:
        """Return the revocation list's sequence."""
        return self.verifier.lists.sequence

    @property
    def tls_roots(self) -> bytes:
        """Return the CAs that TLS is verified by, as PEM."""
        return self.trust.tls_roots

    @property
    def tls_ca(self) -> bytes:
        """Return the CA that leaves are issued by now, as DER."""
        return self.trust.content.tls_ca_certificates[0]


@dataclass(frozen=True)
class ListLife:
    """How long a list is good, and after how long it is signed anew although nothing changed."""

    good_for: timedelta = timedelta(hours=1)
    renewed_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class _Contents:
    """What the directory is to hold now, and who signs it."""

    trust: TrustedBundle
    revocations: WholeSet
    revision: int
    crls: list[bytes]
    crl_pins: list[CrlPin]
    encryption_key: SignedStatement
    signing_key: SigningKey

    def is_signed_by_the_active_key(self, listed: RevocationHead) -> bool:
        cloud_keys = self.trust.anchors.cloud_keys
        signer = cloud_keys.at(listed.this_update)
        return signer is not None and signer.verifying_key == self.signing_key.verifying_key.data


class DirectoryPublisher:
    """Keeps the newest version of the directory. Safe for several threads and processes."""

    def __init__(
        self,
        trust: TrustOffice,
        keys: KeysByTime,
        settings: Settings,
        book: RevocationBook,
        authorities: Authorities,
        epochs: EpochKeeper,
        freshness: Freshness,
        life: ListLife | None = None,
    ) -> None:
        """Make versions signed by PRK_C."""
        self._trust = trust
        self._keys = keys
        self._settings = settings
        self._set = RevocationSet(book)
        self._authorities = authorities
        self._epochs = epochs
        self._freshness = freshness
        self._life = life or ListLife()
        self._lock = threading.Lock()
        self._version: DirectoryVersion | None = None
        self._read: tuple[int, GetDirectoryResponse] | None = None

    @property
    def current(self) -> DirectoryVersion:
        """Return the version of the last refresh. Raises Unavailable before the first."""
        if self._version is None:
            raise Unavailable("the directory is not made yet")
        return self._version

    def refresh(self, now: Instant) -> DirectoryVersion:
        """Make a new version if anything changed or the list is due, and return the newest. Raises StoreError, HsmError."""
        with self._lock:
            directory, trust = self._newest(now)
            if self._version is None or self._version.directory != directory:
                self._version = self._made(directory, trust)
            return self._version

    def _newest(self, now: Instant) -> tuple[GetDirectoryResponse, TrustedBundle]:
        for _ in tries():
            # Kept first, the rest after it: a version of another process holds nothing that this one does not see.
            kept = self._kept()
            trust = self._trust.refresh(now)
            contents = self._contents(trust, now)
            if kept is not None and self._still_holds(kept, contents, now):
                return kept, trust
            sequence = self._next_number(kept)
            directory = GetDirectoryResponse(
                cloud_encryption_key_statement=contents.encryption_key,
                revocation_head=self._signed(contents, sequence, now),
                certificate_revocation_lists=contents.crls,
                trust_bundle=trust.signed,
            )
            if self._settings.advance(_DIRECTORY, sequence, directory.SerializeToString(deterministic=True)):
                self._read = sequence, directory
                return directory, trust
        raise Unavailable("other processes make lists faster than this one")

    def _next_number(self, kept: GetDirectoryResponse | None) -> int:
        following = 1 if kept is None else _list_of(kept).sequence + 1
        return max(following, self._floor())

    def _floor(self) -> int:
        return int(self._settings.get(LIST_FLOOR) or b"0")

    def _contents(self, trust: TrustedBundle, now: Instant) -> "_Contents":
        signing_key = self._keys.signing_key(now)
        self._set.refresh(now)
        crls, pins = crls_and_pins(self._authorities.all())
        return _Contents(
            trust=trust,
            revocations=self._set.whole,
            revision=self._set.revision,
            crls=crls,
            crl_pins=pins,
            encryption_key=self._epochs.current(now, signing_key),
            signing_key=signing_key,
        )

    def _kept(self) -> GetDirectoryResponse | None:
        """Return the newest directory of the store, which is read only where its sequence is above that of the one at hand."""
        newer = self._settings.newer(_DIRECTORY, -1 if self._read is None else self._read[0])
        if newer is not None:
            self._read = newer[0], GetDirectoryResponse.FromString(newer[1])
        return None if self._read is None else self._read[1]

    def _still_holds(self, kept: GetDirectoryResponse, contents: "_Contents", now: Instant) -> bool:
        listed = _list_of(kept)
        age = now - listed.this_update
        return (
            (listed.root, listed.entries) == (contents.revocations.root, contents.revocations.entries)
            and listed.revision == contents.revision
            and list(kept.certificate_revocation_lists) == contents.crls
            and list(listed.crls) == contents.crl_pins
            and kept.cloud_encryption_key_statement == contents.encryption_key
            and kept.trust_bundle == contents.trust.signed
            and listed.sequence >= self._floor()
            and contents.is_signed_by_the_active_key(listed)
            and 0 <= age < milliseconds(self._life.renewed_after)
        )

    def _signed(self, contents: "_Contents", sequence: int, now: Instant) -> SignedStatement:
        statement = RevocationHead(
            sequence=sequence,
            this_update=now,
            next_update=now + milliseconds(self._life.good_for),
            root=contents.revocations.root,
            entries=contents.revocations.entries,
            revision=contents.revision,
            bundle_sequence=contents.trust.sequence,
            crls=contents.crl_pins,
        )
        return sign_statement("rl", statement, contents.signing_key)

    def _made(self, directory: GetDirectoryResponse, trust: TrustedBundle) -> DirectoryVersion:
        anchors = trust.anchors
        crls, whole = tuple(directory.certificate_revocation_lists), self._set.whole
        lists = Lists.read(anchors, directory.revocation_head, crls, whole)
        verifier = Verifier(anchors, lists, self._freshness)
        return DirectoryVersion(directory, trust, verifier, whole, self._set.touched)


def crls_and_pins(authorities: Iterable[StoredAuthority]) -> tuple[list[bytes], list[CrlPin]]:
    """Return the authorities' newest CRLs, and what the list says of each."""
    listed = [(it.certificate, it.crl_number, it.crl) for it in authorities if it.crl is not None]
    return [crl for *_, crl in listed], [pin_crl(certificate, number, crl) for certificate, number, crl in listed]


def _list_of(directory: GetDirectoryResponse) -> RevocationHead:
    return peek_statement(RevocationHead, directory.revocation_head)


class DirectoryFeed:
    """The newest version of the directory, awaited by followers without a thread each. Use from one event loop."""

    def __init__(self, publisher: DirectoryPublisher) -> None:
        """Follow this publisher."""
        self._publisher = publisher
        self._changed = asyncio.Condition()
        self._closed = False

    async def announce(self) -> None:
        """Wake the followers: the publisher may have a new version."""
        async with self._changed:
            self._changed.notify_all()

    async def after(self, sequence: int) -> DirectoryVersion | None:
        """Return a version whose sequence is above this one, when there is one; None when the server stops."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._publisher.current.sequence > sequence)
        return None if self._closed else self._publisher.current

    async def close(self) -> None:
        """Let all followers go."""
        self._closed = True
        await self.announce()
