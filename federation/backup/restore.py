"""Putting a node back from a backup: everything is checked before anything is written, and the settings come last.

A restored database is older than what has happened since, and has forgotten it. What that could undo is held off here: messages
that were taken since are stale before the node serves again, and the public cloud's revocations and numbers go on from what its
members have heard (docs/backup.md says what is lost all the same).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import safefiles
from federation.backup import manifest as form
from federation.backup.make import Reporter
from federation.backup.manifest import ROLES, Manifest
from federation.backup.witness import Witness, floor_without, take_up
from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.party.audit import OK, Audit, AuditEvent
from federation.party.node_directory import NodeDirectory, open_node_token, password_file
from federation.protocol.time import Instant
from federation.settings import BlobSettings, CloudSettings, DatabaseSettings, HospitalSettings, TokenSettings
from federation.store.backup import put, put_blobs, require_empty
from federation.store.database import Database
from federation.store.errors import BackupRejected
from federation.store.file_shelf import FileShelf
from federation.store.log import Log
from federation.store.witnessed import Witnessed
from hsm import PinProvider, Token
from keystore.party import IDENTITY, CloudKeys, HospitalKeys


@dataclass(frozen=True)
class Destination:
    """Where a node is put back; what is None is as the backup's settings say."""

    directory: NodeDirectory
    token: TokenSettings | None = None
    database: DatabaseSettings | None = None
    blobs: BlobSettings | None = None


@dataclass(frozen=True)
class Restored:
    """A node that is back. `has_other_identity`: its PRK_X is another than before, and it has to register again."""

    manifest: Manifest
    has_other_identity: bool


@dataclass(frozen=True)
class _Checked:
    manifest: Manifest
    settings: CloudSettings | HospitalSettings
    source: Path
    destination: Destination

    @property
    def database_url(self) -> str:
        return self.destination.directory.database_url(self.settings.database)


def read_manifest(source: Path) -> Manifest:
    """Read a backup's manifest; its seal is not opened. Raises BackupRejected."""
    try:
        content = (source / form.MANIFEST).read_bytes()
    except OSError as error:
        raise BackupRejected(f"{source} holds no backup: its manifest can't be read: {error.strerror}") from error
    return Manifest.of(content)


def restore(
    source: Path,
    destination: Destination,
    pin: PinProvider | None,
    reporter: Reporter,
    *,
    digest: str | None = None,
    witnesses: Sequence[Witness] = (),
    pause: Callable[[float], None] = time.sleep,
) -> Restored:
    """Put a node back. The token has its keys already, by the shares or by its maker's means.

    `digest` is the one that was shown when the backup was made. Without it the token has to be named: which library is loaded is
    not for a backup to say whose seal is not opened yet.

    Raises BackupRejected, ConfigError, StoreError, HsmError, OSError; until the settings are written there is no node.
    """
    began = time.monotonic()
    checked = _checked(source, destination, digest)
    with ExitStack() as stack:
        token = stack.enter_context(open_node_token(checked.settings.token, pin))
        keys = _keys(checked, token)
        require_empty(checked.database_url, password_file(checked.settings.database))
        destination.directory.create()
        reporter.say("The backup is whole, and the token has its keys")
        _put(checked, reporter)
        database = stack.enter_context(destination.directory.database(checked.settings.database))
        _amend(checked, database, token, keys, witnesses)
        others = _has_other_identity(checked.manifest, keys)
    _wait(checked.settings, began, reporter, pause)
    _write_settings(checked)
    return Restored(checked.manifest, others)


def _checked(source: Path, destination: Destination, digest: str | None) -> _Checked:
    if destination.directory.is_initialised:
        raise BackupRejected(f"{destination.directory.path} has a node already")
    manifest = read_manifest(source)
    if digest is None and destination.token is None:
        raise BackupRejected("name the token, or give the digest that was shown when the backup was made")
    if digest is not None and digest.strip().lower() != manifest.digest:
        raise BackupRejected(f"this is another backup: its digest is {manifest.digest}")
    manifest.require_files(source)
    role = ROLES[manifest.role]
    settings = NodeDirectory(source).settings(role.settings)
    settings = replace(
        settings, token=destination.token or settings.token, database=destination.database or settings.database
    )
    if isinstance(settings, HospitalSettings):
        settings = replace(settings, blobs=destination.blobs or settings.blobs)
    checked = _Checked(manifest, settings, source, destination)
    if not checked.database_url.startswith(manifest.database):
        raise BackupRejected(f"this is a backup of a {manifest.database} database: name one of that kind")
    return checked


