"""`medunion doctor consult`, as a story: what it shows, asks and sends, in the order of a visit."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.cli.biosignals import save_biosignal
from federation.cli.exit_codes import ExitCode
from federation.cli.fetched_records import ToChart, fetched, require_empty, show_record
from federation.cli.qr import qr_code
from federation.cli.terminal import say
from federation.clinical.errors import ClinicalError
from federation.clinical.report import Coding, Source, summarise
from federation.clinical.text import counted
from federation.errors import (
    Authentication,
    FederationError,
    Limit,
    NoSuchRoom,
    RecordCutShort,
    Unavailable,
)
from federation.person.biosignals import describe_biosignal
from federation.person.conclusion import NothingToSign, fault_of, report_of, sources_of
from federation.person.consent_words import grant_lines
from federation.person.doctor import DoctorClient, DoctorRoom
from federation.person.errors import NoAnswer
from federation.person.fetching import Missing
from federation.person.places import Brought
from federation.person.records import FetchedRecord
from federation.person.visit_words import (
    MORE_THAN_READ,
    allows,
    arrival_words,
    brought_words,
    duty_words,
    earlier_receipt_words,
    refused_words,
)
from federation.protocol.consultation import AwaitingReceipt, InConsultation
from federation.v1.diagnosis_pb2 import DiagnosisReceipt
from federation.v1.record_pb2 import DepositReceipt
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE
from federation.words import EXPECTED, local_time, plain
from hsm.errors import HsmError
from keystore.identities import DoctorId, HospitalId, PatientId


@dataclass(frozen=True)
class Plan:
    """What the command line asks of one visit, or of all until a time (seconds of the monotonic clock)."""

    hospital_id: HospitalId
    address: str
    department: str | None
    fetch: bool
    conclusion: str | None
    codes: Sequence[Coding]
    deposit: bool
    code_file: Path | None
    save: Path | None
    patience_seconds: float
    receipt_seconds: float
    most_fetched_bytes: int
    until: float | None = None
    code_per_patient: bool = False
    amendment: str | None = None

    def require_usable(self, doctor_id: DoctorId) -> None:
        """Find out before the room opens what could fail only after the patient has acted. Raises BadParameter."""
        for code in self.codes:
            _require_signable(doctor_id, "codes", [code], "--code")
        if self.conclusion is not None:
            _require_signable(doctor_id, self.conclusion, self.codes, "--conclusion")
        if self.amendment is not None:
            _require_signable(doctor_id, self.amendment, self.codes, "--amend")
        if self.save is not None:
            require_empty(self.save, "--save")

    @property
    def seconds_left(self) -> float:
        """Return how long the next patient may be waited for."""
        return self.patience_seconds if self.until is None else max(0.0, self.until - time.monotonic())

    def of_patient(self, number: int) -> "Plan":
        """Return the plan of one of several visits: each is saved in a directory of its own."""
        return self if self.save is None else replace(self, save=self.save / f"{number:03}")


@dataclass
class Visit:
    """One visit at the doctor's terminal, in a room that is open."""

    client: DoctorClient
    doctor_id: DoctorId
    plan: Plan
    room: DoctorRoom
    records: list[FetchedRecord] = field(default_factory=list)
    chart: ToChart = field(default_factory=ToChart)
    has_begun: bool = False
    """Whether somebody came."""

    def run(self) -> None:
        """Run it. Raises what the client raises."""
        try:
            self._receive()
        finally:
            for record in self.records:
                record.close()

    def _receive(self) -> None:
        say("Waiting for the patient ...")
        consultation = self.client.await_patient(
            self.room, seconds=self.plan.seconds_left, on_refusal=_tell_refused, on_receipt=_tell_receipt
        )
        self.has_begun = True
        self._show_arrival(consultation)
        self._read_records(consultation)
        report = self._report(consultation, self.plan.conclusion)
        diagnosed = self._signed(report, partial(self.client.diagnose, self.room, consultation))
        undeposited = self._kept_and_received(diagnosed)
        while self._is_to_be_amended(diagnosed):
            report = self._report(consultation, self.plan.amendment, amends=diagnosed.diagnosis.diagnosis)
            diagnosed = self._signed(report, partial(self.client.amend, self.room, diagnosed))
            undeposited = self._kept_and_received(diagnosed)
        if undeposited is not None:
            raise undeposited

    def _show_arrival(self, consultation: InConsultation) -> None:
        patient_id = consultation.patient_id
        say(f"\n{arrival_words(consultation)}")
        with terminal.going_on("the biosignal"):
            say(f"  Biosignal: {describe_biosignal(consultation.biosignal, patient_id)}")
        grant = consultation.shown.claimed_grant
        if grant is None:
            say("  Consent: none beyond this visit")
        else:
            say("  Consent:")
            for line in grant_lines(grant, "the patient's"):
                say(f"    {line}")
        if self.plan.save is not None:
            with terminal.going_on("what was to be saved of the biosignal"):
                save_biosignal(self.plan.save, consultation.biosignal, patient_id)

    def _read_records(self, consultation: InConsultation) -> None:
        if not allows(consultation, RIGHT_INDEX):
            say("\nWithout consent to look for records, none is looked for.")
            return
        try:
            brought: list[Brought] = []
            locations = self.client.search(consultation, on_more=_tell_more, on_brought=brought.append)
        except FederationError as error:
            say(f"\nThe public cloud could not be asked where records are. {plain(error, in_visit=True)}")
            say("RECORDS FROM ELSEWHERE MAY BE MISSING; the visit goes on without them.")
            return
        for one in brought:
            say(f"\n{brought_words(one.as_of)}")
            tell_missing(one.missing)
        if not locations:
            say(
                "\nNo record of this patient is known yet."
                if not brought
                else "\nNo record of this patient can be had now."
            )
            return
        say(f"\n{counted(len(locations), 'record')} found:")
        for location in locations:
            say(f"  {location.department_id} at {location.address}")
        if not self.plan.fetch or not allows(consultation, RIGHT_READ):
            say("None is fetched.")
            return
        missing: Missing = {}
        fetch = partial(self.client.fetch, consultation)
        self.records.extend(fetched(fetch, locations, self.plan.most_fetched_bytes, missing))
        self.records = [record for record in self.records if self._is_shown(record)]
        self.chart.show()
        tell_missing(missing)

    def _is_shown(self, record: FetchedRecord) -> bool:
        """Show a record and save it. One that can't be shown is not read, and no diagnosis rests on it."""
        with terminal.going_on(f"a record from {record.hospital_id}"):
            show_record(record, self.chart, self.plan.save)
            return True
        record.close()
        return False

    def _is_to_be_amended(self, diagnosed: AwaitingReceipt) -> bool:
        """Ask whoever typed the conclusion; a script says it by --amend, once."""
        if self.plan.conclusion is not None:
            return self.plan.amendment is not None and not diagnosed.diagnosis.HasField("amends")
        if diagnosed.is_last or not terminal.is_answered():
            return False
        say("\nThe diagnosis is signed, and stays so. Another one can take its place.")
        return click.confirm("Amend it?", default=False)

    def _kept_and_received(self, diagnosed: AwaitingReceipt) -> Exception | None:
        """Deposit and await P6; return why the deposit failed if it did."""
        undeposited = self._deposit(diagnosed)
        try:
            self._await_receipt(diagnosed)
        except Exception:
            if undeposited is not None:
                raise undeposited from None
            raise
        return undeposited

    def _signed(
        self, report: bytes, send: Callable[[bytes, Sequence[FetchedRecord]], AwaitingReceipt]
    ) -> AwaitingReceipt:
        while True:
            try:
                diagnosed = send(report, self.records)
            except (Unavailable, Limit) as error:  # the room stays, and the same report again is the same message again
                say(f"\nNot sent. {plain(error)}")
                if not click.confirm("Send it again?", default=True):
                    raise
            except Authentication:
                say("\nNOT SENT: the patient has nothing of this diagnosis.")
                raise
            else:
                break
        say(f"\nSigned and sent to the patient: {summarise(report)}")
        return diagnosed

    def _report(self, consultation: InConsultation, conclusion: str | None, amends: bytes | None = None) -> bytes:
        """Return the report of the conclusion that was given, or that is typed: asked again until it can be signed."""
        if conclusion is None:
            say("\nCtrl-C, or the end of the input, gives the visit up.")
        while True:
            try:
                return report_of(
                    consultation.patient_id,
                    self.doctor_id,
                    typed_conclusion() if conclusion is None else conclusion,
                    self.plan.codes,
                    sources_of(self.records),
                    amends,
                )
            except ClinicalError as error:
                if conclusion is not None:
                    raise
                say(f"That can't be signed: {fault_of(error)}. The patient is still here.")

    def _deposit(self, diagnosed: AwaitingReceipt) -> Exception | None:
        """Deposit the encounter if asked to, and return why that failed if it did: told in the end, P6 is awaited first."""
        if not self.plan.deposit or self.plan.department is None:
            return None
        if not allows(diagnosed.consultation, RIGHT_WRITE):
            say("Without consent to keep this encounter, it is not deposited.")
            return None
        try:
            receipt = self._keep(diagnosed, self.plan.department)
        except EXPECTED as error:
            say(f"The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: {plain(error, in_visit=True)}")
            if isinstance(error, Unavailable | RecordCutShort):
                say("`medunion doctor deposit` tries again.")
            return error
        say(
            f"{self.plan.hospital_id} keeps this encounter as record {receipt.handle.hex()}, version {receipt.version}, "
            f"and has signed for it."
        )
        return None

    def _keep(self, diagnosed: AwaitingReceipt, department: str) -> DepositReceipt:
        plan = self.plan
        prepared = self.client.prepare_deposit(diagnosed, plan.hospital_id, plan.address, department)
        with terminal.sending(prepared.hospital_id, prepared.size_bytes) as on_sent:
            return self.client.deposit(prepared, on_sent)

    def _await_receipt(self, diagnosed: AwaitingReceipt) -> None:
        say("Waiting for the patient's receipt ...")
        receipt = self.client.await_receipt(self.room, diagnosed, seconds=self.plan.receipt_seconds)
        if receipt is None:
            say("No receipt yet; the patient fetches the diagnosis from the room within twelve hours.")
        else:
            say(f"The patient signed for the diagnosis at {local_time(receipt.sent_at)}.")


