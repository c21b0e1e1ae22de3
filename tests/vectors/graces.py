"""How long a head of the revocation list counts that is over, and for what: each vector is one look at one clock."""

from collections.abc import Iterator

from federation.errors import FederationError
from federation.protocol.anchors import Grace, Lists
from federation.protocol.time import Freshness, milliseconds
from federation.v1.statement_pb2 import RevocationHead
from tests.vectors.draws import Json
from tests.vectors.software import NOW

HOUR = 3_600_000
SKEW = 5_000
GRACE = 72 * HOUR
END = NOW + HOUR
"""When the head is over."""

STALE, NEWER = "REVOCATION_LIST_STALE", "NEWER_THAN_LIST"


def vectors() -> list[Json]:
    """Give each side of each boundary. `seen` is the latest moment at which this head was used though it was over."""
    return [*_heads(), *_clocks(), *_statements()]


def _vector(name: str, now: int, expect: str = "success", **changes: int) -> Json:
    """Give a look at a head without a grace, at a statement that is as old as the head."""
    usual = {"this_update": NOW, "next_update": END, "grace": 0, "seen": 0, "stated_at": NOW}
    return {"name": name, "expect": expect, "now": now} | usual | changes


def _heads() -> Iterator[Json]:
    yield _vector("the last moment of a head", END - 1)
    yield _vector("a head that is over, without a grace", END, STALE)
    yield _vector("the first moment of the grace", END, grace=GRACE)
    yield _vector("the last moment of the grace", END + GRACE - 1, grace=GRACE)
    yield _vector("the end of the grace", END + GRACE, STALE, grace=GRACE)
    yield _vector("the last moment of an hour's grace", END + HOUR - 1, grace=HOUR)
    yield _vector("the end of an hour's grace", END + HOUR, STALE, grace=HOUR)
    yield _vector("a head of a clock that is ahead within the skew", NOW - SKEW, grace=GRACE)
    yield _vector("a head of the future", NOW - SKEW - 1, STALE, grace=GRACE)


def _clocks() -> Iterator[Json]:
    late = END + HOUR
    yield _vector("a clock that went back within the skew", late - SKEW, grace=GRACE, seen=late)
    yield _vector("a clock that went back behind it", late - SKEW - 1, STALE, grace=GRACE, seen=late)
    yield _vector("a clock that went back before the head was over", END - HOUR // 2, STALE, grace=GRACE, seen=late)
    yield _vector("a head that was used before it was over", END - 1, grace=GRACE, seen=END - 1)
    yield _vector("a clock that went on", late + 1, grace=GRACE, seen=late)
    yield _vector("a clock at the end of the grace that it began", END + GRACE, STALE, grace=GRACE, seen=late)


def _statements() -> Iterator[Json]:
    yield _vector("what is newer than a head that is not over", END - 1, grace=GRACE, stated_at=NOW + 1)
    yield _vector("what is newer than a head that is over", END, NEWER, grace=GRACE, stated_at=NOW + 1)
    yield _vector("what is older than a head that is over", END, grace=GRACE, stated_at=NOW - 1)
    back = {"grace": GRACE, "seen": END + 1, "stated_at": NOW + 1}
    yield _vector("what is newer, by a clock that went back before the end", END - 1, NEWER, **back)


def outcome(vector: Json) -> str:
    """Give what the code says of a vector."""
    head = RevocationHead(this_update=vector["this_update"], next_update=vector["next_update"])
    lists, grace, now = Lists(head=head), Grace(vector["grace"], vector["seen"]), vector["now"]
    try:
        lists.require_current(now, skew_ms=milliseconds(Freshness().skew), grace=grace)
        lists.require_stood(vector["stated_at"], now=now, grace=grace)
    except FederationError as error:
        return error.reason
    return "success"
