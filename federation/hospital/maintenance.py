"""What a hospital does beside answering: follow the directory, empty the outbox, renew its encryption keys, sweep."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from federation.hospital.guardians import sweep_guardianships
from federation.hospital.outbox import Outbox
from federation.hospital.records_administration import bury
from federation.hospital.restrictions import take_restrictions
from federation.hospital.roster import sweep_roster
from federation.hospital.services import Hospital
from federation.party.chores import Chore, ChoreRunner
from federation.party.lists import FollowedLists
from federation.party.member import Member
from federation.protocol.anchors import Lists
from federation.protocol.statements import peek_statement
from federation.protocol.time import milliseconds
from federation.v1.directory_pb2 import WatchDirectoryResponse
from federation.v1.membership_pb2 import RenewalReceipt
from federation.v1.restrictions_pb2 import DueRestriction, HeldRestriction
from federation.v1.statement_pb2 import EncryptionKeyStatement, RevocationExcerpt, SignedStatement
from federation.wire import operations

OUTBOX_EVERY = timedelta(seconds=1)
RESTRICTIONS_EVERY = timedelta(seconds=3)
DIRECTORY_EVERY = timedelta(seconds=30)
FOLLOW_AGAIN = timedelta(seconds=1)
"""After a stream that the cloud ended in good order: one of its processes left, and another goes on."""

CHORES_EVERY = timedelta(seconds=10)
ORPHAN_AGE = timedelta(days=1)
_ANNOUNCED = "announced-encryption-key"
_FOLLOWER, _OUTBOX, _RESTRICTIONS = "follower", "outbox", "restrictions"


class PublicCloud(Protocol):
    """The public cloud, as a hospital's maintenance calls it."""

    def refresh(self, member: Member) -> Lists:
        """Bring the member's trust bundle and lists up to date."""
        ...

    def bundles_after(self, sequence: int) -> Sequence[SignedStatement]:
        """Fetch the next trust bundles after a number."""
        ...

    def all_shards(self, held_crls: Sequence[bytes]) -> Iterable[RevocationExcerpt]:
        """Fetch all shards of one moment, and the CRLs but those."""
        ...

    def watch(self, held: FollowedLists) -> AbstractContextManager[Iterator[WatchDirectoryResponse]]:
        """Follow the directory."""
        ...

    def renew(self, member: Member, address: str | None = None) -> RenewalReceipt:
        """Put the newest encryption key and the address."""
        ...

    def fetch_restrictions(self, member: Member, held: Sequence[HeldRestriction]) -> Sequence[DueRestriction]:
        """Acknowledge restrictions that were taken, and fetch what is due."""
        ...


@dataclass(frozen=True)
class Maintenance:
    """The chores of a hospital; `address` is where others dial it, `renewals` are by name what its node renews by itself."""

    hospital: Hospital
    cloud: PublicCloud
    outbox: Outbox
    address: str
    renewals: Mapping[str, Callable[[], object]]

    def chores(self, *, follows: bool = True) -> list[Chore]:
        """Return the chores of one process; of several the others find in the store what the one that `follows` took."""
        stream = Chore(
            "follow-directory",
            FOLLOW_AGAIN,
            self.follow_once,
            thread=_FOLLOWER,
            at_once=True,
            event="directory-stream-ended",
            after_failure=DIRECTORY_EVERY,
        )
        renewals = [Chore(name, CHORES_EVERY, act, leased=True, at_once=True) for name, act in self.renewals.items()]
        return [
            *([stream, self._ask] if follows else []),
            Chore("publish", OUTBOX_EVERY, self.outbox.publish_due, thread=_OUTBOX, event="outbox-failed"),
            Chore(
                "take-restrictions",
                RESTRICTIONS_EVERY,
                self.take_restrictions,
                leased=True,
                thread=_RESTRICTIONS,
                at_once=True,
                event="restrictions-not-at-hand",
                after_failure=CHORES_EVERY,
            ),
            self._announce,
            # Each process has keys of epochs in memory, and forgets them with the others.
            Chore("end-epochs", CHORES_EVERY, self.end_epochs, at_once=True),
            Chore("sweep", CHORES_EVERY, self.sweep, leased=True, at_once=True),
            *renewals,
            Chore("remove-orphans", ORPHAN_AGE, self.remove_orphans, leased=True),
        ]

    def prepare(self, runner: ChoreRunner) -> None:
        """Take the directory and announce this hospital, if the public cloud answers; a hospital starts without it too."""
        runner.do(self._ask)
        runner.do(self._announce)

    @property
    def _ask(self) -> Chore:
        """Return the chore that asks for the directory, which is due whenever a stream has ended."""
        act = self.take_directory
        return Chore("ask-for-directory", DIRECTORY_EVERY, act, thread=_FOLLOWER, event="directory-not-at-hand")

    @property
    def _announce(self) -> Chore:
        return Chore("announce", CHORES_EVERY, self.announce, leased=True, at_once=True)

    def follow_once(self) -> None:
        """Take the directory and its changes until the stream ends."""
        lists = self.hospital.member.lists
        if not isinstance(lists, FollowedLists):
            raise TypeError("a hospital follows the whole revocation list")
        with self.cloud.watch(lists) as stream:
            for changes in stream:
                lists.follow(changes, self.cloud.bundles_after, self.cloud.all_shards)

    def take_directory(self) -> None:
        """Take the directory as it is."""
        self.cloud.refresh(self.hospital.member)

    def announce(self) -> bool:
        """Put EK_HPC and the address to the cloud unless it has them; begin the next epoch if it is due."""
        hospital = self.hospital
        epochs, settings = hospital.member.epochs, hospital.stores.settings
        now = hospital.clock()
        if not epochs.is_due(now) and settings.get(_ANNOUNCED) == _announcement(epochs.current(now), self.address):
            return False
        self.cloud.renew(hospital.member, self.address)
        settings.put(_ANNOUNCED, _announcement(epochs.current(now), self.address))
        return True

    def take_restrictions(self) -> int:
        """Take what patients hide, as far as it is due here."""
        fetch = partial(self.cloud.fetch_restrictions, self.hospital.member)
        return take_restrictions(self.hospital, fetch)

    def end_epochs(self) -> None:
        """Destroy the keys of ended epochs."""
        member = self.hospital.member
        member.epochs.sweep(self.hospital.clock())

    def sweep(self) -> None:
        """Destroy what is left of erased records, rooms and budgets that are over, shifts and guardianships of long ago."""
        hospital = self.hospital
        hospital.budgets.sweep(hospital.clock())
        hospital.stores.rooms.sweep(now=hospital.clock())
        sweep_roster(hospital)
        sweep_guardianships(hospital)
        bury(hospital)

    def remove_orphans(self) -> None:
        """Remove the blobs that a crash left."""
        hospital = self.hospital
        older_than = hospital.clock() - milliseconds(ORPHAN_AGE)
        removed = hospital.vault.remove_orphans(hospital.stores.records, older_than=older_than)
        operations.info("blobs-swept", removed=removed)


def _announcement(statement: SignedStatement, address: str) -> bytes:
    return peek_statement(EncryptionKeyStatement, statement).key_id + address.encode()
