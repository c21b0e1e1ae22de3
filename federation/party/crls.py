"""Medical authorities' lists that are fetched from where the authority publishes them, and what is asked of one before it counts.

A list is safe to fetch from anybody, for it is signed: whoever serves it can hold a newer one back until the one at hand ends,
and nothing else (docs/adr/0037-renewal-and-crls.md).
"""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import FederationError
from federation.protocol.anchors import Anchors, Lists
from federation.protocol.authorities import Authority
from federation.protocol.time import Instant, milliseconds
from federation.settings import CrlSettings, DiallingSettings
from federation.store.party import Settings
from federation.wire import operations
from federation.wire.channel import dialling_of
from federation.wire.fetching import Fetcher, NotFetched
from keystore import pem
from keystore.errors import CertificateRejected
from keystore.transcript import digest
from keystore.x509 import crl_number

MOST_CRL_BYTES = 1024 * 1024
"""As in a directory (protos/federation/v1/directory.proto)."""

CLOUD_SILENT = timedelta(minutes=25)
"""How old a list from the cloud is, which signs one every ten minutes, before a hospital asks the authorities themselves."""

EVENT = "crl-not-fetched"

_BROUGHT = "crl-brought-"
"""The setting of a list that was carried here, with H(CA certificate) in hexadecimal behind it."""


def crl_fetcher(crls: CrlSettings, dialling: DiallingSettings, *, files: bool = False) -> Fetcher:
    """Return what fetches lists by a node's settings; of files of this machine only where the operator named them."""
    return Fetcher(MOST_CRL_BYTES, dialling_of(dialling), crls.ca, files=files)


def fetch_newer(
    fetcher: Fetcher, url: str, certificate: x509.Certificate, above: int, now: Instant
) -> tuple[x509.CertificateRevocationList, int] | None:
    """Return a newer list of the authority with this certificate, and its number; None where the one at hand is the newest.

    Raises CertificateRejected for what is not that authority's, older or not current; FieldInvalid, Unavailable.
    """
    crl = pem.read_crl(fetcher.fetch(url))  # crl.1
    number = crl_number(crl, certificate)  # crl.2
    if number < above:
        raise CertificateRejected("the list is older than the one at hand")  # crl.3
    if number == above:
        return None
    require_current(crl, now)  # crl.4
    return crl, number


def require_current(crl: x509.CertificateRevocationList, now: Instant) -> None:
    """Raise CertificateRejected for a list that is over, or begins later: it must not take the place of one that holds."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    if crl.next_update_utc is None or crl.next_update_utc <= moment:
        raise CertificateRejected("the list is over")
    if crl.last_update_utc > moment:
        raise CertificateRejected("the list begins only later: are the clocks right?")


def tell_fetched(certificate: x509.Certificate, number: int) -> None:
    """Log that a newer list was fetched."""
    operations.info("crl-fetched", certificate=_shown(certificate), number=number)


def tell_not_fetched(
    certificate: x509.Certificate, at_hand: bytes | None, error: FederationError | CertificateRejected, now: Instant
) -> None:
    """Log that a list was not fetched: as a warning where half the life of the one at hand is over, or there is none.

    The authority is named by the beginning of its certificate's digest: a log names nobody. What our own fetcher says names
    nobody either.
    """
    tell = operations.warning if _is_half_over(at_hand, now) else operations.info
    why = {"why": str(error)} if isinstance(error, NotFetched) else {}
    tell(EVENT, certificate=_shown(certificate), reason=error.reason, **why)


def _shown(certificate: x509.Certificate) -> str:
    """Return what a published list's name ends with, and `medunion public-cloud authority list` shows more of."""
    return digest(certificate.public_bytes(Encoding.DER)).hex()[:8]


def _is_half_over(at_hand: bytes | None, now: Instant) -> bool:
    if at_hand is None:
        return True
    crl = x509.load_der_x509_crl(at_hand)
    if crl.next_update_utc is None:
        return True
    half = crl.last_update_utc + (crl.next_update_utc - crl.last_update_utc) / 2
    return half <= datetime.fromtimestamp(now / 1000, UTC)


