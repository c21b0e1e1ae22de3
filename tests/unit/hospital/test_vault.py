"""Records at rest: nothing readable without the token, nothing that passes for another's."""

import hashlib
import os
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import Corrupt, DepartmentForeign, FieldInvalid, Limit
from federation.hospital.sessions import MOST_RECORDS, manifest_of
from federation.hospital.vault import PartLabel
from federation.store.errors import AlreadyStored, StoredRecordCorrupt
from federation.store.rows import StoredRecord
from tests.hospital_lab import JOHNNIE, HospitalLab


def stored(lab: HospitalLab) -> StoredRecord:
    lab.import_files()
    return next(iter(lab.hospital.stores.records.all()))


def aged(lab: HospitalLab) -> None:
    """Let every blob be an hour old."""
    hour_ago = time.time() - 3600
    for path in lab.blobs:
        os.utime(path, (hour_ago, hour_ago))


def minute_ago() -> int:
    return time.time_ns() // 1_000_000 - 60_000


def test_a_record_comes_back_byte_for_byte(lab: HospitalLab) -> None:
    assert b"".join(lab.hospital.vault.read(stored(lab))) == JOHNNIE.read_bytes()


def test_digest_of_a_part_is_of_all_that_was_written_of_it(lab: HospitalLab) -> None:
    with lab.hospital.vault.draft() as draft:
        part = draft.add(PartLabel("attachment", "scan", "application/octet-stream"), [b"first ", b"", b"second"])
    assert part.digest == hashlib.sha256(b"first second").digest()


def test_nothing_of_a_record_lies_open_on_the_disk(lab: HospitalLab) -> None:
    stored(lab)
    lab.database.close()
    files = [path.read_bytes() for path in lab.directory.rglob("*") if path.is_file()]
    assert len(files) > 1
    for clear in (b"P:wang", b"synthea-johnnie679", b"resourceType", b"application/fhir"):
        assert not any(clear in content for content in files)


@pytest.mark.parametrize(
    "change",
    [
        {"patient_key": b"p" * 32},
        {"department_id": "H:alpha/neurology"},
        {"version": 2},
        {"handle": b"h" * 16},
        {"stored_at": 1},
        {"sealed_parts": b"s" * 64},
    ],
)
def test_a_record_moved_to_another_place_is_corrupt(lab: HospitalLab, change: dict[str, object]) -> None:
    with pytest.raises(Corrupt):
        lab.hospital.vault.parts(replace(stored(lab), **change))


def test_a_key_of_another_record_is_corrupt(lab: HospitalLab) -> None:
    record = stored(lab)
    lab.import_files(department_id="H:alpha/neurology")
    other = next(r for r in lab.hospital.stores.records.all() if r.handle != record.handle)
    with pytest.raises(Corrupt):
        list(lab.hospital.vault.read(replace(record, wrapped_key=other.wrapped_key)))


def test_a_flipped_bit_of_a_blob_is_found(lab: HospitalLab) -> None:
    record = stored(lab)
    blob = lab.blobs[0]
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(StoredRecordCorrupt):
        list(lab.hospital.vault.read(record))


def test_a_patient_is_found_by_an_hmac_alone(lab: HospitalLab) -> None:
    vault = lab.hospital.vault
    assert vault.patient_key("P:wang") == stored(lab).patient_key != vault.patient_key("P:lin")


def test_orphans_go_and_records_stay(lab: HospitalLab) -> None:
    record = stored(lab)
    lost = lab.blobs[0].with_name("f" * 32)
    lost.write_bytes(b"left by a crash")
    assert lab.hospital.vault.remove_orphans(lab.hospital.stores.records, older_than=minute_ago()) == 0
    aged(lab)
    assert lab.hospital.vault.remove_orphans(lab.hospital.stores.records, older_than=minute_ago()) == 1
    assert b"".join(lab.hospital.vault.read(record)) == JOHNNIE.read_bytes()


def test_a_sweep_that_finds_nothing_opens_no_record(lab: HospitalLab) -> None:
    stored(lab)
    aged(lab)
    before = lab.keys.token.metrics().operations
    assert lab.hospital.vault.remove_orphans(lab.hospital.stores.records, older_than=minute_ago()) == 0
    assert lab.keys.token.metrics().operations == before


def test_a_blob_of_a_record_stays_though_the_store_forgot_it(lab: HospitalLab) -> None:
    record = stored(lab)
    with sqlite3.connect(lab.directory / "store.sqlite") as connection:
        assert connection.execute("DELETE FROM record_blobs").rowcount > 0
    aged(lab)
    assert lab.hospital.vault.remove_orphans(lab.hospital.stores.records, older_than=minute_ago()) == 0
    assert b"".join(lab.hospital.vault.read(record)) == JOHNNIE.read_bytes()


def test_a_draft_that_is_not_kept_leaves_nothing(lab: HospitalLab) -> None:
    with lab.hospital.vault.draft() as draft:
        draft.add(PartLabel("attachment", "a", "b/c"), [b"content"])
        assert lab.blobs
    assert not lab.blobs


def test_more_records_than_one_answer_holds_are_refused_limit_reached(lab: HospitalLab) -> None:
    record = stored(lab)
    with pytest.raises(Limit):
        manifest_of(lab.hospital.vault, [record] * (MOST_RECORDS + 1), "P:wang", "H:alpha")


def test_an_import_for_nobody_or_nowhere_is_refused(lab: HospitalLab, tmp_path: Path) -> None:
    with pytest.raises(FieldInvalid):
        lab.import_files(patient_id="wang")
    with pytest.raises(DepartmentForeign):
        lab.import_files(department_id="H:beta/cardiology")
    assert not lab.blobs


def test_versions_are_appended_never_overwritten(lab: HospitalLab) -> None:
    record = stored(lab)
    lab.federation.clock.advance(timedelta(seconds=1))
    with pytest.raises(AlreadyStored):
        lab.hospital.stores.records.add(record, blobs=(), outbox=None, answer=None)
