"""Whole visits of the reference clients, a Python peer on the other side and then one of their own language."""

import hashlib
import json
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from demo.stage import CONSENT, Federation, run
from federation.party.registration import ticket_text
from federation.person.code import DoctorCode
from tests.clients.foreign import (
    Party,
    certify_doctor,
    enrol_patient,
    party,
    register_patient,
    sensor,
    silent_cloud,
    write_pin,
)
from tests.waiting import until

RECORD = Path(__file__).parents[1] / "data" / "synthea-johnnie679.json"
DAY_MS = 24 * 3600 * 1000
CONCLUSION = "Sinus rhythm, no ischaemia."
AMENDED = "Atrial flutter, on a second look."

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Clinic:
    """A patient and a doctor of the language, and one of each in Python; each patient has a record at H:a."""

    stage: Federation
    language: str
    patient: Party
    doctor: Party
    python_patient: Path
    python_doctor: Path


@pytest.fixture(scope="module")
def clinic(stage: Federation, built: str) -> Clinic:
    names = f"{built}-patient", f"{built}-doctor", f"peer-of-{built}", f"dr-of-{built}"
    made = Clinic(
        stage,
        built,
        enrol_patient(stage, party(stage, built, "patient", names[0]), "a"),
        certify_doctor(stage, party(stage, built, "doctor", names[1])),
        stage.add_patient(names[2], "a"),
        stage.add_doctor(names[3]),
    )
    for label in (names[0], names[2]):
        directory = "--directory", stage.root / "a", "--patient", f"P:{label}"
        run("hospital", "import", *directory, "--department", "cardiology", RECORD)
    stage.await_publication("a")
    return made


def consult(clinic: Clinic, name: str, *words: object):
    """Let the language's doctor, on duty at H:b, open a room there; give the command and the code."""
    clinic.stage.put_on_duty(clinic.doctor.home, "b")
    code_file = clinic.stage.root / f"{clinic.language}-{name}.code"
    command = clinic.doctor.start(
        *("consult", "--hospital", "H:b", "--address", clinic.stage.addresses["b"], "--department", "cardiology"),
        *("--conclusion", CONCLUSION, "--code-file", code_file, *words),
        log=clinic.stage.root / f"{clinic.language}-{name}.log",
    )
    return command, command.wait_for(code_file)


def visit(clinic: Clinic, code: str, *words: object, expect: int = 0):
    """Let the language's patient visit the doctor of the code, who may find and read what there is unless words say otherwise."""
    return visit_as(clinic, sensor(clinic.patient), code, *(words or CONSENT), expect=expect)


def visit_as(clinic: Clinic, person: Path, code: str, *words: object, expect: int = 0):
    """Let whoever that reading is of use the patient's device."""
    biosignal = observation(clinic.stage, clinic.patient.identity)
    words = words or CONSENT
    return clinic.patient.run(
        "visit", "--simulated-sensor", person, "--observation", biosignal, *words, code, expect=expect
    )


def observation(stage: Federation, patient_id: str) -> Path:
    """Give a biosignal: a FHIR R4 Observation about the patient."""
    path = stage.root / f"{patient_id[2:]}.observation.json"
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
        "subject": {"type": "Patient", "identifier": {"value": patient_id}},
        "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }
    path.write_text(json.dumps(resource))
    return path


def test_patient_visits_a_python_doctor(clinic: Clinic) -> None:
    name = f"{clinic.language}-with-python-doctor"
    doctor, code = clinic.stage.consult(clinic.python_doctor, "b", name, "--conclusion", CONCLUSION, "--no-deposit")
    told = visit(clinic, code)
    assert told["doctor"] == f"D:{clinic.python_doctor.name}"
    assert told["conclusion"] == CONCLUSION
    story = doctor.wait()
    assert re.search(r"\d records? found", story)
    assert "Johnnie679" in story
    assert "The patient signed for the diagnosis" in story


def test_doctor_sees_a_python_patient(clinic: Clinic) -> None:
    saved = clinic.stage.root / f"{clinic.language}-saved"
    doctor, code = consult(clinic, "with-python-patient", "--save", saved)
    biosignal = observation(clinic.stage, f"P:{clinic.python_patient.name}")
    said = run("patient", "visit", "--directory", clinic.python_patient, code, "--observation", biosignal, *CONSENT)
    assert f"You are talking to {clinic.doctor.identity}." in said
    assert CONCLUSION in said
    told = doctor.wait()
    assert told["patient"] == f"P:{clinic.python_patient.name}"
    assert told["biosignal"]["sha256"] == hashlib.sha256(biosignal.read_bytes()).hexdigest()
    assert told["receipt"] is True
    assert told["deposit"] is None
    [record] = told["records"]
    assert record["hospital"] == "H:a"
    [part] = record["parts"]
    assert part["sha256"] == hashlib.sha256(RECORD.read_bytes()).hexdigest()
    assert (saved / record["handle"] / part["name"]).read_bytes() == RECORD.read_bytes()


