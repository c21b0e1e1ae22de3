"""A revocation list that fills: told by metrics, the log and `medunion check`; a full one takes no more."""

from dataclasses import replace

import pytest

from federation.check.findings import KINDS, Examined, Finding, Verdict
from federation.check.membership import revocations
from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.cloud.revocation import (
    Capacity,
    require_room_for_live,
    require_room_for_renewal,
    require_room_for_superseded,
)
from federation.errors import Limit
from federation.monitor.targets import list_readings, room_readings
from federation.processes.cloud import warn_of_little_room

HOUR = 3_600_000
MOST = 1_024
JUST_HIGH = 820
"""The first number above four fifths of that."""


def fill(node: PublicCloudNode, entries: int) -> int:
    """Revoke that many, which leave in an hour; return when."""
    leaves_at = system_clock() + HOUR
    found = {number.to_bytes(32, "big"): leaves_at for number in range(entries)}
    node.cloud.stores.revocations.take_back(found, at=0, most=MOST)
    return leaves_at


def checked(node: PublicCloudNode, now: int | None = None) -> list[Finding]:
    settings, clock = replace(node.settings, most_revocations=MOST), system_clock if now is None else lambda: now
    examined = Examined(node.directory, KINDS["C"], settings, lambda: None, clock, database=node.database)
    return list(revocations(examined))


def test_metrics_tell_entries_and_room(node: PublicCloudNode) -> None:
    fill(node, 5)
    verifier = node.cloud.publisher.refresh(system_clock()).verifier
    read = [*list_readings(verifier.lists, verifier.anchors, now=system_clock()), *room_readings(Capacity(5, MOST))]
    values = {it.name.removeprefix("medunion_revocation_list_"): it.value for it in read}
    assert (values["entries"], values["entries_limit"], values["room"]) == (5, MOST, MOST - 5)
    assert [it.value for it in room_readings(Capacity(MOST + 1, MOST))] == [MOST, 0]


def test_check_says_the_room_and_the_kinds(node: PublicCloudNode) -> None:
    (finding,) = checked(node)
    assert (finding.verdict, finding.says) == (Verdict.OK, f"the revocation list has room: 0 of {MOST} entries")
    fill(node, 5)
    (finding,) = checked(node)
    assert f"5 of {MOST} entries (5 statements)" in finding.says


def test_check_says_nothing_at_four_fifths_and_a_note_above(node: PublicCloudNode) -> None:
    fill(node, JUST_HIGH - 1)
    assert [it.verdict for it in checked(node)] == [Verdict.OK]
    node.cloud.stores.revocations.revoke("serial", b"\xff" * 32, expires_at=system_clock() + HOUR, at=0)
    (finding,) = checked(node)
    assert finding.verdict is Verdict.NOTE
    assert f"{JUST_HIGH} of {MOST} entries" in finding.says
    assert "1 credentials" in finding.says
    assert "the first leaves at 2" in finding.says
    assert "docs/operations.md" in finding.do


def test_check_of_a_full_list_fails_and_what_is_over_does_not_count(node: PublicCloudNode) -> None:
    leaves_at = fill(node, MOST)
    (finding,) = checked(node)
    assert finding.verdict is Verdict.WRONG
    assert "it is full, and no more can be revoked" in finding.says
    assert [it.verdict for it in checked(node, leaves_at + HOUR)] == [Verdict.OK]


@pytest.mark.parametrize(
    ("require", "most"),
    [
        (require_room_for_live, MOST),
        (require_room_for_superseded, MOST - 256),
        (require_room_for_renewal, JUST_HIGH - 1),
    ],
)
def test_limit_reached_on_a_full_list_and_not_before(node: PublicCloudNode, require, most: int) -> None:
    cloud = replace(node.cloud, most_revocations=MOST)
    fill(node, most - 1)
    require(cloud)
    cloud.stores.revocations.revoke("serial", b"\xff" * 32, expires_at=system_clock() + HOUR, at=0)
    with pytest.raises(Limit):
        require(cloud)


def test_list_that_is_filling_is_told_in_the_log_and_another_is_not(
    node: PublicCloudNode, caplog: pytest.LogCaptureFixture
) -> None:
    fill(node, JUST_HIGH - 1)
    warn_of_little_room(node.cloud.publisher.refresh(system_clock()), MOST)
    assert "list-filling" not in caplog.messages
    node.cloud.stores.revocations.revoke("serial", b"\xff" * 32, expires_at=system_clock() + HOUR, at=0)
    warn_of_little_room(node.cloud.publisher.refresh(system_clock()), MOST)
    (told,) = [record for record in caplog.records if record.msg == "list-filling"]
    assert told.fields == {"entries": JUST_HIGH, "most": MOST}
