"""A doctor looks for what a patient hides by sizes and times: at a served cloud and a served hospital nothing tells of it.

Times are compared by their ranks alone: the part of all pairs in which one kind took longer than the other, half where nothing
tells them apart. The kinds take turns, so that what else the machine does hits both. Of 40 of each the part strays by 0.065
(one standard deviation); STRAYS is far beyond, and the naive way of filtering is beyond that.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from federation.clock import system_clock, system_entropy
from federation.cloud import index_rows
from federation.hospital.restrictions import take_restrictions
from federation.party.member import Member
from federation.protocol import search
from federation.protocol.access import Allowed, Hidden
from federation.protocol.index import Location
from federation.protocol.record import Intent
from federation.protocol.restriction import Restriction, Stating, make_restriction
from federation.protocol.search import Question
from federation.settings import ServerSettings
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from federation.v1.restrictions_pb2 import DueRestriction, ShownRestriction
from federation.v1.search_pb2 import SearchRequest
from federation.v1.search_pb2_grpc import SearchServiceStub
from federation.v1.statement_pb2 import SENSITIVITY_NORMAL
from hsm import pin_from_value
from keystore.identities import ANY
from tests.e2e.cloud_lab import CloudLab, Serve
from tests.e2e.unserved_cloud import Clock, Unserved, looked_up, opened, unserved_cloud
from tests.hospital_lab import Client, HospitalLab

ROUNDS = 40
STRAYS = 0.3
Ask = Callable[[], int]
"""Asks once, and gives how large the answer is."""


def longer(hidden: Sequence[float], absent: Sequence[float]) -> float:
    """Give the part of pairs in which what is hidden took longer; equal times count half."""
    wins = sum((one > other) + (one == other) / 2 for one in hidden for other in absent)
    return wins / (len(hidden) * len(absent))


def measured(hidden: Ask, absent: Ask) -> tuple[float, set[int]]:
    """Ask both in turn, in an order of chance; give the part in which what is hidden took longer, and the sizes seen."""
    order, times, sizes = random.Random(4711), {hidden: [], absent: []}, set()
    for ask in (hidden, absent):  # what is made at the first call
        ask()
    for _ in range(ROUNDS):
        for ask in order.sample((hidden, absent), 2):
            began = time.perf_counter()
            sizes.add(ask())
            times[ask].append(time.perf_counter() - began)
    return longer(times[hidden], times[absent]), sizes


@pytest.mark.parametrize(("added", "expected"), [(0.0, (0.5, 0.5)), (1.0, (1.0, 1.0))], ids=["equal", "longer"])
def test_measure_is_half_for_one_distribution_and_all_for_one_that_lies_above(
    added: float, expected: tuple[float, float]
) -> None:
    times = [number / ROUNDS for number in range(ROUNDS)]
    assert longer([it + added for it in times], times) == pytest.approx(expected[0])


@pytest.fixture(scope="module")
def served(serve_cloud: Serve) -> Iterator[CloudLab]:
    """Yield a cloud that takes as many questions as are asked here."""
    with serve_cloud(server=ServerSettings(openers_per_second=1000, openers_burst=10_000)) as lab:
        yield lab


def test_cloud_answers_of_a_hidden_row_and_of_one_that_never_was_are_alike(served: CloudLab) -> None:
    hospital, doctor = served.hospital("H:north"), served.doctor("D:curious")
    patients = {name: served.patient(name, hospital) for name in ("P:hides", "P:never")}
    for patient in patients.values():
        served.publish(hospital, patient.identity, "cardiology")
    for _ in range(8):
        served.publish(hospital, "P:hides", "psychiatry")
    hides, now = patients["P:hides"], system_clock()
    hidden = Restriction(hides.identity, hidden=[Hidden("H:north", "psychiatry")])
    signed = make_restriction(hides.party(now), hidden, above=0, now=now)
    served.client().restrict(hides, hides.identity, Stating(signed, 0))
    client = served.client()
    stub, key = SearchServiceStub(client._channel), client.cloud_key(doctor)

    def asks(patient: Member) -> Ask:
        grant = served.question(patient, doctor)

        def ask() -> int:
            _, opening = search.ask(
                doctor.party(system_clock()),
                Question(grant.shown),
                key,
                doctor.verifier(),
                now=system_clock(),
                entropy=system_entropy,
            )
            return len(stub.Search(SearchRequest(opening=opening)).reply.sealed)

        return ask

    part, sizes = measured(asks(patients["P:hides"]), asks(patients["P:never"]))
    assert len(sizes) == 1
    assert abs(part - 0.5) < STRAYS


def test_hospital_answers_of_a_hidden_record_and_of_one_that_never_was_are_alike(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    kept, now = lab.import_files(), federation.clock.now
    hidden = Restriction("P:wang", hidden=[Hidden("H:alpha", handle=kept.hex())])
    signed = make_restriction(federation.party(federation.patient), hidden, above=0, now=now)
    shown = ShownRestriction(restriction=signed, key_statement=federation.patient.key_statement)
    handing = iter([[DueRestriction(reference=bytes(32), shown=shown)], []])
    assert take_restrictions(lab.hospital, lambda _: next(handing)) == 1
    federation.refresh(federation.other_patient)

    def asks(patient: Member, handle: bytes) -> Ask:
        shown = federation.shown(federation.grant(patient=patient), patient)
        scope = Scope(purpose=PURPOSE_READ, department_class=ANY, handles=[handle])

        def ask() -> int:
            with client.session() as session:
                established = client.establish(session, Intent(shown, scope, federation.entropy(32)))
                session.send(frame=established.query(now=federation.clock.now)[1])
                answer = session.receive().frame
                assert answer.last
                return answer.ByteSize()

        return ask

    hides = asks(federation.patient, kept)
    for never in (asks(federation.patient, b"n" * 16), asks(federation.other_patient, kept)):
        part, sizes = measured(hides, never)
        assert len(sizes) == 1
        assert abs(part - 0.5) < STRAYS


@pytest.fixture
def unserved(tmp_path: Path, make_token_uri, make_token, user_pin) -> Iterator[Unserved]:
    """Yield an opened cloud that does not serve."""
    pin = pin_from_value(user_pin.reveal())
    with (
        unserved_cloud(tmp_path, make_token_uri, pin) as directory,
        opened(directory, pin, Clock(), make_token) as made,
    ):
        yield made


def test_the_same_measure_catches_an_index_that_filters_what_it_has_found(unserved: Unserved) -> None:
    """The naive way: rows are read and opened, and what is hidden is dropped then."""
    cloud = unserved.node.cloud
    for number in range(120):
        place = Location("H:north/psychiatry", number.to_bytes(16, "big"))
        index_rows.put_row(cloud, "P:hides", place)
    hidden = Hidden("H:north", "psychiatry")
    by_grant = Allowed("consent", (ANY,), (ANY,), SENSITIVITY_NORMAL)
    classes = ("cardiology", "psychiatry")

    def asks(patient_id: str) -> Ask:
        def ask() -> int:
            found = looked_up(cloud, patient_id, classes, by_grant)
            return len([it for it in found if not hidden.hides(it.hospital_id, "psychiatry", it.handle.hex())])

        return ask

    part, sizes = measured(asks("P:hides"), asks("P:never"))
    assert sizes == {0}
    assert part > 0.5 + STRAYS
    shown = replace(by_grant, hidden=(hidden,))
    assert looked_up(cloud, "P:hides", classes, shown) == looked_up(cloud, "P:never", classes, shown) == []
