"""X.509 issuing: the medical authority's certificates of doctors, and the TLS names of the federation (RFC 5280).

Every key is on P-256 and every signature ecdsa-with-SHA256 (RFC 5758, section 3.2). A CA's key is in a token, which draws the
serial numbers too. What it signs was linted first, as a twin under a throw-away key, and what the real key signed has to be the
same bytes: a builder's fault, or another input than was meant, is found while it is still a twin (as in Let's Encrypt's boulder,
cmd/ceremony).

A TLS name says who a server is, not where: `<label>.<role>.medunion.internal`. A hospital's identity CA is constrained to its own
name, so no hospital can mint another's (facts 11).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import CRLEntryExtensionOID, ExtendedKeyUsageOID, ExtensionOID, NameOID

from hsm import TokenSigningKey
from keystore.errors import CertificateRejected
from keystore.identities import CLOUD, HOSPITAL
from keystore.x509_lint import (
    AUTHORITY_LIFE,
    BACKDATING,
    CERTIFIES,
    CRL_LIFE,
    DOCTOR,
    DOCTOR_LIFE,
    IDENTITY_CA,
    IDENTITY_CA_LIFE,
    LEAF_LIFE,
    MEDICAL_AUTHORITY,
    SIGNS,
    TLS_CA,
    TLS_LEAF,
    UNREADABLE,
    Profile,
    is_p256,
    is_signed_with_ecdsa,
    lint_certificate,
    lint_crl,
    lint_request,
    name_constraints,
)

SERIAL_BYTES: Final = 20


def read_certificate(der: bytes) -> x509.Certificate:
    """Read a certificate, all of it: pyca reads most parts late, and then raises errors of its own.

    Raises CertificateRejected.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        for part in ("issuer", "subject", "extensions", "signature_algorithm_oid", "not_valid_after_utc"):
            getattr(certificate, part)
        certificate.public_key()
    except UNREADABLE as error:
        raise CertificateRejected("it is no certificate") from error
    if certificate.serial_number <= 0:
        raise CertificateRejected("its serial number is not positive (RFC 5280, section 4.1.2.2)")
    return certificate


def read_request(der: bytes) -> x509.CertificateSigningRequest:
    """Read a PKCS#10 request, all of it. Raises CertificateRejected."""
    try:
        request = x509.load_der_x509_csr(der)
        for part in ("subject", "extensions", "signature_algorithm_oid"):
            getattr(request, part)
        request.public_key()
    except UNREADABLE as error:
        raise CertificateRejected("it is no certificate request") from error
    return request


def read_crl(der: bytes) -> x509.CertificateRevocationList:
    """Read a certificate revocation list, all that is asked of it before its signature. Raises CertificateRejected."""
    try:
        crl = x509.load_der_x509_crl(der)
        for part in ("issuer", "signature_algorithm_oid", "last_update_utc", "next_update_utc"):
            getattr(crl, part)
    except UNREADABLE as error:
        raise CertificateRejected("it is no certificate revocation list") from error
    return crl


def serial_number(key: ec.EllipticCurvePrivateKey) -> int:
    """Draw a serial number of 159 random bits, from the token that signs if the key is in one (RFC 5280, section 4.1.2.2)."""
    draw = key.random if isinstance(key, TokenSigningKey) else os.urandom
    return int.from_bytes(draw(SERIAL_BYTES), "big") >> 1


def signed_certificate(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, profile: Profile
) -> x509.Certificate:
    """Have a certificate signed. Raises CertificateRejected, HsmError."""
    twin = builder.sign(_throw_away(key), SHA256())
    lint_certificate(twin, profile, key.public_key())
    signed = builder.sign(key, SHA256())
    _require_same(twin.tbs_certificate_bytes, signed.tbs_certificate_bytes)
    return signed


