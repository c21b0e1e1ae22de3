"""A party's patients as its log knows them: whom an access is about, by an HMAC under the index key.

patient key = HMAC(W, T("accesses")), W = HMAC(index key, T("identity", ID_P))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from federation.store.accesses import LAST, Accesses
from federation.store.rows import About, LogEntry
from keystore.identities import PatientId
from keystore.keyring import Indexing

ACCESSES = "accesses by patient"
"""What a rotation of the index key calls them."""
_ABOUT = "accesses"


class LogPlace(NamedTuple):
    """Where an entry stands in a log, and which number it has among those about one patient there: 0, not counted."""

    sequence: int
    number: int = 0


@dataclass(frozen=True)
class Patients:
    """Whom the entries of a log are about, in a store, under this key of the token."""

    accesses: Accesses
    index: Indexing

    def about(self, patient_id: PatientId, asker: str = "") -> About:
        """Return what an entry about a patient, whose records somebody asked for, is found by: under the active generation."""
        generation, patient_key = self.index.names(_ABOUT, patient_id, asker=asker)[0]
        return About(patient_key, generation)

    def entries_about(
        self, patient_id: PatientId, *, after: LogPlace | None, limit: int
    ) -> tuple[Sequence[LogEntry], int]:
        """Return entries about a patient behind a place among them, the newest first, sealed as they are; and the first's number.

        It is counted where the place says none: the oldest is 1.
        """
        keys = [name for _, name in self.index.names(_ABOUT, patient_id)]
        found = self.accesses.of(keys, before=LAST if after is None else after.sequence, limit=limit)
        if after is not None and after.number:
            return found, after.number - 1
        return found, self.accesses.count_of(keys, before=found[0].sequence + 1) if found else 0
