"""A doctor's practice: one process that registers patients and holds visits, one after the other, until it is killed.

Whatever it was told is done goes into its journal before it goes on. What a kill left over, it does first when it starts again,
as the doctor's and the patients' own programs would.
"""

import random
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from federation.clinical.ecg import observation_from_dicom
from federation.clinical.report import diagnostic_report
from federation.errors import FederationError, Rejected
from federation.party.registration import parse_ticket, register
from federation.person.consents import NewGrant
from federation.person.deposits import PreparedDeposit
from federation.person.doctor import DoctorRoom
from federation.person.errors import NoAnswer
from federation.person.patient import PatientClient
from federation.protocol.access import ToDoctor
from federation.protocol.consultation import InConsultation
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement
from federation.store.errors import StoreError
from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_PATIENT, Credential, KeyStatement
from keystore.errors import KeystoreError
from keystore.transcript import digest
from tests.crash.journal import Journal
from tests.crash.people import Person, Place, biometric
from tests.grants import WIDE

CLASS = "cardiology"
PATIENCE_SECONDS = 10.0
GLANCE_SECONDS = 1.0
"""How long the doctor waits before looking whether the patient is still on the way."""
REVOKED_ONE_IN = 3
LEFT_FOR_THE_DEPOSIT_SECONDS = 0.5
PASSING = FederationError, StoreError, KeystoreError
_ECG = Path(__file__).parents[1] / "data" / "waveform_ecg.dcm"


def main(path: str, doctor: str, patients: str, hospital_id: str, address: str, seed: str) -> None:
    """Work until killed; with a file `closing` in the directory, finish what waits and end."""
    place = Place(Path(path))
    with ExitStack() as stack:
        journal = Journal(place.journal)
        practice = Practice(place, journal, stack, doctor, patients.split(","), hospital_id, address)
        practice.random.seed(seed)
        while not (place.path / "closing").exists():
            with survived():
                practice.round()
        while not practice.is_done():
            with survived():
                practice.finish()
    (place.path / "closed").touch()


@contextmanager
def survived() -> Iterator[None]:
    """Go on after what passes: a server that is away, or what it does not remember of a visit under way."""
    try:
        yield
    except PASSING as error:
        reason = getattr(error, "reason", "")
        print(f"{type(error).__name__} {reason}: {error}", file=sys.stderr, flush=True)
        time.sleep(0.1)
    except Exception:
        traceback.print_exc()
        raise


