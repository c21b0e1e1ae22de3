"""Sealed values and index rows under a rotation: moved, forgotten on request, or the key stays."""

import pytest

from federation.cloud import index_rows
from federation.party.audit import FORGOTTEN
from federation.protocol.index import Location
from federation.rotation.cloud import LOG_ENTRIES, ROWS
from keystore.errors import GenerationNeeded
from keystore.party import INDEXING, SEALING
from tests.e2e.cloud_rotation.stepping import PLACE, walk
from tests.e2e.unserved_cloud import looked_up
from tests.grants import EVERYTHING


def test_sealing_key_is_revoked_when_all_but_the_log_is_under_another_and_the_chain_holds_without_it(cloud):
    cloud.hospital("H:north")
    index_rows.put_row(cloud.node.cloud, "P:ann", PLACE)
    entries = len(list(cloud.node.cloud.audit.entries()))
    cloud.rotate(SEALING)
    lines = [line for line in cloud.rotation.status() if line.purpose == SEALING]
    assert dict(lines[0].left) == {
        "epochs": 1,
        "shared keys": 1,
        "rows' values": 1,
        "restrictions": 0,
        LOG_ENTRIES: entries + 2,
    }
    with pytest.raises(GenerationNeeded):
        cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    assert walk(cloud, SEALING) == 3
    with pytest.raises(GenerationNeeded, match="log entries"):
        cloud.rotation.revoke(SEALING, 1)
    cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})
    audit = cloud.node.cloud.audit
    kinds = [entry.event.kind for entry in audit.entries()]
    assert kinds[: entries + 2] == [FORGOTTEN] * (entries + 2)
    assert FORGOTTEN not in kinds[entries + 2 :]
    assert audit.verify() == len(kinds)
    assert looked_up(cloud.node.cloud, "P:ann", ["cardiology"], EVERYTHING) == [PLACE]


def test_row_that_does_not_open_stays_and_keeps_its_sealing_key(cloud):
    index_rows.put_row(cloud.node.cloud, "P:ann", PLACE)
    index = cloud.node.cloud.stores.index
    row = next(index.walk())
    assert index.reseal(row, row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]))
    index_rows.put_row(cloud.node.cloud, "P:lin", PLACE)
    cloud.rotate(SEALING)
    assert walk(cloud, SEALING) == 2
    with pytest.raises(GenerationNeeded, match="1 rows' values"):
        cloud.rotation.revoke(SEALING, 1, forgetting={LOG_ENTRIES})


def test_index_row_moves_when_somebody_looks_it_up_or_publishes_it_again(cloud):
    union, index = cloud.node.cloud, cloud.node.cloud.stores.index
    second = Location("H:north/cardiology", b"i" * 16)
    for place in (PLACE, second):
        index_rows.put_row(union, "P:ann", place)
    index_rows.put_row(union, "P:lin", PLACE)
    cloud.rotate(INDEXING)
    assert (index.count(1), index.count(2)) == (3, 0)
    index_rows.put_row(union, "P:ann", PLACE)
    assert (index.count(1), index.count(2)) == (2, 1)
    assert len(looked_up(union, "P:ann", ["cardiology"], EVERYTHING)) == 2
    assert (index.count(1), index.count(2)) == (1, 2)
    with pytest.raises(GenerationNeeded, match="1 index rows"):
        cloud.rotation.revoke(INDEXING, 1)
    assert walk(cloud, INDEXING) == 0  # it names accesses anew, and a row has nobody's name
    assert looked_up(union, "P:lin", ["cardiology"], EVERYTHING) == [PLACE]
    cloud.rotation.revoke(INDEXING, 1)
    assert len(looked_up(union, "P:ann", ["cardiology"], EVERYTHING)) == 2


def test_index_rows_move_where_a_search_begins_and_stay_while_it_goes_on(cloud, monkeypatch):
    """A row that moved between two pages could move before the place where the second begins, and be on neither."""
    union, index = cloud.node.cloud, cloud.node.cloud.stores.index
    monkeypatch.setattr(index_rows, "ROWS_PER_PAGE", 2)
    monkeypatch.setattr(index_rows, "MOST_MOVED", 1)
    places = [Location("H:north/cardiology", bytes([number]) * 16) for number in range(7)]
    for place in places:
        index_rows.put_row(union, "P:ann", place)
    cloud.rotate(INDEXING)
    rows = index_rows.look_up(union, "P:ann", ["cardiology"], EVERYTHING)
    found = [*rows.opened]
    while rows.last is not None:
        rows = index_rows.look_up(union, "P:ann", ["cardiology"], EVERYTHING, rows.last)
        found += rows.opened
        assert (index.count(1), index.count(2)) == (6, 1)
    assert sorted((it for _, it in found), key=str) == sorted(places, key=str)


def test_index_row_under_an_older_generation_is_withdrawn(cloud):
    index_rows.put_row(cloud.node.cloud, "P:ann", PLACE)
    cloud.rotate(INDEXING)
    index_rows.withdraw_row(cloud.node.cloud, "P:ann", PLACE)
    assert looked_up(cloud.node.cloud, "P:ann", ["cardiology"], EVERYTHING) == []
    assert not list(cloud.node.cloud.stores.index.walk())


def test_index_row_under_two_generations_is_found_once(cloud):
    """A process that had not read of the activation published it again after another had moved it."""
    union = cloud.node.cloud
    index_rows.put_row(union, "P:ann", PLACE)
    (older,) = union.stores.index.walk()
    cloud.rotate(INDEXING)
    index_rows.put_row(union, "P:ann", PLACE)
    union.stores.index.upsert(older)
    assert looked_up(union, "P:ann", ["cardiology"], EVERYTHING) == [PLACE]
    assert union.stores.index.count(1) == 0


def test_index_rows_that_are_forgotten_go(cloud):
    index_rows.put_row(cloud.node.cloud, "P:ann", PLACE)
    cloud.rotate(INDEXING)
    cloud.rotation.revoke(INDEXING, 1, forgetting={ROWS})
    assert not list(cloud.node.cloud.stores.index.walk())
