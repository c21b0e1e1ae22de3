"""The public cloud, put together: from a directory and a token to what serves, and to what its operator does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.app.certificates import authority_id_of, crl_number_of
from federation.app.node import NodeDirectory, open_node_token
from federation.audit import Audit
from federation.clock import Clock, system_clock
from federation.config import CloudSettings, ConfigError, TokenSettings
from federation.epochs import EpochKeeper, as_stored
from federation.errors import Limit
from federation.protocol.anchors import serial_entry
from federation.protocol.bundle import TrustedBundle, issue
from federation.protocol.identities import require_identity
from federation.protocol.periods import periods_of
from federation.protocol.statements import ROLE_NAMES
from federation.protocol.time import Instant, milliseconds
from federation.services.cloud.bulletin import KEPT_AFTER_END, MOST_ENTRIES, Bulletin, ListLife
from federation.services.cloud.cloud import Cloud, CloudStores, as_datetime
from federation.services.cloud.membership import new_ticket
from federation.services.cloud.trust import TrustOffice
from federation.store.authorities import SqlAuthorities
from federation.store.database import Database
from federation.store.errors import NotStored
from federation.store.index import SqlIndex
from federation.store.log import SqlLog
from federation.store.party import SqlEpochs, SqlReplayMemory, SqlSettings
from federation.store.registrations import SqlRegistrations
from federation.store.revocations import SqlRevocationBook
from federation.store.trust import SqlTrustChain
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from hsm import PinProvider, Token
from keystore.errors import CertificateRejected
from keystore.generations import Generations
from keystore.party import IDENTITY, ISSUING, CloudKeys
from keystore.x509 import create_tls_ca

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

OFFLINE_GRACE = timedelta(days=7)
"""How long a new federation's trust bundle is good without word of it from the cloud."""


@dataclass(frozen=True)
class Founding:
    """What the founder of a federation decides."""

    identity: str
    realm: str
    address: str
    peer_address: str
    public_listen: str
    peer_listen: str
    department_classes: tuple[str, ...] = DEPARTMENT_CLASSES


def found(
    directory: NodeDirectory,
    founding: Founding,
    token_settings: TokenSettings,
    pin: PinProvider | None,
    keys_in: Callable[[Token], CloudKeys] = CloudKeys.create,
) -> TrustedBundle:
    """Make a public cloud: its keys in the token, TLS CA, store, trust bundle, settings. Raises ConfigError, HsmError.

    `keys_in` makes the keys, or opens those that a ceremony made (CloudKeys).
    """
    if directory.is_initialised:
        raise ConfigError(f"{directory.settings_file} is there already: this directory has a node")
    require_identity("cloud", founding.identity)
    directory.create()
    with open_node_token(token_settings, pin) as token:
        bundle = _trust_of(founding, keys_in(token), system_clock())
    with directory.database() as database:
        SqlTrustChain(database).put(bundle.sequence, as_stored(bundle.signed))
    directory.write_trust(bundle)
    directory.write_settings(
        CloudSettings(founding.identity, founding.public_listen, founding.peer_listen, token_settings)
    )
    return bundle


