"""`medunion hospital import` on the files of strangers: what comes in, what doesn't, and what is said of each."""

import gzip
import json
from pathlib import Path

import pytest

from tests.e2e.test_hospital_commands import Commands, found_node
from tests.hospital_lab import DATA, JOHNNIE

REPORTS = DATA / "reports"
FILED = "--patient", "P:cleo", "--department", "cardiology"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A hospital, not registered yet, that each test adds to."""
    made = Commands(tmp_path_factory.mktemp("imports"))
    found_node(made)
    return made


def imported(commands: Commands, *arguments: str | Path, code: int = 0) -> str:
    return commands.run("hospital", "import", "--directory", commands.path("hospital"), *map(str, arguments), code=code)


def result(said: str) -> dict[str, object]:
    """The JSON on standard output, which comes before what is said."""
    parsed: dict[str, object] = json.JSONDecoder().raw_decode(said)[0]
    return parsed


def kept(commands: Commands) -> int:
    counted = commands.run("hospital", "records", "count", "--directory", commands.path("hospital"))
    return int(counted.partition("H:alpha/cardiology: ")[2].split()[0])


def test_nothing_came_in_and_every_file_is_named_with_exit_code_1(commands: Commands) -> None:
    said = imported(commands, *FILED, REPORTS / "silent-dir", code=1)
    assert "There is no record to import; 3 files passed over." in said
    for name in ("2024/visit.json", "VISIT.JSON", "visit.xml"):
        assert f"{REPORTS / 'silent-dir' / name}: passed over, " in said


def test_each_attachment_goes_with_the_longest_name(commands: Commands) -> None:
    before = kept(commands)
    assert "3 of 3 records imported, 0 refused." in imported(commands, *FILED, REPORTS / "dotted-names")
    assert kept(commands) == before + 3


def test_strangers_files_are_taken_or_refused_by_name_and_two_people_are_named(commands: Commands) -> None:
    said = imported(commands, *FILED, *sorted(REPORTS.glob("*.json")), code=1)
    assert "8 of 10 records imported, 2 refused." in said
    assert f"{REPORTS / 'bom.json'}: begins with a byte order mark; JSON is UTF-8 without one [FHIR_NOT_JSON]" in said
    assert "Bundle lacks the required element type" in said
    people = "holds 2 people: Eva Erste, born 1980-01-01; Zoe Zweite, born 1990-01-01"
    assert f"{REPORTS / 'two-patients.json'}: CAUTION: it {people}" in said


def test_ndjson_and_a_single_resource_come_in_and_other_kinds_are_named(commands: Commands, tmp_path: Path) -> None:
    resource = json.dumps({"resourceType": "Patient", "name": [{"family": "Probe"}]}).encode()
    (tmp_path / "one.json").write_bytes(resource)
    (tmp_path / "many.ndjson").write_bytes(resource + b"\n" + resource)
    (tmp_path / "packed.json").write_bytes(gzip.compress(resource))
    (tmp_path / "newer.json").write_bytes(
        b'{"resourceType":"Encounter","status":"planned","class":{},"actualPeriod":{}}'
    )
    said = imported(commands, *FILED, tmp_path, code=1)
    assert "2 of 4 records imported, 2 refused." in said
    assert "packed.json: compressed with gzip; unpack it first [FHIR_NOT_JSON]" in said
    assert (
        "newer.json: not valid FHIR R4 but, it seems, R5 (Encounter.actualPeriod is of that version), 1 fault" in said
    )


def test_a_dry_run_says_what_would_come_in_and_keeps_nothing(commands: Commands) -> None:
    before = kept(commands)
    said = imported(commands, *FILED, "--dry-run", REPORTS / "dotted-names", REPORTS / "maiden-first.json")
    assert "4 of 4 records would be imported, 0 refused." in said
    assert "lab.2024-01.json + lab.2024-01.pdf for P:cleo at H:alpha/cardiology: lab 2024-01 Probe" in said
    assert "Hanna Heutige, born 1975-05-05: 1 Patient" in said
    assert kept(commands) == before
    gone = imported(commands, *FILED, "--dry-run", "--attach", JOHNNIE, JOHNNIE, REPORTS / "bom.json", code=2)
    assert "--attach goes with exactly one FILE" in gone


def test_json_tells_a_program_all_of_it(commands: Commands) -> None:
    told = result(
        imported(commands, *FILED, "--json", REPORTS / "two-patients.json", REPORTS / "no-bundle-type.json", code=1)
    )
    accepted, refused = told["records"]
    assert (told["dry_run"], told["passed_over"]) == (False, [])
    assert len(bytes.fromhex(accepted["handle"])) == 16
    assert accepted["warnings"] == ["holds 2 people: Eva Erste, born 1980-01-01; Zoe Zweite, born 1990-01-01"]
    assert (refused["accepted"], refused["handle"], refused["reason"]) == (False, None, "FHIR_INVALID")
    assert refused["faults"][0] == "Bundle lacks the required element type"
    dry = result(imported(commands, *FILED, "--dry-run", "--json", REPORTS / "silent-dir", code=1))
    assert (dry["dry_run"], dry["records"], len(dry["passed_over"])) == (True, [], 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cp1252", "cp1252.csv: read as WINDOWS-1252"),
        ("utf16", "utf16.csv: read as UTF-16-LE"),
        ("nul", "nul.csv, line 1: a NUL character, which no text has [FILE_UNUSABLE]"),
    ],
)
def test_manifests_of_excel_are_read_and_faults_have_their_line(commands: Commands, name: str, words: str) -> None:
    manifest = REPORTS / "csv" / f"{name}.csv"
    said = imported(commands, "--manifest", manifest, code=1)
    assert words in said
    if name != "nul":  # the manifests are of a hospital H:a, and ours is H:alpha
        assert f"{manifest}, line 2: " in said
        assert "H:a/cardiology is no department of H:alpha [DEPARTMENT_FOREIGN]" in said
    empty = commands.directory / "empty.csv"
    empty.write_text("patient,department,file\n")
    assert "There is no record to import." in imported(commands, "--manifest", empty, code=1)


def test_a_list_of_handles_that_is_none_is_said_with_its_line(commands: Commands) -> None:
    listed = commands.directory / "handles"
    at = (
        "hospital",
        "records",
        "erase",
        "--directory",
        commands.path("hospital"),
        "--why",
        "test",
        "--handles-file",
        str(listed),
    )
    listed.write_bytes(b"\xef\xbb\xbf" + b"00" * 16 + b"  2024\r\n\r\nM\xfcller\r\n")
    assert f"{listed}, line 3: not UTF-8 [FILE_UNUSABLE]" in commands.run(*at, code=1)
    listed.write_text("00" * 16 + "\n\nfirst\n")
    assert f"{listed}, line 3: first is no record's handle" in " ".join(commands.run(*at, code=2).split())
