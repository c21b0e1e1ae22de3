"""A log written to files: as C2SP's tlog-tiles has them, verified against a head, begun again where it was cut off."""

from pathlib import Path

import pytest

from federation.errors import Corrupt
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.log_archive import CHECKPOINT, LogArchive, tile_path
from federation.party.log_heads import OwnLog
from federation.protocol.anchors import Anchors
from federation.protocol.log_head import open_head
from federation.protocol.merkle import leaf_hash
from federation.store.database import Database
from federation.store.log import Log
from federation.store.log_heads import LogHeads
from federation.store.party import Settings
from federation.store.rows import SealedEntry
from federation.store.time_stamps import TimeStamps
from keystore.party import PartyKeys
from tests.unit.protocol.bundle.bundles import content
from tests.vectors.kept import FILES

WHERE = "H:alpha"
VECTOR = FILES["log_archive"]
ANCHORS = Anchors.of(content(realm="vectors"))


@pytest.fixture
def keys(token) -> PartyKeys:
    return PartyKeys.create(token)


@pytest.fixture
def own(keys: PartyKeys, database: Database) -> OwnLog:
    return OwnLog(
        identity=WHERE,
        anchors=lambda: ANCHORS,
        log=Log(database),
        heads=LogHeads(database),
        stamps=TimeStamps(database),
        settings=Settings(database),
        signing_key=lambda _: keys.signing_key,
        key_statement=lambda: None,
        clock=lambda: 1_000,
    )


@pytest.fixture
def audit(own: OwnLog, keys: PartyKeys) -> Audit:
    """300 entries, of which the first 256 are a full tile."""
    audit = Audit(own.log, keys.sealing, where=WHERE)
    for number in range(300):
        audit.record(AuditEvent("TICKET", OK, detail=str(number)), now=number + 1)
    return audit


def files(directory: Path) -> dict[str, bytes]:
    """Give every file below a directory, by its path."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_tiles_are_named_as_tlog_tiles_says() -> None:
    named = [tile_path(0, 0), tile_path(1, 999), tile_path(0, 1_234_067), tile_path(2, 1_000, 7)]
    assert named == ["tile/0/000", "tile/1/999", "tile/0/x001/x234/067", "tile/2/x001/000.p/7"]


def test_tree_is_written_as_the_vector_has_it(own: OwnLog, keys: PartyKeys, tmp_path: Path) -> None:
    for number in range(VECTOR["leaves"]):
        leaf = leaf_hash(f"leaf {number}".encode())
        own.log.append(SealedEntry(number, b"", number.to_bytes(16, "big"), leaf))
    own.sign_newest()
    LogArchive(tmp_path, own, Unopened(own.log, keys.sealing, where=WHERE)).write()
    written, expected = files(tmp_path / "public"), {path: bytes.fromhex(it) for path, it in VECTOR["files"].items()}
    head, said = written.pop(CHECKPOINT), expected.pop(CHECKPOINT)
    assert written == expected
    assert head.partition(b"\n\n")[0] == said.partition(b"\n\n")[0]


class Unopened(Audit):
    """A log of leaves that commit to nothing."""

    def opened(self, entry):
        """Say what an entry was."""
        return entry


def test_archive_is_verified_and_written_once(own: OwnLog, audit: Audit, keys: PartyKeys, tmp_path: Path) -> None:
    done = LogArchive(tmp_path, own, audit).write()
    assert done is not None
    assert (done.head.size, done.entries, done.written, done.removed) == (300, 256, 4, 0)
    note = (tmp_path / "public" / CHECKPOINT).read_bytes()
    assert open_head(note, "vectors/H:alpha/1", keys.signing_key.verifying_key).root == own.root(300)
    before = files(tmp_path)
    again = LogArchive(tmp_path, own, audit).write()
    assert again is not None
    assert (again.written, again.removed, files(tmp_path)) == (0, 0, before)


def test_archive_goes_on_where_the_log_has_grown(own: OwnLog, audit: Audit, tmp_path: Path) -> None:
    LogArchive(tmp_path, own, audit).write()
    for number in range(212):
        audit.record(AuditEvent("TICKET", OK), now=1_000 + number)
    done = LogArchive(tmp_path, own, audit).write()
    assert done is not None
    assert (done.head.size, done.entries, done.removed) == (512, 512, 1)
    assert set(files(tmp_path)) == {
        "public/checkpoint",
        "public/tile/0/000",
        "public/tile/0/001",
        "public/tile/1/000.p/1",
        "public/tile/1/000.p/2",
        "sealed/000",
        "sealed/001",
    }


@pytest.mark.parametrize("name", ["public/tile/0/000", "public/tile/0/001.p/44", "public/tile/1/000.p/1"])
def test_corrupt_archive_whose_tile_is_another(own: OwnLog, audit: Audit, tmp_path: Path, name: str) -> None:
    LogArchive(tmp_path, own, audit).write()
    (tmp_path / "public" / CHECKPOINT).unlink()
    tile = tmp_path / name
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    with pytest.raises(Corrupt):
        LogArchive(tmp_path, own, audit).write()
    assert not (tmp_path / "public" / CHECKPOINT).exists()


def test_archive_of_another_past_is_no_place_for_this_one(
    own: OwnLog, audit: Audit, keys: PartyKeys, tmp_path: Path
) -> None:
    """A node that was restored, and has written on: what is there is of what it was before."""
    LogArchive(tmp_path, own, audit).write()
    (tmp_path / "public" / "tile" / "0" / "000").write_bytes(b"".join(leaf_hash(bytes([it])) for it in range(256)))
    with pytest.raises(Corrupt, match="tile 0/0"):
        LogArchive(tmp_path, own, audit).write()


def test_bundle_of_what_was_shredded_is_removed(own: OwnLog, audit: Audit, tmp_path: Path) -> None:
    LogArchive(tmp_path, own, audit).write()
    assert "sealed/000" in files(tmp_path)
    audit.shred(before=256, now=1_000)
    LogArchive(tmp_path, own, audit).write()
    assert "sealed/000" in files(tmp_path)
    audit.shred(before=257, now=1_000)
    done = LogArchive(tmp_path, own, audit).write()
    assert done is not None
    assert "sealed/000" not in files(tmp_path)
    assert "public/tile/0/000" in files(tmp_path)


def test_public_part_can_be_served_and_the_sealed_one_is_private(own: OwnLog, audit: Audit, tmp_path: Path) -> None:
    LogArchive(tmp_path / "archive", own, audit).write()
    archive = tmp_path / "archive"
    modes = {str(it.relative_to(tmp_path)): it.stat().st_mode & 0o777 for it in (archive, *archive.rglob("*"))}
    assert {name: mode for name, mode in modes.items() if "sealed" in name} == {
        "archive/sealed": 0o700,
        "archive/sealed/000": 0o600,
    }
    assert {mode for name, mode in modes.items() if "sealed" not in name} == {0o755, 0o644}
