"""A patient reads at a hospital who did: D4 with the purpose "log", decided and logged as an access of its own."""

import pytest

from federation.errors import FieldInvalid, GrantScope, LeafMismatch, NotOwnRecord, Rejected
from federation.protocol.access import AccessEvent
from federation.protocol.access_log import MOST_WITNESSES, as_many_as_fit, entry_of
from federation.protocol.parsing import field_rule, payload_rule
from federation.protocol.record_hospital import LOGGED_ROOM, MOST_LOGGED
from federation.protocol.shown import Shown
from federation.protocol.told_log import LogAuthor, require_further, require_told
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_KIND_LOG,
    ACCESS_KIND_READ,
    AccessEntry,
    ProvedHead,
)
from federation.v1.record_pb2 import RecordManifest
from federation.v1.statement_pb2 import SignedStatement
from tests.documents.test_protocol_checks import VOCABULARY
from tests.e2e.hospital.records import log_of, manifest_of
from tests.hospital_lab import Client, HospitalLab

MOST_REASON = field_rule(AccessEntry, "reason").max_size


def author(lab: HospitalLab) -> LogAuthor:
    """Give whose log it is."""
    member = lab.hospital.member
    return LogAuthor(member.anchors.realm, "H:alpha", member.party(lab.hospital.clock()).self_.key)


def test_each_entry_is_proved_below_a_head_of_the_hospital_and_by_the_next_look(
    lab: HospitalLab, client: Client
) -> None:
    patient = lab.federation.patient
    lab.import_files()
    client.read(lab.federation.intent(lab.federation.grant()))
    first = manifest_of(lab, client, patient)
    told = require_told(first.accesses, first.log_head, "P:wang", author(lab), None)
    assert [it.reason for it in told.entries] == ["OK", "BEGUN"]
    again = manifest_of(lab, client, patient, known_size=told.head.head.size)
    assert again.log_head.consistency
    later = require_told(again.accesses, again.log_head, "P:wang", author(lab), told.head)
    assert later.head.head.size > told.head.head.size
    assert len(later.entries) == 4


def test_log_with_nothing_of_the_patient_has_a_head_too(lab: HospitalLab, client: Client) -> None:
    found = manifest_of(lab, client, lab.federation.patient)
    told = require_told(found.accesses, found.log_head, "P:wang", author(lab), None)
    assert told.entries == ()


def test_entry_about_somebody_else_is_leaf_mismatch(lab: HospitalLab, client: Client) -> None:
    """What a hospital shows of another patient's is none of this one's."""
    log_of(lab, client, lab.federation.patient)
    found = manifest_of(lab, client, lab.federation.patient)
    with pytest.raises(LeafMismatch):
        require_told(found.accesses, found.log_head, "P:lin", author(lab), None)


