"""The deposit of a consultation at the hospital where the doctor is on duty, which a retry finishes, not repeats (X11)."""

import time
from dataclasses import dataclass
from pathlib import Path

from federation.errors import (
    Authorization,
    BudgetExhausted,
    DutyExpired,
    DutyMissing,
    FederationError,
    GrantMissing,
    RecordCutShort,
    Rejected,
    StaleMessage,
    Unavailable,
)
from federation.party.member import Member
from federation.person.duties import Duties
from federation.person.hospital_session import OnSent, SessionOpener, address_hospital, say_nothing
from federation.person.sealed_files import SealedFiles
from federation.protocol import exhibits
from federation.protocol.consultation import AwaitingReceipt
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.protocol.verifier import Peer
from federation.v1.access_pb2 import ShownDuty
from federation.v1.record_pb2 import PURPOSE_STORE, Deposit, DepositReceipt, Scope
from keystore.identities import HospitalId
from keystore.transcript import LENGTH_BYTES, digest, frame

ATTEMPTS = 4
PAUSE_SECONDS = 1.0

DEPOSIT = "deposit"
"""What these files are called in their seals."""


@dataclass(frozen=True, repr=False)
class PreparedDeposit:
    """An encounter to deposit. It is kept until there is a receipt: the same deposit again gets the same receipt."""

    address: str
    hospital_id: HospitalId
    deposit: Deposit
    biosignal: bytes
    diagnosis: bytes

    @property
    def size_bytes(self) -> int:
        """Return how much is sent."""
        return len(self.biosignal) + len(self.diagnosis)

    @property
    def intent(self) -> Intent:
        """Return what the session of the deposit is for."""
        return Intent(Shown.of(self.deposit), self.deposit.scope, self.deposit.blind)

    def to_bytes(self) -> bytes:
        """Write it, to be sealed under the token's key."""
        deposit = self.deposit.SerializeToString(deterministic=True)
        place = self.address.encode(), self.hospital_id.encode()
        return b"".join(map(frame, (*place, deposit, self.biosignal, self.diagnosis)))

    @classmethod
    def from_bytes(cls, content: bytes) -> "PreparedDeposit":
        """Read what `to_bytes` wrote."""
        address, hospital_id, serialised, biosignal, diagnosis = _unframed(content)
        deposit = Deposit.FromString(serialised)
        return cls(address.decode(), HospitalId(hospital_id.decode()), deposit, biosignal, diagnosis)


class DepositStore:
    """Deposits without a receipt yet, kept through an end of the program."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep them in this directory."""
        self._files = SealedFiles(directory, member, DEPOSIT)

    def put(self, prepared: PreparedDeposit) -> None:
        """Keep it until there is a receipt."""
        self._files.put(prepared.deposit.blind, prepared.to_bytes())

    def remove(self, prepared: PreparedDeposit) -> None:
        """Forget it."""
        self._files.remove(prepared.deposit.blind)

    def all(self) -> list[PreparedDeposit]:
        """Return those that wait."""
        return [PreparedDeposit.from_bytes(content) for _, content in self._files.all()]

    def amended_by(self, prepared: PreparedDeposit) -> PreparedDeposit | None:
        """Return the one that waits and whose diagnosis this one's amends, if there is one."""
        amends = prepared.deposit.amends
        return next((one for one in self.all() if digest(one.deposit.diagnosis_signature) == amends), None)


