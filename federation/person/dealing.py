"""Connections to hospitals, each of which can say, where the public cloud can't, what is on the revocation list.

Whoever states something shows with it that it stands; what else has to be looked up, a person asks of whom it deals with.
"""

from collections.abc import Callable, Sequence
from functools import partial

import grpc

from federation.party.channels import call
from federation.party.member import Member
from federation.v1.record_pb2 import GetHospitalShardsRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import RevocationExcerpt
from keystore.identities import HOSPITAL

Connect = Callable[[str, str], grpc.Channel]
"""Gives a channel to `host:port` that verifies whose server it is: (address, identity)."""


def dealing(connect: Connect, member: Member) -> Connect:
    """Return the same connections; a hospital at the other end of one is asked for shards where the cloud gives none."""

    def connected(address: str, identity: str) -> grpc.Channel:
        channel = connect(address, identity)
        if identity.startswith(HOSPITAL):
            member.lists.ask_beside(identity, partial(_shards, channel))
        return channel

    return connected


def _shards(channel: grpc.Channel, prefixes: Sequence[int], held_crls: Sequence[bytes]) -> RevocationExcerpt:
    request = GetHospitalShardsRequest(prefixes=prefixes, held_crls=held_crls)
    return call(RecordServiceStub(channel).GetHospitalShards, request).revocations
