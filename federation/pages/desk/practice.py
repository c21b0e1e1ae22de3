"""What stays the same at a desk while patients come and go: the client, where the doctor is on duty, what waits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federation.clock import Clock
from federation.person.deposits import PreparedDeposit
from federation.person.doctor import DoctorClient
from federation.person.drafts import Draft, DraftStore
from federation.words import EXPECTED, plain
from keystore.identities import DoctorId, HospitalId


@dataclass(frozen=True, repr=False)
class Practice:
    """One doctor at one hospital. Its client is the worker's; `say` tells the terminal."""

    client: DoctorClient
    drafts: DraftStore
    doctor_id: DoctorId
    hospital_id: HospitalId
    address: str
    department: str | None
    """The department class under which encounters are kept, unless the doctor chooses another."""
    published: Sequence[str]
    """The department classes of the federation."""
    most_fetched_bytes: int
    clock: Clock
    say: Callable[[str], None]


@dataclass(frozen=True)
class WaitingDeposit:
    """An encounter for which no hospital has signed yet."""

    key: str
    hospital_id: str
    patient_id: str
    department: str
    diagnosed_at: int


@dataclass(frozen=True)
class BegunDraft:
    """A conclusion that was begun in a visit that ended without it."""

    key: str
    draft: Draft


@dataclass(frozen=True)
class Shelf:
    """What lies at the desk from earlier visits, of earlier runs of the program too."""

    deposits: tuple[WaitingDeposit, ...] = ()
    drafts: tuple[BegunDraft, ...] = ()

    @classmethod
    def of(cls, practice: Practice, *, but: bytes = b"") -> "Shelf":
        """Look what lies there, aside from the draft of one session; in the worker."""
        return cls(
            tuple(map(_waiting, practice.client.waiting_deposits())),
            tuple(
                BegunDraft(session_id.hex(), draft)
                for session_id, draft in practice.drafts.all().items()
                if session_id != but
            ),
        )


@dataclass(frozen=True)
class Told:
    """Something that a person is told once, on top of the next page. `kind` is "bad", "warn" or "ok"."""

    kind: str
    words: str


def send_waiting(practice: Practice, keys: Sequence[str]) -> tuple[Told, ...]:
    """Send these deposits again; what a hospital has already it does not keep twice. Return what a person is told."""
    return tuple(_send(practice, one) for one in practice.client.waiting_deposits() if key_of(one) in keys)


def key_of(prepared: PreparedDeposit) -> str:
    """Return the name of a waiting deposit at the desk."""
    return prepared.deposit.blind.hex()


def _send(practice: Practice, prepared: PreparedDeposit) -> Told:
    patient_id = prepared.deposit.patient_id
    try:
        receipt = practice.client.deposit(prepared)
    except EXPECTED as error:
        return Told("bad", f"{prepared.hospital_id} did not take the encounter of {patient_id}. {plain(error)}")
    kept = f"keeps the encounter of {patient_id} as record {receipt.handle.hex()} and has signed for it."
    return Told("ok", f"{prepared.hospital_id} {kept}")


def _waiting(prepared: PreparedDeposit) -> WaitingDeposit:
    deposit = prepared.deposit
    return WaitingDeposit(
        key_of(prepared),
        prepared.hospital_id,
        deposit.patient_id,
        deposit.scope.department_class,
        deposit.diagnosis_sent_at,
    )
