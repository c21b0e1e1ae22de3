"""A patient's visit through the command line, every party a real process with its own token, over TLS on loopback."""

import base64
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import CONSENT, Federation, Running, federation, run
from federation.cloud.registration import MOST_STANDING
from federation.person.code import DoctorCode
from tests.e2e.clinic import time_of_day
from tests.waiting import until

DATA = Path(__file__).parents[1] / "data"
ECG = DATA / "waveform_ecg.dcm"
RECORD = DATA / "synthea-johnnie679.json"
CONCLUSION = "Sinus rhythm, no ischaemia."

pytestmark = pytest.mark.timeout(300)


@dataclass
class Clinic:
    """A federation with a doctor at H:b and a patient of H:a."""

    federation: Federation
    doctor: Path
    patient: Path

    def consult(self, name: str, *words: object) -> tuple[Running, str]:
        return self.federation.consult(self.doctor, "b", name, "--conclusion", CONCLUSION, *words)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with federation(tmp_path_factory.mktemp("federation")) as made:
        doctor, patient = made.add_doctor("house"), made.add_patient("johnnie", "a")
        run(
            *("hospital", "import", "--directory", made.root / "a", "--patient", "P:johnnie"),
            *("--department", "cardiology", RECORD),
        )
        made.await_publication("a")
        yield Clinic(made, doctor, patient)


@dataclass
class Visit:
    """What both sides said of a visit."""

    doctor: str
    patient: str


@pytest.fixture(scope="module")
def first_visit(clinic: Clinic) -> Visit:
    """Return the one visit that is deposited and saved, and of which there are traces."""
    root = clinic.federation.root
    kept = "--department", "cardiology", "--trace", root / "d.trace", "--save", root / "saved"
    first, code = clinic.consult("first", *kept)
    said = run(
        "patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, *CONSENT, "--trace", root / "p.trace"
    )
    visit = Visit(first.wait(), said)
    clinic.federation.await_publication("b")
    return visit


def test_second_visit_finds_the_record_of_the_first(clinic: Clinic, first_visit: Visit) -> None:
    root = clinic.federation.root
    assert "You are talking to D:house." in first_visit.patient
    assert CONCLUSION in first_visit.patient
    story = first_visit.doctor
    assert "ECG, 12 leads, 10 s" in story
    assert "1 record found" in story
    assert "ALLERGIES: NOT STATED, ask." in story
    assert "Child attention deficit disorder [192127007], since 2016-03-18" in story
    assert "Johnnie679" in story
    assert "H:b keeps this encounter" in story
    assert "The patient signed for the diagnosis" in story
    saved = sorted((root / "saved").glob("a-*.json"))
    assert [path.read_bytes() for path in saved] == [RECORD.read_bytes()]
    require_private_trace(root / "d.trace", {"P1", "D1", "P2", "D2", "C", "D3", "H1", "D4", "H2", "D5", "STO", "P6"})
    require_private_trace(root / "p.trace", {"P1", "D1", "P2", "D5", "P6"})

    second, code = clinic.consult("second", "--department", "cardiology")
    run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, *CONSENT)
    story = second.wait()
    assert "2 records found" in story
    assert "From H:a," in story
    assert "From H:b," in story
    assert "Made from 2 records of H:a, H:b." in story
    assert "Diagnosis, report, " in story


def test_diagnosis_that_comes_after_the_patient_left_is_fetched_later(clinic: Clinic) -> None:
    before = run("patient", "diagnoses", "--directory", clinic.patient).count("Signed by D:house")
    later, code = clinic.consult("later", "--no-deposit", "--receipt-timeout", "30")
    said = run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes", "--no-wait", "--no-keep")
    assert "Nothing beyond this visit" in said
    until(lambda: "Waiting for the patient's receipt" in later.said(), "the diagnosis is in the room")
    said = run("patient", "diagnoses", "--directory", clinic.patient)
    assert said.count("Signed by D:house") == before + 1
    story = later.wait()
    assert "Without consent to look for records" in story
    assert "The patient signed for the diagnosis" in story
    run("patient", "diagnoses", "--directory", clinic.patient)  # it finds the room closed: no amendment comes
    assert not list((clinic.patient / "pending").glob("*.sealed"))


