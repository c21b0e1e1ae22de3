"""Emergencies that a doctor declares: records are found and read without the patient's consent, as each receiver's policy says.

H(note) goes out with the emergency; the note stays here, sealed, for whoever reviews it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from federation.errors import EmergencyExpired, EmergencyInvalid, FieldInvalid
from federation.party.member import Member
from federation.person.duties import Duties
from federation.person.errors import WrongFile
from federation.person.finding import OnMore, RecordFinder
from federation.person.records import Allowance, FetchedRecord, Progress, RecordFetcher
from federation.person.sealed_files import SealedFiles
from federation.protocol.consent import Declaration, make_emergency, second
from federation.protocol.identities import require_identity
from federation.protocol.parsing import parse
from federation.protocol.parties import Entropy
from federation.protocol.search import RecordLocation
from federation.protocol.shown import Shown
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.v1.access_pb2 import DeclaredEmergency
from federation.v1.statement_pb2 import Emergency
from keystore.identities import ANY, HospitalId, PatientId
from keystore.transcript import LENGTH_BYTES, frame

EMERGENCY = "emergency"
"""What these files are called in their seals."""

MOST_NOTE = 4_000
"""Characters of a note."""

MOST_FILE_BYTES = 32 * 1024


@dataclass(frozen=True)
class Declared:
    """An emergency that was declared: what is shown, and what it says, unverified."""

    shown: DeclaredEmergency
    statement: Emergency

    @classmethod
    def of(cls, shown: DeclaredEmergency) -> "Declared":
        """Read what is shown. Raises MalformedMessage."""
        return cls(shown, peek_statement(Emergency, shown.emergency))

    @classmethod
    def read(cls, path: Path) -> "Declared":
        """Read a file that `to_bytes` was written to. Raises MalformedMessage, WrongFile, OSError."""
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
        if len(content) > MOST_FILE_BYTES:
            raise WrongFile(f"{path} is larger than an emergency can be.")
        return cls.from_bytes(content)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Declared":
        """Read what `to_bytes` wrote. Raises MalformedMessage."""
        return cls.of(parse(DeclaredEmergency, content))

    def to_bytes(self) -> bytes:
        """Write it for a colleague. It holds no secret, and names the patient."""
        return self.shown.SerializeToString(deterministic=True)

    @property
    def patient_id(self) -> PatientId:
        """Return whose records it is about."""
        return PatientId(self.statement.patient_id)

    @property
    def second_doctor_id(self) -> str | None:
        """Return whose signature it needs beside its doctor's, if it names anybody."""
        return self.statement.second_doctor_id if self.statement.HasField("second_doctor_id") else None


