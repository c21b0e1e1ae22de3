"""Where a patient has records, as it brings it to a doctor: pages of the public cloud's answers, some of them bent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from federation.errors import FederationError
from federation.protocol.places import KnownPlaces, read_places
from federation.protocol.verifier import Verifier
from federation.v1.search_pb2 import IndexDepartment, KeptDepartment, KeptPlace, KeptPlaces, PlacesPage
from keystore.identities import PatientId
from tests.vectors import spec
from tests.vectors.draws import Json, Stream
from tests.vectors.software import NOW, ROTATED_AT
from tests.vectors.spec import listing, sha256, text, u64

WANG, LIN = "P:wang", "P:lin"
LIFE = 90 * 24 * 3_600_000
SKEW = 5_000
BEFORE = ROTATED_AT - 1

Bend = Callable[[PlacesPage], object]


@dataclass(frozen=True)
class Maker:
    """Makes pages, as the public cloud does; `key` signs now, `retired` before PRK_C was rotated."""

    key: bytes
    retired: bytes

    def page(
        self, hospitals: Json, *, sent_at: int = NOW, of: str = WANG, outcome: str = "found", **fields: Any
    ) -> PlacesPage:
        """Give a page of {hospital: {department: [handle]}}, signed by the PRK_C of its time, all of it shown."""
        draw = Stream("page of places")
        page = PlacesPage(
            department_class="*",
            proof=draw(32),
            registration_point=spec.public_key(draw.private_key()),
            serial=draw(16),
            asker_id=of,
            query_digest=draw(32),
            sent_at=sent_at,
            places=[_place(name, departments) for name, departments in hospitals.items()],
        )
        for name, value in fields.items():
            setattr(page, name, value)
        key = self.key if sent_at >= ROTATED_AT else self.retired
        page.signature = spec.sign(key, _covered(page, of, outcome))
        return page


def _place(hospital_id: str, departments: dict[str, list[bytes]]) -> KeptPlace:
    shown = [IndexDepartment(department_id=name, handles=handles) for name, handles in departments.items()]
    return KeptPlace(
        digest=sha256(hospital_id.encode()),
        hospital_id=hospital_id,
        address=f"{hospital_id[2:]}.example:443",
        departments=[KeptDepartment(shown=one) for one in shown],
    )


def _covered(page: PlacesPage, patient_id: str, outcome: str) -> bytes:
    """Give what Sig_C covers: eq. 30, with no entries and no head."""
    asked = text(patient_id), text(page.department_class), page.proof, page.registration_point, page.serial
    places = listing([place_digest(it) for it in page.places])
    question = text(page.asker_id), page.query_digest, page.next
    return spec.transcript("C", text(outcome), *asked, places, u64(page.sent_at), *question, sha256(listing([])), b"")


def place_digest(place: KeptPlace) -> bytes:
    """Give H(place)."""
    if not place.hospital_id:
        return place.digest
    departments = [department_digest(it.shown) if it.HasField("shown") else it.digest for it in place.departments]
    where = text(place.hospital_id), text(place.address)
    return sha256(spec.transcript("row", *where, place.digest, listing(departments)))


def department_digest(department: IndexDepartment) -> bytes:
    """Give H(T("row", ID_DE, [handle]))."""
    return sha256(spec.transcript("row", text(department.department_id), listing(list(department.handles))))


def vectors(cloud: Json) -> list[Json]:
    """Give what a doctor goes by, and what it refuses."""
    keys = (bytes.fromhex(cloud[name]) for name in ("signing_key", "retired_signing_key"))
    maker = Maker(*keys)
    return [*_taken(maker), *_refused(maker)]


HOSPITALS = {
    "H:general": {"H:general/cardiology": [b"c" * 16, b"d" * 16], "H:general/neurology.2": [b"n" * 16]},
    "H:north": {"H:north/cardiology": [b"o" * 16]},
}
HERE = {"H:general": HOSPITALS["H:general"]}


def _vector(name: str, *pages: PlacesPage, expect: str = "success", patient_id: str = WANG, now: int = NOW) -> Json:
    found: Json = {"name": name, "expect": expect, "now": now, "patient_id": patient_id}
    found["places"] = KeptPlaces(pages=pages).SerializeToString(deterministic=True).hex()
    if expect == "success":
        found["as_of"] = min(page.sent_at for page in pages)
        found["hospitals"] = [_shown(place) for page in pages for place in page.places if place.hospital_id]
    return found


def _shown(place: KeptPlace) -> Json:
    shown = [it.shown for it in place.departments if it.HasField("shown")]
    departments = [{"department_id": it.department_id, "handles": [one.hex() for one in it.handles]} for it in shown]
    return {"hospital_id": place.hospital_id, "address": place.address, "departments": departments}


def _bent(page: PlacesPage, bend: Bend) -> PlacesPage:
    bend(page)
    return page


def hide_hospital(page: PlacesPage) -> None:
    """Leave the last hospital as a digest."""
    page.places[-1].CopyFrom(KeptPlace(digest=place_digest(page.places[-1])))


def hide_department(page: PlacesPage) -> None:
    """Leave the first hospital's second department as a digest."""
    department = page.places[0].departments[1]
    department.CopyFrom(KeptDepartment(digest=department_digest(department.shown)))


