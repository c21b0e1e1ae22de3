"""Which files are one record: by their names in a folder, and by the lines of whatever Excel writes."""

from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.cli.hospital_import import Found, from_manifest, from_paths
from federation.cli.text_file import read_text
from federation.errors import FederationError
from federation.person.errors import WrongFile

REPORTS = Path(__file__).parents[2] / "data" / "reports"
HEADER = "patient,department,file,attachment\n"


def folder(path: Path, *names: str) -> Found:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("{}")
    return from_paths("P:a", "H:a/cardiology", [path], ())


def grouped(found: Found) -> dict[str, list[str]]:
    return {record.bundle.name: [path.name for path in record.attachments] for record in found.records}


def listed(path: Path, content: bytes) -> Found:
    manifest = path / "records.csv"
    manifest.write_bytes(content)
    return from_manifest(manifest)


def named(found: Found) -> list[tuple[str, str, str, list[str]]]:
    return [
        (record.patient_id, record.department_id, record.bundle.name, [path.name for path in record.attachments])
        for record in found.records
    ]


def test_names_with_dots_go_with_their_own_bundle():
    found = from_paths("P:a", "H:a/cardiology", [REPORTS / "dotted-names"], ())
    assert grouped(found) == {
        "1.2.826.0.1.3680043.8.1.json": ["1.2.826.0.1.3680043.8.1.dcm"],
        "lab.2024-01.json": ["lab.2024-01.pdf"],
        "lab.json": [],
    }
    assert not found.passed


def test_the_longest_name_wins_and_a_part_of_a_name_is_none(tmp_path):
    names = "a.json", "a.b.json", "a.b.c.json", "a.b.c.d.png", "a.b.x.png", "a.png", "a.scan.png", "ab.png", "b.png"
    found = folder(tmp_path, *names)
    assert grouped(found) == {
        "a.json": ["a.png", "a.scan.png"],
        "a.b.json": ["a.b.x.png"],
        "a.b.c.json": ["a.b.c.d.png"],
    }
    assert [(one.path.name, one.why) for one in found.passed] == [
        ("ab.png", "no bundle goes with it, such as ab.json"),
        ("b.png", "no bundle goes with it, such as b.json"),
    ]


def test_three_files_that_would_go_in_silence_are_named():
    found = from_paths("P:a", "H:a/cardiology", [REPORTS / "silent-dir"], ())
    assert not found.records
    below = REPORTS / "silent-dir" / "2024"
    assert [(str(one.path.relative_to(REPORTS / "silent-dir")), one.why) for one in found.passed] == [
        ("2024/visit.json", f"it is in a folder below; give {below} to import what is there"),
        ("VISIT.JSON", "its ending is .JSON, not .json; rename it"),
        ("visit.xml", "no bundle goes with it, such as visit.json"),
    ]


def test_a_file_of_two_bundles_and_one_that_is_no_file_are_passed_over(tmp_path):
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    found = folder(tmp_path, "a.json", "a.ndjson", "a.pdf", ".hidden")
    assert grouped(found) == {"a.json": [], "a.ndjson": []}
    assert [(one.path.name, one.why) for one in found.passed] == [
        (".hidden", "no bundle goes with it"),
        ("a.pdf", "it goes with a.json and a.ndjson alike"),
        ("gone.json", "it is no file"),
    ]


ROWS = [("P:a", "H:a/cardiology", "Müller.json", ["Müller.dcm"]), ("P:b", "H:a/cardiology", "b.json", [])]
LINES = "Patient;Department;File;Attachment\r\nP:a;H:a/cardiology;Müller.json;Müller.dcm\r\n\r\nP:b;H:a/cardiology;b.json\r\n"


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.encode("utf-8-sig"),
        LINES.encode("utf-16"),
        b"\xfe\xff" + LINES.encode("utf-16-be"),
        LINES.encode("cp1252"),
        LINES.replace(";", "\t").encode("utf-16"),
        LINES.replace(";", ",").encode(),
        LINES.replace("\r\n", "\r").encode(),
        LINES.replace("\r\n", "\n").encode(),
        ("sep=;\r\n" + LINES).encode(),
        ("\n\n" + LINES).encode(),
        LINES.partition("\n")[2].encode(),
        LINES.replace("P:a", '"P:a"').replace("Müller.json", '"Müller.json"').encode(),
    ],
)
def test_what_excel_writes_is_read(tmp_path, content):
    assert named(listed(tmp_path, content)) == ROWS


def test_a_record_says_in_which_line_it_is_listed(tmp_path):
    found = listed(tmp_path, b'sep=;\nP:a;H:a/x;"two\nlines.json"\n\nP:b;H:a/x;b.json\n')
    manifest = tmp_path / "records.csv"
    assert [where.partition(": ")[0] for where in found.where] == [f"{manifest}, line 2", f"{manifest}, line 5"]


@pytest.mark.parametrize("name", ["cp1252", "utf16"])
def test_manifests_of_strangers_are_read(name):
    (record,) = from_manifest(REPORTS / "csv" / f"{name}.csv").records
    assert record.bundle.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ((REPORTS / "csv" / "nul.csv").read_bytes(), "line 1: a NUL character, which no text has"),
        (HEADER.encode() + b"\nP:a,H:a/x\n", "line 3: patient,department,file are needed"),
        (HEADER.encode() + b"P:a,,x.json\n", "line 2: patient,department,file are needed"),
        (HEADER.encode() + b'P:a,H:a/x,"x.json"y\n', "line 2: ',' expected after '\"'"),
        (HEADER.encode() + b'P:a,H:a/x,x.json\nP:b,H:a/x,"x.json\n\n', "line 3: unexpected end of data"),
        (HEADER.encode() + b"P:a,H:a/x," + b"x" * 200_000, "line 2: field larger than field limit (131072)"),
        (HEADER.encode() + b"\n\xc3\xbc\x81\n", "line 3: neither UTF-8 nor WINDOWS-1252; save it as UTF-8"),
        (HEADER.encode("utf-16") + b"x", "line 2: not UTF-16-LE"),
        (b"\xef\xbb\xbfP:a\n\xff", "line 2: not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_file_and_line(tmp_path, content, words):
    with pytest.raises((click.UsageError, WrongFile)) as caught:
        listed(tmp_path, content)
    assert str(caught.value) == f"{tmp_path / 'records.csv'}, {words}"


def test_a_text_without_a_second_encoding_is_utf_8_or_marked(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("a\nü".encode("cp1252"))
    with pytest.raises(WrongFile, match=r"line 2: not UTF-8$"):
        read_text(path)
    path.write_bytes("a\nü".encode("utf-16"))
    assert read_text(path) == ("a\nü", "utf-16-le")


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=300)
    | st.text(max_size=300).map(str.encode)
    | st.text(',;\t"\n\r =sepPH:/a').map(str.encode)
)
def test_no_manifest_leads_to_anything_but_records_or_a_refusal_with_its_line(tmp_path_factory, content):
    manifest = tmp_path_factory.mktemp("manifest") / "records.csv"
    manifest.write_bytes(content)
    try:
        found = from_manifest(manifest)
    except (click.UsageError, FederationError) as error:
        assert str(error).startswith(f"{manifest}, line ")  # noqa: PT017 - either is right
    else:
        assert len(found.records) == len(found.where)
