"""What a serving cloud does after a rotation, in a thread of its own and at a low pace: no call waits for it.

A walk that was done is noted in the store by purpose and generation; one that a crash cut short is simply begun again.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from federation.cloud import rekey
from federation.cloud.node import PublicCloudNode
from federation.party.reencryption import Pace, Tally, Walk, walked
from federation.protocol.time import milliseconds
from federation.rotation.steps import SETTLING
from federation.wire import operations
from keystore.generations import State
from keystore.party import IDENTITY, INDEXING, ISSUING, SEALING

CHORES = "chores"
"""The lease that the process has which does them."""

EVERY = timedelta(seconds=5)
CHANGES_A_SECOND = 100.0
LOOKED_AT_BETWEEN_PAUSES = 500
PAUSE = timedelta(milliseconds=50)
_JOIN_SECONDS = 5.0


class _Stopped(Exception):
    """The server stops, or another process leads: the walk goes on there."""


class RotationChores:
    """The chores of one process. Several processes may do them at once: each piece is replaced by comparison."""

    def __init__(
        self, node: PublicCloudNode, every: timedelta = EVERY, *, leads: Callable[[], bool] = lambda: True
    ) -> None:
        """Do what this node's rotations leave to do, while this process `leads` (raises StoreError)."""
        self._node = node
        self._leads = leads
        self._every = every
        self._walks: Mapping[str, Walk] = {
            SEALING: lambda: rekey.reseal(node.cloud, node.epochs),
            IDENTITY: lambda: rekey.restate_all(node.cloud),
        }
        self._buried: set[tuple[str, int]] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="medunion-rotation", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next piece."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._every.total_seconds()):
            self._surviving(self._turn)

    def _turn(self) -> None:
        if not self._leads():
            return
        self._surviving(self._bury)
        for purpose in self._walks:
            self._surviving(partial(self._catch_up, purpose))

    def _surviving(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except _Stopped:
            return
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave revocations unfinished, silently
            operations.failure("rotation-chore-failed", error)

    def _bury(self) -> None:
        """Finish revocations that a crash cut short, once for each: what fell with a generation goes."""
        cloud, book = self._node.cloud, self._node.book.read()
        for purpose, forget in ((ISSUING, rekey.forget_registrations), (INDEXING, rekey.forget_rows)):
            for it in book.of(purpose):
                fell = book.state(purpose, it.number, cloud.clock()) is State.REVOKED and it.active_from is not None
                if fell and (purpose, it.number) not in self._buried:
                    forget(cloud, it.number)
                    self._buried.add((purpose, it.number))

    def _catch_up(self, purpose: str) -> None:
        """Walk once for each activation, when every process works with the new generation."""
        now = self._node.cloud.clock()
        active = self._node.book.read().active(purpose, now)
        mark = f"walked-{purpose}"
        done = int(self._node.marks.get(mark) or b"1")
        if active.number == done or now < (active.active_from or 0) + milliseconds(SETTLING):
            return
        tally = walked(self._walks[purpose](), Pace(CHANGES_A_SECOND, self._rest), self._look_up)
        self._node.marks.put(mark, str(active.number).encode())
        operations.info("rotation-walked", purpose=purpose, generation=active.number, changed=tally.changed)

    def _rest(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Stopped

    def _look_up(self, tally: Tally) -> None:
        """Make way for calls also where there is nothing to change, and see whether to stop."""
        if tally.seen % LOOKED_AT_BETWEEN_PAUSES == 0:
            self._rest(PAUSE.total_seconds())
            if not self._leads():
                raise _Stopped
