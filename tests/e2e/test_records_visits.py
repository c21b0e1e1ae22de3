"""What doctors find of records that a hospital corrects, withdraws, reinstates and erases, by the real commands; blobs on S3."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import CONSENT, Federation, run
from tests.contract import s3_server
from tests.hospital_lab import JOHNNIE
from tests.waiting import until

ECG = JOHNNIE.parent / "waveform_ecg.dcm"
WHY = "--why", "entered for the wrong person"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A shelf of an S3 server; every process started here has the keys to it."""
    before = dict(os.environ)
    os.environ.update(s3_server.CREDENTIALS)
    yield s3_server.server().new_bucket()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path)
    try:
        made.found()
        yield made
    finally:
        made.stop()


def objects(bucket: str) -> int:
    return len(s3_server.server().keys(bucket.removeprefix("s3://").partition("/")[0]))


def test_doctor_finds_a_record_corrected_withdrawn_reinstated_and_erased_as_it_stands(
    stage: Federation, bucket: str
) -> None:
    stage.add_hospital("a", "--blobs", bucket)
    doctor, patient = stage.add_doctor("house"), stage.add_patient("johnnie", "a")
    at = "--directory", stage.root / "a"
    run("hospital", "import", *at, "--patient", "P:johnnie", "--department", "cardiology", JOHNNIE)
    stage.await_publication("a")
    handle = run("hospital", "records", "list", *at).split()[0]

    def records(command: str, *words: object) -> str:
        return run("hospital", "records", command, *at, *words)

    def told(kind: str, times: int = 1) -> None:
        """Wait until the public cloud has acknowledged it: that is in the log."""
        until(lambda: run("hospital", "log", *at).count(f'"{kind}"') >= times)

    def visit(name: str) -> str:
        consultation, code = stage.consult(doctor, "a", name, "--no-deposit", "--conclusion", "None.")
        run("patient", "visit", "--directory", patient, code, "--ecg", ECG, *CONSENT)
        return consultation.wait()

    corrected = stage.root / "corrected.json"
    corrected.write_text(json.dumps(json.loads(JOHNNIE.read_text())))
    records("correct", handle, corrected, *WHY)
    story = visit("corrected")
    assert "1 record found" in story
    assert "corrected (version 2)" in story
    assert objects(bucket) == 2

    assert "withdrawn" in records("withdraw", handle, *WHY)
    told("UNPUBLISHED")
    assert "No record of this patient is known yet." in visit("withdrawn")
    assert "WITHDRAWN" in records("list", "--patient", "P:johnnie", "--withdrawn")

    assert "reinstated" in records("reinstate", handle, *WHY)
    told("PUBLISHED", 2)
    records("retention", "--patient", "P:johnnie", "--until", "2020-01-01", *WHY)
    assert f"{handle}  erased" in records("erase", "--patient", "P:johnnie", "--confirm", "1", *WHY)
    assert objects(bucket) == 0
    until(lambda: "No record of this patient is known yet." in visit(f"erased-{time.monotonic_ns()}"))
    assert records("list", "--patient", "P:johnnie") == ""
    assert "the tree holds" in run("hospital", "log", *at, "--verify")


def test_erasure_reaches_the_index_through_a_cloud_that_is_away_and_a_hospital_that_is_killed(
    stage: Federation,
) -> None:
    cloud = stage.running[-1]
    stage.add_hospital("b")
    hospital = stage.running[-1]
    at = "--directory", stage.root / "b"
    run("hospital", "import", *at, "--patient", "P:johnnie", "--department", "cardiology", JOHNNIE)
    stage.await_publication("b")
    cloud.stop()
    handle = run("hospital", "records", "list", *at).split()[0]
    run("hospital", "records", "retention", *at, handle, "--until", "2020-01-01", *WHY)
    run("hospital", "records", "erase", *at, handle, "--confirm", "1", *WHY)
    hospital.process.kill()
    hospital.process.wait()
    assert "1 waiting" in run("hospital", "outbox", *at)
    for kind, label in (("public-cloud", "cloud"), ("hospital", "b")):
        (stage.root / label / "ready").unlink()
        stage.serve(kind, stage.root / label)
    until(lambda: '"UNPUBLISHED"' in run("hospital", "log", *at))
    withdrawn = "PUBLICATION_ACTION_WITHDRAW P:johnnie H:b/cardiology"
    assert withdrawn in run("public-cloud", "log", "--directory", stage.root / "cloud")
    forget = "public-cloud", "forget-hospital", "--directory", stage.root / "cloud", "H:b", *WHY
    assert "0 rows" in run(*forget)
