"""Records on a bad line, a real TCP proxy: one that breaks in the middle goes on, one on a slow line takes its time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest

from federation.errors import GrantRevoked, Unavailable
from federation.hospital.reader_pace import FIRST_BYTES
from federation.hospital.records_administration import OperatorAction, correct_record
from federation.person.broken_records import KEPT_MS, MOST_BROKEN
from federation.person.doctor import DoctorClient
from federation.person.hospital_session import SILENCE_SECONDS
from federation.person.records import PAUSES, Allowance
from federation.protocol.access import AccessEvent
from federation.protocol.consent import peek_grant
from federation.protocol.consultation import InConsultation
from federation.protocol.frames import SLICE_BYTES
from federation.protocol.search import RecordLocation
from federation.settings import ServerSettings
from federation.wire.channel import PING_SECONDS
from keystore.transcript import digest
from tests.hospital_lab import CARDIOLOGY, JOHNNIE, HospitalLab, ecg
from tests.serving import SECONDS
from tests.simulator import Federation
from tests.slow_line import Line, line
from tests.unit.person.conftest import make_doctor

HOUR_MS = 3_600_000
SLOWEST_LINE = 16_000
"""Bytes a second, of a line that a record comes through: 128 kbit/s."""


@dataclass
class Ward:
    """A doctor at the far end of a line, a patient's record, and what happens while the doctor waits."""

    lab: HospitalLab
    line: Line
    channel: grpc.Channel
    doctor: DoctorClient
    consultation: InConsultation
    location: RecordLocation
    content: bytes
    directory: Path
    waited: list[float] = field(default_factory=list)
    seen: list[tuple[int, int | None]] = field(default_factory=list)

    def fetch(self) -> bytes:
        """The attachment, as the doctor gets it."""
        (record,) = self.doctor.fetch(self.consultation, [self.location], self._see, Allowance())
        _, attachment = (b"".join(content) for _, _, content in record.parts())
        record.close()
        return attachment

    def begin_anew(self, *, first_has_ended: bool = True) -> None:
        """Have the doctor's client as another program opens it, after the first has ended or beside it."""
        if first_has_ended:
            self.doctor._fetcher._broken.close()
        self.doctor = make_doctor(
            self.lab.federation, self.directory, lambda *_: self.channel, pause=self.waited.append
        )
        self.seen.clear()

    def sent(self) -> list[str]:
        """What the hospital's log says went out, of each session that ended."""
        events = (it.event for it in self.lab.hospital.audit.entries() if isinstance(it.event, AccessEvent))
        return [f"{it.reason}: {it.detail}" for it in events if it.kind == "READ" and "sent" in it.detail]

    def _see(self, _hospital: str, received: int, of: int | None) -> None:
        self.seen.append((received, of))


