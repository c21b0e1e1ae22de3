"""What tests of visits share: a patient who goes in while the doctor waits."""

from concurrent.futures import Future, ThreadPoolExecutor

from federation.person.code import DoctorCode
from federation.person.consents import NewGrant
from federation.person.doctor import DoctorRoom
from federation.person.hospital_session import OnSent, say_nothing
from federation.person.patient import Offer, OnHanded, PatientClient
from federation.person.pending import PendingConsultation
from federation.person.room_view import RoomView
from federation.protocol.access import ToDoctor
from federation.protocol.consent import Terms
from federation.protocol.consultation import InConsultation
from tests.hospital_lab import ecg
from tests.unit.person.conftest import Surgery

SECONDS = 60.0


def to_doctor(view: RoomView, terms: Terms) -> NewGrant:
    """A consent for the doctor of a room."""
    return NewGrant(ToDoctor(view.doctor.doctor_id, view.authority_id), terms)


def go_in(
    patient: PatientClient, code: DoctorCode, terms: Terms | None = None, biosignal: bytes | None = None
) -> PendingConsultation:
    """Look at the doctor, and visit with a consent for that doctor on these terms, or none."""
    view = patient.look(code)
    offer = None if terms is None else to_doctor(view, terms)
    return patient.visit(view, ecg() if biosignal is None else biosignal, offer)


def meet(
    surgery: Surgery,
    room: DoctorRoom,
    patient: PatientClient,
    view: RoomView,
    offer: Offer | None,
    biosignal: bytes = b"",
    on_handed: OnHanded = lambda _handed: None,
    on_sent: OnSent = say_nothing,
) -> tuple[PendingConsultation, InConsultation]:
    """P1, D1, P2 with this consent, each side in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        present: Future[InConsultation] = pool.submit(surgery.doctor.await_patient, room, seconds=SECONDS)
        waiting = patient.visit(view, biosignal, offer, on_handed=on_handed, on_sent=on_sent)
        return waiting, present.result(SECONDS)