def signed_crl(
    builder: x509.CertificateRevocationListBuilder, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateRevocationList:
    """Have a revocation list signed. Raises CertificateRejected, HsmError."""
    twin = builder.sign(_throw_away(key), SHA256())
    lint_crl(twin, key.public_key())
    signed = builder.sign(key, SHA256())
    _require_same(twin.tbs_certlist_bytes, signed.tbs_certlist_bytes)
    return signed


def signed_request(
    builder: x509.CertificateSigningRequestBuilder, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateSigningRequest:
    """Have a request signed; it holds the key that signs it, which alone tells it from its twin. Raises CertificateRejected."""
    throw_away = _throw_away(key)
    twin = builder.sign(throw_away, SHA256())
    lint_request(twin)
    signed = builder.sign(key, SHA256())
    expected = twin.tbs_certrequest_bytes.replace(_spki(throw_away.public_key()), _spki(key.public_key()))
    _require_same(expected, signed.tbs_certrequest_bytes)
    return signed


def _throw_away(key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePrivateKey:
    """Return a key on the same curve, whatever that is: so the rules see it."""
    return ec.generate_private_key(key.curve)


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _require_same(judged: bytes, signed: bytes) -> None:
    if judged != signed:
        raise CertificateRejected("SAME_AS_LINTED: what was signed is not what was judged")


URN = "urn:medunion:"
TLS_DOMAIN = "medunion.internal"
_LONGEST_COMMON_NAME = 64
_ROLES = {CLOUD: "cloud", HOSPITAL: "hospital"}


@dataclass(frozen=True)
class RevokedCertificate:
    """A revoked certificate's serial number, and when it was revoked."""

    serial_number: int
    revoked_at: datetime


@dataclass(frozen=True, repr=False)
class TlsLeaf:
    """A TLS key of hours, in memory alone, and its chain without the root; both PEM."""

    private_key: bytes
    chain: bytes
    not_after: datetime


def tls_name(identity: str) -> str:
    """Return the TLS name of a public cloud (`C:x`) or hospital (`H:x`)."""
    return f"{identity[2:]}.{_ROLES[identity[:2]]}.{TLS_DOMAIN}"


def identity_of_tls_name(name: str) -> str | None:
    """Return whose TLS name that is, or None."""
    label, _, rest = name.partition(".")
    prefixes = {f"{role}.{TLS_DOMAIN}": prefix for prefix, role in _ROLES.items()}
    return prefixes[rest] + label if rest in prefixes else None


def request_certificate(key: ec.EllipticCurvePrivateKey, identity: str) -> bytes:
    """Make a PKCS#10 request, DER, that names an identity (RFC 2986)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(identity))
    request = signed_request(builder.add_extension(_identity_name(identity), critical=False), key)
    return request.public_bytes(Encoding.DER)


def requested_key(request: bytes, identity: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a request that proves possession of it and names this identity. Raises CertificateRejected."""
    try:
        parsed = read_request(request)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CertificateRejected, x509.ExtensionNotFound) as error:
        raise CertificateRejected("this is no certificate request with a name in it") from error
    key = parsed.public_key()
    if not is_p256(key):
        raise CertificateRejected("the request is not for a key on P-256")
    if not _proves_possession(parsed):
        raise CertificateRejected("the request does not prove possession of its key, by ecdsa-with-SHA256")
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [URN + identity]:
        raise CertificateRejected(f"the request does not name {identity}")
    return key


def create_authority(key: ec.EllipticCurvePrivateKey, authority_id: str, *, now: datetime) -> x509.Certificate:
    """Make a medical authority's CA certificate, signed by its own key."""
    return _self_signed(key, _name(authority_id), _identity_name(authority_id), MEDICAL_AUTHORITY, now)


def issue_doctor_certificate(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    request: bytes,
    doctor_id: str,
    *,
    now: datetime,
    life: timedelta = DOCTOR_LIFE,
    person: str = "",
    profession: str = "",
) -> x509.Certificate:
    """Issue Cert_D for a request of that doctor; name and profession are what patients are shown. Raises CertificateRejected."""
    subject = _doctor_name(doctor_id, person, profession)
    builder = (
        _builder(subject, authority.subject, requested_key(request, doctor_id), authority_key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNS, critical=True)
        .add_extension(_identity_name(doctor_id), critical=False)
        .add_extension(_issuer_id(authority_key), critical=False)
    )
    return signed_certificate(builder, authority_key, DOCTOR)


def issue_crl(
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    revoked: list[RevokedCertificate],
    number: int,
    *,
    now: datetime,
    life: timedelta = CRL_LIFE,
) -> x509.CertificateRevocationList:
    """Issue the authority's CRL (RFC 5280, section 5)."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - BACKDATING)
        .next_update(now + life)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_issuer_id(authority_key), critical=False)
    )
    for entry in revoked:
        certificate = x509.RevokedCertificateBuilder().serial_number(entry.serial_number)
        builder = builder.add_revoked_certificate(certificate.revocation_date(entry.revoked_at).build())
    return signed_crl(builder, authority_key)


def create_tls_ca(key: ec.EllipticCurvePrivateKey, realm: str, *, now: datetime) -> x509.Certificate:
    """Make the federation's TLS CA certificate, signed by its own key, for names of the federation only."""
    return _self_signed(key, _name(f"{realm} TLS"), name_constraints(TLS_DOMAIN), TLS_CA, now)


def require_tls_ca(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, realm: str, *, now: datetime
) -> None:
    """Raise CertificateRejected unless that is the TLS CA's certificate of this realm and key, and valid now."""
    lint_certificate(certificate, TLS_CA, key.public_key())
    if not is_issued_by(certificate, certificate):
        raise CertificateRejected("the TLS CA's certificate is not signed by its own key")
    if certificate.subject != _name(f"{realm} TLS") or _constraints_of(certificate) != name_constraints(TLS_DOMAIN):
        raise CertificateRejected(
            f"the TLS CA's certificate is not for the realm {realm!r} and names below {TLS_DOMAIN}"
        )
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise CertificateRejected("the TLS CA's certificate is outside its validity")


def _constraints_of(certificate: x509.Certificate) -> x509.NameConstraints:
    return certificate.extensions.get_extension_for_class(x509.NameConstraints).value


def issue_identity_ca(
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, request: bytes, hospital_id: str, *, now: datetime
) -> x509.Certificate:
    """Certify a hospital's identity CA, constrained to the hospital's own TLS name. Raises CertificateRejected."""
    key = requested_key(request, hospital_id)
    builder = (
        _builder(_name(hospital_id), ca.subject, key, ca_key, now, IDENTITY_CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(CERTIFIES, critical=True)
        .add_extension(name_constraints(tls_name(hospital_id)), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_issuer_id(ca_key), critical=False)
    )
    return signed_certificate(builder, ca_key, IDENTITY_CA)


def issue_leaf(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    identity: str,
    *,
    now: datetime,
    life: timedelta = LEAF_LIFE,
) -> TlsLeaf:
    """Make a TLS key in memory and its certificate for an identity's TLS name, for server and client use.

    Its subject is that name, for a hospital's CA has the identity: OpenSSL takes a leaf with its issuer's subject for its own.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_name(tls_name(identity)), ca.subject, key.public_key(), ca_key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNS, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(tls_name(identity))]), critical=False)
        .add_extension(_issuer_id(ca_key), critical=False)
    )
    leaf = signed_certificate(builder, ca_key, TLS_LEAF)
    chain = leaf.public_bytes(Encoding.PEM)
    if ca.issuer != ca.subject:
        chain += ca.public_bytes(Encoding.PEM)
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return TlsLeaf(private_key, chain, now + life)


def _self_signed(
    key: ec.EllipticCurvePrivateKey, name: x509.Name, extension: x509.ExtensionType, profile: Profile, now: datetime
) -> x509.Certificate:
    builder = (
        _builder(name, name, key.public_key(), key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(CERTIFIES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(extension, critical=isinstance(extension, x509.NameConstraints))
    )
    return signed_certificate(builder, key, profile)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial_number(issuer_key))
        .not_valid_before(now.astimezone(UTC) - BACKDATING)
        .not_valid_after(now.astimezone(UTC) + life)
    )


def _name(name: str) -> x509.Name:
    """Return a subject of one attribute: a common name, or where that is too short (ub-common-name, RFC 5280) a user id."""
    attribute = NameOID.COMMON_NAME if len(name) <= _LONGEST_COMMON_NAME else NameOID.USER_ID
    return x509.Name([x509.NameAttribute(attribute, name)])


def _doctor_name(doctor_id: str, person: str, profession: str) -> x509.Name:
    """Return a doctor's subject. With a person's name the identity is the user id, for two people may have one name."""
    if not person and not profession:
        return _name(doctor_id)
    described = ((NameOID.COMMON_NAME, person), (NameOID.TITLE, profession))
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.USER_ID, doctor_id),
                *(x509.NameAttribute(oid, value) for oid, value in described if value),
            ]
        )
    except ValueError as error:
        raise CertificateRejected(f"a name or profession that no certificate can hold: {error}") from error


def _identity_name(identity: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URN + identity)])


def _issuer_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether an issuer's certificate is named by another, and its key, on P-256, signed that by ecdsa-with-SHA256."""
    try:
        certificate.verify_directly_issued_by(issuer)
        return is_p256(issuer.public_key()) and is_signed_with_ecdsa(certificate)
    except (*UNREADABLE, InvalidSignature):
        return False


def _proves_possession(request: x509.CertificateSigningRequest) -> bool:
    try:
        return is_signed_with_ecdsa(request) and request.is_signature_valid
    except (*UNREADABLE, InvalidSignature):
        return False


_OF_A_PART = {
    ExtensionOID.DELTA_CRL_INDICATOR: "it is a delta, and only a whole list counts",
    ExtensionOID.ISSUING_DISTRIBUTION_POINT: "it is for a part of what the authority issues (IssuingDistributionPoint)",
}
_UNDERSTOOD = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}
_UNDERSTOOD_OF_ENTRIES = {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE}


def is_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    """Return whether an authority's certificate is the one that signed a CRL."""
    key = authority.public_key()
    return (
        is_p256(key) and is_signed_with_ecdsa(crl) and crl.issuer == authority.subject and crl.is_signature_valid(key)
    )


def crl_number(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> int:
    """Return the number of an authority's CRL. Raises CertificateRejected unless it is that authority's, whole and understood."""
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
