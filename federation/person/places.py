"""Where a patient has records, kept on its device, sealed, for where the public cloud is silent; and what a doctor makes of it.

What is handed to a doctor is what the consent of the visit covers, and nothing that the patient hides, as far as was known when
it was kept. The doctor holds the cloud's signature against it, asks each hospital itself who it is, and goes there.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from federation.errors import FederationError
from federation.party.member import Member
from federation.person.dealing import Connect
from federation.person.fetching import Missing
from federation.person.hospital_session import address_hospital
from federation.person.sealed_files import SealedFiles
from federation.protocol.access import Grant, Hidden, covers
from federation.protocol.places import PLACES_LIFE, KnownHospital, narrowed, read_places
from federation.protocol.search import Answer, RecordLocation
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.v1.search_pb2 import KeptPlaces, PlacesPage
from federation.v1.statement_pb2 import RevocationExcerpt, RevocationHead
from keystore.identities import DepartmentId, PatientId, class_of
from keystore.transcript import LENGTH_BYTES, digest, frame, text, transcript

PLACES = "places"
"""What these files are called in their seals."""

MOST_HANDED_BYTES = 32 * 1024
"""Of P2: what does not fit stays on the device, the last pages first."""

MOST_PAGES = 8

_NAME_BYTES = 16


@dataclass(frozen=True)
class Handed:
    """What of a patient's places goes to a doctor: which hospitals, as of when."""

    message: KeptPlaces
    as_of: Instant
    hospitals: tuple[str, ...]


class PlacesBook:
    """What a patient's device keeps of its searches, by whose records they are."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep them in this directory, sealed under this member's token key."""
        self._files = SealedFiles(directory, member, PLACES)
        self._member = member

    def keep(self, patient_id: PatientId, answers: Sequence[Answer], hidden: Sequence[Hidden]) -> None:
        """Keep the pages of a search for everything, in the place of those before; and what was hidden by then."""
        pages = [answer.page for answer in answers if answer.page.places][:MOST_PAGES]
        if not pages:
            self._files.remove(_name(patient_id))
            return
        self._put(patient_id, pages, hidden)

    def hide(self, patient_id: PatientId, hidden: Hidden) -> None:
        """Hand on nothing of this from now on. Raises SealBroken."""
        kept = self._kept(patient_id)
        if kept is not None:
            self._put(patient_id, kept[0], [*kept[1], hidden])

    def as_of(self, patient_id: PatientId) -> Instant | None:
        """Return when what is kept was answered, None where nothing is. Raises SealBroken."""
        kept = self._kept(patient_id)
        return None if kept is None else min(page.sent_at for page in kept[0])

    def handed(self, patient_id: PatientId, grant: Grant, now: Instant) -> Handed | None:
        """Return what may go to a doctor under a grant; None where nothing is kept, or nothing of use. Raises SealBroken."""
        kept, directory = self._kept(patient_id), self._member.directory
        if kept is None or directory is None:
            return None
        pages, hidden = kept

        def shows(hospital_id: str, department_id: DepartmentId, handle: bytes) -> bool:
            department_class = class_of(department_id)
            is_covered = covers(grant.hospitals, hospital_id) and covers(grant.department_classes, department_class)
            return is_covered and not any(it.hides(hospital_id, department_class, handle.hex()) for it in hidden)

        message = KeptPlaces(revocation_head=directory.revocation_head)
        for page in pages:
            shown = narrowed(page, shows)
            is_of_use = now - page.sent_at <= milliseconds(PLACES_LIFE) and any(
                it.HasField("hospital_id") for it in shown.places
            )
            if is_of_use and message.ByteSize() + shown.ByteSize() <= MOST_HANDED_BYTES:
                message.pages.append(shown)
        if not message.pages:
            return None
        named = {it.hospital_id for page in message.pages for it in page.places if it.HasField("hospital_id")}
        return Handed(message, min(page.sent_at for page in message.pages), tuple(sorted(named)))

    def _put(self, patient_id: PatientId, pages: Sequence[PlacesPage], hidden: Sequence[Hidden]) -> None:
        kept = KeptPlaces(pages=pages).SerializeToString(deterministic=True)
        hides = json.dumps([[it.hospital, it.department_class, it.handle] for it in hidden]).encode()
        self._files.put(_name(patient_id), frame(kept) + frame(hides))

    def _kept(self, patient_id: PatientId) -> tuple[Sequence[PlacesPage], Sequence[Hidden]] | None:
        content = self._files.get(_name(patient_id))
        if content is None:
            return None
        size = int.from_bytes(content[:LENGTH_BYTES], "big")
        pages = KeptPlaces.FromString(content[LENGTH_BYTES : LENGTH_BYTES + size]).pages
        return pages, [Hidden(*it) for it in json.loads(content[2 * LENGTH_BYTES + size :])]


@dataclass(frozen=True)
class Brought:
    """Where records are by what the patient brought: as of when, and which hospitals do not answer now."""

    as_of: Instant
    locations: tuple[RecordLocation, ...]
    missing: Missing


OnBrought = Callable[[Brought], None]
"""Told that the public cloud did not answer, and that what the patient brought took its place."""


def locations_brought(
    kept: KeptPlaces, patient_id: PatientId, grant: Grant, member: Member, connect: Connect, now: Instant
) -> Brought:
    """Verify what a patient brought, and ask each hospital that the grant covers who it is. Raises as `read_places`."""
    _take_head(kept, member)
    known = read_places(kept, patient_id, member.verifier(), now=now)
    locations: list[RecordLocation] = []
    missing: Missing = {}
    for hospital in known.hospitals:
        if not covers(grant.hospitals, hospital.hospital_id):
            continue
        try:
            locations.extend(_at(hospital, grant, member, connect, now))
        except FederationError as error:
            missing[hospital.hospital_id] = error
    return Brought(known.as_of, tuple(locations), missing)


def _at(
    hospital: KnownHospital, grant: Grant, member: Member, connect: Connect, now: Instant
) -> Sequence[RecordLocation]:
    peer = address_hospital(connect(hospital.address, hospital.hospital_id), hospital.hospital_id, member, now=now)
    return [
        RecordLocation(peer.party, peer.encryption_key, hospital.address, department_id, handle)
        for department_id, handles in hospital.departments
        if covers(grant.department_classes, class_of(department_id))
        for handle in handles
    ]


def _take_head(kept: KeptPlaces, member: Member) -> None:
    """Take a newer head of the same set; of another set its shards could not be asked for, and nobody would be verified."""
    at_hand = member.lists.current().head
    with suppress(FederationError):
        brought = peek_statement(RevocationHead, kept.revocation_head)
        if at_hand is not None and brought.root == at_hand.root and brought.sequence > at_hand.sequence:
            member.lists.take(RevocationExcerpt(head=kept.revocation_head))


def _name(patient_id: PatientId) -> bytes:
    return digest(transcript("places-kept", text(patient_id)))[:_NAME_BYTES]
