"""The public cloud's blind index (C5): the database says nothing about who has records where, not even to its operator.

Row key = HMAC(index key, T("idx", ID_P, class)); row id = HMAC(index key, T("idx-row", row key, ID_HPC, handle)); the value is
sealed under the sealing key with both as associated data. A row has one name under each generation of the index key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.errors import Corrupt
from federation.protocol.identities import class_of, hospital_of
from keystore.errors import SealBroken
from keystore.sealing import Indexing, Sealing
from keystore.transcript import text, transcript


@dataclass(frozen=True)
class Location:
    """One row, in clear: a record of a department (of a hospital), and whose encounter it was (or empty)."""

    department_id: str
    handle: bytes
    doctor_id: str = ""

    @property
    def hospital_id(self) -> str:
        """Give ID_HPC."""
        return hospital_of(self.department_id)


@dataclass(frozen=True)
class BlindName:
    """What a row is called under one generation of the index key."""

    generation: int
    row_key: bytes
    row_id: bytes


@dataclass(frozen=True)
class BlindIndex:
    """The keys of the index, both in the cloud's token."""

    index_key: Indexing
    sealing_key: Sealing

    def row_key(self, patient_id: str, department_class: str) -> bytes:
        """Give the key under which a patient's rows of a class are kept now."""
        return self.index_key.mac(_key_transcript(patient_id, department_class))

    def row_keys(self, patient_id: str, department_class: str) -> Sequence[tuple[int, bytes]]:
        """Give the keys under which they may be found, with their generations, the active one first."""
        return self.index_key.macs(_key_transcript(patient_id, department_class))

    def names(self, patient_id: str, location: Location) -> Sequence[BlindName]:
        """Give what a row may be called: under every usable generation, the active one first."""
        found = []
        for generation, key in self.row_keys(patient_id, class_of(location.department_id)):
            ids = dict(self.index_key.macs(_id_transcript(key, location)))
            if generation in ids:
                found.append(BlindName(generation, key, ids[generation]))
        return found

    def seal(self, name: BlindName, location: Location) -> bytes:
        """Give the value of a row of this name."""
        value = f"{location.department_id}\n{location.handle.hex()}\n{location.doctor_id}".encode()
        return self.sealing_key.seal(value, row_context(name.row_key, name.row_id))

    def blind(self, patient_id: str, location: Location) -> tuple[bytes, bytes, bytes]:
        """Give (row key, row id, sealed value) of a row to keep now."""
        name = self.names(patient_id, location)[0]
        return name.row_key, name.row_id, self.seal(name, location)

    def reveal(self, row_key: bytes, row_id: bytes, sealed: bytes) -> Location:
        """Open a row. Raises Corrupt."""
        try:
            value = self.sealing_key.open(sealed, row_context(row_key, row_id)).decode()
        except SealBroken as error:
            raise Corrupt("a row of the index does not open") from error
        department_id, handle, doctor_id = value.split("\n")
        return Location(department_id, bytes.fromhex(handle), doctor_id)


def row_context(row_key: bytes, row_id: bytes) -> bytes:
    """Give what a row's value is sealed with: T("idx-value", row key, row id)."""
    return transcript("idx-value", row_key, row_id)


def _key_transcript(patient_id: str, department_class: str) -> bytes:
    return transcript("idx", text(patient_id), text(department_class))


def _id_transcript(row_key: bytes, location: Location) -> bytes:
    return transcript("idx-row", row_key, text(location.hospital_id), location.handle)
