"""What one side's log has and the other's should: entries of the public cloud and of hospitals, and what is said of which."""

from collections.abc import Sequence
from typing import Any

from federation.person.one_sided import (
    SEARCH_SERVES_MS,
    TOLERANCE_MS,
    UNREAD,
    UNSEARCHED,
    Side,
    remarks,
)
from federation.protocol.access import BEGUN
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_GROUND_EMERGENCY,
    ACCESS_GROUND_NONE,
    ACCESS_GROUND_OWN,
    ACCESS_KIND_READ,
    ACCESS_KIND_SEARCH,
    ACCESS_KIND_STORE,
    AccessEntry,
)
from tests.vectors.draws import Json

CLOUD, ALPHA, BETA = "C:union", "H:alpha", "H:beta"
GRANT, OTHER = bytes(range(32)), bytes(range(1, 33))
HOUR = 3_600_000
DAY = 24 * HOUR
EMERGENCY = {"ground": ACCESS_GROUND_EMERGENCY, "grant_digest": None, "authorization": OTHER}
OWN = {"asker_id": "P:wang", "ground": ACCESS_GROUND_OWN, "grant_digest": None}

Said = list[tuple[str, int, str]]


def _entry(kind: int, number: int, at: int, **fields: Any) -> AccessEntry:
    """An entry as its log tells it; what proves it is in told.json."""
    given = {
        "asker_id": "D:chen",
        "department_class": "cardiology",
        "ground": ACCESS_GROUND_CONSENT,
        "authorization": bytes(32),
        "reason": "OK",
        "grant_digest": GRANT,
    }
    return AccessEntry(kind=kind, number=number, at=at, leaf_index=number, blind=bytes(32), **given | fields)


def search(at: int, number: int = 1, **fields: Any) -> AccessEntry:
    """A search, as the public cloud tells it."""
    return _entry(ACCESS_KIND_SEARCH, number, at, **fields)


def read(at: int, number: int = 1, **fields: Any) -> AccessEntry:
    """A reading, as a hospital tells it."""
    return _entry(ACCESS_KIND_READ, number, at, **fields)


