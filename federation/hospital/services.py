"""What a hospital's services work with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from federation.clock import Clock
from federation.errors import DepartmentForeign
from federation.hospital.retention import Retention
from federation.hospital.vault import Vault
from federation.party.audit import Audit
from federation.party.budgets import ServerBudgets
from federation.party.log_heads import OwnLog
from federation.party.member import Member
from federation.party.restrictions import RestrictionBook
from federation.party.witness import Witness
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant
from federation.store.emergencies import Emergencies
from federation.store.guardianships import Guardianships
from federation.store.party import Evidence, ReplayMemory, Settings
from federation.store.records import OutboxEntries, Records, RecordsAdministration
from federation.store.rooms import Rooms
from federation.store.roster import Shifts
from federation.store.rows import StoredStatement
from keystore.identities import DepartmentId, HospitalId, class_of
from keystore.keyring import Sealing
from remembered import Memory


@dataclass(frozen=True)
class Stores:
    """A hospital's stores beside its vault."""

    settings: Settings
    replay: ReplayMemory
    records: Records
    outbox: OutboxEntries
    administration: RecordsAdministration
    rooms: Rooms
    evidence: Evidence
    shifts: Shifts
    guardianships: Guardianships
    emergencies: Emergencies


ROOM_DOCTORS = "doctors of rooms"
"""What is remembered of them (remembered.py)."""


@dataclass(frozen=True)
class Held:
    """That a chain of statements held at a moment, and until when nothing in it ends."""

    at: Instant
    until: Instant

    def contains(self, now: Instant) -> bool:
        """Return whether it holds now still. Before that moment it may not have begun: a clock may be set back."""
        return self.at <= now < self.until


Exactly = tuple[StoredStatement, bytes, int, int]
"""KS_D and Cert_D, byte for byte, and the numbers of the list and the bundle by which they held."""


@dataclass(frozen=True)
class Hospital:
    """One hospital. `departments` are ID_DEs; a deposit goes to the first of the class that it names.

    `most_relay_bytes` is what all rooms of the relay hold together. `stand_by` has all that is logged by now cosigned, and says
    whether a witness has in time; only a server has it.
    """

    member: Member
    sealing: Sealing
    vault: Vault
    stores: Stores
    audit: Audit
    restrictions: RestrictionBook
    departments: tuple[DepartmentId, ...]
    clock: Clock
    entropy: Entropy
    retention: Retention
    most_relay_bytes: int
    emergency: EmergencyPolicy | None
    budgets: ServerBudgets
    own_log: OwnLog
    witness: Witness
    stand_by: Callable[[], bool] | None = field(default=None, repr=False, compare=False)
    room_doctors: Memory[Exactly, Held] = field(default_factory=lambda: Memory(ROOM_DOCTORS), repr=False, compare=False)

    @property
    def identity(self) -> HospitalId:
        """Return ID_HPC."""
        return self.member.hospital_id

    def department_of(self, department_class: str) -> DepartmentId:
        """Return the department that takes deposits of a class. Raises DepartmentForeign."""
        for department_id in self.departments:
            if class_of(department_id) == department_class:
                return department_id
        raise DepartmentForeign(f"{self.identity} has no department of the class {department_class}")  # STO.19, OWN.18

    def require_department(self, department_id: DepartmentId) -> DepartmentId:
        """Return the department if it is this hospital's. Raises DepartmentForeign."""
        if department_id not in self.departments:
            raise DepartmentForeign(f"{department_id} is no department of {self.identity}")
        return department_id
