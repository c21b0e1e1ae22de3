"""What people send on the slowest line that is to do, a real TCP proxy: a measurement to a doctor, a document to a hospital."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.errors import Unavailable
from federation.hospital.relay import MOST_FRAMES
from federation.person import documents, hospital_session
from federation.protocol.documents import NewDocument
from federation.protocol.frames import MOST_BIOSIGNAL_BYTES, SENT_SLICE_BYTES, padded_size
from federation.settings import ProtocolSettings, ServerSettings
from federation.wire.channel import CALL_SECONDS
from tests import slow_line
from tests.hospital_lab import ecg
from tests.simulator import Federation
from tests.slow_line import Line
from tests.unit.person.conftest import Surgery, at_work
from tests.unit.person.visits import meet

SLOWEST_LINE = 16_000
"""Bytes a second: 128 kbit/s."""
DEPARTMENT = "cardiology"
FASTER_LINE = 1_000_000
"""For a document that is larger than what the kernel holds of a connection over loopback, 4 MB."""
SILENCE_SECONDS = 8.0
"""What a test takes for a minute: more than what the kernel holds takes on that line, and half of what the document does."""


@pytest.fixture
def line() -> Iterator[Line]:
    """Give the line that the doctor's and the patient's calls go by."""
    with slow_line.line() as laid:
        yield laid


@pytest.fixture
def surgery(federation: Federation, tmp_path: Path, line: Line) -> Iterator[Surgery]:
    with at_work(federation, tmp_path, line.leading_to) as surgery:
        yield surgery
        line.close()  # first: a server that stops waits for what is under way


def test_slice_on_the_slowest_line_is_fresh_and_comes_within_a_call() -> None:
    longest = min(CALL_SECONDS, ServerSettings.first_message_seconds, ProtocolSettings.freshness_seconds)
    assert longest > 2 * SENT_SLICE_BYTES / SLOWEST_LINE


def test_longest_biosignal_fits_into_a_room() -> None:
    assert padded_size(MOST_BIOSIGNAL_BYTES) // SENT_SLICE_BYTES < MOST_FRAMES // 2


@pytest.mark.timeout(240)
def test_measurement_comes_to_the_doctor_and_its_progress_is_shown(line: Line, surgery: Surgery) -> None:
    """As one frame it took longer than PutFrame may: six attempts, and no visit."""
    room = surgery.doctor.open_room("H:alpha", surgery.address)
    patient = surgery.patient()
    view = patient.look(room.code)
    line.uplink_bytes_a_second = SLOWEST_LINE
    sent: list[int] = []
    _, present = meet(surgery, room, patient, view, None, ecg(), on_sent=sent.append)
    assert present.biosignal == ecg()
    assert sent == sorted(sent)
    assert len(sent) == -(-padded_size(len(ecg())) // SENT_SLICE_BYTES) + 1


@pytest.mark.timeout(240)
def test_hospital_that_takes_a_document_slowly_is_not_silent(
    line: Line, surgery: Surgery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipt comes long after the last word that it said."""
    monkeypatch.setattr(hospital_session, "SILENCE_SECONDS", SILENCE_SECONDS)
    scan = NewDocument("A scan", "application/octet-stream", bytes(16_000_000))
    assert len(scan.content) / FASTER_LINE >= 2 * SILENCE_SECONDS
    line.uplink_bytes_a_second = FASTER_LINE
    sent: list[int] = []
    receipt = surgery.patient().add_document("H:alpha", surgery.address, DEPARTMENT, scan, on_sent=sent.append)
    assert receipt.HasField("handle")
    assert sent == sorted(sent)
    assert sent[-1] > len(scan.content)


@pytest.mark.timeout(120)
def test_hospital_that_takes_nothing_is_silent(line: Line, surgery: Surgery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hospital_session, "SILENCE_SECONDS", 3.0)
    monkeypatch.setattr(documents, "ATTEMPTS", 1)
    scan = NewDocument("A scan", "application/octet-stream", bytes(MOST_BIOSIGNAL_BYTES))

    def stopped(_sent_bytes: int) -> None:
        line.takes_nothing = True

    with pytest.raises(Unavailable, match="fell silent"):
        surgery.patient().add_document("H:alpha", surgery.address, DEPARTMENT, scan, on_sent=stopped)
