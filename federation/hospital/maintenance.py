"""What a hospital does beside answering: follow the directory, empty the outbox, renew its encryption keys, sweep.

Each is a loop in a thread of its own. A loop survives every fault: it says so in the operational log, waits, and goes on.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from federation.errors import FederationError
from federation.hospital.hospital import Hospital
from federation.hospital.outbox import Outbox
from federation.hospital.records_administration import bury
from federation.party.member import Member
from federation.protocol.statements import peek_statement
from federation.protocol.time import milliseconds
from federation.store.errors import StoreError
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.membership_pb2 import RenewalReceipt
from federation.v1.statement_pb2 import EncryptionKeyStatement, SignedStatement
from federation.wire import operations
from hsm.errors import HsmError

OUTBOX_SECONDS = 1.0
FOLLOW_SECONDS = 30.0
FOLLOW_AGAIN_SECONDS = 1.0
"""After a stream that the cloud ended in good order: one of its processes left, and another goes on."""

CHORES_SECONDS = 10.0
ORPHAN_AGE = timedelta(days=1)
_ANNOUNCED = "announced-encryption-key"


class PublicCloud(Protocol):
    """The public cloud, as a hospital's upkeep calls it."""

    def directory(self) -> GetDirectoryResponse:
        """Fetch the directory."""
        ...

    def bundles_after(self, sequence: int) -> Sequence[SignedStatement]:
        """Fetch the next trust bundles after a number."""
        ...

    def watch(self) -> AbstractContextManager[Iterator[GetDirectoryResponse]]:
        """Follow the directory."""
        ...

    def renew(self, member: Member, address: str | None = None) -> RenewalReceipt:
        """Put the newest encryption key and the address."""
        ...


class Upkeep:
    """The loops of one process."""

    def __init__(
        self,
        hospital: Hospital,
        cloud: PublicCloud,
        outbox: Outbox,
        address: str,
        chores: Sequence[Callable[[], object]] = (),
        *,
        leads: Callable[[], bool] = lambda: True,
        follows: bool = True,
    ) -> None:
        """Keep this hospital up; `address` is where others dial it, `chores` is what else is done every ten seconds.

        Of several processes the one that `leads` does the chores; those that don't follow the directory find it in the store.
        """
        self._hospital = hospital
        self._cloud = cloud
        self._outbox = outbox
        self._address = address
        self._leads = leads
        self._follows = follows
        self._chores = (self.announce, self.sweep, *chores)
        self._stopping = threading.Event()
        self._swept_at = hospital.clock()
        self._threads = [
            threading.Thread(target=body, name=f"medunion-{name}", daemon=True)
            for name, body in (("follower", self._follow), ("outbox", self._empty), ("chores", self._do_chores))
        ]

    def prepare(self) -> None:
        """Take the directory and announce this hospital, if the public cloud answers; a hospital starts without it too."""
        self._surviving("directory-not-at-hand", self._ask)
        self._surviving("chore-failed", lambda: self._leads() and self.announce())

    def start(self) -> None:
        """Start the loops."""
        for thread in self._threads if self._follows else self._threads[1:]:
            thread.start()

    def stop(self) -> None:
        """Ask the loops to end. The follower ends when the cloud's channel is closed."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait for the loops to end."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(seconds)

    def announce(self) -> bool:
        """Put EK_HPC and the address to the cloud unless it has them; begin the next epoch if it is due."""
        hospital = self._hospital
        epochs, settings = hospital.member.epochs, hospital.stores.settings
        now = hospital.clock()
        if not epochs.is_due(now) and settings.get(_ANNOUNCED) == _announcement(epochs.current(now), self._address):
            return False
        self._cloud.renew(hospital.member, self._address)
        settings.put(_ANNOUNCED, _announcement(epochs.current(now), self._address))
        return True

    def sweep(self) -> None:
        """Destroy the keys of ended epochs, what is left of erased records and rooms; once a day, blobs that a crash left."""
        hospital, now = self._hospital, self._hospital.clock()
        hospital.member.epochs.sweep(now)
        hospital.stores.rooms.sweep(now=now)
        bury(hospital)
        if now - self._swept_at >= milliseconds(ORPHAN_AGE):
            self._swept_at = now
            removed = hospital.vault.remove_orphans(hospital.stores.records, older_than=now - milliseconds(ORPHAN_AGE))
            operations.info("blobs-swept", removed=removed)

    def follow_once(self) -> None:
        """Take the directory and its changes until the stream ends."""
        with self._cloud.watch() as directories:
            for directory in directories:
                self._hospital.member.update(directory, self._cloud.bundles_after)
                if self._stopping.is_set():
                    return

    def _follow(self) -> None:
        """Follow by the stream; where that fails, ask every half minute."""
        while not self._stopping.is_set():
            ended_well = self._surviving("directory-stream-ended", self.follow_once)
            self._surviving("directory-not-at-hand", self._ask)
            self._stopping.wait(FOLLOW_AGAIN_SECONDS if ended_well else FOLLOW_SECONDS)

    def _ask(self) -> None:
        if not self._stopping.is_set():
            self._hospital.member.update(self._cloud.directory(), self._cloud.bundles_after)

    def _empty(self) -> None:
        while not self._stopping.wait(OUTBOX_SECONDS):
            self._surviving("outbox-failed", self._outbox.publish_due)

    def _do_chores(self) -> None:
        while not self._stopping.is_set():
            self._surviving("chore-failed", self._turn)
            self._stopping.wait(CHORES_SECONDS)

    def _turn(self) -> None:
        if not self._leads():
            # Each process has keys of epochs in memory, and forgets them with the others.
            self._hospital.member.epochs.sweep(self._hospital.clock())
            return
        for chore in self._chores:
            self._surviving("chore-failed", chore)

    def _surviving(self, event: str, step: Callable[[], object]) -> bool:
        """Run a step and say whether it went well."""
        try:
            step()
        except (FederationError, StoreError, HsmError) as error:
            # What passes by itself, and what an operator can do something about.
            if not self._stopping.is_set():
                operations.warning(event, reason=error.reason)
        except Exception as error:  # noqa: BLE001 - a loop that ends would leave the hospital without it, silently
            if not self._stopping.is_set():
                operations.failure(event, error)
        else:
            return True
        return False


def _announcement(statement: SignedStatement, address: str) -> bytes:
    return peek_statement(EncryptionKeyStatement, statement).key_id + address.encode()
