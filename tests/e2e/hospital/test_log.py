"""A patient reads at a hospital who did: D4 with the purpose "log", decided and logged as an access of its own."""

import pytest

from federation.errors import FieldInvalid, GrantScope, NotOwnRecord, Rejected
from federation.hospital.sessions import log_manifest
from federation.party.member import Member
from federation.protocol.access import AccessEvent
from federation.protocol.access_log import entry_of
from federation.protocol.parsing import field_rule, parse, payload_rule
from federation.protocol.record import MOST_LOGGED, Intent
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_KIND_LOG,
    ACCESS_KIND_READ,
    AccessEntry,
)
from federation.v1.record_pb2 import PURPOSE_LOG, RecordManifest, Scope
from tests.documents.test_protocol_checks import VOCABULARY
from tests.hospital_lab import Client, HospitalLab

MOST_REASON = field_rule(AccessEntry, "reason").max_size
OWN = Shown.by_own_right("P:wang")


def log_of(lab: HospitalLab, client: Client, asker: Member, shown: Shown = OWN, **scope: object) -> list[AccessEntry]:
    """Ask for the log; give what the manifest has."""
    asked = Scope(**{"purpose": PURPOSE_LOG, "department_class": "*"} | scope)
    content, received = client.read(Intent(shown, asked, lab.federation.entropy(32)), doctor=asker)
    manifest = parse(RecordManifest, content[4:])
    assert (manifest.patient_id, manifest.hospital_id, received.end.version) == ("P:wang", "H:alpha", 0)
    assert not manifest.records
    return list(manifest.accesses)


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
    entry = entry_of(event, number=2**63 - 1, at=253402300799999)
    manifest = RecordManifest(patient_id="P:" + "p" * 64, hospital_id="H:" + "h" * 63, accesses=[entry] * MOST_LOGGED)
    assert manifest.ByteSize() <= payload_rule(RecordManifest.DESCRIPTOR).max_size


def test_every_reason_of_the_vocabulary_can_be_told() -> None:
    assert max(map(len, VOCABULARY)) <= MOST_REASON


def test_more_accesses_than_one_answer_holds_are_its_newest(lab: HospitalLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        event = AccessEvent("READ", "D:chen", "P:wang", "*", b"", "none", f"REASON_{number}")
        lab.hospital.audit.record(event, now=number)
    monkeypatch.setattr("federation.protocol.record.MOST_LOGGED", 3)
    manifest = parse(RecordManifest, log_manifest(lab.hospital, "P:wang"))
    assert [(it.number, it.reason) for it in manifest.accesses] == [(n + 1, f"REASON_{n}") for n in (4, 3, 2)]
