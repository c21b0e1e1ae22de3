"""The trust bundle as a chain: the first is pinned, each later one follows its predecessor (docs/adr/0018-rotation.md).

Whoever was away for long takes the ones between, one after the other, as TUF's clients do with roots: who signs a bundle is
decided by what the one before it said, so a key that is taken later opens no way back to what it never vouched for.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import (
    BundleBackdated,
    BundleForeign,
    BundleInvalid,
    BundleOutOfSequence,
    BundleRewritesHistory,
    BundleSignerUnknown,
    BundleStale,
    BundleUnpinned,
    SignatureInvalid,
)
from federation.protocol.anchors import Anchors, KeyHistory, has_begun, has_ended
from federation.protocol.statements import peek_statement, sign_statement, verify_signature
from federation.protocol.time import Instant
from federation.v1.directory_pb2 import KeyPeriod, TrustBundle
from federation.v1.statement_pb2 import RevocationHead, SignedStatement
from keystore.signatures import SigningKey, VerifyingKey
from keystore.transcript import statement_digest, transcript

LABEL = "tb"


@dataclass(frozen=True)
class TrustedBundle:
    """A trust bundle that was pinned, or followed one that was. Only `pin` and `follow` make it."""

    signed: SignedStatement
    content: TrustBundle
    anchors: Anchors

    @property
    def sequence(self) -> int:
        """Return its number."""
        return self.content.sequence

    @property
    def digest(self) -> bytes:
        """Return H(tb), 32 bytes: what is read aloud or printed beside the file, and pins it."""
        return statement_digest(LABEL, self.signed.statement)

    @property
    def tls_roots(self) -> bytes:
        """Return the federation's TLS CAs, PEM: a leaf under any of them is good."""
        return b"".join(
            x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
            for certificate in self.content.tls_ca_certificates
        )


def pin(signed: SignedStatement, pinned_digest: bytes | None = None) -> TrustedBundle:
    """Take a bundle that was handed over: whoever did so vouches for it, and better by its digest, too.

    Raises BundleUnpinned, BundleSignerUnknown, MalformedMessage.
    """
    if pinned_digest is not None and not hmac.compare_digest(pinned_digest, statement_digest(LABEL, signed.statement)):
        raise BundleUnpinned("the trust bundle has not the digest that was handed over")  # tb.1
    return _sound(signed)


def follow(current: TrustedBundle, signed: SignedStatement) -> TrustedBundle:
    """Take the next bundle. Raises why it isn't: BUNDLE_SIGNER_UNKNOWN first, then what else is wrong with it."""
    # By the keys that the predecessor lets sign: nothing in the bundle is read before one of them vouches for it.
    _require_signer(signed, current.anchors.cloud_keys.signers(current.content.issued_at))  # tb.4
    following = _sound(signed)
    content, predecessor = following.content, current.content
    if (content.realm, content.cloud_id) != (predecessor.realm, predecessor.cloud_id):
        raise BundleForeign("the trust bundle is another federation's")  # tb.13
    if content.sequence != predecessor.sequence + 1:
        raise BundleOutOfSequence(f"trust bundle {content.sequence} doesn't follow {predecessor.sequence}")  # tb.14
    if content.issued_at < predecessor.issued_at:
        raise BundleBackdated("the trust bundle was made before the one that it follows")  # tb.15
    _require_continued(current.anchors.issuers, following.anchors.issuers, predecessor.issued_at)
    _require_continued(current.anchors.cloud_keys, following.anchors.cloud_keys, predecessor.issued_at)
    following.anchors.witnesses.require_follow(current.anchors.witnesses, predecessor.issued_at)
    return following


def follow_all(current: TrustedBundle, following: Iterable[SignedStatement]) -> TrustedBundle:
    """Take the bundles between, oldest first, and give the last one that now holds. Raises as `follow`."""
    for signed in following:
        current = follow(current, signed)
    return current


def sequence_of(signed: SignedStatement) -> int:
    """Return the number that a bundle claims: says what to ask for, and nothing else. Raises MalformedMessage."""
    return peek_statement(TrustBundle, signed).sequence


