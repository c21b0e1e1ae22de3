"""Everybody's keys are rotated by the commands while visits go on: prepared, activated, tainted, revoked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import CONSENT, Federation, Refused, federation, run
from tests.waiting import until

DATA = Path(__file__).parents[1] / "data"
ECG = DATA / "waveform_ecg.dcm"
RECORD = DATA / "synthea-johnnie679.json"

pytestmark = pytest.mark.timeout(420)


@dataclass
class Party:
    """One party's rotation, as its operator types it."""

    kind: str
    directory: Path

    def rotate(self, step: str, *words: object, expect: int = 0) -> str:
        return run(self.kind, "rotate", step, *words, "--directory", self.directory, expect=expect)

    def left(self, purpose: str, number: int) -> int:
        found = json.loads(self.rotate("status", "--json"))
        return sum(next(it["left"] for it in found if (it["purpose"], it["number"]) == (purpose, number)).values())

    def state(self, purpose: str, number: int) -> str:
        found = json.loads(self.rotate("status", "--json"))
        return next(it["state"] for it in found if (it["purpose"], it["number"]) == (purpose, number))

    def succeed(self, purpose: str) -> None:
        self.rotate("prepare", purpose, "--make-keys")
        self.rotate("activate", purpose, "--now")

    def await_second(self, purpose: str) -> None:
        """Even "now" lies seconds ahead: every process of the party is to read of it first."""
        until(lambda: self.state(purpose, 2) == "active")


@dataclass
class Clinic:
    """A federation with a doctor at H:b, and a patient of H:a with a record there."""

    made: Federation
    doctor: Party
    patient: Party
    visits: int = 0

    def hospital(self, label: str) -> Party:
        return Party("hospital", self.made.root / label)

    @property
    def cloud(self) -> Party:
        return Party("public-cloud", self.made.root / "cloud")

    def visit(self, records: int) -> str:
        self.visits += 1
        consult = ("--conclusion", "Well.", "--department", "cardiology")
        going_on, code = self.made.consult(self.doctor.directory, "b", f"visit-{self.visits}", *consult)
        run("patient", "visit", "--directory", self.patient.directory, code, "--ecg", ECG, *CONSENT)
        story = going_on.wait()
        assert f"{records} record{'s' if records > 1 else ''} found" in story
        assert "The patient signed for the diagnosis" in story
        self.made.await_publication("b")
        return story


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    with federation(tmp_path) as made:
        doctor, patient = made.add_doctor("house"), made.add_patient("johnnie", "a")
        imported = ("--patient", "P:johnnie", "--department", "cardiology", RECORD)
        run("hospital", "import", "--directory", made.root / "a", *imported)
        made.await_publication("a")
        yield Clinic(made, Party("doctor", doctor), Party("patient", patient))


def end(party: Party, purpose: str, *words: str) -> None:
    """Taint and revoke the first generation, which retired a moment ago."""
    party.await_second(purpose)
    party.rotate("taint", purpose, 1)
    until(lambda: party.left(purpose, 1) == 0 or bool(words))
    until(lambda: "RETIRED_JUST_NOW" not in _tried(party, purpose, *words))
    assert party.state(purpose, 1) == "revoked"


def _tried(party: Party, purpose: str, *words: str) -> str:
    try:
        return party.rotate("revoke", purpose, 1, *words)
    except Refused as refused:
        if "RETIRED_JUST_NOW" not in str(refused):
            raise
        return str(refused)


