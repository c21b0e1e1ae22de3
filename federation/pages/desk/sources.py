"""By what a doctor finds and fetches records: the consent of a visit, or an emergency."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from federation.person.doctor import DoctorClient
from federation.person.emergencies import Declared, DoctorEmergencies
from federation.person.records import Allowance, FetchedRecord, Progress
from federation.protocol.consultation import InConsultation
from federation.protocol.search import RecordLocation


@dataclass(frozen=True, repr=False)
class ByConsent:
    """The patient's consent of this visit."""

    client: DoctorClient
    consultation: InConsultation

    def find(self, on_more: Callable[[int], None]) -> Sequence[RecordLocation]:
        """Ask the public cloud. Raises as `DoctorClient.search`."""
        return self.client.search(self.consultation, on_more=on_more)

    def fetch(
        self, locations: Sequence[RecordLocation], progress: Progress, allowance: Allowance
    ) -> Iterator[FetchedRecord]:
        """Fetch. Raises as `DoctorClient.fetch`."""
        return self.client.fetch(self.consultation, locations, progress, allowance)


@dataclass(frozen=True, repr=False)
class InAnEmergency:
    """An emergency that was declared."""

    emergencies: DoctorEmergencies
    declared: Declared

    def find(self, on_more: Callable[[int], None]) -> Sequence[RecordLocation]:
        """Ask the public cloud. Raises as `DoctorEmergencies.find`."""
        return self.emergencies.find(self.declared, on_more)

    def fetch(
        self, locations: Sequence[RecordLocation], progress: Progress, allowance: Allowance
    ) -> Iterator[FetchedRecord]:
        """Fetch. Raises as `DoctorEmergencies.fetch`."""
        return self.emergencies.fetch(self.declared, locations, progress, allowance)