def _trust_of(founding: Founding, keys: CloudKeys, now: Instant) -> TrustedBundle:
    tls_ca = create_tls_ca(keys.tls_ca_key, founding.realm, now=as_datetime(now))
    verifying_key = keys.signing_key.public_key().public_bytes_raw()
    content = TrustBundle(
        realm=founding.realm,
        cloud_id=founding.identity,
        cloud_address=founding.address,
        cloud_peer_address=founding.peer_address,
        issuers=periods_of(Generations(), ISSUING, keys.issuing.public_key),
        cloud_keys=periods_of(Generations(), IDENTITY, verifying_key),
        tls_ca_certificates=[tls_ca.public_bytes(Encoding.DER)],
        department_classes=founding.department_classes,
        issued_at=now,
        offline_grace_seconds=OFFLINE_GRACE // timedelta(seconds=1),
    )
    return issue(content, keys.signing_key)


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
        self._authorities = SqlAuthorities(database)
        keys = CloudKeys(token)
        self._trust = TrustOffice(SqlTrustChain(database), keys)
        freshness = settings.protocol.freshness
        epochs = EpochKeeper(settings.identity, keys, SqlEpochs(database), settings.protocol.lifetimes)
        book = SqlRevocationBook(database)
        bulletin = Bulletin(
            self._trust,
            keys,
            SqlSettings(database),
            book,
            self._authorities,
            epochs,
            freshness,
            _list_life(settings),
        )
        self.cloud = Cloud(
            identity=settings.identity,
            keys=keys,
            tls_ca=x509.load_der_x509_certificate(self.trust().content.tls_ca_certificates[0]),
            stores=CloudStores(SqlRegistrations(database), SqlIndex(database), SqlReplayMemory(database), book),
            epochs=epochs,
            trust=self._trust,
            bulletin=bulletin,
            audit=Audit(SqlLog(database), keys.sealing),
            freshness=freshness,
            ticket_life=timedelta(hours=settings.ticket_hours),
            clock=clock,
        )

    def invite(self, hospital_id: str) -> tuple[bytes, Instant]:
        """Make a ticket for a hospital, and say when it goes. Raises FieldInvalid."""
        require_identity("hospital", hospital_id)
        now = self.cloud.clock()
        self.cloud.record("TICKET", f"{hospital_id} by the operator", now=now)
        return new_ticket(self.cloud, ROLE_NAMES[ROLE_HOSPITAL], hospital_id, "operator", now=now)

    def add_authority(self, certificate: x509.Certificate) -> str:
        """Recognise a medical authority, sign the next trust bundle, and give the authority's id. Raises CertificateRejected."""
        authority_id = require_identity("authority", authority_id_of(certificate))
        self.cloud.record("AUTHORITY", authority_id, now=self.cloud.clock())
        self._authorities.put(authority_id, certificate.public_bytes(Encoding.DER))
        self._trust.publish(self._name_authorities, now=self.cloud.clock())
        self.directory.write_trust(self.trust())
        return authority_id

    def put_crl(self, crl: x509.CertificateRevocationList) -> tuple[str, int]:
        """Take an authority's newer CRL; give the authority and the number. Raises CertificateRejected, AlreadyStored."""
        for authority in self._authorities.all():
            certificate = x509.load_der_x509_certificate(authority.certificate)
            if certificate.subject == crl.issuer:
                number = crl_number_of(crl, certificate)
                self.cloud.record("CRL", f"{authority.authority_id} number {number}", now=self.cloud.clock())
                self._authorities.put_crl(
                    authority.authority_id, authority.certificate, crl.public_bytes(Encoding.DER), number
                )
                return authority.authority_id, number
        raise CertificateRejected("the list comes from no medical authority of this federation")

    def revoke(self, identity: str) -> bytes:
        """Revoke a party's credential and let its identity register again; give the serial. Raises NotStored, Limit."""
        now = self.cloud.clock()
        stores = self.cloud.stores
        live = stores.registrations.live(identity)
        if live is None:
            raise NotStored(f"{identity} has no live registration")
        if len(stores.revocations.current(now=now).serials) >= MOST_ENTRIES:
            raise Limit("the revocation list is full")
        self.cloud.record("REVOCATION", f"{identity} serial {live.serial.hex()}", now=now)
        # Revoked before it ends: a crash in between leaves a registration that nobody accepts, and the command can run again.
        stores.revocations.revoke(
            "serial", serial_entry(live.serial), expires_at=live.not_after + milliseconds(KEPT_AFTER_END), at=now
        )
        stores.registrations.authorize_reissue(identity)
        return live.serial

    def trust(self) -> TrustedBundle:
        """Give the newest trust bundle."""
        return self._trust.newest()

    def _name_authorities(self, content: TrustBundle) -> None:
        del content.medical_authorities[:]
        for authority in self._authorities.all():
            content.medical_authorities.add(authority_id=authority.authority_id, certificate=authority.certificate)


@contextmanager
def open_public_cloud(
    directory: NodeDirectory, pin: PinProvider | None, clock: Clock = system_clock
) -> Iterator[PublicCloudNode]:
    """Open a public cloud's token and store for a block. Raises ConfigError, HsmError, StoreError."""
    settings = directory.settings(CloudSettings)
    with directory.database() as database, open_node_token(settings.token, pin) as token:
        yield PublicCloudNode(directory, settings, database, token, clock)


def _list_life(settings: CloudSettings) -> ListLife:
    return ListLife(
        timedelta(minutes=settings.revocation_list_minutes), timedelta(minutes=settings.revocation_list_renewal_minutes)
    )
