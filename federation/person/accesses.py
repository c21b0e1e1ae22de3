"""A look at who accessed a patient's records: at the public cloud and the hospitals that have some, in words, new or not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from federation.clinical.audit_events import LogProof, RecordedAccess, access_bundle
from federation.clinical.identity import moment_of
from federation.errors import (
    Authentication,
    FederationError,
    HeadConflict,
    HeadOlder,
    LogProofInvalid,
    MalformedMessage,
)
from federation.person.access_log import ReadAccess
from federation.person.errors import NoDeputy
from federation.person.finding import MOST_PAGES
from federation.person.log_reading import OnPage, no_page
from federation.person.one_sided import UNSEARCHED, Side, remarks
from federation.person.patient import PatientClient
from federation.protocol.access import BEGUN
from federation.protocol.access_log import GROUND_NAMES, KIND_NAMES
from federation.protocol.statements import digest_or_empty
from federation.protocol.time import Instant
from federation.protocol.told_log import ToldLog
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
from federation.v1.statement_pb2 import POWER_LOG, POWER_READ, RIGHT_INDEX
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

FORKED = (HeadConflict, HeadOlder, LogProofInvalid)
"""What says that a log was cut back, or is another than before."""
KEPT_AS_EVIDENCE = "Both states of that log are kept as evidence on this device."

BY_ONESELF = "you yourself"

Tell = Callable[[str], None]
"""Told, in words, what a look could not see."""


@dataclass(frozen=True)
class ToldAccess:
    """An access, and what this profile knows of it: by what, in words, whether it is new, and whether the other side lacks it."""

    access: ReadAccess
    by: str
    is_new: bool
    remark: str = ""

    @property
    def is_one_sided(self) -> bool:
        """Return whether the log of the other side should have it, and has not."""
        return self.remark == UNSEARCHED

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
    """What a look found, the newest first; of whom it is, and whose logs did not come, and why.

    `logs` are those that came, each proved; `warnings` say in words what they told before and tell no more. `places` are where
    hospitals were asked, `all_found` says that those are all that have records.
    """

    patient_id: PatientId
    told: Sequence[ToldAccess]
    missing: Mapping[str, FederationError]
    logs: Mapping[str, ToldLog] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    places: Mapping[HospitalId, str] = field(default_factory=dict)
    all_found: bool = True

    @property
    def with_older(self) -> list[HospitalId]:
        """Return the hospitals whose older entries were not read."""
        return [place for place in self.places if place in self.logs and self.logs[place].older is not None]

    @property
    def proofs(self) -> list[str]:
        """Return in words what the logs that came are proved by."""
        return [proof_words(party_id, log) for party_id, log in self.logs.items()]

    @property
    def emergencies(self) -> list[ToldAccess]:
        """Return the accesses without consent."""
        return [one for one in self.told if one.is_emergency]

    @property
    def others(self) -> list[ToldAccess]:
        """Return all other accesses."""
        return [one for one in self.told if not one.is_emergency]

    def as_fhir(self, *, now: Instant) -> bytes:
        """Return a Bundle of AuditEvents: of each access one, how it ended, and by what it is proved. Raises FhirInvalid."""
        return access_bundle([self._recorded(one) for one in self.told], moment_of(now))

    def _recorded(self, told: ToldAccess) -> RecordedAccess:
        access, entry, log = told.access, told.access.entry, self.logs[told.access.party_id]
        head = log.head.head
        return RecordedAccess(
            sequence=access.number,
            at=moment_of(access.at),
            kind=KIND_NAMES[entry.kind],
            asker_id=entry.asker_id,
            patient_id=self.patient_id,
            scope=entry.department_class,
            ground=GROUND_NAMES[entry.ground],
            authorization=entry.authorization,
            reason=entry.reason,
            detail=told.remark,
            recorded_by=access.party_id,
            proof=LogProof(head.origin, head.size, head.root, entry.leaf_index, log.cosigners),
        )


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
        *,
        most_pages: int = MOST_PAGES,
        on_page: OnPage = no_page,
    ) -> None:
        """Read as this patient, of each hospital so many pages, each of which `on_page` is told of.

        `asking` is told whose log is asked for next. What either raises ends the look.
        """
        self._client = client
        self._reader = reader
        self._cloud_id = cloud_id
        self._deputy_for = deputy_for
        self._tell = tell
        self._asking = asking
        self._most_pages = most_pages
        self._on_page = on_page
        self.patient_id = deputy_for or reader
        self._grants = {digest_or_empty("grant", kept.signed): kept for kept in client.consents.grants()}
        self._read: dict[str, ToldLog] = {}
        self._missing: dict[str, FederationError] = {}
        self._places: dict[HospitalId, str] = {}
        self._earlier: dict[str, frozenset[int]] = {}
        self._still_new: dict[str, set[int]] = {}
        self._all_found = True

    def all(self, named: Sequence[tuple[str, str]] = ()) -> AccessList:
        """Read the logs of the hospitals that are named, or of the public cloud and every hospital that has records."""
        client = self._client
        client.refresh()
        deputyship = self._deputyship()
        if named:
            self._places = {HospitalId(hospital_id): address for hospital_id, address in named}
        else:
            self._fetch(self._cloud_id, lambda: client.accesses_at_cloud(deputyship, self._tell_more))
            self._places = self._with_records()
        for hospital_id in self._places:
            self._fetch(hospital_id, partial(self._hospital, hospital_id, deputyship))
        return self._listed()

    def older(self, listed: AccessList, hospital_id: HospitalId) -> AccessList:
        """Read a hospital's next older entries, and return them among those that an earlier look found."""
        self._client.refresh()
        self._read, self._missing = dict(listed.logs), dict(listed.missing)
        self._places, self._all_found = dict(listed.places), listed.all_found
        for one in listed.told:
            if one.is_new:
                self._still_new.setdefault(one.access.party_id, set()).add(one.access.entry.leaf_index)
        before = listed.logs[hospital_id]
        self._fetch(hospital_id, lambda: self._hospital(hospital_id, self._deputyship(), before))
        return self._listed()

    def _hospital(
        self, hospital_id: HospitalId, deputyship: Deputyship | None, before: ToldLog | None = None
    ) -> ToldLog:
        address, most_pages = self._places[hospital_id], self._most_pages
        return self._client.accesses_at(
            hospital_id, address, deputyship, self._on_page, most_pages=most_pages, before=before
        )

    def _listed(self) -> AccessList:
        sides = {party_id: Side.of(party_id, log.entries) for party_id, log in self._read.items()}
        remarked = self._remarks(sides)
        found = [self._told(one, remarked.get(one, "")) for side in sides.values() for one in side.accesses]
        newest_first = sorted(found, key=lambda one: one.access.at, reverse=True)
        warnings = [words for party_id, log in self._read.items() for words in self._warnings(party_id, log)]
        return AccessList(
            self.patient_id, newest_first, self._missing, self._read, warnings, self._places, self._all_found
        )

    def remember(self) -> None:
        """Keep up to where the logs were read."""
        for party_id, log in self._read.items():
            self._client.known_logs.remember(self.patient_id, party_id, log.entries)

    def _told(self, access: ReadAccess, remark: str) -> ToldAccess:
        """Return an access with what is known of it here. What the reader did itself is nothing new to it."""
        leaf = access.entry.leaf_index
        is_later = leaf not in self._leaves(access.party_id) or leaf in self._still_new.get(access.party_id, ())
        return ToldAccess(access, self._by(access.entry), is_later and access.entry.asker_id != self._reader, remark)

    def _remarks(self, sides: Mapping[str, Side]) -> Mapping[ReadAccess, str]:
        """Return what one side alone has. Nothing is said where the public cloud was not asked, or did not answer."""
        if self._cloud_id not in sides:
            return {}
        hospitals = [side for party_id, side in sides.items() if party_id != self._cloud_id]
        unsearchable = {key for key, kept in self._grants.items() if RIGHT_INDEX not in kept.grant.rights}
        asked_at, is_whole = self._read[self._cloud_id].asked_at, self._all_found and not self._missing
        return remarks(sides[self._cloud_id], hospitals, unsearchable, asked_at=asked_at, is_whole=is_whole)

    def _warnings(self, party_id: str, log: ToldLog) -> Iterator[str]:
        """Say what a log told before and tells no more, and what it counts and does not tell."""
        told = {entry.leaf_index for entry in log.entries}
        oldest = 0 if log.older is None else log.older
        lost = {leaf for leaf in self._leaves(party_id) if leaf >= oldest} - told
        if log.begins_anew:
            yield (
                f"{party_id} BEGAN A NEW LOG after an older copy of it was put back. What it told before this look is not"
                " proved by what it tells now."
            )
        if lost:
            yield (
                f"{party_id} told you of {len(lost)} more at an earlier look: their time there is over, or it KEEPS THEM BACK."
            )
        if log.untold:
            yield f"{party_id} counts {log.untold} more about you, and tells nothing of them: forgotten there, or KEPT BACK."

    def _leaves(self, party_id: str) -> frozenset[int]:
        """Return what was told at earlier looks: opened once, for a token does it."""
        if party_id not in self._earlier:
            self._earlier[party_id] = self._client.known_logs.leaves(self.patient_id, party_id)
        return self._earlier[party_id]

    def _deputyship(self) -> Deputyship | None:
        return None if self._deputy_for is None else self._client.consents.acting_for(self._deputy_for, POWER_LOG).shown

    def _with_records(self) -> dict[HospitalId, str]:
        """Return the hospitals that have records, and where they are dialled; a deputy finds them by the power to read."""
        try:
            deputy_for = self._deputy_for
            held = None if deputy_for is None else self._client.consents.acting_for(deputy_for, POWER_READ).shown
        except NoDeputy:
            self._all_found = False
            self._tell("Without the power to read, hospitals are not found: only the public cloud is asked.")
            return {}
        locations = self._client.find_records(held, self._tell_more)
        return {location.hospital.hospital_id: location.address for location in locations}

    def _fetch(self, party_id: str, fetch: Callable[[], ToldLog]) -> None:
        """Read one log; what can't be had is noted, and stops no other."""
        self._asking(party_id)
        try:
            self._read[party_id] = fetch()
            self._missing.pop(party_id, None)
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

    def _tell_more(self) -> None:
        self._all_found = False
        self._tell("The public cloud knows of more than is read. SOME ARE MISSING.")


