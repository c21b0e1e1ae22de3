"""A hospital's TLS identity: a CA key of each generation, certified by the federation's CA, and the leaves that it signs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.clock import Clock
from federation.errors import NotRegistered
from federation.party.cloud_client import CloudClient
from federation.party.generations import StoredGenerations
from federation.party.member import Member
from federation.store.party import Settings
from federation.wire.server import LeafRotation
from keystore.generations import label_of
from keystore.party import TLS_CA, HospitalKeys
from keystore.x509 import TlsLeaf, is_issued_by, issue_leaf, request_certificate

_KEPT = "tls-identity-ca"
_RENEW_BEFORE_END = timedelta(days=30)


class TlsIdentity:
    """The identity CA by generation. What leaves are issued by changes with the book and the kept certificates, in a second."""

    def __init__(
        self,
        keys: HospitalKeys,
        book: StoredGenerations,
        settings: Settings,
        calls: Callable[[], tuple[Member, CloudClient]],
        clock: Clock,
    ) -> None:
        """Keep certificates among these settings; `calls` gives who asks the public cloud for them, and how."""
        self._keys = keys
        self._book = book
        self._settings = settings
        self._calls = calls
        self._clock = clock
        self._leaves: LeafRotation | None = None

    @property
    def leaves(self) -> LeafRotation:
        """Return the TLS leaf, made in memory and signed by the identity CA. Raises NotRegistered."""
        if self._leaves is None:
            self._leaves = LeafRotation(self._issue, self._clock, self._issuer)
        return self._leaves

    @property
    def certificate(self) -> x509.Certificate | None:
        """Return the certificate of the active generation, if there is one for the key in the token."""
        return self.certificate_of(self._active())

    def certificate_of(self, number: int) -> x509.Certificate | None:
        """Return the certificate of a generation, if there is one for the key in the token. Raises GenerationRevoked."""
        kept = self._settings.get(label_of(_KEPT, number))
        certificate = None if kept is None else x509.load_der_x509_certificate(kept)
        # A token that was restored in place of one that died has another key: it is certified anew.
        key = self._keys.tls_ca_key_of(number).public_key()
        return certificate if certificate is not None and certificate.public_key() == key else None

    def certify(self, number: int) -> None:
        """Have a generation certified, and keep the certificate. Raises the cloud's refusal, Unavailable."""
        member, cloud = self._calls()
        request = request_certificate(self._keys.tls_ca_key_of(number), member.identity)
        certificate = cloud.certify_tls_identity(member, request)
        self._settings.put(label_of(_KEPT, number), certificate.public_bytes(Encoding.DER))

    def certify_if_needed(self, number: int) -> None:
        """Have a generation certified unless its certificate is good. Raises the cloud's refusal, Unavailable."""
        if not self._is_good(self.certificate_of(number)):
            self.certify(number)

    def certify_what_is_due(self) -> bool:
        """Certify the active generation, and one that waits, unless its certificate is good; return whether one was certified.

        It is good for a month more, and from the federation's CA that is active now.
        """
        now = self._clock()
        waiting = self._book.read().prepared(TLS_CA, now)
        numbers = [self._active(), *([] if waiting is None else [waiting.number])]
        due = [number for number in numbers if not self._is_good(self.certificate_of(number))]
        for number in due:
            self.certify(number)
        return bool(due)

    def _is_good(self, certificate: x509.Certificate | None) -> bool:
        if certificate is None:
            return False
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        bundle = self._calls()[0].trust.newest()
        first = x509.load_der_x509_certificate(bundle.content.tls_ca_certificates[0])
        return certificate.not_valid_after_utc - now > _RENEW_BEFORE_END and is_issued_by(certificate, first)

    def _active(self) -> int:
        return self._book.read().active(TLS_CA, self._clock()).number

    def _issue(self, now: datetime) -> TlsLeaf:
        number = self._active()
        ca = self.certificate_of(number)
        if ca is None:
            raise NotRegistered("this hospital's TLS identity is not certified yet: register first")
        return issue_leaf(ca, self._keys.tls_ca_key_of(number), self._calls()[0].identity, now=now)

    def _issuer(self) -> bytes:
        return self._settings.get(label_of(_KEPT, self._active())) or b""