class Practice:
    """One doctor, patients, and the hospital that keeps what they do."""

    def __init__(
        self,
        place: Place,
        journal: Journal,
        stack: ExitStack,
        doctor: str,
        patients: list[str],
        hospital_id: str,
        address: str,
    ) -> None:
        self.random = random.Random()
        self._place, self._journal = place, journal
        self._hospital_id, self._address = hospital_id, address
        self._doctor_person = Person(place, doctor, "D", journal, stack)
        self._doctor = self._doctor_person.as_doctor()
        self._patients = {label: Person(place, label, "P", journal, stack) for label in patients}
        self._visitors: dict[str, PatientClient] = {}
        self._room: DoctorRoom | None = None
        self._away: set[str] = set()

    def is_done(self) -> bool:
        return not self._doctor.waiting_deposits() and not self._awaited()

    def finish(self) -> None:
        """Do what an earlier run left."""
        self._register_doctor()
        for prepared in self._doctor.waiting_deposits():
            self._deposit(prepared)
        for label in self._awaited():
            self._register(label)

    def round(self) -> None:
        self.finish()
        self._renew()
        registered = [
            label for label, it in self._patients.items() if it.member.is_registered and label not in self._away
        ]
        if registered:
            self._visit(self.random.choice(registered))
        else:
            time.sleep(0.05)

    def _awaited(self) -> list[str]:
        """Who has a ticket and no registration."""
        return [
            label
            for label, it in self._patients.items()
            if self._place.ticket(label).exists() and not it.member.is_registered
        ]

    def _register_doctor(self) -> None:
        person = self._doctor_person
        if not person.member.is_registered:
            certificate = self._place.path.joinpath(f"{person.label}.der").read_bytes()
            register(person.member, person.cloud, ROLE_DOCTOR, certificate, None, certificate=certificate)
            self._note_registration(person)

    def _register(self, label: str) -> None:
        person = self._patients[label]
        ticket = parse_ticket(self._place.ticket(label).read_text())
        try:
            register(person.member, person.cloud, ROLE_PATIENT, biometric(label), ticket)
        except Rejected:
            # A challenge is used up by a registration that a crash cut short: the next attempt has its own.
            time.sleep(0.1)
            return
        self._note_registration(person)

    def _note_registration(self, person: Person) -> None:
        statement = peek_statement(KeyStatement, person.member.key_statement)
        serial = Credential.FromString(statement.credential).serial
        self._journal.note("registered", identity=person.member.identity, serial=serial)

    def _renew(self) -> None:
        """Put the encryption key again, of somebody: cheap, and a call that is taken once."""
        person = self.random.choice(
            [it for it in self._patients.values() if it.member.is_registered] or [self._doctor_person]
        )
        receipt = person.cloud.renew(person.member)
        self._journal.note("renewed", identity=person.member.identity, key_id=receipt.key_id)

    def _visit(self, label: str) -> None:
        client = self._visitors.setdefault(label, self._patients[label].as_patient())
        if self._room is None:
            self._room = self._doctor.open_room(self._hospital_id, self._address)
        room, self._room = self._room, None
        patient = threading.Thread(target=self._be_patient, args=(label, client, room), daemon=True)
        self._away.add(label)
        patient.start()
        self._treat(room, self._await(room, patient), label)
        self._room = room

    def _await(self, room: DoctorRoom, patient: threading.Thread) -> InConsultation:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._doctor.await_patient(room, seconds=GLANCE_SECONDS)
            except NoAnswer:
                if not patient.is_alive() or time.monotonic() > deadline:
                    raise

    def _treat(self, room: DoctorRoom, consultation: InConsultation, label: str) -> None:
        authorization = consultation.shown.digest
        places = self._doctor.search(consultation)
        self._journal.note("searched", authorization=authorization, handles=[it.handle for it in places])
        records = []
        for record in self._doctor.fetch(consultation, self.random.sample(places, min(1, len(places)))):
            self._journal.note("released", authorization=authorization, handle=record.manifest.records[0].handle)
            records.append(record)
            record.close()
        report = diagnostic_report(
            patient_id=f"P:{label}",
            doctor_id=self._doctor_person.member.identity,
            conclusion="Sinus rhythm.",
            codes=[],
            issued=datetime.now(UTC),
            based_on=[],
        )
        awaiting = self._doctor.diagnose(room, consultation, report, records)
        self._deposit(self._doctor.prepare_deposit(awaiting, self._hospital_id, self._address, CLASS))

    def _deposit(self, prepared: PreparedDeposit) -> None:
        receipt = self._doctor.deposit(prepared)
        self._journal.note(
            "deposited",
            handle=receipt.handle,
            patient_id=prepared.deposit.patient_id,
            authorization=Shown.of(prepared.deposit).digest,
            diagnosis=digest(prepared.diagnosis),
            consultation=prepared.deposit.consultation_digest,
        )

    def _be_patient(self, label: str, client: PatientClient, room: DoctorRoom) -> None:
        try:
            view = client.look(room.code)
            offer = NewGrant(ToDoctor(view.doctor.doctor_id, view.authority_id), WIDE)
            waiting = client.visit(view, _biosignal(label), offer)
            diagnosis = client.await_diagnosis(waiting, seconds=PATIENCE_SECONDS)
            self._journal.note("diagnosed", patient_id=f"P:{label}", diagnosis=digest(diagnosis.report))
            if self.random.randrange(REVOKED_ONE_IN) == 0:
                self._take_back(label, client)
        except PASSING as error:
            print(f"{label}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            self._away.discard(label)

    def _take_back(self, label: str, client: PatientClient) -> None:
        kept = client.consents.grants()[-1]
        time.sleep(LEFT_FOR_THE_DEPOSIT_SECONDS)
        client.consents.revoke([kept])
        self._journal.note("revoked", patient_id=kept.grant.patient_id, grant_id=kept.grant.id)


@cache
def _biosignal(label: str) -> bytes:
    return observation_from_dicom(_ECG.read_bytes(), subject=f"P:{label}")
