"""Records fetched from a hospital that really serves, and a deposit there; hospitals that lie or break off."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from federation.errors import (
    GrantMissing,
    GrantScope,
    IdentityMismatch,
    NotOnDuty,
    RecordCutShort,
    RecordDigestMismatch,
    Rejected,
)
from federation.person.doctor import DoctorClient
from federation.protocol.access import Receiver
from federation.protocol.anchors import statement_entry
from federation.protocol.record_hospital import AwaitingRequest, ReceivedQuery, Release
from federation.protocol.search import RecordLocation
from federation.protocol.shown import Shown
from federation.v1.record_pb2 import (
    GetHospitalRequest,
    GetHospitalResponse,
    OpenSessionRequest,
    OpenSessionResponse,
)
from federation.v1.record_pb2_grpc import RecordServiceServicer, add_RecordServiceServicer_to_server
from federation.v1.statement_pb2 import RIGHT_INDEX
from keystore.transcript import digest
from tests.contents import cut, record_of
from tests.grants import wide
from tests.hospital_lab import CARDIOLOGY, JOHNNIE, ecg, report
from tests.simulator import Federation
from tests.unit.person.conftest import Surgery, make_doctor


def duties_ended(surgery: Surgery) -> list[bytes]:
    """What the next list says of the duties that were stated for the doctor."""
    shifts = surgery.lab.hospital.stores.shifts.of("D:chen", ending_after=0)
    return [statement_entry("duty", "H:alpha", shift.shift_id) for shift in shifts]


Script = Callable[[Release], Iterator[OpenSessionResponse]]
BIG = 3_000_000


def location(federation: Federation, handle: bytes = bytes(16), address: str = "localhost:1") -> RecordLocation:
    hospital = federation.address(federation.hospital_a)
    return RecordLocation(hospital.party, hospital.encryption_key, address, CARDIOLOGY, handle)


def test_record_is_fetched_whole_with_its_attachment(surgery: Surgery, tmp_path: Path) -> None:
    attachment = tmp_path / "scan.bin"
    attachment.write_bytes(bytes(range(256)) * (BIG // 256))
    handle = surgery.lab.import_files(JOHNNIE, "P:wang", CARDIOLOGY, attachment)
    _, present = surgery.federation.consult(ecg())
    seen: list[int] = []
    (record,) = surgery.doctor.fetch(
        present, [location(surgery.federation, handle)], lambda _hospital, received, _total: seen.append(received)
    )
    contents = [b"".join(content) for _, _, content in record.parts()]
    assert [digest(content) for content in contents] == [
        digest(JOHNNIE.read_bytes()),
        digest(attachment.read_bytes()),
    ]
    assert seen == sorted(seen)
    assert seen[-1] == record.size_bytes
    spooled = list((surgery.directory / "spool").glob("*/*"))
    assert b"resourceType" not in spooled[0].read_bytes()
    record.close()
    assert not list((surgery.directory / "spool").glob("*/*"))
    assert {kept.exhibit.kind for kept in surgery.doctor.book.all()} == {"H1", "H2"}


def test_grant_scope_is_told_and_nothing_is_spooled(surgery: Surgery) -> None:
    handle = surgery.lab.import_files()
    grant = surgery.federation.grant(wide(rights=(RIGHT_INDEX,)))
    _, present = surgery.federation.consult(ecg(), grant)
    with pytest.raises(GrantScope):
        list(surgery.doctor.fetch(present, [location(surgery.federation, handle)]))
    assert not list((surgery.directory / "spool").glob("*/*"))


def test_deposit_repeated_gets_the_same_receipt(surgery: Surgery) -> None:
    _, present = surgery.federation.consult(ecg())
    awaiting, _ = present.diagnose(report(surgery.federation), (), now=surgery.federation.clock.now)
    prepared = surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    first = surgery.doctor.deposit(prepared)
    surgery.federation.clock.now += 60_000
    assert surgery.doctor.deposit(prepared) == first


def test_deposit_without_receipt_is_finished_by_another_run(surgery: Surgery) -> None:
    _, present = surgery.federation.consult(ecg())
    awaiting, _ = present.diagnose(report(surgery.federation), (), now=surgery.federation.clock.now)
    prepared = surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    restarted = make_doctor(surgery.federation, surgery.directory, surgery.connect)
    (waiting,) = restarted.waiting_deposits()
    assert waiting == prepared
    receipt = restarted.deposit(waiting)
    assert not restarted.waiting_deposits()
    assert surgery.doctor.deposit(prepared) == receipt


def test_deposit_that_grew_stale_unsent_gets_a_new_time(surgery: Surgery) -> None:
    _, present = surgery.federation.consult(ecg())
    awaiting, _ = present.diagnose(report(surgery.federation), (), now=surgery.federation.clock.now)
    prepared = surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    surgery.federation.clock.now += 60_000
    assert surgery.doctor.deposit(prepared).version == 1


def test_deposit_whose_duty_ended_is_kept_with_the_duty_of_now(surgery: Surgery) -> None:
    _, present = surgery.federation.consult(ecg())
    awaiting, _ = present.diagnose(report(surgery.federation), (), now=surgery.federation.clock.now)
    prepared = surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    before = prepared.deposit.access.consent.duty.duty.statement
    surgery.lab.off_duty()
    surgery.federation.cloud.revoked_statements += duties_ended(surgery)
    surgery.federation.refresh()
    with pytest.raises(NotOnDuty):
        surgery.doctor.deposit(prepared)
    (waiting,) = make_doctor(surgery.federation, surgery.directory, surgery.connect).waiting_deposits()
    surgery.lab.on_duty("D:chen", "cardiology")
    assert surgery.doctor.deposit(waiting).version == 1
    assert waiting.deposit.access.consent.duty.duty.statement != before
    assert not surgery.doctor.waiting_deposits()


def register_anew(surgery: Surgery) -> None:
    """Let the hospital register anew, as after the loss of its token: its former credential is revoked."""
    federation = surgery.federation
    former = federation.party(federation.hospital_a).self_.serial
    federation.clock.now += 1000
    federation.renew(federation.hospital_a)
    federation.cloud.revoked_serials.append(former)
    federation.refresh()


def test_deposit_prepared_before_its_hospital_registered_anew_is_kept_with_the_duty_of_now(
    own_surgery: Surgery,
) -> None:
    _, present = own_surgery.federation.consult(ecg())
    awaiting, _ = present.diagnose(report(own_surgery.federation), (), now=own_surgery.federation.clock.now)
    prepared = own_surgery.doctor.prepare_deposit(awaiting, "H:alpha", own_surgery.address, "cardiology")
    register_anew(own_surgery)
    assert own_surgery.doctor.deposit(prepared).version == 1
    assert not own_surgery.doctor.waiting_deposits()


def test_duty_kept_from_before_its_hospital_registered_anew_is_asked_for_anew(own_surgery: Surgery) -> None:
    own_surgery.doctor.open_room("H:alpha", own_surgery.address)
    _, present = own_surgery.federation.consult(ecg())
    register_anew(own_surgery)
    awaiting, _ = present.diagnose(report(own_surgery.federation), (), now=own_surgery.federation.clock.now)
    prepared = own_surgery.doctor.prepare_deposit(awaiting, "H:alpha", own_surgery.address, "cardiology")
    assert own_surgery.doctor.deposit(prepared).version == 1


def test_grant_missing_prepares_no_deposit_and_searches_nothing(surgery: Surgery) -> None:
    now = surgery.federation.clock.now
    _, held = surgery.federation.consult(ecg())
    without = replace(held, shown=Shown(held.patient_id))
    awaiting, _ = without.diagnose(report(surgery.federation), (), now=now)
    with pytest.raises(GrantMissing):
        surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    with pytest.raises(GrantMissing):
        surgery.doctor.search(without)


def test_hospital_under_another_name_is_not_used(surgery: Surgery) -> None:
    _, present = surgery.federation.consult(ecg())
    awaiting, _ = present.diagnose(report(surgery.federation), (), now=surgery.federation.clock.now)
    prepared = surgery.doctor.prepare_deposit(awaiting, "H:alpha", surgery.address, "cardiology")
    with pytest.raises(IdentityMismatch):
        surgery.doctor.deposit(replace(prepared, hospital_id="H:beta"))


class RogueHospital(RecordServiceServicer):
    """H:alpha, whose keys are good and whose stream goes as the test says."""

    def __init__(self, federation: Federation, script: Script) -> None:
        self._federation = federation
        self._script = script

    def OpenSession(
        self, requests: Iterator[OpenSessionRequest], context: grpc.ServicerContext
    ) -> Iterator[OpenSessionResponse]:
        hospital, now = self._federation.hospital_a, self._federation.clock.now
        asked = self._federation.receive_session(hospital, next(requests).opening)
        awaiting, reply = asked.reply(now=now, entropy=self._federation.entropy)
        yield OpenSessionResponse(reply=reply)
        assert isinstance(awaiting, AwaitingRequest)
        query = awaiting.receive(next(requests).frame, hospital.verifier(), now=now)
        assert isinstance(query, ReceivedQuery)
        yield from self._script(query.decide(hospital.verifier(), Receiver(), now=now).recorded())

    def GetHospital(self, request: GetHospitalRequest, context: grpc.ServicerContext) -> GetHospitalResponse:
        raise NotImplementedError


@contextmanager
def rogue(federation: Federation, script: Script, directory: Path) -> Iterator[DoctorClient]:
    """Serve a rogue hospital; TLS is not what is tested here."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_RecordServiceServicer_to_server(RogueHospital(federation, script), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield make_doctor(federation, directory, lambda _address, _identity: channel)
    server.stop(None).wait()


