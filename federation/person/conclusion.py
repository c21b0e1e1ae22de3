"""The doctor's conclusion on its way to a report that can be signed: what was typed, and what is wrong with it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from federation.clinical.errors import ClinicalError, FhirInvalid
from federation.clinical.report import Coding, Source, diagnostic_report
from federation.person.records import FetchedRecord
from keystore.identities import DoctorId, PatientId

ICD_10 = "http://hl7.org/fhir/sid/icd-10"


class NothingToSign(ClinicalError):
    """A conclusion without a word in it, or one that is no text."""

    reason = "NOTHING_TO_SIGN"


class CodeUnreadable(ClinicalError):
    """What was typed as a coded diagnosis is none."""

    reason = "CODE_UNREADABLE"


def coding(text: str) -> Coding:
    """Read `I48.0=Paroxysmal atrial fibrillation`, or the same with a space, as an ICD-10 code. Raises CodeUnreadable."""
    code, separator, words = text.strip().partition("=" if "=" in text else " ")
    if not separator or not code.strip() or not words.strip():
        raise CodeUnreadable("a coded diagnosis is written as I48.0=Paroxysmal atrial fibrillation")
    return Coding(ICD_10, code, words.strip(" "))


def codings(text: str) -> list[Coding]:
    """Read one coded diagnosis a line; empty lines are none. Raises CodeUnreadable, which names the line."""
    return list(_codings(text))


def _codings(text: str) -> Iterator[Coding]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield coding(line)
            except CodeUnreadable as error:
                raise CodeUnreadable(f"line {number} of the codes: {error}") from None


def sources_of(records: Sequence[FetchedRecord]) -> list[Source]:
    """Return what a report says that it rests on."""
    return [Source(one.record_digest, one.hospital_id, len(one.manifest.records)) for one in records]


def report_of(
    patient_id: PatientId,
    doctor_id: DoctorId,
    conclusion: str,
    codes: Sequence[Coding],
    based_on: Sequence[Source],
    amends: bytes | None = None,
) -> bytes:
    """Return the report to sign, `amends` the one whose place it takes. Raises ClinicalError for what can't be one."""
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
            amends=amends,
        )
    except UnicodeEncodeError:  # bytes of the command line that were no text
        raise NothingToSign("this is no text in the encoding of this terminal") from None


def fault_of(error: ClinicalError) -> str:
    """Return what is wrong with a report of our own making."""
    return "; ".join(map(str, error.faults)) if isinstance(error, FhirInvalid) else str(error)