def test_receipt_is_awaited_before_a_deposit_that_is_refused_ends_the_visit(clinic: Clinic) -> None:
    consult, code = clinic.consult("undeposited", "--department", "neurology", "--fetch", "none")
    said = run(
        "patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes", "--department", "cardiology"
    )
    assert CONCLUSION in said
    story = consult.wait(expect=1)
    told, signed, ended = (
        story.index(words)
        for words in ("THE ENCOUNTER IS NOT DEPOSITED", "The patient signed for the diagnosis", "Error: ")
    )
    assert told < signed < ended
    assert "[GRANT_SCOPE]" in story[ended:]


def test_grant_revoked_by_its_number_is_shown_as_taken_back(clinic: Clinic) -> None:
    visit, code = clinic.consult("revoking", "--no-deposit", "--fetch", "none")
    told = run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes", "--hours", "2")
    visit.wait()
    newest = newest_grant(clinic.patient)
    assert f"It is taken back by: medunion patient revoke --directory {clinic.patient} {newest[0]}" in told
    run("patient", "revoke", "--directory", clinic.patient, newest[0])
    assert newest_grant(clinic.patient) == (newest[0], "D:house (certified by M:board)  TAKEN BACK")
    for words in (["999"], ["--last", "1"], []):
        said = run("patient", "revoke", "--directory", clinic.patient, *words, expect=1 if words == ["999"] else 2)
        assert "NO_SUCH_GRANT" in said or "as `grants` shows them" in said


def test_grant_for_another_hospital_finds_nothing(clinic: Clinic) -> None:
    visit, code = clinic.consult("elsewhere", "--no-deposit")
    elsewhere = "--yes", "--no-keep", "--read", "H:elsewhere"
    run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, *elsewhere)
    assert "No record of this patient is known yet." in visit.wait()


@pytest.mark.usefixtures("first_visit")
def test_exported_evidence_is_judged_without_any_server(clinic: Clinic) -> None:
    root, trust = clinic.federation.root, clinic.federation.trust
    run("patient", "accesses", "--directory", clinic.patient)
    kinds: set[str] = set()
    for kind, directory in (("doctor", clinic.doctor), ("patient", clinic.patient)):
        file = root / f"{kind}.evidence.json"
        run(kind, "evidence", "export", "--directory", directory, "--output", file)
        assert "and every one holds." in run("evidence", "verify", file, "--trust", trust)
        judged = json.loads(run("evidence", "verify", file, "--trust", trust, "--json"))["exhibits"]
        assert all(one["holds"] and one["proves"] for one in judged)
        kinds |= {one["kind"] for one in judged}
    assert kinds == {"P1", "D1", "P2", "D2", "C", "H1", "H2", "D5", "P6", "STOACK", "grant", "access"}


@pytest.mark.usefixtures("first_visit")
def test_receipts_of_the_public_cloud_are_a_hospitals_evidence(clinic: Clinic) -> None:
    hospital, file = clinic.federation.root / "b", clinic.federation.root / "hospital.evidence.json"
    export = "hospital", "evidence", "export", "--directory", hospital, "--output", file
    until(lambda: "0 exhibits" not in run(*export))  # it publishes by itself
    judged = json.loads(run("evidence", "verify", file, "--trust", clinic.federation.trust, "--json"))["exhibits"]
    assert {(one["kind"], one["signer"][:2], one["holds"]) for one in judged} == {("PUBACK", "C:", True)}


@pytest.mark.usefixtures("first_visit")
def test_evidence_that_was_changed_or_of_another_federation_does_not_hold(clinic: Clinic, tmp_path: Path) -> None:
    file, trust = tmp_path / "one.json", clinic.federation.trust
    run("patient", "evidence", "export", "--directory", clinic.patient, "--only", "1", "--output", file)
    content = json.loads(file.read_text())
    (exhibit,) = content["exhibits"]
    assert "and every one holds." in run("evidence", "verify", file, "--trust", trust)
    exhibit["signature"] = base64.b64encode(bytes(64)).decode()
    file.write_text(json.dumps(content, sort_keys=True, indent=1) + "\n")
    assert "THESE DO NOT HOLD: 1." in run("evidence", "verify", file, "--trust", trust, expect=1)
    file.write_text(json.dumps(content))
    assert "MALFORMED_MESSAGE" in run("evidence", "verify", file, "--trust", trust, expect=1)
    words = "patient", "evidence", "export", "--directory", clinic.patient, "--only", "999", "--output", file
    assert "there are not so many exhibits" in run(*words, expect=2)


