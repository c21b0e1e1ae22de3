"""By what a doctor finds and fetches records: the consent of a visit, or an emergency."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from federation.pages.desk.practice import Told
from federation.person.doctor import DoctorClient
from federation.person.emergencies import Declared, DoctorEmergencies
from federation.person.finding import OnMore
from federation.person.places import Brought
from federation.person.records import Allowance, FetchedRecord, Progress
from federation.person.visit_words import brought_words
from federation.protocol.consultation import InConsultation
from federation.protocol.search import RecordLocation


@dataclass(frozen=True, repr=False)
class ByConsent:
    """The patient's consent of this visit."""

    client: DoctorClient
    consultation: InConsultation
    in_visit: ClassVar[bool] = True
    brought: list[Brought] = field(default_factory=list)
    """What the patient brought, where the public cloud did not answer."""

    def find(self, on_more: OnMore) -> Sequence[RecordLocation]:
        """Ask the public cloud, or what the patient brought. Raises as `DoctorClient.search`."""
        return self.client.search(self.consultation, on_more=on_more, on_brought=self.brought.append)

    @property
    def told(self) -> tuple[Told, ...]:
        """Return what is to be said of what the patient brought, nothing where it was not asked for."""
        return tuple(
            Told("warn", brought_words(it.as_of) + "".join(f" RECORDS AT {one} ARE MISSING." for one in it.missing))
            for it in self.brought
        )

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
    in_visit: ClassVar[bool] = False

    def find(self, on_more: OnMore) -> Sequence[RecordLocation]:
        """Ask the public cloud. Raises as `DoctorEmergencies.find`."""
        return self.emergencies.find(self.declared, on_more)

    def fetch(
        self, locations: Sequence[RecordLocation], progress: Progress, allowance: Allowance
    ) -> Iterator[FetchedRecord]:
        """Fetch. Raises as `DoctorEmergencies.fetch`."""
        return self.emergencies.fetch(self.declared, locations, progress, allowance)