def prepare_deposit(
    diagnosed: AwaitingReceipt,
    address: str,
    hospital_id: HospitalId,
    duty: ShownDuty,
    department_class: str,
    blind: bytes,
    *,
    now: int,
) -> PreparedDeposit:
    """Put STO together: what the patient and the doctor signed in the consultation, and the doctor's duty there.

    Raises GrantMissing.
    """
    consultation, delivery = diagnosed.consultation, diagnosed.diagnosis
    consent = consultation.shown.consent
    if consent is None:
        raise GrantMissing("The patient gave no consent to keep this encounter.")
    biosignal = consultation.delivery
    deposit = Deposit(
        patient_id=consultation.patient_id,
        doctor_id=consultation.session.own.identity,
        sent_at=now,
        blind=blind,
        scope=Scope(purpose=PURPOSE_STORE, department_class=department_class),
        access=Shown.by_consent(consent, consultation.patient_id, duty).access,
        consultation_digest=consultation.session.transcript_hash,
        biosignal_size_bytes=len(consultation.biosignal),
        biosignal_digest=biosignal.biosignal_digest,
        biosignal_sent_at=biosignal.sent_at,
        biosignal_signature=biosignal.signature,
        diagnosis_size_bytes=len(delivery.diagnosis),
        diagnosis_digest=digest(delivery.diagnosis),
        based_on=delivery.based_on,
        diagnosis_sent_at=delivery.sent_at,
        diagnosis_signature=delivery.signature,
        amends=delivery.amends or None,
    )
    return PreparedDeposit(address, hospital_id, deposit, consultation.biosignal, delivery.diagnosis)


def send_deposit(
    opener: SessionOpener,
    store: DepositStore,
    duties: Duties,
    prepared: PreparedDeposit,
    on_sent: OnSent = say_nothing,
) -> DepositReceipt:
    """Deposit, again if the session is lost. Raises Authorization, NotFound, Rejected, Unavailable after some attempts.

    A deposit that the hospital did not keep and that has grown stale gets a new T, and one whose duty is over the duty of
    now, as does one whose hospital has registered anew since; one that it kept is answered by its digest.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            receipt = _send_once(opener, prepared, on_sent)
        except (StaleMessage, DutyMissing, DutyExpired, Rejected, Unavailable, RecordCutShort) as error:
            if attempt == ATTEMPTS or (isinstance(error, Rejected) and duties.holds(_duty(prepared))):
                raise
            _mend(error, opener, duties, prepared, attempt)
            store.put(prepared)
        except Authorization as error:
            if not isinstance(error, BudgetExhausted):  # else it may be kept tomorrow
                store.remove(prepared)  # the grant does not allow it, and never will again
            raise
        else:
            store.remove(prepared)
            return receipt
    raise AssertionError  # the last attempt returned or raised


def _mend(
    error: FederationError, opener: SessionOpener, duties: Duties, prepared: PreparedDeposit, attempt: int
) -> None:
    """Do what the next attempt needs. Raises NotOnDuty: then it waits until the doctor is on duty there again."""
    match error:
        case StaleMessage():
            prepared.deposit.sent_at = opener.clock()
        case DutyMissing() | DutyExpired() | Rejected():
            duties.ask(prepared.hospital_id, prepared.address)
            _duty(prepared).CopyFrom(duties.at_hand(prepared.hospital_id, prepared.address))
        case _:
            time.sleep(max(PAUSE_SECONDS * attempt, error.retry_after.total_seconds()))


def _duty(prepared: PreparedDeposit) -> ShownDuty:
    return prepared.deposit.access.consent.duty


def _send_once(opener: SessionOpener, prepared: PreparedDeposit, on_sent: OnSent) -> DepositReceipt:
    hospital = _hospital(opener, prepared)
    with opener.open(prepared.address, hospital, prepared.intent) as (stream, established):
        awaiting, frames = established.deposit(prepared.biosignal, prepared.diagnosis, prepared.deposit)
        stream.on_sent = on_sent
        for frame in frames:
            opener.sent("STO", stream, prepared.hospital_id, frame)
        answer = opener.received("STOACK", stream, prepared.hospital_id)
        receipt, signed = awaiting.receive(answer, now=opener.clock())
    exhibit = exhibits.of_deposit(signed, hospital.party, prepared.deposit)
    opener.book.keep(exhibit, receipt.handle, now=opener.clock())
    return receipt


def _hospital(opener: SessionOpener, prepared: PreparedDeposit) -> Peer:
    channel = opener.connect(prepared.address, prepared.hospital_id)
    return address_hospital(channel, prepared.hospital_id, opener.member, now=opener.clock())


def _unframed(content: bytes) -> list[bytes]:
    fields, place = [], 0
    while place < len(content):
        begin = place + LENGTH_BYTES
        place = begin + int.from_bytes(content[place:begin], "big")
        fields.append(content[begin:place])
    return fields
