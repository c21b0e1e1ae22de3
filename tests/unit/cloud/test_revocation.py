"""A revocation list that fills: told by metrics, the log and `medunion check`; a full one takes no more."""

import pytest
import sqlalchemy as sa

from federation.check.findings import KINDS, Examined, Finding, Verdict
from federation.check.membership import revocations
from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.cloud.revocation import (
    MOST,
    require_room_for_live,
    require_room_for_renewal,
    require_room_for_superseded,
)
from federation.errors import Limit
from federation.monitor.targets import list_readings
from federation.processes.cloud import warn_of_little_room
from federation.store import schema
from federation.store.rows import RevocationKind
from federation.v1 import rules_pb2
from federation.v1.statement_pb2 import RevocationList

HOUR = 3_600_000
JUST_HIGH = 3_175
"""The first number above four fifths of 3,968."""


def fill(node: PublicCloudNode, kind: RevocationKind, entries: int) -> int:
    """Revoke that many, of which the first leaves in an hour; return when."""
    width, leaves_at = (16 if kind == "key" else 32), system_clock() + HOUR
    before = 1 if kind == "sweep" else None
    rows = [
        {
            "kind": kind,
            "digest": number.to_bytes(width, "big"),
            "before": before,
            "expires_at": leaves_at + number,
            "at": 0,
        }
        for number in range(entries)
    ]
    node.database.write(lambda connection: connection.execute(sa.insert(schema.revocations), rows))
    return leaves_at


def checked(node: PublicCloudNode) -> list[Finding]:
    examined = Examined(node.directory, KINDS["C"], node.settings, lambda: None, system_clock, database=node.database)
    return list(revocations(examined))


def shown(node: PublicCloudNode, name: str) -> dict[str, float]:
    verifier = node.cloud.publisher.refresh(system_clock()).verifier
    read = list_readings(verifier.lists, verifier.anchors, now=system_clock())
    return {it.labels[0]: it.value for it in read if it.name == f"medunion_revocation_list_{name}"}


def test_room_is_no_more_than_a_list_names() -> None:
    fields = RevocationList.DESCRIPTOR.fields_by_name
    for kind, name in zip(MOST, ("serials", "statements", "key_ids", "sweeps"), strict=True):
        assert MOST[kind] <= fields[name].GetOptions().Extensions[rules_pb2.rule].max_items


def test_metrics_tell_entries_and_room_by_kind(node: PublicCloudNode) -> None:
    assert shown(node, "entries") == dict.fromkeys(MOST, 0)
    assert shown(node, "entries_limit") == shown(node, "room") == MOST
    assert MOST == {"serial": 3968, "statement": 3968, "key": 1024, "sweep": 1024}
    fill(node, "statement", 3968)
    fill(node, "key", 24)
    fill(node, "sweep", 1)
    assert shown(node, "entries") == {"serial": 0, "statement": 3968, "key": 24, "sweep": 1}
    assert shown(node, "room") == {"serial": 3968, "statement": 0, "key": 1000, "sweep": 1023}


def test_check_of_an_empty_list_says_its_room(node: PublicCloudNode) -> None:
    (finding,) = checked(node)
    assert finding.verdict is Verdict.OK
    kinds = "0 of 3968 credentials, 0 of 3968 statements, 0 of 1024 encryption keys"
    assert f"{kinds}, 0 of 1024 patients who took everything back" in finding.says


def test_check_says_nothing_at_four_fifths_and_a_note_above(node: PublicCloudNode) -> None:
    fill(node, "serial", JUST_HIGH - 1)
    assert [it.verdict for it in checked(node)] == [Verdict.OK]
    node.cloud.stores.revocations.revoke("serial", b"\xff" * 32, expires_at=system_clock() + HOUR, at=0)
    (finding,) = checked(node)
    assert finding.verdict is Verdict.NOTE
    assert f"{JUST_HIGH} of 3968 credentials on the revocation list" in finding.says
    assert "the first leaves at 2" in finding.says
    assert "docs/operations.md" in finding.do


def test_check_of_a_full_list_fails_and_what_is_over_does_not_count(node: PublicCloudNode) -> None:
    leaves_at = fill(node, "statement", 3968)
    (finding,) = checked(node)
    assert finding.verdict is Verdict.WRONG
    assert "it is full, and no more can be revoked" in finding.says
    later = Examined(
        node.directory, KINDS["C"], node.settings, lambda: None, lambda: leaves_at + HOUR, database=node.database
    )
    assert [it.verdict for it in revocations(later)] == [Verdict.OK]


@pytest.mark.parametrize(
    ("kind", "require", "most"),
    [
        ("serial", require_room_for_live, 3968),
        ("serial", require_room_for_superseded, 3712),
        ("serial", require_room_for_renewal, 3174),
    ],
)
def test_limit_reached_on_a_full_list_and_not_before(
    node: PublicCloudNode, kind: RevocationKind, require, most: int
) -> None:
    book = node.cloud.stores.revocations
    fill(node, kind, most - 1)
    require(book.current(now=system_clock()))
    book.revoke(kind, b"\xff" * 32, expires_at=system_clock() + HOUR, at=0)
    with pytest.raises(Limit):
        require(book.current(now=system_clock()))


def test_list_that_is_filling_is_told_in_the_log_and_another_is_not(
    node: PublicCloudNode, caplog: pytest.LogCaptureFixture
) -> None:
    fill(node, "serial", JUST_HIGH - 1)
    warn_of_little_room(node.cloud.publisher.refresh(system_clock()))
    assert "list-filling" not in caplog.messages
    node.cloud.stores.revocations.revoke("serial", b"\xff" * 32, expires_at=system_clock() + HOUR, at=0)
    warn_of_little_room(node.cloud.publisher.refresh(system_clock()))
    (told,) = [record for record in caplog.records if record.msg == "list-filling"]
    assert told.fields == {"kind": "serial", "entries": JUST_HIGH, "most": 3968}
