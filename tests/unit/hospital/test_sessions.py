"""A record on its way to a doctor: what it may hold, and who ends it."""

from pathlib import Path

import pytest

from federation.errors import CredentialRevoked, FieldInvalid, Limit
from federation.hospital.importing import MOST_PARTS, checked_bundle
from federation.hospital.reader_pace import FIRST_BYTES
from federation.hospital.sessions import MOST_RECORDS, RecordStream, answer, manifest_of, take_frame
from federation.protocol.access import AccessEvent
from federation.protocol.frames import TAG_BYTES
from federation.v1.record_pb2 import OpenSessionResponse
from federation.v1.statement_pb2 import SignedStatement
from tests.hospital_lab import CARDIOLOGY, JOHNNIE, HospitalLab
from tests.mallory import rejected


def record_under_way(lab: HospitalLab, grant: SignedStatement | None = None) -> RecordStream:
    """Begin to send a record to the doctor, who has asked for it."""
    federation = lab.federation
    lab.import_files()
    established, awaiting = federation.establish(federation.hospital_a, federation.intent(grant or federation.grant()))
    _, frame = established.query(now=federation.clock.now)
    record = answer(lab.hospital, take_frame(lab.hospital, awaiting, frame))
    assert isinstance(record, RecordStream)
    return record


def _ended(lab: HospitalLab) -> tuple[str, str]:
    event = [entry.event for entry in lab.hospital.audit.entries() if isinstance(entry.event, AccessEvent)][-1]
    return event.reason, event.detail


def test_record_whose_doctor_is_revoked_is_refused_credential_revoked_between_frames(lab: HospitalLab) -> None:
    """A reader that takes nothing never lets the next frame be asked for: it is looked at from beside."""
    record = record_under_way(lab)
    record.require_still_allowed()
    lab.federation.revoke(lab.federation.doctor)
    with rejected(CredentialRevoked):
        record.require_still_allowed()
    assert lab.reasons == ["BEGUN", "CREDENTIAL_REVOKED"]


def test_record_whose_grant_fell_ends_with_a_frame_that_says_so(lab: HospitalLab) -> None:
    grant = lab.federation.grant()
    record = record_under_way(lab, grant)
    first = record.next()
    assert first is not None
    assert not first.last
    lab.federation.revoke_grant(grant)
    last = record.next()
    assert last is not None
    assert last.last
    assert OpenSessionResponse.FromString(last.message).frame.last
    assert _ended(lab) == ("GRANT_REVOKED", f"{FIRST_BYTES + TAG_BYTES} bytes sent")
    assert record.next() is None


def test_record_ends_once_with_its_last_frame(lab: HospitalLab) -> None:
    record = record_under_way(lab)
    frames = list(iter(record.next, None))
    assert [frame.last for frame in frames] == [False] * (len(frames) - 1) + [True]


def test_limit_reached_for_a_list_of_parts_that_no_answer_holds(lab: HospitalLab, tmp_path: Path) -> None:
    scans = [tmp_path / f"{number:03}-{'long' * 25}.bin" for number in range(MOST_PARTS - 1)]
    for scan in scans:
        scan.touch()
    lab.import_files(JOHNNIE, "P:wang", CARDIOLOGY, *scans)
    (record,) = lab.hospital.stores.records.all()
    with pytest.raises(Limit, match="too long for one answer"):
        manifest_of(lab.hospital.vault, [record] * MOST_RECORDS, "P:wang", "H:alpha")


def test_record_of_more_parts_than_one_has_is_refused_field_invalid() -> None:
    with pytest.raises(FieldInvalid):
        checked_bundle(JOHNNIE, [JOHNNIE] * MOST_PARTS)