def _keys(checked: _Checked, token: Token) -> CloudKeys | HospitalKeys:
    """Open the token's keys, and the seal with them. Raises BackupRejected."""
    manifest = checked.manifest
    missing = [label for label in manifest.keys if not token.has(label)]
    if missing:
        raise BackupRejected(f"the token lacks the keys {', '.join(missing)}: bring them back first")
    keys = ROLES[manifest.role].keys(token, manifest.book, system_clock)
    form.require_sealed(manifest, (checked.source / form.SEAL).read_bytes(), keys.sealing)
    if manifest.role == "public-cloud" and form.public_keys(keys) != dict(manifest.public_keys):
        raise BackupRejected("the token's signing keys are others than the public cloud's: nobody would know it again")
    return keys


def _put(checked: _Checked, reporter: Reporter) -> None:
    manifest, source, directory = checked.manifest, checked.source, checked.destination.directory
    if isinstance(checked.settings, HospitalSettings):
        shelf = directory.shelf(checked.settings.blobs)
        kept = FileShelf(source / form.BLOBS) if manifest.blobs_copied else shelf
        reporter.say("Putting back the records' blobs" if manifest.blobs_copied else "Looking for the records' blobs")
        put_blobs(source / form.BLOB_LIST, kept, shelf if manifest.blobs_copied else None, reporter.bytes_done)
    reporter.say("Putting back the database")
    dump = "store.sqlite" if manifest.database == "sqlite" else "store.pgdump"
    put(source / dump, checked.database_url, password_file(checked.settings.database))
    safefiles.replace(directory.trust_file, (source / form.TRUST).read_bytes())


def _amend(
    checked: _Checked,
    database: Database,
    token: Token,
    keys: CloudKeys | HospitalKeys,
    witnesses: Sequence[Witness],
) -> None:
    """Write into the log that this is a restored node, and let the public cloud take up what its members have heard."""
    manifest, now = checked.manifest, system_clock()
    made_at = datetime.fromtimestamp(manifest.made_at / 1000, UTC).isoformat(timespec="seconds")
    detail = f"backup {manifest.digest} of {made_at}, {manifest.log_entries} entries of the log; {_anew(database, now)}"
    Audit(Log(database), keys.sealing, where=manifest.identity).record(
        AuditEvent("RESTORED", OK, detail=detail), now=now
    )
    Witnessed(database).doubt()
    if isinstance(checked.settings, CloudSettings):
        node = PublicCloudNode(checked.destination.directory, checked.settings, database, token)
        if witnesses:
            take_up(node, witnesses, now=now)
        else:
            floor_without(node, manifest, now=now)
        node.publish()


def _anew(database: Database, now: Instant) -> str:
    """Let the log go on under a number that it never had, and say after what.

    Its witnesses have seen heads of what is lost, and a head without that would be a fork.
    """
    book = Log(database)
    size, before = book.sequence(), book.state().number
    number = book.begin_anew(now=now)
    return f"number {number} of the log goes on after {size} entries of number {before}, root {book.root(size).hex()}"


def _has_other_identity(manifest: Manifest, keys: CloudKeys | HospitalKeys) -> bool:
    return form.public_keys(keys)[IDENTITY] != manifest.public_keys[IDENTITY]


def _wait(
    settings: CloudSettings | HospitalSettings, began: float, reporter: Reporter, pause: Callable[[float], None]
) -> None:
    """Wait until whatever was sent before the restoration began is stale: its replay key may be among what is forgotten."""
    freshness = settings.protocol.freshness
    window: timedelta = freshness.window + 2 * freshness.skew
    left = window.total_seconds() - (time.monotonic() - began)
    if left > 0:
        reporter.say(f"Waiting {left:.0f} s, until no message from before can be played again")
        pause(left)


def _write_settings(checked: _Checked) -> None:
    """Write the settings: as they were where nothing of them is another, comments and all."""
    directory = checked.destination.directory
    if NodeDirectory(checked.source).settings(type(checked.settings)) == checked.settings:
        safefiles.replace(directory.settings_file, (checked.source / form.SETTINGS).read_bytes())
    else:
        directory.write_settings(checked.settings)
