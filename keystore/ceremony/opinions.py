"""Which second opinion each output of a ceremony needs before it is on record."""

from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from keystore.ceremony.errors import CeremonyError, ToolMissing
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.plan import Plan
from keystore.ceremony.room import Room


def needed(plan: Plan) -> bool:
    """Say whether a ceremony makes anything that has to be verified by another implementation."""
    return bool(_OPINIONS.keys() & plan.outputs.keys())


def require_openssl(plan: Plan, openssl: OpenSsl | None, *, rehearsal: bool) -> None:
    """Raise ToolMissing, before any token is touched, if a ceremony could not have its outputs verified."""
    if needed(plan) and openssl is None and not rehearsal:
        raise ToolMissing("the openssl program is not on the PATH: nothing else here verifies what is signed")


def second_opinion(name: str, content: bytes, room: Room) -> str | None:
    """Have an output verified; give by which program, None if it needs none. Raises CertificateRejected."""
    opinion = _OPINIONS.get(name)
    if opinion is None:
        return None
    if room.openssl is None:
        room.desk.say("openssl is not installed: a ceremony that is no rehearsal would not have begun")
        return None
    opinion(content, room, room.openssl)
    room.desk.say(f"verified by {room.openssl.version}")
    return room.openssl.version


def _root(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_certificate(content, content, room.now())


def _issued(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_certificate(content, _issuer(room), room.now())


def _crl(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_crl(content, _issuer(room))


def _first_crl(content: bytes, room: Room, openssl: OpenSsl) -> None:
    openssl.verify_crl(content, room.plan.outputs["authority_certificate"].read_bytes())


def _request(content: bytes, _room: Room, openssl: OpenSsl) -> None:
    openssl.verify_request(content)


def _issuer(room: Room) -> bytes:
    if room.issuer is None:
        raise CeremonyError("the medical authority's token is not open")
    return room.issuer.certificate.public_bytes(Encoding.DER)


_OPINIONS: Final[Mapping[str, Callable[[bytes, Room, OpenSsl], None]]] = {
    "tls_ca_certificate": _root,
    "authority_certificate": _root,
    "first_crl": _first_crl,
    "identity_ca_request": _request,
    "certificate_request": _request,
    "doctor_certificate": _issued,
    "crl": _crl,
}
