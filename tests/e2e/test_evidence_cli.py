"""Evidence as people get it and a judge reads it: files of every role, dated by an authority of time, and the judge's page."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import CONSENT, environment, run
from federation.protocol.judge import JUDGED
from tests.e2e.clinic import Clinic, PreparedFederation, clinic_of
from tests.time_authority import TimeAuthority, time_server
from tests.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
ECG = Path(__file__).parents[1] / "data" / "waveform_ecg.dcm"
ELSEWHERE = {"log-fork"}
"""What a visit leaves nobody: a log has to be forked first."""

FORK = """
import json, sys
from pathlib import Path
from federation.hospital.node import HospitalNode
from federation.party.node_directory import NodeDirectory

with HospitalNode(NodeDirectory(Path(sys.argv[1]))) as node:
    own = node.hospital.own_log
    key, stated = own.signing_key(own.clock()), own.key_statement()
    notes = [own.note(1, 10_000, bytes([it]) * 32, key).decode() for it in range(2)]
    print(json.dumps([*notes, stated.SerializeToString().hex()]))
"""
"""What a dishonest hospital does: it signs two heads of one size."""

FOUND = """
import json, sys
from pathlib import Path
from federation.hospital.node import HospitalNode
from federation.party.node_directory import NodeDirectory
from federation.party.witness import FORK
from federation.store.witnessed import LogFinding

first, second, stated = json.loads(sys.argv[2])
with HospitalNode(NodeDirectory(Path(sys.argv[1]))) as node:
    stated = bytes.fromhex(stated)
    found = LogFinding("H:b", FORK, first.encode(), stated, second.encode(), stated, node.clock())
    assert node.hospital.witness.findings.add(found)
"""
"""What its witness keeps when both are shown to it."""

pytestmark = pytest.mark.timeout(300)


@dataclass
class Court:
    """A clinic after a visit, whose servers' logs an authority of time stamps; and what the judge has."""

    clinic: Clinic
    authority: TimeAuthority
    files: Path

    @property
    def trust(self) -> Path:
        return self.clinic.federation.trust

    def export(self, kind: str, directory: Path, *words: str) -> Path:
        """Have a role write its file."""
        file = self.files / f"{directory.name}.evidence.json"
        run(kind, "evidence", "export", "--directory", directory, *words, "--output", file)
        return file

    def verified(self, file: Path, *words: object, expect: int = 0) -> str:
        return run("evidence", "verify", file, "--trust", self.trust, *words, expect=expect)

    def kinds(self, file: Path) -> set[str]:
        """Give the kinds of a file, of which every exhibit has to hold."""
        judged = json.loads(self.verified(file, "--tsa", self.authority.root, "--json"))["exhibits"]
        assert all(one["holds"] and one["proves"] for one in judged)
        return {one["kind"] for one in judged}


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    authority = TimeAuthority(tmp_path_factory.mktemp("time") / "authority")
    with time_server(authority) as server:
        settings = {
            "time_stamp_authority": f'"{server.url}"',
            "time_stamp_certificates": f'"{authority.root}"',
            "time_stamp_minutes": "0.01",
        }
        made = PreparedFederation(tmp_path_factory.mktemp("federation"), settings)
        try:
            made.found()
            made.add_hospital("a")
            made.add_hospital("b")
            clinic = clinic_of(made)
            clinic.import_record()
            consult, code = clinic.consult("visit", "--conclusion", "Sinus rhythm.")
            clinic.visit(clinic.johnnie, code, "--ecg", ECG, *CONSENT)
            consult.wait()
            made.await_publication("b")
            yield Court(clinic, authority, tmp_path_factory.mktemp("files"))
        finally:
            made.stop()


@pytest.fixture(scope="module")
def accesses(court: Court) -> Path:
    """What logs told the patient, and time stamps over them: those come a little later, at another look."""
    file, johnnie = court.files / "accesses.evidence.json", court.clinic.johnnie

    def stamped() -> bool:
        run("patient", "accesses", "--directory", johnnie, "--evidence", file)
        exhibits = json.loads(file.read_text())["exhibits"]
        dated = {one["signer"] for one in exhibits if one["kind"] == "log-time"}
        return dated == {one["signer"] for one in exhibits if one["kind"] == "access"}

    until(stamped, "the logs are stamped")
    return file


def test_accesses_are_a_file_that_is_dated_where_the_judge_names_the_authority(court: Court, accesses: Path) -> None:
    assert court.kinds(accesses) == {"access", "log-time"}
    dated = court.verified(accesses, "--tsa", court.authority.root)
    assert "by the time stamp of exhibit " in dated
    assert "CN=Chamber of Time says that all of this was there by " in dated
    undated = court.verified(accesses)
    assert "by the time stamp of exhibit " not in undated
    assert "Give the certificate of CN=Chamber of Time with --tsa." in undated


