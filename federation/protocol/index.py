"""The public cloud's blind index (C5): the database says nothing about who has records where, not even to its operator.

Row key = HMAC(index key, T("idx", ID_P, class)); row id = HMAC(index key, T("idx-row", row key, ID_HPC, handle)); the value is
sealed under the sealing key with both as associated data.
"""

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
class BlindIndex:
    """The keys of the index, both in the cloud's token."""

    index_key: Indexing
    sealing_key: Sealing

    def row_key(self, patient_id: str, department_class: str) -> bytes:
        """Give the key under which a patient's rows of a class are found."""
        return self.index_key.mac(transcript("idx", text(patient_id), text(department_class)))

    def blind(self, patient_id: str, location: Location) -> tuple[bytes, bytes, bytes]:
        """Give (row key, row id, sealed value)."""
        key = self.row_key(patient_id, class_of(location.department_id))
        row_id = self.index_key.mac(transcript("idx-row", key, text(location.hospital_id), location.handle))
        value = f"{location.department_id}\n{location.handle.hex()}\n{location.doctor_id}".encode()
        return key, row_id, self.sealing_key.seal(value, _context(key, row_id))

    def reveal(self, row_key: bytes, row_id: bytes, sealed: bytes) -> Location:
        """Open a row. Raises Corrupt."""
        try:
            value = self.sealing_key.open(sealed, _context(row_key, row_id)).decode()
        except SealBroken as error:
            raise Corrupt("a row of the index does not open") from error
        department_id, handle, doctor_id = value.split("\n")
        return Location(department_id, bytes.fromhex(handle), doctor_id)


def _context(row_key: bytes, row_id: bytes) -> bytes:
    return transcript("idx-value", row_key, row_id)
