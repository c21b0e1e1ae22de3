"""The public files that ceremonies make, and which second opinion each needs before it is on record.

Each function of an output's name makes it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm import TokenSigningKey
from keystore.ceremony.console import OpenIssuer, Room
from keystore.ceremony.errors import CeremonyError, ToolMissing
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.plan import Plan
from keystore.errors import CertificateRejected
from keystore.pem import read_certificate, read_crl
from keystore.policies import IDENTITY, ISSUING, MEDICAL_AUTHORITY, POLICIES, TLS_CA
from keystore.x509 import (
    RevokedCertificate,
    create_authority,
    create_tls_ca,
    is_issued_by,
    is_signed_by,
    issue_crl,
    issue_doctor_certificate,
    request_certificate,
)
from keystore.x509_lint import UNREADABLE


def make(name: str, room: Room) -> bytes:
    """Make an output. Raises HsmError, CertificateRejected."""
    return _MAKERS[name](room)


def _issuer_public_key(room: Room) -> bytes:
    return _pem(_key(room, ISSUING).public_key())


def _verifying_key(room: Room) -> bytes:
    return _pem(_key(room, IDENTITY).public_key())


def _tls_ca_certificate(room: Room) -> bytes:
    key = _key(room, TLS_CA)
    return _checked(create_tls_ca(key, room.plan.certificate["realm"], now=room.now()))


def _authority_certificate(room: Room) -> bytes:
    key = _key(room, MEDICAL_AUTHORITY)
    return _checked(create_authority(key, room.plan.certificate["authority"], now=room.now()))


def _first_crl(room: Room) -> bytes:
    key = _key(room, MEDICAL_AUTHORITY)
    path = room.plan.outputs["authority_certificate"]
    authority = read_certificate(path.read_bytes())
    return issue_crl(authority, key, [], 1, now=room.now()).public_bytes(Encoding.DER)


def _identity_ca_request(room: Room) -> bytes:
    return request_certificate(_key(room, TLS_CA), room.plan.certificate["hospital"])


def _certificate_request(room: Room) -> bytes:
    return request_certificate(_key(room, IDENTITY), room.plan.certificate["doctor"])


def _doctor_certificate(room: Room) -> bytes:
    issuer = _issuer(room)
    request, doctor = _certificate_request(room), room.plan.certificate["doctor"]
    key = issuer.token.signing(_issuer_key(room), POLICIES[MEDICAL_AUTHORITY])
    issued = issue_doctor_certificate(issuer.certificate, key, request, doctor, now=room.now())
    return _checked(issued, issuer.certificate)


def _crl(room: Room) -> bytes:
    """Make the list that follows the newest one: what that one revoked, and the lost certificate."""
    issuer = _issuer(room)
    newest = newest_crl(room, issuer.certificate)
    lost = RevokedCertificate(int(room.plan.certificate["revoked_serial"], 16), room.now().astimezone(UTC))
    revoked = [RevokedCertificate(entry.serial_number, entry.revocation_date_utc) for entry in newest]
    if all(entry.serial_number != lost.serial_number for entry in revoked):
        revoked.append(lost)
    key = issuer.token.signing(_issuer_key(room), POLICIES[MEDICAL_AUTHORITY])
    return issue_crl(issuer.certificate, key, revoked, number_of(newest) + 1, now=room.now()).public_bytes(Encoding.DER)


def newest_crl(room: Room, authority: x509.Certificate) -> x509.CertificateRevocationList:
    """Read the authority's newest list, which the file names. Raises CertificateRejected unless it is its own, and current."""
    if room.plan.issuer is None or room.plan.issuer.previous_crl is None:
        raise CertificateRejected("the authority's newest list is not named")
    try:
        newest = read_crl(room.plan.issuer.previous_crl.read_bytes())
        genuine = is_signed_by(newest, authority)
        number_of(newest)
    except (CertificateRejected, *UNREADABLE, x509.ExtensionNotFound) as error:
        raise CertificateRejected(f"the authority's newest list cannot be read: {error}") from error
    if not genuine:
        raise CertificateRejected("the newest list is not the authority's")
    if newest.next_update_utc is None or newest.next_update_utc < room.now():
        raise CertificateRejected(
            "the newest list has ended: there has to be a newer one, from `medunion authority crl`"
        )
    return newest


