"""Backups in a row: each is named by its node and its time, and the oldest of that node alone age out."""

from pathlib import Path

import pytest

from federation.backup.series import Series


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Series(tmp_path, "H:alpha")


def made(series: Series, *moments: int) -> list[Path]:
    backups = [series.next(moment) for moment in moments]
    for backup in backups:
        backup.mkdir()
        (backup / "manifest.json").write_text("{}")
    return backups


def test_backup_is_named_by_its_node_and_its_time(series: Series) -> None:
    assert series.next(1_798_768_800_123).name == "H-alpha-20270101T020000Z"


def test_oldest_go_and_nothing_else_does(series: Series, tmp_path: Path) -> None:
    old, middle, new = made(series, 1_000, 2_000, 3_000)
    others = made(Series(tmp_path, "H:alpha-west"), 500), made(Series(tmp_path, "H:beta"), 500)
    by_hand = tmp_path / "H-alpha-before-the-move"
    by_hand.mkdir()
    assert series.keep(2) == [old]
    assert series.all() == [middle, new]
    assert all(it.is_dir() for of in others for it in of)
    assert by_hand.is_dir()
    assert series.keep(2) == []


def test_removal_that_was_cut_off_goes_on_and_what_it_left_is_no_backup(series: Series, tmp_path: Path) -> None:
    old, new = made(series, 1_000, 2_000)
    half = old.rename(old.with_name(f".{old.name}.gone"))
    assert series.all() == [new]
    assert series.keep(1) == []
    assert not half.exists()
    assert [it.name for it in tmp_path.iterdir()] == [new.name]
