"""The statements by which people say who may do what: grants, mandates, guardianships, duties, emergencies.

Each is made here and opened here: `open_*` verifies the signature by the key of the credential that the statement names, and
gives what it says. What follows from it is `federation.protocol.access`'s to decide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from google.protobuf.message import Message

from federation.errors import (
    Authorization,
    DeputyInvalid,
    DutyInvalid,
    EmergencyInvalid,
    GrantInvalid,
    MalformedMessage,
    SignatureInvalid,
)
from federation.protocol import access
from federation.protocol.access import (
    DOCTORS_LIFE,
    LONGEST_DUTY,
    LONGEST_EMERGENCY,
    LONGEST_GRANT,
    LONGEST_GUARDIANSHIP,
    LONGEST_MANDATE,
    Grantee,
    ToDepartment,
    ToDoctor,
    ToHospital,
    Validity,
)
from federation.protocol.parties import Entropy, Party
from federation.protocol.statements import open_statement, peek_statement, sign_statement, verify_signature
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.v1 import statement_pb2 as pb
from federation.v1.access_pb2 import Consent, DeclaredEmergency, Deputyship, SecondClinician, ShownDuty
from federation.v1.statement_pb2 import Duty, Emergency, Grant, Guardianship, Mandate, Review, SignedStatement
from keystore.identities import ANY, DoctorId, HospitalId, PatientId
from keystore.transcript import digest, statement_digest, transcript

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Terms:
    """What a patient allows. Empty lists allow nothing; ANY allows every one. No default says more than "nothing"."""

    hospitals: Sequence[str] = ()
    department_classes: Sequence[str] = ()
    rights: Sequence["pb.Right.ValueType"] = ()
    highest_sensitivity: "pb.Sensitivity.ValueType" = pb.SENSITIVITY_NORMAL
    purpose: str = "consultation"
    life: timedelta = DOCTORS_LIFE


def make_grant(
    signer: Party,
    grantee: Grantee,
    terms: Terms,
    *,
    now: Instant,
    entropy: Entropy,
    deputyship: Deputyship | None = None,
) -> SignedStatement:
    """Sign a grant about the signer's own records, or by a deputyship about another's. Raises GrantInvalid for its life."""
    grant = Grant(
        grant_id=entropy(16),
        patient_id=signer.identity if deputyship is None else peek_deputyship(deputyship).patient_id,
        signer_id=signer.identity,
        signer_serial=signer.self_.serial,
        deputyship_digest=None if deputyship is None else deputyship_digest(deputyship),
        grantee=write_grantee(grantee),
        hospitals=terms.hospitals,
        department_classes=terms.department_classes,
        highest_sensitivity=terms.highest_sensitivity,
        rights=terms.rights,
        purpose=terms.purpose,
        stated_at=now,
        not_before=now,
        not_after=now + milliseconds(terms.life),
    )
    _require_life(_validity(grant), LONGEST_GRANT, GrantInvalid)
    return sign_statement("grant", grant, signer.signing_key)


def make_mandate(
    patient: Party,
    deputy_id: PatientId,
    powers: Sequence["pb.Power.ValueType"],
    life: timedelta,
    *,
    now: Instant,
    entropy: Entropy,
) -> SignedStatement:
    """Make another patient one's deputy. Raises DeputyInvalid for its life."""
    mandate = Mandate(
        mandate_id=entropy(16),
        patient_id=patient.identity,
        patient_serial=patient.self_.serial,
        deputy_id=deputy_id,
        powers=powers,
        stated_at=now,
        not_before=now,
        not_after=now + milliseconds(life),
    )
    _require_life(_validity(mandate), LONGEST_MANDATE, DeputyInvalid)
    return sign_statement("mandate", mandate, patient.signing_key)


@dataclass(frozen=True)
class Ward:
    """Whom a guardian stands for, on what basis, until when, and which officer saw the papers."""

    patient_id: PatientId
    deputy_id: PatientId
    basis: str
    officer: str
    powers: Sequence["pb.Power.ValueType"]
    until: Instant