def test_patient_who_stays_takes_a_python_doctors_amendment(clinic: Clinic) -> None:
    name, words = f"{clinic.language}-amending-doctor", ("--conclusion", CONCLUSION, "--amend", AMENDED)
    doctor, code = clinic.stage.consult(clinic.python_doctor, "b", name, *words, "--no-deposit")
    told = visit(clinic, code, *CONSENT, "--stay", "20")
    assert (told["conclusion"], told["amends"]) == (AMENDED, CONCLUSION)
    assert doctor.wait().count("The patient signed for the diagnosis") == 2


def test_doctors_amendment_is_the_records_next_version_and_shown_to_a_python_patient(
    clinic: Clinic, tmp_path: Path
) -> None:
    doctor, code = consult(clinic, "amending", "--deposit", "--amend", AMENDED)
    biosignal = observation(clinic.stage, f"P:{clinic.python_patient.name}")
    where = "--directory", clinic.python_patient
    assert CONCLUSION in run("patient", "visit", *where, code, "--observation", biosignal, *CONSENT)
    said = ""

    def amended() -> bool:
        nonlocal said
        said = run("patient", "diagnoses", *where)
        return AMENDED in said

    until(amended, "the amendment is in the room")
    assert said.index(AMENDED) < said.index("This amends the diagnosis of") < said.index(CONCLUSION)
    told = doctor.wait()
    assert told["receipt"] is True
    clinic.stage.await_publication("b")
    run("patient", "records", "save", *where, "--hospital", "H:b", "--output", tmp_path / "saved")
    read = b"".join(path.read_bytes() for path in (tmp_path / "saved").rglob("*.json"))
    assert AMENDED.encode() in read
    assert CONCLUSION.encode() not in read


def test_deposit_of_the_doctor_is_found_at_the_next_visit(clinic: Clinic) -> None:
    doctor, code = consult(clinic, "deposit", "--deposit")
    assert visit(clinic, code)["conclusion"] == CONCLUSION
    handle = doctor.wait()["deposit"]
    assert visit(clinic, code, expect=1)["reason"] == "NO_SUCH_ROOM"  # its doctor has closed it
    clinic.stage.await_publication("b")
    doctor, code = consult(clinic, "after-deposit")
    visit(clinic, code)
    found = {(record["hospital"], record["handle"]) for record in doctor.wait()["records"]}
    assert ("H:b", handle) in found
    assert {hospital for hospital, _ in found} == {"H:a", "H:b"}


def test_departments_consent_is_used_by_whoever_is_on_duty_there_until_it_is_taken_back(clinic: Clinic) -> None:
    doctor, code = consult(clinic, "department", "--deposit")
    told = visit(clinic, code, "--for", "department", "--read", "everywhere", "--yes")
    said = doctor.wait()
    assert "H:a" in {record["hospital"] for record in said["records"]}
    assert said["deposit"]
    clinic.stage.await_publication("b")
    [consent] = [it for it in clinic.patient.run("grants")["grants"] if it["number"] == told["grant"]]
    assert consent["state"] == "stands"
    assert clinic.patient.run("revoke", "--last") == {"revoked": [told["grant"]]}
    states = {it["number"]: it["state"] for it in clinic.patient.run("grants")["grants"]}
    assert states[told["grant"]] == "taken back"


def test_what_nobody_consented_to_is_not_read(clinic: Clinic) -> None:
    doctor, code = consult(clinic, "no-consent")
    assert visit(clinic, code, "--no-keep", "--yes")["grant"] is None
    assert doctor.wait()["records"] == []


def test_patient_reads_its_own_records(clinic: Clinic, tmp_path: Path) -> None:
    told = clinic.patient.run("records", "--save", tmp_path / "own")
    assert told["patient"] == clinic.patient.identity
    assert told["missing"] == {}
    [record] = [it for it in told["records"] if it["hospital"] == "H:a"]
    [part] = record["parts"]
    assert (tmp_path / "own" / record["handle"] / part["name"]).read_bytes() == RECORD.read_bytes()


