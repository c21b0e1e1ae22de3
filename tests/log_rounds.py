"""The servers of the log lab at their chores, by a clock that is moved: each as late as a runner lets it be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from federation.cloud.witnessing import WITNESSES_UNLESS_NAMED
from federation.party.chores import Chore
from federation.party.log_chores import chores_of
from federation.party.log_follower import Following
from tests.log_lab import CLOUD, HOSPITALS, NODES, LogLab, LogNode

LATEST = 1.1
"""Of a chore's period: a runner varies it by a tenth."""


def witnesses_of(identity: str) -> Sequence[str]:
    """As servers have them: a hospital's are the public cloud and the next hospital, the cloud's the first hospitals."""
    if identity == CLOUD:
        return HOSPITALS[:WITNESSES_UNLESS_NAMED]
    return (CLOUD, HOSPITALS[(HOSPITALS.index(identity) + 1) % len(HOSPITALS)])


def chores(node: LogNode) -> list[Chore]:
    """What a server does about logs, as its process has it."""
    witnesses = witnesses_of(node.identity)

    def followed() -> Sequence[str]:
        if node.identity == CLOUD:
            return HOSPITALS
        return [*witnesses, *(it.node_id for it in node.witness.witnessed.all())]

    following = Following(node.witness, node.peers, followed, lambda: witnesses)
    return chores_of(node.cosigning(*witnesses), following)


@dataclass
class Rounds:
    """All servers at their chores. A chore is done at the latest moment of its period."""

    logs: LogLab
    _due: list[tuple[Chore, int]] = field(default_factory=list)

    @property
    def now(self) -> int:
        """The time, in milliseconds."""
        return int(self.logs.federation.clock.now)

    def begin(self) -> None:
        """Let every server begin with the log that it has, and every chore have been done just now."""
        self._due = [self._next(chore) for identity in NODES for chore in chores(self.logs[identity])]

    def until(self, found: Callable[[], object], *, seconds: float) -> float:
        """Let the servers do their chores until it is found; return after how many seconds. Fails after so many."""
        begun = self.now
        while not found():
            assert self.now - begun < seconds * 1000, f"not found in {seconds} s"
            self._step()
        return (self.now - begun) / 1000

    def _step(self) -> None:
        self.logs.federation.clock.now = min(at for _, at in self._due)
        for place, (chore, at) in enumerate(self._due):
            if at <= self.now:
                chore.act()
                self._due[place] = self._next(chore)

    def _next(self, chore: Chore) -> tuple[Chore, int]:
        return chore, self.now + int(chore.every.total_seconds() * 1000 * LATEST)
