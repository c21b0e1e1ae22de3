"""Cert_D: is it legal, is it this doctor's, does it still hold (findings B16)."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from federation.errors import (
    CertificateExpired,
    CertificateForeign,
    CertificateIllegal,
    CertificateOutOfScope,
    CertificateRevoked,
)
from federation.protocol.anchors import Lists
from federation.protocol.authorities import Authority, current_crl
from federation.protocol.time import Instant
from keystore.errors import CertificateRejected
from keystore.identities import DoctorId
from keystore.signatures import VerifyingKey
from keystore.x509 import is_issued_by
from keystore.x509 import read_certificate as certificate_of
from remembered import Memory

URN = "urn:medunion:"
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.EXTENDED_KEY_USAGE,
}
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336
_PURPOSES = {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, ExtendedKeyUsageOID.CLIENT_AUTH, _DOCUMENT_SIGNING}
"""What an ExtendedKeyUsage has to name one of: the doctor proves who it is, and signs."""


def read_certificate(der: bytes) -> x509.Certificate:
    """Read Cert_D. Raises CertificateIllegal."""
    try:
        return certificate_of(der)
    except CertificateRejected as error:
        raise CertificateIllegal("Cert_D is no X.509 certificate") from error  # cert.1


def verify_certificate(
    der: bytes,
    *,
    authorities: Sequence[Authority],
    lists: Lists,
    doctor_id: DoctorId,
    verifying_key: bytes,
    now: Instant,
) -> Authority:
    """Return the authority of a Cert_D that is legal: the federation's, valid, not revoked, this ID_D's and this key's.

    Raises CertificateIllegal, CertificateOutOfScope, CertificateExpired, CertificateRevoked, CertificateForeign,
    StaleRevocationList.
    """
    certificate, authority = _signed(der, authorities)
    if not authority.certifies(doctor_id):
        raise CertificateOutOfScope(f"{authority.authority_id} may not certify this doctor")  # cert.3
    _require_end_entity(certificate)
    moment = datetime.fromtimestamp(now / 1000, UTC)
    _require_valid(certificate, moment)  # cert.8
    _require_valid(authority.certificate, moment)  # cert.9
    _require_not_revoked(certificate, authority, lists, moment)
    _require_owner(certificate, doctor_id, verifying_key)
    return authority


_SIGNED: Memory[tuple[bytes, tuple[bytes, ...]], tuple[x509.Certificate, bytes]] = Memory("certificates")


def _signed(der: bytes, authorities: Sequence[Authority]) -> tuple[x509.Certificate, Authority]:
    """Return Cert_D read, and the authority that signed it, as the trust bundle has it now. Raises CertificateIllegal.

    That it did is remembered for these authorities' certificates; whom they may certify is not.
    """

    def verified() -> tuple[x509.Certificate, bytes]:
        certificate = read_certificate(der)
        return certificate, authority_of(certificate, authorities).digest

    certificate, signer = _SIGNED.of((der, tuple(it.digest for it in authorities)), verified)
    return certificate, next(it for it in authorities if it.digest == signer)


def authority_of(certificate: x509.Certificate, authorities: Sequence[Authority]) -> Authority:
    """Return the authority whose key signed Cert_D: while it changes keys, it stands twice under its name.

    Raises CertificateIllegal.
    """
    for authority in authorities:
        if is_issued_by(certificate, authority.certificate):
            return authority
    raise CertificateIllegal("Cert_D comes from no medical authority of this federation, or only says so")  # cert.2


def authority_id_of(der: bytes, authorities: Sequence[Authority]) -> str:
    """Return the name of the authority that certified a doctor, for its own use; nothing where none of these did."""
    with suppress(CertificateIllegal):
        return authority_of(read_certificate(der), authorities).authority_id
    return ""


def _require_end_entity(certificate: x509.Certificate) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateIllegal("Cert_D lacks BasicConstraints or KeyUsage") from error  # cert.4
    if constraints.ca or not usage.digital_signature:
        raise CertificateIllegal("Cert_D is not a certificate for signatures")  # cert.5
    # What is critical and not understood must not be passed over (RFC 5280, section 4.2).
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in certificate.extensions):
        raise CertificateIllegal("Cert_D has a critical extension that is not understood here")  # cert.6
    # RFC 5280, section 4.2.1.12: what it names is all that the key is for, whether it is critical or not.
    with suppress(x509.ExtensionNotFound):
        if _PURPOSES.isdisjoint(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value):
            raise CertificateIllegal("Cert_D is for another purpose than a doctor's signatures")  # cert.7


def _require_valid(certificate: x509.Certificate, moment: datetime) -> None:
    if not certificate.not_valid_before_utc <= moment < certificate.not_valid_after_utc:
        raise CertificateExpired("Cert_D or its authority is outside its validity")


def _require_not_revoked(certificate: x509.Certificate, authority: Authority, lists: Lists, moment: datetime) -> None:
    crl = current_crl(authority, lists.crls, moment)
    if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        raise CertificateRevoked("Cert_D is revoked")  # cert.11


def _require_owner(certificate: x509.Certificate, doctor_id: DoctorId, verifying_key: bytes) -> None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise CertificateForeign("Cert_D names nobody") from error  # cert.12
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [URN + doctor_id]:
        raise CertificateForeign("Cert_D is another doctor's")  # cert.12
    key = certificate.public_key()
    if key != VerifyingKey(verifying_key).x509:
        raise CertificateForeign("Cert_D is for another key")  # cert.13
