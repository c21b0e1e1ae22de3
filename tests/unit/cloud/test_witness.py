"""A restored cloud takes up what its members heard: what was revoked since the backup stays so, of every kind of the list."""

import sqlalchemy as sa

from federation.backup.witness import Witness, take_up
from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.store import schema
from federation.v1.statement_pb2 import RevocationList

HOUR = 3_600_000


def test_every_kind_of_entry_is_taken_up_from_a_members_list(node: PublicCloudNode) -> None:
    now, book = system_clock(), node.cloud.stores.revocations
    book.revoke("serial", bytes(32), expires_at=now + HOUR, at=now)
    book.revoke("key", bytes(16), expires_at=now + HOUR, at=now)
    book.take_back({b"s" * 32: now + HOUR}, at=now, most=1)
    book.sweep(b"p" * 32, now, expires_at=now + HOUR, at=now)
    heard = node.cloud.publisher.refresh(now)
    before = book.current(now=now)
    node.database.write(lambda connection: connection.execute(sa.delete(schema.revocations)))
    book.sweep(b"p" * 32, now - 1, expires_at=now + HOUR, at=now)
    take_up(node, [Witness(heard.directory)], now=now)
    after = book.current(now=now)
    named = "serials", "statements", "key_ids", "sweeps"
    assert [getattr(after, it) for it in named] == [getattr(before, it) for it in named]
    listed: RevocationList = node.cloud.publisher.refresh(now + 1).verifier.lists.revocations
    assert listed.sequence > heard.sequence
    assert [(it.patient_digest, it.before) for it in listed.sweeps] == [(b"p" * 32, now)]


def test_list_has_no_entries_of_a_kind_that_nobody_takes_up() -> None:
    digests = {name for name, it in RevocationList.DESCRIPTOR.fields_by_name.items() if it.is_repeated}
    assert digests == {"serials", "statements", "key_ids", "sweeps", "crls"}  # CRLs are fetched again
