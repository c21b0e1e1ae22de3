"""The cloud's side of the trust bundle: the chain in its store, the next link of it, and the keys whose turn it says it is.

A bundle says what the generation book and the authorities say; what the founder decided passes from each to the next. Several
processes sign: the first to keep a number has it, and the others begin again from what it kept.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from federation.errors import Unavailable
from federation.party.epochs import as_signed, as_stored
from federation.party.generations import StoredGenerations
from federation.protocol.anchors import periods_of
from federation.protocol.bundle import TrustedBundle, issue_next, pin
from federation.protocol.time import Instant
from federation.store.directory import Authorities, TrustChain
from federation.store.errors import AlreadyStored
from federation.store.rows import Act, StoredAuthority
from federation.store.transactions import tries
from federation.v1.directory_pb2 import MedicalAuthority, TrustBundle, WitnessPolicy
from federation.v1.statement_pb2 import SignedStatement
from keystore.generations import GenerationBook, Generations
from keystore.issuing import IssuingKey
from keystore.party import IDENTITY, ISSUING, TLS_CA, CloudKeys
from keystore.signatures import SigningKey

MOST_AT_ONCE = 4
"""Bundles of one answer (protos/federation/v1/directory.proto)."""


@dataclass(frozen=True)
class KeysByTime:
    """The keys of a cloud, by the moments at which each generation is active.

    What is signed says when, and the trust bundle says whose turn it was then: so a call that began under one generation ends
    under it, whatever becomes active meanwhile.
    """

    keys: CloudKeys
    book: GenerationBook

    def signing_key(self, now: Instant) -> SigningKey:
        """Return the PRK_C that signs what says that it was signed now."""
        return self.keys.signing_key_of(self._active(IDENTITY, now))

    def issuing(self, now: Instant) -> IssuingKey:
        """Return the s that issues credentials which begin now."""
        return self.keys.issuing_of(self._active(ISSUING, now))

    def tls_ca(self, now: Instant) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return the federation's TLS CA: its certificate and key."""
        active = self.book.read().active(TLS_CA, now)
        return x509.load_der_x509_certificate(active.public), self.keys.tls_ca_key_of(active.number)

    def _active(self, purpose: str, now: Instant) -> int:
        generations = self.book.read()
        return generations.active(purpose, now).number


class TrustOffice:
    """Keeps the newest bundle at hand and signs the next. Safe for several threads and processes."""

    def __init__(self, chain: TrustChain, keys: CloudKeys, book: StoredGenerations, authorities: Authorities) -> None:
        """Keep the chain of a store, signed by PRK_C."""
        self._chain = chain
        self._keys = KeysByTime(keys, book)
        self._book = book
        self._authorities = authorities
        self._lock = threading.Lock()
        self._newest: TrustedBundle | None = None

    def newest(self) -> TrustedBundle:
        """Return the newest bundle of the chain. Raises Unavailable for a cloud whose first bundle isn't signed yet."""
        kept = self._chain.newest()
        if kept is None:
            raise Unavailable("this federation has no trust bundle yet")
        with self._lock:
            if self._newest is None or self._newest.sequence != kept[0]:
                # The cloud's own store is trusted: who can write there needs no forged bundle.
                self._newest = pin(as_signed(kept[1]))
            return self._newest

    def after(self, sequence: int) -> Sequence[SignedStatement]:
        """Return the next bundles after a number, oldest first; at most `MOST_AT_ONCE`."""
        return [as_signed(kept) for _, kept in self._chain.after(sequence, limit=MOST_AT_ONCE)]

    def refresh(self, now: Instant) -> TrustedBundle:
        """Sign the next bundle if anything that it says has changed, and return the newest.

        Raises what `federation.protocol.bundle.issue_next` finds wrong with it, Unavailable, StoreError, HsmError.
        """
        return self._signed(lambda newest, _: newest, None, now)

    def move(self, address: str, peer_address: str, act: Act, now: Instant) -> TrustedBundle:
        """Sign the next bundle with other addresses of the cloud, if they are others; the log's entry is kept with it.

        Raises as `refresh`.
        """

        def moved(newest: TrustBundle, _: Instant) -> TrustBundle:
            content = TrustBundle()
            content.CopyFrom(newest)
            content.cloud_address, content.cloud_peer_address = address, peer_address
            return content

        return self._signed(moved, act, now)

    def state_witnesses(self, policy: WitnessPolicy, act: Act, now: Instant) -> TrustedBundle:
        """Sign the next bundle with this witness policy from now on, if it is another; the log's entry is kept with it.

        Its beginning is set here. Raises as `refresh`.
        """

        def stated(newest: TrustBundle, moment: Instant) -> TrustBundle:
            content, following = TrustBundle(), WitnessPolicy()
            content.CopyFrom(newest)
            following.CopyFrom(policy)
            following.not_before = newest.witness_policies[-1].not_before
            if following != newest.witness_policies[-1]:
                following.not_before = moment
                content.witness_policies.append(following)
            return content

        return self._signed(stated, act, now)

    def _signed(
        self, decided: Callable[[TrustBundle, Instant], TrustBundle], act: Act | None, now: Instant
    ) -> TrustedBundle:
        for _ in tries():
            newest = self.newest()
            # Never before the newest one's own moment: clocks that differ would undo each other's bundles for ever.
            moment = max(now, newest.content.issued_at)
            # Read after the chain: what this process saw earlier can't become the bundle that follows another's newer one.
            content = composed(decided(newest.content, moment), self._book.reread(), self._authorities.all(), moment)
            if content == newest.content:
                return newest
            following = issue_next(newest, content, self._keys.signing_key(moment), now=moment)
            try:
                self._chain.put(following.sequence, as_stored(following.signed), act=act)
            except AlreadyStored:
                continue
            return following
        raise Unavailable("other processes change the trust bundle faster than this one")


def composed(
    newest: TrustBundle, generations: Generations, authorities: Iterable[StoredAuthority], moment: Instant
) -> TrustBundle:
    """Return the newest bundle with the keys, TLS CAs and authorities of that moment."""
    content = TrustBundle()
    content.CopyFrom(newest)
    for field in ("issuers", "cloud_keys", "tls_ca_certificates", "medical_authorities"):
        content.ClearField(field)
    content.issuers.extend(periods_of(generations, ISSUING, newest.issuers[0].verifying_key))
    content.cloud_keys.extend(periods_of(generations, IDENTITY, newest.cloud_keys[0].verifying_key))
    content.tls_ca_certificates.extend(_tls_cas(generations, moment))
    content.medical_authorities.extend(
        MedicalAuthority(
            authority_id=authority.authority_id,
            certificate=authority.certificate,
            doctor_ids=authority.doctor_ids,
            crl_url=_told_to_all(authority.crl_url),
        )
        for authority in authorities
    )
    return content


def _told_to_all(crl_url: str | None) -> str | None:
    """Return a URL that others can use: a file of this machine is nobody else's."""
    return crl_url if crl_url is not None and crl_url.startswith("https:") else None


def _tls_cas(generations: Generations, moment: Instant) -> list[bytes]:
    """Return the certificates that hold: the active one first, then the one that waits, then those that it followed."""
    active, *older = generations.usable(TLS_CA, moment)
    waiting = generations.prepared(TLS_CA, moment)
    return [it.public for it in (active, *([] if waiting is None else [waiting]), *older)]
