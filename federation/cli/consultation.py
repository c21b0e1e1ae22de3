"""`medunion doctor consult`, as a story: what it shows, asks and sends, in the order of a visit."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.cli.groups import EXPECTED, sentence
from federation.cli.terminal import say
from federation.clinical.drawing import svg
from federation.clinical.ecg import describe_ecg, leads_from_observation, other_signals
from federation.clinical.errors import ClinicalError, FhirInvalid
from federation.clinical.fhir import load_resource, validate_bundle
from federation.clinical.identity import require_subject
from federation.clinical.report import Coding, Source, diagnostic_report, summarise
from federation.clinical.summary import Person
from federation.clinical.text import counted, listed, printable
from federation.errors import FederationError, Limit, RecordCutShort, Unavailable
from federation.person.doctor import DoctorClient, DoctorRoom
from federation.person.records import Allowance, FetchedRecord
from federation.protocol.consultation import AwaitingReceipt, InConsultation
from federation.protocol.search import RecordLocation
from federation.protocol.statements import RIGHT_NAMES
from federation.store.errors import StoreError
from federation.v1.record_pb2 import PART_KIND_FHIR_BUNDLE, DepositReceipt, RecordEntry, RecordPart
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE, Right
from hsm.errors import HsmError
from keystore.identities import DoctorId, HospitalId, PatientId


@dataclass(frozen=True)
class Plan:
    """What the command line asks of one visit."""

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

    def require_usable(self, doctor_id: DoctorId) -> None:
        """Find out before the room opens what could fail only after the patient has acted. Raises BadParameter."""
        for code in self.codes:
            _require_signable(doctor_id, "codes", [code], "--code")
        if self.conclusion is not None:
            _require_signable(doctor_id, self.conclusion, self.codes, "--conclusion")
        if self.save is not None:
            _require_empty(self.save)


@dataclass
class Visit:
    """One visit at the doctor's terminal."""

    client: DoctorClient
    doctor_id: DoctorId
    plan: Plan
    records: list[FetchedRecord] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    is_owed: bool = False
    """Whether a diagnosis lies in the room that the patient has not signed for yet."""

    def run(self) -> None:
        """Run it. Raises what the client raises."""
        room = self.client.open_room(self.plan.hospital_id, self.plan.address)
        try:
            self._receive(room)
        finally:
            for record in self.records:
                record.close()
            if not self.is_owed:
                self._close(room)

    def _receive(self, room: DoctorRoom) -> None:
        self._show_code(room)
        consultation = self.client.await_patient(
            room,
            seconds=self.plan.patience_seconds,
            on_refusal=lambda reason: say(f"Somebody was refused ({reason}); still waiting."),
        )
        self._show_arrival(consultation)
        self._read_records(consultation)
        diagnosed = self._diagnose(room, consultation)
        self.is_owed = True
        undeposited = self._deposit(diagnosed)
        try:
            self._await_receipt(room, diagnosed)
        finally:
            if undeposited is not None:
                raise undeposited

    def _show_code(self, room: DoctorRoom) -> None:
        code = str(room.code)
        say("Show this code to your patient (or read it out); whoever has it may ask for you:\n")
        say(terminal.qr(code))
        say(f"{code}\n")
        say(f"The room is open until {terminal.moment(room.expires_at)}. Waiting for the patient ...")
        if self.plan.code_file is not None:
            safefiles.replace(self.plan.code_file, code.encode() + b"\n")

    def _show_arrival(self, consultation: InConsultation) -> None:
        patient_id = consultation.patient.identity
        say(f"\n{patient_id} is here; both sides have proved who they are.")
        with terminal.going_on("the biosignal"):
            say(f"  Biosignal: {describe_biosignal(consultation.biosignal, patient_id)}")
        say(f"  Consent: {describe_consent(consultation)}")
        if self.plan.save is not None:
            with terminal.going_on("what was to be saved of the biosignal"):
                save_biosignal(self.plan.save, consultation)

    def _read_records(self, consultation: InConsultation) -> None:
        if not allows(consultation, RIGHT_INDEX):
            say("\nWithout consent to look for records, none is looked for.")
            return
        try:
            locations = self.client.search(consultation, on_more=_tell_more)
        except FederationError as error:
            say(f"\nThe public cloud could not be asked where records are. {terminal.plain(error)}")
            say("RECORDS FROM ELSEWHERE MAY BE MISSING; the visit goes on without them.")
            return
        if not locations:
            say("\nNo record of this patient is known yet.")
            return
        say(f"\n{counted(len(locations), 'record')} found:")
        for location in locations:
            say(f"  {location.department_id} at {location.address}")
        if not self.plan.fetch or not allows(consultation, RIGHT_READ):
            say("None is fetched.")
            return
        missing = self._fetch(consultation, locations)
        self.records = [record for record in self.records if self._is_shown(record)]
        if caution := describe_people(self.people):
            say(caution)
        for hospital_id, fault in missing.items():
            say(f"\nRECORDS AT {hospital_id} ARE MISSING; the visit goes on without them. {terminal.plain(fault)}")

    def _is_shown(self, record: FetchedRecord) -> bool:
        """Show a record and save it. One that can't be shown is not read, and no diagnosis rests on it."""
        with terminal.going_on(f"a record from {record.hospital_id}"):
            self.people += show_record(record, self.plan.save)
            return True
        record.close()
        return False

    def _fetch(
        self, consultation: InConsultation, locations: Sequence[RecordLocation]
    ) -> dict[str, FederationError | StoreError]:
        """Fetch from one hospital after the other, and return why it failed where it did: one that is down stops no other."""
        missing: dict[str, FederationError | StoreError] = {}
        allowance = Allowance(self.plan.most_fetched_bytes)
        with terminal.transfer("fetching from") as progress:
            for hospital_id, there in groupby(sorted(locations, key=_hospital_of), _hospital_of):
                try:
                    for record in self.client.fetch(consultation, list(there), progress, allowance):
                        self.records.append(record)
                except (FederationError, StoreError) as error:
                    missing[hospital_id] = error
        return missing

    def _diagnose(self, room: DoctorRoom, consultation: InConsultation) -> AwaitingReceipt:
        report = self._report(consultation)
        while True:
            try:
                diagnosed = self.client.diagnose(room, consultation, report, self.records)
            except (Unavailable, Limit) as error:  # the room stays, and the same report again is the same message again
                say(f"\nNot sent. {terminal.plain(error)}")
                if not click.confirm("Send it again?", default=True):
                    raise
            else:
                break
        say(f"\nSigned and sent to the patient: {summarise(report)}")
        return diagnosed

    def _report(self, consultation: InConsultation) -> bytes:
        """Return the report of the conclusion that was given, or that is typed: asked again until it can be signed."""
        conclusion = self.plan.conclusion
        if conclusion is None:
            say("\nCtrl-C, or the end of the input, gives the visit up.")
        while True:
            try:
                return report_of(
                    consultation.patient_id,
                    self.doctor_id,
                    typed_conclusion() if conclusion is None else conclusion,
                    self.plan.codes,
                    [
                        Source(record.record_digest, record.hospital_id, len(record.manifest.records))
                        for record in self.records
                    ],
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
            say(f"The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: {terminal.plain(error)}")
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
        return self.client.deposit(self.client.prepare_deposit(diagnosed, plan.hospital_id, plan.address, department))

    def _await_receipt(self, room: DoctorRoom, diagnosed: AwaitingReceipt) -> None:
        say("Waiting for the patient's receipt ...")
        receipt = self.client.await_receipt(room, diagnosed, seconds=self.plan.receipt_seconds)
        if receipt is None:
            say("No receipt yet; the patient fetches the diagnosis from the room within twelve hours.")
        else:
            self.is_owed = False
            say(f"The patient signed for the diagnosis at {terminal.moment(receipt.sent_at)}.")

    def _close(self, room: DoctorRoom) -> None:
        """Leave no room open that nobody needs; one that can't be closed now goes by itself."""
        with suppress(FederationError, HsmError):
            self.client.close_room(room)


class NothingToSign(ClinicalError):
    """A conclusion without a word in it, or one that is no text."""

    reason = "NOTHING_TO_SIGN"


def typed_conclusion() -> str:
    """Ask for the conclusion. Raises NothingToSign for what is no text, Abort where the doctor gives up."""
    try:
        return str(click.prompt("Your conclusion"))
    except UnicodeDecodeError:
        raise NothingToSign("this is no text in the encoding of this terminal") from None


def report_of(
    patient_id: PatientId, doctor_id: DoctorId, conclusion: str, codes: Sequence[Coding], based_on: Sequence[Source]
) -> bytes:
    """Return the report to sign. Raises ClinicalError for what can't be one."""
    if not conclusion.strip():
        raise NothingToSign("the conclusion is empty")
    try:
        return diagnostic_report(
            patient_id=patient_id,
            doctor_id=doctor_id,
            conclusion=conclusion,
            codes=codes,
            issued=datetime.now(UTC),
            based_on=based_on,
        )
    except UnicodeEncodeError:  # bytes of the command line that were no text
        raise NothingToSign("this is no text in the encoding of this terminal") from None


def fault_of(error: ClinicalError) -> str:
    """Return what is wrong with a report of our own making."""
    return "; ".join(map(str, error.faults)) if isinstance(error, FhirInvalid) else str(error)


def _require_signable(doctor_id: DoctorId, conclusion: str, codes: Sequence[Coding], option: str) -> None:
    try:
        report_of(PatientId("P:nobody"), doctor_id, conclusion, codes, [Source(bytes(32), "H:nobody", 1)])
    except ClinicalError as error:
        raise click.BadParameter(fault_of(error), param_hint=option) from None


def _require_empty(save: Path) -> None:
    """Make the directory, and require that nothing lies there yet: no file of an earlier visit is mixed with this one's."""
    try:
        safefiles.make_directory(save)
        is_empty, is_writable = not any(save.iterdir()), os.access(save, os.W_OK | os.X_OK)
    except OSError as error:
        raise click.BadParameter(sentence(error), param_hint="--save") from None
    if not is_writable:
        raise click.BadParameter(f"nothing can be written to {save}", param_hint="--save")
    if not is_empty:
        raise click.BadParameter(f"{save} is not empty; name another directory for this visit", param_hint="--save")


def _tell_more(pages: int) -> None:
    say(f"\nThe public cloud knows of more records than are read: {pages} pages more. SOME RECORDS ARE MISSING.")


def _hospital_of(location: RecordLocation) -> str:
    return location.hospital.identity


def allows(consultation: InConsultation, right: "Right.ValueType") -> bool:
    """Return whether the patient's grant holds a right; servers decide this for themselves."""
    grant = consultation.shown.claimed_grant
    return grant is not None and right in grant.rights


def describe_biosignal(biosignal: bytes, patient_id: str) -> str:
    """Return in words what a biosignal is, and whether it is this patient's."""
    try:
        observation = load_resource(biosignal, "Observation")
        require_subject(observation, patient_id)
    except ClinicalError as error:
        return f"{terminal.size(len(biosignal))}, which is no usable Observation ({error.reason})"
    with suppress(ClinicalError):
        ecg = describe_ecg(leads_from_observation(biosignal), other_signals(biosignal))
        return f"{ecg}, {terminal.size(len(biosignal))}"
    return f"an Observation of {terminal.size(len(biosignal))}"


def describe_consent(consultation: InConsultation) -> str:
    """Return in words what the patient consents to."""
    grant = consultation.shown.claimed_grant
    if grant is None:
        return "none beyond this visit"
    rights = ", ".join(RIGHT_NAMES[right] for right in grant.rights)
    hospitals, classes = ", ".join(grant.hospitals), ", ".join(grant.department_classes)
    until = terminal.moment(grant.validity.not_after)
    return f"{rights}; hospitals {hospitals}; departments {classes}; until {until}"


def show_record(record: FetchedRecord, save: Path | None) -> list[Person]:
    """Say what a record holds, and save its parts if asked; return the people in it."""
    people: list[Person] = []
    say(
        f"\nFrom {record.hospital_id}, {terminal.size(record.size_bytes)}, signed {terminal.moment(record.end.sent_at)}:"
    )
    for number, (entry, part, content) in enumerate(record.parts(), start=1):
        corrected = f", corrected (version {entry.version})" if entry.version > 1 else ""
        stored = f"stored {terminal.moment(entry.stored_at)}{corrected}"
        heading = f"  {entry.department_id}, {stored}: {printable(part.name, 80)}"
        if part.kind == PART_KIND_FHIR_BUNDLE:
            data = b"".join(content)
            words, held = describe_bundle(data, record.manifest.patient_id)
            say(f"{heading}, {terminal.size(part.size_bytes)}\n{words}")
            people += held
            pieces = [data]
        else:
            say(f"{heading}, {printable(part.media_type, 60)}, {terminal.size(part.size_bytes)}")
            pieces = content  # type: ignore[assignment] # an attachment is written as it is read
        if save is not None:
            safefiles.make_directory(save)
            terminal.write_new(save / part_name(record, entry, part, number), pieces)
    return people


def describe_bundle(data: bytes, patient_id: str) -> tuple[str, Sequence[Person]]:
    """Return in words what a FHIR bundle in this patient's record holds and whether it is of somebody else; and of whom."""
    try:
        summary = validate_bundle(data)
    except ClinicalError as error:
        return f"    not readable as FHIR R4 ({error.reason})", ()
    warned = (f"    CAUTION: it {warning}" for warning in summary.warnings(patient_id))
    return "\n".join([f"    {summary.words()}", *warned]), summary.people


def describe_people(people: Sequence[Person]) -> str:
    """Return that the records of one visit are of several people by name and birth date, if they are."""
    named = list(dict.fromkeys(map(str, people)))
    if len(named) < 2:
        return ""
    return f"\nCAUTION: the records are of {len(named)} people by their names: {listed(named, '; ')}."


def save_biosignal(directory: Path, consultation: InConsultation) -> None:
    """Save the biosignal, and its drawing where it is an ECG."""
    safefiles.make_directory(directory)
    terminal.write_new(directory / "biosignal.json", consultation.biosignal)
    with suppress(ClinicalError):
        drawing = svg(leads_from_observation(consultation.biosignal), lines=[consultation.patient.identity])
        terminal.write_new(directory / "ecg.svg", drawing.encode())


def part_name(record: FetchedRecord, entry: RecordEntry, part: RecordPart, number: int) -> str:
    """Return a file name for a part: ours, so that no name from a hospital chooses where we write."""
    ending = "".join(char for char in Path(part.name).suffix if char.isascii() and char.isalnum())[:8] or "bin"
    return f"{record.hospital_id[2:]}-{entry.handle.hex()[:8]}-v{entry.version}-{number:03}.{ending}"
