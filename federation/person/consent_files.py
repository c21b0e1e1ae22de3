"""A patient's consents as files of FHIR Consents, and a Consent from elsewhere as the draft of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from federation.clinical import consent_drafts
from federation.clinical.consents import ConsentTerms, GivenConsent, Recipient, consent_bundle
from federation.clinical.errors import ConsentNotExpressible
from federation.clinical.identity import milliseconds_of, moment_of
from federation.errors import GrantExpired, GrantInvalid
from federation.person.consents import KeptGrant, NewGrant
from federation.protocol.access import LONGEST_GRANT, Grantee, ToDepartment, ToDoctor, ToHospital
from federation.protocol.anchors import Anchors
from federation.protocol.consent import Terms
from federation.protocol.time import Instant
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Deputyship
from keystore.identities import DepartmentId, DoctorId, HospitalId, PatientId, class_of, hospital_of, is_identity

_RIGHTS = {"find": pb.RIGHT_INDEX, "read": pb.RIGHT_READ, "deposit": pb.RIGHT_WRITE}
_SENSITIVITIES = {"normal": pb.SENSITIVITY_NORMAL, "restricted": pb.SENSITIVITY_RESTRICTED}
_RIGHT_WORDS = {right: word for word, right in _RIGHTS.items()}
_SENSITIVITY_WORDS = {sensitivity: word for word, sensitivity in _SENSITIVITIES.items()}


@dataclass(frozen=True)
class Draft:
    """What a Consent proposes, for the patient to read and sign."""

    grantee: Grantee
    terms: Terms
    ends: Instant

    def grant(self, deputyship: Deputyship | None) -> NewGrant:
        """Return the consent to give: it begins when it is signed, and ends when the draft says."""
        return NewGrant(self.grantee, self.terms, deputyship, self.ends)


def exported(kept: Sequence[KeptGrant], anchors: Anchors, *, now: Instant) -> bytes:
    """Return consents as a Bundle of FHIR Consents. Raises GrantInvalid for one that this version can't say."""
    given = [_given(one, now) for one in kept]
    return consent_bundle(given, cloud_id=anchors.cloud_id, realm=anchors.realm, exported=moment_of(now))


def drafted(data: bytes, patient_id: PatientId, anchors: Anchors, *, now: Instant) -> Draft:
    """Return the draft of a consent about this patient's records.

    Raises GrantExpired, and ClinicalError: ConsentNotExpressible for what a grant can't say, or not from now on.
    """
    said = consent_drafts.read_draft(data, patient_id, anchors.realm)
    now_as_moment = moment_of(now)
    _require_period(said, now_as_moment)
    grantee = _grantee(said.recipient)
    named = {*said.department_classes, *([grantee.department_class] if isinstance(grantee, ToDepartment) else [])}
    if unknown := named - anchors.department_classes - {consent_drafts.ANY}:
        published = ", ".join(sorted(anchors.department_classes))
        raise ConsentNotExpressible(f"the Consent names {min(unknown)}, and the federation publishes {published}")
    terms = Terms(
        hospitals=said.hospitals,
        department_classes=said.department_classes,
        rights=tuple(_RIGHTS[right] for right in said.rights),
        highest_sensitivity=_SENSITIVITIES[said.sensitivity],
        purpose=said.purpose or Terms.purpose,
        life=said.ends - now_as_moment,
    )
    return Draft(grantee, terms, milliseconds_of(said.ends))


def _require_period(said: ConsentTerms, now: datetime) -> None:
    if said.ends <= now:
        raise GrantExpired("what the Consent proposes has ended")
    if said.begins is not None and said.begins > now:
        raise ConsentNotExpressible("Consent.provision.period begins later: a grant begins when it is signed")
    if said.ends - (said.begins or now) > LONGEST_GRANT:
        raise ConsentNotExpressible(f"Consent.provision.period is longer than {LONGEST_GRANT.days} days")


def _given(kept: KeptGrant, now: Instant) -> GivenConsent:
    grant = kept.grant
    return GivenConsent(
        terms=_said(kept),
        patient_id=grant.patient_id,
        signer_id=grant.signer_id,
        stated_at=moment_of(grant.stated_at),
        grant_id=grant.id,
        number=kept.number,
        stands=not kept.is_revoked and now < grant.validity.not_after,
        signed=kept.signed.SerializeToString(deterministic=True),
    )


def _said(kept: KeptGrant) -> ConsentTerms:
    grant = kept.grant
    if grant.grantee is None or grant.highest_sensitivity not in _SENSITIVITY_WORDS:
        raise GrantInvalid(f"what your consent no. {kept.number} says is not known to this version")
    return ConsentTerms(
        recipient=_recipient(grant.grantee),
        hospitals=grant.hospitals,
        department_classes=grant.department_classes,
        rights=tuple(_RIGHT_WORDS[right] for right in grant.rights if right in _RIGHT_WORDS),
        sensitivity=_SENSITIVITY_WORDS[grant.highest_sensitivity],
        purpose=kept.purpose,
        begins=moment_of(grant.validity.not_before),
        ends=moment_of(grant.validity.not_after),
    )


def _recipient(grantee: Grantee) -> Recipient:
    match grantee:
        case ToDoctor():
            return Recipient(grantee.doctor_id, grantee.authority_id)
        case ToDepartment():
            return Recipient(f"{grantee.hospital_id}/{grantee.department_class}")
        case ToHospital():
            return Recipient(grantee.hospital_id)


def _grantee(recipient: Recipient) -> Grantee:
    named = recipient.party_id
    if is_identity("doctor", named):
        return ToDoctor(DoctorId(named), recipient.authority_id)
    if is_identity("department", named):
        return ToDepartment(hospital_of(DepartmentId(named)), class_of(DepartmentId(named)))
    return ToHospital(HospitalId(named))