def vectors(now: int) -> list[Json]:
    """Two sides that agree, and those that do not. The cloud was asked `now`."""
    old, settled = now - 2 * DAY, now - TOLERANCE_MS
    begun = read(old + 1, 1, reason=BEGUN), read(old + 900, 2)
    taken_back = read(old + 1, 1, reason=BEGUN), read(old + 900, 2, reason="GRANT_REVOKED")
    refused = read(old, ground=ACCESS_GROUND_NONE, reason="GRANT_MISSING", grant_digest=None)
    # Two logs whose oldest entries were forgotten.
    short_cloud = search(old, 7, **OWN), search(old - HOUR, 6, **OWN)
    short_hospital = read(old, 3, **OWN), read(old - HOUR, 2, **OWN)
    searchable, readable = old - HOUR + SEARCH_SERVES_MS, old - HOUR + TOLERANCE_MS
    other_hospital = (BETA, [read(old + 9)])
    unread, unsearched = (CLOUD, 1, UNREAD), (ALPHA, 1, UNSEARCHED)
    cases: list[tuple[str, Sequence[AccessEntry], Sequence[AccessEntry], Said, Json]] = [
        ("both", [search(old)], begun, [], {}),
        ("both in an emergency", [search(old, **EMERGENCY)], [read(old + 1, **EMERGENCY)], [], {}),
        ("both, by another duty", [search(old)], [read(old + 1, authorization=OTHER)], [], {}),
        ("both, the hospital's clock behind", [search(old)], [read(old - TOLERANCE_MS)], [], {}),
        ("both, at two hospitals", [search(old)], begun, [], {"others": [other_hospital]}),
        ("only the cloud", [search(old)], [], [unread], {}),
        ("only the cloud, in an emergency", [search(old, **EMERGENCY)], [], [unread], {}),
        ("only the cloud, and a hospital is missing", [search(old)], [], [], {"is_whole": False}),
        ("only the hospital", [], begun, [(ALPHA, 2, UNSEARCHED)], {}),
        ("only the hospital, in an emergency", [], [read(old, **EMERGENCY)], [unsearched], {}),
        ("only the hospital, and another is missing", [], [read(old)], [unsearched], {"is_whole": False}),
        ("only one hospital of two", [], [], [(BETA, 1, UNSEARCHED)], {"others": [other_hospital]}),
        ("one grant, two doctors", [search(old, asker_id="D:roe")], [read(old)], [unread, unsearched], {}),
        ("one doctor, two grants", [search(old, grant_digest=OTHER)], [read(old)], [unread, unsearched], {}),
        ("a reading after the cloud was asked", [], [read(now + 1)], [], {}),
        ("a reading within the tolerance", [], [read(settled + 1)], [], {}),
        ("a reading outside the tolerance", [], [read(settled)], [unsearched], {}),
        ("a search within the tolerance", [search(settled + 1)], [], [], {}),
        ("a search outside the tolerance", [search(settled)], [], [unread], {}),
        ("a cloud that does not reach back so far", short_cloud, [read(searchable - 1)], [], {}),
        ("a cloud that reaches back so far", short_cloud, [read(searchable)], [unsearched], {}),
        ("a hospital that does not reach back so far", [search(readable - 1)], short_hospital, [], {}),
        ("a hospital that reaches back so far", [search(readable)], short_hospital, [unread], {}),
        ("one of two reaches back so far", [search(old - DAY)], [], [], {"others": [(BETA, short_hospital)]}),
        ("a number is missing at the cloud", [search(old, 3, **OWN), search(old - DAY, 1)], begun, [], {}),
        ("no right to search", [], [read(old, grant_digest=OTHER)], [], {"unsearchable": [OTHER]}),
        ("one's own", [search(old, **OWN)], [read(old, **OWN)], [], {}),
        ("a deposit", [], [_entry(ACCESS_KIND_STORE, 1, old)], [], {}),
        ("refused", [], [refused], [], {}),
        ("begun, and taken back meanwhile", [], taken_back, [], {}),
        ("begun, and never ended", [], [read(old, reason=BEGUN)], [unsearched], {}),
    ]
    return [_vector(name, now, cloud, alpha, said, **more) for name, cloud, alpha, said, more in cases]


def outcome(vector: Json) -> Said:
    """What the code says, of whose entry of which number."""
    cloud, hospitals = _side(vector["cloud"]), [_side(it) for it in vector["hospitals"]]
    unsearchable = {bytes.fromhex(it) for it in vector["unsearchable"]}
    found = remarks(cloud, hospitals, unsearchable, asked_at=vector["asked_at"], is_whole=vector["is_whole"])
    return sorted((one.party_id, one.number, words) for one, words in found.items())


def _side(written: Json) -> Side:
    return Side.of(written["party_id"], [AccessEntry.FromString(bytes.fromhex(it)) for it in written["entries"]])


def _vector(
    name: str,
    asked_at: int,
    cloud: Sequence[AccessEntry],
    alpha: Sequence[AccessEntry],
    said: Said,
    *,
    others: Sequence[tuple[str, Sequence[AccessEntry]]] = (),
    unsearchable: Sequence[bytes] = (),
    is_whole: bool = True,
) -> Json:
    vector: Json = {
        "name": name,
        "expect": "success",
        "asked_at": asked_at,
        "cloud": _written(CLOUD, cloud),
        "hospitals": [_written(*it) for it in ((ALPHA, alpha), *others)],
        "unsearchable": [it.hex() for it in unsearchable],
        "is_whole": is_whole,
        "remarks": [{"where": where, "number": number, "words": words} for where, number, words in sorted(said)],
    }
    assert outcome(vector) == sorted(said), f"{name}: the code says {outcome(vector)}"
    return vector


def _written(party_id: str, entries: Sequence[AccessEntry]) -> Json:
    newest_first = sorted(entries, key=lambda it: it.number, reverse=True)
    return {"party_id": party_id, "entries": [it.SerializeToString(deterministic=True).hex() for it in newest_first]}
