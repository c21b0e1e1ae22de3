"""Where a patient has records, as its device keeps it and hands it to a doctor: another's, too old, changed, too much."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import CloudKeyRevoked, FieldInvalid, FutureDated, PlacesOutdated, SignatureInvalid
from federation.person.places import PlacesBook
from federation.protocol import search
from federation.protocol.access import Hidden
from federation.protocol.consent import peek_grant
from federation.protocol.index import Location
from federation.protocol.places import PLACES_LIFE, KnownPlaces, narrowed, read_places
from federation.protocol.search import Answer, department_digest
from federation.v1.search_pb2 import KeptPlaces, PlacesPage
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import DepartmentId, PatientId
from keystore.party import IDENTITY
from tests.grants import wide
from tests.mallory import refused
from tests.simulator import Federation

WANG, LIN = PatientId("P:wang"), PatientId("P:lin")
PLACES = (
    Location("H:alpha/cardiology", b"c" * 16),
    Location("H:alpha/psychiatry", b"p" * 16),
    Location("H:beta/cardiology", b"b" * 16),
)


def own_search(federation: Federation) -> Answer:
    """The patient asks the public cloud for its own places."""
    now, verifier = federation.clock.now, federation.patient.verifier()
    awaiting, opening = search.ask(
        federation.party(federation.patient),
        search.Question(federation.own()),
        federation.cloud.encryption_key(),
        verifier,
        now=now,
        entropy=federation.entropy,
    )
    return awaiting.receive(federation.cloud.answer(opening), verifier, now=now)


@pytest.fixture
def page(federation: Federation) -> PlacesPage:
    for place in PLACES:
        federation.cloud.publish(WANG, place)
    return own_search(federation).page


def read(federation: Federation, page: PlacesPage, patient_id: PatientId = WANG) -> KnownPlaces:
    """The doctor looks at what the patient brought."""
    kept = KeptPlaces(pages=[page])
    return read_places(kept, patient_id, federation.doctor.verifier(), now=federation.clock.now)


def test_places_are_read_as_the_cloud_said_them(federation: Federation, page: PlacesPage) -> None:
    known = read(federation, page)
    assert known.as_of == federation.clock.now
    found = {(it.hospital_id, department, handles) for it in known.hospitals for department, handles in it.departments}
    assert found == {
        ("H:alpha", "H:alpha/cardiology", (b"c" * 16,)),
        ("H:alpha", "H:alpha/psychiatry", (b"p" * 16,)),
        ("H:beta", "H:beta/cardiology", (b"b" * 16,)),
    }


def test_places_of_one_patient_are_no_others(federation: Federation, page: PlacesPage) -> None:
    """Old places are played again for another patient, who would be asked for where it never was."""
    with refused(SignatureInvalid):
        read(federation, page, LIN)


def test_places_older_than_their_bound_are_refused(federation: Federation, page: PlacesPage) -> None:
    federation.clock.advance(PLACES_LIFE)
    assert read(federation, page).hospitals
    federation.clock.advance(timedelta(milliseconds=1))
    with refused(PlacesOutdated):
        read(federation, page)


def test_places_of_tomorrow_are_refused(federation: Federation, page: PlacesPage) -> None:
    federation.clock.advance(-timedelta(days=1))
    with refused(FutureDated):
        read(federation, page)


def readdressed(page: PlacesPage) -> None:
    page.places[0].address = "rogue.example:1"


def renamed(page: PlacesPage) -> None:
    page.places[0].hospital_id = "H:rogue"


def rehandled(page: PlacesPage) -> None:
    page.places[0].departments[0].shown.handles[0] = bytes(16)


def shortened(page: PlacesPage) -> None:
    del page.places[-1]


def renewed(page: PlacesPage) -> None:
    page.sent_at += 1


def asked_by_another(page: PlacesPage) -> None:
    page.asker_id = LIN


def shown_otherwise(page: PlacesPage) -> None:
    """The digest that the cloud signed stays beside what is made up."""
    department = page.places[0].departments[0]
    department.digest = department_digest(department.shown)
    department.shown.handles[0] = bytes(16)


@pytest.mark.parametrize(
    "change", [readdressed, renamed, rehandled, shortened, renewed, asked_by_another, shown_otherwise]
)
def test_places_that_were_changed_are_refused(
    federation: Federation, page: PlacesPage, change: Callable[[PlacesPage], None]
) -> None:
    change(page)
    with refused(SignatureInvalid):
        read(federation, page)


def test_no_place_at_all_is_refused(federation: Federation) -> None:
    with refused(FieldInvalid):
        read_places(KeptPlaces(), WANG, federation.doctor.verifier(), now=federation.clock.now)


def test_places_by_a_cloud_key_that_was_revoked_are_refused(own_federation: Federation) -> None:
    own_federation.cloud.publish(WANG, PLACES[0])
    page = own_search(own_federation).page
    own_federation.cloud.rotate(IDENTITY)
    own_federation.cloud.revoke_generation(IDENTITY)
    own_federation.refresh(own_federation.doctor)
    with refused(CloudKeyRevoked):
        read(own_federation, page)


def test_what_is_not_to_be_shown_is_not_in_what_is_handed_on(federation: Federation, page: PlacesPage) -> None:
    """What is left of it holds under the cloud's signature all the same."""

    def shows(hospital_id: str, department_id: DepartmentId, _handle: bytes) -> bool:
        return hospital_id == "H:alpha" and department_id.endswith("cardiology")

    shown = narrowed(page, shows)
    content = shown.SerializeToString()
    assert b"psychiatry" not in content
    assert b"H:beta" not in content
    assert b"p" * 16 not in content
    (only,) = read(federation, shown).hospitals
    assert only.departments == (("H:alpha/cardiology", (b"c" * 16,)),)


def handed(federation: Federation, book: PlacesBook, grant: SignedStatement) -> list[str]:
    found = book.handed(WANG, peek_grant(grant), federation.clock.now)
    if found is None:
        return []
    known = read_places(found.message, WANG, federation.doctor.verifier(), now=federation.clock.now)
    assert {it.hospital_id for it in known.hospitals} == set(found.hospitals)
    return sorted(department for it in known.hospitals for department, _ in it.departments)


def test_device_hands_on_what_the_consent_covers_and_nothing_that_is_hidden(
    federation: Federation, page: PlacesPage, tmp_path: Path
) -> None:
    del page
    book = PlacesBook(tmp_path, federation.patient)
    book.keep(WANG, [own_search(federation)], [Hidden(hospital="H:beta")])
    assert handed(federation, book, federation.grant()) == ["H:alpha/cardiology", "H:alpha/psychiatry"]
    narrow = federation.grant(wide(department_classes=("cardiology",)))
    assert handed(federation, book, narrow) == ["H:alpha/cardiology"]
    assert handed(federation, book, federation.grant(wide(hospitals=("H:gamma",)))) == []
    sealed = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"H:alpha" not in sealed
    assert b"wang" not in sealed


def test_device_hands_on_nothing_that_no_doctor_would_take(
    federation: Federation, page: PlacesPage, tmp_path: Path
) -> None:
    del page
    book = PlacesBook(tmp_path, federation.patient)
    book.keep(WANG, [own_search(federation)], [])
    grant = federation.grant(wide(life=timedelta(days=300)))
    assert book.handed(LIN, peek_grant(grant), federation.clock.now) is None
    federation.clock.advance(PLACES_LIFE + timedelta(seconds=1))
    assert handed(federation, book, grant) == []
