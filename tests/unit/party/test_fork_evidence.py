"""What a server found of another's log, before a judge."""

from federation.party.fork_evidence import forks
from federation.party.witness import CUT_BACK, FORK
from federation.protocol.judge import judge
from federation.store.witnessed import LogFinding
from tests.simulator import Federation
from tests.trees import reader_of
from tests.unit.protocol.judging import writer_of
from tests.vectors.told import SIZE


def found(federation: Federation, kind: str, held_by: bytes | None = None) -> LogFinding:
    writer = writer_of(federation)
    held, shown = (writer.note(SIZE, reader_of(writer.leaves(fork))) for fork in (b"", b" rewritten"))
    stated = federation.party(federation.hospital_a).self_.key_statement.SerializeToString(deterministic=True)
    return LogFinding("H:alpha", kind, held, held_by or stated, shown, stated, federation.clock.now)


def test_fork_that_was_found_holds_before_a_judge(federation: Federation) -> None:
    (judged,) = judge(list(forks([found(federation, FORK)])), federation.cloud.anchors)
    assert judged.holds
    assert "two heads of its log" in judged.proves[0]


def test_fork_whose_first_head_another_key_signed_does_not_hold(federation: Federation) -> None:
    other = federation.party(federation.hospital_b).self_.key_statement.SerializeToString(deterministic=True)
    (judged,) = judge(list(forks([found(federation, FORK, other)])), federation.cloud.anchors)
    assert not judged.holds
    assert judged.checks[-1].name == "known"


def test_log_that_was_cut_back_is_no_evidence_by_two_heads_alone(federation: Federation) -> None:
    assert list(forks([found(federation, CUT_BACK)])) == []