def test_patient_reads_who_read_and_by_which_grant_newest_first(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    lab.import_files()
    grant = federation.grant()
    client.read(federation.intent(grant))
    ended, begun = log_of(lab, client, federation.patient)
    assert (ended.number, ended.reason, begun.number, begun.reason) == (2, "OK", 1, "BEGUN")
    assert (begun.asker_id, begun.kind, begun.ground) == ("D:chen", ACCESS_KIND_READ, ACCESS_GROUND_CONSENT)
    assert begun.grant_digest == Shown.by_consent(federation.shown(grant).consent, "P:wang").grant_digest != b""
    assert begun.authorization == federation.shown(grant).digest


def test_reading_the_log_is_an_access_that_the_next_reading_shows(lab: HospitalLab, client: Client) -> None:
    """None yet is an empty list, and no refusal."""
    patient = lab.federation.patient
    assert log_of(lab, client, patient) == []
    assert [(it.kind, it.asker_id, it.reason) for it in log_of(lab, client, patient)] == [
        (ACCESS_KIND_LOG, "P:wang", "OK"),
        (ACCESS_KIND_LOG, "P:wang", "BEGUN"),
    ]


def test_doctor_with_every_right_reads_no_log_grant_scope(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    with pytest.raises(GrantScope):
        log_of(lab, client, federation.doctor, federation.shown(federation.grant()))
    assert lab.reasons == ["GRANT_SCOPE"]


def test_doctor_as_if_its_own_is_not_own_record(lab: HospitalLab, client: Client) -> None:
    with pytest.raises(NotOwnRecord):
        log_of(lab, client, lab.federation.doctor)


@pytest.mark.parametrize("scope", [{"department_class": "cardiology"}, {"handles": [bytes(16)]}])
def test_log_of_a_class_or_a_record_is_rejected_field_invalid(
    lab: HospitalLab, client: Client, scope: dict[str, object]
) -> None:
    with pytest.raises(Rejected):
        log_of(lab, client, lab.federation.patient, **scope)
    (refusal,) = [it.event for it in lab.hospital.audit.entries() if it.event.kind == "REFUSAL"]
    assert refusal.reason == FieldInvalid.reason


def test_as_many_accesses_as_one_answer_holds_fit_into_its_manifest() -> None:
    """The longest that each field may be."""
    asker, reason, scope = "D:" + "d" * 64, "R" * MOST_REASON, "c" * 32
    event = AccessEvent("SEARCH", asker, "P:" + "p" * 64, scope, bytes(32), "emergency", reason, "", bytes(32))
    entry = entry_of(event, number=2**63 - 1, at=253402300799999, leaf_index=2**63 - 1, blind=bytes(32))
    entry.inclusion.extend([bytes(32)] * 63)
    statements = [SignedStatement(statement=bytes(300), signature=bytes(64))] * MOST_WITNESSES
    head = ProvedHead(note=bytes(4096), consistency=[bytes(32)] * 63, witness_key_statements=statements)
    accesses = [entry] * as_many_as_fit([entry] * MOST_LOGGED, head, LOGGED_ROOM)
    manifest = RecordManifest(patient_id="P:" + "p" * 64, hospital_id="H:" + "h" * 63, accesses=accesses, log_head=head)
    assert len(accesses) > 400
    assert manifest.ByteSize() <= payload_rule(RecordManifest.DESCRIPTOR).max_size


def test_every_reason_of_the_vocabulary_can_be_told() -> None:
    assert max(map(len, VOCABULARY)) <= MOST_REASON


def test_more_accesses_than_one_answer_holds_are_its_newest(
    lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        event = AccessEvent("READ", "D:chen", "P:wang", "*", b"", "none", f"REASON_{number}")
        lab.hospital.audit.record(event, now=number)
    monkeypatch.setattr("federation.protocol.record_hospital.MOST_LOGGED", 3)
    manifest = manifest_of(lab, client, lab.federation.patient)
    assert [(it.number, it.reason) for it in manifest.accesses] == [(n + 1, f"REASON_{n}") for n in (4, 3, 2)]
    assert manifest.next == manifest.accesses[-1].leaf_index


def test_further_page_has_the_older_ones_below_the_head_of_the_first(
    lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was logged meanwhile, this reading too, is in no page: it is newer than the first."""
    for number in range(5):
        lab.hospital.audit.record(AccessEvent("READ", "D:chen", "P:wang", "*", b"", "none", "REASON"), now=number)
    patient = lab.federation.patient
    monkeypatch.setattr("federation.protocol.record_hospital.MOST_LOGGED", 2)
    page = manifest_of(lab, client, patient)
    told = require_told(page.accesses, page.log_head, "P:wang", author(lab), None, page.next)
    head = told.head
    while told.older is not None:
        page = manifest_of(lab, client, patient, known_size=head.head.size, before=told.older)
        older = page.next if page.HasField("next") else None
        told = require_further(page.accesses, page.log_head, "P:wang", author(lab), told, older)
    assert [it.number for it in told.entries] == [5, 4, 3, 2, 1]
    assert told.head == head
    assert lab.hospital.own_log.log.size() > head.head.size


@pytest.mark.parametrize("before", [0, 2**63 - 1, 2**64 - 1])
def test_page_before_a_leaf_that_is_none_is_a_page(lab: HospitalLab, client: Client, before: int) -> None:
    lab.hospital.audit.record(AccessEvent("READ", "D:chen", "P:wang", "*", b"", "none", "REASON"), now=1)
    page = manifest_of(lab, client, lab.federation.patient, known_size=1, before=before)
    assert [it.number for it in page.accesses] == ([1] if before else [])
    assert not page.HasField("next")
    require_told(page.accesses, page.log_head, "P:wang", author(lab), None)


def test_more_accesses_than_have_room_are_its_newest(
    lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        event = AccessEvent("READ", "D:chen", "P:wang", "*", b"", "none", f"REASON_{number}")
        lab.hospital.audit.record(event, now=number)
    monkeypatch.setattr("federation.protocol.record_hospital.LOGGED_ROOM", 800)
    manifest = manifest_of(lab, client, lab.federation.patient)
    numbers = [it.number for it in manifest.accesses]
    assert 0 < len(numbers) < 5
    assert numbers == [5, 4, 3, 2, 1][: len(numbers)]
    require_told(manifest.accesses, manifest.log_head, "P:wang", author(lab), None)