def make_guardianship(hospital: Party, ward: Ward, *, now: Instant, entropy: Entropy) -> SignedStatement:
    """State who stands for a patient that can't sign. Raises DeputyInvalid for its life."""
    guardianship = Guardianship(
        guardianship_id=entropy(16),
        hospital_id=hospital.identity,
        hospital_serial=hospital.self_.serial,
        officer=ward.officer,
        patient_id=ward.patient_id,
        deputy_id=ward.deputy_id,
        basis=ward.basis,
        powers=ward.powers,
        stated_at=now,
        not_before=now,
        not_after=ward.until,
    )
    _require_life(_validity(guardianship), LONGEST_GUARDIANSHIP, DeputyInvalid)
    return sign_statement("guardian", guardianship, hospital.signing_key)


@dataclass(frozen=True)
class Shift:
    """When a doctor works in which departments of a hospital; `id` is the duty's."""

    id: bytes
    doctor_id: DoctorId
    department_classes: Sequence[str]
    validity: Validity


def make_duty(hospital: Party, shift: Shift, verifying_key: bytes) -> SignedStatement:
    """State that the doctor of this key is on duty. Raises DutyInvalid for its life."""
    duty = Duty(
        duty_id=shift.id,
        hospital_id=hospital.identity,
        hospital_serial=hospital.self_.serial,
        doctor_id=shift.doctor_id,
        verifying_key_digest=digest(verifying_key),
        department_classes=shift.department_classes,
        not_before=shift.validity.not_before,
        not_after=shift.validity.not_after,
    )
    _require_life(_validity(duty), LONGEST_DUTY, DutyInvalid)
    return sign_statement("duty", duty, hospital.signing_key)


@dataclass(frozen=True)
class Declaration:
    """What a doctor declares: about whom, where, for which reason, with which note; and who seconds it."""

    patient_id: PatientId
    reason_code: str
    note: str
    hospital: str = ANY
    second_doctor_id: DoctorId | None = None


def make_emergency(
    doctor: Party, declaration: Declaration, *, now: Instant, entropy: Entropy, life: timedelta = LONGEST_EMERGENCY
) -> SignedStatement:
    """Declare an emergency. Raises EmergencyInvalid for its life."""
    emergency = Emergency(
        patient_id=declaration.patient_id,
        doctor_id=doctor.identity,
        hospital=declaration.hospital,
        reason_code=declaration.reason_code,
        note_digest=digest(declaration.note.encode()),
        emergency_id=entropy(16),
        second_doctor_id=declaration.second_doctor_id,
        not_before=now,
        not_after=now + milliseconds(life),
    )
    _require_life(_validity(emergency), LONGEST_EMERGENCY, EmergencyInvalid)
    return sign_statement("bg", emergency, doctor.signing_key)


def second(emergency: SignedStatement, clinician: Party) -> SecondClinician:
    """Second a colleague's emergency."""
    return SecondClinician(
        signature=clinician.signing_key.sign(transcript("bg-second", emergency.statement)),
        key_statement=clinician.self_.key_statement,
        doctor_certificate=clinician.certificate,
    )


def make_review(
    hospital: Party, emergency_digest: bytes, officer: str, note: str, *, justified: bool, now: Instant
) -> SignedStatement:
    """State what an officer of the hospital found of an emergency. Raises MalformedMessage for no officer, or too long a name."""
    review = Review(
        emergency_digest=emergency_digest,
        hospital_id=hospital.identity,
        hospital_serial=hospital.self_.serial,
        officer=officer,
        justified=justified,
        note_digest=digest(note.encode()),
        stated_at=now,
    )
    return sign_statement("review", review, hospital.signing_key)


