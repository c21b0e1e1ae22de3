"""Who read my record: the accesses to one patient's records, found in the log without opening all of it."""

import pytest
import sqlalchemy as sa

from federation.clock import system_clock
from federation.cloud.node import PublicCloudNode
from federation.errors import Corrupt
from federation.party.audit import AuditEvent, LogPage
from federation.party.patients import ACCESSES, LogPlace
from federation.protocol.access import AccessEvent
from federation.protocol.time import milliseconds
from federation.rotation.cloud import cloud_rotation
from federation.rotation.steps import SETTLING
from federation.store import schema
from federation.store.accesses import Accesses
from federation.store.rows import SealedEntry
from keystore.errors import GenerationNeeded
from keystore.party import INDEXING
from tests.waiting import until


def access(patient_id: str, reason: str = "OK") -> AccessEvent:
    return AccessEvent("SEARCH", "D:chen", patient_id, "*", b"h" * 32, "consent", reason)


def record(node: PublicCloudNode, *patients: str) -> None:
    for number, patient_id in enumerate(patients):
        node.cloud.audit.record(access(patient_id, f"REASON_{number}"), now=number + 1)


def reasons(node: PublicCloudNode, patient_id: str, after: LogPlace | None = None, limit: int = 32) -> list[str]:
    return [it.event.reason for _, it in node.cloud.audit.accesses_of(patient_id, after=after, limit=limit)]


def test_accesses_of_a_patient_are_its_own_newest_first(node: PublicCloudNode) -> None:
    record(node, "P:ann", "P:eve", "P:ann")
    node.cloud.record("TICKET", "P:ann", now=9)
    assert reasons(node, "P:ann") == ["REASON_2", "REASON_0"]
    assert reasons(node, "P:eve") == ["REASON_1"]
    assert reasons(node, "P:lin") == []


def test_accesses_come_in_pages(node: PublicCloudNode) -> None:
    record(node, *["P:ann"] * 5)
    audit = node.cloud.audit
    first = audit.log_of("P:ann", limit=2)
    assert [(it.number, it.reason) for it in first.accesses] == [(5, "REASON_4"), (4, "REASON_3")]
    record(node, "P:ann")
    assert reasons(node, "P:ann", first.after) == ["REASON_2", "REASON_1", "REASON_0"]
    second = audit.log_of("P:ann", after=first.after, limit=2)
    assert [it.number for it in second.accesses] == [3, 2]
    third = audit.log_of("P:ann", after=second.after, limit=2)
    assert ([it.number for it in third.accesses], third.after) == ([1], None)
    assert audit.log_of("P:ann", after=LogPlace(1, 1), limit=2) == LogPage((), None)
    assert audit.log_of("P:lin", limit=2) == LogPage((), None)


def test_database_names_no_patient_and_links_its_accesses_to_no_row_of_the_index(node: PublicCloudNode) -> None:
    record(node, "P:ann")
    (row,) = Accesses(node.database).walk()
    patient = node.cloud.blind_index.patients("P:ann")[0]
    assert b"ann" not in row.patient_key
    assert row.patient_key not in {patient._value, patient.row_key("cardiology"), patient.hospital_key("H:north")}


def test_corrupt_where_the_store_says_that_another_patients_access_is_this_ones(node: PublicCloudNode) -> None:
    """Who writes the database could show one patient what is in the log of another."""
    record(node, "P:ann", "P:eve")
    own = next(it.patient_key for it in Accesses(node.database).walk() if it.sequence == 1)
    swapped = sa.update(schema.accesses).where(schema.accesses.c.sequence == 2).values(patient_key=own)
    node.database.write(lambda connection: connection.execute(swapped))
    with pytest.raises(Corrupt):
        reasons(node, "P:ann")


def rotated(node: PublicCloudNode) -> None:
    rotation = cloud_rotation(node)
    rotation.prepare(INDEXING, generate=True)
    rotation.activate(INDEXING, at=system_clock() + 1)
    until(lambda: node.book.read().active(INDEXING, system_clock()).number == 2)


def test_accesses_are_found_through_a_rotation_of_the_index_key_and_named_anew_after_it(node: PublicCloudNode) -> None:
    record(node, "P:ann", "P:eve")
    rotated(node)
    record(node, "P:ann")
    accesses = Accesses(node.database)
    assert (accesses.count(1), accesses.count(2)) == (2, 1)
    assert reasons(node, "P:ann") == ["REASON_0", "REASON_0"]
    assert [*node.cloud.audit.name_anew()].count(True) == 2
    assert (accesses.count(1), accesses.count(2)) == (0, 3)
    assert [*node.cloud.audit.name_anew()].count(True) == 0
    assert reasons(node, "P:ann") == ["REASON_0", "REASON_0"]
    assert reasons(node, "P:eve") == ["REASON_1"]


def test_generation_needed_as_long_as_accesses_are_named_by_it(
    node: PublicCloudNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record(node, "P:ann")
    rotated(node)
    rotation = cloud_rotation(node)
    monkeypatch.setattr(rotation, "_clock", lambda: system_clock() + milliseconds(SETTLING))
    with pytest.raises(GenerationNeeded, match=f"1 {ACCESSES}"):
        rotation.revoke(INDEXING, 1)
    rotation.reseal(INDEXING, lambda _: None)
    rotation.revoke(INDEXING, 1)
    assert reasons(node, "P:ann") == ["REASON_0"]
    assert "access-not-named-anew" not in caplog.messages


def test_access_whose_entry_does_not_open_stays_and_is_told(
    node: PublicCloudNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.cloud.audit._log.append(
        SealedEntry(1, b"\x00\x01" + bytes(64), bytes(16), bytes(32), node.cloud.audit._patients.about("P:ann"))
    )
    record(node, "P:eve")
    rotated(node)
    assert [*node.cloud.audit.name_anew()].count(True) == 1
    assert Accesses(node.database).count(1) == 1
    assert "access-not-named-anew" in caplog.messages


def test_event_that_is_no_access_is_about_nobody(node: PublicCloudNode) -> None:
    assert node.cloud.audit.entry(AuditEvent("TICKET", "OK", detail="P:ann"), now=1).about is None
