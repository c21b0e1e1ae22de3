"""What every service of the public cloud works with, and the steps that they share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from cryptography import x509
from google.protobuf.message import Message

from federation.clock import Clock
from federation.cloud.directory import DirectoryPublisher
from federation.cloud.trust import KeysByTime, TrustOffice
from federation.errors import NotRegistered
from federation.party.audit import OK, Audit, AuditEvent, budgeted
from federation.party.budgets import ServerBudgets
from federation.party.epochs import EpochKeeper, as_signed
from federation.party.log_heads import OwnLog
from federation.party.restrictions import RestrictionBook
from federation.party.witness import Witness
from federation.protocol.access import AccessEvent
from federation.protocol.calls import Call
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.index import BlindIndex
from federation.protocol.parties import Pending
from federation.protocol.sealing import Opened, after_opening
from federation.protocol.statements import ROLE_NAMES
from federation.protocol.time import Freshness, Instant
from federation.protocol.verifier import VerifiedParty, Verifier
from federation.store.errors import AlreadyAdmitted
from federation.store.index import Index
from federation.store.party import ReplayMemory
from federation.store.registrations import Registrations
from federation.store.revocations import RevocationBook
from federation.store.rows import NOTHING, Act, Admission, Beside, Registration
from federation.v1 import statement_pb2 as pb
from federation.v1.envelope_pb2 import SealedOpening
from keystore.generations import GenerationBook
from keystore.party import CloudKeys

M = TypeVar("M", bound=Message)
S = TypeVar("S")

ROLES: dict[str, "pb.Role.ValueType"] = {name: role for role, name in ROLE_NAMES.items()}


@dataclass(frozen=True)
class CloudStores:
    """What the public cloud keeps."""

    registrations: Registrations
    index: Index
    replay: ReplayMemory
    revocations: RevocationBook


@dataclass(frozen=True)
class Cloud:
    """The public cloud of a federation. Every method of its services blocks: it runs in a worker."""

    identity: str
    keys: CloudKeys
    book: GenerationBook
    stores: CloudStores
    epochs: EpochKeeper
    trust: TrustOffice
    publisher: DirectoryPublisher
    audit: Audit
    restrictions: RestrictionBook
    freshness: Freshness
    ticket_life: timedelta
    renewal_stretch: timedelta
    most_rows_per_patient: int
    most_revocations: int
    emergency: EmergencyPolicy | None
    budgets: ServerBudgets
    own_log: OwnLog
    witness: Witness
    clock: Clock

    @property
    def keys_by_time(self) -> KeysByTime:
        """Return the keys that sign, by the moment that is said in what they sign."""
        return KeysByTime(self.keys, self.book)

    @property
    def tls_ca(self) -> x509.Certificate:
        """Return the certificate of the federation's TLS CA that is active now."""
        return self.keys_by_time.tls_ca(self.clock())[0]

    @property
    def verifier(self) -> Verifier:
        """Return the checks by the newest directory. Raises Unavailable before there is one."""
        return self.publisher.current.verifier

    @property
    def blind_index(self) -> BlindIndex:
        """Return the keys of the index."""
        return BlindIndex(self.keys.index, self.keys.sealing)

    def member(self, identity: str, *, now: Instant) -> VerifiedParty:
        """Return a party with a live registration whose CRED holds. Raises Rejected: a seal was opened to learn its name."""
        with after_opening():
            live = self.live(identity, now=now)
            if live is None:
                raise NotRegistered("the sender has no live registration")  # call.3
            verifier = self.verifier
            return verifier.party(as_signed(live.key_statement), ROLES[live.role], now=now)  # call.4

    def authenticated(self, call: Call[M], opening: SealedOpening, *, now: Instant) -> "Authenticated[M]":
        """Open a single call and prove its sender. Raises precise errors for clear fields, Rejected for the rest."""
        claimed = call.receive(opening, self.epochs, self.identity, self.freshness, now=now)
        sender = self.member(claimed.claimed_sender, now=now)
        return Authenticated(self, sender, claimed.opened, claimed.verify(sender, now=now))

    def live(self, identity: str, *, now: Instant) -> Registration | None:
        """Return the registration of an identity unless its time is over."""
        registration = self.stores.registrations.live(identity)
        return registration if registration is not None and now <= registration.not_after else None

    def admit(self, pending: Pending[S], *, now: Instant) -> S:
        """Keep a message's replay key, after every other check. Raises Rejected for one that was taken before."""
        # call.7
        return pending.admit(self.stores.replay.admit(pending.replay_key, now=now, until=pending.keep_until))

    def record(self, kind: str, detail: str, *, now: Instant, reason: str = OK) -> None:
        """Write what was done, and is in no store that takes the entry along, or what is about to be released."""
        self.audit.record(AuditEvent(kind, reason, detail=detail), now=now)

    def act(self, kind: str, detail: str, beside: Beside = NOTHING, *, now: Instant) -> Act:
        """Return what the store writes with a change: the audit log's entry. Neither is there without the other."""
        return Act(self.audit.entry(AuditEvent(kind, OK, detail=detail), now=now, beside=beside))

    def take(
        self, pending: Pending[S], event: AccessEvent | AuditEvent, beside: Beside = NOTHING, *, now: Instant
    ) -> S:
        """Keep a message's replay key in one transaction with the log's entry of what it leads to, before its answer goes out.

        Raises Rejected for one that was taken before, BudgetExhausted.
        """
        # call.7, D2.9
        return self.audit.take(pending, event, now=now, beside=beside)


@dataclass(frozen=True, repr=False)
class Authenticated(Generic[M]):
    """A single call of a registered party. What it asks for is the service's to check; then `admit` it once."""

    cloud: Cloud
    sender: VerifiedParty
    opened: Opened[M]
    pending: Pending[Opened[M]]

    @property
    def payload(self) -> M:
        """Return what was asked."""
        return self.opened.payload

    def admit(self, *, now: Instant) -> None:
        """Take a call that changes nothing in the store, if it is new. Raises Rejected."""
        self.cloud.admit(self.pending, now=now)

    @contextmanager
    def acting(self, kind: str, detail: str, beside: Beside = NOTHING, *, now: Instant) -> Iterator[Act]:
        """Take the call by the change that it asks for, in one transaction with it and its entry in the log.

        A call that was taken and whose change was lost would be refused, as a replay, to whoever sends it again. Raises
        Rejected, BudgetExhausted.
        """
        admission = Admission(self.pending.replay_key, now, self.pending.keep_until)
        try:
            with budgeted():
                yield replace(self.cloud.act(kind, detail, beside, now=now), admission=admission)
        except AlreadyAdmitted:
            self.pending.admit(inserted=False)  # call.7


def as_datetime(now: Instant) -> datetime:
    """Return an instant as X.509 wants it."""
    return datetime.fromtimestamp(now / 1000, UTC)
