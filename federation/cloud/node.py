"""The public cloud, put together: from a directory and a token to what serves, and to what its operator does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import safefiles
from federation.clock import Clock, system_clock
from federation.cloud.authority_lists import AuthorityLists
from federation.cloud.directory import DirectoryPublisher, DirectoryVersion, ListLife
from federation.cloud.membership import new_ticket
from federation.cloud.revocation import (
    require_room_for_live,
    require_room_for_superseded,
    revoke_credential,
    revoke_guardianship,
)
from federation.cloud.services import Cloud, CloudStores, as_datetime
from federation.cloud.trust import KeysByTime, TrustOffice
from federation.errors import CredentialLive
from federation.party.audit import Audit
from federation.party.budgets import ServerBudgets
from federation.party.certificates import authority_id_of
from federation.party.crls import crl_fetcher
from federation.party.database_owner import claim, require_free, require_owner
from federation.party.epochs import EpochKeeper, as_signed, as_stored
from federation.party.generations import StoredGenerations
from federation.party.key_provisioning import finish, make_keys
from federation.party.log_heads import OwnLog
from federation.party.node_directory import NodeDirectory, open_node_token
from federation.party.patients import Patients
from federation.party.restrictions import RestrictionBook
from federation.party.witness import Witness
from federation.protocol.anchors import periods_of, serial_entry
from federation.protocol.authorities import scopes_of
from federation.protocol.bundle import TrustedBundle, issue, pin
from federation.protocol.identities import require_identity
from federation.protocol.statements import ROLE_NAMES
from federation.protocol.time import Instant
from federation.protocol.witness_policy import witness_words
from federation.settings import CloudSettings, ConfigError, DatabaseSettings, TokenSettings, require_valid
from federation.store.accesses import Accesses
from federation.store.budgets import Budgets
from federation.store.database import Database
from federation.store.directory import Authorities, TrustChain
from federation.store.errors import NotStored
from federation.store.followed import FollowedLogs
from federation.store.index import Index
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Epochs, ReplayMemory, Settings
from federation.store.registrations import Registrations
from federation.store.restrictions import Restrictions
from federation.store.revocations import RevocationBook
from federation.store.rows import StoredAuthority
from federation.store.time_stamps import TimeStamps
from federation.store.witnessed import LogFindings, Witnessed
from federation.v1.directory_pb2 import TrustBundle, WitnessPolicy
from federation.v1.statement_pb2 import ROLE_HOSPITAL, Credential
from federation.wire.fetching import require_url
from hsm import PinProvider, Token
from keystore.errors import CertificateRejected
from keystore.generations import Generations
from keystore.identities import ANY
from keystore.party import IDENTITY, ISSUING, TLS_CA, CloudKeys
from keystore.x509 import create_tls_ca, require_tls_ca

DEPARTMENT_CLASSES = (
    "anaesthesia",
    "cardiology",
    "dermatology",
    "emergency",
    "general",
    "gynaecology",
    "neurology",
    "oncology",
    "ophthalmology",
    "orthopaedics",
    "paediatrics",
    "psychiatry",
    "radiology",
    "surgery",
)
"""The list that a new federation publishes unless its founder names another."""

TRUST_LOCK = "trust.lock"

OFFLINE_GRACE = timedelta(days=7)
"""How long a new federation's trust bundle is good without word of it from the cloud."""


@dataclass(frozen=True)
class Founding:
    """What the founder of a federation decides. It listens where it is dialled, unless it is said where."""

    identity: str
    realm: str
    address: str
    peer_address: str
    public_listen: str | None = None
    peer_listen: str | None = None
    department_classes: tuple[str, ...] = DEPARTMENT_CLASSES
    tls_ca: x509.Certificate | None = None
    database: DatabaseSettings = field(default_factory=DatabaseSettings)


def found(
    directory: NodeDirectory,
    founding: Founding,
    token_settings: TokenSettings,
    pin: PinProvider | None,
    keys_in: Callable[[Token], CloudKeys] | None = None,
) -> TrustedBundle:
    """Make a public cloud: its keys in the token, TLS CA, store, trust bundle, settings. Raises ConfigError, HsmError.

    `keys_in` opens keys that a ceremony made (CloudKeys); without it they are made, or gone on with where an attempt was cut off.
    """
    if directory.is_initialised:
        raise ConfigError(f"{directory.settings_file} is there already: this directory has a node")
    require_identity("cloud", founding.identity)
    listen, peer_listen = founding.public_listen or founding.address, founding.peer_listen or founding.peer_address
    settings = CloudSettings(founding.identity, listen, peer_listen, token_settings, founding.database)
    require_valid(settings)
    directory.create()
    with directory.database(founding.database) as database, open_node_token(token_settings, pin) as token:
        require_free(database, founding.identity, token)
        keys = keys_in(token) if keys_in else make_keys(directory, token, CloudKeys)
        claim(database, founding.identity, token)
        bundle = _first_trust(database, founding, keys, system_clock())
    directory.write_trust(bundle)
    directory.write_settings(settings)
    finish(directory)
    return bundle


