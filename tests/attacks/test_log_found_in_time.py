"""A cloud and five hospitals, each in turn an attacker: the others find within a minute what it did to its log, with proof.

By their clock: chores come at the latest moment that their intervals allow, whatever this machine's speed is.
"""

from collections.abc import Callable, Iterator

import pytest

from federation.party.witness import CUT_BACK, FORK, REWRITTEN
from hsm import Pin, TokenUri
from tests.attacks.test_log_attacks import require_proof
from tests.log_lab import NODES, LogLab, LogNode, log_lab
from tests.log_rounds import Rounds, witnesses_of
from tests.simulator import simulated

PAST = ("admitted", "read", "read again", "the day ends")
FOUND_WITHIN_SECONDS = 60.0

ATTACKS = {
    "drops": (REWRITTEN, ("admitted", "read again", "the day ends", "and begins", "anew")),
    "reorders": (REWRITTEN, ("read", "admitted", "read again", "the day ends", "and begins")),
    "rewrites": (REWRITTEN, ("admitted", "nothing was read", "read again", "the day ends", "and begins")),
    "cuts-back": (CUT_BACK, PAST[:3]),
    "restores": (CUT_BACK, (*PAST[:2], "after the backup")),
    "restores-and-goes-on": (REWRITTEN, (*PAST[:2], "after the backup", "and on", "and on and on")),
}


@pytest.fixture(scope="module")
def shared_lab(make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> Iterator[LogLab]:
    with simulated(make_token_uri, user_pin.reveal()) as federation, log_lab(federation) as made:
        yield made


def is_followed(logs: LogLab, identity: str) -> bool:
    """Return whether each witness of a log keeps the head over all of it, and has looked at it."""

    def is_seen(node: LogNode) -> bool:
        return any(it.node_id == identity and it.size == len(PAST) for it in node.witness.followed.all())

    return all(is_seen(logs[it]) for it in witnesses_of(identity))


@pytest.fixture
def rounds(shared_lab: LogLab) -> Iterator[Rounds]:
    """Six servers whose logs of four entries their witnesses have cosigned, and follow."""
    begun = shared_lab.federation.clock.now
    shared_lab.forget()
    rounds = Rounds(shared_lab)
    for identity in NODES:
        shared_lab[identity].write(*PAST)
    rounds.begin()
    rounds.until(lambda: all(is_followed(shared_lab, it) for it in NODES), seconds=FOUND_WITHIN_SECONDS)
    assert [node.found for node in shared_lab.nodes.values()] == [[]] * len(NODES)
    yield rounds
    shared_lab.federation.clock.now = begun


def finders(logs: LogLab, identity: str, kind: str) -> set[str]:
    """Return who else has found this of a log, with both heads as proof."""
    found = [(it, finding) for it in logs.others(identity) for finding in logs[it].findings]
    for _, finding in found:
        require_proof(logs, finding)
    return {it for it, finding in found if (finding.node_id, finding.kind) == (identity, kind)}


@pytest.mark.parametrize("identity", NODES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_log_changed_behind_its_head_is_found_within_a_minute_by_each_witness(
    rounds: Rounds, identity: str, attack: str
) -> None:
    logs, (kind, past) = rounds.logs, ATTACKS[attack]
    logs[identity].own = logs[identity].another(*past)
    rounds.begin()
    rounds.until(lambda: finders(logs, identity, kind) >= set(witnesses_of(identity)), seconds=FOUND_WITHIN_SECONDS)


@pytest.mark.parametrize("identity", NODES)
def test_log_forked_is_found_within_a_minute(rounds: Rounds, identity: str) -> None:
    """One of its witnesses is shown another day than the others: it dials another server of the same node."""
    logs, node, misled = rounds.logs, rounds.logs[identity], witnesses_of(identity)[-1]
    other = node.another(*PAST, "nothing was read")
    node.write("read in the night")
    with logs.misled(identity, other, misled):
        rounds.begin()
        assert node.cosigning(misled, own=other).push()
        rounds.until(lambda: finders(logs, identity, FORK), seconds=FOUND_WITHIN_SECONDS)
