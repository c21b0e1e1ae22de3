"""Consent as patients give it at the command line: read first, by deputies too, taken back; own records; a waiting room."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.stage import CONSENT, Running, federation, free_address, run
from tests.e2e.clinic import RECORD, Clinic, clinic_of, time_of_day
from tests.waiting import until

CONCLUSION = "Sinus rhythm, no ischaemia."

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        clinic = clinic_of(made, "--name", "Dr. Anna Weber", "--profession", "Cardiologist")
        clinic.import_record()
        yield clinic


def grants(patient: Path) -> list[str]:
    """Give the first line of each consent of a patient."""
    listed = run("patient", "grants", "--directory", patient).splitlines()
    return [line for line in listed if line[:1].isdigit()]


@pytest.fixture
def keyboard() -> Iterator[tuple[int, int]]:
    """A terminal: where is typed, and where it is read."""
    here, there = os.openpty()
    yield here, there
    os.close(here)


def test_patient_reads_who_what_and_how_long_and_says_no_or_yes(clinic: Clinic, keyboard: tuple[int, int]) -> None:
    here, there = keyboard
    consult, code = clinic.consult("asked", "--conclusion", CONCLUSION, "--fetch", "none")
    words = "patient", "visit", "--directory", clinic.mary, code, "--read", "here", "--hours", "3"
    visit = Running(clinic.federation.root / "no.visit", *words, keyboard=there)
    until(lambda: "Go in, and sign this? [y/N]" in visit.said(), "the patient is asked")
    screen = visit.said()
    for line in (
        "Doctor        Dr. Anna Weber (D:house)",
        "Profession    Cardiologist",
        "Certified by  M:board",
        "Hospital      H:b",
        "On duty in    cardiology, until ",
        "No biosignal.",
        "For D:house (certified by M:board), for 3 hours, until ",
        "- Keep the record of a visit at H:b, in every department.",
        "- Find and read your records at H:b, of every department.",
    ):
        assert line in screen
    os.write(here, b"\n")
    assert "nothing is sent. The doctor still waits; the same code lets you in again." in visit.wait(expect=1)
    assert "talking" not in visit.said()
    assert grants(clinic.mary) == []

    again = Running(clinic.federation.root / "yes.visit", *words, keyboard=there)
    os.close(there)
    until(lambda: "[y/N]" in again.said(), "the patient is asked again")
    os.write(here, b"y\n")
    said = again.wait()
    assert CONCLUSION in said
    assert "Your consent no. 1 stands. For D:house (certified by M:board), until" in said
    story = consult.wait()
    assert "P:mary is here" in story
    assert "Biosignal: none" in story
    assert "- Find and read the patient's records at H:b, of every department." in story
    assert "H:b keeps this encounter" in story


def test_consent_for_the_department_is_used_again_and_taken_back_as_the_last(clinic: Clinic) -> None:
    for number, words in ((1, ("--for", "department", *CONSENT)), (2, ("--under", "1"))):
        consult, code = clinic.consult(f"department-{number}", "--conclusion", CONCLUSION, "--no-deposit")
        clinic.visit(clinic.johnnie, code, *words)
        story = consult.wait()
        assert "For every doctor on duty in cardiology at H:b, until" in story
        assert "1 record found" in story
        assert "From H:a," in story
    assert "No. 1, for every doctor on duty in cardiology at H:b." in run(
        "patient", "revoke", "--directory", clinic.johnnie, "--last"
    )
    consult, code = clinic.consult("department-3", "--conclusion", CONCLUSION, "--no-deposit")
    assert "[GRANT_REVOKED]" in clinic.visit(clinic.johnnie, code, "--under", "1", expect=1)
    consult.stop()
    assert "is here" not in consult.said()


def given_as_fhir(clinic: Clinic, directory: Path, name: str) -> dict[str, Any]:
    """Let P:johnnie give a consent to the hospital, and give it as `grants` exports it."""
    consult, code = clinic.consult(name, "--conclusion", CONCLUSION, "--no-deposit")
    clinic.visit(clinic.johnnie, code, "--for", "hospital", *CONSENT)
    consult.wait()
    file = directory / "consents.json"
    assert f"written to {file}" in run("patient", "grants", "--directory", clinic.johnnie, "--fhir", file)
    consent: dict[str, Any] = json.loads(file.read_bytes())["entry"][-1]["resource"]
    assert (consent["resourceType"], consent["status"]) == ("Consent", "active")
    return consent


def test_consent_as_fhir_is_proposed_again_and_accesses_are_audit_events(clinic: Clinic, tmp_path: Path) -> None:
    consent = given_as_fhir(clinic, tmp_path, "fhir-1")
    proposed, events = tmp_path / "proposed.json", tmp_path / "accesses.json"
    proposed.write_text(json.dumps(consent | {"status": "proposed"}))
    consult, code = clinic.consult("fhir-2", "--conclusion", CONCLUSION, "--no-deposit")
    said = clinic.visit(clinic.johnnie, code, "--consent", proposed)
    for line in (
        "For every doctor on duty at H:b, until ",
        "- Find and read your records at every hospital, of every department.",
        "So the file proposes; its purpose: consultation.",
        " stands. For every doctor on duty at H:b, until ",
    ):
        assert line in said
    assert "1 record found" in consult.wait()

    at_hospital = "--patient", "P:johnnie", "--fhir", events
    assert "AuditEvents" in run("hospital", "accesses", "--directory", clinic.federation.root / "a", *at_hospital)
    found = [entry["resource"] for entry in json.loads(events.read_bytes())["entry"]]
    assert {event["resourceType"] for event in found} == {"AuditEvent"}
    assert {event["agent"][0]["who"]["identifier"]["value"] for event in found} == {"D:house"}
    assert {event["action"] for event in found} == {"R"}
    run("public-cloud", "accesses", "--directory", clinic.federation.root / "cloud", *at_hospital)
    assert {entry["resource"]["action"] for entry in json.loads(events.read_bytes())["entry"]} == {"E"}


def test_consent_that_no_grant_can_say_is_refused_before_anybody_is_met(clinic: Clinic, tmp_path: Path) -> None:
    consent, file = given_as_fhir(clinic, tmp_path, "fhir-3"), tmp_path / "consent.json"
    before = grants(clinic.johnnie)
    consent["provision"]["provision"] = [{"type": "deny"}]
    file.write_text(json.dumps(consent))
    consult, code = clinic.consult("fhir-4")
    said = clinic.visit(clinic.johnnie, code, "--consent", file, expect=1)
    assert f"{file}: Consent.provision.provision is nothing that a grant can say" in said
    assert "--consent says" in clinic.visit(clinic.johnnie, code, "--consent", file, "--days", "3", expect=2)
    consult.stop()
    assert "is here" not in consult.said()
    assert grants(clinic.johnnie) == before


def test_visit_that_ends_early_says_what_stands_and_how_it_is_taken_back(clinic: Clinic) -> None:
    before = len(grants(clinic.johnnie))
    read, write = os.pipe()
    consult, code = clinic.consult("early", keyboard=read)  # the doctor does not get round to a conclusion
    said = clinic.visit(clinic.johnnie, code, "--patience", "0.05", expect=1)
    consult.stop()
    os.close(read)
    os.close(write)
    number = before + 1
    assert "[NO_ANSWER]" in said
    assert f"Your consent no. {number} stands." in said
    assert f"It is taken back by: medunion patient revoke --directory {clinic.johnnie} {number}" in said


def test_everything_is_taken_back_at_once(clinic: Clinic) -> None:
    said = run("patient", "revoke", "--directory", clinic.johnnie, "--all")
    assert "Everything that was signed in the name of P:johnnie until now is taken back" in said
    assert all("TAKEN BACK" in line for line in grants(clinic.johnnie))


def test_own_records_are_listed_shown_and_saved(clinic: Clinic, tmp_path: Path) -> None:
    where = "--directory", clinic.johnnie
    assert "H:a/cardiology at " in run("patient", "records", "list", *where, "--hospital", "H:a")
    assert "No record is known." in run("patient", "records", "list", *where, "--department", "neurology")
    shown = run("patient", "records", "show", *where, "--hospital", "H:a")
    assert "Johnnie679" in shown
    run("patient", "records", "save", *where, "--output", tmp_path / "mine", "--hospital", "H:a")
    assert [path.read_bytes() for path in (tmp_path / "mine").glob("a-*.json")] == [RECORD.read_bytes()]
    again = run("patient", "records", "save", *where, "--output", tmp_path / "mine")
    assert "1 record of them is here already, whole" in again
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    assert "is not empty" in run("patient", "records", "save", *where, "--output", tmp_path / "other", expect=2)
    log = run("hospital", "log", "--directory", clinic.federation.root / "a")
    assert any('"kind": "READ"' in line and '"ground": "own"' in line for line in log.splitlines())


def test_deputy_by_mandate_reads_and_visits_until_the_mandate_ends(clinic: Clinic, tmp_path: Path) -> None:
    given, mandate = ("--directory", clinic.johnnie), tmp_path / "mandate"
    words = "P:mary", "--power", "read", "--power", "grant", "--days", "30", "--output", mandate
    assert "is shown first" in run("patient", "mandate", "give", *given, *words, expect=2)
    said = run("patient", "mandate", "give", *given, *words, "--yes")
    assert "- find and read the records." in said
    assert "Mandate no. 1 is signed." in said

    own = "--directory", clinic.mary
    said = run("patient", "mandate", "accept", *own, mandate)
    assert "You stand for P:johnnie until" in said
    assert "P:johnnie  mandate  until" in run("patient", "mandate", "held", *own)
    assert "Johnnie679" in run("patient", "records", "show", *own, "--as", "P:johnnie", "--hospital", "H:a")

    consult, code = clinic.consult("by-deputy", "--conclusion", CONCLUSION)
    said = clinic.visit(clinic.mary, code, "--as", "P:johnnie", *CONSENT)
    assert "For P:johnnie, in whose name you act by a mandate of P:johnnie." in said
    story = consult.wait()
    assert "P:mary is here for P:johnnie, by its mandate, until" in story
    assert "From H:a," in story
    assert "H:b keeps this encounter" in story

    assert "P:mary  until" in run("patient", "mandate", "list", *given)
    run("patient", "mandate", "end", *given, "1")
    assert "P:mary  TAKEN BACK" in run("patient", "mandate", "list", *given)
    assert "P:johnnie  mandate  TAKEN BACK" in run("patient", "mandate", "held", *own)
    assert "[NO_DEPUTY]" in run("patient", "records", "list", *own, "--as", "P:johnnie", expect=1)


def test_guardian_stated_by_a_hospitals_desk_acts_for_the_ward(clinic: Clinic, tmp_path: Path) -> None:
    stated, until_day = tmp_path / "guardianship", datetime.now(UTC) + timedelta(days=1000)
    run(
        *("hospital", "guardian", "state", "--directory", clinic.federation.root / "a", "--ward", "P:johnnie"),
        *("--guardian", "P:mary", "--basis", "parent", "--officer", "Ms Miller"),
        *("--until", f"{until_day:%Y-%m-%d}", "--output", stated),
    )
    own = "--directory", clinic.mary
    assert "as H:a says." in run("patient", "mandate", "accept", *own, stated)
    consult, code = clinic.consult("by-guardian", "--conclusion", CONCLUSION)
    said = clinic.visit(clinic.mary, code, "--as", "P:johnnie", *CONSENT)
    assert "by a guardianship, stated by H:a." in said
    assert "P:mary is here for P:johnnie, by a guardianship that a hospital stated, until" in consult.wait()
    named = run("patient", "grants", *own, "--as", "P:johnnie")
    assert "in the name of P:johnnie" in named
    assert "Taken back." in run("patient", "revoke", *own, "--last", "--as", "P:johnnie")


def test_patient_is_shown_who_did_what_by_what_and_what_is_new(clinic: Clinic, tmp_path: Path) -> None:
    where = "--directory", clinic.johnnie
    consult, code = clinic.consult("told", "--conclusion", CONCLUSION)
    clinic.visit(clinic.johnnie, code, *CONSENT)
    consult.wait()
    clinic.federation.await_publication("b")  # that it has a record now is how it is found
    number = len(grants(clinic.johnnie))
    lines = [" ".join(line.split()) for line in run("patient", "accesses", *where).splitlines()]
    for did in (
        f"D:house looked for records of every department at C:union by your consent no. {number} done",
        f"D:house read records of cardiology at H:a by your consent no. {number} done",
    ):
        assert any(line.startswith("NEW ") and line.endswith(did) for line in lines), lines
    assert any(line.startswith("New since the last look: ") for line in lines)
    assert not any("NEW" in line and "you yourself" in line for line in lines)

    again = run("patient", "accesses", *where)
    assert "you yourself" in again
    assert "NEW" not in again
    at_b = "--ask", "H:b", clinic.federation.addresses["b"]
    (told,) = [line for line in run("patient", "accesses", *where, *at_b, "--json").splitlines() if line[:1] == "{"]
    stored = [one for one in json.loads(told)["accesses"] if one["kind"] == "STORE"]
    assert {(one["where"], one["asker_id"], one["reason"]) for one in stored} == {("H:b", "D:house", "OK")}
    events = tmp_path / "accesses.json"
    assert "AuditEvents written to" in run("patient", "accesses", *where, "--fhir", events)
    exported = [entry["resource"] for entry in json.loads(events.read_bytes())["entry"]]
    assert {"D:house", "P:johnnie"} <= {one["agent"][0]["who"]["identifier"]["value"] for one in exported}
    assert {"C:union", "H:a"} <= {one["source"]["observer"]["identifier"]["value"] for one in exported}
    later = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert "Nobody accessed the records." in run("patient", "accesses", *where, "--since", later)
    nowhere = run("patient", "accesses", *where, "--ask", "H:b", free_address(), expect=1)
    assert "WHO ASKED AT H:b IS MISSING." in nowhere


def test_deputy_reads_who_did_by_the_power_to_see_the_log_alone(clinic: Clinic, tmp_path: Path) -> None:
    given, own, mandate = ("--directory", clinic.mary), ("--directory", clinic.johnnie), tmp_path / "mandate"
    words = "--days", "30", "--output", mandate, "--yes"
    run("patient", "mandate", "give", *given, "P:johnnie", "--power", "log", *words)
    run("patient", "mandate", "accept", *own, mandate)
    said = run("patient", "accesses", *own, "--as", "P:mary")
    assert "Without the power to read, hospitals are not found" in said
    at_a = "--ask", "H:a", clinic.federation.addresses["a"]
    run("patient", "accesses", *own, "--as", "P:mary", *at_a)
    seen = [" ".join(line.split()) for line in run("patient", "accesses", *given).splitlines()]
    assert any(line.endswith("P:johnnie read this log of every department at C:union a deputy done") for line in seen)
    assert "[NO_DEPUTY]" in run("patient", "records", "list", *own, "--as", "P:mary", expect=1)
    run("patient", "mandate", "end", *given, "1")
    assert "[NO_DEPUTY]" in run("patient", "accesses", *own, "--as", "P:mary", expect=1)


def test_what_is_no_mandate_is_refused_in_plain_words(clinic: Clinic) -> None:
    said = run("patient", "mandate", "accept", "--directory", clinic.mary, RECORD, expect=1)
    assert "Traceback" not in said
    assert "Error: " in said


def test_waiting_room_sees_one_patient_after_the_other_by_one_code(clinic: Clinic) -> None:
    read, write = os.pipe()
    consult, code = clinic.consult("waiting-room", "--until", time_of_day(2), "--fetch", "none", keyboard=read)
    os.close(read)
    root, first = clinic.federation.root, ("patient", "visit", "--directory", clinic.johnnie, code, "--yes")
    came = Running(root / "first.visit", *first)
    until(lambda: "P:johnnie is here" in consult.said(), "the first patient is there")
    waits = Running(root / "second.visit", "patient", "visit", "--directory", clinic.mary, code, "--yes")
    os.write(write, b"The first is well.\n")
    assert "The first is well." in came.wait()
    until(lambda: "P:mary is here" in consult.said(), "the second patient is there")
    os.write(write, b"The second is well.\n")
    assert "The second is well." in waits.wait()
    os.close(write)
    consult.stop()
    assert consult.said().count("Show this code to your patients") == 1


def test_doctor_asks_for_its_duty_and_opens_no_room_without_one(clinic: Clinic) -> None:
    stage = clinic.federation
    stage.put_on_duty(clinic.doctor, "b")
    where = "--directory", clinic.doctor, "--hospital", "H:b", "--address", stage.addresses["b"]
    said = run("doctor", "duty", *where)
    assert "H:b states that you are on duty in cardiology until" in said
    elsewhere = "--directory", clinic.doctor, "--hospital", "H:a", "--address", stage.addresses["a"]
    for words in (("doctor", "duty"), ("doctor", "consult", "--no-deposit")):
        said = run(*words, *elsewhere, expect=1)
        assert "[NOT_ON_DUTY]" in said
        assert "Show this code" not in said