def _taken(maker: Maker) -> Iterator[Json]:
    yield _vector("a page of two hospitals", maker.page(HOSPITALS))
    yield _vector("a page of an own right's deputy", maker.page(HERE, asker_id=LIN))
    yield _vector("a page with more to come, and the next", maker.page(HERE, next=b"more"), maker.page(HOSPITALS))
    yield _vector("a hospital that is not shown", _bent(maker.page(HOSPITALS), hide_hospital))
    yield _vector("a department that is not shown", _bent(maker.page(HOSPITALS), hide_department))
    yield _vector("a page of before PRK_C was rotated", maker.page(HERE, sent_at=BEFORE), maker.page(HERE))
    yield _vector("a page as old as it may be", maker.page(HERE), now=NOW + LIFE)
    yield _vector("a page of a clock that is ahead within the skew", maker.page(HERE), now=NOW - SKEW)


def _refused(maker: Maker) -> Iterator[Json]:
    invalid = "SIGNATURE_INVALID"
    yield _vector("no page", expect="FIELD_INVALID")
    yield _vector("a page older than it may be", maker.page(HERE), expect="PLACES_OUTDATED", now=NOW + LIFE + 1)
    old = maker.page(HERE, sent_at=BEFORE)
    yield _vector(
        "a second page that is too old", maker.page(HERE), old, expect="PLACES_OUTDATED", now=BEFORE + LIFE + 1
    )
    yield _vector("a page of the future", maker.page(HERE), expect="FUTURE_DATED", now=NOW - SKEW - 1)
    yield _vector("another patient's page", maker.page(HERE, of=LIN), expect=invalid)
    yield _vector("another patient's page, for that one", maker.page(HERE, of=LIN), patient_id=LIN)
    yield _vector("a page on which none was found", maker.page({}, outcome="none"), expect=invalid)
    yield _vector("a page by a key that was retired", _dated(maker.page(HERE, sent_at=BEFORE)), expect=invalid)
    foreign = {"H:general": {"H:north/cardiology": [b"o" * 16]}}
    yield _vector("a department of another hospital", maker.page(foreign), expect="DEPARTMENT_FOREIGN")
    for name, bend in _bends():
        yield _vector(name, _bent(maker.page(HOSPITALS), bend), expect=invalid)
    second = _bent(maker.page(HERE), lambda page: page.ClearField("places"))
    yield _vector("a second page that was bent", maker.page(HOSPITALS), second, expect=invalid)


def _dated(page: PlacesPage) -> PlacesPage:
    page.sent_at = NOW
    return page


def _bends() -> Iterator[tuple[str, Bend]]:
    def tell(name: str, value: object) -> Bend:
        return lambda page: setattr(page, name, value)

    yield "another address", lambda page: setattr(page.places[0], "address", "rogue.example:1")
    yield "another hospital", lambda page: setattr(page.places[1], "hospital_id", "H:rogue")
    yield "other statements", lambda page: setattr(page.places[0], "digest", bytes(32))
    yield "another handle", lambda page: page.places[0].departments[0].shown.handles.__setitem__(0, bytes(16))
    yield "a handle more", lambda page: page.places[0].departments[0].shown.handles.append(bytes(16))
    yield "a handle that is not of the digest beside it", _shown_otherwise
    yield "a department less", lambda page: page.places[0].departments.pop()
    yield "a hospital less", lambda page: page.places.pop()
    yield "hospitals in another order", lambda page: page.places.sort(key=lambda it: it.hospital_id, reverse=True)
    yield "a hospital's digest that is none's", _another_digest
    yield "another time", tell("sent_at", NOW - 1)
    yield "another who asked", tell("asker_id", LIN)
    yield "another class", tell("department_class", "cardiology")
    yield "another proof", tell("proof", bytes(32))
    yield "another credential", tell("serial", bytes(16))
    yield "another registration", tell("registration_point", spec.public_key(spec.octets(7)))
    yield "another question", tell("query_digest", bytes(32))
    yield "another next page", tell("next", b"more")


def _shown_otherwise(page: PlacesPage) -> None:
    department = page.places[0].departments[0]
    department.digest = department_digest(department.shown)
    department.shown.handles[0] = bytes(16)


def _another_digest(page: PlacesPage) -> None:
    page.places[1].CopyFrom(KeptPlace(digest=bytes(32)))


def read(vector: Json, verifier: Verifier) -> KnownPlaces:
    """Take a vector as a doctor's client does."""
    kept = KeptPlaces.FromString(bytes.fromhex(vector["places"]))
    return read_places(kept, PatientId(vector["patient_id"]), verifier, now=vector["now"])


def outcome(vector: Json, verifier: Verifier) -> str:
    """Give what the code says of a vector."""
    try:
        known = read(vector, verifier)
    except FederationError as error:
        return error.reason
    assert (known.as_of, [_known(it) for it in known.hospitals]) == (vector["as_of"], vector["hospitals"])
    return "success"


def _known(hospital: Any) -> Json:
    departments = [
        {"department_id": name, "handles": [one.hex() for one in handles]} for name, handles in hospital.departments
    ]
    return {"hospital_id": hospital.hospital_id, "address": hospital.address, "departments": departments}