@contextmanager
def _ward(federation: Federation, directory: Path, slices: int) -> Iterator[Ward]:
    (directory / "hospital").mkdir()
    scan = directory / "scan.bin"
    scan.write_bytes(bytes(range(256)) * (slices * SLICE_BYTES // 256))
    hospital_lab = HospitalLab(federation, directory / "hospital")
    with line() as laid, hospital_lab as lab, lab.serving(laid.leading_to) as client:
        handle = lab.import_files(JOHNNIE, "P:wang", CARDIOLOGY, scan)
        hospital = federation.address(federation.hospital_a)
        location = RecordLocation(hospital.party, hospital.encryption_key, "localhost:1", CARDIOLOGY, handle)
        waited: list[float] = []
        doctor = make_doctor(federation, directory, lambda *_: client.channel, pause=waited.append)
        _, consultation = federation.consult(ecg())
        yield Ward(lab, laid, client.channel, doctor, consultation, location, scan.read_bytes(), directory, waited)


@pytest.fixture
def ward(federation: Federation, tmp_path: Path) -> Iterator[Ward]:
    with _ward(federation, tmp_path, slices=12) as ward:
        yield ward


def test_record_whose_line_is_cut_goes_on_behind_what_came(ward: Ward) -> None:
    ward.line.cut_after = 4 * SLICE_BYTES
    assert ward.fetch() == ward.content
    assert ward.line.cuts == 1
    assert ward.line.down_bytes < len(ward.content) + 4 * SLICE_BYTES
    first, second = ward.sent()
    assert "from byte" not in first
    assert second.startswith("OK: ")
    assert int(second.rpartition("from byte ")[2].split()[0]) >= 2 * SLICE_BYTES


def test_progress_says_bytes_and_total_from_the_manifest_on_and_goes_back_for_no_break(ward: Ward) -> None:
    ward.line.cut_after = 4 * SLICE_BYTES
    ward.fetch()
    received, totals = zip(*ward.seen, strict=True)
    assert list(received) == sorted(received)
    assert set(totals) == {received[-1]}


def test_line_that_is_down_for_long_is_unavailable_and_what_came_is_not_asked_for_again(ward: Ward) -> None:
    ward.line.cut_after = 4 * SLICE_BYTES
    cut_once = ward.doctor._fetcher._pause

    def down(seconds: float) -> None:
        ward.line.is_down = True
        cut_once(seconds)

    ward.doctor._fetcher._pause = down
    with pytest.raises(Unavailable):
        ward.fetch()
    assert len(ward.waited) == sum(it.total_seconds() for it in PAUSES)
    came = ward.line.down_bytes
    ward.line.is_down = False
    grpc.channel_ready_future(ward.channel).result(SECONDS)
    assert ward.fetch() == ward.content
    size_bytes, _ = ward.seen[-1]
    assert ward.line.down_bytes - came < size_bytes - 2 * SLICE_BYTES


class Stopped(Exception):
    """The doctor stopped it."""


def test_record_that_the_doctor_stopped_goes_on_when_it_is_fetched_again(ward: Ward) -> None:
    def stop(_hospital: str, received: int, _of: int | None) -> None:
        if received > 3 * SLICE_BYTES:
            raise Stopped

    with pytest.raises(Stopped):
        list(ward.doctor.fetch(ward.consultation, [ward.location], stop, Allowance()))
    assert ward.fetch() == ward.content
    assert ward.seen[0][0] > 3 * SLICE_BYTES


def test_what_is_kept_of_broken_records_is_bounded(ward: Ward, tmp_path: Path) -> None:
    ward.line.cut_after = 4 * SLICE_BYTES
    ward.doctor._fetcher._pause = lambda _: setattr(ward.line, "is_down", True)
    with pytest.raises(Unavailable):
        ward.fetch()
    broken = ward.doctor._fetcher._broken
    ((place, kept),) = broken._kept.items()
    for number in range(MOST_BROKEN):
        broken.keep((*place[:2], bytes([number])), replace(kept, blob=bytes([number] * 16).hex()))
    assert len(broken._kept) == MOST_BROKEN
    assert place not in broken._kept
    assert not list((tmp_path / "spool").glob("*/*"))
    assert len(list((tmp_path / "broken").iterdir())) == 2 * MOST_BROKEN


def test_grant_taken_back_while_the_line_was_cut_is_told_and_nothing_stays(ward: Ward, tmp_path: Path) -> None:
    ward.line.cut_after = 4 * SLICE_BYTES
    grant = ward.consultation.shown.consent.grant

    def revoked(_: float) -> None:
        ward.lab.federation.revoke_grant(grant)

    ward.doctor._fetcher._pause = revoked
    with pytest.raises(GrantRevoked):
        ward.fetch()
    assert not list((tmp_path / "spool").glob("*/*"))
    assert not list((tmp_path / "broken").iterdir())


def _stopped_by(error: type[BaseException]) -> Callable[[str, int, int | None], None]:
    def stop(_hospital: str, received: int, _of: int | None) -> None:
        if received > 6 * SLICE_BYTES:
            raise error

    return stop


def _broken_off(ward: Ward, error: type[BaseException] = KeyboardInterrupt) -> None:
    with pytest.raises(error):
        list(ward.doctor.fetch(ward.consultation, [ward.location], _stopped_by(error), Allowance()))


def test_record_goes_on_in_a_later_program_whose_user_pressed_ctrl_c(ward: Ward) -> None:
    _broken_off(ward)
    ward.begin_anew()
    assert ward.fetch() == ward.content
    assert ward.seen[0][0] > 6 * SLICE_BYTES
    assert "from byte" in ward.sent()[-1]


def test_record_goes_on_in_a_later_program_after_a_kill(ward: Ward, tmp_path: Path) -> None:
    """A kill leaves what was written so far under its temporary name, and no end of it."""
    killed = tmp_path / "killed"

    def kill(_hospital: str, received: int, _of: int | None) -> None:
        if received > 6 * SLICE_BYTES:
            (partial,) = (tmp_path / "spool").glob("*/*.partial")
            killed.write_bytes(partial.read_bytes()[:-1000])
            partials.append(partial)
            raise SystemExit

    partials: list[Path] = []
    with pytest.raises(SystemExit):
        list(ward.doctor.fetch(ward.consultation, [ward.location], kill, Allowance()))
    killed.rename(partials[0])
    ward.begin_anew()
    assert ward.fetch() == ward.content
    assert ward.seen[0][0] > 2 * SLICE_BYTES


def test_record_that_broke_is_on_the_disk_under_seal_and_for_its_user_alone(ward: Ward, tmp_path: Path) -> None:
    _broken_off(ward)
    kept = [path for name in ("spool", "broken") for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert len(kept) == 3  # what came, its key under seal, its lock
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    (key,) = (it.key for it in ward.doctor._fetcher._broken._kept.values())
    for path in kept:
        content = path.read_bytes()
        assert key not in content
        assert key.hex().encode() not in content
        assert ward.content[:64] not in content
        assert b"P:wang" not in content


def test_record_that_another_program_fetches_is_not_taken_from_it(ward: Ward) -> None:
    _broken_off(ward)
    first = ward.doctor
    ward.begin_anew(first_has_ended=False)
    assert ward.fetch() == ward.content
    assert ward.seen[0][0] == FIRST_BYTES
    ward.doctor = first
    ward.seen.clear()
    assert ward.fetch() == ward.content
    assert ward.seen[0][0] > 6 * SLICE_BYTES


@pytest.mark.parametrize("where", ["spool", "broken"])
def test_record_that_was_altered_on_the_disk_is_begun_anew(ward: Ward, tmp_path: Path, where: str) -> None:
    _broken_off(ward)
    (altered,) = (it for it in (tmp_path / where).rglob("*") if it.is_file() and it.suffix != ".lock")
    content = bytearray(altered.read_bytes())
    content[100] ^= 1
    altered.write_bytes(content)
    ward.begin_anew()
    assert ward.fetch() == ward.content
    assert ward.seen[0][0] == FIRST_BYTES


def test_record_is_kept_no_longer_than_the_consent(ward: Ward, tmp_path: Path) -> None:
    _broken_off(ward)
    fetcher, clock = ward.doctor._fetcher, ward.lab.federation.clock
    ((place, kept),) = fetcher._broken._kept.items()
    consent = ward.consultation.shown.consent
    assert consent is not None
    assert kept.until == min(clock.now + KEPT_MS, peek_grant(consent.grant).validity.not_after)
    ward.begin_anew()
    clock.now = kept.until
    assert ward.doctor._fetcher._broken.find(place) is None
    assert not list((tmp_path / "spool").glob("*/*"))
    assert not list((tmp_path / "broken").iterdir())


def test_record_that_was_corrected_while_the_line_was_cut_is_fetched_from_its_beginning(ward: Ward) -> None:
    ward.line.cut_after = 4 * SLICE_BYTES
    scan = ward.lab.directory.parent / "scan.bin"

    def corrected(_: float) -> None:
        scan.write_bytes(ward.content[::-1])
        action = OperatorAction("officer", "for a test")
        correct_record(ward.lab.hospital, ward.location.handle, JOHNNIE, [scan], action, lambda _: None)

    ward.doctor._fetcher._pause = corrected
    assert ward.fetch() == ward.content[::-1]


@pytest.mark.timeout(120)
def test_record_of_100_mb_comes_through_a_slow_line_whose_sessions_end_each_hour(
    federation: Federation, tmp_path: Path
) -> None:
    """Five hours by the federation's clock: each session ends, lists and decisions are those of then."""
    with _ward(federation, tmp_path, slices=200) as ward:
        ward.line.bytes_a_second = 60e6
        ward.line.cut_after = 40 * SLICE_BYTES

        def an_hour(seconds: float) -> None:
            if ward.line.cut_after is None:
                federation.clock.now += HOUR_MS
                federation.refresh()
                ward.line.cut_after = ward.line.down_bytes + 40 * SLICE_BYTES

        ward.doctor._fetcher._pause = an_hour
        assert digest(ward.fetch()) == digest(ward.content)
        assert ward.line.cuts >= 4
        assert len(ward.sent()) == ward.line.cuts + 1


def test_first_slice_on_the_slowest_line_is_awaited_at_both_ends() -> None:
    assert min(SILENCE_SECONDS, PING_SECONDS, ServerSettings.write_seconds) > FIRST_BYTES / SLOWEST_LINE


@pytest.mark.timeout(400)
def test_record_on_the_slowest_line_comes_in_one_session_and_its_progress_is_shown(
    federation: Federation, tmp_path: Path
) -> None:
    """A slice that took longer than a ping is awaited closed the connection: nothing ever came whole."""
    with _ward(federation, tmp_path, slices=1) as ward:
        ward.line.bytes_a_second = SLOWEST_LINE
        assert ward.fetch() == ward.content
        assert len(ward.sent()) == 1
        assert ward.waited == []
        assert len(ward.seen) > 8
        assert ward.seen[-1][0] == ward.seen[-1][1]


def test_line_lets_a_hospital_be_called(ward: Ward) -> None:
    ward.line.bytes_a_second = 20e6
    assert ward.fetch() == ward.content
    assert ward.waited == []
