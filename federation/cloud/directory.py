"""The directory that the cloud hands out: EK_C, the revocation list, the authorities' CRLs, the newest trust bundle.

Each version is signed once and kept. A list's sequence grows with every version, also when only a CRL or EK_C changed,
because a party takes a directory only under a higher sequence. Several processes share one store: the first to keep a
sequence has it, the others take what it kept.
"""

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from federation.cloud.trust import KeysByTime, TrustOffice
from federation.errors import Unavailable
from federation.party.epochs import EpochKeeper
from federation.protocol.anchors import Lists
from federation.protocol.authorities import pin_crl
from federation.protocol.bundle import TrustedBundle
from federation.protocol.statements import peek_statement, sign_statement
from federation.protocol.time import Freshness, Instant, milliseconds
from federation.protocol.verifier import Verifier
from federation.store.directory import Authorities, RevocationBook
from federation.store.party import Settings
from federation.store.rows import Revocations, StoredAuthority
from federation.store.transactions import tries
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.statement_pb2 import CrlPin, RevocationList, SignedStatement, Sweep
from keystore.signatures import SigningKey

KEPT_AFTER_END = timedelta(minutes=2)
"""How long a list names what is over, or a clock that is behind would take what was revoked in its last seconds."""

LIST_FLOOR = "list-floor"
"""The setting below which no list is numbered: a restored cloud does not know all that it has given out."""

_DIRECTORY = "directory"


@dataclass(frozen=True)
class DirectoryVersion:
    """The directory at one moment, and the checks that the cloud itself makes with it."""

    directory: GetDirectoryResponse
    trust: TrustedBundle
    verifier: Verifier

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

    @property
    def revocation_list(self) -> SignedStatement:
        """Return the list, signed by PRK_C."""
        return self.directory.revocation_list


@dataclass(frozen=True)
class ListLife:
    """How long a list is good, and after how long it is signed anew although nothing changed."""

    good_for: timedelta = timedelta(hours=1)
    renewed_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class _Contents:
    """What the directory is to hold now, and who signs it."""

    trust: TrustedBundle
    book: Revocations
    crls: list[bytes]
    crl_pins: list[CrlPin]
    encryption_key: SignedStatement
    signing_key: SigningKey

    def is_signed_by_the_active_key(self, listed: RevocationList) -> bool:
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
        self._book = book
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
                revocation_list=self._signed(contents, sequence, now),
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
        crls, pins = crls_and_pins(self._authorities.all())
        return _Contents(
            trust=trust,
            book=self._book.current(now=now),
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
        listed, book = _list_of(kept), contents.book
        age = now - listed.this_update
        return (
            _entries(listed) == (list(book.serials), list(book.statements), list(book.key_ids), list(book.sweeps))
            and list(kept.certificate_revocation_lists) == contents.crls
            and list(listed.crls) == contents.crl_pins
            and kept.cloud_encryption_key_statement == contents.encryption_key
            and kept.trust_bundle == contents.trust.signed
            and listed.sequence >= self._floor()
            and contents.is_signed_by_the_active_key(listed)
            and 0 <= age < milliseconds(self._life.renewed_after)
        )

    def _signed(self, contents: "_Contents", sequence: int, now: Instant) -> SignedStatement:
        statement = RevocationList(
            sequence=sequence,
            this_update=now,
            next_update=now + milliseconds(self._life.good_for),
            serials=contents.book.serials,
            statements=contents.book.statements,
            key_ids=contents.book.key_ids,
            sweeps=[Sweep(patient_digest=digest, before=before) for digest, before in contents.book.sweeps],
            bundle_sequence=contents.trust.sequence,
            crls=contents.crl_pins,
        )
        return sign_statement("rl", statement, contents.signing_key)

    def _made(self, directory: GetDirectoryResponse, trust: TrustedBundle) -> DirectoryVersion:
        anchors = trust.anchors
        lists = Lists.read(anchors, directory.revocation_list, tuple(directory.certificate_revocation_lists))
        return DirectoryVersion(directory, trust, Verifier(anchors, lists, self._freshness))


def crls_and_pins(authorities: Iterable[StoredAuthority]) -> tuple[list[bytes], list[CrlPin]]:
    """Return the authorities' newest CRLs, and what the list says of each."""
    listed = [(it.certificate, it.crl_number, it.crl) for it in authorities if it.crl is not None]
    return [crl for *_, crl in listed], [pin_crl(certificate, number, crl) for certificate, number, crl in listed]


def _list_of(directory: GetDirectoryResponse) -> RevocationList:
    return peek_statement(RevocationList, directory.revocation_list)


def _entries(listed: RevocationList) -> tuple[list[bytes], list[bytes], list[bytes], list[tuple[bytes, Instant]]]:
    sweeps = [(it.patient_digest, it.before) for it in listed.sweeps]
    return list(listed.serials), list(listed.statements), list(listed.key_ids), sweeps


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
