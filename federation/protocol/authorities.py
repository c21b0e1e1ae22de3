"""Medical authorities: whom each may certify, and which of its CRLs counts.

The public cloud's signed list pins every CRL that it knows, by number and digest, so nobody who hands lists on, a relay or the
network, can hand out yesterday's.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import FieldInvalid, MalformedMessage, StaleRevocationList
from federation.protocol.parsing import is_identity
from federation.v1 import directory_pb2 as pb
from federation.v1.rules_pb2 import KIND_DOCTOR_SCOPE
from federation.v1.statement_pb2 import CrlPin
from keystore.errors import CertificateRejected
from keystore.identities import DoctorId
from keystore.transcript import digest
from keystore.x509 import crl_number, read_certificate
from keystore.x509 import read_crl as crl_of

EVERY = "*"
Crls = tuple[x509.CertificateRevocationList, ...]


@dataclass(frozen=True)
class Authority:
    """A medical authority under one of its keys. `doctor_ids` are IDs, or prefixes of IDs and a `*`; none means nobody.

    `crl_url` is where it publishes its lists, if it does; whoever fetches one requires the URL's form then.
    """

    authority_id: str
    certificate: x509.Certificate
    doctor_ids: tuple[str, ...]
    crl_url: str | None = None

    @classmethod
    def of(cls, stated: pb.MedicalAuthority) -> "Authority":
        """Read an authority of the trust bundle. Raises MalformedMessage."""
        try:
            certificate = read_certificate(stated.certificate)
        except CertificateRejected as error:
            raise MalformedMessage("a medical authority's certificate in the trust bundle is none") from error  # tb.10
        return cls(stated.authority_id, certificate, tuple(stated.doctor_ids), stated.crl_url or None)

    @cached_property
    def digest(self) -> bytes:
        """Return H(its CA certificate): the name of its key in the cloud's list."""
        return digest(self.certificate.public_bytes(Encoding.DER))

    def certifies(self, doctor_id: DoctorId) -> bool:
        """Return whether the doctor is within this authority's scope."""
        return any(
            doctor_id.startswith(scope.removesuffix(EVERY)) if scope.endswith(EVERY) else doctor_id == scope
            for scope in self.doctor_ids
        )


def scopes_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return whom an authority may certify, as people write it. Raises FieldInvalid for another form than KIND_DOCTOR_SCOPE."""
    scopes = tuple(texts)
    for scope in scopes:
        if not is_identity(KIND_DOCTOR_SCOPE, scope):
            raise FieldInvalid(f"{scope!r} is no doctor's ID, and no beginning of IDs with a * behind it")
    return scopes


def read_crl(der: bytes) -> x509.CertificateRevocationList:
    """Read a CRL that a node hands on. Raises MalformedMessage."""
    try:
        return crl_of(der)
    except CertificateRejected as error:
        raise MalformedMessage("an authority's revocation list is none") from error  # rl.3


def pin_crl(certificate: bytes, number: int, crl: bytes) -> CrlPin:
    """Name the newest CRL of an authority's certificate: an entry of the cloud's list."""
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return CrlPin(certificate_digest=digest(certificate), number=octets, digest=digest(crl))


def crls_beside(crls: Iterable[bytes], held: Iterable[bytes]) -> list[bytes]:
    """Return those CRLs that an asker does not have who named what it has by their digests."""
    at_hand = frozenset(held)
    return [crl for crl in crls if digest(crl) not in at_hand]


def crls_that_count(
    authorities: Iterable[Authority], crls: Iterable[bytes], pins: Iterable[CrlPin]
) -> Mapping[bytes, Crls]:
    """Return each authority's CRLs that are whole, understood and not older than the pinned one; the highest number first.

    The key is H(CA certificate). An authority without a pin has none. Raises MalformedMessage for what is no CRL.
    """
    read = [(read_crl(der), digest(der)) for der in crls]
    pinned = {it.certificate_digest: it for it in pins}
    return {
        authority.digest: _newest_first(authority, read, pinned[authority.digest])
        for authority in authorities
        if authority.digest in pinned
    }


def _newest_first(
    authority: Authority, crls: Iterable[tuple[x509.CertificateRevocationList, bytes]], pinned: CrlPin
) -> Crls:
    lowest, found = int.from_bytes(pinned.number, "big"), []
    for crl, crl_digest in crls:
        with suppress(CertificateRejected):
            number = crl_number(crl, authority.certificate)
            if number > lowest or (number == lowest and crl_digest == pinned.digest):
                found.append((number, crl))
    return tuple(crl for _, crl in sorted(found, key=lambda it: it[0], reverse=True))


def current_crl(authority: Authority, crls: Mapping[bytes, Crls], moment: datetime) -> x509.CertificateRevocationList:
    """Return the authority's current CRL of the highest number. Raises StaleRevocationList: without one, no."""
    for crl in crls.get(authority.digest, ()):
        if crl.next_update_utc is not None and crl.last_update_utc <= moment < crl.next_update_utc:
            return crl
    raise StaleRevocationList(f"no current CRL of {authority.authority_id} is at hand")  # cert.10
