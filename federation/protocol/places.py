"""Where a patient has records, as the patient keeps it: pages of the public cloud's answers to its own search, signed by PRK_C.

For where the cloud is silent (docs/protocol.md, P2). Hospitals and departments that are not to be shown are left as digests, so
that Sig_C holds over what is shown all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from federation.errors import DepartmentForeign, FieldInvalid, PlacesOutdated
from federation.protocol.access_log import entries_digest, head_digest
from federation.protocol.identities import require_identity
from federation.protocol.search import department_digest, page_transcript, place_digest
from federation.protocol.statements import verify_signature
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import Verifier
from federation.v1.search_pb2 import IndexDepartment, KeptDepartment, KeptPlace, KeptPlaces, PlacesPage
from keystore.identities import DepartmentId, HospitalId, PatientId, hospital_of

PLACES_LIFE = timedelta(days=90)
"""How long after the cloud's answer they are of use: as long as what a hospital is granted by default."""

_FOUND = "found"

Shows = Callable[[str, DepartmentId, bytes], bool]
"""Whether a record may be shown: ID_HPC, ID_DE, handle."""


@dataclass(frozen=True)
class KnownHospital:
    """A hospital where the patient has records, by the cloud's word of then."""

    hospital_id: HospitalId
    address: str
    departments: tuple[tuple[DepartmentId, tuple[bytes, ...]], ...]


@dataclass(frozen=True)
class KnownPlaces:
    """What is shown of a search, and when its oldest page was answered."""

    as_of: Instant
    hospitals: tuple[KnownHospital, ...]


def narrowed(page: PlacesPage, shows: Shows) -> PlacesPage:
    """Return a page with digests in the place of what may not be shown: a department is shown whole, or not at all."""
    kept = PlacesPage()
    kept.CopyFrom(page)
    del kept.places[:]
    kept.places.extend(_narrowed(place, shows) for place in page.places)
    return kept


def _narrowed(place: KeptPlace, shows: Shows) -> KeptPlace:
    departments = [_narrowed_department(place.hospital_id, it.shown, shows) for it in place.departments]
    if any(it.HasField("shown") for it in departments):
        return KeptPlace(
            digest=place.digest, hospital_id=place.hospital_id, address=place.address, departments=departments
        )
    return KeptPlace(digest=_digest_of(place))


def _narrowed_department(hospital_id: str, department: IndexDepartment, shows: Shows) -> KeptDepartment:
    department_id = DepartmentId(department.department_id)
    if all(shows(hospital_id, department_id, handle) for handle in department.handles):
        return KeptDepartment(shown=department)
    return KeptDepartment(digest=department_digest(department))


def read_places(kept: KeptPlaces, patient_id: PatientId, verifier: Verifier, *, now: Instant) -> KnownPlaces:
    """Verify what a patient brings, and return what is shown of it.

    Raises PlacesOutdated, FutureDated, CloudKeyUnknown, CloudKeyRevoked, SignatureInvalid, DepartmentForeign, FieldInvalid.
    """
    if not kept.pages:
        raise FieldInvalid("nothing is kept of a search")  # places.1
    for page in kept.pages:
        verifier.freshness.require_not_future(page.sent_at, now=now)  # places.2
        if now - page.sent_at > milliseconds(PLACES_LIFE):
            raise PlacesOutdated("where the patient has records was looked up too long ago")  # places.3
        verify_signature(  # places.5
            verifier.anchors.cloud_key_at(page.sent_at),  # places.4
            page.signature,
            page_covered(page, patient_id),
        )
    shown = tuple(hospital for page in kept.pages for hospital in _shown_on(page))
    return KnownPlaces(min(page.sent_at for page in kept.pages), shown)


def page_covered(page: PlacesPage, patient_id: PatientId) -> bytes:
    """Return what Sig_C of a page covers: that this patient's records were found there."""
    places = [_digest_of(it) for it in page.places]
    return page_transcript(page, _FOUND, patient_id, places, entries_digest(()), head_digest(None))


def _shown_on(page: PlacesPage) -> Iterator[KnownHospital]:
    for place in page.places:
        if not place.HasField("hospital_id"):
            continue
        hospital_id = require_identity("hospital", place.hospital_id)
        shown = [it.shown for it in place.departments if it.HasField("shown")]
        departments = tuple((DepartmentId(it.department_id), tuple(it.handles)) for it in shown)
        if any(hospital_of(department_id) != hospital_id for department_id, _ in departments):
            raise DepartmentForeign("a place names a department of another hospital")  # places.6
        yield KnownHospital(HospitalId(hospital_id), place.address, departments)


def _digest_of(place: KeptPlace) -> bytes:
    """Return H(place), of one that is shown or not."""
    if not place.HasField("hospital_id"):
        return place.digest
    # What is shown is what is signed, whatever digest stands beside it.
    departments = [department_digest(it.shown) if it.HasField("shown") else it.digest for it in place.departments]
    return place_digest(place.hospital_id, place.address, place.digest, departments)
