"""What each certificate of the federation looks like, as data: the lint holds what is to be signed against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

AUTHORITY_LIFE: Final = timedelta(days=3650)
DOCTOR_LIFE: Final = timedelta(days=730)
IDENTITY_CA_LIFE: Final = timedelta(days=365)
LEAF_LIFE: Final = timedelta(hours=12)
CRL_LIFE: Final = timedelta(hours=24)
BACKDATING: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Profile:
    """A kind of certificate. `extensions` are all that it has, and whether each is critical; `path_length` is None for no CA."""

    name: str
    extensions: Mapping[x509.ObjectIdentifier, bool]
    usage: x509.KeyUsage
    longest: timedelta
    path_length: int | None = None
    self_signed: bool = False


def usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    """Give a KeyUsage; who may sign may commit to content too."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=digital_signature,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def name_constraints(name: str) -> x509.NameConstraints:
    """Give the constraints of a CA for one DNS name and what is below it, and for no name of another form.

    Addresses are excluded whole. URIs and mail addresses can't be, so one host, which is nobody's (RFC 6761, section 6.4), is
    permitted: a form that is not mentioned at all is free (RFC 5280, section 4.2.1.10).
    """
    nowhere = "nowhere.invalid"
    return x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(name), x509.UniformResourceIdentifier(nowhere), x509.RFC822Name(nowhere)],
        excluded_subtrees=[x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))],
    )


SIGNS: Final = usage(digital_signature=True)
CERTIFIES: Final = usage(key_cert_sign=True, crl_sign=True)
_BASIC: Final = {ExtensionOID.BASIC_CONSTRAINTS: True, ExtensionOID.KEY_USAGE: True}
_NAMED: Final = {ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False}
_ISSUED: Final = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False}
_CA: Final = {**_BASIC, ExtensionOID.SUBJECT_KEY_IDENTIFIER: False}
_CONSTRAINED: Final = {ExtensionOID.NAME_CONSTRAINTS: True}

MEDICAL_AUTHORITY: Final = Profile("medical authority", _CA | _NAMED, CERTIFIES, AUTHORITY_LIFE, 1, self_signed=True)
TLS_CA: Final = Profile("TLS CA", _CA | _CONSTRAINED, CERTIFIES, AUTHORITY_LIFE, 1, self_signed=True)
IDENTITY_CA: Final = Profile("identity CA", _CA | _CONSTRAINED | _ISSUED, CERTIFIES, IDENTITY_CA_LIFE, 0)
DOCTOR: Final = Profile("doctor", _BASIC | _NAMED | _ISSUED, SIGNS, DOCTOR_LIFE)
TLS_LEAF: Final = Profile(
    "TLS leaf", _BASIC | _NAMED | _ISSUED | {ExtensionOID.EXTENDED_KEY_USAGE: False}, SIGNS, LEAF_LIFE
)
