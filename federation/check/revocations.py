"""A server's check of how full the revocation list is: a full one lets nobody be revoked."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from federation.check.findings import Examined, Finding, Verdict
from federation.cloud.capacity import Fill, fills, fills_of
from federation.settings import CloudSettings, HospitalSettings
from federation.store.inspection import Survey
from federation.store.rows import RevocationKind

_WHAT = "revocations"
_TOLD: Mapping[RevocationKind, str] = {"serial": "credentials", "grant": "grants", "key": "encryption keys"}
_PAGE = "docs/operations.md, Medunion revocation list filling"


def revocations(examined: Examined) -> Iterator[Finding]:
    """Count what is revoked: the public cloud in its book, a hospital on the list in hand."""
    if isinstance(examined.settings, CloudSettings):
        counted = Survey(examined.need_database()).revocations(now=examined.clock())
        leaves_at = {kind: it.first_leaves_at for kind, it in counted.items()}
        found = fills({kind: it.entries for kind, it in counted.items()})
        yield from _findings(found, f"see {_PAGE}", leaves_at, full=Verdict.WRONG)
    if isinstance(examined.settings, HospitalSettings):
        listed = examined.need_member().verifier().lists.revocations
        if listed is not None:
            # Nothing of the hospital's is wrong: it is another's to put right.
            do = f"tell the public cloud's operator ({_PAGE})"
            yield from _findings(fills_of(listed), do, {}, full=Verdict.NOTE)


def _findings(
    found: Sequence[Fill], do: str, leaves_at: Mapping[RevocationKind, int], *, full: Verdict
) -> Iterator[Finding]:
    high = [fill for fill in found if fill.is_high]
    for fill in high:
        verdict = full if fill.is_full else Verdict.NOTE
        means = "it is full, and no more can be revoked" if fill.is_full else "when it is full no more can be revoked"
        leaves = f"; the first leaves at {_moment(leaves_at[fill.kind])}" if fill.kind in leaves_at else ""
        yield Finding(_WHAT, verdict, f"{_told(fill)} on the revocation list: {means}{leaves}", do)
    if not high:
        yield Finding(_WHAT, Verdict.OK, f"the list has room: {', '.join(map(_told, found))}")


def _told(fill: Fill) -> str:
    return f"{fill.entries} of {fill.most} {_TOLD[fill.kind]}"


def _moment(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%d %H:%M}"