def test_room_code_of_another_doctor_is_refused_before_anything_is_sent(clinic: Clinic) -> None:
    visit, text = clinic.consult("swapped", "--no-deposit", "--patience", "1")
    code = DoctorCode.parse(text)
    swapped = DoctorCode(code.address, code.hospital_id, code.room_id, bytes(32))
    said = run("patient", "visit", "--directory", clinic.patient, str(swapped), "--ecg", ECG, "--yes", expect=1)
    assert "IDENTITY_MISMATCH" in said
    assert "talking" not in said
    visit.stop()
    assert "is here" not in visit.said()


def test_grant_of_an_earlier_registration_is_taken_back_like_any_other(clinic: Clinic) -> None:
    tess = clinic.federation.add_patient("tess", "a")
    where = "--directory", tess
    visit, code = clinic.consult("earlier", "--no-deposit", "--fetch", "none")
    run("patient", "visit", *where, code, "--ecg", ECG, "--yes")
    visit.wait()
    run("patient", "rotate", "prepare", "identity", "--make-keys", *where)
    run("patient", "rotate", "activate", "identity", "--now", *where)
    run("patient", "grants", *where)  # registers anew by itself
    log = run("public-cloud", "log", "--directory", clinic.federation.root / "cloud")
    assert any("P:tess" in line and '"kind": "REREGISTRATION"' in line for line in log.splitlines())
    visit, code = clinic.consult("under-earlier", "--no-deposit", "--fetch", "none")
    said = run("patient", "visit", *where, code, "--ecg", ECG, "--yes", "--under", "1", expect=1)
    assert "it was given under an earlier registration of yours; give a new one)" in said
    assert "[GRANT_INVALID]" in said
    visit.stop()
    assert "Taken back." in run("patient", "revoke", *where, "--last")
    assert newest_grant(tess) == ("1", "D:house (certified by M:board)  TAKEN BACK")


def test_renewal_not_due_is_no_fault_of_who_has_renewed_too_often(clinic: Clinic) -> None:
    rita = clinic.federation.add_patient("rita", "a")
    where = "--directory", rita
    for _ in range(MOST_STANDING + 1):
        run("patient", "rotate", "prepare", "identity", "--make-keys", *where)
        run("patient", "rotate", "activate", "identity", "--now", *where)
    log = run("public-cloud", "log", "--directory", clinic.federation.root / "cloud")
    assert any('"reason": "RENEWAL_NOT_DUE"' in line for line in log.splitlines())
    assert sum("REREGISTRATION" in line and "P:rita" in line for line in log.splitlines()) <= MOST_STANDING
    visit, code = clinic.consult("renewed", "--no-deposit", "--fetch", "none")
    assert CONCLUSION in run("patient", "visit", *where, code, "--ecg", ECG, "--yes")
    visit.wait()


def test_code_damaged_is_refused_in_plain_words(clinic: Clinic) -> None:
    said = run("patient", "visit", "--directory", clinic.patient, "medunion://nowhere", "--ecg", ECG, "--yes", expect=1)
    assert "no doctor's code" in said
    require_plain(said)


def test_room_unknown_is_refused_in_plain_words(clinic: Clinic) -> None:
    code = DoctorCode(clinic.federation.addresses["b"], "H:b", bytes(16), bytes(32))
    said = run("patient", "visit", "--directory", clinic.patient, str(code), "--ecg", ECG, "--yes", expect=1)
    assert "NO_SUCH_ROOM" in said
    require_plain(said)


def test_hospital_under_another_name_is_not_talked_to(clinic: Clinic) -> None:
    code = DoctorCode(clinic.federation.addresses["b"], "H:a", bytes(16), bytes(32))
    said = run("patient", "visit", "--directory", clinic.patient, str(code), "--ecg", ECG, "--yes", expect=1)
    assert "UNAVAILABLE" in said
    require_plain(said)


