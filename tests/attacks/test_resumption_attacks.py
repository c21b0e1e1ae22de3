"""A record that goes on where its session broke: nobody reads by it what it may not read now, or another record than began."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import (
    CommitmentMismatch,
    CredentialRevoked,
    FieldInvalid,
    RecordChanged,
    Rejected,
)
from federation.hospital.records_administration import OperatorAction, correct_record
from federation.hospital.sessions import RecordStream, answer, take_frame
from federation.protocol.access import AccessEvent, Hidden
from federation.protocol.frames import SLICE_BYTES, IncomingRecord
from federation.protocol.record import AwaitingRecord, Intent, Received, Slice
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import (
    PURPOSE_LOG,
    SESSION_OUTCOME_GRANT_EXPIRED,
    SESSION_OUTCOME_GRANT_REVOKED,
    SESSION_OUTCOME_NO_RECORD,
    OpenSessionResponse,
    RecordEnd,
    Resumption,
)
from federation.v1.statement_pb2 import SignedStatement
from keystore.transcript import digest
from tests.grants import wide
from tests.hiding import hide
from tests.hospital_lab import CARDIOLOGY, JOHNNIE, HospitalLab
from tests.mallory import rejected

CAME = 3
"""Slices that came before the session broke."""


@dataclass(frozen=True, repr=False)
class Claims(IncomingRecord):
    """What an attacker says to have."""

    resumption_claimed: Resumption | None = None

    def resumption(self) -> Resumption | None:
        return self.resumption_claimed


@dataclass
class Broken:
    """A record whose session broke after some slices."""

    lab: HospitalLab
    grant: SignedStatement
    handle: bytes
    came: IncomingRecord
    content: bytes

    def ask(
        self, incoming: IncomingRecord, *handles: bytes, grant: SignedStatement | None = None
    ) -> tuple[AwaitingRecord, RecordStream | SessionFrame]:
        """Open another session, and go on."""
        federation = self.lab.federation
        intent = federation.intent(grant or self.grant, handles=handles or (self.handle,))
        return _asked(self.lab, intent, incoming)

    def claim(self, offset: int, manifest_digest: bytes | None = None) -> IncomingRecord:
        claimed = Resumption(manifest_digest=manifest_digest or self.came.manifest_digest, offset=offset)
        return Claims(**{**vars(self.came), "resumption_claimed": claimed})


def _asked(
    lab: HospitalLab, intent: Intent, incoming: IncomingRecord
) -> tuple[AwaitingRecord, RecordStream | SessionFrame]:
    federation = lab.federation
    established, awaiting = federation.establish(federation.hospital_a, intent)
    state, frame = established.query(now=federation.clock.now, incoming=incoming)
    return state, answer(lab.hospital, take_frame(lab.hospital, awaiting, frame))


def _taken(
    lab: HospitalLab, state: AwaitingRecord, stream: object
) -> Iterator[tuple[AwaitingRecord, Slice | Received]]:
    assert isinstance(stream, RecordStream)
    for outgoing in iter(stream.next, None):
        frame = OpenSessionResponse.FromString(outgoing.message).frame
        state, piece = state.receive(frame, lab.federation.doctor.verifier(), now=lab.federation.clock.now)
        yield state, piece


@pytest.fixture
def broken(lab: HospitalLab, tmp_path: Path) -> Broken:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(range(256)) * (6 * SLICE_BYTES // 256))
    handle = lab.import_files(JOHNNIE, "P:wang", CARDIOLOGY, scan)
    grant = lab.federation.grant()
    state, stream = _asked(lab, lab.federation.intent(grant, handles=(handle,)), IncomingRecord())
    content, taken = b"", _taken(lab, state, stream)
    while state.incoming.arrived < CAME * SLICE_BYTES:
        state, piece = next(taken)
        assert isinstance(piece, Slice)
        content += piece.content
    return Broken(lab, grant, handle, state.incoming, content)


def _outcome(lab: HospitalLab, state: AwaitingRecord, frame: object) -> int:
    assert isinstance(frame, SessionFrame)
    return state.session.receiving.open_message("h2", frame, RecordEnd)[1].payload.outcome


def _last(lab: HospitalLab) -> AccessEvent:
    return [it.event for it in lab.hospital.audit.entries() if isinstance(it.event, AccessEvent)][-1]


def test_record_goes_on_behind_what_came_and_is_signed_whole(broken: Broken) -> None:
    assert broken.came.resumable == CAME * SLICE_BYTES
    state, stream = broken.ask(broken.came)
    content, ended = broken.content, None
    for _, piece in _taken(broken.lab, state, stream):
        if isinstance(piece, Slice):
            content += piece.content
        else:
            ended = piece
    assert ended is not None
    assert ended.record_digest == digest(content)
    assert isinstance(stream, RecordStream)
    stream.log("OK")
    assert _last(broken.lab).detail.endswith(f"bytes sent, from byte {CAME * SLICE_BYTES} on")
    assert int(_last(broken.lab).detail.split()[0]) < len(content) - CAME * SLICE_BYTES + SLICE_BYTES


@pytest.mark.parametrize("offset", [0, 1, SLICE_BYTES - 1, SLICE_BYTES + 1])
def test_offset_within_a_slice_is_refused_field_invalid(broken: Broken, offset: int) -> None:
    with rejected(FieldInvalid):
        broken.ask(broken.claim(offset))


@pytest.mark.parametrize("slices", [100, 2**40])
def test_offset_beyond_the_end_is_refused_record_changed(broken: Broken, slices: int) -> None:
    with pytest.raises(RecordChanged):
        broken.ask(broken.claim(slices * SLICE_BYTES))
    assert _last(broken.lab).reason == "RECORD_CHANGED"


def test_another_records_manifest_is_refused_record_changed(broken: Broken) -> None:
    other = broken.lab.import_files()
    with pytest.raises(RecordChanged):
        broken.ask(broken.came, other)
    with pytest.raises(RecordChanged):
        broken.ask(broken.claim(SLICE_BYTES, digest(b"made up")))


def test_handle_of_another_patient_is_no_record_whatever_is_claimed(broken: Broken) -> None:
    others = broken.lab.import_files(JOHNNIE, "P:lin")
    state, refused = broken.ask(broken.came, others)
    assert _outcome(broken.lab, state, refused) == SESSION_OUTCOME_NO_RECORD


def test_another_version_of_the_record_is_refused_record_changed(broken: Broken) -> None:
    action = OperatorAction("officer", "for a test")
    correct_record(broken.lab.hospital, broken.handle, JOHNNIE, [], action, lambda _: None)
    with pytest.raises(RecordChanged):
        broken.ask(broken.came)


def test_expired_grant_ends_it_grant_expired(broken: Broken) -> None:
    federation = broken.lab.federation
    short = federation.grant(wide(life=timedelta(minutes=30)))
    federation.clock.advance(timedelta(minutes=31))
    federation.refresh()
    state, refused = broken.ask(broken.came, grant=short)
    assert _outcome(broken.lab, state, refused) == SESSION_OUTCOME_GRANT_EXPIRED


def test_grant_taken_back_meanwhile_ends_it_grant_revoked(broken: Broken) -> None:
    broken.lab.federation.revoke_grant(broken.grant)
    state, refused = broken.ask(broken.came)
    assert _outcome(broken.lab, state, refused) == SESSION_OUTCOME_GRANT_REVOKED


def test_doctor_revoked_meanwhile_is_refused_credential_revoked(broken: Broken) -> None:
    broken.lab.federation.revoke(broken.lab.federation.doctor, broken.lab.federation.hospital_a)
    with rejected(CredentialRevoked):
        broken.ask(broken.came)


def test_record_hidden_meanwhile_is_no_record(broken: Broken) -> None:
    hide(broken.lab, Hidden("H:alpha"))
    state, refused = broken.ask(broken.came)
    assert _outcome(broken.lab, state, refused) == SESSION_OUTCOME_NO_RECORD


def test_what_goes_on_is_what_was_announced_or_commitment_mismatch(broken: Broken) -> None:
    """c_P is of the session: what was announced is asked for, from wherever."""
    federation = broken.lab.federation
    announced = federation.intent(broken.grant, handles=(broken.handle,))
    established, awaiting = federation.establish(federation.hospital_a, announced)
    other = replace(established, intent=replace(announced, blind=bytes(32)))
    _, frame = other.query(now=federation.clock.now, incoming=broken.came)
    with rejected(CommitmentMismatch):
        take_frame(broken.lab.hospital, awaiting, frame)


def test_log_does_not_go_on_from_an_offset_field_invalid(broken: Broken) -> None:
    with rejected(FieldInvalid):
        _asked(broken.lab, broken.lab.federation.intent(broken.grant, PURPOSE_LOG), broken.came)


def test_hospital_that_sends_another_record_behind_what_came_is_rejected(broken: Broken) -> None:
    """What came is hashed with what follows: a signature over less, or over another beginning, does not hold."""
    honest = broken.came
    lied = replace(honest, hasher=IncomingRecord().hasher)
    state, stream = broken.ask(honest)
    with pytest.raises(Rejected):
        for _ in _taken(broken.lab, replace(state, incoming=lied), stream):
            pass
