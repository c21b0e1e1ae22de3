"""A hospital's node: what its commands and its server are built from."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

from cryptography import x509

from federation.clock import Clock, system_clock, system_entropy
from federation.errors import NotRegistered, RenewalNotDue
from federation.hospital.outbox import Outbox
from federation.hospital.retention import retention_of
from federation.hospital.services import Hospital, Stores
from federation.hospital.tls import TlsIdentity
from federation.hospital.vault import Vault
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.budgets import ServerBudgets
from federation.party.cloud_client import CloudClient, IssuedTicket
from federation.party.crls import crl_fetcher
from federation.party.database_owner import claim, require_free, require_owner
from federation.party.generations import StoredGenerations
from federation.party.key_provisioning import finish, make_keys
from federation.party.log_heads import OwnLog
from federation.party.member import Member
from federation.party.node_directory import NodeDirectory, open_node_token
from federation.party.patients import Patients
from federation.party.registration import Due, register, renew_registration, renewal_due, restatement_due
from federation.party.restrictions import RestrictionBook
from federation.party.witness import Witness
from federation.protocol.bundle import TrustedBundle
from federation.protocol.identities import require_identity
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant, milliseconds
from federation.settings import ConfigError, HospitalSettings, require_valid
from federation.store.accesses import Accesses
from federation.store.blobs import BlobStore
from federation.store.budgets import Budgets
from federation.store.database import Database
from federation.store.emergencies import Emergencies
from federation.store.followed import FollowedLogs
from federation.store.guardianships import Guardianships
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Epochs, Evidence, ReplayMemory, Settings
from federation.store.records import OutboxEntries, Records, RecordsAdministration
from federation.store.restrictions import Restrictions
from federation.store.revocations import KeptShards
from federation.store.rooms import Rooms
from federation.store.roster import Shifts
from federation.store.time_stamps import TimeStamps
from federation.store.witnessed import LogFindings, Witnessed
from federation.v1.statement_pb2 import ROLE_HOSPITAL, SignedStatement
from federation.wire import operations
from federation.wire.channel import dialling_of
from federation.wire.server import LeafRotation
from hsm import PinProvider, Token
from keystore.identities import DepartmentId
from keystore.party import HospitalKeys
from keystore.x509 import TlsLeaf

LICENCE = "licence"
ANY_PORT = ":0"
JOIN_SECONDS = 5.0

ASK_AGAIN_AFTER, LONGEST_UNASKED = timedelta(hours=1), timedelta(days=1)
"""How long a hospital whose renewal is not due to the public cloud goes on with what it has, unless it has another reason: as
long as the cloud says, between these."""


def init_hospital(
    directory: NodeDirectory,
    settings: HospitalSettings,
    bundle: TrustedBundle,
    pin: PinProvider | None,
    keys_in: Callable[[Token], HospitalKeys] | None = None,
) -> None:
    """Make a hospital's keys in its token, its store and its settings. Raises ConfigError, HsmError, StoreError.

    `keys_in` opens keys that a ceremony made (HospitalKeys); without it they are made, what an attempt before made included.
    """
    if directory.is_initialised:
        raise ConfigError(f"{directory.settings_file} is there already: this hospital has been made")
    _require_sound(settings, bundle)
    directory.create()
    with directory.database(settings.database) as database, open_node_token(settings.token, pin) as token:
        require_free(database, settings.identity, token)
        if keys_in is None:
            make_keys(directory, token, HospitalKeys)
        else:
            keys_in(token)
        claim(database, settings.identity, token)
    directory.shelf(settings.blobs)
    directory.write_trust(bundle)
    # Last: a directory with settings is a hospital.
    directory.write_settings(settings)
    finish(directory)


def _require_sound(settings: HospitalSettings, bundle: TrustedBundle) -> None:
    require_identity("hospital", settings.identity)
    require_valid(settings)
    for name in settings.departments:
        require_identity("department", f"{settings.identity}/{name}")
        if name.partition(".")[0] not in bundle.anchors.department_classes:
            raise ConfigError(f"departments: {name} is of no class that the federation publishes")


def department_ids(settings: HospitalSettings) -> tuple[DepartmentId, ...]:
    """Return the ID_DEs of a hospital's departments."""
    return tuple(DepartmentId(f"{settings.identity}/{name}") for name in settings.departments)


