"""What a patient hides, at a served cloud: no row of it is found, hospitals are told, and nobody else can say what is hidden."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from federation import errors
from federation.clock import system_clock, system_entropy
from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.protocol.access import Hidden
from federation.protocol.calls import RESTRICT
from federation.protocol.consent import make_mandate
from federation.protocol.restriction import Restriction, Stating, ask_restricting, make_restriction
from federation.protocol.search import Question
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import Deputyship
from federation.v1.restrictions_pb2 import HeldRestriction, RestrictRequest
from federation.v1.restrictions_pb2_grpc import RestrictionServiceStub
from federation.v1.statement_pb2 import POWER_READ, POWER_RESTRICT, SignedStatement
from keystore.identities import PatientId
from tests.e2e.cloud_lab import CloudLab

Hospital = tuple[Member, CloudClient]


@pytest.fixture(scope="module")
def north(lab: CloudLab) -> Hospital:
    return lab.hospital("H:north")


@pytest.fixture(scope="module")
def south(lab: CloudLab) -> Hospital:
    return lab.hospital("H:south")


@pytest.fixture(scope="module")
def doctor(lab: CloudLab) -> Member:
    return lab.doctor("D:asks")


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(1, 100))


@pytest.fixture
def patient(lab: CloudLab, north: Hospital, south: Hospital, numbers: Iterator[int]) -> Member:
    """Return a patient with two records in the north and one in the south."""
    made = lab.patient(f"P:hides-{next(numbers)}", north)
    for hospital, department in ((north, "cardiology"), (north, "psychiatry"), (south, "cardiology")):
        lab.publish(hospital, made.identity, department)
    return made


@pytest.fixture
def deputy(lab: CloudLab, north: Hospital, numbers: Iterator[int]) -> Member:
    return lab.patient(f"P:deputy-{next(numbers)}", north)


def stated(patient: Member, *hidden: Hidden, above: int = 0, of: Member | None = None, **said) -> SignedStatement:
    now = system_clock()
    wanted = Restriction(PatientId((of or patient).identity), hidden=hidden)
    return make_restriction(patient.party(now), wanted, above=above, now=now, **said)


def hide(lab: CloudLab, patient: Member, *hidden: Hidden, above: int = 0):
    return lab.client().restrict(patient, patient.identity, Stating(stated(patient, *hidden, above=above), above))


def mandate(patient: Member, deputy: Member, *powers: int) -> Deputyship:
    now = system_clock()
    signed = make_mandate(
        patient.party(now), deputy.identity, powers, timedelta(days=1), now=now, entropy=system_entropy
    )
    return Deputyship(mandate=signed, key_statement=patient.key_statement)


def found(lab: CloudLab, doctor: Member, patient: Member) -> set[str]:
    return {it.department_id for it in lab.client().search(doctor, lab.question(patient, doctor)).locations}


def fetch_all(hospital: Hospital) -> list[bytes]:
    """Take what is due, and acknowledge it, until nothing is left; give the restrictions."""
    member, client = hospital
    held, taken = [], []
    while due := client.fetch_restrictions(member, held):
        taken += [it.shown.restriction for it in due]
        held = [HeldRestriction(reference=it.reference, number=2**62) for it in due]
    return taken


def test_hidden_record_is_found_by_no_doctor_and_by_the_patient_itself(
    lab: CloudLab, patient: Member, doctor: Member
) -> None:
    every = {"H:north/cardiology", "H:north/psychiatry", "H:south/cardiology"}
    assert found(lab, doctor, patient) == every
    _, restriction = hide(lab, patient, Hidden("H:north", "psychiatry"))
    assert found(lab, doctor, patient) == every - {"H:north/psychiatry"}
    own = lab.client().search(patient, Question(Shown.by_own_right(patient.identity)))
    assert {it.department_id for it in own.locations} == every
    hide(lab, patient, Hidden(), above=restriction.number)
    assert found(lab, doctor, patient) == set()


def test_answer_says_how_many_hospitals_have_it_and_a_row_that_comes_later_makes_it_due(
    lab: CloudLab, patient: Member, north: Hospital, south: Hospital
) -> None:
    fetch_all(north), fetch_all(south)
    standings, restriction = hide(lab, patient, Hidden("H:north"))
    assert (standings.hospitals_with, standings.hospitals_without) == (0, 2)
    shown = standings.shown.restriction
    assert fetch_all(north) == [shown]
    standings, _ = lab.client().restrict(patient, patient.identity)
    assert (standings.hospitals_with, standings.hospitals_without) == (1, 1)
    assert fetch_all(south) == [shown]

    east = lab.hospital(f"H:east-{restriction.number}")
    assert fetch_all(east) == []
    lab.publish(east, patient.identity, "cardiology")
    assert fetch_all(east) == [shown]
    # A hospital that publishes again what it restored is told again.
    lab.publish(north, patient.identity, "cardiology")
    assert fetch_all(north) == [shown]
    standings, _ = hide(lab, patient, above=restriction.number)
    assert (standings.hospitals_with, standings.hospitals_without) == (0, 3)


def test_what_is_not_acknowledged_comes_again_and_an_older_acknowledgement_counts_for_nothing(
    lab: CloudLab, patient: Member, south: Hospital
) -> None:
    fetch_all(south)
    _, restriction = hide(lab, patient, Hidden())
    (one,) = south[1].fetch_restrictions(south[0], ())
    (again,) = south[1].fetch_restrictions(south[0], ())
    assert one == again
    older = HeldRestriction(reference=one.reference, number=restriction.number - 1)
    assert south[1].fetch_restrictions(south[0], [older]) == [one]
    held = HeldRestriction(reference=one.reference, number=restriction.number)
    assert list(south[1].fetch_restrictions(south[0], [held])) == []


def test_acknowledgement_of_one_hospital_is_no_others(
    lab: CloudLab, patient: Member, north: Hospital, south: Hospital
) -> None:
    fetch_all(north), fetch_all(south)
    standings, restriction = hide(lab, patient, Hidden())
    (due,) = north[1].fetch_restrictions(north[0], ())
    south[1].fetch_restrictions(south[0], [HeldRestriction(reference=due.reference, number=restriction.number)])
    assert fetch_all(north) == [standings.shown.restriction]


def test_older_number_is_refused_restriction_superseded_and_hides_as_before(
    lab: CloudLab, patient: Member, doctor: Member
) -> None:
    first = stated(patient, Hidden("H:south"))
    _, stands = hide(lab, patient, Hidden("H:north"))
    for older in (first, stated(patient)):
        with lab.refused_in_clear(errors.RestrictionSuperseded):
            # Another device, that has not looked since; and who says that it has, with what it signed before.
            follows = stands.number if older == first else 0
            lab.client().restrict(patient, patient.identity, Stating(older, follows))
    assert found(lab, doctor, patient) == {"H:south/cardiology"}


def test_another_patient_restricts_nothing_identity_mismatch(
    lab: CloudLab, patient: Member, deputy: Member, doctor: Member
) -> None:
    with lab.rejected_for("IDENTITY_MISMATCH"):
        lab.client().restrict(deputy, patient.identity, Stating(stated(deputy, Hidden(), of=patient), 0))
    assert len(found(lab, doctor, patient)) == 3


def test_deputy_restricts_with_the_power_alone(lab: CloudLab, patient: Member, deputy: Member, doctor: Member) -> None:
    reads, restricts = mandate(patient, deputy, POWER_READ), mandate(patient, deputy, POWER_READ, POWER_RESTRICT)
    with lab.rejected_for("DEPUTY_POWERS"):
        stating = Stating(stated(deputy, Hidden(), of=patient, deputyship=reads), 0)
        lab.client().restrict(deputy, patient.identity, stating, reads)
    stating = Stating(stated(deputy, Hidden("H:south"), of=patient, deputyship=restricts), 0)
    _, restriction = lab.client().restrict(deputy, patient.identity, stating, restricts)
    assert (restriction.signer_id, restriction.hidden) == (deputy.identity, (Hidden("H:south"),))
    assert found(lab, doctor, patient) == {"H:north/cardiology", "H:north/psychiatry"}

    def sees(by: Deputyship) -> int:
        return len(lab.client().search(deputy, Question(Shown.by_own_right(patient.identity, by))).locations)

    assert (sees(reads), sees(restricts)) == (2, 3)


def test_message_replayed_is_refused(lab: CloudLab, patient: Member) -> None:
    client, now = lab.client(), system_clock()
    payload = ask_restricting(patient.party(now), PatientId(patient.identity), None, None, bytes(16))
    opening, _ = RESTRICT.send(payload, patient.signing_key, client.cloud_key(patient), now=now)
    stub = RestrictionServiceStub(client._channel)
    call(stub.Restrict, RestrictRequest(opening=opening))
    with lab.rejected_for("MESSAGE_REPLAYED"):
        call(stub.Restrict, RestrictRequest(opening=opening))


def test_hospital_fetches_for_itself_alone_identity_mismatch(lab: CloudLab, north: Hospital, south: Hospital) -> None:
    """With its own TLS identity it sends what another hospital signed."""
    with lab.rejected_for("IDENTITY_MISMATCH"):
        north[1].fetch_restrictions(south[0], ())


def test_restriction_that_does_not_open_fails_closed(lab: CloudLab, patient: Member, doctor: Member) -> None:
    """Somebody who writes the cloud's database damages it."""
    hide(lab, patient, Hidden("H:south"))
    store = lab.node.cloud.restrictions.store
    for row in store.walk():
        store.reseal(row, row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]))
    try:
        with pytest.raises(errors.Corrupt):
            found(lab, doctor, patient)
    finally:
        for row in store.walk():
            store.reseal(row, row.sealed[:-1] + bytes([row.sealed[-1] ^ 1]))
    assert found(lab, doctor, patient) == {"H:north/cardiology", "H:north/psychiatry"}
