"""A certificate revocation list as this federation takes it (RFC 5280, section 5): whole, numbered, and understood."""

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from keystore.errors import CertificateRejected
from keystore.x509 import UNREADABLE

_OF_A_PART = {
    ExtensionOID.DELTA_CRL_INDICATOR: "it is a delta, and only a whole list counts",
    ExtensionOID.ISSUING_DISTRIBUTION_POINT: "it is for a part of what the authority issues (IssuingDistributionPoint)",
}
_UNDERSTOOD = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}
_UNDERSTOOD_OF_ENTRIES = {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE}


def is_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    """Say whether an authority's certificate is the one that signed a CRL."""
    key = authority.public_key()
    return isinstance(key, Ed25519PublicKey) and crl.issuer == authority.subject and crl.is_signature_valid(key)


def crl_number(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> int:
    """Give the number of an authority's CRL. Raises CertificateRejected unless it is that authority's, whole and understood."""
    if not is_signed_by(crl, authority):
        raise CertificateRejected("the list is not signed by this authority")
    try:
        for extension in crl.extensions:
            if extension.oid in _OF_A_PART:
                raise CertificateRejected(f"the list does not say all that is revoked: {_OF_A_PART[extension.oid]}")
        # What is critical and not understood must not be passed over (RFC 5280, sections 5.2 and 5.3).
        if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in crl.extensions):
            raise CertificateRejected("the list has a critical extension that is not understood here")
        if any(extension.critical and extension.oid not in _UNDERSTOOD_OF_ENTRIES for extension in _of_entries(crl)):
            raise CertificateRejected("an entry of the list has a critical extension that is not understood here")
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as error:
        raise CertificateRejected("the list has no CRL number (RFC 5280, section 5.2.3)") from error
    except UNREADABLE as error:
        raise CertificateRejected("the list can't be read") from error


def _of_entries(crl: x509.CertificateRevocationList) -> Iterator[x509.Extension[x509.ExtensionType]]:
    return (extension for entry in crl for extension in entry.extensions)