class HospitalNode:
    """A hospital, open: its token, its store, its calls to the public cloud. A context manager."""

    def __init__(
        self, directory: NodeDirectory, pin: PinProvider | None = None, *, clock: Clock = system_clock
    ) -> None:
        """Open the node of a directory. Raises ConfigError, HsmError, StoreError, MalformedMessage."""
        self.clock = clock
        self.directory = directory
        self._not_due_yet: tuple[Due | None, Instant] = None, 0
        self.settings = directory.settings(HospitalSettings)
        with ExitStack() as opened:
            token = opened.enter_context(open_node_token(self.settings.token, pin))
            self.database = database = opened.enter_context(directory.database(self.settings.database))
            require_owner(database, self.settings.identity)
            kept = Settings(database)
            self.book = StoredGenerations(kept)
            self.keys = HospitalKeys(token, self.book, clock)
            self.blobs = blobs = BlobStore(directory.shelf(self.settings.blobs))
            member = Member(
                self.settings.identity,
                self.keys,
                kept,
                Epochs(database),
                directory.trust(),
                self.settings.protocol.freshness,
                self.settings.protocol.lifetimes,
                KeptShards(database),
                self.settings.revocation.grace,
            )
            self.hospital = compose(self.settings, member, self.keys, database, blobs, clock)
            self.tls = TlsIdentity(self.keys, self.book, kept, lambda: (self.member, self.cloud), clock)
            self.cloud = opened.enter_context(
                CloudClient(
                    self.member.trust.newest,
                    leaf=self._current_leaf,
                    clock=clock,
                    dialling=dialling_of(self.settings.dialling),
                )
            )
            self._opened = opened.pop_all()

    @property
    def stores(self) -> Stores:
        """Return what this hospital keeps beside its vault."""
        return self.hospital.stores

    @property
    def member(self) -> Member:
        """Return the hospital as a member of the federation."""
        return self.hospital.member

    @property
    def leaf(self) -> LeafRotation:
        """Return the TLS leaf, made in memory and signed by the identity CA. Raises NotRegistered."""
        return self.tls.leaves

    @property
    def identity_ca(self) -> x509.Certificate | None:
        """Return the certificate of this hospital's identity CA, if there is one for the key in the token."""
        return self.tls.certificate

    @property
    def bundle(self) -> TrustedBundle:
        """Return the trust bundle that holds now."""
        return self.member.trust.newest()

    @property
    def root_pem(self) -> bytes:
        """Return the federation's TLS CAs."""
        return self.bundle.tls_roots

    @property
    def outbox(self) -> Outbox:
        """Return the outbox, on its way to the public cloud."""
        return Outbox(self.hospital, lambda publication: self.cloud.publish(self.member, publication))

    def register(self, licence: bytes, ticket: bytes) -> None:
        """Register, have the TLS identity certified, and tell the cloud where this hospital is dialled.

        Each step that is done stays done: what failed half-way goes on here. Raises the cloud's refusal, Unavailable.
        """
        settings = self.hospital.stores.settings
        if not self.member.is_registered:
            register(self.member, self.cloud, ROLE_HOSPITAL, licence, ticket)
        # Public in the federation's register of hospitals, and shown again whenever this one registers again by itself.
        settings.put(LICENCE, licence)
        self.tls.certify_what_is_due()
        if not self.settings.address.endswith(ANY_PORT):
            self.cloud.renew(self.member, self.settings.address)

    def renew_registration(self) -> Due | None:
        """Register again if it is due, and return why; or take KS signed anew if the PRK_C behind it can't be relied on.

        Raises NotRegistered if the licence is not kept, the cloud's refusal, Unavailable.
        """
        member, now = self.member, self.clock()
        member.forget_former(now)
        due = renewal_due(member, now)
        if due is not None:
            if due is self._not_due_yet[0] and now < self._not_due_yet[1]:
                return None
            settings = self.hospital.stores.settings
            licence = settings.get(LICENCE)
            if licence is None:
                raise NotRegistered("the licence is not kept here: run `medunion hospital register --licence` again")
            try:
                renew_registration(member, self.cloud, licence)
            except RenewalNotDue as refusal:
                wait = min(LONGEST_UNASKED, max(ASK_AGAIN_AFTER, refusal.retry_after))
                self._not_due_yet = due, now + milliseconds(wait)
                operations.info("renewal-not-due", why=due)
                return None
            self.hospital.audit.record(AuditEvent("REGISTERED-AGAIN", OK, detail=due), now=self.clock())
        elif restatement_due(member, now):
            self.cloud.renew(member)
        return due

    def follow_authorities(self) -> None:
        """Ask the medical authorities for their lists, where the cloud is silent."""
        fetcher = crl_fetcher(self.settings.crls, self.settings.dialling)
        self.member.follow_authorities(fetcher, self.clock())

    def issue_ticket(self, patient_id: str) -> IssuedTicket:
        """Get a ticket for a patient whom the desk has identified."""
        issued = self.cloud.issue_ticket(self.member, require_identity("patient", patient_id))
        self.hospital.audit.record(AuditEvent("TICKET", OK, detail=patient_id), now=self.clock())
        return issued

    def take_back(self, kind: str, statement: SignedStatement) -> None:
        """Have a duty or a guardianship of this hospital on the revocation list. Raises the cloud's refusal, Unavailable."""
        self.cloud.revoke(self.member, [(kind, statement)])

    def _current_leaf(self) -> TlsLeaf:
        return self.leaf.current()

    def close(self) -> None:
        """Close channels, store and token."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def compose(
    settings: HospitalSettings,
    member: Member,
    keys: HospitalKeys,
    database: Database,
    blobs: BlobStore,
    clock: Clock,
    entropy: Entropy = system_entropy,
) -> Hospital:
    """Return a hospital on its token, its database and its records. Raises ConfigError."""
    stores = Stores(
        settings=Settings(database),
        replay=ReplayMemory(database),
        records=Records(database),
        outbox=OutboxEntries(database),
        administration=RecordsAdministration(database),
        rooms=Rooms(database),
        evidence=Evidence(database),
        shifts=Shifts(database),
        guardianships=Guardianships(database),
        emergencies=Emergencies(database),
    )
    log = Log(database)
    return Hospital(
        member=member,
        sealing=keys.sealing,
        vault=Vault(keys, blobs, entropy),
        stores=stores,
        audit=Audit(
            log,
            keys.sealing,
            Patients(Accesses(database), keys.index),
            where=settings.identity,
            listed_at=lambda: member.listed_at,
        ),
        restrictions=RestrictionBook(Restrictions(database), keys.index, keys.sealing),
        departments=department_ids(settings),
        clock=clock,
        entropy=entropy,
        retention=retention_of(settings.retention),
        most_relay_bytes=round(settings.relay_gigabytes * 10**9),
        emergency=settings.emergency.policy,
        budgets=ServerBudgets(settings.budgets, Budgets(database), keys.index),
        own_log=OwnLog(
            identity=settings.identity,
            anchors=lambda: member.anchors,
            log=log,
            heads=LogHeads(database),
            stamps=TimeStamps(database),
            settings=stores.settings,
            signing_key=lambda _: member.signing_key,
            key_statement=lambda: member.key_statement,
            clock=clock,
        ),
        witness=Witness(
            identity=settings.identity,
            verifier=member.verifier,
            signing_key=lambda _: member.signing_key,
            witnessed=Witnessed(database),
            findings=LogFindings(database),
            followed=FollowedLogs(database),
            clock=clock,
        ),
    )
