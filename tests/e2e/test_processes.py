"""Servers of several real processes at the same ports: any of them answers, one that dies is replaced, a successor takes over."""

import os
import re
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from demo.stage import CONSENT, Running, run
from federation.party.channels import call
from federation.person.code import DoctorCode
from federation.person.relay import Mailbox
from federation.v1 import consultation_pb2 as pb
from federation.v1.envelope_pb2 import SessionRefusal
from federation.v1.record_pb2 import GetHospitalRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.wire.channel import open_channel
from tests.conftest import USER_PIN
from tests.e2e.processes_stage import (
    ADDRESS,
    DATABASES,
    Guest,
    Load,
    Stage,
    hand_over,
    health,
    is_gone,
    metric,
    set_server,
    told,
)
from tests.waiting import until

ECG = Path(__file__).parents[1] / "data" / "waveform_ecg.dcm"
CONNECTIONS = 12
"""So many connections at random to three processes: all at the same one once in 177,000 times."""

PROMPT_SECONDS = 0.5
CALLS_BETWEEN = 25
"""So many calls are made before and after each hand-over."""

pytestmark = pytest.mark.timeout(600)


class Clinic:
    """A federation with a doctor at H:b and a patient of H:a."""

    def __init__(self, stage: Stage, guest: Guest) -> None:
        self.stage, self.guest = stage, guest
        self.doctor, self.patient = stage.add_doctor("house"), stage.add_patient("johnnie", "a")

    def consult(self, name: str) -> tuple[Running, str]:
        words = "--department", "cardiology", "--conclusion", "Sinus rhythm."
        return self.stage.consult(self.doctor, "b", name, *words)

    def attend(self, code: str) -> None:
        run("patient", "visit", "--directory", self.patient, code, "--ecg", ECG, *CONSENT)

    def directory(self, label: str) -> Path:
        return self.stage.root / label

    def hospital(self, label: str) -> grpc.Channel:
        """Return a connection of its own to a hospital."""
        return open_channel(self.stage.addresses[label], f"H:{label}", self.guest.trust.tls_roots)


@pytest.fixture(scope="module", params=DATABASES)
def clinic(request, tmp_path_factory, make_token_uri: Callable[..., object]) -> Iterator[Clinic]:
    with Stage(tmp_path_factory.mktemp(request.param), request.param).everything() as stage:
        guest = Guest(stage, make_token_uri, USER_PIN)
        yield Clinic(stage, guest)
        guest.close()


def test_second_visit_finds_the_record_of_the_first_whichever_processes_served_them(clinic: Clinic) -> None:
    first, code = clinic.consult("first")
    clinic.attend(code)
    before = first.wait()
    assert "H:b keeps this encounter" in before
    clinic.stage.await_publication("b")
    second, code = clinic.consult("second")
    clinic.attend(code)
    assert records_found(second.wait()) > records_found(before)


def records_found(story: str) -> int:
    match = re.search(r"(\d+) records? found", story)
    return int(match[1]) if match else 0


def test_message_replayed_at_another_process_is_refused(clinic: Clinic) -> None:
    guest = clinic.guest
    request = guest.renewal()
    assert [guest.is_taken(request) for _ in range(CONNECTIONS)] == [True] + [False] * (CONNECTIONS - 1)
    logged = run("public-cloud", "log", "--directory", clinic.directory("cloud"))
    assert logged.count('"reason": "MESSAGE_REPLAYED"') >= CONNECTIONS - 1


def test_frame_put_at_one_process_reaches_a_follower_at_another_promptly(clinic: Clinic) -> None:
    visit, code = clinic.consult("latency")
    visit.stop()
    room, waits = DoctorCode.parse(code).room_id, []
    for number in range(CONNECTIONS):
        with clinic.hospital("b") as ours, clinic.hospital("b") as theirs:
            putting = Mailbox(ours, room, pb.DIRECTION_TO_PATIENT, next_put=number)
            stream = Mailbox(theirs, room, pb.DIRECTION_TO_DOCTOR, next_read=number).follow(seconds=20)
            waits.append(_wait_for_frame(putting, stream))
            stream.close()
    print("frame put to frame read, ms:", *(round(1000 * wait) for wait in sorted(waits)))
    assert statistics.median(waits) < PROMPT_SECONDS


