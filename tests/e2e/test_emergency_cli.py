"""Emergencies as a doctor declares, a second clinician signs and an officer reviews them, over live servers."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import Federation, Refused, run
from tests.e2e.clinic import PreparedFederation

RECORD = Path(__file__).parents[1] / "data" / "synthea-johnnie679.json"
_ID = re.compile(r"^([0-9a-f]{64})  ", re.MULTILINE)

# Servers of two processes that let in emergencies of two clinicians on duty in cardiology, of three patients a day.
SETTINGS = {
    "processes": "2",
    "reasons": '["unconscious"]',
    "duty_classes": '["cardiology"]',
    "second_clinician": "true",
    "emergencies_per_doctor_a_day": "3",
}

pytestmark = pytest.mark.timeout(300)


@dataclass
class Ward:
    """A federation with two doctors of H:b, and a record of P:johnnie at H:a."""

    federation: Federation
    house: Path
    wilson: Path

    def emergency(self, command: str, doctor: Path, *words: object, expect: int = 0) -> str:
        return run("doctor", "emergency", command, "--directory", doctor, *words, expect=expect)

    def declared(self, doctor: Path, *words: object) -> tuple[object, ...]:
        """Give the words that declare an emergency about P:johnnie by a doctor who is on duty."""
        self.federation.put_on_duty(doctor, "b")
        return (
            *("--hospital", "H:b", "--address", self.federation.addresses["b"], "--patient", "P:johnnie"),
            *("--reason", "unconscious", "--note", "Found on the street.", "--yes", *words),
        )

    def officer(self, command: str, *words: object, expect: int = 0) -> str:
        return run("hospital", "emergencies", command, "--directory", self.federation.root / "a", *words, expect=expect)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    made = PreparedFederation(tmp_path_factory.mktemp("federation"), SETTINGS)
    try:
        made.found()
        made.add_hospital("a")
        made.add_hospital("b")
        made.add_patient("johnnie", "a")
        run(
            *("hospital", "import", "--directory", made.root / "a", "--patient", "P:johnnie"),
            *("--department", "cardiology", RECORD),
        )
        made.await_publication("a")
        yield Ward(made, made.add_doctor("house"), made.add_doctor("wilson"))
    finally:
        made.stop()


def test_emergency_of_two_at_one_desk_is_read_marked_logged_and_reviewed_once(ward: Ward, tmp_path: Path) -> None:
    said = ward.emergency(
        "read", ward.house, *ward.declared(ward.house, "--second-directory", ward.wilson, "--save", tmp_path)
    )
    assert "reviewed by an officer of each hospital within 7 days" in said
    assert "D:wilson is asked to sign, as the second clinician" in said
    assert "1 record found" in said
    assert "From H:a," in said
    names = {path.name for path in tmp_path.iterdir()}
    assert "READ-IN-AN-EMERGENCY.txt" in names
    assert len(names) > 1
    assert all(name.startswith("emergency-a-") for name in names - {"READ-IN-AN-EMERGENCY.txt"})
    assert "Found on the street." in ward.emergency("list", ward.house)
    (kept,) = json.loads(ward.emergency("list", ward.house, "--json"))
    assert (kept["second"], kept["note"]) == ("D:wilson", "Found on the street.")

    patient_is_told(ward)
    (named,) = _ID.findall(ward.officer("list", "--open"))
    shown = ward.officer("show", named)
    for line in ("D:house with P:johnnie  unconscious  1 request  open", "seconded by D:wilson", "READ  ", "BEGUN"):
        assert line in shown
    assert "Found on the street" not in shown
    told = json.loads(ward.officer("show", named, "--json"))
    assert [(it["kind"], it["reason"]) for it in told["requests"]][:1] == [("READ", "BEGUN")]
    assert (told["on_duty_at"], told["second"], told["finding"]) == ("H:b", "D:wilson", None)
    decided = "--justified", "--officer", "Dr. Cuddy"
    assert "says why" in ward.officer("review", named, *decided, "--note", " ", expect=1)
    assert "justified, signed" in ward.officer("review", named, *decided, "--note", "He was alone.")
    refused = ward.officer("review", named, "--not-justified", "--officer", "Dr. Vogler", "--note", "No.", expect=1)
    assert "was reviewed already" in refused
    assert "by Dr. Cuddy: He was alone." in ward.officer("show", named)
    assert "No emergency waits" in ward.officer("list", "--open")
    (listed,) = json.loads(ward.officer("list", "--json"))
    assert (listed["state"], listed["officer"], listed["accesses"]) == ("justified", "Dr. Cuddy", 1)
    log = run("hospital", "log", "--directory", ward.federation.root / "a")
    assert "EMERGENCY-REVIEWED" in log
    assert "emergency" in run("public-cloud", "log", "--directory", ward.federation.root / "cloud")


def patient_is_told(ward: Ward) -> None:
    """At its next contact, and each time until it reads its log, which has the emergency first."""
    where = "--directory", ward.federation.root / "johnnie"
    told = "IN AN EMERGENCY, without your consent, D:house asked for your records on"
    assert told in run("patient", "records", "list", *where)
    assert told in run("patient", "records", "list", *where)
    said = run("patient", "accesses", *where)
    assert said.index("IN AN EMERGENCY, ") < said.index("D:house")
    assert any("D:house" in line and "NEW" in line and "at H:a" in line for line in said.splitlines())
    assert told not in run("patient", "records", "list", *where)


def test_emergency_goes_from_machine_to_machine_for_the_second_signature(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "emergency"
    ward.emergency("declare", ward.house, *ward.declared(ward.house, "--second", "D:wilson", "--output", file))
    assert "waits for the signature of D:wilson" in ward.emergency("open", ward.house, file, expect=1)
    assert "does not name you" in ward.emergency("second", ward.house, file, "--yes", expect=1)
    assert "Signed." in ward.emergency("second", ward.wilson, file, "--yes")
    assert "From H:a," in ward.emergency("open", ward.house, file)
    assert "From H:a," in ward.emergency("open", ward.house, file)
    assert "another doctor's" in ward.emergency("open", ward.wilson, file, expect=1)
    (open_one,) = json.loads(ward.officer("list", "--open", "--json"))
    assert (open_one["accesses"], open_one["second"]) == (2, "D:wilson")


def test_emergency_refused_alone_for_no_reason_and_off_duty(ward: Ward) -> None:
    words = ward.declared(ward.house)
    assert "[EMERGENCY_REFUSED]" in ward.emergency("read", ward.house, *words, expect=1)
    seconded = (*words, "--second-directory", ward.wilson)
    assert "[EMERGENCY_REFUSED]" in ward.emergency("read", ward.house, *seconded, "--reason", "curious", expect=1)
    off_duty = ward.federation.add_doctor("cameron")
    assert "[NOT_ON_DUTY]" in ward.emergency("read", off_duty, *words, "--second-directory", ward.wilson, expect=1)
    ward.federation.put_on_duty(off_duty, "b", "neurology")
    assert "[EMERGENCY_REFUSED]" in ward.emergency(
        "read", off_duty, *words, "--second-directory", ward.wilson, expect=1
    )
    assert "another than the first" in ward.emergency(
        "read", ward.house, *words, "--second-directory", ward.house, expect=1
    )


def test_nobody_signs_what_nobody_read(ward: Ward) -> None:
    words = [it for it in ward.declared(ward.house) if it != "--yes"]
    assert "give --yes" in ward.emergency("read", ward.house, *words, expect=2)


def test_emergencies_of_one_doctor_are_used_up_for_all_processes_and_another_goes_on(ward: Ward) -> None:
    foreman = ward.federation.add_doctor("foreman")
    words = ward.declared(foreman, "--second-directory", ward.wilson)
    said = []
    for number in range(8):  # each by a connection of its own, which one of two processes takes
        patient = "--patient", f"P:nobody{number}"
        try:
            said.append(ward.emergency("read", foreman, *words, *patient))
        except Refused as refused:
            said.append(str(refused))
    assert ["No record of this patient is known" in it for it in said] == [True] * 3 + [False] * 5
    assert all("[BUDGET_EXHAUSTED]" in it for it in said[3:])
    assert "From H:a," in ward.emergency(
        "read", ward.house, *ward.declared(ward.house, "--second-directory", ward.wilson)
    )
