"""Every message that was answered, sent once more by somebody who saw it pass, after the server that had answered it was killed.

Replay memory and kept answers have to be where a kill can't reach them: what was taken is refused, or gets the very same answer.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from federation.clock import system_clock
from federation.errors import FederationError, Limit, Rejected, StaleMessage, Unavailable
from federation.party.channels import call, peer_errors
from federation.party.node_directory import read_trust
from federation.protocol.statements import peek_statement
from federation.v1.consultation_pb2 import OpenRoomRequest
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.membership_pb2 import PutEncryptionKeyRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.record_pb2 import OpenSessionRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.registration_pb2 import RegisterRequest
from federation.v1.registration_pb2_grpc import RegistrationServiceStub
from federation.v1.revocation_pb2 import RevokeRequest
from federation.v1.revocation_pb2_grpc import RevocationServiceStub
from federation.v1.search_pb2 import SearchRequest
from federation.v1.search_pb2_grpc import SearchServiceStub
from federation.v1.statement_pb2 import RevocationHead
from federation.wire.channel import open_channel
from tests.crash.journal import lines

FRESH_MS = 25_000
AT_ONCE = 3
AT_CLOUD = frozenset({"D2", "rev", "ekput", "reg1"})


@dataclass
class Eavesdropper:
    """Sends again what was answered not long ago; knows what should have been refused and was not."""

    journal: Path
    trust: Path
    hospital_id: str
    hospital_address: str
    random: random.Random
    refused: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _list: int = 0

    def try_again(self, kind: str) -> None:
        """Send some messages again to the server of this kind, which has just been started."""
        channel = self._channel(kind)
        try:
            if kind == "public-cloud":
                self._require_no_older_list(channel)
            since = system_clock() - FRESH_MS
            answered = [
                line
                for line in lines(self.journal)
                if line["kind"] == "answered"
                and line["at"] > since
                and (line["name"] in AT_CLOUD) == (kind == "public-cloud")
            ]
            for line in self.random.sample(answered, min(AT_ONCE, len(answered))):
                self._send(channel, line)
        except (Unavailable, Limit):
            return  # killed again meanwhile
        finally:
            channel.close()

    def _channel(self, kind: str) -> grpc.Channel:
        bundle = read_trust(self.trust)
        if kind == "hospital":
            return open_channel(self.hospital_address, self.hospital_id, bundle.tls_roots)
        return open_channel(bundle.content.cloud_address, bundle.content.cloud_id, bundle.tls_roots)

    def _require_no_older_list(self, channel: grpc.Channel) -> None:
        directory = call(DirectoryServiceStub(channel).GetDirectory, GetDirectoryRequest())
        sequence = peek_statement(RevocationHead, directory.revocation_head).sequence
        if sequence < self._list:
            self.faults.append(f"the revocation list went back from {self._list} to {sequence}")
        self._list = max(sequence, self._list)

    def _send(self, channel: grpc.Channel, line: dict[str, Any]) -> None:
        request, answer = bytes.fromhex(line["request"]), bytes.fromhex(line["answer"])
        try:
            again = _SENDERS[line["name"]](channel, request)
        except (Rejected, StaleMessage) as refusal:
            self.refused[f"{line['name']} {refusal.reason}"] += 1
        except (Unavailable, Limit):
            raise
        except FederationError as error:
            self.faults.append(f"{line['name']} again: {error}")
        else:
            if line["name"] != "reg1" or again != answer:
                self.faults.append(f"{line['name']} was taken twice: sent {line['at']}, again {system_clock()}")
            self.refused[f"{line['name']} same answer"] += 1


def _open_session(channel: grpc.Channel, request: bytes) -> bytes:
    opening = OpenSessionRequest(opening=SealedOpening.FromString(request))
    method = RecordServiceStub(channel).OpenSession
    with peer_errors(method):
        answers = method(iter([opening]), timeout=10)
        reply: bytes = next(answers).reply.SerializeToString(deterministic=True)
        answers.cancel()
    return reply


def _search(channel: grpc.Channel, request: bytes) -> bytes:
    sent = SearchRequest(opening=SealedOpening.FromString(request))
    return call(SearchServiceStub(channel).Search, sent).SerializeToString()


def _revoke(channel: grpc.Channel, request: bytes) -> bytes:
    sent = RevokeRequest(opening=SealedOpening.FromString(request))
    return call(RevocationServiceStub(channel).Revoke, sent).SerializeToString()


def _renew(channel: grpc.Channel, request: bytes) -> bytes:
    sent = PutEncryptionKeyRequest(opening=SealedOpening.FromString(request))
    return call(MembershipServiceStub(channel).PutEncryptionKey, sent).SerializeToString()


def _register(channel: grpc.Channel, request: bytes) -> bytes:
    sent = RegisterRequest(opening=SealedOpening.FromString(request))
    return call(RegistrationServiceStub(channel).Register, sent).reply.SerializeToString(deterministic=True)


def _open_room(channel: grpc.Channel, request: bytes) -> bytes:
    return call(RelayServiceStub(channel).OpenRoom, OpenRoomRequest.FromString(request)).SerializeToString()


_SENDERS = {
    "D2": _search,
    "D3": _open_session,
    "rev": _revoke,
    "ekput": _renew,
    "reg1": _register,
    "room": _open_room,
}
