"""The audit log: sealed in a real token, read back, and told when it was altered."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from federation.errors import Corrupt, GrantMissing, Rejected
from federation.party.audit import Audit, AuditEvent, refusal
from federation.protocol.access import AccessEvent
from federation.store.database import Database
from federation.store.log import Log
from federation.wire import operations
from keystore.party import PartyKeys

ACCESS = AccessEvent("SEARCH", "D:a", "P:b", "*", bytes(range(32)), "consent", "OK")


def test_events_come_back_as_they_were(token, database: Database) -> None:
    audit = Audit(Log(database), PartyKeys.create(token).sealing, where="H:north")
    event = AuditEvent("REFUSAL", "STALE", "/s/M", "sent long ago", "0123")
    audit.record(ACCESS, now=1)
    audit.record(event, now=2)
    assert [(e.sequence, e.at, e.event) for e in audit.entries()] == [(1, 1, ACCESS), (2, 2, event)]
    assert audit.verify() == 2


def test_names_are_not_in_the_database(token, database: Database) -> None:
    Audit(Log(database), PartyKeys.create(token).sealing, where="H:north").record(ACCESS, now=1)
    with database.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT sealed FROM log_waiting")).all()
    assert b"P:b" not in rows[0][0]


def test_entry_moved_to_another_time_does_not_open(token, database: Database) -> None:
    sealing = PartyKeys.create(token).sealing
    audit = Audit(Log(database), sealing, where="H:north")
    audit.record(ACCESS, now=1)
    entry = next(Log(database).entries())

    class Moved:
        def entries(self, *, after: int = 0):
            return iter([replace(entry, at=2)])

    with pytest.raises(Corrupt):
        list(Audit(Moved(), sealing, where="H:north").entries())


def test_refusal_names_the_cause_behind_rejected() -> None:
    error = Rejected("the message was not accepted")
    error.__cause__ = GrantMissing("no grant, no record")
    assert refusal(error, "/s/M", "id") == AuditEvent("REFUSAL", "GRANT_MISSING", "/s/M", "no grant, no record", "id")


def test_sentence_of_an_unmapped_error_is_not_kept() -> None:
    assert refusal(ValueError("the PIN is 1234"), "/s/M", "id").detail == "ValueError"


def test_entries_of_a_call_say_its_request_and_others_none(token, database: Database) -> None:
    audit = Audit(Log(database), PartyKeys.create(token).sealing, where="H:north")
    with operations.within("0123456789abcdef"):
        audit.record(ACCESS, now=1)
        audit.record(AuditEvent("REFUSAL", "STALE", "/s/M", "late", "fedcba9876543210"), now=2)
    audit.record(ACCESS, now=3)
    assert [it.request_id for it in audit.entries()] == ["0123456789abcdef", "fedcba9876543210", ""]
    assert [it.sequence for it in audit.entries(since=2)] == [2, 3]
    assert audit.verify() == 3
