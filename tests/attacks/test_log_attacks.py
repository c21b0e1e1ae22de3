"""A log that was written is written anew: by who is asked for it, or by who restores a backup. Others find it, with proof."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from federation.errors import Unavailable
from federation.monitor.targets import log_readings
from federation.party.witness import CUT_BACK, FORK, RESTARTED, REWRITTEN
from federation.protocol.log_head import open_head
from federation.store.witnessed import LogFinding
from hsm import Pin, TokenUri
from tests.log_lab import NODES, LogLab, LogNode, log_lab
from tests.serving import SECONDS
from tests.simulator import simulated

PAST = ("admitted", "read", "read again")


@pytest.fixture(scope="module")
def shared_lab(make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> Iterator[LogLab]:
    with simulated(make_token_uri, user_pin.reveal()) as federation, log_lab(federation) as made:
        yield made


@pytest.fixture
def logs(shared_lab: LogLab) -> LogLab:
    """Six servers whose logs are empty, and that know nothing of each other's."""
    shared_lab.forget()
    return shared_lab


def witnessed(logs: LogLab, identity: str) -> tuple[LogNode, list[LogNode]]:
    """A node whose three entries two others have cosigned."""
    node, others = logs[identity], logs.others(identity)[:2]
    node.write(*PAST)
    assert node.cosigning(*others, cosignatures=2).push()
    return node, [logs[it] for it in others]


def require_proof(logs: LogLab, finding: LogFinding) -> None:
    """Require both heads to be signed by the node of the log: whoever has the trust bundle can judge."""
    node = logs[finding.node_id]
    for note in (finding.held_note, finding.shown_note):
        origin = note.split(b"\n")[0].decode()
        open_head(note, origin, node.own.signing_key(0).verifying_key)
    assert finding.held_note != finding.shown_note


def test_log_written_anew_is_found_by_nobody_without_witnesses(logs: LogLab) -> None:
    """The attack: alone, a log that has lost what was read is as good as the first one to whoever asks for it now."""
    node = logs["H:alpha"]
    node.write(*PAST)
    node.own.sign_newest()
    node.own = node.another("admitted", "nothing was read", "nothing else")
    head = node.own.sign_newest()
    assert head is not None
    assert node.own.log.verify() == 3
    reader = logs["H:beta"]
    reader.following("H:alpha").look()
    assert reader.witness.witnessed.of("H:alpha").root == head.root
    assert reader.found == []


@pytest.mark.parametrize("identity", NODES)
def test_fork_is_found_by_two_witnesses_that_compare(logs: LogLab, identity: str) -> None:
    node, (first, second) = logs[identity], [logs[it] for it in logs.others(identity)[:2]]
    node.write(*PAST)
    other = node.another("admitted", "nothing was read", "nothing else", "the day ends")
    assert node.cosigning(first.identity).push()
    assert node.cosigning(second.identity, own=other).push()
    node.own = other  # who looks for itself is shown what it has cosigned
    second.following(identity, asked=[first.identity]).look()
    assert second.found == [(identity, FORK)]
    require_proof(logs, second.findings[0])
    first.following(identity).look()
    assert first.found == [(identity, REWRITTEN)]


def test_fork_of_one_size_is_proof_whoever_shows_it(logs: LogLab) -> None:
    node, (witness, _) = witnessed(logs, "H:alpha")
    other = node.another("admitted", "nothing was read", "nothing else")
    assert not node.cosigning(witness.identity, own=other).push()
    assert witness.found == [("H:alpha", FORK)]
    require_proof(logs, witness.findings[0])


@pytest.mark.parametrize("identity", NODES)
def test_log_cut_back_is_found(logs: LogLab, identity: str) -> None:
    node, witnesses = witnessed(logs, identity)
    node.own = node.another(*PAST[:2])
    node.own.sign_newest()
    for witness in witnesses:
        witness.following(identity).look()
        assert witness.found == [(identity, CUT_BACK)]
        require_proof(logs, witness.findings[0])


ALTERED = {
    "changed": ("admitted", "nothing was read", "read again", "the day ends"),
    "dropped": ("admitted", "read again", "the day ends", "and begins"),
    "reordered": ("read", "admitted", "read again", "the day ends"),
}