def _first_trust(database: Database, founding: Founding, keys: CloudKeys, now: Instant) -> TrustedBundle:
    """Make the first bundle, and keep it; one that is kept is it, if it says what the founder decides. Raises ConfigError."""
    chain = TrustChain(database)
    newest = chain.newest()
    if newest is not None:
        return _begun(pin(as_signed(newest[1])), founding, keys)
    certificate = _tls_ca_of(founding, keys, as_datetime(now)).public_bytes(Encoding.DER)
    # The first TLS CA's certificate is the public half of its generation.
    StoredGenerations(Settings(database)).change(lambda book: book.record(TLS_CA, 1, certificate))
    bundle = issue(_content(founding, keys, certificate, now), keys.signing_key)
    chain.put(bundle.sequence, as_stored(bundle.signed))
    return bundle


def _begun(kept: TrustedBundle, founding: Founding, keys: CloudKeys) -> TrustedBundle:
    certificate = founding.tls_ca.public_bytes(Encoding.DER) if founding.tls_ca else kept.content.tls_ca_certificates[0]
    decided = _content(founding, keys, certificate, kept.content.issued_at)
    decided.sequence = 1
    if kept.content != decided:
        raise ConfigError(
            "database.url: the federation was founded in this database with other names, addresses or classes, or has changed"
            " since: say the same again, restore that node, or name an empty database"
        )
    return kept


def _content(founding: Founding, keys: CloudKeys, tls_ca: bytes, now: Instant) -> TrustBundle:
    verifying_key = keys.signing_key.verifying_key.data
    return TrustBundle(
        realm=founding.realm,
        cloud_id=founding.identity,
        cloud_address=founding.address,
        cloud_peer_address=founding.peer_address,
        issuers=periods_of(Generations(), ISSUING, keys.issuing.public_key),
        cloud_keys=periods_of(Generations(), IDENTITY, verifying_key),
        tls_ca_certificates=[tls_ca],
        department_classes=founding.department_classes,
        issued_at=now,
        offline_grace_seconds=OFFLINE_GRACE // timedelta(seconds=1),
        witness_policies=[WitnessPolicy(not_before=0, cosignatures=1, hospitals=[ANY], public_cloud=True)],
    )


def _tls_ca_of(founding: Founding, keys: CloudKeys, now: datetime) -> x509.Certificate:
    if founding.tls_ca is None:
        return create_tls_ca(keys.tls_ca_key, founding.realm, now=now)
    require_tls_ca(founding.tls_ca, keys.tls_ca_key, founding.realm, now=now)
    return founding.tls_ca