def test_biometric_of_a_stranger_unlocks_nothing(clinic: Clinic, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.person"
    stranger.write_bytes(b"somebody else")
    said = run("patient", "grants", "--directory", clinic.patient, "--simulated-sensor", stranger, expect=1)
    assert "BIOMETRIC_MISMATCH" in said
    require_plain(said)


def test_pin_incorrect_is_refused_in_plain_words(clinic: Clinic, tmp_path: Path) -> None:
    pin_file = tmp_path / "pin"
    pin_file.write_text("not the pin")
    pin_file.chmod(0o600)
    words = "doctor", "evidence", "export", "--directory", clinic.doctor, "--output", tmp_path / "out"
    said = run(*words, "--pin-file", pin_file, expect=1)
    assert "PIN_INCORRECT" in said
    require_plain(said)


def test_token_missing_is_refused_in_plain_words(clinic: Clinic, tmp_path: Path) -> None:
    moved = tmp_path / "doctor"
    shutil.copytree(clinic.doctor, moved)
    for file in (moved / "medunion.toml", moved / "tokens" / "softhsm2.conf"):
        file.write_text(file.read_text().replace(f"{clinic.doctor}/", f"{moved}/"))
    shutil.rmtree(moved / "tokens" / "tokens")
    (moved / "tokens" / "tokens").mkdir()
    said = run("doctor", "evidence", "export", "--directory", moved, "--output", tmp_path / "out", expect=1)
    assert "TOKEN_NOT_FOUND" in said
    require_plain(said)


def test_ticket_is_read_from_standard_input_and_missing_it_is_said_plainly(clinic: Clinic, tmp_path: Path) -> None:
    home = tmp_path / "tim"
    person = tmp_path / "tim.person"
    run(
        "patient",
        "init",
        "--directory",
        home,
        "--trust",
        clinic.federation.trust,
        "--identity",
        "P:tim",
        "--simulated-sensor",
        person,
    )
    said = run("patient", "register", "--directory", home, expect=1)
    assert "a ticket is needed" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    assert "TICKET_INVALID" in run("patient", "register", "--directory", home, stdin="no ticket\n", expect=1)


def test_pin_for_a_new_token_is_asked_for_plainly_where_nobody_can_type(clinic: Clinic, tmp_path: Path) -> None:
    said = run(
        "doctor",
        "init",
        "--directory",
        tmp_path / "d",
        "--trust",
        clinic.federation.trust,
        "--identity",
        "D:new",
        expect=1,
    )
    assert "--pin-file or --pin-fd" in said
    assert "Warning" not in said


@pytest.fixture
def full_directory(tmp_path: Path) -> Path:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "biosignal.json").touch()
    return tmp_path / "full"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--conclusion", "  "), "the conclusion is empty"),
        (("--conclusion", "vertical\vtab"), "DiagnosticReport.conclusion"),
        (("--code", "I48  .0=Atrial fibrillation"), "conclusionCode.coding.code"),
        (("--code", "I48.0=vertical\vtab"), "conclusionCode.coding.display"),
        (("--conclusion-file", ECG), "is no text in UTF-8"),
        (("--conclusion", "x", "--conclusion-file", RECORD), "either --conclusion or --conclusion-file"),
        (("--code-file", "nowhere/at/all"), "there is no such directory"),
        (("--save", "{full}"), "is not empty"),
        (("--patience", "nan"), "nan is no amount"),
    ],
    ids=lambda it: it[0] if isinstance(it, tuple) else "",
)
def test_consult_that_would_fail_after_the_patient_acted_is_told_before_a_room_is_open(
    clinic: Clinic, full_directory: Path, words: tuple[object, ...], sentence: str
) -> None:
    where = "--hospital", "H:b", "--address", clinic.federation.addresses["b"], "--no-deposit"
    given = [str(word).replace("{full}", str(full_directory)) for word in words]
    said = run("doctor", "consult", "--directory", clinic.doctor, *where, *given, expect=2)
    assert sentence in said
    assert "Show this code" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--purpose", "Überweisung"), "purpose is not ASCII"),
        (("--purpose", "x" * 129), "MESSAGE_TOO_LARGE"),
        (("--read", "H:" + "x" * 64), "the id of a hospital"),
        (("--hours", "nan"), "nan is no amount"),
        (("--department", "witchcraft"), "the federation publishes"),
    ],
    ids=lambda it: it[0] if isinstance(it, tuple) else "",
)
def test_consent_that_no_grant_can_say_is_told_before_anything_is_sent(
    clinic: Clinic, words: tuple[str, str], sentence: str
) -> None:
    visit, code = clinic.consult("no-consent", "--no-deposit")
    where = "--directory", clinic.patient, code, "--ecg", ECG, "--yes", "--no-wait"
    said = run("patient", "visit", *where, *words, expect=1 if words[0] == "--purpose" else 2)
    assert sentence in said
    assert "talking" not in said
    visit.stop()
    assert "is here" not in visit.said()


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_conclusion_that_cannot_be_signed_is_asked_for_again_while_the_patient_waits(clinic: Clinic, kind: str) -> None:
    here, there = os.openpty() if kind == "terminal" else reversed(os.pipe())
    root = clinic.federation.root
    consult, code = clinic.federation.consult(clinic.doctor, "b", f"typed-{kind}", "--no-deposit", keyboard=there)
    os.close(there)
    words = "patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes"
    visit = Running(root / f"typed-{kind}.visit", *words)
    until(lambda: "Your conclusion" in consult.said(), "the conclusion is asked for")
    for said, typed in enumerate((b"   ", b"no text: \xff", b"a vertical\vtab")):
        os.write(here, typed + b"\n")
        until(lambda said=said: consult.said().count("The patient is still here.") > said, f"{typed!r} is refused")
    os.write(here, CONCLUSION.encode() + b"\n")
    if kind == "terminal":  # nobody is asked who can't answer
        until(lambda: "Amend it?" in consult.said(), "it is asked for an amendment")
        os.write(here, b"\n")
    assert "Signed and sent to the patient" in consult.wait()
    assert CONCLUSION in visit.wait()
    os.close(here)