def test_stamps_of_an_authority_that_the_judge_does_not_know_do_not_hold_and_accesses_do(
    court: Court, accesses: Path, tmp_path: Path
) -> None:
    said = court.verified(accesses, "--tsa", TimeAuthority(tmp_path / "other").root, expect=1)
    assert "(TIME_STAMP_UNTRUSTED: " in said
    assert not re.search(r"access of \S+: DOES NOT HOLD", said)


@pytest.mark.usefixtures("accesses")
def test_every_role_gets_its_file_by_a_command_and_together_they_have_every_kind(court: Court) -> None:
    clinic, made = court.clinic, court.clinic.federation
    mandate, guardian = court.files / "mandate", court.files / "guardian"
    run(
        *("patient", "mandate", "give", "--directory", clinic.johnnie, "P:mary", "--power", "read"),
        *("--days", "30", "--output", mandate, "--yes"),
    )
    run("patient", "mandate", "accept", "--directory", clinic.mary, mandate)
    run(
        *(
            "hospital",
            "guardian",
            "state",
            "--directory",
            made.root / "a",
            "--ward",
            "P:johnnie",
            "--guardian",
            "P:mary",
        ),
        *("--basis", "parent", "--officer", "Ona Officer", "--until", "2031-05-04", "--output", guardian),
    )
    run("patient", "mandate", "accept", "--directory", clinic.mary, guardian)
    kinds = {
        name: court.kinds(court.export(kind, directory))
        for name, kind, directory in (
            ("doctor", "doctor", clinic.doctor),
            ("patient", "patient", clinic.johnnie),
            ("deputy", "patient", clinic.mary),
            ("hospital", "hospital", made.root / "b"),
        )
    }
    assert kinds["doctor"] >= {"P1", "P2", "D2", "C", "H1", "H2", "D5", "P6", "STOACK"}
    assert kinds["patient"] >= {"D1", "P2", "D5", "grant", "mandate", "access", "log-time"}
    assert kinds["deputy"] == {"mandate", "guardian"}
    assert kinds["hospital"] == {"PUBACK"}
    kinds["asked"] = court.kinds(court.export("hospital", made.root / "a", "--patient", "P:johnnie"))
    assert kinds["asked"] == {"D3"}
    assert set().union(*kinds.values()) == set(JUDGED) - ELSEWHERE
    said = run(
        *("public-cloud", "evidence", "export", "--directory", made.root / "cloud"),
        *("--output", court.files / "cloud.json"),
    )
    assert said.startswith("0 exhibits")


def test_who_asked_a_hospital_is_shown_for_one_patient_alone(court: Court) -> None:
    root, doctor = court.clinic.federation.root, court.clinic.doctor.name
    said = court.verified(court.export("hospital", root / "a", "--patient", "P:johnnie"))
    assert re.search(rf"D3 of D:{doctor}: HOLDS", said)
    assert "for content about P:johnnie" in said
    assert "a grant of P:johnnie was shown for it" in said
    others = court.files / "others.evidence.json"
    export = "hospital", "evidence", "export", "--directory", root / "a", "--output", others
    assert run(*export, "--patient", "P:mary").startswith("0 exhibits")
    assert "no such" not in run(*export, "--patient", "H:a", expect=2)


def test_fork_that_a_witness_found_is_evidence_of_its_hospital(court: Court) -> None:
    root = court.clinic.federation.root
    heads = in_process(FORK, root / "b")
    in_process(FOUND, root / "a", heads)
    file = court.export("hospital", root / "a")
    assert court.kinds(file) == {"PUBACK", "log-fork"}
    assert "H:b signed two heads of its log demo/H:b/1 with 10000 leaves each and two roots" in court.verified(file)


@pytest.mark.usefixtures("accesses")
def test_consent_of_a_patient_is_dated_by_the_accesses_that_were_made_by_it(court: Court) -> None:
    said = court.verified(court.export("patient", court.clinic.johnnie), "--tsa", court.authority.root)
    assert re.search(r"by the time stamp of exhibit \d+ over the log of exhibit \d+, it was there by 20", said)


@pytest.mark.usefixtures("accesses")
def test_commands_of_the_judges_page_say_what_the_page_shows(court: Court) -> None:
    names = {
        "johnnie.evidence.json": court.export("patient", court.clinic.johnnie),
        "trust.json": court.trust,
        "tsa.pem": court.authority.root,
    }
    page = PAGE.read_text()
    commands = re.findall(r"^medunion (.+?)(?: +#.*)?$", page, re.MULTILINE)
    assert len(commands) >= 4
    said = [run(*(names.get(word, word) for word in shlex.split(command))) for command in commands]
    shown = re.findall(r"^```text\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in shown for line in block.splitlines() if line.strip(" .")]
    assert len(lines) > 10
    found = {normal(line) for output in said for line in output.splitlines()}
    assert [line for line in lines if not any(it.startswith(normal(line)) for it in found)] == []


def in_process(code: str, *words: object) -> str:
    """Run code beside the servers, and give what it said."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout


def normal(line: str) -> str:
    """Return a line without what is another each time; of the page's what stands before an ellipsis."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line.removesuffix("..."))
    return re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", re.sub(r"\b\d{1,6}\b", "N", line))
