"""What a check says of the witness policy: whom a node can ask, and how long its heads have gone without enough of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.check.findings import Verdict
from federation.check.witnessing import held_to
from federation.protocol.witness_policy import WitnessPolicy
from federation.store.database import open_database
from federation.store.log_heads import LogHeads
from federation.store.rows import StoredCosignature, StoredHead
from tests.policies import stated

MINUTE = 60_000
NOW = 1_000 * MINUTE
TWO = WitnessPolicy.read(stated(2), "C:union")
ASKED = ("C:union", "H:north", "H:south")


@pytest.fixture
def heads(tmp_path: Path) -> Iterator[LogHeads]:
    with open_database(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield LogHeads(opened)


def signed(heads: LogHeads, size: int, at: int, *cosigners: str) -> None:
    heads.put(StoredHead(1, size, bytes(32), at, b"note"))
    for witness_id in cosigners:
        heads.cosign(StoredCosignature(1, size, witness_id, b"line", at))


def test_log_whose_newest_head_enough_have_cosigned_is_well(heads: LogHeads) -> None:
    signed(heads, 1, 0)
    signed(heads, 2, NOW, "C:union", "H:north", "public w.example/w")
    found = held_to(TWO, "H:own", ASKED, heads, now=NOW + 60 * MINUTE)
    assert (found.verdict, found.do) == (Verdict.OK, "")
    assert "cosigned by C:union, H:north; the policy asks for 2" in found.says


def test_node_that_asks_fewer_than_the_policy_is_wrong(heads: LogHeads) -> None:
    signed(heads, 1, NOW, "C:union")
    found = held_to(TWO, "H:own", ("C:union", "H:own", "public w.example/w"), heads, now=NOW)
    assert found.verdict is Verdict.WRONG
    assert "asks for 2 cosignatures of this log, and can get 1" in found.says
    assert "[log] witnesses" in found.do


def test_cloud_with_too_few_hospitals_is_wrong_and_one_without_any_is_noted(heads: LogHeads) -> None:
    few, none = (held_to(TWO, "C:union", asked, heads, now=NOW) for asked in (("H:north",), ()))
    assert [few.verdict, none.verdict] == [Verdict.WRONG, Verdict.NOTE]
    assert "witness-policy" in few.do


@pytest.mark.parametrize(("minutes", "verdict"), [(10, Verdict.NOTE), (11, Verdict.WRONG)])
def test_heads_that_wait_for_longer_than_the_alarm_are_wrong(heads: LogHeads, minutes: int, verdict: Verdict) -> None:
    """What came since does not make the wait shorter, nor does one that cosigns again and again."""
    signed(heads, 1, NOW - 90 * MINUTE, "C:union", "H:north")
    signed(heads, 2, NOW, "C:union")
    signed(heads, 3, NOW + 9 * MINUTE, "C:union")
    found = held_to(TWO, "H:own", ASKED, heads, now=NOW + minutes * MINUTE)
    assert (found.verdict, bool(found.do)) == (verdict, True)
    assert found.says.startswith(f"for {minutes} minutes fewer than 2")


def test_log_that_enough_never_cosigned_is_wrong_in_time(heads: LogHeads) -> None:
    assert held_to(TWO, "H:own", ASKED, heads, now=NOW).verdict is Verdict.NOTE, "nothing is signed"
    signed(heads, 1, NOW, "H:north")
    assert held_to(TWO, "H:own", ASKED, heads, now=NOW).verdict is Verdict.NOTE
    assert held_to(TWO, "H:own", ASKED, heads, now=NOW + 11 * MINUTE).verdict is Verdict.WRONG
