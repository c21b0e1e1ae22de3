"""What SQLite does for a reader of records: by its keys, and no more of it the more records a patient has."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from federation.store import records as store
from federation.store.database import Database, open_database
from federation.store.records import Records
from federation.store.schema import records
from tests.contract.store_support import record

PATIENT = record().patient_key
OWN = [b"%016d" % number for number in range(3)]
MOST = 65
CLASSES = [f"class-{number}" for number in range(40)] + ["cardiology"]

ASKS: dict[str, Callable[[Records], object]] = {
    "by handle": lambda them: them.of_handles([PATIENT], OWN),
    "by handle of nobody's": lambda them: them.of_handles([PATIENT], [b"absent", b"nobody's"]),
    "of a class": lambda them: them.of_classes([PATIENT], ["cardiology"], ["normal"], most=MOST),
    "of all classes": lambda them: them.of_classes([PATIENT], CLASSES, ["normal", "restricted"], most=MOST),
    "whether there is room": lambda them: them.count_of([PATIENT], most=3),
}


@pytest.fixture
def database(tmp_path: Path):
    with open_database(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


@pytest.fixture
def steps(database: Database) -> list[int]:
    """Count the steps of SQLite's machine from now on."""
    taken = [0]

    def counted() -> int:
        taken[0] += 1
        return 0

    def watch(connection: object, _entry: object) -> None:
        connection.set_progress_handler(counted, 1)  # type: ignore[attr-defined]

    sa.event.listen(database.engine, "connect", watch)
    database.engine.dispose()
    return taken


def add(database: Database, numbers: range, **given: object) -> None:
    rows = [vars(record(b"%016d" % number, **given)) for number in numbers]  # type: ignore[arg-type]
    database.write(lambda connection: connection.execute(sa.insert(records), rows))


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_steps_of_a_reader_do_not_grow_with_the_records_of_the_patient(
    database: Database, steps: list[int], ask: Callable[[Records], object]
) -> None:
    add(database, range(3))
    counts, answers = [], []
    for others in (range(10, 20), range(100, 3_100)):
        add(database, others, department_class="other")
        add(database, range(others.stop, others.stop + len(others)), sensitivity="secret")
        steps[0] = 0
        answers.append(ask(Records(database)))
        counts.append(steps[0])
    assert answers[0] == answers[1]
    assert counts[0] == counts[1] > 0


def test_as_many_as_one_answer_holds_are_read_of_a_class_with_more(database: Database, steps: list[int]) -> None:
    counts = []
    for numbers in (range(100), range(100, 3_000)):
        add(database, numbers)
        steps[0] = 0
        found = Records(database).of_classes([PATIENT], ["cardiology"], ["normal"], most=MOST)
        assert len(found) == MOST
        counts.append(steps[0])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("patient_keys", [1, 2])
@pytest.mark.parametrize(
    ("prepared", "index"),
    [
        (lambda keys: store._of_handles(keys, 64), "records_patient_key (patient_key=? AND handle=?)"),
        (
            lambda keys: store._of_classes(keys, 41, 3),
            "records_patient_class (patient_key=? AND department_class=? AND sensitivity=?)",
        ),
        (store._handles_of, "records_patient_key (patient_key=?)"),
    ],
    ids=["by handle", "of classes", "counted"],
)
def test_records_are_found_by_an_index(
    database: Database, patient_keys: int, prepared: Callable[[int], store.Prepared], index: str
) -> None:
    """By handle, another patient's record and none at all are one place in the index, and no row is read for either."""

    def explained(connection: sa.Connection) -> list[str]:
        composed = prepared(patient_keys)._of(connection)
        driver = connection.connection.driver_connection
        assert driver is not None
        steps = driver.execute(f"EXPLAIN QUERY PLAN {composed.words}", [None] * len(composed.order or ()))
        return [step[3] for step in steps if " records " in step[3]]

    (step,) = database.look(explained)
    assert step.endswith(f"INDEX {index}")