@pytest.mark.parametrize("identity", NODES)
@pytest.mark.parametrize("past", ALTERED.values(), ids=ALTERED)
def test_log_rewritten_is_found(logs: LogLab, identity: str, past: tuple[str, ...]) -> None:
    node, witnesses = witnessed(logs, identity)
    node.own = node.another(*past)
    node.own.sign_newest()
    for witness in witnesses:
        witness.following(identity).look()
        assert witness.found == [(identity, REWRITTEN)]
        require_proof(logs, witness.findings[0])
    assert not node.cosigning(witnesses[0].identity).push()
    assert (identity, REWRITTEN) in node.found  # the operator of the node itself is told, too


def test_restored_backup_is_found_by_the_node_itself_and_by_its_witnesses(logs: LogLab) -> None:
    node, (witness, _) = witnessed(logs, "H:gamma")
    node.own = node.another(*PAST[:2])
    assert not node.cosigning(witness.identity).push()
    assert node.found == [("H:gamma", CUT_BACK)]
    witness.following("H:gamma").look()
    assert witness.found == [("H:gamma", CUT_BACK)]


def test_restored_backup_that_has_grown_past_what_was_seen_is_found(logs: LogLab) -> None:
    node, (witness, _) = witnessed(logs, "H:gamma")
    node.own = node.another(*PAST[:2], "another", "and another")
    node.own.sign_newest()
    witness.following("H:gamma").look()
    assert witness.found == [("H:gamma", REWRITTEN)]


def test_log_begun_anew_is_cosigned_again_and_told_once(logs: LogLab) -> None:
    node, (witness, other) = witnessed(logs, "H:gamma")
    node.own = node.another(*PAST[:2])
    node.own.begin_anew()
    node.write("begun anew")
    assert node.cosigning(witness.identity).push()
    witness.following("H:gamma", asked=[other.identity]).look()
    assert witness.found == [("H:gamma", RESTARTED)]
    node.write("and on")
    assert node.cosigning(witness.identity).push()
    assert len(witness.findings) == 1


def test_witness_that_was_forked_away_is_no_witness_of_the_older_number(logs: LogLab) -> None:
    """A node that has begun anew can't go back to what it had before and show either as it likes."""
    node, (witness, _) = witnessed(logs, "H:gamma")
    before = node.own
    node.own = node.another(*PAST[:2])
    node.own.begin_anew()
    assert node.cosigning(witness.identity).push()
    node.write("more", into=before)
    assert not node.cosigning(witness.identity, own=before).push()


def test_log_that_proves_nothing_is_as_one_that_can_not(logs: LogLab) -> None:
    """A log may answer a witness's question for a proof with a refusal: it has signed both heads, and owes the proof."""
    node, (witness, _) = witnessed(logs, "H:delta")
    node.write("more")
    head = node.own.sign_newest()
    assert head is not None
    cut = node.another(*PAST[:1])
    cut.heads.put(head)
    node.own = cut
    witness.following("H:delta").look()
    assert witness.found == [("H:delta", REWRITTEN)]


def test_honest_logs_are_cosigned_by_all_and_nothing_is_found(logs: LogLab) -> None:
    for round_ in range(3):
        for identity in NODES:
            logs[identity].write(f"entry {round_}", "another")
            assert logs[identity].cosigning(*logs.others(identity), cosignatures=5).push()
        for identity in NODES:
            others = logs.others(identity)
            assert logs[identity].following(*others, asked=others[:2]).look() == {}
    assert [node.found for node in logs.nodes.values()] == [[]] * 6
    assert [node.own.cosigned_at for node in logs.nodes.values()] == [logs.federation.clock.now] * 6


def test_emergency_is_stood_by_when_one_witness_of_several_answers(logs: LogLab) -> None:
    node = logs["H:alpha"]
    node.write("an emergency is declared")
    assert node.cosigning("H:nowhere", "H:beta").stand_by(timedelta(seconds=SECONDS))
    head = node.own.heads.newest()
    assert head is not None
    assert (head.size, node.own.cosigners(head)) == (1, {"H:beta"})
    assert node.cosigning("H:nowhere").stand_by(timedelta(seconds=SECONDS))  # it has been already


