"""What a patient is shown of a room before anything of its own goes out, and that this is what it then visits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from federation.errors import DutyInvalid, GrantExpired, GrantInvalid, GrantRevoked, NotOnDuty
from federation.person.consents import NewGrant
from federation.person.doctor import DoctorRoom
from federation.person.errors import RoomChanged
from federation.person.room_view import DoctorName
from federation.protocol.access import ToDepartment, ToDoctor, ToHospital
from federation.v1 import consultation_pb2 as pb
from tests.grants import wide
from tests.hospital_lab import report
from tests.simulated_cloud import START
from tests.unit.person.conftest import Surgery
from tests.unit.person.visits import meet, to_doctor


def frames(surgery: Surgery, room: DoctorRoom) -> int:
    """How many frames lie in the room for the doctor."""
    rooms = surgery.lab.hospital.stores.rooms
    return len(rooms.frames(room.code.room_id, pb.DIRECTION_TO_DOCTOR, from_number=0, limit=9))


def test_look_shows_doctor_authority_and_duty_and_puts_nothing_into_the_room(
    surgery: Surgery, room: DoctorRoom
) -> None:
    view = surgery.patient().look(room.code)
    assert (view.doctor.identity, view.authority_id, view.duty.hospital_id) == ("D:chen", "M:chamber", "H:alpha")
    assert view.duty.department_classes == ("cardiology", "neurology")
    assert frames(surgery, room) == 0
    assert view.name == DoctorName("", "", "")  # the simulated authority certifies an identity and nothing else


def test_room_changed_between_the_look_and_the_visit_is_refused_before_anything_goes_out(
    surgery: Surgery, room: DoctorRoom
) -> None:
    patient = surgery.patient()
    view = patient.look(room.code)
    surgery.lab.off_duty()
    surgery.lab.on_duty("D:chen", "neurology")
    with pytest.raises(RoomChanged):
        patient.visit(view)
    assert frames(surgery, room) == 0


def test_room_of_a_doctor_who_left_is_not_gone_into(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    view = patient.look(room.code)
    surgery.lab.off_duty()
    with pytest.raises(NotOnDuty):
        patient.visit(view)
    with pytest.raises(NotOnDuty):
        patient.look(room.code)


@pytest.mark.parametrize(
    ("grantee", "error"),
    [
        (ToDoctor("D:roe", "M:chamber"), GrantInvalid),
        (ToDoctor("D:chen", "M:other"), GrantInvalid),
        (ToDepartment("H:alpha", "oncology"), DutyInvalid),
        (ToHospital("H:beta"), DutyInvalid),
    ],
    ids=["other-doctor", "other-authority", "other-department", "other-hospital"],
)
def test_consent_that_is_of_no_use_to_this_doctor_is_told_before_anything_goes_out(
    surgery: Surgery, room: DoctorRoom, grantee: object, error: type[Exception]
) -> None:
    patient = surgery.patient()
    with pytest.raises(error):
        patient.visit(patient.look(room.code), b"", NewGrant(grantee, wide()))
    assert frames(surgery, room) == 0
    assert patient.consents.grants() == []


def test_grant_for_the_department_is_used_again_for_a_later_visit(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    view = patient.look(room.code)
    to = ToDepartment("H:alpha", "neurology")
    _, present = meet(surgery, room, patient, view, NewGrant(to, wide(life=timedelta(days=30))))
    (kept,) = patient.consents.grants()
    _, again = meet(surgery, room, patient, view, kept)
    assert again.shown.consent.grant == present.shown.consent.grant == kept.signed
    assert len(patient.consents.grants()) == 1


def test_grant_over_revoked_or_of_an_earlier_registration_is_not_used_again(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    meet(surgery, room, patient, patient.look(room.code), to_doctor(patient.look(room.code), wide()))
    (kept,) = patient.consents.grants()
    view = patient.look(room.code)
    surgery.federation.clock.advance(timedelta(hours=25))
    surgery.federation.refresh()
    with pytest.raises(GrantExpired):
        patient.require_use(kept, view)
    surgery.federation.clock.now = START
    with pytest.raises(GrantInvalid, match="earlier registration"):
        patient.require_use(replace(kept, serial=bytes(16)), view)
    patient.consents.revoke([kept])
    (kept,) = patient.consents.grants()
    with pytest.raises(GrantRevoked):
        patient.require_use(kept, view)


def test_visit_without_a_biosignal_brings_none(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    view = patient.look(room.code)
    _, present = meet(surgery, room, patient, view, to_doctor(view, wide()))
    assert present.biosignal == b""
    awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    prepared = surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    receipt = surgery.doctor.deposit(prepared)
    record = next(it for it in surgery.lab.hospital.stores.records.all() if it.handle == receipt.handle)
    names = [part.name for part in surgery.lab.hospital.vault.parts(record)]
    assert names == ["encounter.json", "diagnosis.json", "evidence.json"]


def certificate(*names: tuple[x509.ObjectIdentifier, str], admissions: x509.Admissions | None = None) -> bytes:
    """A certificate of this subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    )
    if admissions is not None:
        builder = builder.add_extension(admissions, critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def test_name_and_profession_are_read_out_of_the_certificate() -> None:
    named = certificate(
        (NameOID.COMMON_NAME, "Dr. Anna Weber"),
        (NameOID.TITLE, "Cardiologist"),
        (NameOID.ORGANIZATION_NAME, "Clinic"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Heart Centre"),
    )
    assert DoctorName.of(named) == DoctorName("Dr. Anna Weber", "Cardiologist", "Heart Centre, Clinic")
    parts = certificate((NameOID.COMMON_NAME, "D:weber"), (NameOID.GIVEN_NAME, "Anna"), (NameOID.SURNAME, "Weber"))
    assert DoctorName.of(parts).name == "Anna Weber"


def test_profession_of_a_chambers_admission_is_shown() -> None:
    info = x509.ProfessionInfo(None, ["Ärztin/Arzt"], None, None, None)
    admissions = x509.Admissions(None, [x509.Admission(None, None, [info])])
    assert DoctorName.of(certificate((NameOID.COMMON_NAME, "x"), admissions=admissions)).profession == "Ärztin/Arzt"


def test_name_cannot_repaint_the_terminal_or_go_on_for_ever() -> None:
    name = DoctorName.of(certificate((NameOID.COMMON_NAME, "Dr. \x1b[2J\u202eEvil\n" + "x" * 40))).name
    assert "\x1b" not in name
    assert "\u202e" not in name
    assert "\n" not in name
