"""What lists says the same to a program: `--json` writes JSON, and nothing else, to standard output."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stage import CONSENT, environment, federation, run, typed
from tests.e2e.clinic import Clinic, clinic_of


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        clinic = clinic_of(made)
        clinic.import_record()
        yield clinic


def listed(*words: object) -> Any:
    """Type a command with --json, and read what it wrote to standard output."""
    done = typed([*words, "--json"], environment(), "")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_patients_lists(clinic: Clinic, tmp_path: Path) -> None:
    own, marys = ("--directory", clinic.johnnie), ("--directory", clinic.mary)
    consult, code = clinic.consult("json", "--conclusion", "Sinus rhythm.")
    clinic.visit(clinic.johnnie, code, *CONSENT)
    consult.wait()
    run("patient", "hide", *own, "--department", "neurology")
    handed = tmp_path / "mandate"
    run("patient", "mandate", "give", *own, "P:mary", "--power", "read", "--days", "3", "--yes", "--output", handed)
    run("patient", "mandate", "accept", *marys, handed)

    (diagnosis,) = listed("patient", "diagnoses", *own)
    assert (diagnosis["doctor"], diagnosis["amends"]) == ("D:house", None)
    assert "Sinus rhythm." in json.loads(diagnosis["report"])["conclusion"]
    assert [it["taken_back"] for it in listed("patient", "grants", *own)] == [False]
    assert listed("patient", "grants", *marys) == []
    (place, *_) = listed("patient", "records", "list", *own, "--hospital", "H:a")
    assert (place["department"], len(place["handle"])) == ("H:a/cardiology", 32)
    hidden = listed("patient", "hidden", *own)
    assert (len(hidden["hidden"]), hidden["emergency_may_see"]) == (1, False)
    (given,) = listed("patient", "mandate", "list", *own)
    assert (given["number"], given["deputy"], given["powers"]) == (1, "P:mary", ["read"])
    (held,) = listed("patient", "mandate", "held", *marys)
    assert (held["patient"], held["kind"], held["powers"]) == ("P:johnnie", "mandate", ["read"])


def test_doctors_and_hospitals_lists(clinic: Clinic, tmp_path: Path) -> None:
    own = "--directory", clinic.doctor
    clinic.federation.put_on_duty(clinic.doctor, "b", "cardiology")
    at_b = "--hospital", "H:b", "--address", clinic.federation.addresses["b"]
    duty = listed("doctor", "duty", *own, *at_b)
    assert (duty["hospital"], duty["departments"]) == ("H:b", ["cardiology"])
    assert listed("doctor", "emergency", "list", *own) == []

    a = "--directory", clinic.federation.root / "a"
    (counted,) = [it for it in listed("hospital", "records", "count", *a) if it["department"] == "H:a/cardiology"]
    assert counted["records"] >= 1
    (record, *_) = listed("hospital", "records", "list", *a)
    shown = listed("hospital", "records", "show", *a, record["handle"])
    assert record.items() <= shown.items()
    assert [it["version"] for it in shown["versions"]] == [1]
    assert shown["standing"] is None
    run("hospital", "records", "hold", *a, record["handle"], "--why", "file 12")
    (hold,) = listed("hospital", "records", "show", *a, record["handle"])["holds"]
    assert "file 12" in hold["why"]
    assert listed("hospital", "records", "list", *a, "--held")[0]["holds"] == [hold["id"]]
    assert listed("hospital", "records", "list", *a, "--erased") == []
    assert listed("hospital", "records", "due", *a) == []
    assert listed("hospital", "outbox", *a) == {"published": 0, "waiting": 0}
    assert listed("hospital", "emergencies", "list", *a) == []

    ward = "--ward", "P:kid", "--guardian", "P:mary", "--basis", "parent", "--officer", "M. Roth"
    run("hospital", "guardian", "state", *a, *ward, "--until", "2044-03-01", "--output", tmp_path / "guardian")
    (stated,) = listed("hospital", "guardian", "list", *a)
    assert (stated["ward"], stated["guardian"], stated["state"]) == ("P:kid", "P:mary", "stands")
    assert not stated["state_anew"]
    assert {"process": 0, "service": "", "is_serving": True} in listed("health", *a)


def test_key_that_is_active_from_the_beginning_on_has_no_time_of_1970(clinic: Clinic) -> None:
    listed_keys = listed("doctor", "rotate", "status", "--directory", clinic.doctor)
    assert {(it["state"], it["active_from"]) for it in listed_keys} == {("active", None)}


def test_reasons_are_explained_to_a_program() -> None:
    reasons = {it["reason"]: it["means"] for it in listed("explain", "--list")}
    assert reasons["GRANT_EXPIRED"]
    assert "goes with --list" in run("explain", "GRANT_EXPIRED", "--json", expect=2)