def test_amended_diagnosis_is_shown_with_what_it_amends_and_read_in_its_place(clinic: Clinic) -> None:
    here, there = os.openpty()
    root, amended = clinic.federation.root, "Atrial flutter, on a second look."
    amy = clinic.federation.add_patient("amy", "a")
    where, kept = ("--directory", amy), ("--department", "cardiology", "--fetch", "none", "--receipt-timeout", "30")
    consult, code = clinic.federation.consult(clinic.doctor, "b", "amended", *kept, keyboard=there)
    os.close(there)
    visit = Running(root / "amended.visit", "patient", "visit", *where, code, "--ecg", ECG, *CONSENT)
    until(lambda: "Your conclusion" in consult.said(), "the conclusion is asked for")
    os.write(here, CONCLUSION.encode() + b"\n")
    assert CONCLUSION in visit.wait()
    until(lambda: "Amend it?" in consult.said(), "it is asked for an amendment")
    os.write(here, b"y\n")
    until(lambda: consult.said().count("Your conclusion") == 2, "another conclusion is asked for")
    os.write(here, amended.encode() + b"\n")
    until(lambda: consult.said().count("Waiting for the patient's receipt") == 2, "the amendment is in the room")
    said = run("patient", "diagnoses", *where)
    assert said.count("Signed by D:house") == 1
    assert said.index(amended) < said.index("This amends the diagnosis of") < said.index(CONCLUSION)
    until(lambda: consult.said().count("Amend it?") == 2, "it is asked again")
    os.write(here, b"\n")
    story = consult.wait()
    os.close(here)
    assert story.count("The patient signed for the diagnosis") == 2
    assert ", version 1, and has signed for it" in story
    assert ", version 2, and has signed for it" in story
    assert run("patient", "diagnoses", *where).count("Signed by D:house") == 1
    assert not list((amy / "pending").glob("*.sealed"))  # the room is closed: nothing more can come
    clinic.federation.await_publication("b")
    run("patient", "records", "save", *where, "--output", root / "amy-saved")
    read = b"".join(path.read_bytes() for path in (root / "amy-saved").rglob("*.json"))
    assert amended.encode() in read
    assert CONCLUSION.encode() not in read


