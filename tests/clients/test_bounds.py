"""What the Go client lets hospitals send and addresses lead to, with real servers on the other side."""

from pathlib import Path

import pytest

from demo.stage import Federation, run
from tests.clients.foreign import certify_doctor, enrol_patient, party
from tests.clients.test_visits import RECORD, Clinic, consult, visit

LANGUAGE = "go"

pytestmark = [pytest.mark.timeout(600), pytest.mark.parametrize("built", [LANGUAGE], indirect=True)]


def test_records_beyond_the_doctors_bound_are_told_and_end_no_visit(
    stage: Federation, built: str, tmp_path: Path
) -> None:
    patient = enrol_patient(stage, party(stage, LANGUAGE, "patient", "go-bounded-patient"), "a")
    doctor = certify_doctor(stage, party(stage, LANGUAGE, "doctor", "go-bounded-doctor"))
    directory = "--directory", stage.root / "a", "--patient", patient.identity
    run("hospital", "import", *directory, "--department", "cardiology", RECORD)
    stage.await_publication("a")
    clinic = Clinic(stage, built, patient, doctor, tmp_path, tmp_path)
    command, code = consult(clinic, "bounded", "--fetch-at-most", "0.000001")
    assert visit(clinic, code)["doctor"] == doctor.identity
    told = command.wait()
    assert told["records"] == []
    assert told["receipt"] is True
    said = command.log.read_text()
    assert "RECORDS AT H:a ARE MISSING: " in said
    assert "[RECORD_TOO_LARGE]" in said


def test_address_outside_the_networks_is_not_dialled(stage: Federation, built: str) -> None:
    patient = enrol_patient(stage, party(stage, built, "patient", "go-networked"), "a")
    assert patient.run("renew", "--dial-only", "192.0.2.0/24", expect=1)["reason"] == "NETWORK_FORBIDDEN"
    loopback = "--dial-only", "127.0.0.0/8", "--dial-only", "::1/128"
    assert patient.run("renew", *loopback)["identity"] == patient.identity