def test_a_hospital_rotates_all_its_keys_between_visits_and_serves_on(clinic: Clinic) -> None:
    hospital = clinic.hospital("a")
    clinic.visit(records=1)
    assert "A ceremony makes it (kind rotation), or --make-keys" in hospital.rotate("prepare", "records", expect=1)
    assert "`rotate prepare` takes one" in hospital.rotate("activate", "records", expect=1)
    assert "under it: 1 registration" in hospital.rotate("status")
    for purpose in ("identity", "tls-ca", "sealing", "records", "index"):
        hospital.succeed(purpose)
    clinic.visit(records=2)
    hospital.await_second("index")
    told = _refused(hospital, "records")
    assert "`rotate reseal records` brings what it can under the active key [GENERATION_NEEDED]" in told
    for purpose in ("sealing", "records", "index"):
        hospital.rotate("reseal", purpose)
    end(hospital, "identity")
    end(hospital, "tls-ca")
    end(hospital, "sealing", "--forget-log")
    end(hospital, "records")
    end(hospital, "index")
    again = run("hospital", "publish-again", "--directory", hospital.directory)
    assert "1 looked at, 1 queued" in again
    clinic.made.await_publication("a")
    clinic.visit(records=3)
    said = run("hospital", "log", "--verify", "--directory", hospital.directory)
    assert "the tree holds" in said
    assert "revoke generation 1 of records" in said


def _refused(party: Party, purpose: str) -> str:
    """What a revocation says that comes too early: the generation is used still, or has retired a moment ago."""
    until(lambda: "RETIRED_JUST_NOW" not in party.rotate("revoke", purpose, 1, expect=1))
    return party.rotate("revoke", purpose, 1, expect=1)


def test_a_doctor_and_a_patient_rotate_their_keys_between_visits(clinic: Clinic) -> None:
    clinic.visit(records=1)
    doctor, patient, root = clinic.doctor, clinic.patient, clinic.made.root
    for party in (doctor, patient):
        party.succeed("sealing")
        party.await_second("sealing")
        party.rotate("reseal", "sealing")
    patient.succeed("identity")
    doctor.rotate("prepare", "identity", "--make-keys")
    run("doctor", "certificate-request", "--directory", doctor.directory)
    certificate = root / "second.der"
    run(
        *("authority", "issue", "--directory", root / "authority", "--doctor", "D:house"),
        *("--request", doctor.directory / "certificate-request.der", "--output", certificate),
    )
    doctor.rotate("activate", "identity", "--now")
    clinic.visit(records=2)  # by the old key still
    run("doctor", "register", "--directory", doctor.directory, "--certificate", certificate)
    clinic.visit(records=3)
    for party in (doctor, patient):
        end(party, "identity")
        end(party, "sealing", "--forget-log")
    clinic.visit(records=4)
    for party in (doctor, patient):
        file = root / f"{party.kind}.evidence.json"
        run(party.kind, "evidence", "export", "--directory", party.directory, "--output", file)
        kinds = {exhibit["kind"] for exhibit in json.loads(file.read_text())["exhibits"]}
        assert ({"D1", "D5", "grant"} if party is patient else {"P1", "D5", "P6"}) <= kinds


def test_s_is_rotated_and_everybody_registers_again_by_itself(clinic: Clinic) -> None:
    clinic.cloud.succeed("issuer")
    clinic.visit(records=1)  # everybody under the first PK
    clinic.cloud.await_second("issuer")
    clinic.cloud.rotate("taint", "issuer", 1)
    until(lambda: clinic.cloud.left("issuer", 1) <= 2)  # both hospitals, by themselves
    for _ in range(2):  # the first time a client learns of it, the second time it registers
        clinic.visit(records=1 + clinic.visits)
    assert clinic.cloud.left("issuer", 1) == 0
    until(lambda: "RETIRED_JUST_NOW" not in _tried(clinic.cloud, "issuer"))
    clinic.visit(records=1 + clinic.visits)


def test_members_that_were_away_while_the_cloud_s_key_was_replaced_and_revoked_visit_at_once(clinic: Clinic) -> None:
    clinic.visit(records=1)
    clinic.cloud.succeed("identity")
    clinic.cloud.await_second("identity")
    clinic.cloud.rotate("reseal", "identity")
    end(clinic.cloud, "identity")
    clinic.visit(records=2)
