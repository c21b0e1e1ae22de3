"""What a party pins, and the lists it checks: the roots of every verification (docs/protocol.md, 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from federation.errors import CredentialRevoked, GrantRevoked, MalformedMessage, StaleRevocationList
from federation.protocol.parsing import check
from federation.protocol.statements import open_statement
from federation.protocol.time import Instant
from federation.v1.directory_pb2 import TrustBundle
from federation.v1.statement_pb2 import RevocationList, SignedStatement
from keystore.transcript import digest, text, transcript
from keystore.x509 import UNREADABLE

LONGEST_LIST_LIFE_MS = 3_600_000


@dataclass(frozen=True)
class Anchors:
    """The trust bundle, checked."""

    realm: str
    cloud_id: str
    issuer_public_key: bytes
    cloud_key: Ed25519PublicKey
    authorities: Mapping[str, x509.Certificate]
    department_classes: frozenset[str]

    @classmethod
    def of(cls, bundle: TrustBundle) -> "Anchors":
        """Read a trust bundle. Raises MalformedMessage."""
        check(bundle)
        try:
            authorities = {
                authority.authority_id: x509.load_der_x509_certificate(authority.certificate)
                for authority in bundle.medical_authorities
            }
        except ValueError as error:
            raise MalformedMessage("a medical authority's certificate in the trust bundle is none") from error
        return cls(
            realm=bundle.realm,
            cloud_id=bundle.cloud_id,
            issuer_public_key=bundle.issuer_public_key,
            cloud_key=Ed25519PublicKey.from_public_bytes(bundle.cloud_verifying_key),
            authorities=authorities,
            department_classes=frozenset(bundle.department_classes),
        )


def _read_crl(der: bytes) -> x509.CertificateRevocationList:
    """Read a CRL, all that `current_crl` asks of it before it checks the signature: pyca reads most parts late."""
    crl = x509.load_der_x509_crl(der)
    for part in ("issuer", "signature_algorithm_oid", "last_update_utc", "next_update_utc"):
        getattr(crl, part)
    return crl


def serial_entry(serial: bytes) -> bytes:
    """Give the revocation list's entry of a credential: H(T("serial", serial))."""
    return digest(transcript("serial", serial))


def grant_entry(patient_id: str, grant_id: bytes) -> bytes:
    """Give the revocation list's entry of a grant: H(T("gid", ID_P, grant id))."""
    return digest(transcript("gid", text(patient_id), grant_id))


@dataclass(frozen=True)
class Lists:
    """The revocation list and the authorities' CRLs as last received. Stale or absent means no."""

    signed: SignedStatement | None = None
    revocations: RevocationList | None = None
    crls: tuple[x509.CertificateRevocationList, ...] = field(default=())

    @classmethod
    def read(cls, anchors: Anchors, signed: SignedStatement, crls: tuple[bytes, ...]) -> "Lists":
        """Verify a list by PUK_C and parse the CRLs; a CRL is verified where it is used. Raises Authentication, Malformed."""
        revocations = open_statement("rl", RevocationList, signed, anchors.cloud_key)
        if revocations.next_update - revocations.this_update > LONGEST_LIST_LIFE_MS:
            raise MalformedMessage("a revocation list may not live longer than an hour")
        try:
            return cls(signed, revocations, tuple(map(_read_crl, crls)))
        except UNREADABLE as error:
            raise MalformedMessage("an authority's revocation list is none") from error

    @property
    def sequence(self) -> int:
        """Give the list's sequence, or 0 without one."""
        return self.revocations.sequence if self.revocations else 0

    def require_current(self, now: Instant, *, skew_ms: int) -> RevocationList:
        """Give the list if it is current. Raises StaleRevocationList."""
        if self.revocations is None or now >= self.revocations.next_update:
            raise StaleRevocationList("no current revocation list is at hand")
        if now + skew_ms < self.revocations.this_update:
            raise StaleRevocationList("the revocation list is from the future")
        return self.revocations

    def require_serial_good(self, serial: bytes) -> None:
        """Raise CredentialRevoked for a revoked credential."""
        if serial_entry(serial) in self._serials:
            raise CredentialRevoked("the credential is revoked")

    def require_key_good(self, key_id: bytes) -> None:
        """Raise CredentialRevoked for a revoked encryption key."""
        if key_id in self._key_ids:
            raise CredentialRevoked("the encryption key is revoked")

    def require_grant_good(self, patient_id: str, grant_id: bytes) -> None:
        """Raise GrantRevoked for a revoked grant."""
        if grant_entry(patient_id, grant_id) in self._grants:
            raise GrantRevoked("the patient took this grant back")

    @cached_property
    def _serials(self) -> frozenset[bytes]:
        return frozenset(self.revocations.serials if self.revocations else ())

    @cached_property
    def _grants(self) -> frozenset[bytes]:
        return frozenset(self.revocations.grants if self.revocations else ())

    @cached_property
    def _key_ids(self) -> frozenset[bytes]:
        return frozenset(self.revocations.key_ids if self.revocations else ())