def sent(
    federation: Federation, release: Release, content: bytes, *locations: int, end: bool = True
) -> Iterator[OpenSessionResponse]:
    for piece in cut(content, *locations):
        release, sealed = release.slice(piece, now=federation.clock.now)
        yield OpenSessionResponse(frame=sealed.frame)
    if end:
        yield OpenSessionResponse(frame=release.end(1, now=federation.clock.now))


def fetched(federation: Federation, script: Script, directory: Path) -> list[bytes]:
    _, present = federation.consult(ecg())
    with rogue(federation, script, directory) as doctor:
        try:
            (record,) = doctor.fetch(present, [location(federation)])
        finally:
            partial = [path for path in (directory / "spool").glob("*/*") if path.suffix]
            assert not partial
        return [b"".join(content) for _, _, content in record.parts()]


def test_record_of_an_honest_script_is_read(federation: Federation, tmp_path: Path) -> None:
    whole = record_of(b"one", b"two")
    found = fetched(federation, lambda release: sent(federation, release, whole, 3, 20), tmp_path)
    assert found == [b"one", b"two"]


@pytest.mark.parametrize(
    ("record", "end", "refusal"),
    [
        (record_of(b"one"), False, RecordCutShort),
        (record_of(b"one")[:-1], True, Rejected),
        (record_of(b"one", bytes(2000))[:-2000], True, Rejected),
        (record_of(b"one") + b"more", True, Rejected),
        (record_of(b"one").replace(b"one", b"two"), True, RecordDigestMismatch),
        (record_of(b"one", patient_id="P:lin"), True, IdentityMismatch),
        (record_of(b"one", hospital_id="H:beta"), True, IdentityMismatch),
    ],
    ids=["cut-mid-stream", "cut-short", "cut-by-a-class", "extra", "digest", "other-patient", "other-hospital"],
)
def test_record_that_is_not_what_it_says_is_refused(
    federation: Federation, tmp_path: Path, record: bytes, end: bool, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        fetched(federation, lambda release: sent(federation, release, record, end=end), tmp_path)
    assert not list((tmp_path / "spool").glob("*/*"))


def test_record_with_a_flipped_bit_is_rejected(federation: Federation, tmp_path: Path) -> None:
    def flipped(release: Release) -> Iterator[OpenSessionResponse]:
        for response in sent(federation, release, record_of(b"one")):
            response.frame.sealed = bytes([response.frame.sealed[0] ^ 1]) + response.frame.sealed[1:]
            yield response

    with pytest.raises(Rejected):
        fetched(federation, flipped, tmp_path)
    assert not list((tmp_path / "spool").glob("*/*"))
