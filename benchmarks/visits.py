"""A whole visit as doctor and patient make it, by their clients' own code, at a federation that is served."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.meters import Weighed
from benchmarks.rows import Bench
from benchmarks.world import HOSPITAL, World
from federation.clinical.report import diagnostic_report
from federation.clock import system_clock, system_entropy
from federation.party.audit import Audit
from federation.party.channels import ChannelPool
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person.code import DoctorCode
from federation.person.consents import NewGrant
from federation.person.doctor import DoctorClient
from federation.person.patient import PatientClient
from federation.person.profile import Profile
from federation.person.trace import Trace
from federation.protocol.access import ToDoctor
from federation.protocol.consultation import InConsultation
from federation.store.database import Database, open_database
from federation.store.log import Log
from federation.store.party import Evidence, ReplayMemory
from keystore.biometric import BiometricPassword
from keystore.identities import DoctorId
from tests.grants import WIDE
from tests.hospital_lab import ecg

SECONDS = 60.0
CLASS = "cardiology"
"""Where the patient's only record of 0.7 MB is."""
KEPT_IN = "neurology"
"""Where the visit itself is kept, so that the next one finds no more."""


@dataclass(frozen=True)
class Visit:
    """Doctor and patient, each with a client of its own."""

    doctor: DoctorClient
    patient: PatientClient
    address: str
    biosignal: bytes

    def run(self) -> int:
        """Make a visit: room, consultation, search, one record, diagnosis, receipt, deposit. Return the record's bytes."""
        hospital_id = f"H:{HOSPITAL}"
        room = self.doctor.open_room(hospital_id, self.address)  # type: ignore[arg-type]
        failed: list[Exception] = []
        thread = threading.Thread(target=_kept(failed, lambda: self._attend(room.code)))
        thread.start()
        consultation = self.doctor.await_patient(room, seconds=SECONDS)
        locations = self.doctor.search(consultation, CLASS)
        records = list(
            self.doctor.fetch(consultation, [one for one in locations if one.hospital.identity == hospital_id][:1])
        )
        awaiting = self.doctor.diagnose(room, consultation, _report(consultation), records)
        self.doctor.await_receipt(room, awaiting, seconds=SECONDS)
        prepared = self.doctor.prepare_deposit(awaiting, hospital_id, self.address, KEPT_IN)  # type: ignore[arg-type]
        self.doctor.deposit(prepared)
        thread.join(SECONDS)
        self.doctor.close_room(room)
        size = sum(record.size_bytes for record in records)
        for record in records:
            record.close()
        if failed:
            raise failed[0]
        return size

    def _attend(self, code: DoctorCode) -> None:
        view = self.patient.look(code)
        offer = NewGrant(ToDoctor(DoctorId(view.doctor.identity), view.authority_id), WIDE)
        waiting = self.patient.visit(view, self.biosignal, offer)
        self.patient.await_diagnosis(waiting, seconds=SECONDS)


def _kept(failed: list[Exception], work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by who waits
            failed.append(error)

    return run


def _report(consultation: InConsultation) -> bytes:
    return diagnostic_report(
        patient_id=consultation.patient_id,
        doctor_id=consultation.session.own.identity,
        conclusion="Sinus rhythm.",
        codes=[],
        issued=datetime.now(UTC),
        based_on=[],
    )


@contextmanager
def visit(here: World, bench: Bench, weighed: Weighed) -> Iterator[Visit]:
    """Give the clients of the world's doctor and patient, over connections of their own that are weighed."""
    directory = bench.new_directory("visit")
    trace = Trace(None, system_clock)
    with ExitStack() as stack:
        stack.enter_context(weighed.told())
        connections, cloud = ChannelPool(here.lab.node.trust), CloudClient(here.lab.node.trust)
        stack.callback(connections.close)
        stack.enter_context(cloud)

        def opened(member: Member) -> tuple[Database, Profile]:
            database = stack.enter_context(open_database(f"sqlite:///{directory / f'{member.identity[2:]}.sqlite'}"))
            profile = Profile(directory / member.identity[2:])
            profile.directory.mkdir()
            return database, profile

        database, profile = opened(here.doctor)
        doctor = DoctorClient(
            *(here.doctor, cloud, connections.get, ReplayMemory(database), Evidence(database)),
            *(Audit(Log(database), here.doctor.sealing, where=here.doctor.identity), profile, trace),
            clock=system_clock,
            entropy=system_entropy,
        )
        database, profile = opened(here.patient)
        patient = PatientClient(
            *(here.patient, cloud, connections.get, Evidence(database), profile, BiometricPassword(bytes(32)), trace),
            clock=system_clock,
            entropy=system_entropy,
        )
        yield Visit(doctor, patient, here.address, ecg())