def test_amendment_of_a_script_goes_with_a_conclusion(clinic: Clinic) -> None:
    place = "--hospital", "H:b", "--address", clinic.federation.addresses["b"], "--no-deposit"
    said = run("doctor", "consult", "--directory", clinic.doctor, *place, "--amend", "Else.", expect=2)
    assert "--amend goes with --conclusion" in said


def test_record_larger_than_the_visit_takes_is_told_in_words_and_the_visit_goes_on(clinic: Clinic) -> None:
    visit, code = clinic.consult("bounded", "--no-deposit", "--fetch-at-most", "0.1")
    run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, *CONSENT)
    said = visit.wait()
    assert "RECORDS AT H:a ARE MISSING; the visit goes on without them. The record has more than this visit" in said
    assert "--fetch-at-most raises that) Fetch it alone, with a larger `--fetch-at-most`. [RECORD_TOO_LARGE]" in said
    assert "Signed and sent to the patient" in said


def test_code_whose_address_lies_in_no_network_that_may_be_dialled_is_not_followed(clinic: Clinic) -> None:
    code = DoctorCode(clinic.federation.addresses["b"], "H:b", bytes(16), bytes(32))
    where = "--directory", clinic.patient, code, "--ecg", ECG, "--yes"
    said = run("patient", "visit", *where, "--dial-only", "192.0.2.0/24", "--dial-only", "2001:db8::/32", expect=1)
    assert "lies in no network that may be dialled) Check the address" in said
    assert "NO_SUCH_ROOM" in run("patient", "visit", *where, "--dial-only", "127.0.0.0/8", expect=1)
    assert "10.1.0.0/8 has host bits set" in run("patient", "visit", *where, "--dial-only", "10.1.0.0/8", expect=2)


def test_conclusion_with_white_space_of_any_kind_is_signed_and_shown(clinic: Clinic) -> None:
    there, here = os.pipe()
    given = "--no-deposit", "--fetch", "none", "--conclusion-file", DATA / "conclusion-nbsp.txt"
    for name, words in (("nbsp", given), ("nbsp-typed", given[:3])):
        consult, code = clinic.federation.consult(clinic.doctor, "b", name, *words, keyboard=there)
        os.write(here, (DATA / "conclusion-nbsp.txt").read_bytes() + b"\n")
        said = run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes")
        assert "Température 38,5 °C, pas de signe de gravité." in said
        consult.wait()
    os.close(here)
    os.close(there)


def test_doctor_who_gives_up_ends_the_visit_and_no_conclusion_does_before(clinic: Clinic) -> None:
    there, here = os.pipe()
    consult, code = clinic.federation.consult(clinic.doctor, "b", "given-up", "--no-deposit", keyboard=there)
    os.close(there)
    run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes", "--no-wait")
    os.write(here, b"  \n")
    until(lambda: "The patient is still here." in consult.said(), "the conclusion is refused")
    os.close(here)
    assert "Signed" not in consult.wait(expect=1)
    said = run("patient", "visit", "--directory", clinic.patient, code, "--ecg", ECG, "--yes", expect=1)
    assert "NO_SUCH_ROOM" in said


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--hospital", "b", "is not the id of a hospital"),
        ("--address", "nonsense", "is not an address, host:port"),
        ("--department", "witchcraft", "the federation publishes"),
    ],
)
def test_mistyped_consult_is_told_before_a_room_is_open(clinic: Clinic, option: str, value: str, sentence: str) -> None:
    typed = {"--hospital": "H:b", "--address": clinic.federation.addresses["b"], "--department": "cardiology"}
    words = [word for pair in (typed | {option: value}).items() for word in pair]
    said = run("doctor", "consult", "--directory", clinic.doctor, *words, expect=2 if option == "--department" else 1)
    assert sentence in said
    assert "internal error" not in said


def test_directory_of_another_kind_of_node_is_named(clinic: Clinic) -> None:
    said = run("public-cloud", "invite", "--directory", clinic.doctor, "H:alpha", expect=1)
    assert "is this the directory of another kind of node? (" in said