@dataclass
class Desk:
    """A doctor's desk: one patient, or one after the other in the same room or each in another."""

    client: DoctorClient
    doctor_id: DoctorId
    plan: Plan
    rooms: list[DoctorRoom] = field(default_factory=list)

    def run(self) -> None:
        """See one patient; with a time in the plan, all who come until then. Raises what the client raises."""
        try:
            if self.plan.until is None:
                Visit(self.client, self.doctor_id, self.plan, self._open()).run()
            else:
                self._see_all()
        finally:
            for room in self.rooms:
                self._close(room)

    def _see_all(self) -> None:
        """See one after the other. What goes wrong with one is told, and the next one's turn comes; then exit code 1."""
        number, failed = 0, False
        room: DoctorRoom | None = None
        while self.plan.seconds_left:
            room = room or self._open()
            number += 1
            visit = Visit(self.client, self.doctor_id, self.plan.of_patient(number), room)
            try:
                failed |= not self._saw(visit)
            except NoAnswer:
                break
            except NoSuchRoom:  # it lives for some hours only
                room = None
            else:
                room = None if self.plan.code_per_patient or room.is_worn else room
        say("\nNobody else is waited for.")
        if failed:
            raise click.exceptions.Exit(ExitCode.REFUSED)

    def _saw(self, visit: Visit) -> bool:
        """Return whether a visit went well. Raises what goes wrong before anybody came, Abort for no next patient."""
        try:
            visit.run()
        except EXPECTED as error:
            if not visit.has_begun:
                raise
            say(f"\nTHIS VISIT ENDED EARLY. {plain(error, in_visit=True)}")
            return False
        except click.Abort:
            say("\nThis visit is given up.")
            click.confirm("Wait for the next patient?", default=True, abort=True)
        return True

    def _open(self) -> DoctorRoom:
        room = self.client.open_room(self.plan.hospital_id, self.plan.address)
        self.rooms.append(room)
        self._show_code(room)
        return room

    def _show_code(self, room: DoctorRoom) -> None:
        code, whom = (
            str(room.code),
            "your patients" if self.plan.until and not self.plan.code_per_patient else "your patient",
        )
        say(f"\n{duty_words(room.duty)}.")
        say(f"Show this code to {whom} (or read it out); whoever has it may ask for you:\n")
        say(qr_code(code))
        say(f"{code}\n")
        say(f"The room is open until {local_time(room.expires_at)}.")
        if self.plan.code_file is not None:
            safefiles.replace(self.plan.code_file, code.encode() + b"\n")

    def _close(self, room: DoctorRoom) -> None:
        """Leave no room open that nobody needs; one that can't be closed now goes by itself."""
        if not room.is_needed:
            with suppress(FederationError, HsmError):
                self.client.close_room(room)


def typed_conclusion() -> str:
    """Ask for the conclusion. Raises NothingToSign for what is no text, Abort where the doctor gives up."""
    try:
        return str(click.prompt("Your conclusion"))
    except UnicodeDecodeError:
        raise NothingToSign("this is no text in the encoding of this terminal") from None


def _require_signable(doctor_id: DoctorId, conclusion: str, codes: Sequence[Coding], option: str) -> None:
    try:
        report_of(PatientId("P:nobody"), doctor_id, conclusion, codes, [Source(bytes(32), "H:nobody", 1)])
    except ClinicalError as error:
        raise click.BadParameter(fault_of(error), param_hint=option) from None


def _tell_more() -> None:
    say(f"\n{MORE_THAN_READ}")


def _tell_refused(reason: str) -> None:
    say(refused_words(reason))


def _tell_receipt(patient_id: str, receipt: DiagnosisReceipt) -> None:
    say(earlier_receipt_words(patient_id, receipt.sent_at))


def tell_missing(missing: Missing) -> None:
    """Say from which hospitals no records came, and why."""
    for hospital_id, fault in missing.items():
        say(f"\nRECORDS AT {hospital_id} ARE MISSING; the visit goes on without them. {plain(fault, in_visit=True)}")
