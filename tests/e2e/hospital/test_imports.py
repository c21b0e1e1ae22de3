"""Imports: what a hospital takes from files, whole or not at all, and what its outbox publishes of it."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from federation.clinical.errors import FhirInvalid
from federation.errors import Unavailable
from federation.hospital import importing
from federation.hospital.outbox import Outbox
from tests.e2e.hospital.records import nothing_is_kept
from tests.hospital_lab import JOHNNIE, LUNA, HospitalLab


def test_an_import_is_published_after_a_restart(lab: HospitalLab) -> None:
    handle = lab.import_files()

    def unavailable(_: object) -> None:
        raise Unavailable("no answer")

    assert Outbox(lab.hospital, unavailable).publish_due() == 0
    lab.restart()
    assert lab.outbox.publish_due() == 0  # put off after the attempt
    lab.federation.clock.advance(timedelta(seconds=3))
    assert lab.outbox.publish_due() == 1
    assert [(p.handle, p.patient_id, p.department_id) for p in lab.published] == [
        (handle, "P:wang", "H:alpha/cardiology")
    ]
    assert lab.hospital.stores.outbox.size() == 0
    assert [kind for kind, *_ in lab.hospital.stores.evidence.all()] == ["puback"]


def test_a_publication_whose_answer_is_lost_is_made_again_under_a_new_nonce(lab: HospitalLab) -> None:
    lab.import_files()

    def lost(publication):
        lab.publish(publication)
        raise Unavailable("the answer is lost")

    Outbox(lab.hospital, lost).publish_due()
    lab.federation.clock.advance(timedelta(seconds=3))
    assert lab.outbox.publish_due() == 1
    first, second = lab.published
    assert first.handle == second.handle
    assert first.nonce != second.nonce
    assert first.signature != second.signature


def test_a_bundle_with_faults_is_refused_whole(lab: HospitalLab, tmp_path: Path) -> None:
    attached = tmp_path / "scan.bin"
    attached.write_bytes(b"scan")
    with pytest.raises(FhirInvalid) as refusal:
        lab.import_files(LUNA, "P:wang", "H:alpha/cardiology", attached)
    assert refusal.value.count == 2
    assert nothing_is_kept(lab)


def test_an_attachment_that_cannot_be_read_leaves_nothing(lab: HospitalLab, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", tmp_path / "gone.bin")
    assert nothing_is_kept(lab)


def test_a_hundred_megabytes_stream_with_bounded_memory(softhsm: object, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.e2e.hospital_memory", str(tmp_path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    print(measured)
    assert measured["received_bytes"] > 100_000_000
    assert measured["digest_matches"]
    assert measured["import_growth_bytes"] < 24_000_000
    assert measured["fetch_growth_bytes"] < 48_000_000  # both sides of the stream, in one process


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("visit.json.gz", "application/gzip"),
        ("scan.tar.gz", "application/gzip"),
        ("a.pdf.xz", "application/x-xz"),
        ("a.json.bz2", "application/x-bzip2"),
        ("1.2.826.0.1.DCM", "application/dicom"),
        ("a.json", "application/json"),
        ("a.ndjson", "application/fhir+ndjson"),
        ("letter.pdf", "application/pdf"),
        ("a", "application/octet-stream"),
        ("a.gz", "application/gzip"),
    ],
)
def test_media_type_is_of_what_the_file_is_not_of_what_is_packed_in_it(name: str, media_type: str) -> None:
    assert importing.media_type(name) == media_type


def test_a_record_of_ndjson_is_a_bundle_by_name_and_type(lab: HospitalLab, tmp_path: Path) -> None:
    several = tmp_path / "visit.1.ndjson"
    several.write_text('{"resourceType":"Patient"}\n{"resourceType":"Patient","active":true}\n')
    packed = tmp_path / "visit.1.json.gz"
    packed.write_bytes(b"\x1f\x8b")
    handle = lab.import_files(several, "P:wang", "H:alpha/cardiology", packed)
    (record,) = (record for record in lab.hospital.stores.records.all() if record.handle == handle)
    parts = lab.hospital.vault.parts(record)
    assert [(part.name, part.media_type) for part in parts] == [
        ("visit.1.json", "application/fhir+json"),
        ("visit.1.json.gz", "application/gzip"),
    ]
