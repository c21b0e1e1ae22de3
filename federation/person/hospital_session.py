"""A doctor's session with a hospital: one stream, D3 and H1, then D4 and H2, or STO and STOACK (eq. 33-48)."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from federation.clock import Clock
from federation.errors import IdentityMismatch, OutOfOrder, RecordCutShort, Unavailable
from federation.party.channels import call, peer_errors
from federation.party.member import Member
from federation.person.evidence import EvidenceBook
from federation.person.trace import Trace
from federation.protocol import exhibits, record
from federation.protocol.parties import Entropy
from federation.protocol.record import Established, Intent
from federation.protocol.verifier import Peer
from federation.v1.envelope_pb2 import SealedReply, SessionFrame
from federation.v1.record_pb2 import (
    GetHospitalRequest,
    OpenSessionRequest,
    OpenSessionResponse,
)
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from keystore.identities import HospitalId

LONGEST_SESSION_SECONDS = 3600.0
SILENCE_SECONDS = 60.0
"""How long a hospital may say nothing in a session, and take nothing, before it is given up."""

OnSent = Callable[[int], None]
"""Told, whenever the line took a frame, how many sealed bytes it took of all frames."""


def say_nothing(_sent_bytes: int) -> None:
    """Tell nobody."""


class SessionStream:
    """The stream. Close it, whatever happened."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Open it; nothing is sent yet."""
        self.on_sent: OnSent = say_nothing
        self._requests: queue.SimpleQueue[OpenSessionRequest | None] = queue.SimpleQueue()
        self._method = RecordServiceStub(channel).OpenSession
        self._quiet_since = time.monotonic()
        self._responses = self._method(self._outgoing(), timeout=LONGEST_SESSION_SECONDS)
        self._silent = False

    def send(self, request: OpenSessionRequest) -> None:
        """Send one message."""
        self._requests.put(request)

    def receive_reply(self) -> SealedReply:
        """Return H1. Raises the hospital's refusal, RecordCutShort, OutOfOrder."""
        response = self._receive()
        if response.WhichOneof("content") != "reply":
            raise OutOfOrder("the hospital does not begin with its reply")  # OpenSession.5
        return response.reply

    def receive_frame(self) -> SessionFrame:
        """Return the next frame. Raises the hospital's refusal, RecordCutShort, OutOfOrder."""
        response = self._receive()
        if response.WhichOneof("content") != "frame":
            raise OutOfOrder("the hospital sends something else than a frame")  # OpenSession.5
        return response.frame

    def close(self) -> None:
        """End the stream on this side, and give up what still comes."""
        self._requests.put(None)
        self._responses.cancel()

    def _receive(self) -> OpenSessionResponse:
        self._quiet_since, heard = time.monotonic(), threading.Event()
        threading.Thread(target=self._give_up_on_silence, args=(heard,), daemon=True).start()
        try:
            with peer_errors(self._method):
                response = next(self._responses, None)
        except Exception as error:
            if self._silent:
                raise Unavailable("the hospital fell silent in the middle of a session") from error
            raise
        finally:
            heard.set()
        if response is None:
            raise RecordCutShort("the hospital ended the session before its last message")  # OpenSession.4
        return response

    def _outgoing(self) -> Iterator[OpenSessionRequest]:
        """Yield what is sent. gRPC asks for the next when the line took the one before: a hospital that takes is not silent."""
        sent_bytes = 0
        while (request := self._requests.get()) is not None:
            yield request
            self._quiet_since = time.monotonic()
            sent_bytes += len(request.frame.sealed)
            self.on_sent(sent_bytes)

    def _give_up_on_silence(self, heard: threading.Event) -> None:
        while not heard.wait(max(0.0, self._quiet_since + SILENCE_SECONDS - time.monotonic())):
            if time.monotonic() >= self._quiet_since + SILENCE_SECONDS:
                self._silent = True
                self._responses.cancel()
                return


def address_hospital(channel: grpc.Channel, hospital_id: HospitalId, member: Member, *, now: int) -> Peer:
    """Ask a hospital for its own statements and verify them. Raises IdentityMismatch, Authentication, Unavailable."""
    answer = call(RecordServiceStub(channel).GetHospital, GetHospitalRequest())
    if answer.HasField("revocations"):
        member.lists.hear(answer.revocations)
    verifier = member.verifier()
    party = verifier.party(answer.key_statement, ROLE_HOSPITAL, now=now)  # GetHospital.1
    if party.identity != hospital_id:
        raise IdentityMismatch("another hospital answers than the one addressed")  # GetHospital.2
    return Peer(party, verifier.encryption_key(answer.encryption_key_statement, party, now=now))  # GetHospital.3


@dataclass(frozen=True)
class SessionOpener:
    """What every session of one doctor needs."""

    member: Member
    connect: Callable[[str, str], grpc.Channel]
    book: EvidenceBook
    trace: Trace
    clock: Clock
    entropy: Entropy

    @contextmanager
    def open(self, address: str, hospital: Peer, intent: Intent) -> Iterator[tuple[SessionStream, Established]]:
        """Open a session: D3 and H1. Leaving the block ends it."""
        stream = SessionStream(self.connect(address, hospital.identity))
        try:
            yield stream, self._established(stream, hospital, intent)
        finally:
            stream.close()

    def sent(self, name: str, stream: SessionStream, hospital_id: HospitalId, frame: SessionFrame) -> None:
        """Send a frame and note it."""
        self.trace.note(name, self.member.identity, hospital_id, frame)
        stream.send(OpenSessionRequest(frame=frame))

    def received(self, name: str, stream: SessionStream, hospital_id: HospitalId) -> SessionFrame:
        """Receive a frame and note it."""
        frame = stream.receive_frame()
        self.trace.note(name, hospital_id, self.member.identity, frame)
        return frame

    def _established(self, stream: SessionStream, hospital: Peer, intent: Intent) -> Established:
        now, own, peer = self.clock(), self.member.identity, hospital.identity
        party, verifier = self.member.party(now), self.member.verifier()
        awaiting, opening = record.begin(party, hospital, intent, verifier, now=now, entropy=self.entropy)
        self.trace.note("D3", own, peer, opening)
        stream.send(OpenSessionRequest(opening=opening))
        reply = stream.receive_reply()
        self.trace.note("H1", peer, own, reply)
        now = self.clock()
        established = awaiting.receive(reply, verifier, now=now)
        session = established.session
        self.book.keep(exhibits.of_reply(session), session.session_id, now=now)
        return established