def open_emergency(
    shown: DeclaredEmergency, doctor: VerifiedParty, clinician: VerifiedParty | None, duty: access.Duty
) -> access.Emergency:
    """Verify that this doctor declared it, and that the clinician whom it names seconds it. Raises EmergencyInvalid."""
    emergency = _opened("bg", Emergency, shown.emergency, doctor, EmergencyInvalid)  # shown.13
    named = emergency.second_doctor_id if emergency.HasField("second_doctor_id") else None
    if named != (clinician.identity if clinician else None):
        raise EmergencyInvalid("the emergency names another second clinician than the one who signed")  # shown.14
    if clinician is not None:
        covered = transcript("bg-second", shown.emergency.statement)
        try:
            verify_signature(clinician.key, shown.second.signature, covered)
        except SignatureInvalid as error:
            raise EmergencyInvalid("the second clinician's signature does not hold") from error  # shown.15
    return access.Emergency(
        id=emergency.emergency_id,
        patient_id=PatientId(emergency.patient_id),
        doctor_id=DoctorId(emergency.doctor_id),
        hospital=emergency.hospital,
        reason_code=emergency.reason_code,
        second_doctor_id=None if named is None else DoctorId(named),
        validity=_validity(emergency),
        duty=duty,
    )


def open_grant(shown: Consent, signer: VerifiedParty) -> access.Grant:
    """Verify that this patient signed the grant, by the deputyship beside it if there is one. Raises GrantInvalid."""
    grant = _opened("grant", Grant, shown.grant, signer, GrantInvalid)  # shown.2
    if (grant.signer_id, grant.signer_serial) != (signer.identity, signer.serial):
        raise GrantInvalid("the grant is another patient's, or of an earlier registration")  # shown.3
    shown_digest = deputyship_digest(shown.deputyship) if shown.HasField("deputyship") else b""
    if grant.deputyship_digest != shown_digest:
        raise GrantInvalid("the grant was signed by another deputyship than the one shown")  # shown.4
    return read_grant(grant)


def open_deputyship(shown: Deputyship, signer: VerifiedParty) -> access.Deputyship:
    """Verify that this party signed the mandate or guardianship. Raises DeputyInvalid."""
    label, signed = deputyship_statement(shown)
    statement = _opened(label, _DEPUTYSHIPS[label], signed, signer, DeputyInvalid)  # shown.6
    stated_by = (
        (statement.patient_id, statement.patient_serial)
        if isinstance(statement, Mandate)
        else (statement.hospital_id, statement.hospital_serial)
    )
    if stated_by != (signer.identity, signer.serial):
        raise DeputyInvalid("the deputyship is somebody else's, or of an earlier registration")  # shown.7
    return _read_deputyship(label, statement)


def open_duty(shown: ShownDuty, hospital: VerifiedParty, doctor: VerifiedParty) -> access.Duty:
    """Verify that this hospital stated the duty, for the key of this doctor. Raises DutyInvalid."""
    duty = _opened("duty", Duty, shown.duty, hospital, DutyInvalid)  # shown.9
    if (duty.hospital_id, duty.hospital_serial) != (hospital.identity, hospital.serial):
        raise DutyInvalid("the duty is another hospital's, or of an earlier registration")  # shown.10
    if duty.verifying_key_digest != digest(doctor.verifying_key):
        raise DutyInvalid("the duty is for another key than the doctor's")  # shown.11
    return read_duty(duty)


def read_grant(grant: Grant) -> access.Grant:
    """Return what a grant says."""
    return access.Grant(
        id=grant.grant_id,
        patient_id=PatientId(grant.patient_id),
        signer_id=PatientId(grant.signer_id),
        grantee=_read_grantee(grant.grantee),
        hospitals=tuple(grant.hospitals),
        department_classes=tuple(grant.department_classes),
        highest_sensitivity=grant.highest_sensitivity,
        rights=tuple(grant.rights),
        stated_at=grant.stated_at,
        validity=_validity(grant),
    )


def read_duty(duty: Duty) -> access.Duty:
    """Return what a duty says."""
    return access.Duty(
        id=duty.duty_id,
        hospital_id=HospitalId(duty.hospital_id),
        doctor_id=DoctorId(duty.doctor_id),
        department_classes=tuple(duty.department_classes),
        validity=_validity(duty),
    )