def number_of(crl: x509.CertificateRevocationList) -> int:
    """Return a list's number."""
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _key(room: Room, purpose: str) -> TokenSigningKey:
    """Open the key that this ceremony made for a purpose, of whichever generation."""
    spec = next(spec for spec in room.plan.new_keys if spec.policy.purpose == purpose)
    return room.token.signing(spec.label, spec.policy)


def _backup_card(room: Room) -> bytes:
    if room.state.card is None:
        raise CeremonyError("no backup was made")
    return room.state.card.encode()


def _issuer(room: Room) -> OpenIssuer:
    if room.issuer is None:
        raise CeremonyError("the medical authority's token is not open")
    return room.issuer


def _issuer_key(room: Room) -> str:
    return room.plan.issuer.key if room.plan.issuer else MEDICAL_AUTHORITY


def _checked(certificate: x509.Certificate, issuer: x509.Certificate | None = None) -> bytes:
    """Read a certificate back and check its signature in software before it is written, a root's by its own key.

    Raises CertificateRejected.
    """
    der = certificate.public_bytes(Encoding.DER)
    read = x509.load_der_x509_certificate(der)
    if not is_issued_by(read, issuer or read):
        raise CertificateRejected("the token's signature does not verify under the issuer's key")
    return der


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_MAKERS: Final[Mapping[str, Callable[[Room], bytes]]] = {
    "issuer_public_key": _issuer_public_key,
    "verifying_key": _verifying_key,
    "tls_ca_certificate": _tls_ca_certificate,
    "authority_certificate": _authority_certificate,
    "first_crl": _first_crl,
    "identity_ca_request": _identity_ca_request,
    "certificate_request": _certificate_request,
    "doctor_certificate": _doctor_certificate,
    "crl": _crl,
    "backup_card": _backup_card,
}


def needs_openssl(plan: Plan) -> bool:
    """Return whether a ceremony makes anything that has to be verified by another implementation."""
    return bool(_OPINIONS.keys() & plan.outputs.keys())


def require_openssl(plan: Plan, openssl: OpenSsl | None, *, rehearsal: bool) -> None:
    """Raise ToolMissing, before any token is touched, if a ceremony could not have its outputs verified."""
    if needs_openssl(plan) and openssl is None and not rehearsal:
        raise ToolMissing("the openssl program is not on the PATH: nothing else here verifies what is signed")


def second_opinion(name: str, content: bytes, room: Room) -> str | None:
    """Have an output verified; return by which program, None if it needs none. Raises CertificateRejected."""
    opinion = _OPINIONS.get(name)
    if opinion is None:
        return None
    if room.openssl is None:
        room.desk.say("openssl is not installed: a ceremony that is no rehearsal would not have begun")
        return None
    opinion(content, room, room.openssl)
    room.desk.say(f"verified by {room.openssl.version}")
    return room.openssl.version


def _judge_root(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_certificate(content, content, room.now())


def _judge_issued(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_certificate(content, _issuer_der(room), room.now())


def _judge_crl(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_crl(content, _issuer_der(room))


def _judge_first_crl(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_crl(content, room.plan.outputs["authority_certificate"].read_bytes())


def _judge_request(content: bytes, _room: Room, openssl: OpenSsl) -> None:
    openssl.verify_request(content)


def _issuer_der(room: Room) -> bytes:
    return _issuer(room).certificate.public_bytes(Encoding.DER)


_OPINIONS: Final[Mapping[str, Callable[[bytes, Room, OpenSsl], None]]] = {
    "tls_ca_certificate": _judge_root,
    "authority_certificate": _judge_root,
    "first_crl": _judge_first_crl,
    "identity_ca_request": _judge_request,
    "certificate_request": _judge_request,
    "doctor_certificate": _judge_issued,
    "crl": _judge_crl,
}
