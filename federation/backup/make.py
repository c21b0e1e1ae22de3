"""Making a backup of a node while it serves: database, blobs, settings, trust bundle, and a sealed manifest of them.

The database comes first. A record's blobs are there before its row and go after it, so every blob that the copied rows name is
there when the blobs are copied, unless the record was erased meanwhile: then it is well gone. No private key is in a backup: the
keys have ways of their own (docs/ceremonies/backup.md), and the manifest names those that are needed.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import safefiles
from federation.backup import manifest as form
from federation.backup.manifest import ROLES, Manifest, Role
from federation.clock import system_clock, system_entropy
from federation.hospital.vault import Vault
from federation.party.database_owner import require_owner
from federation.party.generations import StoredGenerations
from federation.party.node_directory import NodeDirectory, open_node_token, password_file
from federation.protocol.statements import peek_statement
from federation.settings import CloudSettings, ConfigError, HospitalSettings
from federation.store.backup import Progress, kind_of, take, take_blobs, write_blob_list
from federation.store.blobs import BlobStore
from federation.store.database import Database
from federation.store.errors import BackupRejected, StoreUnavailable
from federation.store.file_shelf import FileShelf
from federation.store.party import Settings
from federation.store.records import Records
from federation.store.shelves import Shelf
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.statement_pb2 import RevocationHead
from hsm import PinProvider, Token
from keystore.party import CloudKeys, HospitalKeys

DIRECTORY = "directory"
"""The name under which every node keeps the newest directory of the public cloud."""

_TRIES = 2

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Reporter:
    """Says how far a long piece of work is: by sentences, and by bytes."""

    say: Tell
    bytes_done: Progress


@dataclass(frozen=True)
class _Node:
    """What a backup is made of."""

    directory: NodeDirectory
    role: Role
    settings: CloudSettings | HospitalSettings
    database: Database
    token: Token
    book: StoredGenerations
    keys: CloudKeys | HospitalKeys


def role_of(directory: NodeDirectory) -> Role:
    """Return what lives in a directory. Raises ConfigError."""
    for role in ROLES.values():
        if role.letter == directory.letter:
            return role
    raise ConfigError(f"{directory.path} is no directory of a public cloud or a hospital")


def make_backup(
    directory: NodeDirectory, pin: PinProvider | None, out: Path, reporter: Reporter, *, copy_blobs: bool | None = None
) -> Manifest:
    """Make a backup in a new directory, mode 0700, which is there when it is whole; return its manifest.

    Blobs are copied from a directory, and from a bucket only if that is said: otherwise they are read where they are, and
    listed. Raises ConfigError, BackupRejected, StoreError, HsmError, OSError.
    """
    if out.exists():
        raise BackupRejected(f"{out} is there already: each backup has a directory of its own")
    partial = out.with_name(f".{out.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    try:
        with ExitStack() as stack:
            manifest = _written(_opened(directory, pin, stack), partial, reporter, copy_blobs)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    safefiles.sync_directory(partial)
    partial.rename(out)
    safefiles.sync_directory(out.parent)
    return manifest


def _opened(directory: NodeDirectory, pin: PinProvider | None, stack: ExitStack) -> _Node:
    role = role_of(directory)
    settings = directory.settings(role.settings)
    token = stack.enter_context(open_node_token(settings.token, pin))
    database = stack.enter_context(directory.database(settings.database))
    require_owner(database, settings.identity)
    book = StoredGenerations(Settings(database))
    return _Node(directory, role, settings, database, token, book, role.keys(token, book, system_clock))


def _written(node: _Node, out: Path, reporter: Reporter, copy_blobs: bool | None) -> Manifest:
    generations, made_at = form.as_kept(node.book), system_clock()
    name = "store.sqlite" if kind_of(node.database) == "sqlite" else "store.pgdump"
    reporter.say("Copying the database")
    taken = take(node.database, password_file(node.settings.database), out / name)
    blobs, copied = _blobs(node, out, reporter, copy_blobs)
    for file in (form.SETTINGS, form.TRUST):
        safefiles.replace(out / file, (node.directory.path / file).read_bytes())
    if form.as_kept(node.book) != generations:
        raise StoreUnavailable("a key was rotated meanwhile: make the backup again")
    read = node.book.read()
    manifest = Manifest(
        format=form.FORMAT,
        made_at=made_at,
        medunion=version("medunion"),
        role=node.role.name,
        identity=node.settings.identity,
        database=kind_of(node.database),
        schema=taken.schema,
        log_entries=taken.log_entries,
        log_head=taken.log_head.hex(),
        list_number=_list_number(node),
        blobs=blobs,
        blobs_copied=copied,
        keys=form.needed(read, node.role.purposes, made_at),
        public_keys=form.public_keys(node.keys),
        generations=generations,
        files={it.name: form.digest_of(it) for it in sorted(out.iterdir()) if it.is_file()},
    )
    safefiles.replace(out / form.MANIFEST, manifest.to_bytes())
    safefiles.replace(out / form.SEAL, form.seal(manifest, node.keys.sealing))
    return manifest


def _blobs(node: _Node, out: Path, reporter: Reporter, copy_blobs: bool | None) -> tuple[int, bool]:
    """Copy or list the blobs; return how many, and whether they were copied."""
    if not isinstance(node.settings, HospitalSettings) or not isinstance(node.keys, HospitalKeys):
        return 0, False
    shelf = node.directory.shelf(node.settings.blobs)
    copied = isinstance(shelf, FileShelf) if copy_blobs is None else copy_blobs
    reporter.say("Copying the records' blobs" if copied else "Reading the records' blobs, which stay where they are")
    target = FileShelf(out / form.BLOBS) if copied else None
    names = write_blob_list(out / form.BLOB_LIST, take_blobs(shelf, target, reporter.bytes_done))
    _require_whole(node.database, node.keys, shelf, names)
    return len(names), copied


def _require_whole(database: Database, keys: HospitalKeys, shelf: Shelf, names: set[str]) -> None:
    """Check that no blob is missing of a record that was there: one that came since has newer ones.

    Raises BackupRejected, Corrupt.
    """
    vault, records = Vault(keys, BlobStore(shelf), system_entropy), Records(database)
    for _ in range(_TRIES):
        missing = set(_missing(vault, records, names))
        # What came while the blobs were copied is in a later backup.
        present = set(shelf.names()) if missing else set()
        if not missing - present:
            return
    lost = len(missing - present)
    raise BackupRejected(f"{lost} blob{'s' * (lost != 1)} of records missing: this hospital has lost parts of records")


def _missing(vault: Vault, records: Records, names: set[str]) -> Iterator[str]:
    for record in records.all():
        yield from (part.blob for part in vault.parts(record) if part.blob not in names)


def _list_number(node: _Node) -> int:
    kept = Settings(node.database).get(DIRECTORY)
    if kept is None:
        return 0
    return peek_statement(RevocationHead, GetDirectoryResponse.FromString(kept).revocation_head).sequence
