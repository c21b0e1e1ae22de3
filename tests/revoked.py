"""What the public cloud's book of revocations holds, for tests that look into it."""

from collections.abc import Mapping

from federation.store.revocations import RevocationBook


def entries(book: RevocationBook, *, now: int = 0) -> Mapping[bytes, int]:
    """Give the entries of a moment, each with a sweep's time or 0."""
    book.expire(now=now)
    return {it.digest: it.before for it in book.since(-1).changes if not it.is_ended}
