"""The public cloud's blind index (C5): the database says nothing about who has records where, not even to its operator.

Everything in a row comes from one value of the patient, V = HMAC(W, T("idx")), W = HMAC(index key, T("identity", ID_P)):

    bucket        the number in the first two bytes of HMAC(V, T("idx-bucket")): rows of one patient lie together
    row key       HMAC(V, T("idx-class", class))
    hospital key  HMAC(V, T("idx-hospital", ID_HPC)): the same in all rows of one patient of one hospital
    level         the first eight bytes of HMAC(V, T("idx-level", sensitivity)): what a search may not show, it does not read
    row id        HMAC(V, T("idx-row", row key, ID_HPC, handle))

and the value, sealed under the sealing key with row key and row id as associated data, in one batch with the others under its row
key: the token is asked once for what a search reads of a class. A row has one name under each generation of the index key.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from federation.errors import Corrupt
from federation.protocol.statements import SENSITIVITIES, SENSITIVITY_NAMES
from federation.v1.statement_pb2 import SENSITIVITY_NORMAL, Sensitivity
from keystore.errors import SealBroken
from keystore.identities import NO_DOCTOR, DepartmentId, DoctorId, HospitalId, PatientId, class_of, hospital_of
from keystore.keyring import Indexing, Sealing, Together
from keystore.transcript import text, transcript

BUCKET_BYTES = 2
"""65,536 buckets: few enough that each has the rows of many patients, many enough to spread over any number of machines."""

LEVEL_BYTES = 8
"""It keeps three values of one patient apart, and is in every row."""


@dataclass(frozen=True)
class Location:
    """One row, in clear: a record of a department (of a hospital), whose encounter it was (or empty), what is kept from whom."""

    department_id: DepartmentId
    handle: bytes
    doctor_id: DoctorId = NO_DOCTOR
    sensitivity: "Sensitivity.ValueType" = SENSITIVITY_NORMAL

    @property
    def hospital_id(self) -> HospitalId:
        """Return ID_HPC."""
        return hospital_of(self.department_id)


@dataclass(frozen=True)
class BlindName:
    """What a row is called under one generation of the index key; its owner, this patient's, of this hospital; and its level."""

    generation: int
    bucket: int
    row_key: bytes
    row_id: bytes
    hospital_key: bytes
    level: bytes


@dataclass(frozen=True)
class BlindPatient:
    """One patient under one generation of the index key. Everything of its rows follows from V, without the token."""

    generation: int
    _value: bytes = field(repr=False)

    @property
    def bucket(self) -> int:
        """Return where its rows lie."""
        return int.from_bytes(self._mac(transcript("idx-bucket"))[:BUCKET_BYTES], "big")

    def row_key(self, department_class: str) -> bytes:
        """Return the key of its rows of a class."""
        return self._mac(transcript("idx-class", text(department_class)))

    def hospital_key(self, hospital_id: HospitalId) -> bytes:
        """Return what its rows of a hospital have in common."""
        return self._mac(transcript("idx-hospital", text(hospital_id)))

    def level(self, sensitivity: "Sensitivity.ValueType") -> bytes:
        """Return what its rows of a sensitivity have in common."""
        return self._mac(transcript("idx-level", text(SENSITIVITY_NAMES[sensitivity])))[:LEVEL_BYTES]

    def row_id(self, department_class: str, hospital_id: HospitalId, handle: bytes) -> bytes:
        """Return the id of the row of a record."""
        return self._mac(transcript("idx-row", self.row_key(department_class), text(hospital_id), handle))

    def name(self, location: Location) -> BlindName:
        """Return what a row is called."""
        department_class, hospital_id = class_of(location.department_id), location.hospital_id
        return BlindName(
            self.generation,
            self.bucket,
            self.row_key(department_class),
            self.row_id(department_class, hospital_id, location.handle),
            self.hospital_key(hospital_id),
            self.level(location.sensitivity),
        )

    def _mac(self, message: bytes) -> bytes:
        return hmac.digest(self._value, message, "sha256")


@dataclass(frozen=True)
class BlindIndex:
    """The keys of the index, both in the cloud's token; and who asks now: what is remembered is remembered for it alone."""

    index_key: Indexing
    sealing_key: Sealing
    asker: str = ""

    def asked_by(self, asker: str) -> "BlindIndex":
        """Return the same, for a party that was proved to ask."""
        return replace(self, asker=asker)

    def patients(self, patient_id: PatientId) -> Sequence[BlindPatient]:
        """Return a patient under every usable generation, the active one first."""
        return [BlindPatient(*made) for made in self.index_key.names("idx", patient_id, asker=self.asker)]

    def names(self, patient_id: PatientId, location: Location) -> Sequence[BlindName]:
        """Return what a row may be called: under every usable generation, the active one first."""
        return [patient.name(location) for patient in self.patients(patient_id)]

    def seal(self, name: BlindName, location: Location) -> bytes:
        """Return the value of a row of this name."""
        sensitivity = SENSITIVITY_NAMES[location.sensitivity]
        value = f"{location.department_id}\n{location.handle.hex()}\n{location.doctor_id}\n{sensitivity}".encode()
        return self.sealing_key.seal(value, row_context(name.row_key, name.row_id), self._together(name.row_key))

    def reveal(self, row_key: bytes, row_id: bytes, sealed: bytes) -> Location:
        """Open a row. Raises Corrupt."""
        try:
            value = self.sealing_key.open(sealed, row_context(row_key, row_id), self._together(row_key)).decode()
        except SealBroken as error:
            raise Corrupt("a row of the index does not open") from error
        department_id, handle, doctor_id, sensitivity = value.split("\n")
        return Location(
            DepartmentId(department_id), bytes.fromhex(handle), DoctorId(doctor_id), SENSITIVITIES[sensitivity]
        )

    def reseal(self, row_key: bytes, row_id: bytes, sealed: bytes) -> bytes:
        """Return the value of a row under the active sealing key. Raises SealBroken."""
        return self.sealing_key.reseal(sealed, row_context(row_key, row_id), self._together(row_key))

    def _together(self, row_key: bytes) -> Together:
        return Together(row_key, self.asker)


def row_context(row_key: bytes, row_id: bytes) -> bytes:
    """Return what a row's value is sealed with: T("idx-value", row key, row id)."""
    return transcript("idx-value", row_key, row_id)