class DoctorEmergencies:
    """What one doctor declares and seconds, and what it reads by that."""

    def __init__(
        self,
        member: Member,
        duties: Duties,
        finder: RecordFinder,
        fetcher: RecordFetcher,
        directory: Path,
        refreshed: Callable[[], Instant],
        entropy: Entropy,
    ) -> None:
        """Keep notes in this directory; `refreshed` brings lists up to date, and says now."""
        self._member = member
        self._duties = duties
        self._finder = finder
        self._fetcher = fetcher
        self._files = SealedFiles(directory, member, EMERGENCY)
        self._refreshed = refreshed
        self._entropy = entropy

    def declare(self, declaration: Declaration, hospital_id: HospitalId, address: str) -> Declared:
        """Sign an emergency, with the duty of now at the doctor's hospital; its note is kept before it is given.

        Raises FieldInvalid for what it can't say, EmergencyInvalid for oneself as the second, NotOnDuty, Unavailable.
        """
        require_identity("patient", declaration.patient_id)
        if declaration.hospital != ANY:
            require_identity("hospital", declaration.hospital)
        if declaration.second_doctor_id is not None:
            require_identity("doctor", declaration.second_doctor_id)
        if declaration.second_doctor_id == self._member.identity:
            raise EmergencyInvalid("the second clinician is another than the first")
        if not declaration.note.strip() or len(declaration.note) > MOST_NOTE:
            raise FieldInvalid(f"an emergency takes a note, of at most {MOST_NOTE} characters")
        now = self._refreshed()
        self._duties.ask(hospital_id, address)
        duty = self._duties.at_hand(hospital_id, address)
        signed = make_emergency(self._member.party(now), declaration, now=now, entropy=self._entropy)
        declared = Declared.of(DeclaredEmergency(emergency=signed, duty=duty))
        content = frame(declared.to_bytes()) + frame(declaration.note.encode())
        self._files.put(declared.statement.emergency_id, content)
        return declared

    def second(self, declared: Declared) -> Declared:
        """Sign a colleague's emergency that names this doctor. Raises EmergencyInvalid, EmergencyExpired."""
        now = self._refreshed()
        if declared.second_doctor_id != self._member.identity:
            raise EmergencyInvalid("the emergency does not name you as its second clinician")
        if declared.statement.doctor_id == self._member.identity:
            raise EmergencyInvalid("nobody seconds an emergency of its own")
        _require_current(declared, now)
        shown = DeclaredEmergency()
        shown.CopyFrom(declared.shown)
        shown.second.CopyFrom(second(declared.shown.emergency, self._member.party(now)))
        return replace(declared, shown=shown)

    def find(self, declared: Declared, on_more: OnMore) -> list[RecordLocation]:
        """Ask the public cloud where the patient's records are. Raises EmergencyInvalid, EmergencyExpired, Authorization."""
        self._require_own(declared)
        shown = Shown.in_emergency(declared.patient_id, declared.shown)
        return self._finder.find(shown, [ANY], declared.statement.emergency_id, on_more)

    def fetch(
        self, declared: Declared, locations: Sequence[RecordLocation], progress: Progress, allowance: Allowance
    ) -> Iterator[FetchedRecord]:
        """Fetch the records at these locations; each is whole and verified when it comes. Close each after use."""
        self._require_own(declared)
        shown = Shown.in_emergency(declared.patient_id, declared.shown)
        return self._fetcher.fetch(shown, locations, progress, allowance)

    def fetch_directly(
        self, declared: Declared, hospital_id: HospitalId, address: str, progress: Progress, allowance: Allowance
    ) -> FetchedRecord:
        """Fetch what a hospital has of the patient by asking it itself: for where the public cloud does not answer.

        Raises NoSuchRecord where it has nothing, and as `fetch`.
        """
        self._require_own(declared)
        shown = Shown.in_emergency(declared.patient_id, declared.shown)
        return self._fetcher.fetch_directly(shown, hospital_id, address, progress, allowance)

    def kept(self) -> list[tuple[Declared, str]]:
        """Return the emergencies that this doctor declared, each with its note, the oldest first."""
        found = [_read(content) for _, content in self._files.all()]
        return sorted(found, key=lambda it: it[0].statement.not_before)

    def _require_own(self, declared: Declared) -> None:
        now = self._refreshed()
        if declared.statement.doctor_id != self._member.identity:
            raise EmergencyInvalid("the emergency is another doctor's")
        if declared.second_doctor_id is not None and not declared.shown.HasField("second"):
            raise EmergencyInvalid(f"the emergency waits for the signature of {declared.second_doctor_id}")
        _require_current(declared, now)


def _require_current(declared: Declared, now: Instant) -> None:
    if now >= declared.statement.not_after:
        raise EmergencyExpired("the hour of the emergency is over")


def _read(content: bytes) -> tuple[Declared, str]:
    size = int.from_bytes(content[:LENGTH_BYTES], "big")
    shown = DeclaredEmergency.FromString(content[LENGTH_BYTES : LENGTH_BYTES + size])
    return Declared.of(shown), content[2 * LENGTH_BYTES + size :].decode()
