"""A party's patients as its log knows them: whom an access is about, by an HMAC under the index key.

patient key = HMAC(index key, T("accesses", ID_P))
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.store.accesses import Accesses
from federation.store.rows import About, LogEntry
from keystore.identities import PatientId
from keystore.keyring import Indexing
from keystore.transcript import text, transcript

ACCESSES = "accesses by patient"
"""What a rotation of the index key calls them."""


@dataclass(frozen=True)
class Patients:
    """Whom the entries of a log are about, in a store, under this key of the token."""

    accesses: Accesses
    index: Indexing

    def about(self, patient_id: PatientId) -> About:
        """Return what an entry about a patient is found by: under the active generation."""
        generation, patient_key = self.index.macs(_context(patient_id))[0]
        return About(patient_key, generation)

    def entries_about(self, patient_id: PatientId, *, offset: int, limit: int) -> tuple[Sequence[LogEntry], int]:
        """Return entries about a patient, the newest first, sealed as they are, and how many there are in all."""
        keys = [tag for _, tag in self.index.macs(_context(patient_id))]
        return self.accesses.of(keys, offset=offset, limit=limit)


def _context(patient_id: PatientId) -> bytes:
    return transcript("accesses", text(patient_id))
