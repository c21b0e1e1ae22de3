"""The trust bundle: pinned, followed, leased."""

from federation.errors.families import Authentication, MalformedMessage, OutOfOrder, Unavailable


class BundleInvalid(MalformedMessage):
    """A trust bundle whose keys or times contradict each other."""

    reason = "BUNDLE_INVALID"


class BundleUnpinned(Authentication):
    """The trust bundle is not the one whose digest was handed over."""

    reason = "BUNDLE_UNPINNED"


class BundleSignerUnknown(Authentication):
    """The trust bundle is not signed by a cloud key that it, and its predecessor, let sign it."""

    reason = "BUNDLE_SIGNER_UNKNOWN"


class BundleForeign(Authentication):
    """The trust bundle is of another federation than its predecessor."""

    reason = "BUNDLE_FOREIGN"


class BundleOutOfSequence(OutOfOrder):
    """The trust bundle is not the next one after the one at hand."""

    reason = "BUNDLE_OUT_OF_SEQUENCE"


class BundleBackdated(Authentication):
    """The trust bundle says that it was made before its predecessor."""

    reason = "BUNDLE_BACKDATED"


class BundleRewritesHistory(Authentication):
    """The trust bundle drops or alters what its predecessor says of keys that have signed: evidence rests on it."""

    reason = "BUNDLE_REWRITES_HISTORY"


class BundleStale(Unavailable):
    """No list has named the trust bundle at hand as the newest for longer than its grace."""

    reason = "BUNDLE_STALE"