class PublicCloudNode:
    """An opened public cloud. One process serves; operators' commands open the same directory beside it."""

    def __init__(
        self,
        directory: NodeDirectory,
        settings: CloudSettings,
        database: Database,
        token: Token,
        clock: Clock = system_clock,
    ) -> None:
        """Build the cloud's objects. Raises ConfigError, HsmError, StoreError."""
        self.directory = directory
        self.settings = settings
        self.database = database
        self._written = 0
        self.stored_settings = Settings(database)
        self.book = StoredGenerations(self.stored_settings)
        self.epochs = Epochs(database)
        self._authorities = Authorities(database)
        keys = CloudKeys(token, self.book, clock)
        self._trust = TrustOffice(TrustChain(database), keys, self.book, self._authorities)
        freshness = settings.protocol.freshness
        epochs = EpochKeeper(settings.identity, keys, self.epochs, settings.protocol.lifetimes)
        book = RevocationBook(database)
        publisher = DirectoryPublisher(
            self._trust,
            KeysByTime(keys, self.book),
            self.stored_settings,
            book,
            self._authorities,
            epochs,
            freshness,
            _list_life(settings),
        )
        log, signers = Log(database), KeysByTime(keys, self.book)
        self.cloud = Cloud(
            identity=settings.identity,
            keys=keys,
            book=self.book,
            stores=CloudStores(Registrations(database), Index(database), ReplayMemory(database), book),
            epochs=epochs,
            trust=self._trust,
            publisher=publisher,
            audit=Audit(log, keys.sealing, Patients(Accesses(database), keys.index), where=settings.identity),
            restrictions=RestrictionBook(Restrictions(database), keys.index, keys.sealing),
            freshness=freshness,
            ticket_life=timedelta(hours=settings.ticket_hours),
            renewal_stretch=timedelta(days=settings.renewal_days),
            most_rows_per_patient=settings.most_rows_per_patient,
            most_revocations=settings.most_revocations,
            emergency=settings.emergency.policy,
            budgets=ServerBudgets(settings.budgets, Budgets(database), keys.index),
            own_log=OwnLog(
                identity=settings.identity,
                anchors=lambda: self._trust.newest().anchors,
                log=log,
                heads=LogHeads(database),
                stamps=TimeStamps(database),
                settings=self.stored_settings,
                signing_key=signers.signing_key,
                key_statement=lambda: None,
                clock=clock,
            ),
            witness=Witness(
                identity=settings.identity,
                verifier=lambda: publisher.current.verifier,
                signing_key=signers.signing_key,
                witnessed=Witnessed(database),
                findings=LogFindings(database),
                followed=FollowedLogs(database),
                clock=clock,
            ),
            clock=clock,
        )
        fetcher = crl_fetcher(settings.crls, settings.dialling, files=True)
        self.crls = AuthorityLists(self.cloud, self._authorities, fetcher)

    def invite(self, hospital_id: str) -> tuple[bytes, Instant]:
        """Make a ticket for a hospital, and say when it goes. Raises FieldInvalid."""
        require_identity("hospital", hospital_id)
        now = self.cloud.clock()
        act = self.cloud.act("TICKET", f"{hospital_id} by the operator", now=now)
        return new_ticket(self.cloud, ROLE_NAMES[ROLE_HOSPITAL], hospital_id, "operator", act, now=now)

    def add_authority(
        self, certificate: x509.Certificate, doctor_ids: Sequence[str], crl_url: str | None = None
    ) -> str:
        """Recognise a medical authority for these doctors, sign the next trust bundle, and return the authority's id.

        Its lists are fetched from the URL, https or a file of this machine; the empty one is none. A certificate that is
        recognised already has this scope from now on, and another URL if one is given. Raises CertificateRejected,
        FieldInvalid.
        """
        authority_id = require_identity("authority", authority_id_of(certificate))
        scopes = scopes_of(doctor_ids)
        if crl_url:
            require_url(crl_url, files=True)
        detail = f"{authority_id} for {' '.join(scopes)}{f', lists at {crl_url}' if crl_url else ''}"
        act = self.cloud.act("AUTHORITY", detail, now=self.cloud.clock())
        der = certificate.public_bytes(Encoding.DER)
        self._authorities.put(authority_id, der, scopes, crl_url=crl_url, act=act)
        self.publish()
        return authority_id

    def remove_authority(self, certificate: x509.Certificate) -> str:
        """Recognise a certificate of a medical authority no longer, and return the authority's id. Raises CertificateRejected."""
        authority_id, der = authority_id_of(certificate), certificate.public_bytes(Encoding.DER)
        if der not in {it.certificate for it in self._authorities.all()}:
            raise CertificateRejected("this certificate is not recognised")
        act = self.cloud.act("AUTHORITY-REMOVED", authority_id, now=self.cloud.clock())
        self._authorities.drop(authority_id, der, act=act)
        self.publish()
        return authority_id

    def authorities(self) -> Sequence[StoredAuthority]:
        """Return every certificate of a medical authority that is recognised; an authority may have several."""
        return self._authorities.all()

    def put_crl(self, crl: x509.CertificateRevocationList) -> tuple[str, int]:
        """Take an authority's newer CRL; return the authority and the number. Raises CertificateRejected, AlreadyStored."""
        return self.crls.take(crl)

    def revoke(self, identity: str) -> list[bytes]:
        """Revoke a party's credentials and let its identity register again; return the serials. Raises NotStored, Limit.

        The live one first: it alone can act everywhere, and has places of the list for itself. Those that it followed fall
        too: whoever has the device has them all. Where the list has no room for them they are what is left when this is
        called again.
        """
        stores = self.cloud.stores
        while True:
            now, registrations, book = self.cloud.clock(), stores.registrations, stores.revocations
            live, superseded = registrations.live(identity), registrations.superseded(identity, now=now)
            serials = [*(it.serial for it in superseded), *([] if live is None else [live.serial])]
            listed = book.listed(map(serial_entry, serials))
            left = [it for it in superseded if serial_entry(it.serial) not in listed]
            if live is None and not left:
                raise NotStored(f"{identity} has no live registration")
            # Revoked before it ends: a crash in between leaves a registration that nobody accepts, and the command can run again.
            if live is not None and serial_entry(live.serial) not in listed:
                require_room_for_live(self.cloud)
                revoke_credential(self.cloud, identity, live.serial, live.not_after, now=now)
            for it in left:
                self._revoke_superseded(identity, it.serial, it.not_after, now)
            fallen = [*([] if live is None else [live.serial]), *(it.serial for it in superseded)]
            if live is None:
                return fallen
            # A renewal may have come between: its credential falls in the next round.
            with suppress(NotStored):
                registrations.authorize_reissue(identity, live.serial)
                return fallen

    def revoke_serial(self, serial: bytes) -> bytes:
        """Revoke one credential that a newer one followed, and return its serial. Raises NotStored, CredentialLive, Limit."""
        registrations = self.cloud.stores.registrations
        kept = registrations.credential_of(serial)
        if kept is None:
            raise NotStored("no credential has this serial")
        credential = Credential.FromString(kept)
        live = registrations.live(credential.identity)
        if live is not None and live.serial == serial:
            raise CredentialLive(f"this is the live credential of {credential.identity}: revoke that identity")
        self._revoke_superseded(credential.identity, serial, credential.not_after, self.cloud.clock())
        return serial

    def revoke_guardian(self, hospital_id: str, guardianship_id: bytes) -> None:
        """Take a guardianship back that this hospital stated. Raises FieldInvalid, Limit."""
        hospital = require_identity("hospital", hospital_id)
        revoke_guardianship(self.cloud, hospital, guardianship_id, now=self.cloud.clock())

    def _revoke_superseded(self, identity: str, serial: bytes, not_after: Instant, now: Instant) -> None:
        require_room_for_superseded(self.cloud)
        revoke_credential(self.cloud, identity, serial, not_after, now=now)

    def trust(self) -> TrustedBundle:
        """Return the newest trust bundle."""
        return self._trust.newest()

    def move(self, address: str, peer_address: str, why: str) -> TrustedBundle:
        """Sign the next trust bundle with other addresses of this cloud, and return it. Raises MalformedMessage, StoreError."""
        now = self.cloud.clock()
        act = self.cloud.act("MOVED", f"{address}, for hospitals {peer_address}; {why}", now=now)
        bundle = self._trust.move(address, peer_address, act, now)
        self.publish()
        return bundle

    def state_witnesses(self, policy: WitnessPolicy, why: str) -> TrustedBundle:
        """Sign the next trust bundle with another witness policy from now on, and return it.

        Raises MalformedMessage, BundleInvalid, StoreError.
        """
        now, said = self.cloud.clock(), witness_words(policy)
        bundle = self._trust.state_witnesses(policy, self.cloud.act("WITNESS-POLICY", f"{said}; {why}", now=now), now)
        self.publish()
        return bundle

    def publish(self) -> DirectoryVersion:
        """Sign anew whatever has changed, bundle and lists, and let `trust.json` follow. Raises StoreError, HsmError."""
        version = self.cloud.publisher.refresh(self.cloud.clock())
        self.follow(version)
        return version

    def follow(self, version: DirectoryVersion) -> None:
        """Let `trust.json` follow to a trust bundle that this process has not written yet. Raises OSError."""
        if version.trust.sequence != self._written:
            self._write_trust(version.trust)
            self._written = version.trust.sequence

    def _write_trust(self, bundle: TrustedBundle) -> None:
        """Write `trust.json`, unless another process has written a newer one: a slow one must not put an older in its place."""
        with safefiles.lock(self.directory.path / TRUST_LOCK):
            with suppress(ConfigError):  # what is no bundle, or says another thing than is signed, gives way
                if self.directory.trust().sequence > bundle.sequence:
                    return
            self.directory.write_trust(bundle)


@contextmanager
def open_public_cloud(
    directory: NodeDirectory, pin: PinProvider | None, clock: Clock = system_clock
) -> Iterator[PublicCloudNode]:
    """Open a public cloud's token and store for a block. Raises ConfigError, HsmError, StoreError."""
    settings = directory.settings(CloudSettings)
    with directory.database(settings.database) as database, open_node_token(settings.token, pin) as token:
        require_owner(database, settings.identity)
        yield PublicCloudNode(directory, settings, database, token, clock)


def _list_life(settings: CloudSettings) -> ListLife:
    return ListLife(
        timedelta(minutes=settings.revocation_list_minutes), timedelta(minutes=settings.revocation_list_renewal_minutes)
    )
