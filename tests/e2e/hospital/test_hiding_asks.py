"""What an Open asks of a hospital's database and token: the same, whyever there is no record for who asks.

Statements are compared word for word but for their values. What the database does for each is in
`tests/unit/store/test_record_plans.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from federation.errors import NoSuchRecord
from federation.hospital.records_administration import OperatorAction, erase, keep_until, withdraw
from federation.protocol.access import Hidden
from federation.protocol.record import Intent
from tests.asked import Asked, asked_of, without_values
from tests.e2e.hospital.test_sensitivity import filed
from tests.hiding import hide
from tests.hospital_lab import Client, HospitalLab
from tests.token_calls import TokenCalls

ACT = OperatorAction("ann", "the patient asks for it")
Case = Callable[[HospitalLab], bytes]
"""Brings it about that a record is none for the doctor, and gives its handle."""


def hidden(lab: HospitalLab) -> bytes:
    handle = lab.import_files()
    hide(lab, Hidden("H:alpha", handle=handle.hex()))
    return handle


def of_a_hidden_class(lab: HospitalLab) -> bytes:
    handle = lab.import_files()
    hide(lab, Hidden("H:alpha", "cardiology"))
    return handle


def of_a_hidden_hospital(lab: HospitalLab) -> bytes:
    handle = lab.import_files()
    hide(lab, Hidden("H:alpha"))
    return handle


def secret(lab: HospitalLab) -> bytes:
    return filed(lab, "V")


def withdrawn(lab: HospitalLab) -> bytes:
    handle = lab.import_files()
    assert withdraw(lab.hospital, handle, ACT)
    return handle


def erased(lab: HospitalLab) -> bytes:
    handle = lab.import_files()
    keep_until(lab.hospital, handle, lab.federation.clock.now - 1, ACT)
    assert erase(lab.hospital, handle, ACT)
    return handle


def another_patients(lab: HospitalLab) -> bytes:
    return lab.import_files(patient_id=lab.federation.other_patient.identity)


def of_another_class(lab: HospitalLab) -> bytes:
    return lab.import_files(department_id="H:alpha/neurology")


CASES = [
    hidden,
    of_a_hidden_class,
    of_a_hidden_hospital,
    secret,
    withdrawn,
    erased,
    another_patients,
    of_another_class,
]


class Opens:
    """Opens that find nothing, and what each asked."""

    def __init__(self, lab: HospitalLab, client: Client, asked: Asked, calls: TokenCalls) -> None:
        self._lab, self._client, self._asked, self._calls = lab, client, asked, calls

    def of(self, intent: Intent) -> tuple[str, list[str], Counter[str]]:
        """Return the answer, the statements and the calls of the token."""
        answers = []

        def read() -> None:
            with pytest.raises(NoSuchRecord) as found:
                self._client.read(intent)
            answers.append(str(found.value))

        calls = self._calls.of(self._lab.keys.token, read)
        return answers[-1], self._asked.last("answer"), calls


@pytest.fixture
def opens(lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opens]:
    with asked_of(lab.database, without_values) as asked:
        yield Opens(lab, client, asked, TokenCalls(monkeypatch))


@pytest.mark.parametrize("case", CASES)
def test_open_by_handle_asks_the_same_of_a_record_that_is_kept_back_and_of_one_that_never_was(
    lab: HospitalLab, opens: Opens, case: Case
) -> None:
    federation = lab.federation
    grant = federation.grant()
    never = opens.of(federation.intent(grant, department_class="cardiology", handles=(b"n" * 16,)))
    kept_back = opens.of(federation.intent(grant, department_class="cardiology", handles=(case(lab),)))
    assert kept_back == never
    assert len([it for it in never[1] if "FROM records" in it]) == 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("department_class", ["cardiology", "*"])
def test_open_of_a_class_asks_the_same_of_a_patient_with_a_record_that_is_kept_back_and_of_one_with_none(
    lab: HospitalLab, opens: Opens, case: Case, department_class: str
) -> None:
    if department_class == "*" and case is of_another_class:
        hide(lab, Hidden("H:alpha", "neurology"))
    federation = lab.federation
    grant = federation.grant()
    none = opens.of(federation.intent(grant, department_class=department_class))
    case(lab)
    assert opens.of(federation.intent(grant, department_class=department_class)) == none
    assert len([it for it in none[1] if "FROM records" in it]) == 1
