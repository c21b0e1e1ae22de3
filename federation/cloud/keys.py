"""The cloud's keys at a moment. What is signed says when, and the trust bundle says whose turn it was then: so a call that began
under one generation ends under it, whatever becomes active meanwhile."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.protocol.time import Instant
from keystore.generations import GenerationBook
from keystore.issuing import IssuingKey
from keystore.party import IDENTITY, ISSUING, TLS_CA, CloudKeys


@dataclass(frozen=True)
class KeysByTime:
    """The keys of a cloud, by the moments at which each generation is active."""

    keys: CloudKeys
    book: GenerationBook

    def signing_key(self, now: Instant) -> Ed25519PrivateKey:
        """Give the PRK_C that signs what says that it was signed now."""
        return self.keys.signing_key_of(self._active(IDENTITY, now))

    def issuing(self, now: Instant) -> IssuingKey:
        """Give the s that issues credentials which begin now."""
        return self.keys.issuing_of(self._active(ISSUING, now))

    def tls_ca(self, now: Instant) -> tuple[x509.Certificate, Ed25519PrivateKey]:
        """Give the federation's TLS CA: its certificate and key."""
        active = self.book.read().active(TLS_CA, now)
        return x509.load_der_x509_certificate(active.public), self.keys.tls_ca_key_of(active.number)

    def _active(self, purpose: str, now: Instant) -> int:
        return self.book.read().active(purpose, now).number
