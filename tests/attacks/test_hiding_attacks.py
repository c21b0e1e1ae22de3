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
from tests.e2e.unserved_cloud import Clock, Unserved, looked_up, opened, unserved_cloud
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


def found(cloud: Unserved, allowed: Allowed) -> list[Location]:
    return looked_up(cloud.node.cloud, "P:wang", CLASSES, allowed)


def test_pages_and_what_is_opened_are_the_same_with_and_without_what_is_above_the_grant(
    cloud: Unserved, revealed: list[bytes]
) -> None:
    put(cloud, *(place(number) for number in range(8)))
    seen = found(cloud, BY_GRANT), len(revealed)
    put(cloud, *(place(number, sensitivity=SENSITIVITY_RESTRICTED) for number in range(8, 40)))
    put(cloud, *(place(number, sensitivity=SENSITIVITY_SECRET) for number in range(40, 50)))
    revealed.clear()
    assert (found(cloud, BY_GRANT), len(revealed)) == seen
    assert len(found(cloud, replace(BY_GRANT, highest_sensitivity=SENSITIVITY_RESTRICTED))) == 40
    assert len(found(cloud, EVERYTHING)) == 50


def test_where_a_page_ends_tells_nothing_of_what_is_above_the_grant(
    cloud: Unserved, revealed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is full to its last row says that there are more where there are more that may be shown, and not else."""
    monkeypatch.setattr(index_rows, "ROWS_PER_PAGE", 8)
    put(cloud, *(place(number) for number in range(9)))
    put(cloud, *(place(number, sensitivity=SENSITIVITY_SECRET) for number in range(9, 30)))
    first = index_rows.look_up(cloud.node.cloud, "P:wang", CLASSES, BY_GRANT)
    assert len([*first.opened]) == len(revealed) == 8
    second = index_rows.look_up(cloud.node.cloud, "P:wang", CLASSES, BY_GRANT, first.last)
    assert (len([*second.opened]), second.last) == (1, None)


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
    shown = found(cloud, replace(BY_GRANT, hidden=(hidden,)))
    assert {int.from_bytes(it.handle, "big") for it in shown} == left
    assert len(revealed) == len(left)


def test_record_that_is_hidden_without_its_hospital_is_shown_at_none(cloud: Unserved) -> None:
    put(cloud, place(0), place(1))
    assert found(cloud, replace(BY_GRANT, hidden=(Hidden(handle=bytes(16).hex()),))) == [place(1)]


def test_record_that_is_kept_back_since_is_not_shown_under_its_earlier_row(cloud: Unserved) -> None:
    put(cloud, place(0), place(0, sensitivity=SENSITIVITY_SECRET))
    assert found(cloud, BY_GRANT) == []
    assert found(cloud, EVERYTHING) == [place(0, sensitivity=SENSITIVITY_SECRET)]


def test_writer_of_the_database_shows_no_doctor_what_is_secret(cloud: Unserved) -> None:
    """It can give a secret record's row the level of a normal one; what is sealed in the row says otherwise."""
    put(cloud, place(0), place(1, sensitivity=SENSITIVITY_SECRET))
    normal = cloud.node.cloud.blind_index.patients("P:wang")[0].level(SENSITIVITY_NORMAL)
    lowered = sa.update(schema.index_rows).values(level=normal)
    cloud.node.database.write(lambda connection: connection.execute(lowered))
    assert found(cloud, BY_GRANT) == [place(0)]