class FetchedCrls:
    """What a hospital fetched itself, or was brought, one list for each key of an authority. Safe for several threads.

    What was fetched is in memory: it is fetched again. What was brought by hand is in the store, for every process.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing; `settings` keep what is brought."""
        self._settings = settings
        self._lock = threading.Lock()
        self._crls: dict[bytes, bytes] = {}
        self._beside: tuple[Lists, Anchors, Lists] | None = None

    def bring(
        self, crl: x509.CertificateRevocationList, anchors: Anchors, lists: Lists, *, now: Instant
    ) -> tuple[str, int]:
        """Keep a list that was carried here; return whose it is, and its number.

        Raises CertificateRejected for what is no authority's of the federation, older than the one at hand, or not current.
        """
        for authority in anchors.authorities:
            with suppress(CertificateRejected):
                number = crl_number(crl, authority.certificate)
                break
        else:
            raise CertificateRejected("no authority of this federation signed this list, or it is not whole")
        at_hand = next(iter(self.beside(anchors, lists).crls.get(authority.digest, ())), None)
        if at_hand is not None and number < crl_number(at_hand, authority.certificate):
            raise CertificateRejected("the list is older than the one at hand")  # crl.3
        require_current(crl, now)
        self._settings.put(_BROUGHT + authority.digest.hex(), crl.public_bytes(Encoding.DER))
        self.look(anchors, lists)
        return authority.authority_id, number

    def look(self, anchors: Anchors, lists: Lists) -> None:
        """Take what was brought since the last look, by this process or another."""
        for authority in anchors.authorities:
            kept = self._settings.get(_BROUGHT + authority.digest.hex())
            at_hand = next(iter(self.beside(anchors, lists).crls.get(authority.digest, ())), None)
            if kept is None:
                continue
            brought = x509.load_der_x509_crl(kept)
            number = crl_number(brought, authority.certificate)
            if at_hand is None or number > crl_number(at_hand, authority.certificate):
                with self._lock:
                    self._crls[authority.digest] = kept
                    self._beside = None

    def follow(self, fetcher: Fetcher, anchors: Anchors, lists: Lists, *, now: Instant) -> None:
        """Take what was brought, and fetch what authorities publish, if the cloud has been silent.

        One that can't be fetched keeps no other back.
        """
        self.look(anchors, lists)
        if lists.head is None or now - lists.head.this_update < milliseconds(CLOUD_SILENT):
            return
        for authority in anchors.authorities:
            if authority.crl_url is not None:
                self._follow_one(fetcher, authority, authority.crl_url, self.beside(anchors, lists), now)

    def _follow_one(self, fetcher: Fetcher, authority: Authority, url: str, lists: Lists, now: Instant) -> None:
        newest = next(iter(lists.crls.get(authority.digest, ())), None)
        at_hand = None if newest is None else newest.public_bytes(Encoding.DER)
        above = -1 if newest is None else crl_number(newest, authority.certificate)
        try:
            found = fetch_newer(fetcher, url, authority.certificate, above, now)
        except (FederationError, CertificateRejected) as error:
            tell_not_fetched(authority.certificate, at_hand, error, now)
            return
        if found is not None:
            crl, number = found
            tell_fetched(authority.certificate, number)
            with self._lock:
                self._crls[authority.digest] = crl.public_bytes(Encoding.DER)
                self._beside = None

    def beside(self, anchors: Anchors, lists: Lists) -> Lists:
        """Return the cloud's lists with what was fetched beside its CRLs, as far as it counts by the cloud's pins."""
        with self._lock:
            if not self._crls or lists.head is None:
                return lists
            if self._beside is None or self._beside[0] is not lists or self._beside[1] is not anchors:
                self._beside = lists, anchors, lists.with_crls(anchors, self._crls.values())
            return self._beside[2]
