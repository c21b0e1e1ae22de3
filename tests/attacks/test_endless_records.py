"""A hospital whose keys are good sends without end, or more than it says: a bound ends it, and nothing of it stays."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import grpc
import pytest

import safefiles
from federation.errors import Limit, MessageTooLarge, PaddingInvalid, Rejected
from federation.person.doctor import DoctorClient
from federation.person.errors import RecordTooLarge
from federation.person.records import MOST_BUNDLE_BYTES, Allowance, FetchedRecord
from federation.protocol.access import Receiver
from federation.protocol.record_hospital import AwaitingRequest, ReceivedQuery
from federation.protocol.search import Answer, Question, RecordLocation
from federation.store.errors import StoreFull
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import (
    PART_KIND_ATTACHMENT,
    PART_KIND_FHIR_BUNDLE,
    GetHospitalRequest,
    GetHospitalResponse,
    OpenSessionRequest,
    OpenSessionResponse,
    PartKind,
    RecordEntry,
    RecordManifest,
    RecordPart,
)
from federation.v1.record_pb2_grpc import RecordServiceServicer, add_RecordServiceServicer_to_server
from keystore.transcript import frame
from tests.hospital_lab import CARDIOLOGY, ecg
from tests.simulator import Federation
from tests.unit.person.conftest import make_doctor

Seal = Callable[[bytes], SessionFrame]
SLICE = bytes(512 * 1024)
MOST_SENT = 32 * 1024 * 1024
"""Bytes that a test is content to see leave the hospital before the doctor hangs up; the stream has no end."""


@dataclass
class Endless(RecordServiceServicer):
    """H:alpha, whose slices go as the test says; it counts the bytes that it got rid of."""

    federation: Federation
    slices: Callable[[], Iterator[bytes]]
    sent: int = 0

    def OpenSession(
        self, requests: Iterator[OpenSessionRequest], context: grpc.ServicerContext
    ) -> Iterator[OpenSessionResponse]:
        hospital, now = self.federation.hospital_a, self.federation.clock.now
        asked = self.federation.receive_session(hospital, next(requests).opening)
        awaiting, reply = asked.reply(now=now, entropy=self.federation.entropy)
        yield OpenSessionResponse(reply=reply)
        assert isinstance(awaiting, AwaitingRequest)
        query = awaiting.receive(next(requests).frame, hospital.verifier(), now=now)
        assert isinstance(query, ReceivedQuery)
        sending = query.decide(hospital.verifier(), Receiver(), now=now).recorded().sending
        for content in self.slices():
            sending, slice_ = sending.seal("h2", content, last=False, sent_at=now)
            self.sent += len(content)
            yield OpenSessionResponse(frame=slice_)

    def GetHospital(self, request: GetHospitalRequest, context: grpc.ServicerContext) -> GetHospitalResponse:
        raise NotImplementedError


def manifest(size_bytes: int, kind: PartKind = PART_KIND_ATTACHMENT, parts: int = 1) -> bytes:
    """Give F(manifest) of a record that says so."""
    part = RecordPart(kind=kind, name="x", media_type="x/x", size_bytes=size_bytes, digest=bytes(32))
    entry = RecordEntry(handle=bytes(16), version=1, department_id=CARDIOLOGY, stored_at=1, parts=[part] * parts)
    content = RecordManifest(patient_id="P:wang", hospital_id="H:alpha", records=[entry])
    return frame(content.SerializeToString(deterministic=True))


@contextmanager
def attacked(
    federation: Federation, directory: Path, slices: Callable[[], Iterator[bytes]]
) -> Iterator[tuple[DoctorClient, Endless]]:
    """Serve that hospital; TLS is not what is tried here."""
    hospital = Endless(federation, slices)
    server = grpc.server(ThreadPoolExecutor(2))
    add_RecordServiceServicer_to_server(hospital, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield make_doctor(federation, directory, lambda _address, _identity: channel), hospital
    server.stop(None).wait()


def fetched(federation: Federation, doctor: DoctorClient, allowance: Allowance | None = None) -> list[FetchedRecord]:
    _, present = federation.consult(ecg())
    at = federation.address(federation.hospital_a)
    location = RecordLocation(at.party, at.encryption_key, "localhost:1", CARDIOLOGY, bytes(16))
    return list(doctor.fetch(present, [location], allowance=allowance))


def spooled(directory: Path) -> list[Path]:
    return [path for path in (directory / "spool").rglob("*") if path.is_file()]


def endless(first: bytes, then: bytes = SLICE) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([first], itertools.repeat(then))


@pytest.mark.parametrize(
    "slices",
    [
        endless(manifest(1_000_000)),
        endless(manifest(1_000_000), bytes(1024)),
        endless(manifest(0)),
        endless(manifest(1_000_000) + b"x" * 5000),
    ],
    ids=["large-slices", "small-slices", "nothing-said", "content"],
)
def test_padding_invalid_at_the_first_byte_more_than_the_manifest_says(
    federation: Federation, tmp_path: Path, slices: Callable[[], Iterator[bytes]]
) -> None:
    with attacked(federation, tmp_path, slices) as (doctor, hospital):
        with pytest.raises(Rejected) as caught:
            fetched(federation, doctor)
        assert isinstance(caught.value.__cause__, PaddingInvalid)
        assert hospital.sent < MOST_SENT
    assert not spooled(tmp_path)


@pytest.mark.parametrize(
    ("slices", "refusal"),
    [
        (endless(b"\x00\x10\x00\x00", b"x"), Limit),
        (endless((2**20 + 1).to_bytes(4, "big")), MessageTooLarge),
        (endless(b"\xff\xff\xff\xff"), MessageTooLarge),
    ],
    ids=["a-byte-at-a-time", "a-byte-too-large", "four-gigabytes"],
)
def test_manifest_without_end_is_ended(
    federation: Federation, tmp_path: Path, slices: Callable[[], Iterator[bytes]], refusal: type[Exception]
) -> None:
    with attacked(federation, tmp_path, slices) as (doctor, hospital):
        with pytest.raises(Rejected) as caught:
            fetched(federation, doctor)
        assert type(caught.value.__cause__) is refusal
        assert hospital.sent < MOST_SENT
    assert not spooled(tmp_path)


@pytest.mark.parametrize(
    "first",
    [
        manifest(MOST_BUNDLE_BYTES + 1, PART_KIND_FHIR_BUNDLE),
        manifest(2**63),
        manifest(5_000_000),
        manifest(100_000, parts=256),
    ],
    ids=["bundle", "whole-number", "attachment", "many-parts"],
)
def test_record_too_large_ends_with_its_manifest(federation: Federation, tmp_path: Path, first: bytes) -> None:
    with attacked(federation, tmp_path, endless(first)) as (doctor, hospital):
        with pytest.raises(RecordTooLarge):
            fetched(federation, doctor, Allowance(4_000_000))
        assert hospital.sent < MOST_SENT
    assert not spooled(tmp_path)


def test_record_too_large_for_what_other_records_left_of_the_visit(federation: Federation, tmp_path: Path) -> None:
    allowance = Allowance(4_000_000)
    allowance.take(3_500_000)
    over = pytest.raises(RecordTooLarge, match="500000 are left; --fetch-at-most raises that")
    with attacked(federation, tmp_path, endless(manifest(1_000_000))) as (doctor, _), over:
        fetched(federation, doctor, allowance)
    assert not spooled(tmp_path)


def test_disk_that_is_full_is_called_full_and_nothing_stays(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, mode: int = 0o600) -> IO[bytes]:
        if path.suffix != ".partial":
            return open_new(path, mode)
        path.touch()
        return Path("/dev/full").open("wb", buffering=0)

    open_new = safefiles.open_new
    monkeypatch.setattr(safefiles, "open_new", full)
    with attacked(federation, tmp_path, endless(manifest(100_000_000))) as (doctor, _), pytest.raises(StoreFull):
        fetched(federation, doctor)
    assert not spooled(tmp_path)


def test_pages_without_end_are_read_to_a_bound_and_what_is_left_out_is_told(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pages:
        """A public cloud that signs whatever number of pages."""

        asked = 0

        def refresh(self, member: object) -> None:
            federation.cloud.hand_over(federation.cloud.directory(), federation.doctor)

        def search(self, member: object, question: Question, *_authorization: object) -> Answer:
            self.asked += 1
            awaiting, opening = federation.ask(present.shown.consent.grant)
            reply = federation.cloud.answer(opening)
            answer = awaiting.receive(reply, federation.doctor.verifier(), now=federation.clock.now)
            return replace(answer, next=b"on and on")

    monkeypatch.setattr("federation.person.finding.MOST_PAGES", 3)
    _, present = federation.consult(ecg())
    doctor = make_doctor(federation, tmp_path, lambda *_: None)
    doctor._cloud = doctor._finder._cloud = cloud = Pages()
    more: list[bool] = []
    doctor.search(present, on_more=lambda: more.append(True))
    assert cloud.asked == 3
    assert more == [True]
