"""Medical authorities' lists at the public cloud: taken by hand, or fetched from where the authority publishes them."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cloud.services import Cloud
from federation.errors import FederationError
from federation.party.crls import fetch_newer, tell_fetched, tell_not_fetched
from federation.protocol.time import Instant
from federation.store.directory import Authorities
from federation.store.errors import AlreadyStored, NotStored
from federation.store.rows import StoredAuthority
from federation.wire.fetching import Fetcher
from keystore.errors import CertificateRejected
from keystore.x509 import crl_number, is_signed_by


class AuthorityLists:
    """Takes an authority's newer list into the store; the directory has it with its next version."""

    def __init__(self, cloud: Cloud, authorities: Authorities, fetcher: Fetcher) -> None:
        """Keep lists of the authorities of this store."""
        self._cloud = cloud
        self._authorities = authorities
        self._fetcher = fetcher

    def take(self, crl: x509.CertificateRevocationList) -> tuple[str, int]:
        """Take a list that was carried; return the authority and the number. Raises CertificateRejected, AlreadyStored.

        An authority whose key is rotated has a CRL of each: the one that signed this says whose it is.
        """
        certified = [(it, x509.load_der_x509_certificate(it.certificate)) for it in self._authorities.all()]
        named = [(it, certificate) for it, certificate in certified if certificate.subject == crl.issuer]
        signed = [(it, certificate) for it, certificate in named if is_signed_by(crl, certificate)]
        if not named:
            raise CertificateRejected("the list comes from no medical authority of this federation")
        authority, certificate = (signed or named)[0]
        number = crl_number(crl, certificate)
        self._keep(authority, crl, number, "taken", self._cloud.clock())
        return authority.authority_id, number

    def fetch(self) -> int:
        """Fetch what the authorities publish, and return how many newer lists there were.

        One that can't be fetched keeps no other back: it is logged, and asked for again. Raises StoreError.
        """
        published = [(it, it.crl_url) for it in self._authorities.all() if it.crl_url is not None]
        return sum(self._fetch_one(authority, url) for authority, url in published)

    def _fetch_one(self, authority: StoredAuthority, url: str) -> bool:
        now, certificate = self._cloud.clock(), x509.load_der_x509_certificate(authority.certificate)
        above = authority.crl_number if authority.crl is not None else -1
        try:
            found = fetch_newer(self._fetcher, url, certificate, above, now)
            if found is None:
                return False
            crl, number = found
            self._keep(authority, crl, number, "fetched", now)
        except (AlreadyStored, NotStored):  # another process, or the operator, was faster
            return False
        except (FederationError, CertificateRejected) as error:
            tell_not_fetched(certificate, authority.crl, error, now)
            return False
        tell_fetched(certificate, number)
        return True

    def _keep(
        self, authority: StoredAuthority, crl: x509.CertificateRevocationList, number: int, how: str, now: Instant
    ) -> None:
        act = self._cloud.act("CRL", f"{authority.authority_id} number {number} {how}", now=now)
        der = crl.public_bytes(Encoding.DER)
        self._authorities.put_crl(authority.authority_id, authority.certificate, der, number, act=act)
