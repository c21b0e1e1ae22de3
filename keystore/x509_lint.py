"""What each certificate of the federation looks like, and the rules for what is to be signed.

Both are data: the profiles, and the rules of RFC 5280 and of ours, for certificates, lists and requests. The rules read what was
encoded, by a parser, and know nothing of the code that built it. Each has a name that its refusal says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Final, Generic, NamedTuple, TypeGuard, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from keystore.errors import CertificateRejected

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
    """Return a KeyUsage; who may sign may commit to content too."""
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
    """Return the constraints of a CA for one DNS name and what is below it, and for no name of another form.

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


UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What pyca raises for a structure that is no certificate, request or list, when it reads the part that is wrong."""
_SERIAL_BITS: Final = range(64, 160)
"""64 bits of chance at least (CA/Browser Forum, Baseline Requirements 7.1), 20 octets with a clear sign bit at most."""
_NUMBER_BITS: Final = 159

T = TypeVar("T")


class Certificate(NamedTuple):
    """A certificate, what it should be, and whose key signs it."""

    read: x509.Certificate
    profile: Profile
    issuer_key: ec.EllipticCurvePublicKey


class RevocationList(NamedTuple):
    """A list, and whose key signs it."""

    read: x509.CertificateRevocationList
    issuer_key: ec.EllipticCurvePublicKey


class Rule(NamedTuple, Generic[T]):
    """A rule: its name, where it comes from, what it says, and whether something keeps to it."""

    name: str
    source: str
    says: str
    holds: Callable[[T], bool]


def is_p256(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Return whether a public key is on P-256, the one curve here (RFC 5480, section 2.1.1.1)."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def is_signed_with_ecdsa(
    thing: x509.Certificate | x509.CertificateRevocationList | x509.CertificateSigningRequest,
) -> bool:
    """Return whether something says that it is signed by ecdsa-with-SHA256."""
    return thing.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256


def lint_certificate(certificate: x509.Certificate, profile: Profile, issuer_key: ec.EllipticCurvePublicKey) -> None:
    """Raise CertificateRejected with the first rule that a certificate breaks."""
    _judge(Certificate(certificate, profile, issuer_key), CERTIFICATE_RULES)


def lint_crl(crl: x509.CertificateRevocationList, issuer_key: ec.EllipticCurvePublicKey) -> None:
    """Raise CertificateRejected with the first rule that a list breaks."""
    _judge(RevocationList(crl, issuer_key), CRL_RULES)


def lint_request(request: x509.CertificateSigningRequest) -> None:
    """Raise CertificateRejected with the first rule that a request breaks."""
    _judge(request, REQUEST_RULES)


def _judge(thing: T, rules: Sequence[Rule[T]]) -> None:
    for rule in rules:
        try:
            holds = rule.holds(thing)
        except (*UNREADABLE, x509.ExtensionNotFound):
            holds = False
        if not holds:
            raise CertificateRejected(f"{rule.name} ({rule.source}): {rule.says}")


def _critical(extensions: x509.Extensions) -> Mapping[x509.ObjectIdentifier, bool]:
    return {extension.oid: extension.critical for extension in extensions}


def _serial_is_sound(serial: int) -> bool:
    return serial > 0 and serial.bit_length() in _SERIAL_BITS


def _constraints_are_the_profiles(it: Certificate) -> bool:
    constraints = it.read.extensions.get_extension_for_class(x509.BasicConstraints).value
    is_ca = it.profile.path_length is not None
    return (constraints.ca, constraints.path_length) == (is_ca, it.profile.path_length)


def _knows_its_issuer(it: Certificate) -> bool:
    if it.profile.self_signed:
        return it.read.public_key() == it.issuer_key
    return _names_key(it.read.extensions, it.issuer_key)


def _names_key(extensions: x509.Extensions, key: ec.EllipticCurvePublicKey) -> bool:
    found = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return found.key_identifier == x509.SubjectKeyIdentifier.from_public_key(key).digest


def _names_its_own_key(it: Certificate) -> bool:
    if ExtensionOID.SUBJECT_KEY_IDENTIFIER not in it.profile.extensions:
        return True
    found = it.read.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return found == x509.SubjectKeyIdentifier.from_public_key(it.read.public_key())


def _is_constrained(it: Certificate) -> bool:
    if ExtensionOID.NAME_CONSTRAINTS not in it.profile.extensions:
        return True
    found = it.read.extensions.get_extension_for_class(x509.NameConstraints).value
    names = [name.value for name in found.permitted_subtrees or () if isinstance(name, x509.DNSName)]
    return len(names) == 1 and found == name_constraints(names[0])


def _has_one_name(extensions: x509.Extensions) -> bool:
    found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return len(list(found)) == 1


def _lasts(life: timedelta, longest: timedelta) -> bool:
    return timedelta() < life <= longest + BACKDATING


def _ends_in_time(it: RevocationList) -> bool:
    end = it.read.next_update_utc
    return end is not None and _lasts(end - it.read.last_update_utc, CRL_LIFE)


def _is_numbered(it: RevocationList) -> bool:
    number = it.read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return number > 0 and number.bit_length() <= _NUMBER_BITS


def _revokes_each_once(it: RevocationList) -> bool:
    serials = [entry.serial_number for entry in it.read]
    return len(set(serials)) == len(serials) and all(
        serial > 0 and serial.bit_length() <= _NUMBER_BITS for serial in serials
    )


CERTIFICATE_RULES: Final[Sequence[Rule[Certificate]]] = (
    Rule("CERT.SERIAL", "RFC 5280, 4.1.2.2", "its serial number is positive, of 64 bits to 20 octets",
         lambda it: _serial_is_sound(it.read.serial_number)),
    Rule("CERT.ALGORITHM", "RFC 5758, 3.2", "a key on P-256 signs it, by ecdsa-with-SHA256",
         lambda it: is_signed_with_ecdsa(it.read) and is_p256(it.issuer_key)),
    Rule("CERT.KEY", "RFC 5480, 2.1.1.1", "its key is on P-256", lambda it: is_p256(it.read.public_key())),
    Rule("CERT.NAMES", "RFC 5280, 3.2, 4.1.2.4, 4.1.2.6", "issuer and subject have names, two unless it is a root",
         lambda it: bool(list(it.read.issuer)) and bool(list(it.read.subject))
         and (it.read.issuer == it.read.subject) == it.profile.self_signed),
    Rule("CERT.VALIDITY", "RFC 5280, 4.1.2.5", "it ends after it begins, and within its profile's life",
         lambda it: _lasts(it.read.not_valid_after_utc - it.read.not_valid_before_utc, it.profile.longest)),
    Rule("CERT.EXTENSIONS", "RFC 5280, 4.2", "it has its profile's extensions, each critical or not as there, no others",
         lambda it: _critical(it.read.extensions) == it.profile.extensions),
    Rule("CERT.BASIC_CONSTRAINTS", "RFC 5280, 4.2.1.9", "it is a CA, or none, with the path length of its profile",
         _constraints_are_the_profiles),
    Rule("CERT.KEY_USAGE", "RFC 5280, 4.2.1.3", "its key is for its profile's usage alone",
         lambda it: it.read.extensions.get_extension_for_class(x509.KeyUsage).value == it.profile.usage),
    Rule("CERT.AUTHORITY_KEY_ID", "RFC 5280, 4.2.1.1", "it names the key that signs it, its own only where it is a root",
         _knows_its_issuer),
    Rule("CERT.SUBJECT_KEY_ID", "RFC 5280, 4.2.1.2", "a CA's certificate names its own key", _names_its_own_key),
    Rule("CERT.NAME_CONSTRAINTS", "RFC 5280, 4.2.1.10", "a TLS CA is for one domain and for no addresses",
         _is_constrained),
    Rule("CERT.ALTERNATIVE_NAME", "RFC 5280, 4.2.1.6", "it is somebody's, and one's alone",
         lambda it: ExtensionOID.SUBJECT_ALTERNATIVE_NAME not in it.profile.extensions
         or _has_one_name(it.read.extensions)),
)  # fmt: skip
CRL_RULES: Final[Sequence[Rule[RevocationList]]] = (
    Rule("CRL.ALGORITHM", "RFC 5758, 3.2", "a key on P-256 signs it, by ecdsa-with-SHA256",
         lambda it: is_signed_with_ecdsa(it.read) and is_p256(it.issuer_key)),
    Rule("CRL.ISSUER", "RFC 5280, 5.1.2.3", "its issuer has a name", lambda it: bool(list(it.read.issuer))),
    Rule("CRL.NEXT_UPDATE", "RFC 5280, 5.1.2.5", "it says when the next one comes, in 24 hours at most", _ends_in_time),
    Rule("CRL.EXTENSIONS", "RFC 5280, 5.2", "it has a number and its issuer's key id, neither critical, and no more",
         lambda it: _critical(it.read.extensions)
         == {ExtensionOID.CRL_NUMBER: False, ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False}),
    Rule("CRL.NUMBER", "RFC 5280, 5.2.3", "its number is positive, of 20 octets at most", _is_numbered),
    Rule("CRL.AUTHORITY_KEY_ID", "RFC 5280, 5.2.1", "it names the key that signs it",
         lambda it: _names_key(it.read.extensions, it.issuer_key)),
    Rule("CRL.ENTRIES", "RFC 5280, 5.1.2.6", "it revokes each serial number once", _revokes_each_once),
)  # fmt: skip
REQUEST_RULES: Final[Sequence[Rule[x509.CertificateSigningRequest]]] = (
    Rule("CSR.ALGORITHM", "RFC 5758, 3.2", "it is signed by ecdsa-with-SHA256", is_signed_with_ecdsa),
    Rule("CSR.KEY", "RFC 5480, 2.1.1.1", "its key is on P-256", lambda it: is_p256(it.public_key())),
    Rule("CSR.SUBJECT", "RFC 2986, 4.1", "it names a subject", lambda it: bool(list(it.subject))),
    Rule("CSR.EXTENSIONS", "RFC 2985, 5.4.2", "it asks for one alternative name and for nothing else",
         lambda it: _critical(it.extensions) == {ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False}
         and _has_one_name(it.extensions)),
)  # fmt: skip