def test_patient_reads_who_accessed_its_records(clinic: Clinic) -> None:
    clinic.patient.run("records")
    told = clinic.patient.run("accesses")
    assert told["patient"] == clinic.patient.identity
    assert told["missing"] == {}
    own = {
        (it["where"], it["kind"], it["ground"], it["reason"])
        for it in told["accesses"]
        if it["asker"] == clinic.patient.identity
    }
    assert {("C:union", "SEARCH", "own", "OK"), ("H:a", "READ", "own", "OK")} <= own
    again = clinic.patient.run("accesses")
    read = {it["where"] for it in again["accesses"] if (it["kind"], it["reason"]) == ("LOG", "OK")}
    assert {"C:union", "H:a"} <= read
    assert {it["remark"] for it in again["accesses"] if it["asker"] == clinic.patient.identity} == {""}
    assert {it["untold"] for it in again["logs"]} == {0}
    numbers = [it["number"] for it in again["accesses"] if it["where"] == "H:a"]
    assert numbers == sorted(set(numbers), reverse=True)


def test_doctor_who_is_not_on_duty_gets_no_room(clinic: Clinic) -> None:
    place = "--hospital", "H:a", "--address", clinic.stage.addresses["a"], "--department", "cardiology"
    code_file = clinic.stage.root / f"{clinic.language}-off-duty.code"
    refused = clinic.doctor.run("consult", *place, "--conclusion", CONCLUSION, "--code-file", code_file, expect=1)
    assert refused["reason"] == "NOT_ON_DUTY"


def test_renewed_encryption_keys_are_those_of_the_next_visit(clinic: Clinic) -> None:
    for person in (clinic.patient, clinic.doctor):
        first, second = person.run("renew"), person.run("renew")
        assert first["identity"] == second["identity"] == person.identity
        assert first["key_id"] != second["key_id"]
        assert 6 * DAY_MS < second["not_after"] - time.time() * 1000 <= 7 * DAY_MS
    doctor, code = consult(clinic, "renewed")
    assert visit(clinic, code)["conclusion"] == CONCLUSION
    assert doctor.wait()["receipt"] is True


def test_code_that_was_altered_reaches_nobody(clinic: Clinic) -> None:
    doctor, code = consult(clinic, "altered")
    other = str(replace(DoctorCode.parse(code), digest=bytes(32)))
    assert visit(clinic, other, expect=1)["reason"] == "IDENTITY_MISMATCH"
    assert visit(clinic, code[:-1] + ("A" if code[-1] != "A" else "B"), expect=1)["reason"] == "CODE_INVALID"
    doctor.stop()


def test_ticket_that_nobody_issued_registers_nobody(clinic: Clinic) -> None:
    stranger = party(clinic.stage, clinic.language, "patient", f"{clinic.language}-stranger")
    refused = register_patient(clinic.stage, stranger, ticket_text(bytes(16)), expect=1)
    assert refused["reason"] == "REJECTED"


def test_wrong_pin_opens_nothing(clinic: Clinic) -> None:
    root, patient = clinic.stage.root, clinic.patient
    wrong = write_pin(root / f"{clinic.language}-wrong.pin")
    stranger = Party(patient.language, patient.role, patient.identity, patient.home, wrong)
    biosignal = observation(clinic.stage, patient.identity)
    given = "--simulated-sensor", sensor(patient), "--observation", biosignal, "--yes"
    told = stranger.run("visit", *given, "medunion://x", expect=1)
    assert told["reason"] == "PIN_INCORRECT"


def test_other_persons_reading_is_refused(clinic: Clinic, tmp_path: Path) -> None:
    _, code = clinic.stage.consult(
        clinic.python_doctor, "b", f"{clinic.language}-other-person", "--conclusion", CONCLUSION, "--no-deposit"
    )
    stranger = tmp_path / "stranger.sensor"
    stranger.touch(mode=0o600)
    stranger.write_bytes(bytes(32))
    assert visit_as(clinic, stranger, code, expect=1)["reason"] == "REFUSED_BY_PEER"


def test_doctor_goes_where_a_python_patient_says_while_the_cloud_is_silent(clinic: Clinic) -> None:
    stage, patient = clinic.stage, clinic.python_patient
    run("patient", "records", "list", "--directory", patient)  # which keeps where they are
    doctor, code = consult(clinic, "dark")
    with silent_cloud(stage):
        biosignal = observation(stage, f"P:{patient.name}")
        said = run("patient", "visit", "--directory", patient, code, "--observation", biosignal, *CONSENT)
        told = doctor.wait()
    assert "goes to the doctor: H:a" in said
    assert told["receipt"] is True
    assert "H:a" in {record["hospital"] for record in told["records"]}