def test_emergency_that_no_witness_stands_by_is_told_so(logs: LogLab) -> None:
    node = logs["H:alpha"]
    node.write("an emergency is declared")
    assert not node.cosigning("H:nowhere").stand_by(timedelta(milliseconds=1))
    assert not node.cosigning("H:beta").stand_by(timedelta(0))


def readings(node: LogNode) -> dict[str, float]:
    """What a node's metrics say of its log and of those that it follows, in seconds."""
    return {it.name: it.value for it in log_readings(node.own, node.witness) if not it.labels}


NEVER_COSIGNED = "medunion_log_never_cosigned_seconds"
SILENT = "medunion_followed_log_silent_seconds"


def test_log_that_was_never_cosigned_is_told_for_as_long_as_its_witnesses_are_asked(logs: LogLab) -> None:
    node, now = logs["H:alpha"], logs.federation.clock.now
    assert readings(node)[NEVER_COSIGNED] == 0
    node.write("one")
    assert not node.cosigning("H:nowhere").push()
    logs.federation.clock.now += 60_000
    assert not node.cosigning("H:nowhere").push()
    assert readings(node)[NEVER_COSIGNED] == 60
    assert node.cosigning("H:beta").push()
    assert readings(node)[NEVER_COSIGNED] == 0
    logs.federation.clock.now = now


def test_log_that_is_held_back_from_one_witness_is_silent_there(logs: LogLab) -> None:
    """The attack: what was the newest head once is as good as the newest, to who sees no other."""
    node, (first, second), now = logs["H:alpha"], [logs[it] for it in ("H:beta", "H:gamma")], logs.federation.clock.now
    node.write(*PAST)
    node.own.sign_newest()
    held_back = node.another(*PAST)
    held_back.sign_newest()
    with logs.misled("H:alpha", held_back, "H:beta"):
        for _ in range(3):
            for witness in (first, second):
                assert witness.following("H:alpha").look() == {}
            logs.federation.clock.now += 600_000
            node.write("a heartbeat")
            node.own.sign_newest()
    assert (first.found, second.found) == ([], [])
    assert [readings(it)[SILENT] for it in (first, second)] == [1_800, 600]
    logs.federation.clock.now = now


def test_log_that_never_answers_is_silent_since_it_is_followed(logs: LogLab) -> None:
    witness, now = logs["H:beta"], logs.federation.clock.now
    assert witness.following("H:nowhere").look() == {"H:nowhere": Unavailable.reason}
    logs.federation.clock.now += 600_000
    witness.following("H:nowhere").look()
    assert readings(witness)[SILENT] == 600
    witness.following().look()
    assert readings(witness)[SILENT] == 0
    logs.federation.clock.now = now


def test_restored_witness_cosigns_no_fork_that_begins_behind_its_backup(logs: LogLab) -> None:
    """The attack: a witness forgets what it has cosigned since its backup, and the log shows it another past from there."""
    node, (restored, other) = witnessed(logs, "H:delta")
    backup = restored.witness.witnessed.of("H:delta")
    fork = node.another(*PAST, "nothing was read")
    node.write("read in the night")
    assert node.cosigning(restored.identity, other.identity, cosignatures=2).push()
    kept = restored.witness.witnessed
    kept.advance(backup, kept.of("H:delta"))
    assert node.cosigning(restored.identity, own=fork).push()  # it succeeds, where nobody doubts what was restored
    kept.advance(backup, kept.of("H:delta"))
    kept.doubt()
    assert not node.cosigning(restored.identity, own=node.another(*PAST, "nothing at all")).push()
    node.own = fork
    restored.following("H:delta", asked=[other.identity]).look()
    assert ("H:delta", FORK) in restored.found
    assert kept.of("H:delta").is_doubted


def test_restored_witness_goes_on_when_it_has_looked(logs: LogLab) -> None:
    node, (restored, other) = witnessed(logs, "H:delta")
    restored.witness.witnessed.doubt()
    node.write("more")
    assert not node.cosigning(restored.identity).push()
    restored.following("H:delta", asked=[other.identity]).look()
    assert node.cosigning(restored.identity).push()
    assert restored.found == []