def _wait_for_frame(putting: Mailbox, stream: Iterator[pb.RelayFrame]) -> float:
    """Return how long a frame takes to somebody who waits for it already."""
    began: list[float] = []

    def put() -> None:
        putting.room()
        began.append(time.monotonic())
        putting.put(pb.RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=1)))

    timer = threading.Timer(0.5, put)
    timer.start()
    next(stream)
    ended = time.monotonic()
    timer.join()
    return ended - began[0]


def test_each_process_says_how_it_is(clinic: Clinic) -> None:
    for label in ("cloud", "b"):
        sockets = [clinic.directory(label) / f"admin.sock{suffix}" for suffix in ("", ".1", ".2")]
        for socket in sockets:
            for service in ("", "token", "database", "log"):
                until(lambda: health(socket, service) == "SERVING", seconds=10)  # noqa: B023 - called here
        assert len(told(clinic.directory(label))["workers"]) == len(sockets)


def test_process_killed_is_replaced_while_visits_go_on(clinic: Clinic) -> None:
    cloud, hospital = clinic.directory("cloud"), clinic.directory("b")
    visit, code = clinic.consult("killed")
    for directory, number in ((cloud, 1), (hospital, 0), (hospital, 2)):
        os.kill(told(directory)["workers"][number], signal.SIGKILL)
    clinic.attend(code)
    assert "H:b keeps this encounter" in visit.wait()
    for socket in (cloud / "admin.sock.1", hospital / "admin.sock", hospital / "admin.sock.2"):
        until(lambda: health(socket, "token") == "SERVING")  # noqa: B023 - called here
    assert '"event": "process-ended", "process": 2, "code": -9' in (hospital / "serve.log").read_text()
    first = clinic.stage.metrics["b"]
    for number, restarts in enumerate(("1.0", "0.0", "1.0")):
        until(lambda: metric(first + number, "medunion_process_restarts") == restarts)  # noqa: B023


def test_successor_takes_over_and_no_call_fails(clinic: Clinic) -> None:
    guest, directory = clinic.guest, clinic.directory("cloud")
    plain, peer, reading, hospital = guest.client(), guest.client(peer=True), guest.client(), clinic.hospital("a")
    traffic = Load(
        reading.directory,
        guest.client().directory,
        lambda: plain.renew(guest.member, ADDRESS),
        lambda: peer.publish(guest.member, guest.publication),
        lambda: call(RecordServiceStub(hospital).GetHospital, GetHospitalRequest()),
    )
    with traffic.running():
        for label in ("cloud", "a", "cloud"):
            traffic.await_calls(CALLS_BETWEEN)
            before, after = hand_over(clinic.directory(label))
            until(lambda: is_gone(before))  # noqa: B023 - called here
            assert not is_gone(after)
        traffic.await_calls(CALLS_BETWEEN)
    hospital.close()
    print(f"{traffic.done} calls over three hand-overs, the slowest took {traffic.slowest:.2f} s")
    assert traffic.failures == []
    assert traffic.done > 4 * CALLS_BETWEEN
    log = (directory / "serve.log").read_text()
    assert log.count('"event": "took-over"') == 2
    assert '"connections_ended": false' not in log


def test_visit_goes_on_over_a_hand_over_of_the_relay(clinic: Clinic) -> None:
    visit, code = clinic.consult("handed-over")
    before, _ = hand_over(clinic.directory("b"))
    clinic.attend(code)
    assert "H:b keeps this encounter" in visit.wait()
    until(lambda: is_gone(before))


def test_successor_that_does_not_come_up_leaves_the_server_serving(clinic: Clinic) -> None:
    directory = clinic.directory("a")
    settings = (directory / "medunion.toml").read_text()
    set_server(directory, threads=0)
    os.kill(told(directory)["pid"], signal.SIGUSR2)
    until(lambda: '"event": "successor-failed"' in (directory / "serve.log").read_text())
    (directory / "medunion.toml").write_text(settings)
    with clinic.hospital("a") as channel:
        assert call(RecordServiceStub(channel).GetHospital, GetHospitalRequest()).HasField("key_statement")
    assert "server.threads: 0 is not between" in (directory / "serve.log").read_text()


def test_second_server_of_a_directory_is_refused(clinic: Clinic) -> None:
    said = run("hospital", "serve", "--directory", clinic.directory("a"), expect=1)
    assert "serves from" in said
    assert "--take-over" in said
