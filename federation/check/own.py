"""A node's own things: its files, token, keys, database, log and shelf."""

import os
import pwd
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from federation.check.findings import Examined, Finding, Verdict
from federation.hospital.emergencies import REVIEWED_WITHIN
from federation.party.audit import Audit
from federation.party.database_owner import owner_of, require_owner
from federation.party.node_directory import open_node_token, password_file
from federation.party.tokens import CONSEQUENCES, missing_for
from federation.protocol.time import milliseconds
from federation.store.blobs import BlobStore
from federation.store.inspection import Schema, Survey, missing_rules, open_as_it_is, schema_of
from federation.store.log import Log
from hsm import ObjectInfo, Token, TokenGroup
from keystore.policies import EPOCH_PREFIX, audit

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_PRIVATE = ("medunion.toml", "store.sqlite", "store.sqlite-wal", "device.secret", "pin")

_PROBE = "health-probe"
_SCHEMA = {
    Schema.EMPTY: "it holds no table of a node: `init` makes them where the settings say",
    Schema.BEHIND: "its schema is older than this release: the next `serve` or command migrates it; back it up first",
    Schema.AHEAD: "a newer release has added to its schema; this one works on it all the same",
}


def files(examined: Examined) -> Iterator[Finding]:
    """Look at the directory's modes and owner: what is secret is readable for its owner alone."""
    directory = examined.directory.path
    if directory.stat().st_mode & _WRITABLE:
        yield Finding("files", Verdict.WRONG, f"others may write to {directory}", f"chmod 700 {directory}")
    open_to_others = [path for name in _PRIVATE if (path := directory / name).exists() and _is_open(path)]
    for path in open_to_others:
        yield Finding("files", Verdict.WRONG, f"others may read {path}", f"chmod go= {path}")
    if not open_to_others:
        yield Finding("files", Verdict.OK, "what is secret is readable for its owner alone")


def is_someone_elses(examined: Examined) -> Finding | None:
    """Return a finding if the node is another user's: what is opened here would leave files that its owner can't use."""
    owner = examined.directory.settings_file.stat().st_uid
    if owner == os.geteuid():
        return None
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    return Finding(
        "files",
        Verdict.WRONG,
        f"this node is the user {name}'s, and you are another",
        f"run it as its owner: runuser -u {name} -- medunion check --directory {examined.directory.path}",
    )


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & _OTHERS)


def token(examined: Examined) -> Iterator[Finding]:
    """Log in, and try what the role needs."""
    settings = examined.settings.token
    examined.token = examined.opened.enter_context(open_node_token(settings, examined.pin()))
    for each in examined.token.each:
        yield Finding("token", Verdict.OK, f"logged in: label {each.label}, serial {each.serial}")
        for it in missing_for(examined.kind.role, each.trials()):
            says = f"{each.label} can't do {it.ability.value}: {CONSEQUENCES[it.ability]}"
            yield Finding("token", Verdict.WRONG, f"{says} (it said: {it.fault})", "use a token that can")
    if isinstance(examined.token, TokenGroup):
        for member in examined.token.members:
            if not member.serves:
                yield Finding("token", Verdict.WRONG, f"{member.name} is away: {member.fault}", "bring it back")


def keys(examined: Examined) -> Iterator[Finding]:
    """Open every key of every generation that is in use, and hold all objects against their policies."""
    examined.keys = examined.kind.keys(examined.need_token(), examined.book, examined.clock)
    held = {each: each.objects() for each in examined.need_token().each}
    for each, objects in held.items():
        found = audit(objects)
        where = f"in {each.label}, " if len(held) > 1 else ""
        for finding in found:
            verdict = Verdict.NOTE if finding.reason == "PURPOSE_UNKNOWN" else Verdict.WRONG
            says = f"{where}{finding.label}: {finding.says} [{finding.reason}]"
            yield Finding("keys", verdict, says, f"medunion token keys --directory {examined.directory.path}")
        if not found:
            yield Finding("keys", Verdict.OK, f"{where}{len(objects)} objects, each as its policy says")
    yield from _missing(held)


def _missing(held: Mapping[Token, Sequence[ObjectInfo]]) -> Iterator[Finding]:
    """Name the keys that one token has and another, which should hold the same, lacks. Opening has compared the rest."""
    labels = {each: {info.label for info in objects if info.is_secret} for each, objects in held.items()}
    for each, own in labels.items():
        for label in sorted(set().union(*labels.values()) - own):
            says = f"{each.label} lacks {label}, which another of the node's tokens holds"
            if label.startswith(EPOCH_PREFIX):  # of before there were several: it ends with its epoch
                yield Finding("keys", Verdict.NOTE, says)
            else:
                do = "put it there, or destroy what is no longer needed (docs/tokens.md)"
                yield Finding("keys", Verdict.WRONG, says, do)


def database(examined: Examined) -> Iterator[Finding]:
    """Reach the database, as it is; look at its schema, its rules and whose it is; let it keep something."""
    settings = examined.database_settings
    url = examined.directory.database_url(settings)
    opened = examined.opened.enter_context(open_as_it_is(url, password_file(settings)))
    schema = schema_of(opened)
    if schema in {Schema.EMPTY, Schema.BEHIND}:
        yield Finding("database", Verdict.WRONG, _SCHEMA[schema])
        return
    if examined.kind.role in {"public-cloud", "hospital"} or owner_of(opened) is not None:
        require_owner(opened, examined.identity)
    examined.database = opened
    examined.kept.put(_PROBE, b"")
    for rule in missing_rules(opened):
        says = f"the rule {rule} is not in force: a log can be changed"
        yield Finding("database", Verdict.WRONG, says, "find out who took it away; restore a backup of before")
    words = "takes changes; migrated; logs are append-only"
    newer = schema is Schema.AHEAD
    yield Finding("database", Verdict.NOTE if newer else Verdict.OK, _SCHEMA[schema] if newer else words)


def log(examined: Examined) -> Iterator[Finding]:
    """Let the log's tree grow anew from all its leaves, and open every entry to its own."""
    book = Audit(Log(examined.need_database()), examined.need_keys().sealing, where=examined.identity)
    yield Finding("log", Verdict.OK, f"{book.verify()} entries; the tree holds, and each entry is what it commits to")


def blobs(examined: Examined) -> Iterator[Finding]:
    """Write a blob, read it back and take it away, as a deposit would."""
    settings = examined.blob_settings
    if settings is None:
        return
    store = BlobStore(examined.directory.shelf(settings))
    key, content = secrets.token_bytes(32), secrets.token_bytes(1024)
    with store.writer(key) as writer:
        writer.write(content)
    try:
        b"".join(store.reader(writer.name, key))
    finally:
        store.remove(writer.name)
    yield Finding("blobs", Verdict.OK, "a blob was written, read and removed")


def emergencies(examined: Examined) -> Iterator[Finding]:
    """Count the emergencies that no officer of a hospital has reviewed."""
    if examined.kind.role != "hospital":
        return
    waiting = Survey(examined.need_database()).unreviewed()
    oldest, says = waiting.oldest_declared_at, f"{waiting.number} to review"
    if oldest is not None and examined.clock() - oldest > milliseconds(REVIEWED_WITHIN):
        says += f", the oldest for more than {REVIEWED_WITHIN.days} days"
        yield Finding("emergencies", Verdict.WRONG, says, "medunion hospital emergencies list --open")
    else:
        yield Finding("emergencies", Verdict.OK, says)
