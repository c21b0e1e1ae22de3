"""What a hospital's services work with."""

from dataclasses import dataclass

from federation.clock import Clock
from federation.errors import DepartmentForeign
from federation.hospital.retention import Retention
from federation.hospital.vault import Vault
from federation.party.audit import Audit
from federation.party.budgets import ServerBudgets
from federation.party.member import Member
from federation.party.restrictions import RestrictionBook
from federation.protocol.access import EmergencyPolicy
from federation.protocol.parties import Entropy
from federation.store.emergencies import Emergencies
from federation.store.guardianships import Guardianships
from federation.store.party import Evidence, ReplayMemory, Settings
from federation.store.records import OutboxEntries, Records, RecordsAdministration
from federation.store.rooms import Rooms
from federation.store.roster import Shifts
from keystore.identities import DepartmentId, HospitalId, class_of
from keystore.keyring import Sealing


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


@dataclass(frozen=True)
class Hospital:
    """One hospital. `departments` are ID_DEs; a deposit goes to the first of the class that it names.

    `most_relay_bytes` is what all rooms of the relay hold together.
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