def issue(content: TrustBundle, key: SigningKey) -> TrustedBundle:
    """Sign the first bundle of a federation. Raises BundleInvalid, BundleSignerUnknown, MalformedMessage."""
    first = TrustBundle()
    first.CopyFrom(content)
    first.sequence = 1
    return pin(sign_statement(LABEL, first, key))


def issue_next(current: TrustedBundle, content: TrustBundle, key: SigningKey, *, now: Instant) -> TrustedBundle:
    """Sign the next bundle and take it as everybody will, so none goes out that nobody follows. Raises as `follow`."""
    following = TrustBundle()
    following.CopyFrom(content)
    following.sequence = current.sequence + 1
    following.issued_at = max(now, current.content.issued_at)
    return follow(current, sign_statement(LABEL, following, key))


@dataclass(frozen=True)
class BundleLease:
    """A bundle, and when a revocation list last named it as the newest: it may be used offline until its grace is over.

    The list's own time counts, not the moment at which it came: an old list played again confirms nothing anew.
    """

    bundle: TrustedBundle
    confirmed_at: Instant

    @classmethod
    def of(cls, bundle: TrustedBundle) -> "BundleLease":
        """Begin with a bundle that was pinned or followed just now: it was the newest when it was made."""
        return cls(bundle, bundle.content.issued_at)

    def is_behind(self, revocations: RevocationHead) -> bool:
        """Return whether a list, verified, names a newer bundle: fetch it."""
        return revocations.bundle_sequence > self.bundle.sequence

    def heard(self, revocations: RevocationHead) -> "BundleLease":
        """Return the lease after a verified list: it goes on unless the list names a newer bundle."""
        if self.is_behind(revocations):
            return self
        return replace(self, confirmed_at=max(self.confirmed_at, revocations.this_update))

    @property
    def ends_at(self) -> Instant:
        """Return when the grace is over."""
        return self.confirmed_at + 1000 * self.bundle.content.offline_grace_seconds

    def require_usable(self, *, now: Instant) -> Anchors:
        """Return the anchors to verify by. Raises BundleStale."""
        if now >= self.ends_at:
            raise BundleStale("no list has named this trust bundle as the newest for longer than its grace")  # tb.19
        return self.bundle.anchors


def _sound(signed: SignedStatement) -> TrustedBundle:
    """Read a bundle and require it to be signed by a cloud key that it names itself, and that had not ended before it."""
    content = peek_statement(TrustBundle, signed)  # tb.5
    anchors = Anchors.of(content)
    if not content.tls_ca_certificates or content.sequence == 0:
        raise BundleInvalid("the trust bundle has no TLS CA, or no number")  # tb.11
    # The moment before: a key that is retired by this very bundle may sign it.
    _require_signer(signed, anchors.cloud_keys.signers(content.issued_at - 1))  # tb.12
    return TrustedBundle(signed, content, anchors)


def _require_signer(signed: SignedStatement, able: tuple[KeyPeriod, ...]) -> None:
    covered = transcript(LABEL, signed.statement)
    for period in able:
        try:
            verify_signature(VerifyingKey(period.verifying_key), signed.signature, covered)
        except SignatureInvalid:
            continue
        return
    raise BundleSignerUnknown("no cloud key that may sign this trust bundle did")


def _require_continued(before: KeyHistory, after: KeyHistory, issued_at: Instant) -> None:
    """Require what was said of keys that had signed by then: none is dropped, moved in time, or taken back into grace."""
    for old in before.periods:
        if not has_begun(old, issued_at):
            continue
        new = after.of_key(old.verifying_key)
        if new is None or new.not_before != old.not_before:
            # tb.16
            raise BundleRewritesHistory("a key that has signed is gone from the trust bundle, or its begin is another")
        if has_ended(old, issued_at) and new.not_after != old.not_after:
            raise BundleRewritesHistory("the end of a retired key is another in the trust bundle")  # tb.17
        for mark in ("tainted_at", "revoked_at"):
            if old.HasField(mark) and (not new.HasField(mark) or getattr(new, mark) != getattr(old, mark)):
                # tb.18
                raise BundleRewritesHistory("a key that was tainted or revoked is no longer in the trust bundle")
