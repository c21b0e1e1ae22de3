"""What a patient sees of a doctor's room before it consents to anything: who is there, by whose word, and where on duty."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from federation.clinical.text import printable
from federation.errors import GrantInvalid
from federation.person.code import DoctorCode
from federation.person.consents import KeptGrant, NewGrant
from federation.person.errors import RoomChanged
from federation.protocol import access
from federation.protocol.access import Policy, Question, Refused, Standing, Validity, decide
from federation.protocol.consent import peek_deputyship
from federation.protocol.doctor_certificate import read_certificate
from federation.protocol.shown import asker_of, is_taken_back
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import Peer, VerifiedParty, Verifier
from federation.words import local_time
from keystore.identities import is_identity

MOST_SHOWN = 120
"""Characters of a name or profession."""

_PLACES = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME


@dataclass(frozen=True)
class DoctorName:
    """What Cert_D says of its doctor in words, each "" where it says nothing; safe to show."""

    name: str
    profession: str
    organisation: str

    @classmethod
    def of(cls, certificate: bytes) -> "DoctorName":
        """Read them out of Cert_D, DER, whose authority vouches for them. Raises CertificateIllegal."""
        parsed = read_certificate(certificate)
        subject = parsed.subject
        common = [name for name in _values(subject, NameOID.COMMON_NAME) if not is_identity("doctor", name)]
        parts = [*_values(subject, NameOID.GIVEN_NAME), *_values(subject, NameOID.SURNAME)]
        return cls(
            name=_shown(common[:1] or parts),
            profession=_shown([*_values(subject, NameOID.TITLE), *_professions(parsed)], ", "),
            organisation=_shown([value for oid in _PLACES for value in _values(subject, oid)], ", "),
        )


@dataclass(frozen=True)
class RoomView:
    """A room, looked at: its statements held against the code, and nothing of the patient has gone out."""

    code: DoctorCode
    doctor: Peer
    duty: access.Duty

    @property
    def name(self) -> DoctorName:
        """Return what Cert_D says of the doctor in words."""
        return DoctorName.of(self.doctor.certificate)

    @property
    def authority_id(self) -> str:
        """Return the medical authority that vouches for the doctor."""
        return self.doctor.party.authority_id

    @property
    def called(self) -> str:
        """Return who the doctor is in a sentence: by name and identity, where Cert_D has a name."""
        name, doctor_id = self.name.name, self.doctor.identity
        return f"{name} ({doctor_id})" if name else doctor_id

    def in_words(self) -> Iterator[tuple[str, str]]:
        """Yield what a patient has to see before it consents: a heading, and what stands there."""
        name = self.name
        yield "Doctor", self.called
        if name.profession:
            yield "Profession", name.profession
        if name.organisation:
            yield "Belongs to", name.organisation
        yield "Certified by", self.authority_id
        yield "Hospital", self.duty.hospital_id
        classes = ", ".join(self.duty.department_classes) or "no department"
        yield "On duty in", f"{classes}, until {local_time(self.duty.validity.not_after)}"

    def require_same(self, seen: "RoomView") -> None:
        """Require that it is still what was looked at, another epoch's key aside. Raises RoomChanged."""
        if seen.doctor.party != self.doctor.party or seen.doctor.certificate != self.doctor.certificate:
            raise RoomChanged("the room has another doctor's statements now")
        if seen.duty.department_classes != self.duty.department_classes:
            raise RoomChanged("the doctor is on duty in other departments now")

    def require_use(self, offer: NewGrant | KeptGrant, own: VerifiedParty, verifier: Verifier, *, now: Instant) -> None:
        """Require that a consent would be of use to this doctor now. Raises Authorization: why it is of none."""
        if isinstance(offer, KeptGrant) and offer.serial != own.serial:
            raise GrantInvalid("it was given under an earlier registration of yours; give a new one")
        grant = offer.grant if isinstance(offer, KeptGrant) else _to_be(offer, own, now)
        deputyship = None if offer.deputyship is None else peek_deputyship(offer.deputyship)
        revoked = {"grant"} if isinstance(offer, KeptGrant) and offer.is_revoked else set()
        if deputyship is not None and is_taken_back(deputyship, verifier.lists):
            revoked.add("deputyship")
        decision = decide(
            access.Consent(grant, deputyship, self.duty),
            Question(asker_of(self.doctor.party), None, grant.patient_id),
            Standing(frozenset(revoked)),
            Policy(skew_ms=milliseconds(verifier.freshness.skew)),
            now=now,
        )
        if isinstance(decision, Refused):
            raise decision.error


def _to_be(offer: NewGrant, own: VerifiedParty, now: Instant) -> access.Grant:
    """Return what a grant would say that was signed now."""
    terms, deputyship = offer.terms_at(now), offer.deputyship
    return access.Grant(
        id=bytes(16),
        patient_id=own.patient_id if deputyship is None else peek_deputyship(deputyship).patient_id,
        signer_id=own.patient_id,
        grantee=offer.grantee,
        hospitals=terms.hospitals,
        department_classes=terms.department_classes,
        highest_sensitivity=terms.highest_sensitivity,
        rights=terms.rights,
        stated_at=now,
        validity=Validity(now, now + milliseconds(terms.life)),
    )


def _professions(certificate: x509.Certificate) -> list[str]:
    """Return what an Admissions extension (ISIS-MTT) says, as the certificates of medical chambers have it."""
    with suppress(x509.ExtensionNotFound, ValueError):
        admissions = certificate.extensions.get_extension_for_class(x509.Admissions).value
        return [
            item for admission in admissions for info in admission.profession_infos for item in info.profession_items
        ]
    return []


def _values(subject: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(oid)]


def _shown(parts: list[str], separator: str = " ") -> str:
    return printable(separator.join(parts), MOST_SHOWN)