def ended_words(reason: str) -> str:
    """Return how an access ended: by the reason that its log gives."""
    if reason == BEGUN:
        return "begun"
    return "done" if reason == "OK" else f"refused or ended: {reason}"


def proof_words(party_id: str, log: ToldLog) -> str:
    """Return by what a log is proved, and whether as many stand by it as the trust bundle asks for."""
    proved = f"Proved in the log of {party_id}, head {log.head.head.size}"
    cosigned = f"cosigned by {len(log.cosigners)}, and the federation asks for {log.cosignatures}."
    return f"{proved}, {cosigned}" if log.is_witnessed else f"{proved}. NOT WITNESSED: {cosigned}"


def missing_words(party_id: str, error: FederationError) -> str:
    """Return in words that a log is not shown, by what was wrong with it."""
    if isinstance(error, FORKED):
        return f"{party_id} shows another log than before: who asked there is not shown. {KEPT_AS_EVIDENCE}"
    if isinstance(error, Authentication | MalformedMessage):
        return f"{party_id} proves nothing of what it tells: who asked there is not shown."
    return f"{party_id} did not answer: who asked there is missing."


def emergency_words(access: ReadAccess) -> str:
    """Return in which emergency one's records were looked for."""
    return (
        f"IN AN EMERGENCY, without your consent, {access.entry.asker_id} asked for your records on"
        f" {local_time(access.at)}, {ended_words(access.reason)}."
    )
