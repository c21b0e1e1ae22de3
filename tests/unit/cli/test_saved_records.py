"""A directory of saved records: what came whole is there, private, and is not asked for again."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from federation.cli.fetched_records import show_fetched
from federation.cli.saved_records import LIST, SavedRecords
from federation.errors import Unavailable
from federation.person.patient import PatientClient
from federation.protocol.search import RecordLocation
from tests.hospital_lab import CARDIOLOGY, JOHNNIE
from tests.unit.person.conftest import Surgery, surgery

__all__ = ["surgery"]


class Fetching:
    """A patient's own fetching, which can be stopped, or lose its line, before a record."""

    def __init__(self, client: PatientClient) -> None:
        self.client = client
        self.asked: list[bytes] = []
        self.fails_before: dict[bytes, BaseException] = {}

    def __call__(self, locations, progress, allowance) -> Iterator:
        for one in locations:
            self.asked.append(one.handle)
            if fault := self.fails_before.get(one.handle):
                raise fault
            yield from self.client.fetch_records([one], progress, allowance)


@pytest.fixture
def locations(surgery: Surgery, tmp_path: Path) -> list[RecordLocation]:
    federation = surgery.federation
    hospital = federation.address(federation.hospital_a)
    found = []
    for number in range(3):
        scan = tmp_path / f"scan-{number}.bin"
        scan.write_bytes(bytes([number]) * 10_000)
        handle = surgery.lab.import_files(JOHNNIE, "P:wang", CARDIOLOGY, scan)
        found.append(RecordLocation(hospital.party, hospital.encryption_key, "localhost:1", CARDIOLOGY, handle))
    return found


@pytest.fixture
def fetching(surgery: Surgery) -> Fetching:
    return Fetching(surgery.patient())


def saved_in(directory: Path) -> SavedRecords:
    return SavedRecords.of(directory, "DIR")


def save(fetching: Fetching, locations: list[RecordLocation], directory: Path) -> None:
    saved = saved_in(directory)
    left = saved.missing(locations, "P:wang")
    show_fetched(fetching, left, 100.0, directory, on_saved=saved.add)


def test_records_that_came_are_saved_and_only_the_others_are_asked_for_again(
    fetching: Fetching, locations: list[RecordLocation], tmp_path: Path
) -> None:
    directory = tmp_path / "saved"
    first, second, third = (one.handle for one in locations)
    fetching.fails_before[second] = Unavailable("the line is cut")
    with pytest.raises(click.exceptions.Exit):
        save(fetching, locations, directory)
    assert [one["handle"] for one in json.loads((directory / LIST).read_bytes())] == [first.hex()]
    assert len(list(directory.iterdir())) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    fetching.fails_before.clear()
    fetching.asked.clear()
    save(fetching, locations, directory)
    assert fetching.asked == [second, third]
    assert saved_in(directory).missing(locations, "P:wang") == []


def test_record_whose_file_is_gone_or_altered_is_asked_for_again(
    fetching: Fetching, locations: list[RecordLocation], tmp_path: Path
) -> None:
    directory = tmp_path / "saved"
    save(fetching, locations, directory)
    (gone, _), (kept, _) = (list(one["files"].items())[0:2][n] for n, one in enumerate(saved_in(directory).saved[:2]))
    (directory / gone).unlink()
    assert saved_in(directory).missing(locations, "P:wang") == [locations[0]]
    save(fetching, locations, directory)
    assert saved_in(directory).missing(locations, "P:wang") == []
    (directory / kept).write_bytes(b"altered")
    assert saved_in(directory).missing(locations, "P:wang") == [locations[1]]


def test_another_patients_records_are_not_taken_for_these(
    fetching: Fetching, locations: list[RecordLocation], tmp_path: Path
) -> None:
    save(fetching, locations[:1], tmp_path / "saved")
    assert saved_in(tmp_path / "saved").missing(locations[:1], "P:lin") == locations[:1]


def test_who_stops_it_keeps_what_came_and_is_told_what_did_not(
    fetching: Fetching, locations: list[RecordLocation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetching.fails_before[locations[1].handle] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        save(fetching, locations, tmp_path / "saved")
    assert "STOPPED: 2 RECORDS AT H:alpha DID NOT COME." in capsys.readouterr().out
    assert len(saved_in(tmp_path / "saved").missing(locations, "P:wang")) == 2


def test_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(click.BadParameter, match="not empty"):
        saved_in(tmp_path)
    (tmp_path / LIST).write_text('[{"files": 1}]')
    with pytest.raises(click.BadParameter, match="not what a run wrote"):
        saved_in(tmp_path)


def test_list_that_names_a_file_elsewhere_reads_none(
    fetching: Fetching, locations: list[RecordLocation], tmp_path: Path
) -> None:
    directory = tmp_path / "saved"
    save(fetching, locations[:1], directory)
    (one,) = json.loads((directory / LIST).read_bytes())
    one["files"] = {f"../{tmp_path.name}/scan-0.bin": next(reversed(one["files"].values()))}
    (directory / LIST).write_text(json.dumps([one]))
    assert saved_in(directory).missing(locations[:1], "P:wang") == locations[:1]
