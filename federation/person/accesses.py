"""A look at who accessed a patient's records: at the public cloud and the hospitals that have some, in words, new or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from federation.errors import FederationError
from federation.person.access_log import ReadAccess, joined
from federation.person.errors import NoDeputy
from federation.person.patient import PatientClient
from federation.protocol.access import BEGUN
from federation.protocol.statements import digest_or_empty
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_GROUND_EMERGENCY,
    ACCESS_GROUND_OWN,
    ACCESS_KIND_ADD,
    ACCESS_KIND_LOG,
    ACCESS_KIND_READ,
    ACCESS_KIND_SEARCH,
    ACCESS_KIND_STORE,
    AccessEntry,
    Deputyship,
)
from federation.v1.statement_pb2 import POWER_LOG, POWER_READ
from federation.words import local_time
from keystore.identities import ANY, HospitalId, PatientId

_WHAT = {
    ACCESS_KIND_SEARCH: "looked for records",
    ACCESS_KIND_READ: "read records",
    ACCESS_KIND_STORE: "kept a visit's record",
    ACCESS_KIND_LOG: "read this log",
    ACCESS_KIND_ADD: "added a document of the patient's own",
}

EMERGENCIES_UNASKED = "Whether anybody read your records in an emergency could not be asked."

BY_ONESELF = "you yourself"

Tell = Callable[[str], None]
"""Told, in words, what a look could not see."""


@dataclass(frozen=True)
class ToldAccess:
    """An access, and what this profile knows of it: by what, in words, and whether it is new."""

    access: ReadAccess
    by: str
    is_new: bool

    @property
    def is_emergency(self) -> bool:
        """Return whether it was without consent, in an emergency."""
        return self.access.entry.ground == ACCESS_GROUND_EMERGENCY

    @property
    def what(self) -> str:
        """Return what was done, to records of which department."""
        entry = self.access.entry
        classes = "every department" if entry.department_class == ANY else entry.department_class
        return f"{_WHAT[entry.kind]} of {classes}"

    @property
    def ended(self) -> str:
        """Return how it ended."""
        return ended_words(self.access.reason)


@dataclass(frozen=True)
class AccessList:
    """What a look found, the newest first; of whom it is, and whose logs did not come, and why."""

    patient_id: PatientId
    told: Sequence[ToldAccess]
    missing: Mapping[str, FederationError]

    @property
    def emergencies(self) -> list[ToldAccess]:
        """Return the accesses without consent."""
        return [one for one in self.told if one.is_emergency]

    @property
    def others(self) -> list[ToldAccess]:
        """Return all other accesses."""
        return [one for one in self.told if not one.is_emergency]


class AccessReading:
    """One look at the logs of a patient, or of whom one stands for. Raises NoDeputy, Unavailable, Rejected."""

    def __init__(
        self,
        client: PatientClient,
        reader: PatientId,
        cloud_id: str,
        deputy_for: PatientId | None,
        tell: Tell,
        asking: Tell = lambda _party_id: None,
    ) -> None:
        """Read as this patient; `asking` is told whose log is asked for next, and what it raises ends the look."""
        self._client = client
        self._reader = reader
        self._cloud_id = cloud_id
        self._deputy_for = deputy_for
        self._tell = tell
        self._asking = asking
        self.patient_id = deputy_for or reader
        self._grants = {digest_or_empty("grant", kept.signed): kept for kept in client.consents.grants()}
        self._read: dict[str, Sequence[AccessEntry]] = {}
        self._missing: dict[str, FederationError] = {}

    def all(self, named: Sequence[tuple[str, str]] = ()) -> AccessList:
        """Read the logs of the hospitals that are named, or of the public cloud and every hospital that has records."""
        client = self._client
        client.refresh()
        deputyship = self._deputyship()
        if named:
            places = {HospitalId(hospital_id): address for hospital_id, address in named}
        else:
            self._fetch(self._cloud_id, lambda: client.accesses_at_cloud(deputyship, self._tell_more))
            places = self._with_records()
        for hospital_id, address in places.items():
            self._fetch(hospital_id, partial(client.accesses_at, hospital_id, address, deputyship))
        found = [self._told(access) for party_id, read in self._read.items() for access in joined(party_id, read)]
        newest_first = sorted(found, key=lambda one: one.access.at, reverse=True)
        return AccessList(self.patient_id, newest_first, self._missing)

    def remember(self) -> None:
        """Keep up to where the logs were read."""
        for party_id, entries in self._read.items():
            self._client.last_look.remember(self.patient_id, party_id, entries)

    def _told(self, access: ReadAccess) -> ToldAccess:
        """Return an access with what is known of it here. What the reader did itself is nothing new to it."""
        is_later = access.number > self._client.last_look.number(self.patient_id, access.party_id)
        return ToldAccess(access, self._by(access.entry), is_later and access.entry.asker_id != self._reader)

    def _deputyship(self) -> Deputyship | None:
        return None if self._deputy_for is None else self._client.consents.acting_for(self._deputy_for, POWER_LOG).shown

    def _with_records(self) -> dict[HospitalId, str]:
        """Return the hospitals that have records, and where they are dialled; a deputy finds them by the power to read."""
        try:
            deputy_for = self._deputy_for
            held = None if deputy_for is None else self._client.consents.acting_for(deputy_for, POWER_READ).shown
        except NoDeputy:
            self._tell("Without the power to read, hospitals are not found: only the public cloud is asked.")
            return {}
        locations = self._client.find_records(held, self._tell_more)
        return {location.hospital.hospital_id: location.address for location in locations}

    def _fetch(self, party_id: str, fetch: Callable[[], Sequence[AccessEntry]]) -> None:
        """Read one log; what can't be had is noted, and stops no other."""
        self._asking(party_id)
        try:
            self._read[party_id] = fetch()
        except FederationError as error:
            self._missing[party_id] = error

    def _by(self, entry: AccessEntry) -> str:
        if entry.ground == ACCESS_GROUND_EMERGENCY:
            return "IN AN EMERGENCY, without consent"
        if entry.ground == ACCESS_GROUND_CONSENT:
            kept = self._grants.get(entry.grant_digest)
            return "by a consent not given from here" if kept is None else f"by your consent no. {kept.number}"
        return self._own(entry.asker_id) if entry.ground == ACCESS_GROUND_OWN else "by nothing"

    def _own(self, asker_id: str) -> str:
        if asker_id == self._reader:
            return BY_ONESELF
        return "the patient itself" if asker_id == self.patient_id else "a deputy"

    def _tell_more(self, pages: int) -> None:
        self._tell(f"The public cloud knows of more than is read: {pages} pages more. SOME ARE MISSING.")


def ended_words(reason: str) -> str:
    """Return how an access ended: by the reason that its log gives."""
    if reason == BEGUN:
        return "begun"
    return "done" if reason == "OK" else f"refused or ended: {reason}"


def emergency_words(access: ReadAccess) -> str:
    """Return in which emergency one's records were looked for."""
    return (
        f"IN AN EMERGENCY, without your consent, {access.entry.asker_id} asked for your records on"
        f" {local_time(access.at)}, {ended_words(access.reason)}."
    )