def test_patient_not_registered_is_told_what_comes_first(clinic: Clinic, tmp_path: Path) -> None:
    newcomer = tmp_path / "newcomer"
    run(
        *("patient", "init", "--directory", newcomer, "--trust", clinic.federation.trust, "--identity", "P:newcomer"),
        *("--simulated-sensor", tmp_path / "person"),
    )
    said = run("patient", "register", "--directory", newcomer, stdin="AAAA\n", expect=1)
    assert "TICKET_INVALID" in said
    visit, code = clinic.consult("newcomer", "--no-deposit")
    said = run("patient", "visit", "--directory", newcomer, code, "--ecg", ECG, "--yes", expect=1)
    assert "NOT_REGISTERED" in said
    visit.stop()


def test_observation_about_somebody_else_is_not_sent(clinic: Clinic, tmp_path: Path) -> None:
    observation = tmp_path / "observation.json"
    about = {"type": "Patient", "identifier": {"value": "P:other"}}
    content = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": about}
    observation.write_text(json.dumps(content))
    code = DoctorCode(clinic.federation.addresses["b"], "H:b", bytes(16), bytes(32))
    words = "patient", "visit", "--directory", clinic.patient, code, "--yes", "--observation", observation
    said = run(*words, expect=1)
    assert f"{observation}: the Observation is about P:other, not P:johnnie. Choose another file" in said


def test_file_that_no_doctor_can_take_is_refused_before_anybody_is_asked(clinic: Clinic, tmp_path: Path) -> None:
    traced, recorded = tmp_path / "trace", tmp_path / "file"
    code = DoctorCode(clinic.federation.addresses["b"], "H:b", bytes(16), bytes(32))
    for kind, content, words in (
        (
            "--observation",
            b" " * (16 * 1024 * 1024 + 1),
            "more than 16 MiB, and at most that is accepted. Choose another file",
        ),
        ("--ecg", bytes(16 * 1024 * 1024 + 1), "more than 16 MiB, and at most that is read. Choose another file"),
        ("--ecg", ECG.read_bytes()[:1000], "the file lacks WaveformSequence (5400,0100). Choose another file"),
    ):
        recorded.write_bytes(content)
        command = "patient", "visit", "--directory", clinic.patient, code, "--yes", kind, recorded, "--trace", traced
        assert f"{recorded}: {words}" in run(*command, expect=1)
    assert not traced.exists()


def test_usage_that_is_wrong_ends_with_exit_code_2(clinic: Clinic) -> None:
    where = "--directory", clinic.doctor, "--hospital", "H:b", "--address", "localhost:1"
    assert "--department" in run("doctor", "consult", *where, expect=2)
    code = DoctorCode("localhost:1", "H:b", bytes(16), bytes(32))
    visit = "patient", "visit", "--directory", clinic.patient, code
    assert "either --ecg or --observation" in run(*visit, "--yes", "--ecg", ECG, "--observation", ECG, expect=2)
    assert "What you are about to sign is shown first" in run(*visit, expect=2)
    assert "With --until" in run("doctor", "consult", *where, "--until", time_of_day(2), "--conclusion", "x", expect=2)
    assert "goes with --until" in run("doctor", "consult", *where, "--no-deposit", "--code-per-patient", expect=2)


def newest_grant(patient: Path) -> tuple[str, str]:
    """Give the number of the newest consent, and what `grants` says of it."""
    lines = run("patient", "grants", "--directory", patient).splitlines()
    number, _, said = next(line for line in reversed(lines) if not line.startswith(" ")).partition("  ")
    return number, said


def require_plain(said: str) -> None:
    """Require a sentence: no stack trace, no class of ours."""
    assert "Traceback" not in said
    assert "Error: " in said


def require_private_trace(path: Path, names: set[str]) -> None:
    """Require that every message is noted, and nothing of the patient is in what an onlooker sees."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert names <= {line["name"] for line in lines}
    seen = json.dumps([line["onlooker_sees"] for line in lines])
    assert "johnnie" not in seen
    assert "Sinus" not in seen
