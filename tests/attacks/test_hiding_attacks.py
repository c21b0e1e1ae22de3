"""What is kept from somebody is not on file for him: no row, no page, no work that could be timed tells of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from federation.cloud import index_rows
from federation.protocol.access import Allowed, Hidden
from federation.protocol.index import BlindIndex, Location
from federation.store import schema
from federation.v1.statement_pb2 import SENSITIVITY_NORMAL, SENSITIVITY_RESTRICTED, SENSITIVITY_SECRET
from hsm import pin_from_value
from keystore.identities import ANY
from tests.e2e.unserved_cloud import Clock, Unserved, opened, unserved_cloud
from tests.grants import EVERYTHING

CLASSES = ("cardiology", "psychiatry")
BY_GRANT = Allowed("consent", (ANY,), (ANY,), SENSITIVITY_NORMAL)


@pytest.fixture
def cloud(tmp_path: Path, make_token_uri, make_token, user_pin) -> Iterator[Unserved]:
    """Yield an opened cloud that does not serve."""
    pin = pin_from_value(user_pin.reveal())
    with (
        unserved_cloud(tmp_path, make_token_uri, pin) as directory,
        opened(directory, pin, Clock(), make_token) as made,
    ):
        yield made


@pytest.fixture
def revealed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the ids of the rows that the token opened."""
    ids: list[bytes] = []
    reveal = BlindIndex.reveal

    def counting(index: BlindIndex, row_key: bytes, row_id: bytes, sealed: bytes) -> Location:
        ids.append(row_id)
        return reveal(index, row_key, row_id, sealed)

    monkeypatch.setattr(BlindIndex, "reveal", counting)
    return ids


def place(number: int, department: str = "H:north/cardiology", sensitivity: int = SENSITIVITY_NORMAL) -> Location:
    return Location(department, number.to_bytes(16, "big"), sensitivity=sensitivity)


def put(cloud: Unserved, *places: Location) -> None:
    for it in places:
        index_rows.put_row(cloud.node.cloud, "P:wang", it)


def look_up(cloud: Unserved, allowed: Allowed, page: int = 0) -> index_rows.LocationPage:
    return index_rows.look_up(cloud.node.cloud, "P:wang", CLASSES, allowed, page)


def test_pages_and_what_is_opened_are_the_same_with_and_without_what_is_above_the_grant(
    cloud: Unserved, revealed: list[bytes]
) -> None:
    put(cloud, *(place(number) for number in range(8)))
    seen = look_up(cloud, BY_GRANT), len(revealed)
    put(cloud, *(place(number, sensitivity=SENSITIVITY_RESTRICTED) for number in range(8, 40)))
    put(cloud, *(place(number, sensitivity=SENSITIVITY_SECRET) for number in range(40, 50)))
    revealed.clear()
    assert (look_up(cloud, BY_GRANT), len(revealed)) == seen
    assert look_up(cloud, BY_GRANT, page=1).locations == []
    assert look_up(cloud, replace(BY_GRANT, highest_sensitivity=SENSITIVITY_RESTRICTED)).pages == 5
    assert look_up(cloud, EVERYTHING).pages == 7


@pytest.mark.parametrize(
    ("hidden", "left"),
    [
        (Hidden("H:north"), {2}),
        (Hidden(department_class="psychiatry"), {0, 2}),
        (Hidden("H:north", "cardiology"), {1, 2}),
        (Hidden("H:north", handle=bytes(16).hex()), {1, 2}),
        (Hidden("H:north", "psychiatry", bytes(16).hex()), {0, 1, 2}),
        (Hidden(), set()),
    ],
    ids=["hospital", "class", "class of a hospital", "record", "record of another class", "all"],
)
def test_pages_and_what_is_opened_tell_nothing_of_what_is_hidden(
    cloud: Unserved, revealed: list[bytes], hidden: Hidden, left: set[int]
) -> None:
    put(cloud, place(0), place(1, "H:north/psychiatry"), place(2, "H:south/cardiology"))
    found = look_up(cloud, replace(BY_GRANT, hidden=(hidden,)))
    assert {int.from_bytes(it.handle, "big") for it in found.locations} == left
    assert len(revealed) == len(left)


def test_record_that_is_hidden_without_its_hospital_is_shown_at_none(cloud: Unserved) -> None:
    put(cloud, place(0), place(1))
    found = look_up(cloud, replace(BY_GRANT, hidden=(Hidden(handle=bytes(16).hex()),)))
    assert found.locations == [place(1)]


def test_record_that_is_kept_back_since_is_not_shown_under_its_earlier_row(cloud: Unserved) -> None:
    put(cloud, place(0), place(0, sensitivity=SENSITIVITY_SECRET))
    assert look_up(cloud, BY_GRANT).locations == []
    assert look_up(cloud, EVERYTHING).locations == [place(0, sensitivity=SENSITIVITY_SECRET)]


def test_writer_of_the_database_shows_no_doctor_what_is_secret(cloud: Unserved) -> None:
    """It can give a secret record's row the level of a normal one; what is sealed in the row says otherwise."""
    put(cloud, place(0), place(1, sensitivity=SENSITIVITY_SECRET))
    normal = cloud.node.cloud.blind_index.patients("P:wang")[0].level(SENSITIVITY_NORMAL)
    lowered = sa.update(schema.index_rows).values(level=normal)
    cloud.node.database.write(lambda connection: connection.execute(lowered))
    assert look_up(cloud, BY_GRANT).locations == [place(0)]
