"""A restored cloud takes up what hospitals heard: what was revoked since the backup stays so."""

import pytest
import sqlalchemy as sa

from federation.backup.witness import Witness, take_up
from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.store import schema
from federation.store.errors import BackupRejected
from federation.v1.statement_pb2 import RevocationExcerpt
from tests.revoked import entries

HOUR = 3_600_000


def test_every_kind_of_entry_is_taken_up_from_a_hospitals_list(node: PublicCloudNode) -> None:
    now, book = system_clock(), node.cloud.stores.revocations
    book.revoke("serial", bytes(32), expires_at=now + HOUR, at=now)
    book.revoke("key", b"k" * 32, expires_at=now + HOUR, at=now)
    book.take_back({b"s" * 32: now + HOUR}, at=now, most=9)
    book.sweep(b"p" * 32, now, expires_at=now + HOUR, at=now)
    heard = node.cloud.publisher.refresh(now)
    before, shards = entries(book, now=now), RevocationExcerpt()
    for part in heard.all_shards([]):
        shards.shards.extend(part.shards)
    node.database.write(lambda connection: connection.execute(sa.delete(schema.revocations)))
    node.database.write(lambda connection: connection.execute(sa.delete(schema.revocation_version)))
    book.sweep(b"p" * 32, now - 1, expires_at=now + HOUR, at=now)
    take_up(node, [Witness(heard.directory, shards)], now=now)
    assert entries(book, now=now) == before
    listed = node.cloud.publisher.refresh(now + 1)
    assert listed.sequence > heard.sequence
    assert listed.head.root == heard.head.root


def test_shards_that_are_not_the_head_s_are_no_witness(node: PublicCloudNode) -> None:
    now = system_clock()
    node.cloud.stores.revocations.revoke("serial", bytes(32), expires_at=now + HOUR, at=now)
    heard = node.cloud.publisher.refresh(now)
    with pytest.raises(BackupRejected):
        take_up(node, [Witness(heard.directory, RevocationExcerpt())], now=now)
