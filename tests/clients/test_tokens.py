"""The clients with every private key in a PKCS#11 token: the proof that a token can stand behind the keys' interface."""

import dataclasses
from pathlib import Path

import pytest

from demo.stage import Federation, run
from hsm.softhsm import find_module
from tests.clients.foreign import Party, certify_doctor, enrol_patient, party
from tests.clients.test_visits import RECORD, Clinic, consult, visit

LANGUAGES = "go", "typescript", "java"

pytestmark = pytest.mark.timeout(600)


def with_token(member: Party) -> tuple[Party, str]:
    """Give the party a SoftHSM of its own, and the URI of the token in it, which its PIN opens."""
    directory = member.home.with_suffix(".softhsm")
    label = member.home.name
    run("token", "init-softhsm", "--directory", directory, "--label", label, "--pin-file", member.pin_file)
    [configuration] = directory.rglob("softhsm2.conf")
    settings = (("SOFTHSM2_CONF", str(configuration)),)
    return dataclasses.replace(member, settings=settings), f"pkcs11:token={label}?module-path={find_module()}"


@pytest.mark.parametrize("built", LANGUAGES, indirect=True)
def test_patient_and_doctor_visit_with_all_their_keys_in_tokens(stage: Federation, built: str, tmp_path: Path) -> None:
    patient, patient_token = with_token(party(stage, built, "patient", f"{built}-token-patient"))
    doctor, doctor_token = with_token(party(stage, built, "doctor", f"{built}-token-doctor"))
    enrol_patient(stage, patient, "a", "--token", patient_token)
    certify_doctor(stage, doctor, "--token", doctor_token)
    directory = "--directory", stage.root / "a", "--patient", patient.identity
    run("hospital", "import", *directory, "--department", "cardiology", RECORD)
    stage.await_publication("a")
    for member in (patient, doctor):
        assert member.run("renew")["identity"] == member.identity
    clinic = Clinic(stage, built, patient, doctor, tmp_path, tmp_path)
    command, code = consult(clinic, "in-tokens", "--deposit")
    assert visit(clinic, code)["doctor"] == doctor.identity
    told = command.wait()
    assert told["patient"] == patient.identity
    assert [record["hospital"] for record in told["records"]] == ["H:a"]
    assert told["receipt"] is True
    assert len(told["deposit"]) == 32
