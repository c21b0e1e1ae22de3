"""What people read where nobody answers: the address that was dialled, in the words of Python's client."""

import pytest

from demo.stage import Federation, free_address
from federation.errors import Unavailable
from tests.clients.foreign import certify_doctor, enrol_patient, party, silent_cloud

pytestmark = pytest.mark.timeout(600)


def silence(address: str) -> str:
    return f"{Unavailable.in_words} It was dialled at {address}. {Unavailable.to_do} [UNAVAILABLE]"


def test_client_whose_cloud_is_down_says_where_it_was_dialled(stage: Federation, built: str) -> None:
    patient = enrol_patient(stage, party(stage, built, "patient", f"{built}-in-silence"), "a")
    log = patient.home.with_suffix(".silence.log")
    with silent_cloud(stage) as address:
        command = patient.start("renew", log=log)
        assert command.wait(1) == {"reason": "UNAVAILABLE"}
    assert log.read_text().strip().endswith(silence(address))


def test_client_whose_hospital_is_down_says_where_it_was_dialled(stage: Federation, built: str) -> None:
    doctor = certify_doctor(stage, party(stage, built, "doctor", f"{built}-in-silence-too"))
    address = free_address()
    place = "--hospital", "H:a", "--address", address, "--department", "cardiology"
    assert doctor.run("consult", *place, "--conclusion", "Well.", expect=1) == {"reason": "UNAVAILABLE"}
    assert silence(address) in doctor.home.with_suffix(".consult.log").read_text()