def peek_grant(signed: SignedStatement) -> access.Grant:
    """Return what a grant says, unverified: for who shows it. Raises MalformedMessage."""
    return read_grant(peek_statement(Grant, signed))


def peek_duty(shown: ShownDuty) -> access.Duty:
    """Return what a duty says, unverified: for who shows it. Raises MalformedMessage."""
    return read_duty(peek_statement(Duty, shown.duty))


def peek_deputyship(shown: Deputyship) -> access.Deputyship:
    """Return what a mandate or guardianship says, unverified: for who shows it. Raises MalformedMessage, DeputyInvalid."""
    label, signed = deputyship_statement(shown)
    return _read_deputyship(label, peek_statement(_DEPUTYSHIPS[label], signed))


def deputyship_statement(shown: Deputyship) -> tuple[str, SignedStatement]:
    """Return the label and the statement. Raises DeputyInvalid where there is none."""
    match shown.WhichOneof("by"):
        case "mandate":
            return "mandate", shown.mandate
        case "guardianship":
            return "guardian", shown.guardianship
        case _:
            raise DeputyInvalid("a deputyship without mandate or guardianship")  # shown.5


def deputyship_digest(shown: Deputyship) -> bytes:
    """Return H(mandate) or H(guardian). Raises DeputyInvalid where there is neither."""
    label, signed = deputyship_statement(shown)
    return statement_digest(label, signed.statement)


def write_grantee(grantee: Grantee) -> pb.Grantee:
    """Return the grantee as a grant names it."""
    match grantee:
        case ToDoctor():
            doctor = pb.DoctorGrantee(doctor_id=grantee.doctor_id, authority_id=grantee.authority_id)
            return pb.Grantee(doctor=doctor)
        case ToDepartment():
            named = pb.DepartmentGrantee(hospital_id=grantee.hospital_id, department_class=grantee.department_class)
            return pb.Grantee(department=named)
        case ToHospital():
            return pb.Grantee(hospital=pb.HospitalGrantee(hospital_id=grantee.hospital_id))


def _read_grantee(grantee: pb.Grantee) -> Grantee | None:
    match grantee.WhichOneof("who"):
        case "doctor":
            return ToDoctor(DoctorId(grantee.doctor.doctor_id), grantee.doctor.authority_id)
        case "department":
            return ToDepartment(HospitalId(grantee.department.hospital_id), grantee.department.department_class)
        case "hospital":
            return ToHospital(HospitalId(grantee.hospital.hospital_id))
        case _:
            return None


def _read_deputyship(label: str, statement: Mandate | Guardianship) -> access.Deputyship:
    return access.Deputyship(
        kind=label,
        id=statement.mandate_id if isinstance(statement, Mandate) else statement.guardianship_id,
        stated_by=statement.patient_id if isinstance(statement, Mandate) else statement.hospital_id,
        patient_id=PatientId(statement.patient_id),
        deputy_id=PatientId(statement.deputy_id),
        powers=tuple(statement.powers),
        stated_at=statement.stated_at,
        validity=_validity(statement),
    )


_DEPUTYSHIPS: dict[str, type[Mandate] | type[Guardianship]] = {"mandate": Mandate, "guardian": Guardianship}


def _opened(
    label: str,
    message_type: type[M],
    signed: SignedStatement,
    signer: VerifiedParty,
    error_type: Callable[[str], Authorization],
) -> M:
    try:
        return open_statement(label, message_type, signed, signer.key)
    except (SignatureInvalid, MalformedMessage) as error:
        raise error_type(f"the {label} does not bear its signer's signature") from error


def _validity(statement: Grant | Mandate | Guardianship | Duty | Emergency) -> Validity:
    return Validity(statement.not_before, statement.not_after)


def _require_life(validity: Validity, longest: timedelta, error_type: Callable[[str], Authorization]) -> None:
    if not validity.is_life(longest):
        raise error_type(f"it begins before it ends, and ends after at most {longest.days} days")
