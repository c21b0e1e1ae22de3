"""A backup that is not as it was made, or not of this token, changes nothing; and what a good one holds and leaves out."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from federation.backup import manifest as form
from federation.backup.make import Reporter, make_backup
from federation.backup.restore import Destination, read_manifest, restore
from federation.backup.witness import Witness, heard
from federation.cloud.node import Founding, found, open_public_cloud
from federation.hospital.importing import RecordFiles, import_record
from federation.hospital.node import HospitalNode, init_hospital
from federation.party.node_directory import NodeDirectory
from federation.settings import BlobSettings, HospitalSettings, TokenSettings
from federation.store.errors import BackupRejected
from federation.store.log import Log
from federation.store.shelves import open_shelf
from federation.v1.statement_pb2 import RevocationExcerpt
from hsm import PinProvider, TokenUri, open_token, pin_from_value
from keystore.party import CloudKeys
from tests.conftest import USER_PIN
from tests.contract import s3_server
from tests.hospital_lab import JOHNNIE

QUIET = Reporter(lambda _sentence: None, lambda _size: None)
Tokens = Callable[..., TokenUri]


@dataclass
class Kept:
    """Nodes, and a backup of each."""

    root: Path
    pin: PinProvider
    token: TokenUri

    @property
    def cloud(self) -> NodeDirectory:
        return NodeDirectory(self.root / "cloud")

    @property
    def hospital(self) -> NodeDirectory:
        return NodeDirectory(self.root / "hospital")

    def source(self, name: str) -> Path:
        return self.root / f"{name}.backup"


def _found(root: Path, make_token_uri: Tokens, pin: PinProvider) -> TokenUri:
    uri = make_token_uri("cloud")
    address = "127.0.0.1:7001"
    founding = Founding("C:union", "test", address, "127.0.0.1:7002", address, "127.0.0.1:7002")
    found(NodeDirectory(root / "cloud"), founding, TokenSettings(str(uri)), pin)
    return uri


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_token_uri: Tokens) -> Kept:
    root, pin = tmp_path_factory.mktemp("nodes"), pin_from_value(USER_PIN)
    kept = Kept(root, pin, _found(root, make_token_uri, pin))
    with open_public_cloud(kept.cloud, pin) as node:
        node.publish()
        bundle = node.trust()
    settings = HospitalSettings(
        "H:ward", "127.0.0.1:7101", "127.0.0.1:7101", TokenSettings(str(make_token_uri("ward"))), ("cardiology",)
    )
    init_hospital(kept.hospital, settings, bundle, pin)
    with HospitalNode(kept.hospital, pin) as node:
        import_record(node.hospital, RecordFiles("P:ann", "H:ward/cardiology", JOHNNIE, ()), lambda _: None)
    for name in ("cloud", "hospital"):
        make_backup(NodeDirectory(root / name), pin, kept.source(name), QUIET)
    return kept


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Kept:
    """Return the backups to change at will."""
    root = tmp_path / "kept"
    shutil.copytree(made.root, root)
    return replace(made, root=root)


def put_back(kept: Kept, name: str, target: Path, **place: object) -> NodeDirectory:
    directory = NodeDirectory(target)
    source = kept.source(name)
    restore(
        source,
        Destination(directory, **place),
        kept.pin,
        QUIET,
        digest=read_manifest(source).digest,
        pause=lambda _seconds: None,
    )
    return directory


def refused(kept: Kept, name: str, target: Path, words: str, **place: object) -> None:
    """Require a refusal that leaves neither a node nor a database."""
    with pytest.raises(BackupRejected, match=words):
        put_back(kept, name, target, **place)
    assert not (target / "medunion.toml").exists()
    assert not (target / "store.sqlite").exists()


def test_a_restored_cloud_is_the_same_and_its_log_tells_of_it(kept: Kept, tmp_path: Path) -> None:
    with open_public_cloud(kept.cloud, kept.pin) as node:
        trust, entries = node.trust(), node.cloud.audit.verify()
        number = node.cloud.publisher.refresh(node.cloud.clock()).sequence
    with open_public_cloud(put_back(kept, "cloud", tmp_path / "new"), kept.pin) as node:
        assert node.trust() == trust
        assert node.cloud.audit.verify() == entries + 1
        newest = list(node.cloud.audit.entries())[-1].event
        assert newest.kind == "RESTORED"
        # A head is signed under a number that none of before had, and the first entry behind what came back says so.
        log = Log(node.database)
        root, number_of_log = log.root(entries).hex(), log.state().number
        assert number_of_log > 1
        assert newest.detail.endswith(
            f"number {number_of_log} of the log goes on after {entries} entries of number 1, root {root}"
        )
        # Nobody said what the members have heard: no number of before is given out again.
        assert node.publish().sequence >= number + 1_000_000


def test_a_restored_node_waits_until_what_it_forgot_to_have_taken_is_stale(kept: Kept, tmp_path: Path) -> None:
    source, directory, waited = kept.source("cloud"), NodeDirectory(tmp_path / "new"), []

    def wait(seconds: float) -> None:
        assert not directory.is_initialised
        waited.append(seconds)

    restore(source, Destination(directory), kept.pin, QUIET, digest=read_manifest(source).digest, pause=wait)
    assert directory.is_initialised
    (seconds,) = waited
    assert 0 < seconds <= 40


def test_a_restored_hospital_reads_its_records(kept: Kept, tmp_path: Path) -> None:
    with HospitalNode(put_back(kept, "hospital", tmp_path / "new"), kept.pin) as node:
        (record,) = node.hospital.stores.records.all()
        assert b"".join(node.hospital.vault.read(record)) == JOHNNIE.read_bytes()


def test_no_backup_holds_the_key_of_an_epoch(kept: Kept) -> None:
    seeds = []
    with closing(sqlite3.connect(kept.cloud.path / "store.sqlite")) as connection:
        seeds = [seed for (seed,) in connection.execute("SELECT sealed_seed FROM epochs")]
    copy = kept.source("cloud") / "store.sqlite"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM epochs").fetchone() == (0,)
    assert seeds
    assert not any(seed in copy.read_bytes() for seed in seeds)


def test_others_can_read_nothing_of_a_backup(kept: Kept) -> None:
    assert kept.source("hospital").stat().st_mode & 0o777 == 0o700
    files = [path for path in kept.source("hospital").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_second_backup_in_the_same_place_is_refused(kept: Kept) -> None:
    with pytest.raises(BackupRejected, match="is there already"):
        make_backup(kept.cloud, kept.pin, kept.source("cloud"), QUIET)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"identity": "C:other"}, "the seal of the backup does not open"),
        ({"role": "bakery"}, "there is no such node"),
        ({"format": "medunion-backup/2"}, "no backup of the format"),
        ({"generations": '{"purposes":{},"version":2}'}, "the generations of the keys can't be read"),
        ({"keys": []}, "the manifest is not what was sealed"),
        ({"made_at": 7}, "the manifest is not what was sealed"),
        ({"log_entries": 7}, "the manifest is not what was sealed"),
        ({"public_keys": {}}, "the manifest is not what was sealed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_changed_manifest_is_refused(kept: Kept, tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = kept.source("cloud") / form.MANIFEST
    fields = json.loads(path.read_bytes()) | change
    path.write_bytes(json.dumps(fields, indent=2, sort_keys=True).encode() + b"\n")
    refused(kept, "cloud", tmp_path / "new", words)


@pytest.mark.parametrize("name", ["store.sqlite", "medunion.toml", "trust.json"])
def test_a_changed_file_is_refused(kept: Kept, tmp_path: Path, name: str) -> None:
    path = kept.source("cloud") / name
    path.write_bytes(path.read_bytes() + b"\n")
    refused(kept, "cloud", tmp_path / "new", f"{name} is not what was kept")


def test_a_changed_file_with_its_digest_in_the_manifest_is_refused(kept: Kept, tmp_path: Path) -> None:
    source = kept.source("cloud")
    (source / "trust.json").write_bytes(b"{}")
    manifest = read_manifest(source)
    files = {**manifest.files, "trust.json": form.digest_of(source / "trust.json")}
    (source / form.MANIFEST).write_bytes(replace(manifest, files=files).to_bytes())
    refused(kept, "cloud", tmp_path / "new", "the manifest is not what was sealed")


def test_the_token_that_an_unchecked_backup_names_is_not_opened(kept: Kept, tmp_path: Path) -> None:
    destination = Destination(NodeDirectory(tmp_path / "new"))
    with pytest.raises(BackupRejected, match="name the token"):
        restore(kept.source("cloud"), destination, kept.pin, QUIET)
    with pytest.raises(BackupRejected, match="this is another backup"):
        restore(
            kept.source("cloud"), destination, kept.pin, QUIET, digest=read_manifest(kept.source("hospital")).digest
        )
    assert not (tmp_path / "new").exists()


def test_another_nodes_seal_is_refused(kept: Kept, tmp_path: Path) -> None:
    shutil.copy(kept.source("hospital") / form.SEAL, kept.source("cloud") / form.SEAL)
    refused(kept, "cloud", tmp_path / "new", "the seal of the backup does not open")


def test_a_token_with_other_keys_of_the_same_names_is_refused(
    kept: Kept, tmp_path: Path, make_token_uri: Tokens
) -> None:
    other = make_token_uri("other")
    with open_token(other, kept.pin) as token:
        CloudKeys.create(token)
    refused(kept, "cloud", tmp_path / "new", "the seal of the backup", token=TokenSettings(str(other)))


def test_a_token_that_lacks_keys_is_refused_and_they_are_named(
    kept: Kept, tmp_path: Path, make_token_uri: Tokens
) -> None:
    empty = TokenSettings(str(make_token_uri("empty")))
    refused(kept, "cloud", tmp_path / "new", "identity, sealing, issuer, index, tls-ca", token=empty)


def test_a_directory_with_a_node_or_a_database_is_refused(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(BackupRejected, match="has a node already"):
        put_back(kept, "cloud", kept.cloud.path)
    target = tmp_path / "new"
    target.mkdir()
    (target / "store.sqlite").touch()
    with pytest.raises(BackupRejected, match="is restored where nothing is"):
        put_back(kept, "cloud", target)
    assert [path.name for path in target.iterdir()] == ["store.sqlite"]


def test_a_changed_blob_is_refused(kept: Kept, tmp_path: Path) -> None:
    (blob,) = (kept.source("hospital") / form.BLOBS).glob("??/*")
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    refused(kept, "hospital", tmp_path / "new", "is not what was kept")
    assert not list((tmp_path / "new" / "blobs").glob("??/*"))


def test_a_missing_blob_is_refused_and_named(kept: Kept, tmp_path: Path) -> None:
    (blob,) = (kept.source("hospital") / form.BLOBS).glob("??/*")
    blob.unlink()
    refused(kept, "hospital", tmp_path / "new", f"{blob.name} is missing")


def test_a_hospital_that_has_lost_a_blob_is_told_when_it_is_backed_up(kept: Kept) -> None:
    (blob,) = (kept.hospital.path / "blobs").glob("??/*")
    blob.unlink()
    out = kept.root / "another"
    with pytest.raises(BackupRejected, match="1 blob of records missing"):
        make_backup(kept.hospital, kept.pin, out, QUIET)
    assert not list(kept.root.glob("*another*"))


def test_a_witness_of_another_federation_is_refused(kept: Kept, tmp_path: Path, make_token_uri: Tokens) -> None:
    _found(tmp_path / "foreign", make_token_uri, kept.pin)
    with open_public_cloud(NodeDirectory(tmp_path / "foreign" / "cloud"), kept.pin) as node:
        foreign = Witness(node.publish().directory, RevocationExcerpt())
    with pytest.raises(BackupRejected, match="none of this cloud's keys"):
        restore(
            kept.source("cloud"),
            Destination(NodeDirectory(tmp_path / "new")),
            kept.pin,
            QUIET,
            digest=read_manifest(kept.source("cloud")).digest,
            witnesses=[foreign],
            pause=lambda _seconds: None,
        )
    assert not (tmp_path / "new" / "medunion.toml").exists()


def test_records_in_a_bucket_are_listed_or_copied_and_looked_for(
    kept: Kept, tmp_path: Path, make_token_uri: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    shelf = s3_server.server().new_bucket()
    token = TokenSettings(str(make_token_uri("bucket")))
    address = "127.0.0.1:7102"
    settings = HospitalSettings("H:bucket", address, address, token, ("cardiology",), blobs=BlobSettings(shelf))
    node = NodeDirectory(kept.root / "bucket")
    init_hospital(node, settings, kept.cloud.trust(), kept.pin)
    with HospitalNode(node, kept.pin) as hospital:
        import_record(hospital.hospital, RecordFiles("P:ann", "H:bucket/cardiology", JOHNNIE, ()), lambda _: None)
    listed = make_backup(node, kept.pin, kept.source("bucket"), QUIET)
    assert (listed.blobs, listed.blobs_copied) == (1, False)
    assert not (kept.source("bucket") / form.BLOBS).exists()
    copied = make_backup(node, kept.pin, kept.source("copied"), QUIET, copy_blobs=True)
    assert (copied.blobs, copied.blobs_copied) == (1, True)

    files = BlobSettings((tmp_path / "files").as_uri())
    for name, place in (("bucket", {}), ("copied", {"blobs": files})):
        with HospitalNode(put_back(kept, name, tmp_path / name, **place), kept.pin) as hospital:
            (record,) = hospital.hospital.stores.records.all()
            assert b"".join(hospital.hospital.vault.read(record)) == JOHNNIE.read_bytes()
    for blob in open_shelf(shelf).names():
        open_shelf(shelf).remove(blob)
    refused(kept, "bucket", tmp_path / "gone", "is missing")


def test_what_is_no_directory_is_no_witness(kept: Kept) -> None:
    for content in (b"", b"\xff\xff"):
        with pytest.raises(BackupRejected, match="no directory of a public cloud"):
            Witness.of(content)
    with HospitalNode(kept.hospital, kept.pin) as node, pytest.raises(BackupRejected, match="has heard nothing"):
        heard(node)
